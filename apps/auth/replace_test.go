//go:build keycloak

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
)

// registerAs opens an account with a password and names of one's own, and returns its id and code.
func (b *bench) registerAs(email, secret, first, last string) (id uuid.UUID, code string) {
	b.t.Helper()
	var out struct {
		AccountID uuid.UUID `json:"account_id"`
	}
	b.want(b.post("/register", object{"email": email, "password": secret, "first_name": first, "last_name": last}), 201, "").JSON(b.t, &out)
	return out.AccountID, b.code(strings.ToLower(email), VerifyEmail)
}

const (
	strangers = "the stranger's words"
	owners    = "the owner's own words"
)

// Who registers a stranger's address gets nothing by it, whatever the owner does then (a pre-hijack).
func TestPreHijack(t *testing.T) {
	ctx := t.Context()
	verify := func(b *bench, email, code string, status int) {
		b.t.Helper()
		res := b.post("/verify-email", object{"email": email, "code": code})
		require.Equal(b.t, status, res.Status, "%s", res.Body)
	}
	// owned demands that the owner's password works, and no other.
	owned := func(b *bench, email string) Tokens {
		b.t.Helper()
		b.want(b.post("/login", object{"email": email, "password": strangers}), 401, "credentials-invalid")
		return b.login(email, owners)
	}

	t.Run("the owner registers", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		first, old := b.registerAs(email, strangers, "Mal", "Lory")
		second, code := b.registerAs(strings.ToUpper(email), owners, "Ann", "Lee")
		require.NotEqual(t, first, second, "nothing of the first lives on")
		require.Equal(t, []events.AccountRemoved{{AccountID: first, At: sentOf[events.AccountRemoved](b, "account.removed.v1")[0].At}},
			sentOf[events.AccountRemoved](b, "account.removed.v1"))
		if old != code {
			verify(b, email, old, 400)
		}
		verify(b, email, code, 204)
		caller, err := b.rt.Verifier.Verify(owned(b, email).AccessToken)
		require.NoError(t, err)
		require.Equal(t, []any{second, "Ann", "Lee"}, []any{caller.ID, caller.FirstName, caller.LastName})
		b.want(b.post("/register", registration(email)), 409, "email-taken")
		b.want(b.post("/register", registration(strings.ToUpper(email))), 409, "email-taken")
	})
	t.Run("the stranger registers after the owner", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		b.registerAs(email, owners, "Ann", "Lee")
		_, code := b.registerAs(email, strangers, "Mal", "Lory")
		// The newest mail is the stranger's doing. The owner's password goes with its code.
		b.want(b.post("/verify-email", object{"email": email, "code": wrong(code), "password": owners}), 400, "code-invalid")
		b.want(b.post("/verify-email", object{"email": email, "code": code, "password": "short"}), 422, "invalid")
		require.Equal(t, Pending, b.status(email))
		b.want(b.post("/verify-email", object{"email": email, "code": code, "password": owners}), 204, "")
		owned(b, email)
		require.Len(t, sentOf[events.AccountActivated](b, "account.activated.v1"), 1)
	})
	t.Run("the owner forgot that there is none", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		id, old := b.registerAs(email, strangers, "Mal", "Lory")
		b.want(b.post("/password/forgot", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(ctx))
		code := b.code(email, PasswordReset)
		b.want(b.post("/password/reset", object{"email": email, "code": wrong(code), "new_password": owners}), 400, "code-invalid")
		b.want(b.post("/password/reset", object{"email": email, "code": code, "new_password": owners}), 204, "")
		require.Equal(t, Active, b.status(email), "the code has proved the address")
		require.True(t, b.hasRole(id, roleUser))
		owned(b, email)
		verify(b, email, old, 400)
	})
	t.Run("the password is set before the role is given", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		id, _ := b.registerAs(email, strangers, "Mal", "Lory")
		b.want(b.post("/password/forgot", object{"email": email}), 202, "")
		require.NoError(t, b.s.answerRequests(ctx))
		code := b.code(email, PasswordReset)
		back := b.away()
		b.want(b.post("/password/reset", object{"email": email, "code": code, "new_password": owners}), 503, "unavailable")
		back()
		b.later(lease)
		require.NoError(t, b.s.sweep(ctx))
		require.Equal(t, Pending, b.status(email), "whose password it has is not known")
		require.False(t, b.hasRole(id, roleUser))
		b.want(b.post("/password/reset", object{"email": email, "code": code, "new_password": owners}), 204, "")
		owned(b, email)
	})
	t.Run("a login that waits", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.registerAs(email, strangers, "Mal", "Lory")
		begun := b.s.now()
		tokens, err := b.s.keycloak.login(ctx, email, strangers)
		require.NoError(t, err)
		b.later(time.Second)
		verify(b, email, code, 204)
		require.ErrorIs(t, b.s.mayLogIn(ctx, email, begun, tokens), ErrAccountPending)
		require.NoError(t, b.s.mayLogIn(ctx, email, b.s.now(), tokens))
	})
	t.Run("both at once", func(t *testing.T) {
		b := setup(t)
		for range 3 {
			email := newEmail()
			_, code := b.registerAs(email, strangers, "Mal", "Lory")
			statuses := together(2, func(n int) int {
				if n == 0 {
					return b.post("/verify-email", object{"email": email, "code": code}).Status
				}
				return b.post("/register", object{"email": email, "password": owners, "first_name": "Ann", "last_name": "Lee"}).Status
			})
			switch b.status(email) {
			case Active: // the code was used before
				require.Equal(t, map[int]int{204: 1, 409: 1}, statuses)
			case Pending:
				require.Equal(t, map[int]int{400: 1, 201: 1}, statuses)
				verify(b, email, b.code(email, VerifyEmail), 204)
				owned(b, email)
			default:
				require.Fail(t, "neither", "%s %v", b.status(email), statuses)
			}
		}
	})
	t.Run("after the code was used", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.register(email)
		_, err := b.s.useCode(ctx, email, VerifyEmail, code, func(a *Account, now time.Time) { a.Verify(now) })
		require.NoError(t, err)
		b.later(lease)
		b.want(b.post("/register", registration(email)), 409, "email-taken")
	})
}

