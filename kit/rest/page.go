package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/kit/problem"
)

// Page is embedded in the input of list operations.
type Page struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"24" doc:"How many at most"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"next_cursor of the list before"`
}

// List is the body of list answers. NextCursor is null at the end.
type List[T any] struct {
	Items      []T     `json:"items" nullable:"false"`
	NextCursor *string `json:"next_cursor"`
}

const cursorLife = 24 * time.Hour

var cursorKey []byte

// SignCursors sets the key that cursors are signed with; a process has one.
func SignCursors(key []byte) { cursorKey = key }

type cursor struct {
	Until int64           `json:"u"`
	At    json.RawMessage `json:"a"`
}

// EncodeCursor makes a cursor of the last item's sort key. It is signed
// (SignCursors) and lives for a day.
func EncodeCursor(v any) string {
	at, err := json.Marshal(v)
	if err != nil {
		panic("rest: cursor of a value that is not JSON: " + err.Error())
	}
	body, err := json.Marshal(cursor{Until: time.Now().Add(cursorLife).Unix(), At: at})
	if err != nil {
		panic("rest: cursor: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(signCursor(body))
}

// DecodeCursor reads a cursor into v; a forged or expired one is an `invalid`
// problem.
func DecodeCursor(s string, v any) error {
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
	if err != nil || !hmac.Equal(mac, signCursor(body)) {
		return bad
	}
	var c cursor
	if json.Unmarshal(body, &c) != nil || time.Now().Unix() > c.Until || json.Unmarshal(c.At, v) != nil {
		return bad
	}
	return nil
}

func signCursor(body []byte) []byte {
	m := hmac.New(sha256.New, cursorKey)
	m.Write(body)
	return m.Sum(nil)
}
