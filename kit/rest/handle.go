package rest

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stampede-shop/stampede/kit/problem"
)

const problemsKey = "problems"

// Problems declares what an operation may refuse, besides what any operation of
// its kind may: a body or parameters that cannot be read or break a rule, a
// missing token or role, too many requests, and a shop that is not well.
func Problems(declared ...*problem.Error) func(*huma.Operation) {
	return func(op *huma.Operation) {
		before, _ := op.Metadata[problemsKey].([]*problem.Error)
		op.Metadata[problemsKey] = slices.Concat(before, declared)
	}
}

// Handle registers an operation and describes, by status, the problems that it
// may answer. Lines of text in its input, tagged `text:"line"`, are clean when
// the handler sees them (kit/text).
func Handle[I, O any](api huma.API, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	cleaned := handler
	if lines := linesOf(reflect.TypeFor[I]()); len(lines) > 0 {
		cleaned = func(ctx context.Context, in *I) (*O, error) {
			if err := cleanLines(lines, reflect.ValueOf(in).Elem()); err != nil {
				return nil, err
			}
			return handler(ctx, in)
		}
	}
	huma.Register(api, op, cleaned)
	oapi := api.OpenAPI()
	documented := operation(oapi.Paths[op.Path], op.Method)
	delete(documented.Responses, "default")
	also, _ := op.Metadata[alsoKey].(map[int]string)
	for code, means := range also {
		same := *documented.Responses[strconv.Itoa(op.DefaultStatus)]
		same.Description = means
		documented.Responses[strconv.Itoa(code)] = &same
	}
	for _, schema := range oapi.Components.Schemas.Map() {
		admitNull(schema)
	}
	declared, _ := op.Metadata[problemsKey].([]*problem.Error)
	describe(oapi, documented, slices.Concat(declared, possible(documented)))
}

// admitNull puts null among the values of a schema's members that may be null: in
// JSON Schema an enumeration holds for it too, and huma leaves it out.
func admitNull(schema *huma.Schema) {
	for _, member := range schema.Properties {
		if member.Nullable && len(member.Enum) > 0 && !slices.Contains(member.Enum, nil) {
			member.Enum = append(member.Enum, nil)
		}
	}
}

// possible are the general problems of an operation.
func possible(op *huma.Operation) []*problem.Error {
	access, _ := op.Metadata[accessKey].(Access)
	all := []*problem.Error{problem.ErrMalformed, problem.ErrInternal, problem.ErrUnavailable}
	if op.RequestBody != nil {
		all = append(all, problem.ErrTooLarge, ErrUnsupportedMediaType, ErrRequestTimeout)
	}
	if op.RequestBody != nil || len(op.Parameters) > 0 {
		all = append(all, problem.ErrInvalid)
	}
	if access.neighbours == nil { // through the edge, which counts
		all = append(all, problem.ErrUnauthenticated, problem.ErrTooMany)
	}
	if !access.anyone {
		all = append(all, problem.ErrForbidden)
	}
	return all
}

// describe puts problems into an operation's responses.
func describe(oapi *huma.OpenAPI, op *huma.Operation, problems []*problem.Error) {
	byStatus := map[int][]*problem.Error{}
	for _, p := range problems {
		at := StatusOf(p)
		if !slices.ContainsFunc(byStatus[at], func(other *problem.Error) bool { return other.Slug() == p.Slug() }) {
			byStatus[at] = append(byStatus[at], p)
		}
	}
	for status, all := range byStatus {
		key := strconv.Itoa(status)
		if len(all) == 1 && oapi.Components.Responses[all[0].Slug()] != nil {
			op.Responses[key] = &huma.Response{Ref: "#/components/responses/" + all[0].Slug()}
			continue
		}
		op.Responses[key] = response(all...)
	}
}

// response describes the answer with one of some problems of one status.
func response(problems ...*problem.Error) *huma.Response {
	var types []any
	var titles []string
	known := map[string]string{}
	headers := map[string]*huma.Param{}
	for _, p := range problems {
		types = append(types, Prefix+p.Slug())
		titles = append(titles, p.Title())
		known[p.Slug()] = p.Title()
		if p.Wait() > 0 || p.Kind() == problem.TooMany {
			headers["Retry-After"] = &huma.Param{Description: "Seconds to wait", Schema: &huma.Schema{Type: huma.TypeInteger}}
		}
	}
	slices.Sort(titles)
	out := &huma.Response{
		Description: strings.Join(slices.Compact(titles), "; "),
		Content: map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{
			AllOf: []*huma.Schema{{Ref: "#/components/schemas/Problem"}},
			Properties: map[string]*huma.Schema{
				"type":   {Type: huma.TypeString, Enum: types},
				"status": {Type: huma.TypeInteger, Enum: []any{StatusOf(problems[0])}},
			},
		}}},
		Extensions: map[string]any{"x-problems": known},
	}
	if len(headers) > 0 {
		out.Headers = headers
	}
	return out
}

// describeGeneral puts the general problems, and what a problem looks like,
// among the components of a document.
func describeGeneral(oapi *huma.OpenAPI) {
	text := func(d string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: d} }
	oapi.Components.Schemas.Map()["Problem"] = &huma.Schema{
		Type:        huma.TypeObject,
		Description: "A problem document (RFC 9457). Some problems carry members of their own.",
		Properties: map[string]*huma.Schema{
			"type":     text(Prefix + "<slug>"),
			"title":    text("What went wrong, in general"),
			"status":   {Type: huma.TypeInteger, Description: "The HTTP status"},
			"detail":   text("What went wrong this time"),
			"instance": text("The path that was asked for"),
			"trace_id": text("Where to look in the traces and logs"),
			"errors": {Type: huma.TypeArray, Items: &huma.Schema{
				Type: huma.TypeObject,
				Properties: map[string]*huma.Schema{
					"location": text("The field"),
					"code":     text("What is wrong with it, in a word that stays: required, too-long, …"),
					"message":  text("The same for developers"),
				},
				Required: []string{"location", "code", "message"},
			}},
		},
		Required:             []string{"type", "title", "status", "detail", "instance", "trace_id"},
		AdditionalProperties: true,
	}
	oapi.Components.Responses = map[string]*huma.Response{}
	for _, p := range general {
		oapi.Components.Responses[p.Slug()] = response(p)
	}
	oapi.Components.Responses[problem.ErrInternal.Slug()] = response(problem.ErrInternal)
}

// Schema implements huma.SchemaProvider: what a problem looks like.
func (d *document) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Ref: "#/components/schemas/Problem"}
}

// operation is a path's operation of a method.
func operation(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPut:
		return item.Put
	case http.MethodPost:
		return item.Post
	case http.MethodDelete:
		return item.Delete
	case http.MethodPatch:
		return item.Patch
	}
	panic(fmt.Sprintf("rest: no operations of method %s", method))
}
