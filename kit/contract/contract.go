// Package contract holds requests and answers to the OpenAPI document of the
// service that they are for, or from. It is for tests.
package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Document is an OpenAPI document, 3.1: its schemas are JSON Schema 2020-12.
type Document struct {
	name       string
	operations []operation
	root       map[string]any

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by their place in the document
}

type operation struct {
	method, template string
	place            string // its JSON pointer
	spec             map[string]any
}

// String names the operation as people do.
func (o operation) String() string { return o.method + " " + o.template }

const resource = "document.json"

// Parse reads a document; name is for messages.
func Parse(name string, data []byte) (*Document, error) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("contract of %s: %w", name, err)
	}
	root, ok := parsed.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("contract of %s: not an object", name)
	}
	d := &Document{name: name, root: root, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(resource, root); err != nil {
		return nil, fmt.Errorf("contract of %s: %w", name, err)
	}
	for template, item := range object(root["paths"]) {
		for method, spec := range object(item) {
			d.operations = append(d.operations, operation{
				strings.ToUpper(method), template, "/paths/" + escape(template) + "/" + method, object(spec),
			})
		}
	}
	// Of /orders/figures and /orders/{id} the first is meant: "{" comes after letters.
	slices.SortFunc(d.operations, func(a, b operation) int { return strings.Compare(a.template, b.template) })
	return d, nil
}

var read struct {
	sync.Mutex
	known map[string]*Document
}

// Of is the document of a service of this repository, as it is checked in.
func Of(service string) (*Document, error) {
	return open(service, filepath.Join("apps", service, "openapi.json"))
}

// Public is the document of the whole shop as clients see it, as it is checked
// in.
func Public() (*Document, error) { return open("the shop", filepath.Join("docs", "openapi.json")) }

// open reads a document of the repository that this process runs in, once.
func open(name, file string) (*Document, error) {
	read.Lock()
	defer read.Unlock()
	if d := read.known[file]; d != nil {
		return d, nil
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("contract of %s: %w", name, err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.work")); err == nil {
			break
		}
		up := filepath.Dir(root)
		if up == root {
			return nil, fmt.Errorf("contract of %s: not inside the repository", name)
		}
		root = up
	}
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, fmt.Errorf("contract of %s: %w (make generate writes it)", name, err)
	}
	d, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	if read.known == nil {
		read.known = map[string]*Document{}
	}
	read.known[file] = d
	return d, nil
}

// Empty reports whether the document has no operation, as those of faces.
func (d *Document) Empty() bool { return len(d.operations) == 0 }

// find is the operation of a method and a path, which may have a query. A HEAD
// is a GET.
func (d *Document) find(method, target string) (operation, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path, _, _ := strings.Cut(target, "?")
	for _, o := range d.operations {
		if _, fits := match(o.template, path); fits && o.method == method {
			return o, true
		}
	}
	return operation{}, false
}

// match tells whether a path is of a template, and what stands for its names.
func match(template, path string) (map[string]string, bool) {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return nil, false
	}
	values := map[string]string{}
	for i := range want {
		if name, ok := strings.CutPrefix(want[i], "{"); ok {
			value, err := url.PathUnescape(got[i])
			if err != nil || value == "" {
				return nil, false
			}
			values[strings.TrimSuffix(name, "}")] = value
		} else if want[i] != got[i] {
			return nil, false
		}
	}
	return values, true
}

// Is reports whether a method and a path mean the operation of a template, and
// not of one that fits better.
func (d *Document) Is(method, path, template string) bool {
	o, ok := d.find(method, path)
	return ok && o.template == template
}

// Values are what stands in a path for the names of a template; nil when the
// path is not of it.
func Values(template, path string) map[string]string {
	values, _ := match(template, path)
	return values
}

// Knows reports whether there is an operation of a method and a path's template.
func (d *Document) Knows(method, template string) bool {
	return slices.ContainsFunc(d.operations, func(o operation) bool { return o.method == method && o.template == template })
}

// Personal reports whether an operation answers to who shows a token, so that no cache may keep what it answers.
func (d *Document) Personal(method, target string) bool {
	o, ok := d.find(method, target)
	security, _ := o.spec["security"].([]any)
	return ok && len(security) > 0
}

// Admits tells what keeps a service from an operation: those for neighbours
// name them.
func (d *Document) Admits(caller, method, target string) error {
	o, ok := d.find(method, target)
	if !ok {
		return fmt.Errorf("%s has no operation %s %s", d.name, method, target)
	}
	neighbours, internal := o.spec["x-neighbours"].([]any)
	if internal && !slices.Contains(neighbours, any(caller)) {
		return fmt.Errorf("%s lets %v call %s, and not %s", d.name, neighbours, o, caller)
	}
	return nil
}

