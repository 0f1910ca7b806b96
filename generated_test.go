package stampede_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the generated files")

// TestGenerated: what is written out of the code is as the code has it: each
// service's OpenAPI document, the shop's as one, docs/events.md and
// docs/problems.md. With -update it writes them.
func TestGenerated(t *testing.T) {
	files := map[string][]byte{}
	shop := map[string]any{
		"openapi": "3.1.0",
		"info":    map[string]any{"title": "Stampede", "version": "1", "description": "Every service of the shop. Log in with /api/v1/auth/login and use the access token."},
	}
	paths, schemas, responses := map[string]any{}, map[string]any{}, map[string]any{}
	declared := map[refusal][]string{}
	consumers := map[string][]string{}
	bin := t.TempDir()
	out, err := exec.Command("go", "build", "-o", bin, "./apps/...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, app := range apps(t) {
		run := exec.Command(filepath.Join(bin, app), "openapi")
		raw, err := run.Output()
		require.NoError(t, err, app)
		var doc map[string]any
		require.NoError(t, json.Unmarshal(raw, &doc), app)
		topics, _ := doc["x-consumes"].([]any)
		for _, topic := range topics {
			consumers[topic.(string)] = append(consumers[topic.(string)], app)
		}
		own, _ := doc["paths"].(map[string]any)
		if len(own) == 0 {
			continue // a face
		}
		files[filepath.Join("apps", app, "openapi.json")] = indent(t, doc)
		// In the shop's document the services' types keep apart.
		var renamed map[string]any
		text := strings.ReplaceAll(string(raw), `"#/components/schemas/`, `"#/components/schemas/`+app+".")
		text = strings.ReplaceAll(text, "#/components/schemas/"+app+".Problem\"", "#/components/schemas/Problem\"")
		require.NoError(t, json.Unmarshal([]byte(text), &renamed))
		components := renamed["components"].(map[string]any)
		all, _ := components["schemas"].(map[string]any)
		for name, schema := range all {
			if name != "Problem" {
				name = app + "." + name
			}
			schemas[name] = schema
		}
		general, _ := components["responses"].(map[string]any)
		maps.Copy(responses, general) // the same in every service
		for path, operations := range renamed["paths"].(map[string]any) {
			public := map[string]any{}
			for method, o := range operations.(map[string]any) {
				o := o.(map[string]any)
				for status, r := range o["responses"].(map[string]any) {
					note(declared, app, status, r.(map[string]any))
				}
				if o["x-neighbours"] == nil {
					o["tags"] = []string{app}
					public[method] = o
				}
			}
			if len(public) > 0 {
				paths[path] = public
			}
		}
		shop["components"] = map[string]any{"schemas": schemas, "responses": responses, "securitySchemes": components["securitySchemes"]}
	}
	shop["paths"] = paths
	files["docs/openapi.json"] = indent(t, shop)
	files["docs/events.md"] = eventsPage(t, consumers)
	for _, r := range responses {
		var described struct {
			Content map[string]struct {
				Schema struct {
					Properties struct{ Status struct{ Enum []int } }
				}
			}
		}
		require.NoError(t, json.Unmarshal(indent(t, r), &described))
		note(declared, "any", strconv.Itoa(described.Content["application/problem+json"].Schema.Properties.Status.Enum[0]), r.(map[string]any))
	}
	files["docs/problems.md"] = problemsPage(declared)

	for _, name := range slices.Sorted(maps.Keys(files)) {
		if *update {
			require.NoError(t, os.WriteFile(name, files[name], 0o644))
			continue
		}
		have, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(have, files[name]), "%s is not as the code has it: go test . -run TestGenerated -update", name)
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	require.NoError(t, e.Encode(v))
	return out.Bytes()
}

