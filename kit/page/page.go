// Package page is the shape of the shop's faces: embedded templates, assets
// whose address changes with their content, and problems told as pages.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/problem"
)

// policy lets pages load nothing but the shop's own files, and be framed by
// nobody.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Pages are the templates of one face. Every page is pages/<name>.html around
// pages/layout.html, which defines "layout"; "error" is the page of problems.
type Pages struct {
	templates map[string]*template.Template
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
	Title string
	Path  string
	Data  any
}

// Problem is the Data of the page "error".
type Problem struct {
	Status int
	Title  string
	Detail string
}

// Load reads pages/*.html and assets/* of files. Assets are served under
// prefix, for instance "/assets"; templates name them by {{asset "shop.css"}}.
func Load(files fs.FS, prefix string, log *slog.Logger) (*Pages, error) {
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
		sum := sha256.Sum256(data)
		base := path.Base(name)
		ext := path.Ext(base)
		url := strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:4]) + ext
		p.assets[url] = asset{data, mime.TypeByExtension(ext), prefix + "/" + url}
		p.assets[base] = p.assets[url]
	}
	funcs := template.FuncMap{"asset": func(name string) (string, error) {
		a, ok := p.assets[name]
		if !ok {
			return "", fmt.Errorf("no asset %s", name)
		}
		return a.url, nil
	}}
	names, err = fs.Glob(files, "pages/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "layout" {
			continue
		}
		t, err := template.New(base).Funcs(funcs).ParseFS(files, "pages/layout.html", name)
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		p.templates[base] = t
	}
	return p, nil
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

// Handle makes a handler of fn, which names the page to show. An error becomes
// the page "error" with the problem's status.
func (p *Pages) Handle(fn func(w http.ResponseWriter, r *http.Request) (name string, v View, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, v, err := fn(w, r)
		if err != nil {
			p.Problem(w, r, err)
			return
		}
		if name != "" { // else fn has answered
			p.show(w, r, http.StatusOK, name, v)
		}
	}
}

// Problem answers with the page "error".
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, err error) {
	var known *problem.Error
	if !errors.As(err, &known) {
		known = problem.FromStatus(http.StatusInternalServerError).Because(err)
	}
	if known.GetStatus() >= 500 {
		p.log.ErrorContext(r.Context(), "page failed", "path", r.URL.Path, "error", err)
	}
	for k, v := range known.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Cache-Control", "no-store")
	p.show(w, r, known.GetStatus(), "error", View{Title: known.Title(), Data: Problem{known.GetStatus(), known.Title(), known.Explanation()}})
}

func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, name string, v View) {
	v.Path = r.URL.Path
	var out bytes.Buffer
	t, ok := p.templates[name]
	if !ok {
		p.log.ErrorContext(r.Context(), "no such page", "page", name)
		http.Error(w, "Something went wrong on our side", http.StatusInternalServerError)
		return
	}
	if err := t.ExecuteTemplate(&out, "layout", v); err != nil {
		p.log.ErrorContext(r.Context(), "page failed", "page", name, "error", err)
		http.Error(w, "Something went wrong on our side", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}
