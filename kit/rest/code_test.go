package rest_test

import (
	"context"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

type everyRule struct {
	ID    uuid.UUID `path:"id"`
	Limit int       `query:"limit" minimum:"1" maximum:"9"`
	Must  string    `query:"must" required:"true"`
	Body  struct {
		Text  string   `json:"text,omitempty" minLength:"2" maxLength:"4" pattern:"^[a-z]*$"`
		Mail  string   `json:"mail,omitempty" format:"email"`
		Which string   `json:"which,omitempty" enum:"a,b"`
		Flag  bool     `json:"flag,omitempty"`
		List  []string `json:"list,omitempty" minItems:"1" maxItems:"2" uniqueItems:"true"`
		Need  int      `json:"need" minimum:"0" maximum:"20"`
	}
}

// Resolve implements huma.Resolver.
func (in *everyRule) Resolve(huma.Context) []error {
	if in.Body.Need == 13 {
		return []error{problem.InvalidField("body.need", problem.CodeNotAllowed, "must not be 13")}
	}
	return nil
}

// TestCodes: whatever is wrong with a field is told by a word that programs can
// rely on, huma's own rules included.
func TestCodes(t *testing.T) {
	t.Parallel()
	rt, _ := servetest.NewTest(t, "echo", nil)
	rest.Handle(rt.API, rest.Op("POST", "/api/v1/rules/{id}", "Every rule", rest.Anyone), func(context.Context, *everyRule) (*struct{}, error) { return nil, nil })
	id := "/api/v1/rules/" + uuid.NewString()
	for _, c := range []struct {
		path, body string
		want       map[string]problem.Code
	}{
		{id + "?must=x", `{"need":1}`, nil},
		{id, `{"need":1}`, map[string]problem.Code{"query.must": "required"}},
		{"/api/v1/rules/x?must=x", `{"need":1}`, map[string]problem.Code{"path.id": "wrong-format"}},
		{id + "?must=x&limit=0", `{"need":1}`, map[string]problem.Code{"query.limit": "too-small"}},
		{id + "?must=x&limit=many", `{"need":1}`, map[string]problem.Code{"query.limit": "wrong-type"}},
		{id + "?must=x", `{}`, map[string]problem.Code{"body": "required"}},
		{id + "?must=x", `{"need":-1}`, map[string]problem.Code{"body.need": "too-small"}},
		{id + "?must=x", `{"need":21}`, map[string]problem.Code{"body.need": "too-large"}},
		{id + "?must=x", `{"need":"1"}`, map[string]problem.Code{"body.need": "wrong-type"}},
		{id + "?must=x", `{"need":1,"text":""}`, map[string]problem.Code{"body.text": "required"}},
		{id + "?must=x", `{"need":1,"text":"a"}`, map[string]problem.Code{"body.text": "too-short"}},
		{id + "?must=x", `{"need":1,"text":"abcde"}`, map[string]problem.Code{"body.text": "too-long"}},
		{id + "?must=x", `{"need":1,"text":"ABC"}`, map[string]problem.Code{"body.text": "wrong-format"}},
		{id + "?must=x", `{"need":1,"text":1}`, map[string]problem.Code{"body.text": "wrong-type"}},
		{id + "?must=x", `{"need":1,"mail":"x"}`, map[string]problem.Code{"body.mail": "wrong-format"}},
		{id + "?must=x", `{"need":1,"which":"c"}`, map[string]problem.Code{"body.which": "not-one-of"}},
		{id + "?must=x", `{"need":1,"flag":"yes"}`, map[string]problem.Code{"body.flag": "wrong-type"}},
		{id + "?must=x", `{"need":1,"list":[]}`, map[string]problem.Code{"body.list": "too-few"}},
		{id + "?must=x", `{"need":1,"list":["a","b","c"]}`, map[string]problem.Code{"body.list": "too-many"}},
		{id + "?must=x", `{"need":1,"list":["a","a"]}`, map[string]problem.Code{"body.list": "duplicate"}},
		{id + "?must=x", `{"need":1,"other":1}`, map[string]problem.Code{"body.other": "unknown"}},
		{id + "?must=x", `{"need":13}`, map[string]problem.Code{"body.need": "not-allowed"}},
		{id, `{"need":13}`, map[string]problem.Code{"query.must": "required", "body.need": "not-allowed"}},
	} {
		res := servetest.Do(t, rt, "POST", c.path, "", c.body)
		if c.want == nil {
			require.Less(t, res.Status, 300, "%s", res.Body)
			continue
		}
		require.Equal(t, 422, res.Status, "%s %s: %s", c.path, c.body, res.Body)
		var told struct{ Errors []problem.FieldError }
		res.JSON(t, &told)
		got := map[string]problem.Code{}
		for _, f := range told.Errors {
			got[f.Location] = f.Code
		}
		require.Equal(t, c.want, got, "%s %s: %s", c.path, c.body, res.Body)
	}
}
