package stampede_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// room is a service as its files show it, tests left out.
type room struct {
	t         *testing.T
	app       string
	keeps     bool // it has a database
	face      bool // it shows pages
	set       *token.FileSet
	files     map[string]*ast.File                // by base name
	functions map[string]*ast.FuncDecl            // "newService", "service.routes"
	structs   map[string]*ast.StructType          // by name
	at        map[string]string                   // in which file a function or type stands
	calls     map[string]map[*ast.CallExpr]string // by what is called, "sub.On": in which function
}

func openRoom(t *testing.T, app string) *room {
	t.Helper()
	r := &room{
		t: t, app: app, set: token.NewFileSet(), files: map[string]*ast.File{}, functions: map[string]*ast.FuncDecl{},
		structs: map[string]*ast.StructType{}, at: map[string]string{}, calls: map[string]map[*ast.CallExpr]string{},
	}
	dir := filepath.Join("apps", app)
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	r.keeps, r.face = exists("migrations"), exists("pages")
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, path := range paths {
		base := filepath.Base(path)
		if strings.HasSuffix(base, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(r.set, path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		r.files[base] = file
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					name = strings.TrimPrefix(r.text(d.Recv.List[0].Type), "*") + "." + name
				}
				r.functions[name], r.at[name] = d, base
				ast.Inspect(d, func(n ast.Node) bool {
					if c, ok := n.(*ast.CallExpr); ok {
						called := r.text(c.Fun)
						called, _, _ = strings.Cut(called, "[")
						if r.calls[called] == nil {
							r.calls[called] = map[*ast.CallExpr]string{}
						}
						r.calls[called][c] = name
					}
					return true
				})
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok {
						if st, ok := ts.Type.(*ast.StructType); ok {
							r.structs[ts.Name.Name], r.at[ts.Name.Name] = st, base
						}
					}
				}
			}
		}
	}
	return r
}

func (r *room) text(n ast.Node) string {
	var b strings.Builder
	_ = printer.Fprint(&b, r.set, n)
	return b.String()
}

// wants reports what the room lacks.
func (r *room) wants(ok bool, format string, a ...any) {
	r.t.Helper()
	if !ok {
		r.t.Errorf("apps/%s: "+format, append([]any{r.app}, a...)...)
	}
}

// function demands a function with this signature in this file.
func (r *room) function(name, file, signature string) {
	r.t.Helper()
	f, ok := r.functions[name]
	if !ok {
		r.wants(false, "has no %s", name)
		return
	}
	r.wants(r.at[name] == file, "%s belongs into %s", name, file)
	got := strings.TrimPrefix(r.text(f.Type), "func")
	r.wants(got == signature, "%s%s should be %s%s", name, got, name, signature)
}

// fields lists a struct's fields as "name type".
func (r *room) fields(name string) []string {
	var list []string
	if st, ok := r.structs[name]; ok {
		for _, f := range st.Fields.List {
			for _, n := range f.Names {
				list = append(list, n.Name+" "+r.text(f.Type))
			}
			if f.Names == nil {
				list = append(list, r.text(f.Type))
			}
		}
	}
	return list
}

// TestShape: every service has the same rooms and the same doors, so that who
// knows one finds his way in all. See CONTRIBUTING.md.
func TestShape(t *testing.T) {
	t.Parallel()
	known := apps(t)
	for _, app := range known {
		r := openRoom(t, app)
		require.FileExists(t, filepath.Join("apps", app, "README.md"))
		for _, file := range []string{"main.go", "http.go"} {
			r.wants(r.files[file] != nil, "has no %s", file)
		}

		// main.go: the one line of main, settings, service, newService.
		begin, signature := fmt.Sprintf("serve.Main(%q, newService)", app), "(rt *serve.Runtime, set settings) (*service, error)"
		if r.keeps {
			begin, signature = fmt.Sprintf("serve.MainWithDatabase(%q, migrations, newService)", app), "(rt *serve.Runtime, db *pgxpool.Pool, set settings) (*service, error)"
		}
		r.function("main", "main.go", "()")
		if body := r.functions["main"].Body.List; len(body) != 1 || r.text(body[0]) != begin {
			r.wants(false, "main should be { %s }", begin)
		}
		r.function("newService", "main.go", signature)
		router := "(api huma.API)"
		if r.face {
			router = "(r chi.Router)"
		}
		r.function("service.routes", "http.go", router)
		for _, name := range []string{"settings", "service"} {
			r.wants(r.at[name] == "main.go", "type %s belongs into main.go", name)
		}
		r.wants(slices.Contains(r.fields("service"), "settings settings"), "service has no field settings")
		const clock = "now func() time.Time"
		clocks := slices.Contains(r.fields("service"), clock) != slices.Contains(r.fields("store"), clock)
		r.wants(clocks, "one of service and store has the field now")
		r.checkSettings()

		// Subscriptions and background work, each in one place.
		for _, subscription := range []string{"sub.On", "sub.OnBatch", "sub.OnDirect"} {
			for c, in := range r.calls[subscription] {
				r.wants(in == "service.subscribe", "%s: %s belongs into service.subscribe", r.set.Position(c.Pos()), subscription)
			}
		}
		if _, ok := r.functions["service.subscribe"]; ok {
			r.function("service.subscribe", "subscribe.go", "(subs *sub.Subscriber)")
		}
		for _, worker := range []string{"rt.Go", "rt.Missed"} {
			for c, in := range r.calls[worker] {
				r.wants(in == "service.work", "%s: %s belongs into service.work", r.set.Position(c.Pos()), worker)
			}
		}
		if _, ok := r.functions["service.work"]; ok {
			r.function("service.work", "work.go", "(rt *serve.Runtime)")
		}

		// Records.
		if r.keeps {
			fields := r.fields("store")
			r.wants(len(fields) > 0 && fields[0] == "db *pgxpool.Pool", "type store should begin with db *pgxpool.Pool")
			for _, f := range fields[min(1, len(fields)):] {
				known := f == "settings settings" || f == "now func() time.Time" || strings.HasPrefix(f, "tell func(") ||
					strings.Contains(f, " *gather.Gatherer[") || f == "passed passedBy"
				r.wants(known, "store keeps db, and where it needs them settings, now, gatherers, whom to tell, what it passed; not %s", f)
			}
			r.wants(r.at["store"] == "store.go", "type store belongs into store.go")
		}

		// Neighbours: whoever is asked has a type of the same name, in a file of the same name. A face asks all of them in
		// one place, as the visitor that it serves.
		if r.face {
			ask := "(ctx context.Context, app, method, path string, in, out any, opts ...dapr.CallOption) error"
			r.function("service.call", "call.go", ask)
		}
		for c, in := range r.calls {
			if !strings.HasSuffix(c, ".Call") && c != "dapr.CallEach" && c != "feed.From" {
				continue
			}
			for call := range in {
				if r.face {
					r.wants(in[call] == "service.call", "%s: %s; use service.call", r.set.Position(call.Pos()), c)
				} else {
					r.checkNeighbour(call, in[call], known)
				}
			}
		}

		// One clock, and no way around the settings.
		for _, forbidden := range []string{"time.Now", "time.Since", "os.Getenv", "os.LookupEnv", "os.Exit"} {
			for c := range r.calls[forbidden] {
				r.wants(false, "%s: %s; use the service's now and settings", r.set.Position(c.Pos()), forbidden)
			}
		}
		for _, file := range r.files {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && r.text(s) == "time.Now" {
					r.wants(false, "%s: time.Now; use rt.Now", r.set.Position(s.Pos()))
				}
				return true
			})
		}
	}
}

