//go:build keycloak

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// bench is the service on a database of its own and a real Keycloak, which all tests share: each uses
// addresses of its own.
type bench struct {
	t    *testing.T
	rt   *serve.Runtime
	db   *pgxpool.Pool
	s    *service
	past atomic.Int64 // how far the service's clock is ahead
}

// realm says where Keycloak is, and checks tokens as every service does.
var realm = sync.OnceValues(func() (r struct {
	url, secret string
	public      string // where browsers find it, as the realm's clients know
	verifier    *auth.Verifier
}, err error) {
	r.url, r.secret = os.Getenv("KEYCLOAK_URL"), os.Getenv("AUTH_CLIENT_SECRET")
	if r.url == "" || r.secret == "" {
		return r, fmt.Errorf("these tests need a Keycloak with the realm of deploy/keycloak: `make test` starts one, " +
			"or set KEYCLOAK_URL and AUTH_CLIENT_SECRET, as .run/settings.env does after `make infra`")
	}
	res, err := http.Get(r.url + "/realms/stampede/.well-known/openid-configuration")
	if err != nil {
		return r, err
	}
	defer res.Body.Close()
	var about struct{ Issuer string }
	if err := json.NewDecoder(res.Body).Decode(&about); err != nil {
		return r, err
	}
	r.public = strings.TrimSuffix(about.Issuer, "/realms/stampede")
	r.verifier = auth.NewVerifier(context.Background(), about.Issuer, "stampede", r.url+"/realms/stampede/protocol/openid-connect/certs")
	return r, nil
})

func setup(t *testing.T) *bench {
	t.Parallel()
	r, err := realm()
	if err != nil {
		t.Fatal(err)
	}
	base, db := servetest.NewTest(t, "auth", migrations)
	// The same runtime, but for Keycloak's tokens.
	rt := serve.New("auth", base.Settings, base.Log, r.verifier, base.Dapr)
	b := &bench{t: t, rt: rt, db: db}
	rt.Now = func() time.Time { return base.Now().Add(time.Duration(b.past.Load())) }
	b.s, err = newService(rt, db, servetest.Settings[settings](t, "KEYCLOAK_URL", r.url, "AUTH_CLIENT_SECRET", r.secret,
		"LOGIN_FAILURES", "5", "LOGIN_FAILURES_ADDRESS", "20", "CODES", "3", "CODES_ADDRESS", "10"))
	require.NoError(t, err)
	return b
}

// later moves the service's clock.
func (b *bench) later(d time.Duration) { b.past.Add(int64(d)) }

func newEmail() string { return "t" + strings.ReplaceAll(uuid.NewString(), "-", "") + "@example.test" }

const goodPassword = "correct horse 1"

type object = map[string]any

func (b *bench) post(path string, body any, headers ...string) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, "POST", "/api/v1/auth"+path, "", body, headers...)
}

func (b *bench) get(path, token string) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, "GET", path, token, nil)
}

func (b *bench) want(res servetest.Response, status int, slug string) servetest.Response {
	b.t.Helper()
	require.Equal(b.t, status, res.Status, "%s", res.Body)
	require.Equal(b.t, slug, res.Slug(), "%s", res.Body)
	if status >= 400 {
		require.Equal(b.t, "application/problem+json", res.Header.Get("Content-Type"))
	}
	return res
}

func registration(email string) object {
	return object{"email": email, "password": goodPassword, "first_name": "Ann", "last_name": "Lee"}
}

// register opens an account and returns its id and code.
func (b *bench) register(email string) (id uuid.UUID, code string) {
	b.t.Helper()
	res := b.want(b.post("/register", registration(email)), 201, "")
	var out struct {
		AccountID uuid.UUID `json:"account_id"`
	}
	res.JSON(b.t, &out)
	return out.AccountID, b.code(email, VerifyEmail)
}

// active makes an account that may log in.
func (b *bench) active() (email string, id uuid.UUID) {
	b.t.Helper()
	email = newEmail()
	id, code := b.register(email)
	b.want(b.post("/verify-email", object{"email": email, "code": code}), 204, "")
	return email, id
}

func (b *bench) login(email, secret string) Tokens {
	b.t.Helper()
	res := b.want(b.post("/login", object{"email": email, "password": secret}), 200, "")
	var t Tokens
	res.JSON(b.t, &t)
	require.NotEmpty(b.t, t.AccessToken)
	return t
}

func (b *bench) rtVerifier() *auth.Verifier { return b.rt.Verifier }

func sentOf[E any](b *bench, topic string) []E {
	b.t.Helper()
	var found []E
	for _, row := range servetest.Outbox(b.t, b.db) {
		if row.Topic == topic {
			var e E
			require.NoError(b.t, json.Unmarshal(row.Data, &e))
			found = append(found, e)
		}
	}
	return found
}

// code is the last one that was sent to an address, "" when none was.
func (b *bench) code(email string, p Purpose) (code string) {
	b.t.Helper()
	for _, e := range sentOf[events.AccountCodeIssued](b, "account.code_issued.v1") {
		if e.Email == email && e.Purpose == string(p) {
			code = e.Code
		}
	}
	return code
}

func (b *bench) count(sql string, args ...any) (n int) {
	b.t.Helper()
	require.NoError(b.t, b.db.QueryRow(b.t.Context(), `SELECT count(*) FROM `+sql, args...).Scan(&n))
	return n
}

func (b *bench) status(email string) Status {
	b.t.Helper()
	a, err := b.s.store.byEmail(b.t.Context(), email)
	if err != nil {
		require.ErrorIs(b.t, err, ErrAccountNotFound)
		return ""
	}
	return a.Status
}

// sessions counts the sessions that Keycloak keeps of a user.
func (b *bench) sessions(id uuid.UUID) int {
	b.t.Helper()
	var sessions []struct{}
	_, err := b.s.keycloak.do(b.t.Context(), "GET", "/users/"+id.String()+"/sessions", nil, &sessions)
	require.NoError(b.t, err)
	return len(sessions)
}

// wrong is a well-formed code that is not this one.
func wrong(code string) string {
	if code == "000000" {
		return "000001"
	}
	return "000000"
}