// eventsPage lists the topics with their fields, comments and consumers.
func eventsPage(t *testing.T, consumers map[string][]string) []byte {
	t.Helper()
	var page strings.Builder
	page.WriteString("# Events\nMade from `events/` and the services' subscriptions by `go test . -run TestGenerated -update`.\n\n" +
		"An event's topic is also its CloudEvent type. The CloudEvent's id is a UUIDv7 and unique to one sending; consumers know an order, a SKU or an account by the data.\n")
	files, err := filepath.Glob("events/*.go")
	require.NoError(t, err)
	consumed := maps.Clone(consumers)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		producer := strings.TrimSuffix(filepath.Base(file), ".go")
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		require.NoError(t, err)
		types := map[string]*ast.TypeSpec{}
		comments := map[string]string{}
		var order []string
		topics := map[string]string{}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok {
						types[ts.Name.Name] = ts
						comment := d.Doc.Text()
						if ts.Doc != nil {
							comment = ts.Doc.Text()
						}
						comments[ts.Name.Name] = comment
						order = append(order, ts.Name.Name)
					}
				}
			case *ast.FuncDecl:
				if d.Name.Name == "Topic" && d.Recv != nil {
					name := d.Recv.List[0].Type.(*ast.Ident).Name
					value := d.Body.List[0].(*ast.ReturnStmt).Results[0].(*ast.BasicLit).Value
					topics[name], err = strconv.Unquote(value)
					require.NoError(t, err)
				}
			}
		}
		if len(order) == 0 {
			continue
		}
		heading := "\n## " + producer + "\n"
		if len(topics) == 0 {
			heading = "\n## Shared shapes\n"
		}
		page.WriteString(heading)
		for _, name := range order {
			topic, isEvent := topics[name]
			if isEvent {
				by := "nobody yet"
				if len(consumers[topic]) > 0 {
					by = strings.Join(consumers[topic], ", ")
				}
				delete(consumed, topic)
				fmt.Fprintf(&page, "\n### %s\n%s\n\nConsumed by: %s.\n", topic, strings.TrimSpace(comments[name]), by)
			} else {
				fmt.Fprintf(&page, "\n### %s (shape)\n%s\n", name, strings.TrimSpace(comments[name]))
			}
			st, ok := types[name].Type.(*ast.StructType)
			if !ok || len(st.Fields.List) == 0 {
				continue
			}
			page.WriteString("\n| field | type | |\n|---|---|---|\n")
			for _, field := range st.Fields.List {
				if len(field.Names) == 0 {
					fmt.Fprintf(&page, "| all of %s | | |\n", source(field.Type))
					continue
				}
				tag := strings.Trim(field.Tag.Value, "`")
				_, tag, _ = strings.Cut(tag, `json:"`)
				tag, _, _ = strings.Cut(tag, `"`)
				tag, _, _ = strings.Cut(tag, ",")
				note := strings.TrimSpace(field.Comment.Text() + " " + field.Doc.Text())
				fmt.Fprintf(&page, "| `%s` | %s | %s |\n", tag, source(field.Type), strings.ReplaceAll(note, "\n", " "))
			}
		}
	}
	require.Empty(t, consumed, "consumed, but published by nobody")
	return []byte(page.String())
}

func source(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return source(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		return source(e.X) + " or null"
	case *ast.ArrayType:
		return "list of " + source(e.Elt)
	case *ast.MapType:
		return "map of " + source(e.Key) + " to " + source(e.Value)
	}
	return "object"
}

// refusal is a problem as a line of docs/problems.md.
type refusal struct{ slug, status, title string }

// note reads from a response of an operation which problems a service tells of.
func note(declared map[refusal][]string, app, status string, response map[string]any) {
	problems, _ := response["x-problems"].(map[string]any)
	for slug, title := range problems {
		r := refusal{slug, status, title.(string)}
		if !slices.Contains(declared[r], app) {
			declared[r] = append(declared[r], app)
		}
	}
}

// problemsPage lists every problem that the documents declare.
func problemsPage(declared map[refusal][]string) []byte {
	list := slices.SortedFunc(maps.Keys(declared), func(a, b refusal) int {
		return strings.Compare(a.slug+a.status+a.title, b.slug+b.status+b.title)
	})
	var page strings.Builder
	page.WriteString("# Problems\nEvery refusal is a document of type `application/problem+json` (RFC 9457): `type` is `urn:stampede:problem:` and the slug. " +
		"Which operation tells of which is in its OpenAPI document. Made from those documents by `go test . -run TestGenerated -update`.\n\n" +
		"| slug | status | title | told by |\n|---|---|---|---|\n")
	for _, r := range list {
		by := declared[r]
		if slices.Contains(by, "any") {
			by = []string{"any"}
		}
		slices.Sort(by)
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", r.slug, r.status, r.title, strings.Join(by, ", "))
	}
	return []byte(page.String())
}
