package contract_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/contract"
)

const things = `{"openapi":"3.1.0","paths":{
"/things/figures":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"type":"object"}}}}}}},
"/things/{id}":{
	"get":{"parameters":[
			{"in":"path","name":"id","required":true,"schema":{"type":"string","format":"uuid"}},
			{"in":"query","name":"limit","schema":{"type":"integer","maximum":9}},
			{"in":"query","name":"tag","schema":{"type":["array","null"],"items":{"type":"string","maxLength":3}}},
			{"in":"header","name":"X-Session","schema":{"type":"string","minLength":4}}],
		"responses":{
			"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Thing"}}}},
			"304":{},
			"404":{"$ref":"#/components/responses/gone"}}},
	"put":{"x-neighbours":["orders"],
		"requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object","additionalProperties":false,"required":["n"],"properties":{"n":{"type":"integer"}}}}}},
		"responses":{"204":{}}}}},
"components":{
	"schemas":{
		"Problem":{"type":"object","required":["type","status"],"properties":{"type":{"type":"string"},"status":{"type":"integer"}}},
		"Thing":{"type":"object","additionalProperties":false,"required":["id","name","at","parts","state"],"properties":{
			"id":{"type":"string","format":"uuid"},"name":{"type":["string","null"]},"at":{"type":"string","format":"date-time"},
			"state":{"type":"string","enum":["new","old"]},"code":{"type":"string","pattern":"^[A-Z]{2}$"},
			"parts":{"type":"array","items":{"type":"object","required":["n","weight"],"properties":{"n":{"type":"integer","minimum":1},"weight":{"type":"number"}}}}}}},
	"responses":{"gone":{"content":{"application/problem+json":{"schema":{"allOf":[{"$ref":"#/components/schemas/Problem"}],"properties":{"type":{"enum":["urn:gone"]},"status":{"enum":[404]}}}}}}}}}`

const id = "01890000-0000-7000-8000-000000000000"

func open(t *testing.T) *contract.Document {
	t.Helper()
	d, err := contract.Parse("things", []byte(things))
	require.NoError(t, err)
	return d
}

// says demands an error with a text, or none.
func says(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, want)
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	d := open(t)
	const ours, refusal = "application/json; charset=utf-8", "application/problem+json"
	thing := `{"id":"` + id + `","name":null,"at":"2026-01-02T03:04:05.6Z","state":"new","parts":[{"n":1,"weight":0.5}]}`
	for _, c := range []struct {
		method, target string
		status         int
		kind, body     string
		want           string
	}{
		{"GET", "/things/" + id, 200, ours, thing, ""},
		{"GET", "/things/" + id + "?limit=1", 200, ours, thing, ""},
		{"HEAD", "/things/" + id, 200, ours, "", ""},
		{"GET", "/things/" + id, 200, ours, `{"id":"1"}`, "missing properties"},
		{"GET", "/things/" + id, 200, ours, `{"id":"x","name":null,"at":"2026-01-02T03:04:05Z","state":"new","parts":[]}`, "is not valid uuid"},
		{"GET", "/things/" + id, 200, ours, `{"id":"` + id + `","name":null,"at":"yesterday","state":"new","parts":[]}`, "is not valid date-time"},
		{"GET", "/things/" + id, 200, ours, `{"id":"` + id + `","name":null,"at":"2026-01-02T03:04:05Z","state":"other","parts":[]}`, "value must be one of"},
		{"GET", "/things/" + id, 200, ours, `{"id":"` + id + `","name":null,"at":"2026-01-02T03:04:05Z","state":"new","parts":null}`, "got null, want array"},
		{"GET", "/things/" + id, 200, ours, `{"id":"` + id + `","name":null,"at":"2026-01-02T03:04:05Z","state":"new","parts":[],"more":1}`, "additional properties"},
		{"GET", "/things/" + id, 200, ours, `{`, "not JSON"},
		{"GET", "/things/" + id, 200, "text/html", "<p>", "text/html, which is not declared"},
		{"GET", "/things/" + id, 304, "", "", ""},
		{"GET", "/things/" + id, 304, ours, "{}", "no body is declared"},
		{"GET", "/things/" + id, 404, refusal, `{"type":"urn:gone","status":404}`, ""},
		{"GET", "/things/" + id, 404, refusal, `{"type":"urn:other","status":404}`, "value must be"},
		{"GET", "/things/" + id, 404, ours, `{"type":"urn:gone","status":404}`, "not declared"},
		{"GET", "/things/" + id, 409, refusal, `{"type":"urn:gone","status":409}`, "the status is not declared"},
		{"GET", "/things/figures", 200, ours, `{}`, ""},
		{"GET", "/things/figures", 404, refusal, `{}`, "the status is not declared"},
		{"PUT", "/things/" + id, 204, "", "", ""},
		{"GET", "/nothing", 404, refusal, `{}`, ""},
		{"DELETE", "/things/" + id, 405, refusal, `{}`, ""},
		{"GET", "/nothing", 200, ours, `{}`, "there is no such operation"},
	} {
		err := d.Answer(c.method, c.target, c.status, http.Header{"Content-Type": {c.kind}}, []byte(c.body))
		says(t, err, c.want)
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	d := open(t)
	for _, c := range []struct{ method, target, session, body, want string }{
		{"GET", "/things/" + id + "?limit=9&tag=a&tag=b", "abcd", "", ""},
		{"GET", "/things/" + id + "?limit=10", "", "", "parameter limit"},
		{"GET", "/things/" + id + "?limit=many", "", "", "parameter limit"},
		{"GET", "/things/" + id + "?tag=abcd", "", "", "parameter tag"},
		{"GET", "/things/" + id + "?colour=red", "", "", "no query parameter colour"},
		{"GET", "/things/1", "", "", "parameter id"},
		{"GET", "/things/" + id, "abc", "", "parameter X-Session"},
		{"GET", "/things/" + id, "", `{}`, "it takes no body"},
		{"PUT", "/things/" + id, "", `{"n":1}`, ""},
		{"PUT", "/things/" + id, "", `{"n":"1"}`, "got string, want integer"},
		{"PUT", "/things/" + id, "", `{"n":1,"m":1}`, "additional properties"},
		{"PUT", "/things/" + id, "", "", "the body is missing"},
		{"POST", "/things/" + id, "", "", "has no operation"},
	} {
		header := http.Header{"Content-Type": {"application/json"}}
		if c.session != "" {
			header.Set("X-Session", c.session)
		}
		says(t, d.Request(c.method, c.target, header, []byte(c.body)), c.want)
	}
}

