package stack

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Settings is the stack's settings.env: what differs between machines and
// stacks, and every password. It is a shell file that this program and a
// developer's shell both read; what the user changes in it stays.
type Settings struct {
	File  string // where it is
	lines []settingLine
}

// settingLine is one setting, or (without a key) text kept as it was.
type settingLine struct{ key, value, text string }

// owners of settings. Every other owner is the app of that name.
const (
	everyApp = ""      // each app gets it
	infra    = "infra" // no app: only those parts whose files name it
)

// setting is one row of the file as it is written the first time.
type setting struct {
	key, value, owner string
}

// defaults returns all settings of a stack whose services with a database are
// those, in the order in which they are written. Secrets are new random ones
// at each call.
func defaults(s *Stack, services []App) []setting {
	port := func(base int) string { return strconv.Itoa(base + s.Offset) }
	at := func(base int) string { return "127.0.0.1:" + port(base) }
	through := func(base int) string { return at(s.reach(base)) }
	public := "http://localhost:" + port(PortFront)
	keys, most := PortKeys, func(perMinute string) string { return perMinute }
	if s.Bench { // where all that is asked comes from one address
		keys, most = PortBenchKeys, func(string) string { return "100000000" }
	}
	database := func(name, at string) string {
		u := url.URL{Scheme: "postgres", User: url.UserPassword(name, Secret()), Host: at, Path: "/" + name}
		return u.String()
	}
	list := []setting{
		{"PORT_OFFSET", strconv.Itoa(s.Offset), everyApp},
		{"PUBLIC_URL", public, everyApp},
		{"GATEWAY", at(PortGateway), infra},
		{"ALLOWED_ORIGINS", public + " http://localhost:3000", infra},

		{"ISSUER", public + "/realms/stampede", everyApp},
		{"AUDIENCE", "stampede", everyApp},
		{"JWKS_URL", "http://" + at(keys) + "/jwks", everyApp},
		{"KEYCLOAK_URL", "http://" + at(PortKeycloak), everyApp},
		{"KEYCLOAK_REALM", "stampede", everyApp},
		{"KEYCLOAK_ADMIN_PASSWORD", Secret(), infra},
		{"AUTH_CLIENT_SECRET", Secret(), "auth"},
		{"STORE_CLIENT_SECRET", Secret(), "store"},
		{"ADMIN_CLIENT_SECRET", Secret(), infra},
		{"ADMIN_AUTH_URL", public + "/realms/stampede/protocol/openid-connect/auth", infra},
		{"ADMIN_TOKEN_URL", "http://" + at(PortKeycloak) + "/realms/stampede/protocol/openid-connect/token", infra},
		{"ADMIN_REDIRECT_URL", public + "/admin", infra},
		// The demo accounts, and limits for a machine on which everybody has one address.
		{"DEMO_ACCOUNTS", "true", "auth"},
		{"SHOPPER_PASSWORD", Secret(), "auth"},
		{"OPS_PASSWORD", Secret(), "auth"},
		{"LOGIN_FAILURES_ADDRESS", "100000", "auth"},
		{"CODES_ADDRESS", "100000", "auth"},

		{"POSTGRES_SUPERUSER_URL", database("postgres", at(PortPostgres)), infra},
		{"KEYCLOAK_DATABASE_URL", database("keycloak", through(PortPostgres)), infra},
	}
	for _, a := range services {
		list = append(list, setting{a.DatabaseSetting(), database(a.ID, through(PortPostgres)), a.ID})
	}
	return append(list, []setting{
		{"WAL_ARCHIVE", "", infra}, // a folder, see infra's archive
		{"SWAP", "", infra},        // names of components/swaps, see Choose
		{"INSTANCES", "", infra},   // how many run beside each other, see instances
		{"REDIS_HOST", through(PortRedis), infra},
		{"REDIS_PASSWORD", Secret(), infra},
		{"RABBITMQ_URL", "amqp://stampede:" + Secret() + "@" + through(PortRabbitMQ), infra},
		{"SMTP_HOST", "127.0.0.1", infra},
		{"SMTP_PORT", port(s.reach(PortSMTP)), infra},
		{"MAIL_FROM", "Stampede <shop@stampede.test>", "mail"},
		{"MEDIA_DIR", filepath.Join(s.Data, "media"), infra},
		{"STATIC_DIR", filepath.Join(s.Data, "static"), infra},

		{"NAMESPACE", "default", infra},
		{"DAPR_HOST_IP", "127.0.0.1", infra},
		{"NAME_RESOLUTION_DB", filepath.Join(s.Data, "names.db"), infra},
		{"SENTRY_ADDRESS", at(PortSentry), infra},
		{"DAPR_API_TOKEN", Secret(), everyApp},
		{"APP_API_TOKEN", Secret(), everyApp},
		{"TRACES_RATIO", "1", everyApp},

		{"CURSOR_KEY", Secret(), everyApp},
		{"HASH_KEY", Secret(), everyApp},
		{"PAYMENTS_WEBHOOK_SECRET", Secret(), "payments"},
		{"DROPS_KEY", Secret(), "drops"},
		{"DROPS_HEAD_KEY", Secret(), "drops"},

		{"SHOP_CURRENCY", "GBP", everyApp},
		{"SHOP_COUNTRY", "GB", everyApp},
		{"SHOP_TIME_ZONE", "UTC", everyApp},
		{"STORE_FEATURED", "stampede-runner,orbit-globe,roll-top-messenger", "store"},
		{"HOLD_AT", "cart", everyApp},
		{"HOLD_TTL", "15m", everyApp},
		{"LOW_STOCK", "5", "inventory"},
		{"MAIL_PULL_BEHIND", "10m", "mail"},
		{"RATE_TOKEN", most("60000"), infra},
		{"RATE_ADDRESS", most("60000"), infra},
		{"RATE_LOGIN", most("6000"), infra},
		{"RATE_FRONT", most("600000"), infra},

		// Of make observe: how often is looked, and what is worth telling people (deploy/observe).
		{"WATCH_EVERY", "15s", infra},
		{"ALERT_MAIL", "ops@stampede.test", infra},
		{"ALERT_AFTER", "2m", infra},
		{"ALERT_WINDOW", "5m", infra},
		{"ALERT_WINDOW_LONG", "1h", infra},
		{"ALERT_ORDER_SECONDS", "300", infra},
		{"ALERT_LAG_SECONDS", "60", infra},
		{"ALERT_DROP_SECONDS", "30", infra},
		{"ALERT_REFUSED", "0.3", infra},
		{"ALERT_ERRORS", "0.01", infra},
		{"ALERT_DISK_FREE", "0.1", infra},
		{"ALERT_CERTIFICATE_DAYS", "7", infra},
	}...)
}