// through puts a proxy between the service and Keycloak. When lost says so the request reaches Keycloak but
// its answer does not come back.
func (b *bench) through(lost func(r *http.Request) bool) {
	b.t.Helper()
	r, err := realm()
	require.NoError(b.t, err)
	target, err := url.Parse(r.url)
	require.NoError(b.t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(res *http.Response) error {
			if lost(res.Request) {
				panic(http.ErrAbortHandler) // the connection breaks
			}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	b.t.Cleanup(server.Close)
	b.s.keycloak = newKeycloak(server.URL, "stampede", "auth", r.secret)
}

// away points the service at a port where nothing listens, and back.
func (b *bench) away() (back func()) {
	r, err := realm()
	require.NoError(b.t, err)
	there := b.s.keycloak
	b.s.keycloak = newKeycloak("http://127.0.0.1:1", "stampede", "auth", r.secret)
	return func() { b.s.keycloak = there }
}

func TestRegister(t *testing.T) {
	b := setup(t)
	email := newEmail()
	body := registration("  " + strings.ToUpper(email) + " ")
	body["first_name"], body["last_name"] = " Zoe\u0308\u00a0", "\tO'Hara"
	res := b.want(b.post("/register", body), 201, "")
	var out object
	res.JSON(t, &out)
	require.Equal(t, object{"account_id": out["account_id"], "email": email, "status": "pending"}, out)
	id := uuid.MustParse(out["account_id"].(string))

	registered := sentOf[events.AccountRegistered](b, "account.registered.v1")
	require.Len(t, registered, 1)
	require.Equal(t, events.AccountRegistered{AccountID: id, Email: email, FirstName: "Zoë", LastName: "O'Hara", At: registered[0].At}, registered[0])
	codes := sentOf[events.AccountCodeIssued](b, "account.code_issued.v1")
	require.Len(t, codes, 1)
	require.Regexp(t, codePattern, codes[0].Code)
	require.Equal(t, id, codes[0].AccountID)
	require.Equal(t, "verify-email", codes[0].Purpose)
	require.WithinDuration(t, time.Now().Add(30*time.Minute), codes[0].ExpiresAt, time.Minute)
	require.Equal(t, 1, b.count(`outbox WHERE secret AND topic = 'account.code_issued.v1'`), "the outbox wipes the code")

	has, err := b.s.keycloak.hasRole(t.Context(), id, roleUser, roleAdmin)
	require.NoError(t, err)
	require.False(t, has, "no role before the code")
	require.Zero(t, b.count(`accounts WHERE accounts::text LIKE '%' || $1 || '%'`, goodPassword))
	require.Zero(t, b.count(`codes WHERE codes::text LIKE '%' || $1 || '%'`, codes[0].Code))

	require.Equal(t, 1, b.count(`accounts`))

	// Only who knows the password learns that the account is pending, and gets no session for it.
	b.want(b.post("/login", object{"email": email, "password": "wrong password"}), 401, "credentials-invalid")
	b.want(b.post("/login", object{"email": email, "password": goodPassword}), 403, "account-pending")
	require.Zero(t, b.sessions(id))

	b.want(b.post("/verify-email", object{"email": strings.ToUpper(email), "code": codes[0].Code}), 204, "")
	activated := sentOf[events.AccountActivated](b, "account.activated.v1")
	require.Len(t, activated, 1)
	require.Equal(t, events.AccountActivated{AccountID: id, Email: email, FirstName: "Zoë", First: true, At: activated[0].At}, activated[0])

	tokens := b.login(email, goodPassword)
	require.Equal(t, "Bearer", tokens.TokenType)
	require.Equal(t, 900, tokens.ExpiresIn)
	res = b.want(b.get("/api/v1/auth/verify-token", tokens.AccessToken), 200, "")
	res.JSON(t, &out)
	require.Equal(t, id.String(), out["account_id"], "the account's id is the token's sub")
	require.Equal(t, email, out["email"])
	require.Equal(t, []any{"USER"}, out["roles"])
	expires, err := time.Parse(time.RFC3339, out["expires_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(15*time.Minute), expires, time.Minute)
	require.Equal(t, 1, b.sessions(id))
}

func TestRegisterTakesWhatKeycloakTakes(t *testing.T) {
	b := setup(t)
	for _, name := range []string{
		"Zoë", "O'Hara", "Jean-Luc", "李", "von der Höhe", "Lee, Jr.", "Мария", "Ann @ home", "A", strings.Repeat("é", 100),
	} {
		body := registration(newEmail())
		body["first_name"], body["last_name"] = name, name
		b.want(b.post("/register", body), 201, "")
	}
	for _, local := range []string{"o'brien", "a+b", "x!#$%&*/=?^_`{|}~-", strings.Repeat("a", 31)} {
		b.want(b.post("/register", registration(local+newEmail())), 201, "")
	}
	for _, r := range nameProhibited + "\n\x7f\u0085\u2028" {
		body := registration(newEmail())
		body["first_name"] = "A" + string(r) + "B"
		b.want(b.post("/register", body), 422, "invalid")
	}
	require.Equal(t, 14, b.count(`accounts WHERE status = 'pending'`))
}

func TestRegisterRefuses(t *testing.T) {
	b := setup(t)
	change := func(key string, value any) object {
		body := registration(newEmail())
		if value == nil {
			delete(body, key)
		} else {
			body[key] = value
		}
		return body
	}
	huge := strings.Repeat("a", 10_000)
	for name, c := range map[string]struct {
		body   any
		status int
		slug   string
	}{
		"no body":             {"", 400, "malformed"},
		"malformed":           {`{"email": "`, 400, "malformed"},
		"not an object":       {`[]`, 422, "invalid"},
		"invalid UTF-8":       {"{\"email\": \"\xff\"}", 400, "malformed"},
		"NUL":                 {change("first_name", "A\x00"), 400, "malformed"},
		"two documents":       {`{} {}`, 400, "malformed"},
		"2 MB":                {change("first_name", strings.Repeat("a", 2<<20)), 413, "too-large"},
		"unknown field":       {change("role", "ADMIN"), 422, "invalid"},
		"number":              {change("email", 1), 422, "invalid"},
		"no e-mail":           {change("email", nil), 422, "invalid"},
		"bad e-mail":          {change("email", "ann"), 422, "invalid"},
		"huge e-mail":         {change("email", huge+"@example.test"), 422, "invalid"},
		"SQL e-mail":          {change("email", "'; DROP TABLE accounts; --@example.test"), 422, "invalid"},
		"HTML e-mail":         {change("email", "<img src=x>@example.test"), 422, "invalid"},
		"header e-mail":       {change("email", "a@example.test\r\nBcc: b@example.test"), 422, "invalid"},
		"no password":         {change("password", nil), 422, "invalid"},
		"short password":      {change("password", "123456789"), 422, "invalid"},
		"short in characters": {change("password", "éééééé"), 422, "invalid"},
		"huge password":       {change("password", huge), 422, "invalid"},
		"no first name":       {change("first_name", nil), 422, "invalid"},
		"empty first name":    {change("first_name", ""), 422, "invalid"},
		"blank last name":     {change("last_name", "  "), 422, "invalid"},
		"invisible last name": {change("last_name", "\u00a0\u200b\u3164"), 422, "invalid"},
		"huge first name":     {change("first_name", huge), 422, "invalid"},
		"HTML first name":     {change("first_name", "<script>alert(1)</script>"), 422, "invalid"},
		"SQL last name":       {change("last_name", "x'); DROP TABLE accounts; --"), 422, "invalid"},
	} {
		res := b.want(b.post("/register", c.body), c.status, c.slug)
		require.NotContains(t, string(res.Body), "DROP", name)
		require.NotContains(t, string(res.Body), "<script>", name)
	}
	own := newEmail()
	body := registration(own)
	body["password"] = strings.ToUpper(own)
	b.want(b.post("/register", body), 422, "invalid")

	require.Zero(t, b.count(`accounts`))
	require.Zero(t, b.count(`outbox`))

	b.want(servetest.Do(t, b.rt, "POST", "/api/v1/auth/register", "not a token", registration(newEmail())), 401, "unauthenticated")
	b.want(servetest.Do(t, b.rt, "GET", "/api/v1/auth/register", "", nil), 405, "method-not-allowed")
}

// Keycloak's own rules are the second net: what passes ours is still no 5xx.
func TestKeycloakRefuses(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	_, err := b.s.register(ctx, newEmail(), "A<B", "Lee", goodPassword, "")
	require.ErrorIs(t, err, problem.ErrInvalid)
	_, err = b.s.register(ctx, newEmail(), "A<B", "Le>", goodPassword, "") // two at once come in another form
	require.ErrorIs(t, err, problem.ErrInvalid)
	_, err = b.s.register(ctx, newEmail(), "Ann", "Lee", "short", "")
	require.ErrorIs(t, err, problem.ErrInvalid)
	require.Zero(t, b.count(`accounts`), "the address is free again")
}

func TestRegisterRace(t *testing.T) {
	b := setup(t)
	email := newEmail()
	statuses := together(8, func(n int) int {
		address := email
		if n%2 == 0 {
			address = strings.ToUpper(email)
		}
		return b.post("/register", registration(address)).Status
	})
	// One after the other replaces the one before, as often as codes may be asked for; who waits too long may come again.
	require.Positive(t, statuses[201])
	require.Equal(t, 8, statuses[201]+statuses[429]+statuses[503], "%v", statuses)
	require.Equal(t, 1, b.count(`accounts`))
	registered := sentOf[events.AccountRegistered](b, "account.registered.v1")
	require.Len(t, registered, 1, "what was told of those before is forgotten with them")
	require.Len(t, sentOf[events.AccountRemoved](b, "account.removed.v1"), statuses[201]-1)
	require.Len(t, sentOf[events.AccountCodeIssued](b, "account.code_issued.v1"), 1)
	a, err := b.s.store.byEmail(t.Context(), email)
	require.NoError(t, err)
	require.Equal(t, registered[len(registered)-1].AccountID, *a.AccountID)
	require.Equal(t, Pending, b.status(email))
}

// together runs fn n times at once and counts the answers.
func together(n int, fn func(n int) int) map[int]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	answers := map[int]int{}
	for i := range n {
		all.Go(func() {
			answer := fn(i)
			mu.Lock()
			defer mu.Unlock()
			answers[answer]++
		})
	}
	all.Wait()
	return answers
}

func TestRegisterCrash(t *testing.T) {
	ctx := t.Context()

	t.Run("after the row", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, fresh, err := b.s.begin(ctx, email, "Ann", "Lee", nil)
		require.NoError(t, err)
		require.True(t, fresh)

		b.want(b.post("/register", registration(email)), 503, "unavailable") // the lease runs
		b.want(b.post("/login", object{"email": email, "password": goodPassword}), 401, "credentials-invalid")
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Creating, b.status(email))
		b.later(2 * lease)
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Creating, b.status(email), "a request to Keycloak may still be on its way")
		b.later(forgetAfter)
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Status(""), b.status(email), "nobody knows the password: the address is free again")
		require.Zero(t, b.count(`outbox`))
		require.Equal(t, 1, b.count(`logins WHERE account IS NULL`), "the failed login outlives the row")
		b.register(email)
	})

	t.Run("after the row, registered again", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, _, err := b.s.begin(ctx, email, "Bo", "Li", nil)
		require.NoError(t, err)
		b.later(lease)
		b.register(email)
		a, err := b.s.store.byEmail(ctx, email)
		require.NoError(t, err)
		require.Equal(t, "Ann", a.FirstName)
	})

	t.Run("after Keycloak", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		a, _, err := b.s.begin(ctx, email, "Ann", "Lee", nil)
		require.NoError(t, err)
		id, err := b.s.create(ctx, a, goodPassword)
		require.NoError(t, err)

		b.want(b.post("/login", object{"email": email, "password": goodPassword}), 403, "account-pending")
		require.Zero(t, b.sessions(id))
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Creating, b.status(email), "the lease runs")
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Pending, b.status(email))
		registered := sentOf[events.AccountRegistered](b, "account.registered.v1")
		require.Len(t, registered, 1)
		require.Equal(t, id, registered[0].AccountID)
		b.want(b.post("/verify-email", object{"email": email, "code": b.code(email, VerifyEmail)}), 204, "")
		b.login(email, goodPassword)
	})

	t.Run("after Keycloak, registered again", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		a, _, err := b.s.begin(ctx, email, "Bo", "Li", nil)
		require.NoError(t, err)
		first, err := b.s.create(ctx, a, "the first password")
		require.NoError(t, err)
		b.later(lease)
		id, code := b.register(email)
		require.Equal(t, first, id, "one user")
		b.want(b.post("/verify-email", object{"email": email, "code": code}), 204, "")
		b.want(b.post("/login", object{"email": email, "password": "the first password"}), 401, "credentials-invalid")
		tokens := b.login(email, goodPassword)
		caller, err := b.rt.Verifier.Verify(tokens.AccessToken)
		require.NoError(t, err)
		require.Equal(t, "Ann", caller.FirstName, "the names of the registration that counts")

		// The first one wakes up.
		_, err = b.s.open(ctx, a, first, nil)
		require.ErrorIs(t, err, problem.ErrUnavailable)
	})

	t.Run("after the code", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		_, err := b.s.useCode(ctx, email, VerifyEmail, code, func(a *Account, now time.Time) { a.Verify(now) })
		require.NoError(t, err)

		b.want(b.post("/login", object{"email": email, "password": goodPassword}), 403, "account-pending")
		b.want(b.post("/verify-email/code", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(ctx))
		require.Equal(t, code, b.code(email, VerifyEmail), "no new code: it is verified")
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Pending, b.status(email))
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Active, b.status(email))
		require.Len(t, sentOf[events.AccountActivated](b, "account.activated.v1"), 1)
		b.login(email, goodPassword)
	})

	t.Run("after the role", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		id, code := b.register(email)
		_, err := b.s.useCode(ctx, email, VerifyEmail, code, func(a *Account, now time.Time) { a.Verify(now) })
		require.NoError(t, err)
		require.NoError(t, b.s.keycloak.giveRole(ctx, id, roleUser))
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Active, b.status(email))
	})

	t.Run("after a new password", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		b.login(email, goodPassword)
		a, err := b.s.store.byEmail(ctx, email)
		require.NoError(t, err)
		b.want(b.post("/password/forgot", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(ctx))
		a, err = b.s.useCode(ctx, email, PasswordReset, b.code(email, PasswordReset), func(a *Account, now time.Time) { a.ChangePassword("", now) })
		require.NoError(t, err)
		require.NoError(t, b.s.keycloak.setPassword(ctx, *a.AccountID, "another password"))
		require.Equal(t, 1, b.sessions(id))
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		require.Zero(t, b.sessions(id), "the sweep ends them")
		require.Zero(t, b.count(`accounts WHERE sessions_end_at IS NOT NULL`))
	})
}