// TestDocuments: what is checked in is what JSON Schema can hold answers to.
func TestDocuments(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../apps/*/openapi.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		app := filepath.Base(filepath.Dir(file))
		d, err := contract.Of(app)
		require.NoError(t, err)
		require.NoError(t, d.Valid(), app)
		require.False(t, d.Empty())
	}
	d, err := contract.Public()
	require.NoError(t, err)
	require.NoError(t, d.Valid())
	require.Error(t, d.Admits("orders", "GET", "/internal/carts/"+id), "what is for neighbours is not public")
	bad, err := contract.Parse("bad", []byte(`{"paths":{"/a":{"get":{"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Nothing"}}}}}}}}}`))
	require.NoError(t, err)
	require.Error(t, bad.Valid())
}

func TestAdmits(t *testing.T) {
	t.Parallel()
	d := open(t)
	require.NoError(t, d.Admits("orders", "PUT", "/things/1"))
	says(t, d.Admits("carts", "PUT", "/things/1"), "and not carts")
	require.NoError(t, d.Admits("carts", "GET", "/things/1"), "that one is public")
}

func TestReads(t *testing.T) {
	t.Parallel()
	d := open(t)
	type part struct {
		N      int64
		Weight float64
	}
	for _, c := range []struct {
		view any
		want string
	}{
		{struct {
			ID    uuid.UUID `json:"id"`
			Name  *string   `json:"name"`
			At    time.Time `json:"at"`
			State string    `json:"state"`
			Parts []part    `json:"parts"`
			own   int
		}{}, ""},
		{struct {
			At string `json:"at"` // as it comes
		}{}, ""},
		{struct {
			Rest json.RawMessage `json:"parts"`
		}{}, ""},
		{struct {
			Colour string `json:"colour"`
		}{}, `answer has no member "colour"`},
		{struct {
			ID int `json:"id"`
		}{}, "answer.id is read as a whole number (int), and is string"},
		{struct {
			Name time.Time `json:"name"`
		}{}, "answer.name is read as a time"},
		{struct {
			Parts []struct {
				Weight int `json:"weight"`
			} `json:"parts"`
		}{}, "answer.parts[].weight is read as a whole number"},
		{struct {
			Parts part `json:"parts"`
		}{}, "answer.parts is read as an object"},
		{[]part{}, "answer is read as a list"},
	} {
		says(t, d.Reads("GET", "/things/{id}", c.view), c.want)
	}
	type both struct {
		State  string `json:"state"`
		Colour string `json:"colour"`
	}
	says(t, d.Reads("GET", "/things/{id}", both{}, "colour"), "")
	says(t, d.Reads("GET", "/things/{id}", both{}, "colour", "state"), "answer.state is there")
	says(t, d.Reads("PUT", "/things/{id}", struct{}{}), "answers no JSON")
	says(t, d.Reads("GET", "/things", struct{}{}), "no operation")
}

func TestLike(t *testing.T) {
	t.Parallel()
	d := open(t)
	whole, err := d.Like("GET", "/things/{id}", map[string]any{"state": "", "code": "", "parts": []map[string]any{{"weight": 2}}})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"00000000-0000-0000-0000-000000000000","name":null,"at":"2026-01-02T03:04:05Z","state":"new","code":"XX","parts":[{"n":1,"weight":2}]}`, string(whole))
	require.NoError(t, d.Answer("GET", "/things/"+id, 200, http.Header{"Content-Type": {"application/json"}}, whole))
}