// swapSettings are those that only components in components/swaps name; they
// are written when one of these is plugged in. An empty one is the user's to
// fill in.
func swapSettings(s *Stack) []setting {
	at := func(base int) string { return "127.0.0.1:" + strconv.Itoa(base+s.Offset) }
	state := url.URL{Scheme: "postgres", User: url.UserPassword("state", Secret()), Host: at(PortPostgres), Path: "/state"}
	return []setting{
		{"NATS_URL", "nats://stampede:" + Secret() + "@" + at(PortNATS), infra},
		{"KAFKA_BROKERS", at(PortKafka), infra},
		{"STATE_DATABASE_URL", state.String(), infra},
		{"SECRETS_FILE", s.secretsFile(), infra},
		// An account's, which only its owner knows: see lacking.
		{"SES_REGION", "", infra},
		{"SES_ACCESS_KEY", "", infra},
		{"SES_SECRET_KEY", "", infra},
		{"S3_ENDPOINT", "http://" + at(PortS3), infra},
		{"S3_BUCKET", "stampede-pictures", infra},
		{"S3_REGION", "us-east-1", infra},
		{"S3_ACCESS_KEY", "stampede", infra},
		{"S3_SECRET_KEY", Secret(), infra},
	}
}

// waits are settings that the services have defaults for. They are written
// only where the environment has them: a stack for tests waits for seconds, and
// asks nobody outside.
var waits = []struct{ key, owner string }{
	{"ORDER_DEADLINE", "orders"},
	{"ORDER_REMIND_AFTER", "orders"},
	{"ORDER_VOID_EVERY", "orders"},
	{"ORDERS_PULL_BEHIND", "orders"},
	{"INVENTORY_ASK_AFTER", "inventory"},
	{"INVENTORY_PULL_BEHIND", "inventory"},
	{"HOLD_RETRY", "inventory"},
	{"PAYMENTS_PULL_BEHIND", "payments"},
	{"PROVIDER_TIMEOUT", "payments"},
	{"PROVIDER_MISSING_AFTER", "payments"},
	{"CARTS_PULL_BEHIND", "carts"},
	{"DROPS_BEACON_URL", "drops"},
	{"EVENTS_PULL_BEHIND", everyApp},
}