// checkSettings demands that each setting can be read and is described.
func (r *room) checkSettings() {
	st, ok := r.structs["settings"]
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		if f.Names == nil {
			continue
		}
		var tag reflect.StructTag
		if f.Tag != nil {
			text, _ := strconv.Unquote(f.Tag.Value)
			tag = reflect.StructTag(text)
		}
		r.wants(tag.Get("env") != "" && tag.Get("doc") != "", "setting %s needs the tags env and doc", f.Names[0].Name)
	}
}

// checkNeighbour demands that a call of another service is made by the type
// that stands for it.
func (r *room) checkNeighbour(call *ast.CallExpr, in string, known []string) {
	at := r.set.Position(call.Pos())
	for _, arg := range call.Args {
		lit, ok := arg.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			continue
		}
		name, _ := strconv.Unquote(lit.Value)
		if !slices.Contains(known, name) {
			continue
		}
		by, _, _ := strings.Cut(in, ".")
		r.wants(by == name, "%s asks %s in %s: a method of type %s should", at, name, in, name)
		r.wants(filepath.Base(at.Filename) == name+".go", "%s: asking %s belongs into %s.go", at, name, name)
		return
	}
}

// TestEnvironment: the environment is read, and the process ended, in one place.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	banned := regexp.MustCompile(`\bos\.(Getenv|LookupEnv|Environ|Exit)\(`)
	allowed := []string{"kit/serve/main.go", "kit/settings/settings.go", "kit/pgtest/pgtest.go", "drop/verify/main.go", "drop/sim/main.go"}
	for _, file := range goFiles(t) {
		place, _, _ := strings.Cut(file, "/")
		if place != "kit" && place != "apps" && place != "pricing" && place != "drop" && place != "events" || strings.HasSuffix(file, "_test.go") || slices.Contains(allowed, file) {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if found := banned.FindString(string(text)); found != "" {
			t.Errorf("%s has %s: settings are read by kit/settings", file, found)
		}
	}
}

// TestNamedArguments: a statement with more than six arguments names them, so that nobody counts.
func TestNamedArguments(t *testing.T) {
	t.Parallel()
	seventh := regexp.MustCompile(`\$7\b`)
	for _, file := range goFiles(t) {
		if !strings.HasPrefix(file, "apps/") && !strings.HasPrefix(file, "kit/outbox") && !strings.HasPrefix(file, "kit/sub") && !strings.HasPrefix(file, "kit/feed") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if seventh.Match(text) {
			t.Errorf("%s has a statement with more than six arguments: use pgx.StrictNamedArgs", file)
		}
	}
}

// longLines is how many lines of Go have more than 140 columns. It only ever becomes less.
const longLines = 893

// TestLongLines: what is touched is broken into lines of 140 columns.
func TestLongLines(t *testing.T) {
	t.Parallel()
	n := 0
	for _, file := range goFiles(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for line := range strings.SplitSeq(string(text), "\n") {
			if len([]rune(strings.ReplaceAll(line, "\t", "    "))) > 140 {
				n++
			}
		}
	}
	if n > longLines {
		t.Errorf("%d lines have more than 140 columns (a tab is four), %d were allowed: break the new ones", n, longLines)
	} else if n < longLines {
		t.Errorf("only %d lines have more than 140 columns: write that into longLines", n)
	}
}
