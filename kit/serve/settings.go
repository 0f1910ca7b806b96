package serve

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Env reads a setting, or fallback when it is empty.
func Env(key, fallback string) string {
	if v := os.Getenv(key); v != "" {
		return v
	}
	return fallback
}

// MustEnv reads a setting that has no default; without it the service cannot
// start and says so. It is not needed to describe the API.
func MustEnv(key string) string {
	v := os.Getenv(key)
	if v == "" && !describing() {
		fail(key, "is not set")
	}
	return v
}

// EnvDuration reads a setting such as "15m".
func EnvDuration(key string, fallback time.Duration) time.Duration {
	v := os.Getenv(key)
	if v == "" {
		return fallback
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		fail(key, "is not a duration such as 15m")
	}
	return d
}

// EnvInt reads a whole number.
func EnvInt(key string, fallback int) int {
	v := os.Getenv(key)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		fail(key, "is not a whole number")
	}
	return n
}

// fail ends a start that cannot succeed: settings are read first, before
// anything is open.
func fail(key, why string) {
	fmt.Fprintf(os.Stderr, "setting %s %s\n", key, why)
	os.Exit(1)
}

// describing reports whether the service was started to print its OpenAPI
// document, with no settings and nothing open.
func describing() bool { return len(os.Args) > 1 && os.Args[1] == "openapi" }