// reach is the port at which services and sidecars find a part of the
// infrastructure.
func (s *Stack) reach(base int) int {
	if s.Proxied {
		return ProxyPorts[base]
	}
	return base
}

// choices may be given in the environment of the first make up, for a stack
// that starts with other ones, such as a test's short hold time.
var choices = []string{
	"INSTANCES", "WAL_ARCHIVE", "SHOP_CURRENCY", "SHOP_COUNTRY", "SHOP_TIME_ZONE", "HOLD_AT", "HOLD_TTL", "LOW_STOCK", "MAIL_PULL_BEHIND",
	"RATE_TOKEN", "RATE_ADDRESS", "RATE_LOGIN", "RATE_FRONT", "TRACES_RATIO",
	"WATCH_EVERY", "ALERT_AFTER", "ALERT_WINDOW", "ALERT_WINDOW_LONG", "ALERT_ORDER_SECONDS", "ALERT_LAG_SECONDS",
	"ALERT_DROP_SECONDS",
}

// Secret is a new random one: 40 hexadecimal digits, so that it fits into an address as it is.
func Secret() string {
	b := make([]byte, 20)
	rand.Read(b)
	return hex.EncodeToString(b)
}

const settingsHeader = `# Settings of this stack, made by make up at its first run. Yours to change: what is
# here stays, and make up adds only what is missing. Passwords: keep it to yourself.
# For a shell: set -a; . this file
`

// loadSettings reads the stack's settings and adds those that the file lacks;
// the file is written only when that changes it.
func loadSettings(s *Stack) (*Settings, error) {
	set := &Settings{File: filepath.Join(s.Run, "settings.env")}
	text, err := os.ReadFile(set.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = []byte(settingsHeader)
	case err != nil:
		return nil, err
	}
	if set.lines, err = parseSettings(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", set.File, err)
	}
	if have := set.Get("PORT_OFFSET"); have != "" && have != strconv.Itoa(s.Offset) {
		return nil, fmt.Errorf("%s belongs to a stack with PORT_OFFSET=%s, not %d: use that offset, or another RUN_DIR", set.File, have, s.Offset)
	}
	if set.Has("PORT_OFFSET") {
		// As it was when the addresses were written: a shop that is there does not
		// begin to trust another key because of a variable.
		s.Proxied, s.Bench = set.Get("PROXIES") == "true", set.Get("BENCH") == "true"
	}
	services, err := s.Services()
	if err != nil {
		return nil, err
	}
	list := defaults(s, services)
	if s.Proxied {
		list = append(list, setting{"PROXIES", "true", infra})
	}
	if s.Bench {
		list = append(list, setting{"BENCH", "true", infra})
	}
	for _, w := range waits {
		if given := os.Getenv(w.key); given != "" {
			list = append(list, setting{w.key, given, w.owner})
		}
	}
	if !set.merge(list, os.Getenv) {
		return set, nil
	}
	return set, set.save()
}

// merge adds what is missing and reports whether anything was.
func (set *Settings) merge(list []setting, getenv func(string) string) bool {
	changed := false
	for _, d := range list {
		if set.Has(d.key) {
			continue
		}
		value := d.value
		if slices.Contains(choices, d.key) && getenv(d.key) != "" {
			value = getenv(d.key)
		}
		set.lines = append(set.lines, settingLine{key: d.key, value: value})
		changed = true
	}
	return changed
}

// ParseSettings reads the text of a settings file; they have no file to be
// saved to. The error names the line.
func ParseSettings(text string) (*Settings, error) {
	lines, err := parseSettings(text)
	return &Settings{lines: lines}, err
}

// All are the settings and their values, in the order of the file.
func (set *Settings) All() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for _, l := range set.lines {
			if l.key != "" && !yield(l.key, l.value) {
				return
			}
		}
	}
}

func (set *Settings) index(key string) int {
	return slices.IndexFunc(set.lines, func(l settingLine) bool { return l.key != "" && l.key == key })
}

// Has reports whether there is a setting of that name, be it empty.
func (set *Settings) Has(key string) bool { return set.index(key) >= 0 }

