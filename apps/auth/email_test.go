//go:build keycloak

package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// as posts with a token.
func (b *bench) as(token, path string, body any) servetest.Response {
	b.t.Helper()
	return servetest.Do(b.t, b.rt, "POST", "/api/v1/auth"+path, token, body)
}

// askEmail asks for another address and returns the code that was sent there.
func (b *bench) askEmail(token, email string) string {
	b.t.Helper()
	b.want(b.as(token, "/email/change", object{"password": goodPassword, "email": email}), 202, "")
	return b.code(strings.ToLower(email), ChangeEmail)
}

// user is what Keycloak knows of a user.
func (b *bench) user(id uuid.UUID) (user struct {
	Username, Email string
	EmailVerified   bool
}) {
	b.t.Helper()
	_, err := b.s.keycloak.do(b.t.Context(), "GET", "/users/"+id.String(), nil, &user)
	require.NoError(b.t, err)
	return user
}

// moved demands that an account has another address everywhere, and the old one nowhere.
func (b *bench) moved(id uuid.UUID, old, email string) {
	b.t.Helper()
	user := b.user(id)
	require.Equal(b.t, []any{email, email, true}, []any{user.Username, user.Email, user.EmailVerified})
	a, err := b.s.store.byAccountID(b.t.Context(), id)
	require.NoError(b.t, err)
	require.Equal(b.t, []any{email, "", Active}, []any{a.Email, a.EmailDue, a.Status})
	changed := sentOf[events.AccountEmailChanged](b, "account.email_changed.v1")
	require.Equal(b.t, []events.AccountEmailChanged{{AccountID: id, Email: email, At: changed[0].At}}, changed, "told once")
	b.login(email, goodPassword)
	b.want(b.post("/login", object{"email": old, "password": goodPassword}), 401, "credentials-invalid")
}

func TestChangeEmail(t *testing.T) {
	b := setup(t)
	old, id := b.active()
	other, mine := b.login(old, goodPassword), b.login(old, goodPassword)
	email := newEmail()

	b.want(b.post("/email/change", object{"password": goodPassword, "email": email}), 401, "unauthenticated")
	b.want(b.as(mine.AccessToken, "/email/change", object{"password": "not the password", "email": email}), 401, "credentials-invalid")
	for _, bad := range []string{"", "ann", old, strings.ToUpper(old), "аnn@example.test", "ann@exаmple.test"} { // Cyrillic twins
		b.want(b.as(mine.AccessToken, "/email/change", object{"password": goodPassword, "email": bad}), 422, "invalid")
	}
	require.Empty(t, sentOf[events.AccountEmailChangeAsked](b, "account.email_change_asked.v1"))

	code := b.askEmail(mine.AccessToken, strings.ToUpper(email))
	require.NotEmpty(t, code)
	asked := sentOf[events.AccountEmailChangeAsked](b, "account.email_change_asked.v1")
	require.Equal(t, []events.AccountEmailChangeAsked{{AccountID: id, Email: old, FirstName: "Ann", At: asked[0].At}}, asked)
	require.Equal(t, 2, b.sessions(id), "to show the password again opens no session")
	a, err := b.s.store.byAccountID(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, old, a.Email, "nothing changes before the code")

	// The code is this account's, and this purpose's.
	_, stranger := b.active()
	strangers, err := b.s.store.byAccountID(t.Context(), stranger)
	require.NoError(t, err)
	b.want(b.as(b.login(strangers.Email, goodPassword).AccessToken, "/email/verify", object{"code": code}), 400, "code-invalid")
	b.want(b.post("/verify-email", object{"email": email, "code": code}), 400, "code-invalid")
	b.want(b.as(mine.AccessToken, "/email/verify", object{"code": wrong(code)}), 400, "code-invalid")
	b.want(b.as(mine.AccessToken, "/email/verify", object{"code": "nothing"}), 400, "code-invalid")
	b.want(b.as(mine.AccessToken, "/email/verify", object{"code": code}), 204, "")
	b.want(b.as(mine.AccessToken, "/email/verify", object{"code": code}), 204, "") // a second click
	b.want(b.post("/refresh", object{"refresh_token": other.RefreshToken}), 401, "unauthenticated")
	var renewed Tokens
	b.want(b.post("/refresh", object{"refresh_token": mine.RefreshToken}), 200, "").JSON(t, &renewed)
	caller, err := b.rt.Verifier.Verify(renewed.AccessToken)
	require.NoError(t, err)
	require.Equal(t, []any{id, email}, []any{caller.ID, caller.Email})
	b.moved(id, old, email)

	// The old address is anybody's again, and the new one is not.
	b.want(b.post("/register", registration(email)), 409, "email-taken")
	b.register(old)
}

