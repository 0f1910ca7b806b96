package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dapr/runfile"
	"github.com/stampede-shop/stampede/deploy/routes"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

func TestPart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"yaml":            {"a:\n  # generated: x\n  old\n  # end\nb\n", "a:\n  # generated: x\nnew\n  # end\nb\n"},
		"go":              {"// generated: x\n// end\n", "// generated: x\nnew\n// end\n"},
		"in a row":        {"| a | <!-- generated: x -->old<!-- end --> |\n", "| a | <!-- generated: x -->new\n<!-- end --> |\n"},
		"the nearest end": {"# generated: x\n# end\n# generated: y\nkept\n# end\n", "# generated: x\nnew\n# end\n# generated: y\nkept\n# end\n"},
	} {
		got, err := part(c.text, "x", "new\n")
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	for name, text := range map[string]string{"no marker": "a\n", "no end": "# generated: x\n", "another's": "# generated: xy\n# end\n"} {
		_, err := part(text, "x", "new\n")
		require.Error(t, err, name)
	}
}

// TestMerge: what Dapr asks of a list is which entry fits first, so entries
// that overlap are one.
func TestMerge(t *testing.T) {
	t.Parallel()
	of := func(paths map[string][]string) (rules []rule) {
		for path, verbs := range paths {
			rules = append(rules, rule{daprName(path), verbs})
		}
		return merge(rules)
	}
	for name, c := range map[string]struct {
		paths map[string][]string
		want  []rule
	}{
		"one path":         {map[string][]string{"/internal/events": {"GET"}}, []rule{{"/internal/events", []string{"GET"}}}},
		"a name in it":     {map[string][]string{"/internal/orders/{id}/hold": {"PUT"}}, []rule{{"/internal/orders/**", []string{"PUT"}}}},
		"two beside":       {map[string][]string{"/a/void": {"POST"}, "/a/made": {"GET"}}, []rule{{"/a/made", []string{"GET"}}, {"/a/void", []string{"POST"}}}},
		"one below":        {map[string][]string{"/a": {"GET"}, "/a/{id}": {"POST", "GET"}}, []rule{{"/a/**", []string{"GET", "POST"}}}},
		"not a segment":    {map[string][]string{"/a": {"GET"}, "/ab": {"POST"}}, []rule{{"/a", []string{"GET"}}, {"/ab", []string{"POST"}}}},
		"all of a face":    {map[string][]string{"/account/password": {"POST"}, "/**": {"GET", "HEAD"}}, []rule{{"/**", []string{"GET", "HEAD", "POST"}}}},
		"the same twice":   {map[string][]string{"/a/{x}/b": {"DELETE"}, "/a/{x}/c/**": {"PATCH"}}, []rule{{"/a/**", []string{"PATCH", "DELETE"}}}},
		"below and before": {map[string][]string{"/a/b/{id}": {"GET"}, "/a/**": {"PUT"}}, []rule{{"/a/**", []string{"GET", "PUT"}}}},
	} {
		require.Equal(t, c.want, of(c.paths), name)
	}
}

// listed is a service as the run file has it.
func listed(id, config string) runfile.App {
	return runfile.App{ID: id, Command: []string{"x"}, Sidecar: runfile.Sidecar{ConfigFile: config}}
}

