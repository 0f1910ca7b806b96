// Package nginx makes routes.conf, the gateway block's locations, from deploy/routes.yaml.
package nginx

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/stampede-shop/stampede/deploy/routes"
)

var conf = template.Must(template.New("").Funcs(template.FuncMap{"pattern": pattern, "methods": methods, "join": strings.Join}).
	Parse(`# Generated from ../routes.yaml by "make generate". The first match wins.
{{- define "route"}}
location ~ {{pattern .Path}} {
    set $app {{.App}}; set $methods "{{methods .Methods}}";{{if .Limit}} set $limit {{.Limit}};{{end}}{{if .Page}} set $page yes;{{end}}
{{- if .Ticket}} set $ticket wanted;{{end}}{{if .Shared}} set $shared yes;{{end}}
{{- if .Work}}
    set $work {{.Work}}; set $admitted "";
{{- end}}
{{- if eq .Body "upload"}}
    client_max_body_size 64m; proxy_request_buffering off; proxy_read_timeout 300s; proxy_send_timeout 300s;
{{- end}}
    proxy_pass http://{{.Edge}};
}
{{- end}}
{{- range .Routes}}{{if ne .Path "/**"}}{{template "route" .}}{{end}}{{end}}
location ~* ^({{join .Closed "|"}})(/|$) {
    set $app ""; # edge.lua answers 404
}
{{- range .Routes}}{{if eq .Path "/**"}}{{template "route" .}}{{end}}{{end}}
`))

// Generate gives the text of routes.conf for the text of routes.yaml.
func Generate(list []byte) ([]byte, error) {
	public, err := routes.Parse(list)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = conf.Execute(&b, public)
	return b.Bytes(), err
}

var segment = regexp.MustCompile(`\\{[a-z_]+\\}`)

// pattern turns a path of the list into a quoted regular expression.
func pattern(path string) string {
	path, below := strings.CutSuffix(path, "/**")
	p := "^" + segment.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+")
	if below {
		return `"` + p + `(/|$)"`
	}
	return `"` + p + `/?$"` // the sidecar strips a slash at the end, so both spellings are one path
}

// methods adds HEAD to GET.
func methods(list []string) string {
	if i := slices.Index(list, "GET"); i >= 0 {
		list = slices.Insert(slices.Clone(list), i+1, "HEAD")
	}
	return strings.Join(list, " ")
}
