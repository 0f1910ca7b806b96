// Package kong makes kong.yml, Kong's declarative configuration, from deploy/routes.yaml. Its flags are what the file
// cannot take from the environment; kong.yml as committed has their defaults.
package kong

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/stampede-shop/stampede/deploy/routes"
)

// Settings are the flags: addresses as host:port, limits in requests a minute.
type Settings struct {
	Edge, EdgeAuth, EdgeAdmin, Redis string
	Token, Address, Login            int
}

// Flags reads the settings from a command line, which may be empty. It gives the file to write too; none is the standard
// output.
func Flags(args []string) (s Settings, out string, err error) {
	f := flag.NewFlagSet("kong", flag.ContinueOnError)
	f.StringVar(&s.Edge, "edge", "edge:3511", "HTTP address of the sidecar edge")
	f.StringVar(&s.EdgeAuth, "edge-auth", "edge-auth:3512", "… edge-auth")
	f.StringVar(&s.EdgeAdmin, "edge-admin", "edge-admin:3513", "… edge-admin")
	f.StringVar(&s.Redis, "redis", "redis:6379", "Redis, which counts for all nodes")
	f.IntVar(&s.Token, "token", 600, "requests a minute with one token")
	f.IntVar(&s.Address, "address", 300, "requests a minute from one address without a token")
	f.IntVar(&s.Login, "login", 20, "login, register, codes, passwords: a minute from one address")
	f.StringVar(&out, "o", "", "file to write, instead of the standard output")
	return s, out, f.Parse(args)
}

//go:embed kong.yml.template
var text string

var conf = template.Must(template.New("").Funcs(template.FuncMap{
	"host": func(address string) (string, error) { host, _, err := net.SplitHostPort(address); return host, err },
	"port": func(address string) (string, error) { _, port, err := net.SplitHostPort(address); return port, err },
}).Parse(text))

// Generate gives the text of kong.yml for the text of routes.yaml.
func Generate(list []byte, s Settings) ([]byte, error) {
	public, err := routes.Parse(list)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = conf.Execute(&b, map[string]any{"Settings": s, "Services": services(s), "Routes": entries(public, s)})
	return b.Bytes(), err
}

// service is a sidecar, seen with one set of limits: time limits and the limit of logins belong to a service in Kong.
type service struct {
	Name, Address string
	Read          int  // milliseconds that an answer may take
	Small         bool // bodies up to 1 MiB
}

func services(s Settings) []service {
	return []service{
		{"edge", s.Edge, 30_000, true},
		{"edge-login", s.Edge, 30_000, true},
		{"edge-auth", s.EdgeAuth, 30_000, true},
		{"edge-auth-upload", s.EdgeAuth, 300_000, false},
		{"edge-admin-upload", s.EdgeAdmin, 300_000, false},
		{"edge-admin", s.EdgeAdmin, 30_000, true},
	}
}

// entry is one of Kong's routes.
type entry struct {
	Name, Service, Pattern string
	Priority               int
	Lua                    string // the argument of gateway.lua's check
	Cache, Upload          bool
}

// entries gives Kong's routes in the order of the list: the first match wins because it has the highest priority.
func entries(file routes.List, s Settings) []entry {
	var list, last []entry
	for _, r := range file.Routes {
		e := entry{Name: name(r.Path), Service: r.Edge, Pattern: pattern(r.Path), Upload: r.Body == "upload"}
		e.Cache = r.Edge == "edge" && kept.MatchString(r.Path) && !r.Shared
		if r.Limit != "" {
			e.Service += "-" + r.Limit
		}
		if e.Upload {
			e.Service += "-upload"
		}
		e.Lua = fmt.Sprintf(`app = "%s", methods = "%s"`, r.App, methods(r.Methods))
		if r.Limit != "" {
			e.Lua += fmt.Sprintf(`, limit = "%s"`, r.Limit)
		}
		if r.Page {
			e.Lua += `, page = true`
		}
		if r.Ticket {
			e.Lua += fmt.Sprintf(`, ticket = "%s"`, s.Edge)
		}
		if r.Shared {
			e.Lua += fmt.Sprintf(`, shared = "%s"`, s.Edge)
		}
		if r.Work != "" {
			e.Lua += fmt.Sprintf(`, work = "%s"`, r.Work)
		}
		if e.Cache {
			e.Lua += `, cache = true`
		}
		if r.Path == "/**" {
			e.Name = r.App
			last = append(last, e)
			continue
		}
		list = append(list, e)
	}
	closed := strings.ReplaceAll(regexp.QuoteMeta(strings.Join(file.Closed, "|")), `\|`, "|")
	closed = "~/(?i:" + strings.ReplaceAll(strings.TrimPrefix(closed, "/"), "|/", "|") + ")(/|$)"
	list = append(list, entry{Name: "closed", Pattern: closed, Lua: `app = ""`})
	list = append(list, last...)
	for i := range list {
		list[i].Priority = len(list) - i
	}
	return list
}

// kept: what the front keeps for everybody too.
var kept = regexp.MustCompile(`^/api/v1/(products|categories|availability|drops)(/|$)`)

var (
	segment = regexp.MustCompile(`\\{[a-z_]+\\}`)
	letters = regexp.MustCompile(`[^a-z0-9]+`)
)

func name(path string) string { return strings.Trim(letters.ReplaceAllString(path, "-"), "-") }

// pattern turns a path of the list into a regular expression, which Kong anchors at the start.
func pattern(path string) string {
	path, below := strings.CutSuffix(path, "/**")
	p := "~" + segment.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+")
	switch {
	case p == "~":
		return "~/"
	case below:
		return p + "(/|$)"
	}
	return p + "/?$" // the sidecar strips a slash at the end, so both spellings are one path
}

// methods adds HEAD to GET.
func methods(list []string) string {
	if i := slices.Index(list, "GET"); i >= 0 {
		list = slices.Insert(slices.Clone(list), i+1, "HEAD")
	}
	return strings.Join(list, " ")
}