// Users that somebody made in Keycloak by hand are nobody's to take over.
func TestForeignUser(t *testing.T) {
	byHand := func(t *testing.T, b *bench, email string) uuid.UUID {
		id, err := b.s.keycloak.createUser(t.Context(), Account{Email: email, FirstName: "By", LastName: "Hand"}, "made by hand")
		require.NoError(t, err)
		return id
	}
	t.Run("from before", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		byHand(t, b, email)
		b.later(2 * clockSkew)
		b.want(b.post("/register", registration(email)), 409, "email-taken")
		require.Zero(t, b.count(`accounts`))
		_, err := b.s.keycloak.login(t.Context(), email, "made by hand")
		require.NoError(t, err, "the password is still the same")
		b.want(b.post("/login", object{"email": email, "password": "made by hand"}), 401, "credentials-invalid")
	})
	t.Run("with a role", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		id := byHand(t, b, email)
		require.NoError(t, b.s.keycloak.giveRole(t.Context(), id, roleAdmin))
		b.want(b.post("/register", registration(email)), 409, "email-taken")
		_, err := b.s.keycloak.login(t.Context(), email, "made by hand")
		require.NoError(t, err)
	})
	t.Run("found by the sweep", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		byHand(t, b, email)
		b.later(2 * clockSkew)
		_, _, err := b.s.begin(t.Context(), email, "Ann", "Lee", nil)
		require.NoError(t, err)
		b.later(lease)
		require.NoError(t, b.s.sweep(t.Context()))
		require.Zero(t, b.count(`accounts`))
	})
}

func TestKeycloakAway(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	email, _ := b.active()
	tokens := b.login(email, goodPassword)
	b.want(b.post("/password/forgot", object{"email": email}), 202, "")
	require.NoError(t, b.s.answerRequests(ctx))
	reset := b.code(email, PasswordReset)
	waiting := newEmail()
	_, code := b.register(waiting)
	logins, sent := b.count(`logins`), b.count(`outbox`)

	back := b.away()
	fresh := newEmail()
	for path, body := range map[string]object{
		"/register":       registration(fresh),
		"/login":          {"email": email, "password": goodPassword},
		"/refresh":        {"refresh_token": tokens.RefreshToken},
		"/logout":         {"refresh_token": tokens.RefreshToken},
		"/verify-email":   {"email": waiting, "code": code},
		"/password/reset": {"email": email, "code": reset, "new_password": "another password"},
	} {
		res := b.want(b.post(path, body), 503, "unavailable")
		require.NotEmpty(t, res.Header.Get("Retry-After"), path)
	}
	res := servetest.Do(t, b.rt, "POST", "/api/v1/auth/password/change", tokens.AccessToken, object{"password": goodPassword, "new_password": "another password"})
	b.want(res, 503, "unavailable")
	b.want(b.post("/password/forgot", object{"email": email}), 202, "")        // needs no Keycloak
	b.want(b.post("/verify-email/code", object{"email": newEmail()}), 202, "") //
	b.want(b.get("/api/v1/auth/verify-token", tokens.AccessToken), 200, "")    // nor does who is logged in
	b.want(b.get("/api/v1/auth/login-history", tokens.AccessToken), 200, "")   //
	require.Error(t, b.s.sweep(ctx))                                           // waiting is verified, and waits
	require.Equal(t, Status(""), b.status(fresh), "nothing half done")         //
	require.Equal(t, logins, b.count(`logins`), "nothing was tried")           //
	require.Equal(t, sent, b.count(`outbox`), "nothing was said")              //
	require.Zero(t, b.count(`accounts WHERE sessions_end_at IS NOT NULL`))     //
	require.Zero(t, b.count(`codes WHERE used_at IS NOT NULL AND tries <> 1`)) //
	require.Equal(t, 2, b.count(`codes WHERE used_at IS NULL AND tries = 0`))  // both given back

	back()
	b.register(fresh)
	b.want(b.post("/verify-email", object{"email": waiting, "code": code}), 204, "")
	b.want(b.post("/refresh", object{"refresh_token": tokens.RefreshToken}), 200, "")
	b.want(b.post("/password/reset", object{"email": email, "code": reset, "new_password": "another password"}), 204, "")
	b.login(email, "another password")
	require.Len(t, sentOf[events.AccountActivated](b, "account.activated.v1"), 2)
}

// Keycloak did it, but its answer was lost on the way.
func TestAnswerLost(t *testing.T) {
	ctx := t.Context()
	once := func(method, suffix string) func(*http.Request) bool {
		var done atomic.Bool
		return func(r *http.Request) bool {
			return r.Method == method && strings.HasSuffix(r.URL.Path, suffix) && done.CompareAndSwap(false, true)
		}
	}

	t.Run("register, then again", func(t *testing.T) {
		b := setup(t)
		b.through(once("POST", "/users"))
		email := newEmail()
		b.want(b.post("/register", registration(email)), 503, "unavailable")
		require.Equal(t, Creating, b.status(email))
		_, code := b.register(email)
		b.want(b.post("/verify-email", object{"email": email, "code": code}), 204, "")
		b.login(email, goodPassword)
	})
	t.Run("register, then the sweep", func(t *testing.T) {
		b := setup(t)
		b.through(once("POST", "/users"))
		email := newEmail()
		b.want(b.post("/register", registration(email)), 503, "unavailable")
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Pending, b.status(email))
		require.NotEmpty(t, b.code(email, VerifyEmail))
	})
	t.Run("role", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		b.through(once("POST", "/role-mappings/realm"))
		b.want(b.post("/verify-email", object{"email": email, "code": code}), 503, "unavailable")
		require.Empty(t, sentOf[events.AccountActivated](b, "account.activated.v1"))
		statuses := together(2, func(n int) int { // the person and the sweep
			if n == 0 {
				require.NoError(t, b.s.sweep(ctx))
				return 0
			}
			return b.post("/verify-email", object{"email": email, "code": code}).Status
		})
		require.Equal(t, 1, statuses[204]+statuses[400], "either of the two")
		require.Equal(t, Active, b.status(email))
		require.Len(t, sentOf[events.AccountActivated](b, "account.activated.v1"), 1)
		b.want(b.post("/verify-email", object{"email": email, "code": code}), 400, "code-invalid")
	})
	t.Run("password", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		b.login(email, goodPassword)
		b.want(b.post("/password/forgot", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(ctx))
		b.through(once("PUT", "/reset-password"))
		body := object{"email": email, "code": b.code(email, PasswordReset), "new_password": "another password"}
		b.want(b.post("/password/reset", body), 503, "unavailable")
		require.NoError(t, b.s.sweep(ctx))
		require.Zero(t, b.sessions(id), "it may have been set: the sessions end")
		b.want(b.post("/password/reset", body), 204, "")
		b.login(email, "another password")
	})
	t.Run("end of the sessions", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		mine := b.login(email, goodPassword)
		b.login(email, goodPassword)
		b.through(once("GET", "/sessions"))
		res := servetest.Do(t, b.rt, "POST", "/api/v1/auth/password/change", mine.AccessToken, object{"password": goodPassword, "new_password": "another password"})
		b.want(res, 204, "")
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, 1, b.sessions(id))
		b.want(b.post("/refresh", object{"refresh_token": mine.RefreshToken}), 200, "")
	})
}

func TestServiceTokenForgotten(t *testing.T) {
	b := setup(t)
	var refuse atomic.Bool
	r, err := realm()
	require.NoError(t, err)
	target, err := url.Parse(r.url)
	require.NoError(t, err)
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		if refuse.CompareAndSwap(true, false) {
			p.Out.Header.Set("Authorization", "Bearer forgotten")
		}
	}})
	t.Cleanup(server.Close)
	b.s.keycloak = newKeycloak(server.URL, "stampede", "auth", r.secret)
	b.register(newEmail())
	refuse.Store(true)
	b.register(newEmail())
	require.False(t, refuse.Load())
}