// TestChangeEmailTaken: an address that has an account stays its own; one that somebody has but registered does not.
func TestChangeEmailTaken(t *testing.T) {
	b := setup(t)
	old, id := b.active()
	token := b.login(old, goodPassword).AccessToken
	taken, _ := b.active()
	b.want(b.as(token, "/email/change", object{"password": goodPassword, "email": taken}), 409, "email-taken")
	require.Empty(t, b.code(taken, ChangeEmail))

	// Somebody verifies it while the code is on its way.
	late := newEmail()
	_, verify := b.register(late)
	code := b.askEmail(token, late)
	b.want(b.post("/verify-email", object{"email": late, "code": verify}), 204, "")
	b.want(b.as(token, "/email/verify", object{"code": code}), 409, "email-taken")
	a, err := b.s.store.byAccountID(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, []string{old, ""}, []string{a.Email, a.EmailDue})
	require.Equal(t, old, b.user(id).Email)

	// A user of Keycloak's alone, made by hand.
	b.later(2 * time.Hour)
	byHand := newEmail()
	foreign, err := b.s.keycloak.createUser(t.Context(), Account{Email: byHand, FirstName: "Olive", LastName: "O"}, goodPassword)
	require.NoError(t, err)
	code = b.askEmail(token, byHand)
	b.want(b.as(token, "/email/verify", object{"code": code}), 409, "email-taken")
	require.Equal(t, byHand, b.user(foreign).Email)

	// A stranger has registered it, and has proved nothing.
	pending := newEmail()
	gone, _ := b.register(pending)
	code = b.askEmail(token, pending)
	b.want(b.as(token, "/email/verify", object{"code": code}), 204, "")
	b.moved(id, old, pending)
	require.Equal(t, gone, sentOf[events.AccountRemoved](b, "account.removed.v1")[0].AccountID)
}

// TestChangeEmailOnce: one change is under way at a time, the newest, for as long as its code is good and the password the same.
func TestChangeEmailOnce(t *testing.T) {
	b := setup(t)
	old, id := b.active()
	tokens := b.login(old, goodPassword)
	first, second := newEmail(), newEmail()
	older, newer := b.askEmail(tokens.AccessToken, first), b.askEmail(tokens.AccessToken, second)
	if older != newer {
		b.want(b.as(tokens.AccessToken, "/email/verify", object{"code": older}), 400, "code-invalid")
	}
	for range maxTries {
		b.want(b.as(tokens.AccessToken, "/email/verify", object{"code": wrong(newer)}), 400, "code-invalid")
	}
	b.want(b.as(tokens.AccessToken, "/email/verify", object{"code": newer}), 400, "code-invalid")

	code := b.askEmail(tokens.AccessToken, second)
	// Three codes were asked for by this account: the fourth waits, whatever the address, and no sooner for another purpose.
	fourth := object{"password": goodPassword, "email": newEmail()}
	res := b.want(b.as(tokens.AccessToken, "/email/change", fourth), 429, "too-many-requests")
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	b.later(30*time.Minute + time.Second)
	b.want(b.as(tokens.AccessToken, "/email/verify", object{"code": code}), 400, "code-invalid")

	b.later(time.Hour)
	for name, stop := range map[string]func(){
		"password changed": func() {
			b.want(b.as(tokens.AccessToken, "/password/change", object{"password": goodPassword, "new_password": owners}), 204, "")
			b.want(b.as(tokens.AccessToken, "/password/change", object{"password": owners, "new_password": goodPassword}), 204, "")
		},
		"password reset": func() {
			b.want(b.post("/password/forgot", object{"email": old}), 202, "")
			require.NoError(t, b.s.answerRequests(t.Context()))
			reset := object{"email": old, "code": b.code(old, PasswordReset), "new_password": goodPassword}
			b.want(b.post("/password/reset", reset), 204, "")
		},
	} {
		code := b.askEmail(tokens.AccessToken, second)
		stop()
		b.want(b.as(tokens.AccessToken, "/email/verify", object{"code": code}), 400, "code-invalid")
		require.Equal(t, old, b.user(id).Email, name)
	}
}

// TestChangeEmailWithoutKeycloak: what the code has proved becomes so, whenever Keycloak goes away, and once.
func TestChangeEmailWithoutKeycloak(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(r *http.Request) bool{
		"never asked": nil,
		"no answer": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/users/")
		},
		"sessions": func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/sessions") },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			old, id := b.active()
			other, mine := b.login(old, goodPassword), b.login(old, goodPassword)
			email := newEmail()
			code := b.askEmail(mine.AccessToken, email)
			there := b.s.keycloak
			if lost == nil {
				b.away()
			} else {
				b.through(lost)
			}
			res := b.as(mine.AccessToken, "/email/verify", object{"code": code})
			require.Equal(t, name != "sessions", res.Status == 503, "%s", res.Body)
			b.s.keycloak = there
			b.later(time.Second)
			require.NoError(t, b.s.sweep(t.Context()))
			b.want(b.as(mine.AccessToken, "/email/verify", object{"code": code}), 204, "")
			b.moved(id, old, email)
			b.want(b.post("/refresh", object{"refresh_token": other.RefreshToken}), 401, "unauthenticated")
			b.want(b.post("/refresh", object{"refresh_token": mine.RefreshToken}), 200, "")
		})
	}
}
