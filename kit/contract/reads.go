package contract

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Reads tells in what a consumer's own view of an answer differs from what the
// operation answers when it succeeds: each member that view reads must be
// there, and be of a type that it can hold. The answer may have more. A view that
// serves several answers names what this one does without, such as
// "items[].address.id".
func (d *Document) Reads(method, template string, view any, without ...string) error {
	schema, err := d.success(method, template)
	if err != nil {
		return err
	}
	r := reader{document: d, without: map[string]bool{}}
	for _, name := range without {
		r.without["answer."+strings.TrimPrefix(name, "answer.")] = false
	}
	r.compare("answer", schema, reflect.TypeOf(view))
	for name, lacking := range r.without {
		if !lacking {
			r.differ(name, "is there, or not read at all")
		}
	}
	if len(r.wrong) > 0 {
		return fmt.Errorf("%s of %s %s: %w", d.name, method, template, errors.Join(r.wrong...))
	}
	return nil
}

type reader struct {
	document *Document
	wrong    []error
	without  map[string]bool // by place; true once it was missing
	inside   []reflect.Type  // that types hold themselves does not matter
}

var (
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonType = reflect.TypeFor[json.Unmarshaler]()
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

func (r *reader) differ(at, format string, a ...any) {
	r.wrong = append(r.wrong, fmt.Errorf("%s %s", at, fmt.Sprintf(format, a...)))
}

// compare holds a Go type to a schema.
func (r *reader) compare(at string, schema map[string]any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	schema = r.document.follow(schema)
	kinds := types(schema)
	if t == rawType || t.Kind() == reflect.Interface || len(kinds) == 0 {
		return // it takes, or the document promises, anything
	}
	want := func(ok bool, kind string) {
		if !ok {
			r.differ(at, "is read as %s (%s), and is %s", kind, t, strings.Join(kinds, " or "))
		}
	}
	is := func(kind string) bool { return slices.Equal(kinds, []string{kind}) }
	pointer := reflect.PointerTo(t)
	switch {
	case t == timeType:
		want(is("string") && schema["format"] == "date-time", "a time")
	case pointer.Implements(textType):
		want(is("string"), "a text")
	case pointer.Implements(jsonType):
		// it reads itself
	case t.Kind() == reflect.String:
		want(is("string"), "a text")
	case t.Kind() == reflect.Bool:
		want(is("boolean"), "a yes or no")
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64:
		want(is("integer"), "a whole number")
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		want(is("number") || is("integer"), "a number")
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		if want(is("array"), "a list"); is("array") {
			r.compare(at+"[]", object(schema["items"]), t.Elem())
		}
	case t.Kind() == reflect.Map:
		if want(is("object"), "an object"); is("object") {
			r.compare(at+"{}", object(schema["additionalProperties"]), t.Elem())
		}
	case t.Kind() == reflect.Struct:
		if want(is("object"), "an object"); is("object") && !slices.Contains(r.inside, t) {
			r.inside = append(r.inside, t)
			r.members(at, object(schema["properties"]), t)
			r.inside = r.inside[:len(r.inside)-1]
		}
	default:
		r.differ(at, "cannot be read as %s", t)
	}
}

// members holds the fields of a struct to the properties of an object.
func (r *reader) members(at string, properties map[string]any, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-":
			continue
		case name == "" && f.Anonymous && inner.Kind() == reflect.Struct:
			r.members(at, properties, inner)
			continue
		case !f.IsExported():
			continue
		case name == "": // encoding/json takes any case then
			name = f.Name
			for property := range properties {
				if strings.EqualFold(property, name) {
					name = property
				}
			}
		}
		property, ok := properties[name].(map[string]any)
		if _, may := r.without[at+"."+name]; !ok && may {
			r.without[at+"."+name] = true
			continue
		}
		if !ok {
			r.differ(at, "has no member %q, which %s.%s reads", name, t, f.Name)
			continue
		}
		r.compare(at+"."+name, property, f.Type)
	}
}