func TestVerifyEmail(t *testing.T) {
	verify := func(b *bench, email, code string, status int) {
		b.t.Helper()
		slug := "code-invalid"
		if status == 204 {
			slug = ""
		}
		b.want(b.post("/verify-email", object{"email": email, "code": code}), status, slug)
	}
	t.Run("used", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		verify(b, email, " "+code+" ", 204)
		verify(b, email, code, 400)
	})
	t.Run("unknown", func(t *testing.T) {
		b := setup(t)
		verify(b, newEmail(), "123456", 400)
	})
	t.Run("another's", func(t *testing.T) {
		b := setup(t)
		one, two := newEmail(), newEmail()
		_, code := b.register(one)
		_, own := b.register(two)
		if code != own {
			verify(b, two, code, 400)
		}
		verify(b, two, own, 204)
	})
	t.Run("another purpose", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		b.want(b.post("/password/reset", object{"email": email, "code": code, "new_password": "another password"}), 400, "code-invalid")
		verify(b, email, code, 204)
	})
	t.Run("malformed", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		for _, bad := range []string{"12345", "1234567", "abcdef", "' OR 1=1", "<b>", "１２３４５６", "12345\n6"} {
			verify(b, email, bad, 400)
		}
		require.Equal(t, 1, b.count(`codes WHERE tries = 0`), "what cannot be a code is no try")
		b.want(b.post("/verify-email", object{"email": email, "code": strings.Repeat("1", 10_000)}), 422, "invalid")
		b.want(b.post("/verify-email", object{"email": email, "code": ""}), 422, "invalid")
		verify(b, email, code, 204)
	})
	t.Run("five tries", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		for range 4 {
			verify(b, email, wrong(code), 400)
		}
		verify(b, email, code, 204)
	})
	t.Run("six tries", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		for range 5 {
			verify(b, email, wrong(code), 400)
		}
		verify(b, email, code, 400)
		require.Equal(t, Pending, b.status(email))
		// A new code is the way out.
		b.want(b.post("/verify-email/code", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(t.Context()))
		verify(b, email, b.code(email, VerifyEmail), 204)
	})
	t.Run("many tries at once", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		together(20, func(int) int { return b.post("/verify-email", object{"email": email, "code": wrong(code)}).Status })
		require.Equal(t, 1, b.count(`codes WHERE tries = 5`))
		verify(b, email, code, 400)
	})
	t.Run("expired", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		b.later(VerifyEmail.lifetime())
		verify(b, email, code, 400)
	})
	t.Run("replaced", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		b.want(b.post("/verify-email/code", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(t.Context()))
		newer := b.code(email, VerifyEmail)
		if newer != code {
			verify(b, email, code, 400)
		}
		verify(b, email, newer, 204)
	})
	t.Run("at once", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		statuses := together(6, func(int) int { return b.post("/verify-email", object{"email": email, "code": code}).Status })
		require.Equal(t, map[int]int{204: 1, 400: 5}, statuses)
		require.Len(t, sentOf[events.AccountActivated](b, "account.activated.v1"), 1)
	})
}

func TestCodeRequests(t *testing.T) {
	t.Run("limits of an address", func(t *testing.T) {
		b := setup(t)
		pending := newEmail()
		b.register(pending)
		active, _ := b.active()
		// The answers are the same for a pending account, an active one and none at all.
		for _, email := range []string{pending, active, newEmail()} {
			for n := range 3 {
				b.want(b.post("/verify-email/code", object{"email": email}, "X-Real-Ip", fmt.Sprint("198.51.100.", n)), 202, "")
			}
			res := b.want(b.post("/verify-email/code", object{"email": strings.ToUpper(email)}), 429, "too-many-requests")
			require.Contains(t, []string{"3599", "3600"}, res.Header.Get("Retry-After"))
		}
		require.Equal(t, 9, b.count(`code_requests WHERE done_at IS NULL`))
		codes := b.count(`outbox WHERE topic = 'account.code_issued.v1'`)
		require.NoError(t, b.s.answerRequests(t.Context()))
		require.Zero(t, b.count(`code_requests WHERE done_at IS NULL`))
		require.Equal(t, codes+3, b.count(`outbox WHERE topic = 'account.code_issued.v1'`), "only the pending account gets codes")
		require.Equal(t, 1, b.count(`codes JOIN accounts ON accounts.id = codes.account WHERE accounts.email = $1 AND purpose = 'verify-email'`, pending), "one at a time")

		b.later(time.Hour)
		b.want(b.post("/verify-email/code", object{"email": pending}), 202, "")
	})
	t.Run("limits of a client", func(t *testing.T) {
		b := setup(t)
		for range 10 {
			b.want(b.post("/verify-email/code", object{"email": newEmail()}), 202, "")
		}
		b.want(b.post("/verify-email/code", object{"email": newEmail()}), 429, "too-many-requests")
		b.want(b.post("/verify-email/code", object{"email": newEmail()}, "X-Real-Ip", "198.51.100.1"), 202, "")
	})
	t.Run("at once", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		statuses := together(8, func(n int) int {
			return b.post("/verify-email/code", object{"email": email}, "X-Real-Ip", fmt.Sprint("198.51.100.", n)).Status
		})
		require.Equal(t, map[int]int{202: 3, 429: 5}, statuses)
	})
	t.Run("forgotten password", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		pending := newEmail()
		b.register(pending)
		for range 5 { // too often is not said
			for _, e := range []string{email, pending, newEmail()} {
				res := b.want(b.post("/password/forgot", object{"email": e}), 202, "")
				require.Empty(t, res.Body)
			}
		}
		require.Equal(t, 3, b.count(`code_requests WHERE email = $1`, email))
		require.NoError(t, b.s.answerRequests(t.Context()))
		var codes []events.AccountCodeIssued
		for _, c := range sentOf[events.AccountCodeIssued](b, "account.code_issued.v1") {
			if c.Purpose == "password-reset" && c.Email == email {
				codes = append(codes, c)
			}
		}
		require.Len(t, codes, 3)
		require.Equal(t, id, codes[2].AccountID)
		require.WithinDuration(t, time.Now().Add(15*time.Minute), codes[2].ExpiresAt, time.Minute)
		require.NotEmpty(t, b.code(pending, PasswordReset), "a pending account gets one, too")
	})
}

func TestLogin(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	unknown := b.want(b.post("/login", object{"email": newEmail(), "password": goodPassword}), 401, "credentials-invalid")
	wrongOne := b.want(b.post("/login", object{"email": email, "password": "wrong password"}), 401, "credentials-invalid")
	require.Equal(t, detail(t, unknown), detail(t, wrongOne))

	res := b.want(b.post("/login", object{"email": strings.ToUpper(email), "password": goodPassword},
		"User-Agent", "Mozilla/5.0 <script>\x01"+strings.Repeat("x", 500), "X-Real-Ip", "2001:db8::1"), 200, "")
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	var keys map[string]any
	res.JSON(t, &keys)
	require.Len(t, keys, 4)
	require.Equal(t, 1, b.sessions(id))
	tokens := b.login(email, goodPassword)

	type page struct {
		Items []struct {
			At                                   time.Time
			Address, UserAgent, Outcome, Through string
		}
		NextCursor *string `json:"next_cursor"`
	}
	var all page
	res = b.want(b.get("/api/v1/auth/login-history", tokens.AccessToken), 200, "")
	require.NotContains(t, string(res.Body), `\u0001`)
	require.Contains(t, string(res.Body), `"user_agent":"Mozilla/5.0 <script>xxx`)
	res.JSON(t, &all)
	require.Len(t, all.Items, 3)
	require.Nil(t, all.NextCursor)
	outcomes := []string{}
	for _, i := range all.Items {
		outcomes = append(outcomes, i.Outcome)
		require.Equal(t, "api", i.Through)
		require.WithinDuration(t, time.Now(), i.At, time.Minute)
	}
	require.Equal(t, []string{"success", "success", "failed"}, outcomes)
	require.Equal(t, "2001:db8::1", all.Items[1].Address)
	require.Equal(t, "192.0.2.10", all.Items[2].Address)

	var first, second page
	b.want(b.get("/api/v1/auth/login-history?limit=2", tokens.AccessToken), 200, "").JSON(t, &first)
	require.Len(t, first.Items, 2)
	b.login(email, goodPassword) // a new row does not shift the next page
	b.want(b.get("/api/v1/auth/login-history?limit=2&cursor="+url.QueryEscape(*first.NextCursor), tokens.AccessToken), 200, "").JSON(t, &second)
	require.Len(t, second.Items, 1)
	require.Equal(t, all.Items[2], second.Items[0])
	require.Nil(t, second.NextCursor)
	for _, bad := range []string{"limit=0", "limit=101", "limit=x", "cursor=forged", "cursor=" + url.QueryEscape(*first.NextCursor) + "x"} {
		b.want(b.get("/api/v1/auth/login-history?"+bad, tokens.AccessToken), 422, "invalid")
	}

	other, _ := b.active()
	var empty page
	b.want(b.get("/api/v1/auth/login-history", b.login(other, goodPassword).AccessToken), 200, "").JSON(t, &empty)
	require.Len(t, empty.Items, 1, "one's own only")
}

func detail(t *testing.T, res servetest.Response) object {
	var d object
	res.JSON(t, &d)
	delete(d, "trace_id")
	return d
}

