// Package servetest puts a service's real router on a real database of its
// own, signs tokens that it accepts, and hands it CloudEvents.
package servetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/contract"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/settings"
	"github.com/stampede-shop/stampede/kit/statetest"
)

const (
	issuer   = "http://localhost/realms/test"
	audience = "stampede"
	appToken = "servetest"
)

type keys struct {
	private jwk.Key
	url     string
}

// signing is one key pair a test process, its public half served as JWKS.
var signing = sync.OnceValues(func() (keys, error) {
	raw, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return keys{}, err
	}
	private, err := jwk.Import(raw)
	if err != nil {
		return keys{}, err
	}
	_ = private.Set(jwk.KeyIDKey, "test")
	_ = private.Set(jwk.AlgorithmKey, auth.Algorithm)
	public, err := private.PublicKey()
	if err != nil {
		return keys{}, err
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		return keys{}, err
	}
	doc, err := json.Marshal(set)
	if err != nil {
		return keys{}, err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(doc)
	}))
	return keys{private, server.URL}, nil
})

var verifier = sync.OnceValues(func() (*auth.Verifier, error) {
	k, err := signing()
	if err != nil {
		return nil, err
	}
	return auth.NewVerifier(context.Background(), issuer, audience, k.url), nil
})

// OldKey is a key of cursors and of hashes that is believed, and makes no new ones.
const OldKey = "servetest, of before"

var hashKeys = serve.Keys{"servetest hashes", OldKey}

func init() {
	rest.SignCursors("servetest cursors", OldKey)
	idempotency.UseKeys(hashKeys...)
}

// Settings are a service's own S with their defaults, except for the pairs of
// name and value.
func Settings[S any](t testing.TB, pairs ...string) S {
	t.Helper()
	environment := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		environment[pairs[i]] = pairs[i+1]
	}
	set, err := settings.Read[S](environment, "")
	require.NoError(t, err)
	return set
}

// NewTest makes a runtime with a database of its own. Without migrations
// (nil) there is no database.
func NewTest(t testing.TB, name string, migrations fs.FS) (*serve.Runtime, *pgxpool.Pool) {
	t.Helper()
	v, err := verifier()
	require.NoError(t, err)
	// Invocation is answered by what Neighbour puts there. Without it a
	// neighbour is not reached, and so are broker and state, unless statetest
	// has started a sidecar.
	standIns, address := startSidecar(t, name)
	client, err := dapr.At(statetest.Sidecar(), address, "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	rt := serve.New(name, serve.Settings{AppToken: appToken, Issuer: issuer, HashKey: hashKeys, EventsPullBehind: 2 * time.Minute},
		slog.New(slog.NewTextHandler(logWriter{t}, nil)), v, client)
	standIns.belongsTo(rt)
	if migrations == nil {
		return rt, nil
	}
	db := pgtest.New(t, migrations)
	rt.UseDatabase(db)
	return rt, db
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimRight(p, "\n")))
	return len(p), nil
}

// Token signs an access token for subject.
func Token(t testing.TB, subject uuid.UUID, email string, roles ...string) string {
	t.Helper()
	return TokenUntil(t, subject, email, time.Now().Add(15*time.Minute), roles...)
}

// TokenUntil signs an access token that ends at until, also in the past.
func TokenUntil(t testing.TB, subject uuid.UUID, email string, until time.Time, roles ...string) string {
	t.Helper()
	k, err := signing()
	require.NoError(t, err)
	token, err := jwt.NewBuilder().Issuer(issuer).Audience([]string{audience}).Subject(subject.String()).
		IssuedAt(until.Add(-15*time.Minute)).Expiration(until).
		Claim("typ", "Bearer").Claim("email", email).Claim("given_name", "Ada").Claim("family_name", "Lovelace").
		Claim("roles", roles).Build()
	require.NoError(t, err)
	signed, err := jwt.Sign(token, jwt.WithKey(auth.Algorithm, k.private))
	require.NoError(t, err)
	return string(signed)
}

// Response is an answer that has been read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON decodes the body into v.
func (r Response) JSON(t testing.TB, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.Body, v), "%s", r.Body)
}

// Slug is the problem's slug, or "" when the answer is not a problem.
func (r Response) Slug() string {
	var p struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(r.Body, &p)
	const prefix = "urn:stampede:problem:"
	if len(p.Type) <= len(prefix) {
		return ""
	}
	return p.Type[len(prefix):]
}

// Do asks the service's router as its sidecar would, and holds the answer to the
// service's own OpenAPI document: status, problem, type and shape. body may be nil, []byte
// or string (sent as they are), or anything that becomes JSON. headers are
// pairs.
func Do(t testing.TB, rt *serve.Runtime, method, path, token string, body any, headers ...string) Response {
	t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(b)
	case string:
		reader = bytes.NewReader([]byte(b))
	default:
		data, err := json.Marshal(b)
		require.NoError(t, err)
		reader = bytes.NewReader(data)
	}
	req := httptest.NewRequest(method, path, reader)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("dapr-api-token", appToken)
	req.Header.Set("X-Real-Ip", "192.0.2.10") // TEST-NET-1, RFC 5737
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	rt.Router.ServeHTTP(rec, req)
	res := Response{rec.Code, rec.Result().Header, rec.Body.Bytes()}
	if req.Header.Get("dapr-api-token") == appToken { // what others hear, no operation tells
		keepsContract(t, rt, method, path, res)
	}
	return res
}