// A login on Keycloak's page that was refused for want of a role gets nowhere when the role comes.
func TestPageLoginThatWaits(t *testing.T) {
	b := setup(t)
	email := newEmail()
	_, code := b.registerAs(email, strangers, "Mal", "Lory")
	again := b.waitsOnPage(email, strangers)
	b.want(b.post("/verify-email", object{"email": email, "code": code, "password": owners}), 204, "")
	require.False(t, again(), "the password of before")
	in, said := b.onPage(email, owners)
	require.True(t, in, "%s", said)
}

func TestReplaceCrash(t *testing.T) {
	ctx := t.Context()
	begin := func(b *bench, email string) Account {
		b.t.Helper()
		a, wait, err := b.s.store.end(ctx, email, "", b.s.settings.Limits, b.s.now())
		require.NoError(b.t, err)
		require.Zero(b.t, wait)
		require.Equal(b.t, Ending, a.Status)
		return a
	}
	users := func(b *bench, email string) int {
		_, _, err := b.s.keycloak.findUser(ctx, email)
		if err != nil {
			require.ErrorIs(b.t, err, errNoUser)
			return 0
		}
		return 1
	}
	for name, deleted := range map[string]bool{"before Keycloak": false, "after Keycloak": true} {
		crash := func(t *testing.T) (*bench, string, string) {
			b := setup(t)
			email := newEmail()
			_, code := b.registerAs(email, strangers, "Mal", "Lory")
			a := begin(b, email)
			if deleted {
				require.NoError(t, b.s.keycloak.deleteUser(ctx, *a.AccountID))
			}
			return b, email, code
		}
		t.Run(name+", then the sweep", func(t *testing.T) {
			b, email, code := crash(t)
			b.want(b.post("/verify-email", object{"email": email, "code": code}), 400, "code-invalid")
			b.want(b.post("/verify-email/code", object{"email": email}), 202, "")
			b.want(b.post("/password/forgot", object{"email": email}), 202, "")
			sent := b.count(`outbox`)
			require.NoError(t, b.s.answerRequests(ctx))
			require.Equal(t, sent, b.count(`outbox`), "no code")
			require.NoError(t, b.s.sweep(ctx))
			require.Equal(t, Ending, b.status(email), "the lease runs")
			b.later(lease)
			together(3, func(int) int { // three instances
				require.NoError(t, b.s.sweep(ctx))
				return 0
			})
			require.Equal(t, Status(""), b.status(email))
			require.Zero(t, users(b, email))
			require.Len(t, sentOf[events.AccountRemoved](b, "account.removed.v1"), 1)
			b.register(email)
		})
		t.Run(name+", registered again", func(t *testing.T) {
			b, email, _ := crash(t)
			b.want(b.post("/register", registration(email)), 503, "unavailable") // the lease runs
			b.later(lease)
			_, code := b.registerAs(email, owners, "Ann", "Lee")
			b.want(b.post("/verify-email", object{"email": email, "code": code}), 204, "")
			b.login(email, owners)
			b.want(b.post("/login", object{"email": email, "password": strangers}), 401, "credentials-invalid")
			require.Len(t, sentOf[events.AccountRemoved](b, "account.removed.v1"), 1)
		})
	}
	t.Run("Keycloak away", func(t *testing.T) {
		b := setup(t)
		email := newEmail()
		_, code := b.registerAs(email, strangers, "Mal", "Lory")
		back := b.away()
		b.want(b.post("/register", registration(email)), 503, "unavailable")
		back()
		b.want(b.post("/verify-email", object{"email": email, "code": code}), 400, "code-invalid")
		b.register(email) // at once
	})
}