func TestLoginLimits(t *testing.T) {
	try := func(b *bench, email, secret string, headers ...string) servetest.Response {
		return b.post("/login", object{"email": email, "password": secret}, headers...)
	}
	t.Run("one e-mail address", func(t *testing.T) {
		b := setup(t)
		known, _ := b.active()
		unknown := newEmail()
		for _, email := range []string{known, unknown} {
			for range 5 {
				b.want(try(b, email, "wrong password"), 401, "credentials-invalid")
			}
			res := b.want(try(b, email, goodPassword), 429, "too-many-requests") // even with the right one
			require.Contains(t, []string{"900", "899", "898"}, res.Header.Get("Retry-After"))
		}
		require.Equal(t, 10, b.count(`logins`), "what was not tried is not counted")
		b.later(15 * time.Minute)
		b.login(known, goodPassword)
	})
	t.Run("success clears", func(t *testing.T) {
		b := setup(t)
		email, _ := b.active()
		for range 3 {
			for range 4 {
				b.want(try(b, email, "wrong password"), 401, "credentials-invalid")
				b.later(time.Millisecond)
			}
			b.login(email, goodPassword)
			b.later(time.Millisecond)
		}
	})
	t.Run("pending is not a failure", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		b.register(email)
		for range 6 {
			b.want(try(b, email, goodPassword), 403, "account-pending")
		}
	})
	t.Run("reset clears", func(t *testing.T) {
		b := setup(t)
		email, _ := b.active()
		for range 5 {
			b.want(try(b, email, "wrong password"), 401, "credentials-invalid")
		}
		b.want(try(b, email, goodPassword), 429, "too-many-requests")
		b.want(b.post("/password/forgot", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(t.Context()))
		b.want(b.post("/password/reset", object{"email": email, "code": b.code(email, PasswordReset), "new_password": "another password"}), 204, "")
		b.login(email, "another password")
	})
	t.Run("one client", func(t *testing.T) {
		b := setup(t)
		for range 20 {
			b.want(try(b, newEmail(), "wrong password"), 401, "credentials-invalid")
		}
		b.want(try(b, newEmail(), "wrong password"), 429, "too-many-requests")
		b.want(try(b, newEmail(), "wrong password", "X-Real-Ip", "198.51.100.1"), 401, "credentials-invalid")
	})
	t.Run("all at once", func(t *testing.T) {
		b := setup(t)
		email, _ := b.active()
		statuses := together(60, func(n int) int {
			return try(b, email, "wrong password", "X-Real-Ip", fmt.Sprint("198.51.100.", n)).Status
		})
		require.Equal(t, 60, statuses[401]+statuses[429])
		require.LessOrEqual(t, statuses[401], 5+maxTrying)
		b.want(try(b, email, goodPassword), 429, "too-many-requests")
	})
	t.Run("a process that died", func(t *testing.T) {
		b := setup(t)
		email, _ := b.active()
		for range maxTrying {
			_, wait, err := b.s.store.beginLogin(t.Context(), email, "", "", b.s.settings.Limits, b.s.now())
			require.NoError(t, err)
			require.Zero(t, wait)
		}
		require.Equal(t, "1", b.want(try(b, email, goodPassword), 429, "too-many-requests").Header.Get("Retry-After"))
		b.later(tryingTime)
		b.want(try(b, email, goodPassword), 429, "too-many-requests") // now they count as failed
		b.later(15 * time.Minute)
		b.login(email, goodPassword)
	})
}

func TestRefreshAndLogout(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	first := b.login(email, goodPassword)
	res := b.want(b.post("/refresh", object{"refresh_token": first.RefreshToken}), 200, "")
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	var second Tokens
	res.JSON(t, &second)
	b.want(b.get("/api/v1/auth/verify-token", second.AccessToken), 200, "")
	require.Equal(t, 1, b.sessions(id))

	b.want(b.post("/logout", object{"refresh_token": second.RefreshToken}), 204, "")
	require.Zero(t, b.sessions(id))
	b.want(b.post("/refresh", object{"refresh_token": first.RefreshToken}), 401, "unauthenticated")
	b.want(b.post("/refresh", object{"refresh_token": second.RefreshToken}), 401, "unauthenticated")
	b.want(b.post("/logout", object{"refresh_token": second.RefreshToken}), 204, "") // asked again
	for _, path := range []string{"/refresh", "/logout"} {
		for _, bad := range []string{"x", "a.b.c", second.AccessToken, "' OR 1=1 --", strings.Repeat("a", 8000), second.RefreshToken + "x"} {
			b.want(b.post(path, object{"refresh_token": bad}), 401, "unauthenticated")
		}
		b.want(b.post(path, object{"refresh_token": strings.Repeat("a", 10_000)}), 422, "invalid")
		b.want(b.post(path, object{}), 422, "invalid")
	}
}

// A refresh token is good once, and once more for a second tab that asks at the same time: the tokens that it gets are those
// that go on, for Keycloak takes older ones, by whole seconds, for stale. Whoever uses it again is a thief or was robbed: the
// session ends (RFC 9700, 4.14.2).
func TestRefreshTokensRotate(t *testing.T) {
	b := setup(t)
	email, _ := b.active()
	refresh := func(token string, status int) (t Tokens) {
		b.t.Helper()
		slug := map[int]string{401: "unauthenticated"}[status]
		b.want(b.post("/refresh", object{"refresh_token": token}), status, slug).JSON(b.t, &t)
		return t
	}
	first := b.login(email, goodPassword)
	second := refresh(first.RefreshToken, 200)
	require.NotEqual(t, first.RefreshToken, second.RefreshToken)
	third := refresh(second.RefreshToken, 200)
	refresh(third.RefreshToken, 200)
	fourth := refresh(third.RefreshToken, 200) // the other tab
	refresh(fourth.RefreshToken, 200)

	other := b.login(email, goodPassword)
	stolen := refresh(other.RefreshToken, 200)
	refresh(other.RefreshToken, 200)
	refresh(other.RefreshToken, 401)
	refresh(stolen.RefreshToken, 401) // the session is over for everybody

	tabs := b.login(email, goodPassword)
	statuses := together(2, func(int) int { return b.post("/refresh", object{"refresh_token": tabs.RefreshToken}).Status })
	require.Equal(t, map[int]int{200: 2}, statuses, "two tabs at once")
}

func TestChangePassword(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	mine, theirs := b.login(email, goodPassword), b.login(email, goodPassword)
	change := func(token string, body any) servetest.Response {
		return servetest.Do(t, b.rt, "POST", "/api/v1/auth/password/change", token, body)
	}
	good := object{"password": goodPassword, "new_password": "another password"}
	b.want(change("", good), 401, "unauthenticated")
	b.want(change("x", good), 401, "unauthenticated")
	b.want(change(mine.AccessToken, object{"password": "wrong password", "new_password": "another password"}), 401, "credentials-invalid")
	b.want(change(mine.AccessToken, object{"password": goodPassword, "new_password": "short"}), 422, "invalid")
	b.want(change(mine.AccessToken, object{"password": goodPassword, "new_password": strings.Repeat("a", 10_000)}), 422, "invalid")
	b.want(change(mine.AccessToken, object{"password": goodPassword, "new_password": strings.ToUpper(email)}), 422, "invalid")
	b.want(change(mine.AccessToken, object{"new_password": "another password"}), 422, "invalid")
	require.Equal(t, 2, b.sessions(id), "a refused change leaves sessions as they were")
	require.Equal(t, 1, b.count(`logins WHERE outcome = 'failed'`), "a wrong guess is one")

	b.want(change(mine.AccessToken, good), 204, "")
	require.Equal(t, 1, b.sessions(id))
	b.want(b.post("/refresh", object{"refresh_token": mine.RefreshToken}), 200, "")
	b.want(b.post("/refresh", object{"refresh_token": theirs.RefreshToken}), 401, "unauthenticated")
	b.want(b.post("/login", object{"email": email, "password": goodPassword}), 401, "credentials-invalid")
	b.login(email, "another password")

	for range 4 {
		b.want(change(mine.AccessToken, good), 401, "credentials-invalid")
	}
	b.later(time.Millisecond)
	b.want(change(mine.AccessToken, good), 401, "credentials-invalid")
	b.want(change(mine.AccessToken, good), 429, "too-many-requests")
}

func TestResetPassword(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	session := b.login(email, goodPassword)
	b.want(b.post("/password/forgot", object{"email": strings.ToUpper(email)}), 202, "")
	require.NoError(t, b.s.answerRequests(t.Context()))
	code := b.code(email, PasswordReset)
	reset := func(code, secret string) servetest.Response {
		return b.post("/password/reset", object{"email": email, "code": code, "new_password": secret})
	}
	b.want(reset(wrong(code), "another password"), 400, "code-invalid")
	b.want(reset(code, "short"), 422, "invalid")
	b.want(reset(code, strings.Repeat("a", 10_000)), 422, "invalid")
	b.want(reset(code, email), 422, "invalid")
	require.Equal(t, 1, b.count(`codes WHERE purpose = 'password-reset' AND tries = 1`), "only the wrong code was a try")
	require.Equal(t, 1, b.sessions(id))

	statuses := together(4, func(int) int { return reset(code, "another password").Status })
	require.Equal(t, map[int]int{204: 1, 400: 3}, statuses)
	require.Zero(t, b.sessions(id))
	b.want(b.post("/refresh", object{"refresh_token": session.RefreshToken}), 401, "unauthenticated")
	b.want(b.post("/login", object{"email": email, "password": goodPassword}), 401, "credentials-invalid")
	b.login(email, "another password")
	b.want(reset(code, "a third password"), 400, "code-invalid")

	b.want(b.post("/password/forgot", object{"email": email}), 202, "")
	require.NoError(t, b.s.answerRequests(t.Context()))
	b.later(PasswordReset.lifetime())
	b.want(reset(b.code(email, PasswordReset), "a third password"), 400, "code-invalid")
}