// Get returns a value, "" for a setting that is not there.
func (set *Settings) Get(key string) string {
	if i := set.index(key); i >= 0 {
		return set.lines[i].value
	}
	return ""
}

// Put sets one value, and saves the file when that changes it.
func (set *Settings) Put(key, value string) error {
	i := set.index(key)
	switch {
	case i < 0:
		set.lines = append(set.lines, settingLine{key: key, value: value})
	case set.lines[i].value == value:
		return nil
	default:
		set.lines[i].value = value
	}
	return set.save()
}

// Env returns KEY=value for the settings that pick accepts.
func (set *Settings) Env(pick func(key string) bool) []string {
	var env []string
	for key, value := range set.All() {
		if pick(key) {
			env = append(env, key+"="+value)
		}
	}
	return env
}

func (set *Settings) save() error {
	var b strings.Builder
	for _, l := range set.lines {
		if l.key == "" {
			b.WriteString(l.text + "\n")
			continue
		}
		b.WriteString("export " + l.key + "=" + quote(l.value) + "\n")
	}
	return WriteFile(set.File, b.String(), 0o600)
}

// appSettings tells which settings an app gets: those of every app and its
// own. One that is not in the table (added by the user, such as
// PAYMENTS_PROVIDER or OTEL_EXPORTER_OTLP_ENDPOINT) goes to the app whose name
// it begins with, else to all.
func appSettings(id string, apps []App) func(key string) bool {
	owners := map[string]string{"DAPR_TRUST_ANCHORS": infra, "PROXIES": infra, "BENCH": infra}
	for _, d := range slices.Concat(defaults(&Stack{}, apps), swapSettings(&Stack{})) {
		owners[d.key] = d.owner
	}
	for _, w := range waits {
		owners[w.key] = w.owner
	}
	return func(key string) bool {
		owner, known := owners[key]
		if !known {
			for _, other := range apps {
				if strings.HasPrefix(key, other.EnvName()+"_") {
					owner = other.ID
				}
			}
		}
		return owner == everyApp || owner == id
	}
}

// quote writes a value for a shell, always in single quotes.
func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'" }

// parseSettings reads the part of the shell's language that a settings file
// needs: comments, and assignments (with or without export) whose value is
// bare, in single quotes (over several lines too), in double quotes, or of
// several such pieces. Nothing is expanded.
func parseSettings(text string) ([]settingLine, error) {
	var lines []settingLine
	for number := 1; text != ""; {
		line, rest, _ := strings.Cut(text, "\n")
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || strings.HasPrefix(trimmed, "#") {
			lines = append(lines, settingLine{text: line})
			text, number = rest, number+1
			continue
		}
		start := strings.TrimPrefix(strings.TrimLeft(text, " \t"), "export ")
		key, after, found := strings.Cut(start, "=")
		if key = strings.TrimSpace(key); !found || !isKey(key) {
			return nil, fmt.Errorf("line %d is not KEY=value", number)
		}
		value, rest, err := parseValue(after)
		if err != nil {
			return nil, fmt.Errorf("line %d, %s: %w", number, key, err)
		}
		lines = append(lines, settingLine{key: key, value: value})
		number += strings.Count(text[:len(text)-len(rest)], "\n")
		text = rest
	}
	return lines, nil
}

func isKey(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == "" && (s[0] < '0' || s[0] > '9')
}

// parseValue reads one value and returns what comes after its line.
func parseValue(text string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\'':
			end := strings.IndexByte(text[i+1:], '\'')
			if end < 0 {
				return "", "", errors.New("the quote does not end")
			}
			b.WriteString(text[i+1 : i+1+end])
			i += end + 1
		case '"':
			for i++; ; i++ {
				if i >= len(text) {
					return "", "", errors.New("the quote does not end")
				}
				if text[i] == '"' {
					break
				}
				if text[i] == '\\' && i+1 < len(text) && strings.IndexByte("\"\\$`", text[i+1]) >= 0 {
					i++
				}
				b.WriteByte(text[i])
			}
		case '\\':
			if i++; i < len(text) {
				b.WriteByte(text[i])
			}
		case '\n':
			return b.String(), text[i+1:], nil
		case ' ', '\t', '\r':
			line, after, _ := strings.Cut(text[i:], "\n")
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				return "", "", errors.New("a value with spaces needs quotes")
			}
			return b.String(), after, nil
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", nil
}
