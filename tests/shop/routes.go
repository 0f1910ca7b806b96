package shop

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Route is an operation of the API, as the service that serves it documents it.
type Route struct {
	App    string
	Method string
	Path   string // with {names}
	User   bool   // wants a shopper's token
	Admin  bool   // wants an administrator's token
	Query  []Parameter
	Body   bool // takes JSON
}

// Name is how tests name the route.
func (r Route) Name() string { return r.Method + " " + r.Path }

// Fill puts values into the path's names.
func (r Route) Fill(values map[string]string) string {
	path := r.Path
	for name, value := range values {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	return path
}

// Parameter is a query parameter.
type Parameter struct {
	Name string
	Type string
}

// Routes reads the API from the programs that run: each prints its OpenAPI document.
func (s *Shop) Routes(t testing.TB) []Route {
	t.Helper()
	documents, err := filepath.Glob("../../apps/*/openapi.json") // of those that serve an API
	require.NoError(t, err)
	require.NotEmpty(t, documents)
	var all []Route
	for _, document := range documents {
		app := filepath.Base(filepath.Dir(document))
		out, err := exec.CommandContext(t.Context(), s.Binary(app), "openapi").Output()
		require.NoError(t, err, app)
		var doc struct {
			Paths map[string]map[string]struct {
				Security   []map[string][]string `json:"security"`
				Parameters []struct {
					Name   string `json:"name"`
					In     string `json:"in"`
					Schema struct {
						Type any `json:"type"`
					} `json:"schema"`
				} `json:"parameters"`
				RequestBody struct {
					Content map[string]any `json:"content"`
				} `json:"requestBody"`
			} `json:"paths"`
		}
		require.NoError(t, json.Unmarshal(out, &doc), app)
		require.NotEmpty(t, doc.Paths, app)
		for path, methods := range doc.Paths {
			if strings.HasPrefix(path, "/internal") {
				continue
			}
			for method, op := range methods {
				r := Route{App: app, Method: strings.ToUpper(method), Path: path, User: len(op.Security) > 0}
				r.Admin = strings.HasPrefix(path, "/api/v1/admin/")
				_, r.Body = op.RequestBody.Content["application/json"]
				for _, p := range op.Parameters {
					if p.In == "query" {
						kind, _ := p.Schema.Type.(string)
						r.Query = append(r.Query, Parameter{p.Name, kind})
					}
				}
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b Route) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}