func TestAdmin(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	token := b.login(email, goodPassword).AccessToken
	pending := "x_%\\'" + newEmail() // characters that LIKE and SQL know
	_, _, err := b.s.begin(t.Context(), newEmail(), "Half", "Made", nil)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `INSERT INTO accounts (id, account_id, email, first_name, last_name, status, created_at, lease_until)
		VALUES ($1, $2, $3, 'Bo', 'Li', 'pending', now(), now())`, uuid.Must(uuid.NewV7()), uuid.New(), pending)
	require.NoError(t, err)

	const base = "/api/v1/admin/auth/accounts"
	for _, path := range []string{base, base + "/" + id.String(), base + "/" + id.String() + "/login-history"} {
		b.want(b.get(path, ""), 401, "unauthenticated")
		b.want(b.get(path, token), 403, "forbidden")
	}
	ops := demo{newEmail(), "Olive", "Operator", goodPassword, true}
	require.NoError(t, b.s.makeDemo(t.Context(), ops))
	admin := b.login(ops.email, goodPassword).AccessToken

	list := func(query string) (emails []string, next *string) {
		var page struct {
			Items      []object
			NextCursor *string `json:"next_cursor"`
		}
		b.want(b.get(base+"?"+query, admin), 200, "").JSON(t, &page)
		for _, item := range page.Items {
			emails = append(emails, item["email"].(string))
		}
		return emails, page.NextCursor
	}
	all, _ := list("")
	require.Len(t, all, 4)
	require.Equal(t, ops.email, all[0], "newest first")
	found, _ := list("status=active")
	require.Equal(t, []string{ops.email, email}, found)
	found, _ = list("status=creating")
	require.Len(t, found, 1)
	found, _ = list("email=" + url.QueryEscape(strings.ToUpper(email[:20])))
	require.Equal(t, []string{email}, found)
	found, _ = list("email=" + url.QueryEscape(`x_%\'`))
	require.Equal(t, []string{pending}, found)
	found, _ = list("email=" + url.QueryEscape("%"))
	require.Empty(t, found)
	var paged []string
	for query := "limit=1"; ; {
		items, next := list(query)
		paged = append(paged, items...)
		if next == nil {
			break
		}
		query = "limit=1&cursor=" + url.QueryEscape(*next)
	}
	require.Equal(t, all, paged)
	servetest.Sorts(t, b.rt, admin, base, map[string]string{"newest": "-created_at", "oldest": "created_at", "email": "email", "-email": "-email"})
	for _, bad := range []string{"status=gone", "limit=0", "sort=x", "cursor=x", "email=" + strings.Repeat("a", 10_000)} {
		b.want(b.get(base+"?"+bad, admin), 422, "invalid")
	}

	var account object
	b.want(b.get(base+"/"+id.String(), admin), 200, "").JSON(t, &account)
	require.Equal(t, id.String(), account["account_id"])
	require.Equal(t, "active", account["status"])
	require.NotNil(t, account["activated_at"])
	var history struct{ Items []object }
	b.want(b.get(base+"/"+id.String()+"/login-history", admin), 200, "").JSON(t, &history)
	require.Len(t, history.Items, 1)
	for _, path := range []string{base + "/" + uuid.NewString(), base + "/" + uuid.NewString() + "/login-history"} {
		b.want(b.get(path, admin), 404, "account-not-found")
	}
	b.want(b.get(base+"/"+url.PathEscape("' OR 1=1"), admin), 422, "invalid")
}

func TestRoutesNeedTokens(t *testing.T) {
	b := setup(t)
	email := newEmail()
	b.register(email)
	// The token of a pending account, as Keycloak's own page would give it: valid, but without a role.
	tokens, err := b.s.keycloak.login(t.Context(), email, goodPassword)
	require.NoError(t, err)
	for _, path := range []string{"/api/v1/auth/verify-token", "/api/v1/auth/login-history", "/api/v1/admin/auth/accounts"} {
		b.want(b.get(path, ""), 401, "unauthenticated")
		b.want(b.get(path, "x.y.z"), 401, "unauthenticated")
		b.want(b.get(path, tokens.RefreshToken), 401, "unauthenticated")
		b.want(b.get(path, tokens.AccessToken), 403, "forbidden")
	}
	res := servetest.Do(t, b.rt, "POST", "/api/v1/auth/password/change", tokens.AccessToken, object{"password": goodPassword, "new_password": "another password"})
	b.want(res, 403, "forbidden")
}

// What every route answers to what is not even a request.
func TestBadBodies(t *testing.T) {
	b := setup(t)
	email, _ := b.active()
	token := b.login(email, goodPassword).AccessToken
	before := b.count(`accounts`)
	huge := strings.Repeat("a", 10_000)
	for _, path := range []string{"/register", "/verify-email", "/verify-email/code", "/login", "/refresh", "/logout", "/password/forgot", "/password/reset", "/password/change"} {
		do := func(body any) servetest.Response {
			return servetest.Do(t, b.rt, "POST", "/api/v1/auth"+path, token, body)
		}
		b.want(do(`{"email":`), 400, "malformed")
		b.want(do("{\"email\":\"\xff\"}"), 400, "malformed")
		b.want(do(`{"email":"a\u0000@example.test"}`), 400, "malformed")
		b.want(do(strings.Repeat(" ", 2<<20)), 413, "too-large")
		for _, body := range []string{`[]`, `"x"`, `1`, `null`, `{}`, `{"unknown": 1}`, `{"email": {}, "password": [], "code": 1, "refresh_token": true, "new_password": null}`} {
			b.want(do(body), 422, "invalid")
		}
		for _, text := range []string{huge, "'; DROP TABLE accounts; --", "<script>alert(1)</script>"} {
			res := do(object{"email": text, "password": text, "first_name": text, "last_name": text, "code": text, "new_password": text, "refresh_token": text})
			b.want(res, 422, "invalid")
			require.NotContains(t, string(res.Body), text)
		}
	}
	for _, text := range []string{"'; DROP TABLE accounts; --", "<script>alert(1)</script>"} {
		b.want(b.post("/login", object{"email": email, "password": text}), 401, "credentials-invalid")
	}
	require.Equal(t, before, b.count(`accounts`))
}

func TestDemo(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	shopper := demo{newEmail(), "Sam", "Shopper", goodPassword, false}
	ops := demo{newEmail(), "Olive", "Operator", goodPassword, true}
	run := b.s.makeDemos([]demo{shopper, ops})
	back := b.away()
	require.ErrorIs(t, run(ctx), problem.ErrUnavailable)
	require.Zero(t, b.count(`accounts`))
	back()
	require.NoError(t, run(ctx))
	require.NoError(t, run(ctx))
	require.NoError(t, b.s.makeDemos([]demo{shopper, ops})(ctx), "at the next start")
	for email, roles := range map[string][]string{shopper.email: {"USER"}, ops.email: {"ADMIN", "USER"}} {
		caller, err := b.rt.Verifier.Verify(b.login(email, goodPassword).AccessToken)
		require.NoError(t, err)
		require.ElementsMatch(t, roles, caller.Roles)
	}
	require.Len(t, sentOf[events.AccountRegistered](b, "account.registered.v1"), 2)
	require.Len(t, sentOf[events.AccountActivated](b, "account.activated.v1"), 2)
	require.Empty(t, sentOf[events.AccountCodeIssued](b, "account.code_issued.v1"))

	shopper.secret = "from other settings"
	require.NoError(t, b.s.makeDemo(ctx, shopper))
	b.login(shopper.email, "from other settings")

	pending := demo{newEmail(), "Pat", "Pending", goodPassword, false}
	b.register(pending.email)
	require.NoError(t, b.s.makeDemo(ctx, pending))
	b.login(pending.email, goodPassword)
}

func TestPrune(t *testing.T) {
	b := setup(t)
	ctx := t.Context()
	email, _ := b.active()
	b.login(email, goodPassword)
	b.want(b.post("/login", object{"email": newEmail(), "password": goodPassword}), 401, "credentials-invalid")
	b.want(b.post("/password/forgot", object{"email": email}), 202, "")
	b.want(b.post("/password/forgot", object{"email": newEmail()}), 202, "")
	require.NoError(t, b.s.answerRequests(ctx))
	require.NoError(t, b.s.prune(ctx))
	require.Equal(t, 2, b.count(`logins`))
	require.Equal(t, 2, b.count(`code_requests`))
	require.Equal(t, 2, b.count(`codes`))
	b.later(keepUnknown + time.Hour)
	require.NoError(t, b.s.prune(ctx))
	require.Equal(t, 1, b.count(`logins`))
	require.Zero(t, b.count(`code_requests`))
	require.Zero(t, b.count(`codes`))
	b.later(keepHistory)
	require.NoError(t, b.s.prune(ctx))
	require.Zero(t, b.count(`logins`))
}

const accountsPath = "/api/v1/admin/auth/accounts/"

// staff makes an account with the role ADMIN and returns its id and token.
func (b *bench) staff() (id uuid.UUID, token string) {
	b.t.Helper()
	email := newEmail()
	require.NoError(b.t, b.s.makeDemo(b.t.Context(), demo{email, "Olive", "Operator", goodPassword, true}))
	a, err := b.s.store.byEmail(b.t.Context(), email)
	require.NoError(b.t, err)
	return *a.AccountID, b.login(email, goodPassword).AccessToken
}

func (b *bench) suspend(id uuid.UUID, token string, body any) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, "POST", accountsPath+id.String()+"/suspension", token, body)
}

func (b *bench) readmit(id uuid.UUID, token string) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, "DELETE", accountsPath+id.String()+"/suspension", token, nil)
}

