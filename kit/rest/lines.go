package rest

import (
	"reflect"
	"strings"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/text"
)

// line is a field of an input that holds a line of text, tagged `text:"line"`. It is cleaned by text.Line before the
// operation sees it. One with a minLength must have something visible in it.
type line struct {
	index    []int // from the input on
	location string
	required bool
}

// linesOf finds the lines of an input, also in structs within it. It panics for a tag where it has no effect.
func linesOf(input reflect.Type) []line {
	var found []line
	within := map[reflect.Type]bool{} // a type may hold itself
	var walk func(t reflect.Type, index []int, at string)
	walk = func(t reflect.Type, index []int, at string) {
		if within[t] {
			return
		}
		within[t] = true
		defer delete(within, t)
		for _, f := range reflect.VisibleFields(t) {
			if len(f.Index) > 1 || !f.IsExported() { // promoted: seen through its own struct
				continue
			}
			here := append(index[:len(index):len(index)], f.Index...)
			name := strings.TrimPrefix(at+"."+strings.ToLower(f.Name), ".")
			if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" {
				name = at + "." + tag
			}
			if f.Anonymous {
				name = at
			}
			kind := f.Type
			if kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			_, tagged := f.Tag.Lookup("text")
			switch {
			case tagged && kind.Kind() == reflect.String:
				found = append(found, line{here, name, f.Tag.Get("minLength") != "" && f.Tag.Get("minLength") != "0"})
			case tagged:
				panic("rest: " + t.String() + "." + f.Name + " is no line of text")
			case kind.Kind() == reflect.Struct:
				walk(kind, here, name)
			}
		}
	}
	walk(input, nil, "")
	return found
}

// cleanLines cleans the lines of an input in place. Errors: `invalid` with each field that is wrong.
func cleanLines(lines []line, input reflect.Value) error {
	wrong := problem.ErrInvalid
	for _, l := range lines {
		field, err := input.FieldByIndexErr(l.index)
		if err != nil {
			continue // within what was left out
		}
		if field.Kind() == reflect.Pointer {
			if field.IsNil() {
				continue
			}
			field = field.Elem()
		}
		clean, ok := text.Line(field.String())
		switch {
		case !ok:
			wrong = wrong.Field(l.location, problem.CodeWrongFormat, "must be one line of text")
		case clean == "" && l.required:
			wrong = wrong.Field(l.location, problem.CodeRequired, "must not be empty")
		}
		field.SetString(clean)
	}
	if len(wrong.Fields()) > 0 {
		return wrong
	}
	return nil
}
