package stampede_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPools: only kit/pg makes pools, so that its limits hold everywhere.
func TestPools(t *testing.T) {
	t.Parallel()
	for _, file := range goFiles(t) {
		room, _, _ := strings.Cut(file, "/")
		tests := strings.HasPrefix(file, "kit/pgtest/") || strings.HasSuffix(file, "_test.go")
		if strings.HasPrefix(file, "kit/pg/") || tests || room != "apps" && room != "kit" {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, maker := range []string{"pgxpool.New", "sql.Open", "stdlib.OpenDB", "stdlib.OpenDBFromPool"} {
			if bytes.Contains(text, []byte(maker)) {
				t.Errorf("%s: only kit/pg makes pools: %s", file, maker)
			}
		}
	}
}

// TestNoPoolInTransactions: whoever has a transaction uses no pool, itself or
// by what it calls. Enough of them at once hold all connections and wait for
// one more, for ever; and they would not see what the transaction wrote.
func TestNoPoolInTransactions(t *testing.T) {
	t.Parallel()
	found := poolsInTransactions(t, loadPackages(t, "./apps/...", "./kit/..."))
	require.Empty(t, found, "a pool where there is a transaction")
}

// TestPoolsInTransactionsAreSeen: the test above sees each way to do it.
func TestPoolsInTransactionsAreSeen(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "example.go", `package example

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/pg"
)

type store struct{ db *pgxpool.Pool }

func (s *store) field(ctx context.Context, tx pgx.Tx) { _, _ = s.db.Exec(ctx, "") } // wrong

func argument(ctx context.Context, tx pgx.Tx, db *pgxpool.Pool) { read(ctx, db) } // wrong

func (s *store) closure(ctx context.Context) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		s.calls(ctx) // wrong
		return read(ctx, tx)
	})
}

func (s *store) calls(ctx context.Context) { s.deeper(ctx) }

func (s *store) deeper(ctx context.Context) { read(ctx, s.db) }

func read(ctx context.Context, q pg.Querier) error { return nil }
`, parser.ParseComments)
	require.NoError(t, err)
	p := pack{fset: fset, files: []*ast.File{file}}
	p.check(t, "example", exports(t, "./kit/pg"))
	require.ElementsMatch(t, []string{"example.go:14: field", "example.go:16: argument", "example.go:20: a closure calls calls"},
		poolsInTransactions(t, []pack{p}))
}

type pack struct {
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

// check finds out the types of a package.
func (p *pack) check(t *testing.T, path string, imports types.Importer) {
	t.Helper()
	p.info = &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	_, err := (&types.Config{Importer: imports}).Check(path, p.fset, p.files, p.info)
	require.NoError(t, err)
}

// goCommand is the go command. What it has to compile, it compiles as the apps are (dev/build.go), so that it is done once.
func goCommand(verb string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", append([]string{verb, "-tags=nodynamic"}, args...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd
}

// goList asks the go command for a line for each package of patterns.
func goList(t *testing.T, format string, args ...string) []string {
	t.Helper()
	var complaint bytes.Buffer
	cmd := goCommand("list", append([]string{"-f", format}, args...)...)
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	require.NoError(t, err, complaint.String())
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// exports imports what patterns depend on from what the compiler has made of it.
func exports(t *testing.T, patterns ...string) types.Importer {
	t.Helper()
	compiled := map[string]string{}
	for _, line := range goList(t, "{{.ImportPath}} {{.Export}}", append([]string{"-export", "-deps"}, patterns...)...) {
		path, file, _ := strings.Cut(line, " ")
		compiled[path] = file
	}
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(compiled[path]) })
}

func loadPackages(t *testing.T, patterns ...string) []pack {
	t.Helper()
	imports := exports(t, patterns...)
	var packs []pack
	for _, line := range goList(t, `{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}`, patterns...) {
		fields := strings.Fields(line)
		p := pack{fset: token.NewFileSet()}
		for _, name := range fields[2:] {
			file, err := parser.ParseFile(p.fset, filepath.Join(fields[1], name), nil, 0)
			require.NoError(t, err)
			p.files = append(p.files, file)
		}
		p.check(t, fields[0], imports)
		packs = append(packs, p)
	}
	return packs
}

const (
	poolType = "*github.com/jackc/pgx/v5/pgxpool.Pool"
	txType   = "github.com/jackc/pgx/v5.Tx"
)

// poolsInTransactions lists where a function that has a transaction uses a
// pool, or calls one that does.
func poolsInTransactions(t *testing.T, packs []pack) (found []string) {
	t.Helper()
	// Who calls whom, and who uses a pool, by full name.
	uses, calls := map[string]bool{}, map[string][]string{}
	for _, p := range packs {
		for _, f := range p.files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil || p.hasTx(fn.Type) {
					continue
				}
				name := p.info.Defs[fn.Name].(*types.Func).FullName()
				p.walk(fn.Body, func(_ ast.Node) { uses[name] = true }, func(_ ast.Node, callee string) { calls[name] = append(calls[name], callee) })
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for name, callees := range calls {
			for _, callee := range callees {
				if uses[callee] && !uses[name] {
					uses[name], changed = true, true
				}
			}
		}
	}
	for _, p := range packs {
		at := func(n ast.Node, name, what string) {
			place := p.fset.Position(n.Pos())
			found = append(found, fmt.Sprintf("%s:%d: %s%s", place.Filename, place.Line, name, what))
		}
		for _, f := range p.files {
			ast.Inspect(f, func(n ast.Node) bool {
				var body *ast.BlockStmt
				name := "a closure"
				switch n := n.(type) {
				case *ast.FuncDecl:
					if p.hasTx(n.Type) {
						body, name = n.Body, n.Name.Name
					}
				case *ast.FuncLit:
					if p.hasTx(n.Type) {
						body = n.Body
					}
				}
				if body == nil {
					return true
				}
				p.walk(body, func(n ast.Node) { at(n, name, "") }, func(n ast.Node, callee string) {
					if uses[callee] {
						at(n, name, " calls "+callee[strings.LastIndex(callee, ".")+1:])
					}
				})
				return true
			})
		}
	}
	return found
}

func (p *pack) hasTx(fn *ast.FuncType) bool {
	for _, param := range fn.Params.List {
		if p.info.Types[param.Type].Type.String() == txType {
			return true
		}
	}
	return false
}

// walk reports uses of pools and calls in body, without those in closures that
// have a transaction of their own.
func (p *pack) walk(body ast.Node, pool func(ast.Node), call func(n ast.Node, callee string)) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return !p.hasTx(n.Type)
		case *ast.CallExpr:
			var id *ast.Ident
			switch f := ast.Unparen(n.Fun).(type) {
			case *ast.Ident:
				id = f
			case *ast.SelectorExpr:
				id = f.Sel
			}
			if fn, ok := p.info.Uses[id].(*types.Func); ok {
				if strings.HasSuffix(fn.FullName(), "kit/pg.OnEnd") {
					return false // what follows the transaction
				}
				call(n, fn.Origin().FullName())
			}
		case *ast.SelectorExpr:
			if t := p.info.Types[n].Type; t != nil && t.String() == poolType && p.info.Types[n].IsValue() {
				pool(n)
				return false
			}
		case *ast.Ident:
			if v, ok := p.info.Uses[n].(*types.Var); ok && v.Type().String() == poolType && !v.IsField() {
				pool(n)
			}
		}
		return true
	})
}
