// Package pagetest checks the templates of a face against the types of what
// they are given.
package pagetest

import (
	"html/template"
	"reflect"
	"testing"

	"github.com/jba/templatecheck"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/page"
)

// Check fails the test for whatever a template asks of a view that the view
// does not have: fields, methods, functions and the types of their arguments,
// in the page, in the layout around it and in the parts that they use. meta is
// the face's [page.View.Meta]. The pages must not have been shown yet: the
// first time changes the templates.
func Check(t *testing.T, p *page.Pages, meta any) {
	t.Helper()
	pages, parts := p.Templates()
	for name := range pages {
		require.Contains(t, p.Views, name, "the page has no view")
	}
	for name, data := range p.Views {
		root, dot := parts.Lookup(name), data
		if page, ok := pages[name]; ok {
			root, dot = page.Lookup("layout"), viewOf(meta, data)
		}
		require.NotNil(t, root, "the view of %s has no template", name)
		require.NoError(t, check(root, dot), name)
	}
}

func check(t *template.Template, dot any) error { return templatecheck.CheckHTMLStrict(t, dot) }

// viewOf is a [page.View] whose Meta and Data have the types of meta and data.
func viewOf(meta, data any) any {
	var fields []reflect.StructField
	for _, f := range reflect.VisibleFields(reflect.TypeFor[page.View]()) {
		if f.Name == "Meta" {
			f.Type = reflect.TypeOf(meta)
		}
		if f.Name == "Data" && data != nil {
			f.Type = reflect.TypeOf(data)
		}
		fields = append(fields, reflect.StructField{Name: f.Name, Type: f.Type})
	}
	return reflect.New(reflect.StructOf(fields)).Elem().Interface()
}
