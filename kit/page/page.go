// Package page is the shape of the shop's faces: embedded templates, assets
// whose address changes with their content, fragments, forms that only the
// shop's own pages can send, and problems told as pages.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/picture"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// policy lets pages load nothing but the shop's own files, and be framed by
// nobody.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Pages are the templates of one face. Every page is pages/<name>.html around
// pages/layout.html, which defines "layout"; "error" is the page of problems.
// What pages/_*.html define is there for every page, and for [Part].
type Pages struct {
	// Meta, if set, gives a page that brings no Meta of its own what the
	// layout wants to know about the request. Set it before serving.
	Meta func(r *http.Request) any
	// Views holds for each page, and each part that is answered alone, a Data
	// of the type that it gets. Others are refused; pagetest.Check holds the
	// templates against it. Set it before serving.
	Views map[string]any

	templates map[string]*template.Template
	fragments *template.Template
	assets    map[string]asset
	prefix    string
	log       *slog.Logger
}

type asset struct {
	data []byte
	kind string
	url  string
}

// View is what a template gets.
type View struct {
	Status int // 0 means 200
	Title  string
	Path   string // of the request
	Meta   any    // for the layout
	Data   any
}

// Problem is the Data of the page "error".
type Problem struct {
	Status     int
	Slug       string
	Title      string
	Detail     string
	RetryAfter string // seconds; empty when the problem does not say
}

// Load reads pages/*.html and assets/* of files. Assets, and the shop's
// tokens.css with them, are served under prefix, for instance "/assets";
// templates name them by {{asset "shop.css"}}, and may use funcs besides. Of
// the shop's pictures, {{srcset .}} are the copies and {{small .}} the smallest.
func Load(files fs.FS, prefix string, log *slog.Logger, funcs ...template.FuncMap) (*Pages, error) {
	p := &Pages{templates: map[string]*template.Template{}, assets: map[string]asset{}, prefix: prefix, log: log}
	names, err := fs.Glob(files, "assets/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("assets: %w", err)
		}
		p.keep(path.Base(name), data)
	}
	p.keep("tokens.css", tokens)
	all := template.FuncMap{
		"asset": func(name string) (string, error) {
			a, ok := p.assets[name]
			if !ok {
				return "", fmt.Errorf("no asset %s", name)
			}
			return a.url, nil
		},
		"srcset": func(address string) template.Srcset { return template.Srcset(picture.Srcset(address)) },
		"small":  picture.Small,
	}
	maps.Copy(all, colours())
	for _, more := range funcs {
		maps.Copy(all, more)
	}
	shared, err := fs.Glob(files, "pages/_*.html")
	if err != nil {
		return nil, err
	}
	names, err = fs.Glob(files, "pages/[^_]*.html")
	if err != nil {
		return nil, err
	}
	p.fragments = template.New("fragments").Funcs(all)
	if len(shared) > 0 {
		if p.fragments, err = p.fragments.ParseFS(files, shared...); err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
	}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "layout" {
			continue
		}
		t, err := template.New(base).Funcs(all).ParseFS(files, append([]string{"pages/layout.html", name}, shared...)...)
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		p.templates[base] = t
	}
	return p, nil
}

// keep makes an asset, at an address that changes with its content.
func (p *Pages) keep(base string, data []byte) {
	sum := sha256.Sum256(data)
	ext := path.Ext(base)
	url := strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:4]) + ext
	p.assets[url] = asset{data, mime.TypeByExtension(ext), p.prefix + "/" + url}
	p.assets[base] = p.assets[url]
}

// Assets serves the assets; put it at prefix + "/{asset}".
func (p *Pages) Assets(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "asset")
	a, ok := p.assets[name]
	if !ok || !strings.HasSuffix(a.url, "/"+name) {
		p.Problem(w, r, problem.ErrNotFound)
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(a.data)
}

// Problem answers with the page "error".
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, err error) {
	var known *problem.Error
	if !errors.As(err, &known) {
		known = problem.ErrInternal.Because(err)
	}
	if known.Ours() {
		p.log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "error", err)
	}
	status, headers := rest.StatusOf(known), rest.HeadersOf(known)
	for k, v := range headers {
		w.Header()[k] = v
	}
	w.Header().Set("Cache-Control", "no-store")
	p.show(w, r, "error", View{Status: status, Title: known.Title(), Data: Problem{
		status, known.Slug(), known.Title(), known.Explanation(), headers.Get("Retry-After"),
	}})
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request, name string, v View) {
	v.Path = r.URL.Path
	if v.Meta == nil && p.Meta != nil {
		v.Meta = p.Meta(r)
	}
	p.write(w, r, p.templates[name], "layout", v.Status, v, p.fits(name, v.Data))
}

func (p *Pages) part(w http.ResponseWriter, r *http.Request, name string, status int, data any) {
	p.write(w, r, p.fragments, name, status, data, p.fits(name, data))
}

// fits tells what is wrong with the Data of a page or a part.
func (p *Pages) fits(name string, data any) error {
	if want, got := reflect.TypeOf(p.Views[name]), reflect.TypeOf(data); want != got {
		return fmt.Errorf("%s is made for %v, not for %v", name, want, got)
	}
	return nil
}

// Templates are the pages by name, each to be executed as "layout" with a
// [View], and the parts.
func (p *Pages) Templates() (pages map[string]*template.Template, parts *template.Template) {
	return p.templates, p.fragments
}

func (p *Pages) write(w http.ResponseWriter, r *http.Request, t *template.Template, name string, status int, data any, err error) {
	if status == 0 {
		status = http.StatusOK
	}
	var out bytes.Buffer
	if t == nil {
		err = errors.New("no such page")
	}
	if err == nil {
		err = t.ExecuteTemplate(&out, name, data)
	}
	if err != nil {
		p.log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "error", err)
		http.Error(w, "Something went wrong on our side", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	if status == http.StatusOK && strings.HasPrefix(h.Get("Cache-Control"), "public") {
		sum := sha256.Sum256(out.Bytes())
		tag := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
		h.Set("ETag", tag)
		if has(r.Header.Get("If-None-Match"), tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}

// has tells whether an If-None-Match names the tag.
func has(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == tag || "W/"+one == tag || one == "*" {
			return true
		}
	}
	return false
}