// Registering anew sends a mail, and is counted like asking for a code.
func TestReplaceLimits(t *testing.T) {
	b := setup(t)
	email := newEmail()
	for n := range 4 { // the first one, and three more
		b.registerAs(email, strangers, "Mal", strings.Repeat("y", n+1))
	}
	res := b.want(b.post("/register", registration(email), "X-Real-Ip", "198.51.100.1"), 429, "too-many-requests")
	require.NotEmpty(t, res.Header.Get("Retry-After"))
	require.Equal(t, Pending, b.status(email), "the account is as it was")
	b.want(b.post("/verify-email/code", object{"email": email}), 429, "too-many-requests")
	b.later(time.Hour)
	b.register(email)
}

// Nobody verified it for a day: it ends, once, also with three instances.
func TestPendingEnds(t *testing.T) {
	ctx := t.Context()
	b := setup(t)
	forgotten, asked := newEmail(), newEmail()
	id, _ := b.register(forgotten)
	b.register(asked)
	kept, _ := b.active()
	b.later(pendingLife - time.Minute)
	require.NoError(t, b.s.sweep(ctx))
	require.Equal(t, Pending, b.status(forgotten))
	b.want(b.post("/verify-email/code", object{"email": asked}), 202, "")
	require.NoError(t, b.s.answerRequests(ctx))
	b.later(2 * time.Minute)
	together(3, func(int) int {
		require.NoError(t, b.s.sweep(ctx))
		return 0
	})
	require.NoError(t, b.s.sweep(ctx))
	require.Equal(t, Status(""), b.status(forgotten))
	_, _, err := b.s.keycloak.findUser(ctx, forgotten)
	require.ErrorIs(t, err, errNoUser)
	removed := sentOf[events.AccountRemoved](b, "account.removed.v1")
	require.Len(t, removed, 1)
	require.Equal(t, id, removed[0].AccountID)
	require.Equal(t, Active, b.status(kept))
	require.Equal(t, Pending, b.status(asked), "its code is still good")
	b.want(b.post("/verify-email", object{"email": asked, "code": b.code(asked, VerifyEmail)}), 204, "")
	b.register(forgotten)
}
