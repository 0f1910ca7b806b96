package servetest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/contract"
	"github.com/stampede-shop/stampede/kit/serve"
)

// live are the documents of the services that this process tests, by what they
// have.
var live struct {
	sync.Mutex
	known map[string]*contract.Document
}

// document is what a service says of itself now.
func document(rt *serve.Runtime) (*contract.Document, error) {
	api := rt.API.OpenAPI()
	var has []string
	for path, item := range api.Paths {
		for method, op := range map[string]*huma.Operation{"get": item.Get, "put": item.Put, "post": item.Post, "delete": item.Delete, "patch": item.Patch} {
			if op != nil {
				has = append(has, method+path)
			}
		}
	}
	slices.Sort(has)
	key := rt.Name + " " + strings.Join(has, " ")
	live.Lock()
	defer live.Unlock()
	if d := live.known[key]; d != nil {
		return d, nil
	}
	data, err := api.MarshalJSON()
	if err != nil {
		return nil, err
	}
	d, err := contract.Parse(rt.Name, data)
	if err != nil {
		return nil, err
	}
	if live.known == nil {
		live.known = map[string]*contract.Document{}
	}
	live.known[key] = d
	return d, nil
}

// keepsContract fails the test when an answer is not one that the service's own
// document has. It may be called from any goroutine of the test.
func keepsContract(t testing.TB, rt *serve.Runtime, method, path string, r Response) {
	t.Helper()
	d, err := document(rt)
	if err != nil {
		t.Errorf("the service's document: %v", err)
		return
	}
	if d.Empty() { // a face
		return
	}
	if err := d.Answer(method, path, r.Status, r.Header, r.Body); err != nil {
		t.Error(err)
	}
	if kept := r.Header.Get("Cache-Control"); d.Personal(method, path) && !strings.Contains(kept, "no-store") {
		t.Errorf("%s %s: a personal answer says to caches: %q", method, path, kept)
	}
}

// Reads demands that a consumer's own view of a neighbour's answer can be read
// from what the neighbour's document promises. template is the operation's path
// as there. A view that serves several answers names what this one does without,
// such as "items[].address.id".
func Reads(t testing.TB, service, method, template string, view any, without ...string) {
	t.Helper()
	d, err := contract.Of(service)
	require.NoError(t, err)
	require.NoError(t, d.Reads(method, template, view, without...))
}
