package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// statement is SQL that the source has: a whole statement, the beginning of one, or a condition that is put behind one.
type statement struct {
	at      string // file:line
	text    string // with … for what is put in
	pattern *regexp.Regexp
}

var (
	verb  = regexp.MustCompile(`^\(?(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|WHERE|VALUES)\b`)
	space = regexp.MustCompile(`\s+`)
	place = regexp.MustCompile(`\$\d+|@[a-z_0-9]+`)
	blank = regexp.MustCompile(`\$?%(\.\d+)?[a-z]|\{[a-z]+\}`) // what fmt puts in, or a strings.Replacer
)

// plain is SQL as it is compared: without line breaks, and with ? for every argument.
func plain(sql string) string {
	return strings.TrimSpace(space.ReplaceAllString(place.ReplaceAllString(sql, "?"), " "))
}

// statements finds the SQL in the Go files of dirs, tests left out.
func statements(root string, dirs ...string) ([]statement, error) {
	var all []statement
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			rel, err := filepath.Rel(root, file)
			if err != nil {
				return nil, err
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				parts, ok := literals(e)
				if !ok {
					return true
				}
				if s, ok := newStatement(rel+":"+strconv.Itoa(set.Position(e.Pos()).Line), parts); ok {
					all = append(all, s)
				}
				return false
			})
		}
	}
	return all, nil
}

// literals are the texts that an expression joins, "" for what it joins them with; ok is false for other expressions.
func literals(e ast.Expr) (parts []string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return nil, false
		}
		text, err := strconv.Unquote(e.Value)
		return []string{text}, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return nil, false
		}
		left, isLeft := literals(e.X)
		right, isRight := literals(e.Y)
		if !isLeft && !isRight {
			return nil, false
		}
		if !isLeft {
			left = []string{""}
		}
		if !isRight {
			right = []string{""}
		}
		return append(left, right...), true
	case *ast.ParenExpr:
		return literals(e.X)
	}
	return nil, false
}

func newStatement(at string, parts []string) (statement, bool) {
	var text, pattern strings.Builder
	for i, part := range parts {
		if part == "" {
			text.WriteString("…")
			pattern.WriteString("\x00")
			continue
		}
		if i == 0 {
			part = strings.TrimLeft(part, " \t\n")
		}
		text.WriteString(blank.ReplaceAllString(part, "…"))
		pattern.WriteString(blank.ReplaceAllString(part, "\x00"))
	}
	p := plain(pattern.String())
	if !verb.MatchString(p) || len(strings.Fields(p)) < 3 {
		return statement{}, false
	}
	p = strings.ReplaceAll(regexp.QuoteMeta(p), "\x00", `.*?`)
	return statement{at, plain(text.String()), regexp.MustCompile(p)}, true
}
