package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// events writes docs/events.md: the topics with their fields, comments and
// consumers.
func (s *shop) events(g *generated) error {
	consumers := map[string][]string{}
	for _, a := range s.services() {
		for _, topic := range a.doc.Consumes {
			consumers[topic] = append(consumers[topic], a.ID)
		}
	}
	for _, names := range consumers {
		slices.Sort(names)
	}
	var page strings.Builder
	page.WriteString("# Events\nMade from `events/` and the services' subscriptions by `make generate`.\n\n" +
		"An event's topic is also its CloudEvent type. The CloudEvent's id is a UUIDv7 and unique to one sending; consumers know an order, a SKU or an account by the data.\n")
	files, err := filepath.Glob(filepath.Join(s.root, "events", "*.go"))
	if err != nil {
		return err
	}
	published := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		p, err := readProducer(file)
		if err != nil {
			return err
		}
		p.write(&page, consumers)
		for _, topic := range p.topics {
			published[topic] = true
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(consumers)) {
		if !published[topic] {
			return fmt.Errorf("%s is consumed by %s and published by nobody", topic, strings.Join(consumers[topic], ", "))
		}
	}
	g.put("docs/events.md", page.String())
	return nil
}

// producer is a file of events/.
type producer struct {
	name     string
	order    []string // of types
	types    map[string]*ast.TypeSpec
	comments map[string]string
	topics   map[string]string // by type
}

func readProducer(file string) (*producer, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	p := &producer{
		name:  strings.TrimSuffix(filepath.Base(file), ".go"),
		types: map[string]*ast.TypeSpec{}, comments: map[string]string{}, topics: map[string]string{},
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				comment := d.Doc.Text()
				if ts.Doc != nil {
					comment = ts.Doc.Text()
				}
				p.types[ts.Name.Name], p.comments[ts.Name.Name] = ts, comment
				p.order = append(p.order, ts.Name.Name)
			}
		case *ast.FuncDecl:
			if d.Name.Name != "Topic" || d.Recv == nil {
				continue
			}
			topic, err := returned(d)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			p.topics[source(d.Recv.List[0].Type)] = topic
		}
	}
	return p, nil
}

// returned is the text that a function of one statement returns.
func returned(d *ast.FuncDecl) (string, error) {
	if len(d.Body.List) == 1 {
		if ret, ok := d.Body.List[0].(*ast.ReturnStmt); ok && len(ret.Results) == 1 {
			if lit, ok := ret.Results[0].(*ast.BasicLit); ok {
				return strconv.Unquote(lit.Value)
			}
		}
	}
	return "", errors.New("Topic() returns something else than a text in quotes")
}

func (p *producer) write(page *strings.Builder, consumers map[string][]string) {
	if len(p.order) == 0 {
		return
	}
	heading := "\n## " + p.name + "\n"
	if len(p.topics) == 0 {
		heading = "\n## Shared shapes\n"
	}
	page.WriteString(heading)
	for _, name := range p.order {
		if topic, isEvent := p.topics[name]; isEvent {
			by := "nobody yet"
			if len(consumers[topic]) > 0 {
				by = strings.Join(consumers[topic], ", ")
			}
			fmt.Fprintf(page, "\n### %s\n%s\n\nConsumed by: %s.\n", topic, strings.TrimSpace(p.comments[name]), by)
		} else {
			fmt.Fprintf(page, "\n### %s (shape)\n%s\n", name, strings.TrimSpace(p.comments[name]))
		}
		st, ok := p.types[name].Type.(*ast.StructType)
		if !ok || len(st.Fields.List) == 0 {
			continue
		}
		page.WriteString("\n| field | type | |\n|---|---|---|\n")
		for _, field := range st.Fields.List {
			if len(field.Names) == 0 {
				fmt.Fprintf(page, "| all of %s | | |\n", source(field.Type))
				continue
			}
			tag := strings.Trim(field.Tag.Value, "`")
			_, tag, _ = strings.Cut(tag, `json:"`)
			tag, _, _ = strings.Cut(tag, `"`)
			tag, _, _ = strings.Cut(tag, ",")
			note := strings.TrimSpace(field.Comment.Text() + " " + field.Doc.Text())
			fmt.Fprintf(page, "| `%s` | %s | %s |\n", tag, source(field.Type), strings.ReplaceAll(note, "\n", " "))
		}
	}
}

// source says a type, or the name of a function, in words.
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
