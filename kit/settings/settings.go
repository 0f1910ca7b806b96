// Package settings reads what the environment decides about a service into
// structs, and describes it.
//
// A field is a setting:
//
//	Deadline time.Duration `env:"ORDER_DEADLINE" envDefault:"10m" doc:"From order.placed to the end of a pending order"`
//
// Without envDefault it must be given; `envDefault:""` makes it optional. enum
// lists what is allowed. secret:"16" is for what nobody may read: it must have
// at least so many characters, and is masked when settings are shown. A
// duration is more than zero, a whole number at least 1, Keys each as long as secret says. What is not given and
// what is given as "" are the same. Embedded structs are read too.
package settings

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // images have no files of time zones

	"github.com/caarlos0/env/v11"
)

// Zone is the name of a time zone in the database of IANA: Europe/London.
type Zone string

func parseZone(s string) (Zone, error) {
	if _, err := time.LoadLocation(s); err != nil || s == "Local" {
		return "", errors.New("is not the name of a time zone such as Europe/London")
	}
	return Zone(s), nil
}

// Location is the zone, UTC when there is none of its name.
func (z Zone) Location() *time.Location {
	zone, err := time.LoadLocation(string(z))
	if err != nil {
		return time.UTC
	}
	return zone
}

// Setting describes a field.
type Setting struct {
	Name     string   `json:"name"`
	Default  string   `json:"default,omitempty"`
	Required bool     `json:"required,omitempty"`
	Secret   bool     `json:"secret,omitempty"`
	Enum     []string `json:"enum,omitempty"`
	Doc      string   `json:"doc"`
	Value    string   `json:"-"` // as it was given, or the default; of a secret "***"

	kind  reflect.Type
	least int // characters of a secret
}

// Environment is what the process was started with.
func Environment() map[string]string { return env.ToMap(os.Environ()) }

// Read reads T from an environment. The error names every setting that is
// missing or wrong, and none of their values. prefix is put before each name.
func Read[T any](environment map[string]string, prefix string) (T, error) {
	given := map[string]string{}
	for name, value := range environment {
		if value != "" {
			given[name] = value
		}
	}
	value, err := env.ParseAsWithOptions[T](env.Options{
		Environment: given, Prefix: prefix, RequiredIfNoDef: true,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[URL]():  func(s string) (any, error) { return parseURL(s) },
			reflect.TypeFor[Zone](): func(s string) (any, error) { return parseZone(s) },
			reflect.TypeFor[Keys](): func(s string) (any, error) { return parseKeys(s), nil },
		},
	})
	errs := explain(err)
	for _, s := range Describe[T](given, prefix) {
		if text, ok := given[s.Name]; ok {
			if err := s.check(text); err != nil {
				errs = append(errs, fmt.Errorf("setting %s %w", s.Name, err))
			}
		}
	}
	return value, errors.Join(errs...)
}

// URL is an address without the slash at its end.
type URL string

func parseURL(s string) (URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "", errors.New("is not an address such as http://localhost:8000")
	}
	return URL(strings.TrimRight(s, "/")), nil
}

// Keys are a secret with which something is signed or hashed and, behind commas, others that are believed as well: while one
// takes another's place both are out.
type Keys []string

// Signs is the one that new things are made with; nil where nothing was read, as for a service's document.
func (k Keys) Signs() []byte {
	if len(k) == 0 {
		return nil
	}
	return []byte(k[0])
}

func parseKeys(s string) Keys { return strings.Split(s, ",") }

// explain says in words of ours what is wrong with which setting.
func explain(err error) (errs []error) {
	var all env.AggregateError
	if !errors.As(err, &all) {
		if err != nil {
			errs = append(errs, err)
		}
		return errs
	}
	for _, err := range all.Errors {
		var missing env.VarIsNotSetError
		var parse env.ParseError
		switch {
		case errors.As(err, &missing):
			errs = append(errs, fmt.Errorf("setting %s is not set", missing.Key))
		case errors.As(err, &parse):
			// check says it again, with the name that operators know.
		default:
			errs = append(errs, err)
		}
	}
	return errs
}

// Describe lists the settings of T, with their values in an environment.
func Describe[T any](environment map[string]string, prefix string) []Setting {
	var list []Setting
	describe(reflect.TypeFor[T](), environment, prefix, &list)
	return list
}

func describe(t reflect.Type, environment map[string]string, prefix string, list *[]Setting) {
	for i := range t.NumField() {
		field := t.Field(i)
		name := field.Tag.Get("env")
		if !field.IsExported() {
			panic("settings: " + field.Name + " of " + t.String() + " is not exported, so nothing can read it")
		}
		if name == "" {
			if field.Type.Kind() == reflect.Struct {
				describe(field.Type, environment, prefix, list)
			}
			continue
		}
		s := Setting{Name: prefix + name, Doc: field.Tag.Get("doc"), kind: field.Type}
		var optional bool
		s.Default, optional = field.Tag.Lookup("envDefault")
		s.Required = !optional
		if enum := field.Tag.Get("enum"); enum != "" {
			s.Enum = strings.Split(enum, ",")
		}
		if least, ok := field.Tag.Lookup("secret"); ok {
			s.Secret = true
			s.least, _ = strconv.Atoi(least)
		}
		if s.Value = environment[s.Name]; s.Value == "" {
			s.Value = s.Default
		}
		if s.Secret && s.Value != "" {
			s.Value = "***"
		}
		*list = append(*list, s)
	}
}

// check says what is wrong with the text of a setting.
func (s Setting) check(text string) error {
	secrets := []string{text}
	if s.kind == reflect.TypeFor[Keys]() {
		secrets = parseKeys(text)
	}
	if s.Secret && slices.ContainsFunc(secrets, func(secret string) bool { return len(secret) < s.least }) {
		return fmt.Errorf("is a secret of less than %d characters", s.least)
	}
	if s.Enum != nil {
		return oneOf(text, s.Enum)
	}
	switch s.kind {
	case reflect.TypeFor[time.Duration]():
		if d, err := time.ParseDuration(text); err != nil || d <= 0 {
			return errors.New("is not a duration such as 15m")
		}
	case reflect.TypeFor[int]():
		if n, err := strconv.Atoi(text); err != nil || n < 1 {
			return errors.New("is not a whole number of at least 1")
		}
	case reflect.TypeFor[bool]():
		return oneOf(text, []string{"true", "false"})
	case reflect.TypeFor[URL]():
		_, err := parseURL(text)
		return err
	case reflect.TypeFor[Zone]():
		_, err := parseZone(text)
		return err
	}
	return nil
}

func oneOf(text string, allowed []string) error {
	if slices.Contains(allowed, text) {
		return nil
	}
	return errors.New("is none of " + strings.Join(allowed, ", "))
}
