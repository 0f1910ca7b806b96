//go:build keycloak

package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// relayed does what the relay does when the broker has confirmed.
func (b *bench) relayed() {
	b.t.Helper()
	_, err := b.db.Exec(b.t.Context(), `UPDATE outbox SET sent_at = now(), data = CASE WHEN secret THEN '{}' ELSE data END`)
	require.NoError(b.t, err)
}

func TestDeletion(t *testing.T) {
	b := setup(t)
	email, second := newEmail(), newEmail()
	id, code := b.registerAs(email, goodPassword, "Augusta", "Lovelace")
	b.want(b.post("/verify-email", object{"email": email, "code": code}), 204, "")
	tokens := b.login(email, goodPassword)
	b.want(b.post("/login", object{"email": email, "password": "not the password"}), 401, "credentials-invalid")
	in, _ := b.onPage(email, goodPassword)
	require.True(t, in)
	b.want(b.get("/api/v1/auth/login-history", tokens.AccessToken), 200, "") // reads those of the page
	b.want(b.post("/password/forgot", object{"email": email}), 202, "")
	b.askEmail(tokens.AccessToken, second)
	b.relayed()

	b.want(b.post("/deletion", object{"password": goodPassword}), 401, "unauthenticated")
	b.want(b.as(tokens.AccessToken, "/deletion", object{"password": "not the password"}), 401, "credentials-invalid")
	require.Equal(t, Active, b.status(email))
	b.want(b.as(tokens.AccessToken, "/deletion", object{"password": goodPassword}), 202, "")
	require.Equal(t, []events.AccountRemoved{{AccountID: id, At: sentOf[events.AccountRemoved](b, "account.removed.v1")[0].At}},
		sentOf[events.AccountRemoved](b, "account.removed.v1"))
	_, err := b.s.store.byAccountID(t.Context(), id)
	require.ErrorIs(t, err, ErrAccountNotFound)
	_, err = b.s.keycloak.do(t.Context(), "GET", "/users/"+id.String(), nil, nil)
	require.ErrorIs(t, err, errNoUser)
	servetest.Nowhere(t, b.db, email, "Augusta", "Lovelace")

	// Nothing of it works, and the address is anybody's.
	b.want(b.post("/refresh", object{"refresh_token": tokens.RefreshToken}), 401, "unauthenticated")
	b.want(b.as(tokens.AccessToken, "/deletion", object{"password": goodPassword}), 403, "forbidden")
	b.want(b.as(tokens.AccessToken, "/email/change", object{"password": goodPassword, "email": second}), 403, "forbidden")
	require.NoError(t, b.s.answerRequests(t.Context()))
	b.want(b.post("/login", object{"email": email, "password": goodPassword}), 401, "credentials-invalid")
	next, _ := b.register(email)
	require.NotEqual(t, id, next)
}

// TestDeletionWithoutKeycloak: what was begun is ended, whenever Keycloak goes away, and told once.
func TestDeletionWithoutKeycloak(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(r *http.Request) bool{
		"the deletion has no answer": func(r *http.Request) bool { return r.Method == http.MethodDelete },
		"the password has no answer": func(r *http.Request) bool { return r.URL.Path == "/realms/stampede/protocol/openid-connect/token" },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			email, id := b.active()
			tokens := b.login(email, goodPassword)
			_, _, err := b.s.keycloak.findUser(t.Context(), email) // with a token of the service's own
			require.NoError(t, err)
			there := b.s.keycloak
			b.through(lost)
			begun := name == "the deletion has no answer"
			res := b.as(tokens.AccessToken, "/deletion", object{"password": goodPassword})
			require.Equal(t, begun, res.Status == 202, "%s", res.Body)
			b.s.keycloak = there
			if !begun {
				require.Equal(t, Active, b.status(email), "nobody has shown the password")
				return
			}
			require.Equal(t, Ending, b.status(email))
			b.want(b.post("/login", object{"email": email, "password": goodPassword}), 401, "credentials-invalid")
			b.later(time.Second)
			require.NoError(t, b.s.sweep(t.Context()))
			require.NoError(t, b.s.sweep(t.Context()))
			require.Equal(t, Status(""), b.status(email))
			require.Len(t, sentOf[events.AccountRemoved](b, "account.removed.v1"), 1)
			require.Equal(t, id, sentOf[events.AccountRemoved](b, "account.removed.v1")[0].AccountID)
		})
	}
}

// TestDeletionSuspended: who is shut out deletes nothing, as what the shop has against the account would go with it.
func TestDeletionSuspended(t *testing.T) {
	b := setup(t)
	email, id := b.active()
	tokens := b.login(email, goodPassword)
	_, staff := b.staff()
	b.want(b.suspend(id, staff, object{"reason": "x"}), 200, "")
	b.want(b.as(tokens.AccessToken, "/deletion", object{"password": goodPassword}), 403, "account-suspended")
	require.Equal(t, Suspended, b.status(email))
}