func (b *bench) hasRole(id uuid.UUID, names ...string) bool {
	b.t.Helper()
	has, err := b.s.keycloak.hasRole(b.t.Context(), id, names...)
	require.NoError(b.t, err)
	return has
}

func TestSuspend(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	_, token := b.staff()
	mine := b.login(email, goodPassword)
	b.want(b.post("/password/forgot", object{"email": email}), 202, "")
	require.NoError(t, b.s.answerRequests(t.Context()))
	code := b.code(email, PasswordReset)

	var account struct {
		Status     Status
		Suspension *struct {
			At     time.Time
			Reason string
		}
	}
	b.want(b.suspend(id, token, object{"reason": " Sells <b>tickets</b>. "}), 200, "").JSON(t, &account)
	require.Equal(t, Suspended, account.Status)
	require.Equal(t, "Sells <b>tickets</b>.", account.Suspension.Reason)
	require.WithinDuration(t, time.Now(), account.Suspension.At, time.Minute)
	told := sentOf[events.AccountSuspended](b, "account.suspended.v1")
	require.Len(t, told, 1)
	require.Equal(t, events.AccountSuspended{AccountID: id, Email: email, At: account.Suspension.At.UTC()}, told[0])
	require.Zero(t, b.sessions(id))
	require.False(t, b.hasRole(id, roleUser))

	// Only who knows the password learns of it, and nobody gets a session.
	b.want(b.post("/login", object{"email": email, "password": "wrong password"}), 401, "credentials-invalid")
	b.want(b.post("/login", object{"email": email, "password": goodPassword}), 403, "account-suspended")
	require.Zero(t, b.sessions(id))
	b.want(b.post("/refresh", object{"refresh_token": mine.RefreshToken}), 401, "unauthenticated")
	// Nor does a token that is still valid, or a code that was out, lead back in.
	change := object{"password": goodPassword, "new_password": "another password"}
	b.want(servetest.Do(t, b.rt, "POST", "/api/v1/auth/password/change", mine.AccessToken, change), 403, "account-suspended")
	require.Zero(t, b.sessions(id))
	b.want(b.post("/password/reset", object{"email": email, "code": code, "new_password": "another password"}), 400, "code-invalid")
	b.want(b.post("/password/forgot", object{"email": email}), 202, "")
	require.NoError(t, b.s.answerRequests(t.Context()))
	require.Equal(t, code, b.code(email, PasswordReset), "no new one")
	b.want(b.post("/register", registration(email)), 409, "email-taken")
	// A session that Keycloak gives all the same, no service lets in.
	page, err := b.s.keycloak.login(t.Context(), email, goodPassword)
	require.NoError(t, err)
	b.want(b.get("/api/v1/auth/verify-token", page.AccessToken), 403, "forbidden")
	b.want(b.post("/refresh", object{"refresh_token": page.RefreshToken}), 401, "unauthenticated")
	require.Zero(t, b.sessions(id), "auth ends what it meets")

	// Asked again, nothing happens.
	b.later(time.Hour)
	var again struct{ Suspension object }
	b.want(b.suspend(id, token, object{"reason": "another"}), 200, "").JSON(t, &again)
	require.Equal(t, "Sells <b>tickets</b>.", again.Suspension["reason"])
	require.NoError(t, b.s.sweep(t.Context()))
	require.Len(t, sentOf[events.AccountSuspended](b, "account.suspended.v1"), 1)
	var list struct{ Items []object }
	b.want(b.get("/api/v1/admin/auth/accounts?status=suspended", token), 200, "").JSON(t, &list)
	require.Len(t, list.Items, 1)

	before := len(sentOf[events.AccountActivated](b, "account.activated.v1"))
	for range 2 {
		b.want(b.readmit(id, token), 200, "").JSON(t, &account)
		require.Equal(t, Active, account.Status)
		require.Nil(t, account.Suspension)
	}
	activated := sentOf[events.AccountActivated](b, "account.activated.v1")
	require.Len(t, activated, before+1)
	last := activated[before]
	require.Equal(t, events.AccountActivated{AccountID: id, Email: email, FirstName: "Ann", At: last.At}, last, "not the first")
	require.True(t, last.At.After(told[0].At))
	b.want(b.get("/api/v1/auth/verify-token", b.login(email, goodPassword).AccessToken), 200, "")
	require.NoError(t, b.s.sweep(t.Context()))
	require.Equal(t, 1, b.sessions(id), "the sessions of afterwards stay")
	b.want(b.suspend(id, token, nil), 200, "") // without a body
	require.Len(t, sentOf[events.AccountSuspended](b, "account.suspended.v1"), 2)
}

func TestSuspendRefuses(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	user := b.login(email, goodPassword).AccessToken
	own, token := b.staff()
	waiting, _ := b.register(newEmail())
	for _, do := range []func(id uuid.UUID, token string) servetest.Response{
		func(id uuid.UUID, token string) servetest.Response { return b.suspend(id, token, nil) }, b.readmit,
	} {
		b.want(do(id, ""), 401, "unauthenticated")
		b.want(do(id, user), 403, "forbidden")
		b.want(do(own, token), 409, "own-account")
		b.want(do(uuid.New(), token), 404, "account-not-found")
	}
	res := b.want(b.suspend(waiting, token, nil), 409, "account-not-suspendable")
	require.Contains(t, string(res.Body), `"account_status":"pending"`)
	b.want(b.readmit(waiting, token), 409, "account-not-suspended")
	for _, bad := range []any{object{"reason": strings.Repeat("a", 501)}, object{"reason": 1}, object{"why": "x"}, []int{1}} {
		b.want(b.suspend(id, token, bad), 422, "invalid")
	}
	b.want(b.suspend(id, token, `{"reason":`), 400, "malformed")
	b.want(servetest.Do(t, b.rt, "POST", accountsPath+"x/suspension", token, nil), 422, "invalid")
	require.Empty(t, sentOf[events.AccountSuspended](b, "account.suspended.v1"))
	require.Zero(t, b.count(`accounts WHERE status = 'suspended'`))

	// Staff lose their power too, and get it back by hand only.
	other, _ := b.staff()
	b.want(b.suspend(other, token, nil), 200, "")
	require.False(t, b.hasRole(other, roleUser, roleAdmin))
	a, err := b.s.store.byAccountID(t.Context(), other)
	require.NoError(t, err)
	require.NoError(t, b.s.makeDemo(t.Context(), demo{a.Email, "Olive", "Operator", goodPassword, true}))
	require.False(t, b.hasRole(other, roleUser, roleAdmin), "not by a restart either")
	b.want(b.readmit(other, token), 200, "")
	require.True(t, b.hasRole(other, roleUser))
	require.False(t, b.hasRole(other, roleAdmin))
}

func TestSuspendCrash(t *testing.T) {
	ctx := t.Context()
	begin := func(b *bench, id uuid.UUID) Account {
		a, err := b.s.store.byAccountID(ctx, id)
		require.NoError(b.t, err)
		a, err = b.s.store.update(ctx, a.ID, func(_ pgx.Tx, a *Account) (bool, error) { return a.Suspend("", b.s.now()) })
		require.NoError(b.t, err)
		return a
	}
	settled := func(b *bench) {
		b.t.Helper()
		require.Zero(b.t, b.count(`accounts WHERE role_due <> '' OR sessions_end_at IS NOT NULL`))
	}
	t.Run("after the row", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		_, token := b.staff()
		mine := b.login(email, goodPassword)
		begin(b, id)
		b.want(b.post("/login", object{"email": email, "password": goodPassword}), 403, "account-suspended")
		res := b.want(b.readmit(id, token), 503, "unavailable") // one at a time
		require.NotEmpty(t, res.Header.Get("Retry-After"))
		b.want(b.post("/refresh", object{"refresh_token": mine.RefreshToken}), 401, "unauthenticated") // before its session has ended
		require.NoError(t, b.s.sweep(ctx))
		require.True(t, b.hasRole(id, roleUser), "the lease runs")
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		require.False(t, b.hasRole(id, roleUser))
		require.Zero(t, b.sessions(id))
		settled(b)
	})
	t.Run("after the roles", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		b.login(email, goodPassword)
		begin(b, id)
		require.NoError(t, b.s.keycloak.takeRoles(ctx, id, roleUser))
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		require.Zero(t, b.sessions(id))
		settled(b)
	})
	t.Run("Keycloak away", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		_, token := b.staff()
		b.login(email, goodPassword)
		back := b.away()
		b.want(b.suspend(id, token, nil), 200, "") // orders refuses from now on
		require.Len(t, sentOf[events.AccountSuspended](b, "account.suspended.v1"), 1)
		require.Error(t, b.s.sweep(ctx))
		b.later(lease)
		back()
		require.NoError(t, b.s.sweep(ctx))
		require.False(t, b.hasRole(id, roleUser))
		require.Zero(t, b.sessions(id))
		settled(b)

		back = b.away()
		sent := b.count(`outbox`)
		b.want(b.readmit(id, token), 503, "unavailable")
		require.Equal(t, Suspended, b.status(email))
		require.Equal(t, sent, b.count(`outbox`), "nothing is told before it is so")
		back()
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Active, b.status(email), "the sweep ends what was begun")
		require.Equal(t, sent+1, b.count(`outbox`))
		settled(b)
		b.login(email, goodPassword)
	})
	t.Run("the answer is lost", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		_, token := b.staff()
		var once atomic.Bool
		b.through(func(r *http.Request) bool {
			return strings.HasSuffix(r.URL.Path, "/role-mappings/realm") && r.Method != "GET" && once.CompareAndSwap(false, true)
		})
		b.want(b.suspend(id, token, nil), 200, "")
		require.Equal(t, 1, b.count(`accounts WHERE role_due = 'take'`))
		require.NoError(t, b.s.sweep(ctx))
		settled(b)
		once.Store(false)
		b.want(b.readmit(id, token), 503, "unavailable")
		b.want(b.readmit(id, token), 200, "")
		b.login(email, goodPassword)
		settled(b)
	})
	t.Run("changed one's mind", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		_, token := b.staff()
		b.want(b.suspend(id, token, nil), 200, "")
		a, err := b.s.store.byAccountID(ctx, id)
		require.NoError(t, err)
		_, err = b.s.store.update(ctx, a.ID, func(_ pgx.Tx, a *Account) (bool, error) { return a.Readmit(b.s.now()) })
		require.NoError(t, err)
		require.NoError(t, b.s.keycloak.giveRole(ctx, id, roleUser)) // and then the process died
		b.want(b.suspend(id, token, nil), 503, "unavailable")
		b.later(lease)
		b.want(b.suspend(id, token, nil), 200, "")
		require.False(t, b.hasRole(id, roleUser))
		require.Len(t, sentOf[events.AccountSuspended](b, "account.suspended.v1"), 1, "it never was active again")
		require.Equal(t, Suspended, b.status(email))
		settled(b)
	})
	t.Run("all at once", func(t *testing.T) {
		b := setup(t)
		email, id := b.active()
		_, token := b.staff()
		together(8, func(n int) int {
			if n%2 == 0 {
				return b.suspend(id, token, nil).Status
			}
			return b.readmit(id, token).Status
		})
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		settled(b)
		require.Equal(t, b.status(email) == Active, b.hasRole(id, roleUser), "Keycloak and the row agree")
	})
}