// TestAccess: the edges get what routes.yaml lets in, the faces what it says
// that they ask, the neighbours what the operations say; the comment stays.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := &shop{
		apps: []app{
			{App: listed("stock", "config/stock.yaml"), doc: document{Paths: map[string]map[string]operation{
				"/api/v1/stock":        {"get": {}},
				"/internal/stock/{id}": {"put": {Neighbours: []string{"orders"}}, "get": {Neighbours: []string{"orders", "shop"}}},
			}}},
			{App: listed("shop", "config/shop.yaml")},
			{
				App: listed("orders", "config/orders.yaml"), Summary: "Sells",
				doc: document{Paths: map[string]map[string]operation{"/x": {}}},
			},
			{App: runfile.App{ID: "edge"}},
		},
		public: routes.List{
			Routes: []routes.Route{{Path: "/api/v1/stock/**", App: "stock", Edge: "edge", Methods: []string{"GET"}}},
			Faces:  map[string][]string{"shop": {"/api/v1/stock"}},
		},
	}
	g := &generated{root: t.TempDir(), files: map[string][]byte{
		"config/stock.yaml": []byte("# Stock.\n# Asked by many.\n" + generatedBelow + "old"),
		"config/shop.yaml":  []byte("# The shop.\n" + generatedBelow + "old"),
	}}
	require.NoError(t, s.accessLists(g))
	text := string(g.files["config/stock.yaml"])
	require.Contains(t, text, "# Stock.\n# Asked by many.\n"+generatedBelow+"apiVersion")
	require.Contains(t, text, `    policies:
      - appId: edge
        namespace: default
        trustDomain: public
        defaultAction: deny
        operations:
          - name: /api/v1/stock/**
            httpVerb: [GET, HEAD]
            action: allow
      - appId: shop
        namespace: default
        trustDomain: public
        defaultAction: deny
        operations:
          - name: /api/v1/stock/**
            httpVerb: [GET]
            action: allow
          - name: /internal/stock/**
            httpVerb: [GET]
            action: allow
      - appId: orders
        namespace: default
        trustDomain: public
        defaultAction: deny
        operations:
          - name: /internal/stock/**
            httpVerb: [GET, PUT]
            action: allow
  tracing:
`)
	require.NotContains(t, string(g.files["config/shop.yaml"]), "policies")
	require.Contains(t, string(g.files["config/orders.yaml"]), "# Sells.\n"+generatedBelow, "a new one")

	s.apps[0].doc.Paths["/internal/stock/{id}"]["delete"] = operation{Neighbours: []string{"nobody"}}
	require.ErrorContains(t, s.accessLists(g), "nobody")
}

func TestSummary(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "README.md")
	for text, want := range map[string]string{
		"# a\nKeeps things. And more.\n":         "Keeps things",
		"# a\n\nKeeps things.\n":                 "Keeps things",
		"# a\nBy [mail](../mail.md), or not.\n":  "By mail, or not",
		"# a\n| | |\n":                           "",
		"# a\n":                                  "",
		"# a\nAt `/a.b`, and so on. Not this.\n": "At `/a.b`, and so on",
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		got, err := summary(file)
		require.Equal(t, want == "", err != nil, text)
		require.Equal(t, want, got)
	}
}

// TestDiagram: a database's catalogue as Mermaid draws it.
func TestDiagram(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Server()
	require.NoError(t, err)
	tables, err := catalogue(t.Context(), server, fstest.MapFS{"migrations/00001_init.sql": {Data: []byte(`-- +goose Up
CREATE TABLE shelves (id uuid PRIMARY KEY, name text NOT NULL UNIQUE, tags text[] NOT NULL, size bigint);
CREATE TABLE books (
    shelf uuid NOT NULL REFERENCES shelves,
    place int NOT NULL,
    lent_to uuid UNIQUE REFERENCES shelves,
    isbn text NOT NULL,
    PRIMARY KEY (shelf, place)
);
CREATE UNIQUE INDEX ON books (isbn) WHERE lent_to IS NULL;`)}})
	require.NoError(t, err)
	tables = tables[len(tables)-2:] // behind kit's
	require.Equal(t, "\n```mermaid"+`
erDiagram
    shelves ||--o{ books : shelf
    shelves |o--o| books : lent_to
    shelves {
        uuid id PK
        text name UK
        text[] tags
        bigint size "null"
    }
    books {
        uuid shelf PK, FK
        integer place PK
        uuid lent_to FK, UK "null"
        text isbn
    }
`+"```\n", mermaid(tables))
}

// TestTold: compose gives every service what it cannot do without.
func TestTold(t *testing.T) {
	t.Parallel()
	s := &shop{apps: []app{{
		App: listed("wishes", ""), doc: document{Settings: []setting{{Name: "KEY", Required: true}, {Name: "LIMIT", Default: "5"}}},
	}}}
	const file = "x-common: &common {%s: a}\nservices:\n  wishes:\n    environment:\n      <<: *common\n      PORT: 1\n"
	require.NoError(t, s.told(fmt.Sprintf(file, "KEY")))
	require.ErrorContains(t, s.told(fmt.Sprintf(file, "LIMIT")), "wishes needs the setting KEY")
}

func TestServiceNames(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "Returns", "my-returns", "edge", "edges", "1st", "../x", "a b", "orders", "redis", "audit"} {
		require.Error(t, scaffold("../..", bad), bad)
	}
}