// Request tells what is wrong with a request: an operation that there is not, a
// parameter or a body that the document refuses, or a query parameter that it
// does not know.
func (d *Document) Request(method, target string, header http.Header, body []byte) error {
	o, ok := d.find(method, target)
	if !ok {
		return fmt.Errorf("%s has no operation %s %s", d.name, method, target)
	}
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("request %s %s to %s: %s", method, target, d.name, fmt.Sprintf(format, a...))
	}
	path, query, _ := strings.Cut(target, "?")
	inPath, _ := match(o.template, path)
	inQuery, err := url.ParseQuery(query)
	if err != nil {
		return wrong("%s", err)
	}
	parameters, _ := o.spec["parameters"].([]any)
	known := map[string]bool{}
	for i, p := range parameters {
		p := object(p)
		name, _ := p["name"].(string)
		var values []string
		switch p["in"] {
		case "path":
			values = []string{inPath[name]}
		case "query":
			known[name] = true
			values = inQuery[name]
		case "header":
			values = header.Values(name)
		}
		if len(values) == 0 || (len(values) == 1 && values[0] == "") {
			if p["required"] == true {
				return wrong("the %s parameter %s is missing", p["in"], name)
			}
			continue
		}
		if err := d.validate(o.place+"/parameters/"+strconv.Itoa(i)+"/schema", parse(object(p["schema"]), values)); err != nil {
			return wrong("the %s parameter %s: %s", p["in"], name, err)
		}
	}
	for name := range inQuery {
		if !known[name] {
			return wrong("it knows no query parameter %s", name)
		}
	}
	wanted, takes := o.spec["requestBody"].(map[string]any)
	switch {
	case !takes && len(body) > 0:
		return wrong("it takes no body")
	case !takes:
		return nil
	case len(body) == 0 && wanted["required"] == true:
		return wrong("the body is missing")
	case len(body) == 0:
		return nil
	}
	if err := d.content(o.place+"/requestBody", wanted, header, body); err != nil {
		return wrong("%s", err)
	}
	return nil
}

// Answer tells what is wrong with an answer: a status that is not declared, or
// a body of another kind or shape than that status has, its problem's slug
// included. Where there is no operation, only a refusal can be right.
func (d *Document) Answer(method, target string, status int, header http.Header, body []byte) error {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("answer of %s to %s %s: %d %.500s: %s", d.name, method, target, status, body, fmt.Sprintf(format, a...))
	}
	o, ok := d.find(method, target)
	if !ok {
		switch status {
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			return nil
		}
		return wrong("there is no such operation")
	}
	key := strconv.Itoa(status)
	place := o.place + "/responses/" + key
	response, declared := object(o.spec["responses"])[key].(map[string]any)
	if !declared {
		return wrong("the status is not declared")
	}
	if ref, ok := response["$ref"].(string); ok {
		place = strings.TrimPrefix(ref, "#")
		response = object(d.at(place))
	}
	if method == http.MethodHead {
		body = nil
	}
	_, some := response["content"]
	switch {
	case !some && len(body) > 0:
		return wrong("no body is declared")
	case !some || method == http.MethodHead:
		return nil
	}
	if err := d.content(place, response, header, body); err != nil {
		return wrong("%s", err)
	}
	return nil
}

// content holds a body to the contents that stand at a place.
func (d *Document) content(place string, of map[string]any, header http.Header, body []byte) error {
	kinds := object(of["content"])
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("the Content-Type %q: %w", header.Get("Content-Type"), err)
	}
	media, declared := kinds[kind].(map[string]any)
	if !declared {
		return fmt.Errorf("the Content-Type is %s, which is not declared", kind)
	}
	if media["schema"] == nil || (kind != "application/json" && !strings.HasSuffix(kind, "+json")) {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return d.validate(place+"/content/"+escape(kind)+"/schema", value)
}

// validate holds a value to the schema at a place.
func (d *Document) validate(place string, value any) error {
	schema, err := d.compile(place)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// compile is the schema at a place, made ready once.
func (d *Document) compile(place string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if schema := d.schemas[place]; schema != nil {
		return schema, nil
	}
	schema, err := d.compiler.Compile(resource + "#" + (&url.URL{Fragment: place}).EscapedFragment())
	if err != nil {
		return nil, fmt.Errorf("the document's schema at %s: %w", place, err)
	}
	d.schemas[place] = schema
	return schema, nil
}

// Valid tells which of the document's schemas is none, or refers to nothing.
func (d *Document) Valid() error {
	var wrong []error
	var look func(place string, v any)
	look = func(place string, v any) {
		for name, inner := range object(v) {
			at := place + "/" + escape(name)
			if name == "schema" || strings.HasPrefix(place, "/components/schemas") && strings.Count(place, "/") == 2 {
				if _, err := d.compile(at); err != nil {
					wrong = append(wrong, err)
				}
				continue
			}
			look(at, inner)
			if list, ok := inner.([]any); ok {
				for i := range list {
					look(at+"/"+strconv.Itoa(i), list[i])
				}
			}
		}
	}
	look("", d.root)
	return errors.Join(wrong...)
}

// at is what a JSON pointer leads to.
func (d *Document) at(pointer string) any {
	var v any = d.root
	for _, part := range strings.Split(pointer, "/")[1:] {
		v = object(v)[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return v
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

// types are a schema's, without null.
func types(schema map[string]any) []string {
	var out []string
	switch t := schema["type"].(type) {
	case string:
		out = append(out, t)
	case []any:
		for _, one := range t {
			if one != "null" {
				out = append(out, fmt.Sprint(one))
			}
		}
	}
	return out
}

// parse reads a parameter's values as its schema has them; what cannot be read
// stays a text, which the schema then refuses.
func parse(schema map[string]any, values []string) any {
	kinds := types(schema)
	if slices.Contains(kinds, "array") {
		if len(values) == 1 {
			values = strings.Split(values[0], ",")
		}
		all := make([]any, len(values))
		for i, v := range values {
			all[i] = parse(object(schema["items"]), []string{v})
		}
		return all
	}
	value := values[0]
	switch {
	case slices.Contains(kinds, "integer"), slices.Contains(kinds, "number"):
		var n json.Number
		if json.Unmarshal([]byte(value), &n) == nil {
			return n
		}
	case slices.Contains(kinds, "boolean"):
		if b, err := strconv.ParseBool(value); err == nil {
			return b
		}
	}
	return value
}
