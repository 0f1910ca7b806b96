//go:build tools

package main

// Dapr's certificate authority is built from the same module:
// go build github.com/dapr/dapr/cmd/sentry.
import _ "github.com/dapr/dapr/cmd/sentry/app"
