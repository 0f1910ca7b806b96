package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
)

// Page is embedded in the input of list operations.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"24" doc:"How many at most"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"next_cursor of the list before, which must have the same path, filters and order"`

	list string // what a cursor belongs to
}

// Resolve implements huma.Resolver: a cursor belongs to the path, the filters and the order with which it was asked for,
// and to whose list it is where everybody has one of their own.
func (p *Page) Resolve(ctx huma.Context) []error {
	op, at := ctx.Operation(), ctx.URL()
	query := at.Query()
	query.Del("limit")
	query.Del("cursor")
	for _, param := range op.Parameters {
		if given := query.Get(param.Name); given == "" || given == fmt.Sprint(param.Schema.Default) {
			query.Del(param.Name)
		}
	}
	owner := ""
	if access, _ := op.Metadata[accessKey].(Access); access.role == auth.RoleUser {
		owner = auth.Must(ctx.Context()).ID.String()
	}
	sum := sha256.Sum256([]byte(at.Path + "?" + query.Encode() + "#" + owner))
	p.list = base64.RawURLEncoding.EncodeToString(sum[:12])
	return nil
}

// Next is the cursor of the page that begins after v, the last item's sort key.
func (p Page) Next(v any) *string {
	next := EncodeCursor(p.list, v)
	return &next
}

// After reads the cursor, if there is one, into v. Errors: `invalid` for one that is not of this list.
func (p Page) After(v any) (given bool, err error) {
	if p.Cursor == "" {
		return false, nil
	}
	return true, DecodeCursor(p.list, p.Cursor, v)
}

// List is the body of list answers. NextCursor is null at the end.
type List[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor"`
}

const cursorLife = 24 * time.Hour

var cursorKeys []string

// SignCursors sets the keys of cursors, for the process: the first signs, all are believed.
func SignCursors(keys ...string) { cursorKeys = keys }

type cursor struct {
	List  string          `json:"l"`
	Until int64           `json:"u"`
	At    json.RawMessage `json:"a"`
}

// EncodeCursor makes a cursor of a list from the last item's sort key. It is
// signed (SignCursors) and lives for a day. Page.Next knows the list.
func EncodeCursor(list string, v any) string {
	at, err := json.Marshal(v)
	if err != nil {
		panic("rest: cursor of a value that is not JSON: " + err.Error())
	}
	body, err := json.Marshal(cursor{List: list, Until: time.Now().Add(cursorLife).Unix(), At: at})
	if err != nil {
		panic("rest: cursor: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(signCursor(cursorKeys[0], body))
}

// DecodeCursor reads a cursor of a list into v; a forged or expired one, or one
// of another list, is an `invalid` problem.
func DecodeCursor(list, s string, v any) error {
	bad := problem.InvalidField("query.cursor", problem.CodeWrongFormat, "not a cursor of this list, or too old")
	left, right, ok := strings.Cut(s, ".")
	if !ok {
		return bad
	}
	body, err := base64.RawURLEncoding.DecodeString(left)
	if err != nil {
		return bad
	}
	mac, err := base64.RawURLEncoding.DecodeString(right)
	if err != nil || !slices.ContainsFunc(cursorKeys, func(key string) bool { return hmac.Equal(mac, signCursor(key, body)) }) {
		return bad
	}
	var c cursor
	if json.Unmarshal(body, &c) != nil || c.List != list || time.Now().Unix() > c.Until || json.Unmarshal(c.At, v) != nil {
		return bad
	}
	return nil
}

func signCursor(key string, body []byte) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write(body)
	return m.Sum(nil)
}