// Pages reads a list page by page, so many items at a time. path has a query,
// which may be empty.
func Pages(t testing.TB, rt *serve.Runtime, token, path string, limit int) (items []map[string]any) {
	t.Helper()
	for cursor := ""; ; {
		res := Do(t, rt, "GET", fmt.Sprintf("%s&limit=%d&cursor=%s", path, limit, url.QueryEscape(cursor)), token, nil)
		require.Equal(t, http.StatusOK, res.Status, "%s: %.300s", path, res.Body)
		var page struct {
			Items      []map[string]any `json:"items"`
			NextCursor *string          `json:"next_cursor"`
		}
		res.JSON(t, &page)
		items = append(items, page.Items...)
		if page.NextCursor == nil {
			return items
		}
		require.Len(t, page.Items, limit, "only the last page may be short")
		cursor = *page.NextCursor
	}
}

// Sorts demands of a list that every way to sort it, as the service's OpenAPI
// document names them, shows all items in order, page by page as well as at
// once. path may have a query; by says for each way by which of an item's
// members it sorts: "total.amount_minor", "-created_at" downwards.
func Sorts(t testing.TB, rt *serve.Runtime, token, path string, by map[string]string) {
	t.Helper()
	at, query, _ := strings.Cut(path, "?")
	var names []string
	for template, item := range rt.API.OpenAPI().Paths {
		if item.Get == nil || contract.Values(template, at) == nil {
			continue
		}
		for _, p := range item.Get.Parameters {
			if p.Name == "sort" {
				for _, name := range p.Schema.Enum {
					names = append(names, name.(string))
				}
			}
		}
	}
	require.NotEmpty(t, names, "%s cannot be sorted", at)
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(by)), "ways to sort %s", at)

	read := func(sort string, limit int) []map[string]any {
		return Pages(t, rt, token, at+"?"+query+"&sort="+sort, limit)
	}
	all := read(names[0], 100)
	require.Greater(t, len(all), 2, "too few items to sort")
	for name, member := range by {
		items := read(name, 100)
		require.ElementsMatch(t, all, items, name)
		require.Equal(t, items, read(name, 2), "%s: page by page", name)
		member, down := strings.CutPrefix(member, "-")
		for i := range items[1:] {
			a, b := pick(items[i], member), pick(items[i+1], member)
			if down {
				a, b = b, a
			}
			require.LessOrEqual(t, a, b, "%s: items %d and %d", name, i, i+1)
		}
		require.NotEqual(t, pick(items[0], member), pick(items[len(items)-1], member), "%s: a list in which nothing differs shows no order", name)
	}
}

// pick reads a member of a member. Texts come out in small letters, times with
// all digits of their fraction, of which JSON leaves out zeros at the end, and
// null as a text after all others.
func pick(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		v = v.(map[string]any)[name]
	}
	switch v := v.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return at.UTC().Format("2006-01-02T15:04:05.000000000")
		}
		return strings.ToLower(v)
	case nil:
		return "~"
	}
	return v
}

// Deliver hands an event, under a new id, to the service's handler and demands
// that it succeeds. The id is returned, to deliver the same event again.
func Deliver(t testing.TB, rt *serve.Runtime, e outbox.Event) (id string) {
	t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	require.NoError(t, DeliverAs(t, rt, id, e))
	return id
}

// DeliverAs hands over an event under a chosen id and returns what the handler
// says.
func DeliverAs(t testing.TB, rt *serve.Runtime, id string, e outbox.Event) error {
	t.Helper()
	return deliver(t, rt, id, "", e)
}

// DeliverTraced is Deliver of an event that was published in a trace of its own, whose traceparent is returned.
func DeliverTraced(t testing.TB, rt *serve.Runtime, e outbox.Event) (traceparent string) {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	traceparent = fmt.Sprintf("00-%x-%x-01", id[:], id[8:])
	require.NoError(t, deliver(t, rt, id.String(), traceparent, e))
	return traceparent
}

func deliver(t testing.TB, rt *serve.Runtime, id, traceparent string, e outbox.Event) error {
	t.Helper()
	data, err := json.Marshal(e)
	require.NoError(t, err)
	return rt.Subs.Deliver(t.Context(), dapr.Event{
		ID: id, Type: e.Topic(), Topic: e.Topic(), Source: "test", Data: data, Traceparent: traceparent,
	})
}

// Sent is a row of the outbox.
type Sent struct {
	ID          uuid.UUID
	Topic       string
	Data        json.RawMessage
	Traceparent string
}

// Outbox lists what the service has put into its outbox, oldest first.
func Outbox(t testing.TB, db *pgxpool.Pool) []Sent {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT id, topic, data, traceparent FROM outbox ORDER BY id`)
	require.NoError(t, err)
	sent, err := pgx.CollectRows(rows, pgx.RowToStructByName[Sent])
	require.NoError(t, err)
	return sent
}