var formAction = regexp.MustCompile(`action="([^"]*/login-actions/authenticate[^"]*)"`)

// onPage tries a password on Keycloak's login page, as a browser that comes from the back office. When it is not let
// in, said is the page that it sees.
func (b *bench) onPage(email, secret string) (in bool, said string) {
	b.t.Helper()
	in, said, _ = b.browse(email, secret)
	return in, said
}

// waitsOnPage tries a password on Keycloak's login page, where it is refused, and returns a function that has the same
// browser go on, by every way there is, and tells whether it was let in.
func (b *bench) waitsOnPage(email, secret string) (again func() bool) {
	b.t.Helper()
	in, said, again := b.browse(email, secret)
	require.False(b.t, in, "%s", said)
	return again
}

func (b *bench) browse(email, secret string) (in bool, said string, again func() bool) {
	b.t.Helper()
	r, err := realm()
	require.NoError(b.t, err)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	do := func(method, address, form string, cookies []*http.Cookie) *http.Response {
		b.t.Helper()
		req, err := http.NewRequestWithContext(b.t.Context(), method, strings.Replace(address, r.public, r.url, 1), strings.NewReader(form))
		require.NoError(b.t, err)
		if form != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		req.Header.Set("X-Forwarded-For", "10.0.0.7") // strangers must come by https
		for _, c := range cookies {
			req.AddCookie(c)
		}
		res, err := client.Do(req)
		require.NoError(b.t, err)
		b.t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	start := r.url + "/realms/stampede/protocol/openid-connect/auth?" + url.Values{
		"client_id": {"backoffice"}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {r.public + "/admin"},
	}.Encode()
	page := do("GET", start, "", nil)
	text, err := io.ReadAll(page.Body)
	require.NoError(b.t, err)
	action := formAction.FindSubmatch(text)
	require.NotNil(b.t, action, "%d %s", page.StatusCode, text)
	form := html.UnescapeString(string(action[1]))
	cookies := page.Cookies()
	res := do("POST", form, url.Values{"username": {email}, "password": {secret}}.Encode(), cookies)
	text, err = io.ReadAll(res.Body)
	require.NoError(b.t, err)
	let := func(res *http.Response) bool {
		return res.StatusCode == http.StatusFound && strings.Contains(res.Header.Get("Location"), "code=")
	}
	return let(res), string(text), func() bool {
		cookies = append(cookies, res.Cookies()...)
		for _, step := range [][2]string{{"GET", form}, {"GET", start}, {"POST", form}} {
			posted := ""
			if step[0] == "POST" {
				posted = url.Values{"username": {email}, "password": {secret}}.Encode()
			}
			if let(do(step[0], step[1], posted, cookies)) {
				return true
			}
		}
		return false
	}
}

// Keycloak's page lets in who has a role, and tells only who knows the password that the account has none.
func TestLoginPage(t *testing.T) {
	b := setup(t)
	const noRole = "This account may not log in"
	try := func(email, secret string, want bool, words string) {
		t.Helper()
		in, said := b.onPage(email, secret)
		require.Equal(t, want, in, "%s", said)
		if !in {
			require.Contains(t, said, words)
			require.Equal(t, words == noRole, strings.Contains(said, noRole))
		}
	}
	pending := newEmail()
	id, code := b.register(pending)
	try(pending, "wrong password", false, "E-mail address or password is wrong")
	try(pending, goodPassword, false, noRole)
	try(newEmail(), goodPassword, false, "E-mail address or password is wrong")
	require.Zero(t, b.sessions(id))
	b.want(b.post("/verify-email", object{"email": pending, "code": code}), 204, "")
	try(pending, goodPassword, true, "")

	_, token := b.staff()
	b.want(b.suspend(id, token, nil), 200, "")
	try(pending, "wrong password", false, "E-mail address or password is wrong")
	try(pending, goodPassword, false, noRole)
	require.Zero(t, b.sessions(id))
	b.want(b.readmit(id, token), 200, "")
	try(pending, goodPassword, true, "")
	require.Equal(t, 1, b.sessions(id))

	// Staff who were made by hand may have ADMIN alone.
	byHand := newEmail()
	id, err := b.s.keycloak.createUser(t.Context(), Account{Email: byHand, FirstName: "By", LastName: "Hand"}, goodPassword)
	require.NoError(t, err)
	try(byHand, goodPassword, false, noRole)
	require.NoError(t, b.s.keycloak.giveRole(t.Context(), id, roleAdmin))
	try(byHand, goodPassword, true, "")
}

func TestPageLogins(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	other, _ := b.active()
	try := func(email, secret string, want bool) {
		t.Helper()
		in, said := b.onPage(email, secret)
		require.Equal(t, want, in, "%s", said)
	}
	try(email, "wrong password", false)
	try(email, goodPassword, true)
	try(other, goodPassword, true)
	token := b.login(email, goodPassword).AccessToken
	type page struct {
		Items []struct {
			At                        time.Time
			Address, Outcome, Through string
			UserAgent                 string `json:"user_agent"`
		}
		NextCursor *string `json:"next_cursor"`
	}
	read := func(query string) (p page, lines []string) {
		t.Helper()
		b.want(b.get("/api/v1/auth/login-history"+query, token), 200, "").JSON(t, &p)
		for _, i := range p.Items {
			lines = append(lines, i.Through+" "+i.Outcome)
			require.WithinDuration(t, time.Now(), i.At, time.Minute)
			if i.Through == "page" {
				require.Equal(t, []string{"10.0.0.7", ""}, []string{i.Address, i.UserAgent})
			}
		}
		return p, lines
	}
	want := []string{"api success", "page success", "page failed"}
	for range 2 { // each is kept once
		_, lines := read("")
		require.Equal(t, want, lines)
	}
	first, lines := read("?limit=2")
	require.Equal(t, want[:2], lines)
	_, lines = read("?limit=2&cursor=" + *first.NextCursor)
	require.Equal(t, want[2:], lines)

	// What was read stays, also without Keycloak; what comes later is found.
	back := b.away()
	_, lines = read("")
	require.Equal(t, want, lines)
	back()
	try(email, goodPassword, true)
	_, lines = read("")
	require.Equal(t, append([]string{"page success"}, want...), lines)
	_, admin := b.staff()
	var staffs struct{ Items []object }
	b.want(b.get(accountsPath+id.String()+"/login-history", admin), 200, "").JSON(t, &staffs)
	require.Len(t, staffs.Items, 4)

	// The limits of the API count what came through the API.
	for range 6 {
		try(other, "wrong password", false)
	}
	var others page
	b.want(b.get("/api/v1/auth/login-history", b.login(other, goodPassword).AccessToken), 200, "").JSON(t, &others)
	require.Len(t, others.Items, 8, "one's own only")
	require.Equal(t, 7, b.count(`page_logins WHERE account_id <> $1`, id))
	b.login(other, goodPassword)

	b.later(keepHistory + time.Hour)
	require.NoError(t, b.s.prune(t.Context()))
	require.Zero(t, b.count(`page_logins`))
}

func TestPageLoginID(t *testing.T) {
	t.Parallel()
	user := uuid.New()
	e := loginEvent{Time: 1795651444221, Type: "LOGIN", ClientID: "storefront", Address: "203.0.113.7"}
	l := e.login(user)
	require.Equal(t, l, e.login(user), "the same event is the same line")
	require.Equal(t, uuid.Version(7), l.ID.Version())
	require.Equal(t, uuid.RFC4122, l.ID.Variant())
	sec, nsec := l.ID.Time().UnixTime()
	require.Equal(t, l.At, time.Unix(sec, nsec).UTC())
	failed := e
	failed.Type, failed.Error = "LOGIN_ERROR", "invalid_user_credentials"
	require.NotEqual(t, l.ID, failed.login(user).ID)
	require.NotEqual(t, l.ID, e.login(uuid.New()).ID)
	require.Equal(t, []string{"success", "failed"}, []string{l.Outcome, failed.login(user).Outcome})
	later := e
	later.Time++
	require.Greater(t, later.login(user).ID.String(), l.ID.String())
}
