//go:build keycloak

package main

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// imports gives a file of customers to the service.
func (b *bench) imports(staff, file, query string) (out csvfile.Report) {
	b.t.Helper()
	res := servetest.Do(b.t, b.rt, "POST", "/api/v1/admin/auth/accounts/import"+query, staff, file, "Content-Type", "text/csv")
	b.want(res, 200, "").JSON(b.t, &out)
	return out
}

func (b *bench) waiting(staff string) (out waiting) {
	b.t.Helper()
	b.want(b.get("/api/v1/admin/auth/accounts/arrivals", staff), 200, "").JSON(b.t, &out)
	return out
}

// arrived makes accounts of all who wait.
func (b *bench) arrived(staff string) {
	b.t.Helper()
	require.NoError(b.t, b.s.arrive(b.t.Context()))
	require.Zero(b.t, b.waiting(staff).Waiting)
}

func (b *bench) importedEvents() []events.AccountImported {
	b.t.Helper()
	return sentOf[events.AccountImported](b, "account.imported.v1")
}

func customerRow(email string) string {
	return "1,Ann,Lee," + email + ",no,,1 High St,,London,,GB,N1 9GU,,+442079460000,,,,,,\n"
}

// TestArrivalTooLate: who has an account by the time that a file's row of them is taken keeps it as it is.
func TestArrivalTooLate(t *testing.T) {
	b := setup(t)
	_, staff := b.staff()
	known, _ := b.active()
	_, err := b.db.Exec(t.Context(), `
		INSERT INTO arrivals (id, email, first_name, last_name, phone, invite, noted_at, next_try_at)
		VALUES (gen_random_uuid(), $1, 'Not', 'Theirs', '', true, $2, $2)`, known, b.s.now())
	require.NoError(t, err)
	require.Equal(t, 1, b.waiting(staff).Waiting)
	b.arrived(staff)
	require.Empty(t, b.importedEvents())
	a, err := b.s.store.byEmail(t.Context(), known)
	require.NoError(t, err)
	require.Equal(t, Active, a.Status)
	require.NotEqual(t, "Theirs", a.LastName)
}

func TestImportCustomers(t *testing.T) {
	b := setup(t)
	_, staff := b.staff()
	known, _ := b.active()
	pending := newEmail()
	was, _ := b.register(pending)
	first, second := newEmail(), newEmail()
	file := customerHeader + customerRow(first) + customerRow(strings.ToUpper(second)) + customerRow(known) + customerRow(pending) +
		customerRow(first) + "1,No,Address,,no,,,,,,,,,,,,,,,\n"
	out := b.imports(staff, file, "?invite=true")
	require.Equal(t, []int{2, 3, 1}, []int{out.Created, out.Unchanged, out.Refused})
	require.True(t, out.Complete)
	require.Equal(t, csvfile.Row{Line: 7, Outcome: csvfile.Refused, Reason: out.Rows[5].Reason, Notes: []string{}}, out.Rows[5])
	require.Equal(t, 2, b.waiting(staff).Waiting)
	require.Empty(t, b.importedEvents(), "in the background")
	require.Equal(t, 0, b.imports(staff, file, "").Created, "twice is harmless")

	b.arrived(staff)
	told := b.importedEvents()
	require.Len(t, told, 2)
	at := slices.IndexFunc(told, func(e events.AccountImported) bool { return e.Email == first }) // both were due at once
	require.Equal(t, []any{first, "+442079460000", "N1 9GU", true},
		[]any{told[at].Email, told[at].Phone, told[at].Address.PostalCode, told[at].Invite})
	require.Empty(t, b.code(first, VerifyEmail), "an invitation has no code")
	require.Equal(t, Pending, b.status(first))
	a, err := b.s.store.byEmail(t.Context(), pending)
	require.NoError(t, err)
	require.Equal(t, was, *a.AccountID, "who has an account keeps it as it is")
	require.Equal(t, 0, b.imports(staff, file, "").Created)
	b.arrived(staff)

	// It waits for longer than a day, and nobody gets in without a code.
	b.later(48 * time.Hour)
	require.NoError(t, b.s.sweep(t.Context()))
	require.Equal(t, Status(""), b.status(pending), "one that was registered ends")
	require.Equal(t, Pending, b.status(first))
	b.want(b.post("/login", object{"email": first, "password": goodPassword}), 401, "credentials-invalid")
	b.want(b.post("/password/forgot", object{"email": first}), 202, "")
	require.NoError(t, b.s.answerRequests(t.Context()))
	b.want(b.post("/password/reset", object{"email": first, "code": b.code(first, PasswordReset), "new_password": goodPassword}), 204, "")
	require.Equal(t, Active, b.status(first))
	mine := b.login(first, goodPassword).AccessToken
	require.Len(t, b.importedEvents(), 2, "told once")
	require.Zero(t, b.count(`arrivals WHERE email = $1`, first), "nothing is left of the file")

	for _, bad := range []string{"", "{}", "Name,Email\n#1,a@example.test\n", "Handle,Title\nx,y\n"} {
		b.want(servetest.Do(t, b.rt, "POST", "/api/v1/admin/auth/accounts/import", staff, bad, "Content-Type", "text/csv"), 422, "invalid")
	}
	b.want(servetest.Do(t, b.rt, "POST", "/api/v1/admin/auth/accounts/import", mine, file, "Content-Type", "text/csv"), 403, "forbidden")
	// Who deletes the account is forgotten.
	b.relayed()
	b.want(b.as(mine, "/deletion", object{"password": goodPassword}), 202, "")
	servetest.Nowhere(t, b.db, first)
}

// TestImportedRegisters: whoever registers in place of choosing a password has what the file had once the address is proved,
// and whoever registers a stranger's takes nothing away.
func TestImportedRegisters(t *testing.T) {
	b := setup(t)
	_, staff := b.staff()
	owner, hijacked, early := newEmail(), newEmail(), newEmail()
	b.imports(staff, customerHeader+customerRow(owner)+customerRow(hijacked), "?invite=true")
	b.arrived(staff)
	require.Len(t, b.importedEvents(), 2)

	id, code := b.register(owner)
	b.want(b.post("/verify-email", object{"email": owner, "code": code}), 204, "")
	b.login(owner, goodPassword)
	told := b.importedEvents()
	last := told[len(told)-1]
	require.Equal(t, []any{id, "N1 9GU", false}, []any{last.AccountID, last.Address.PostalCode, last.Invite},
		"to the new account, without a mail")

	b.register(hijacked)
	require.NoError(t, b.s.arrive(t.Context()))
	b.later(2 * time.Hour)
	require.NoError(t, b.s.arrive(t.Context()))
	require.Equal(t, 1, b.waiting(staff).Waiting, "for as long as that may be proved")
	require.Zero(t, b.count(`accounts WHERE email = $1 AND imported_at IS NOT NULL`, hijacked))
	b.later(25 * time.Hour)
	require.NoError(t, b.s.sweep(t.Context()))
	require.Equal(t, Status(""), b.status(hijacked))
	b.later(time.Hour)
	b.arrived(staff)
	require.Equal(t, 1, b.count(`accounts WHERE email = $1 AND imported_at IS NOT NULL`, hijacked))
	told = b.importedEvents()
	require.Equal(t, []any{hijacked, false}, []any{told[len(told)-1].Email, told[len(told)-1].Invite}, "one invitation is enough")

	// Somebody begins to register between the file and its account.
	b.imports(staff, customerHeader+customerRow(early), "?invite=true")
	id, code = b.register(early)
	require.NoError(t, b.s.arrive(t.Context()))
	require.Equal(t, id, *must(t)(b.s.store.byEmail(t.Context(), early)).AccountID)
	b.want(b.post("/verify-email", object{"email": early, "code": code}), 204, "")
	told = b.importedEvents()
	last = told[len(told)-1]
	require.Equal(t, []any{id, false}, []any{last.AccountID, last.Invite}, "who has an account needs no invitation")
	require.Zero(t, b.waiting(staff).Waiting)

	// An account that changes to an address of the file has what the file had.
	mover, _ := b.active()
	moved := newEmail()
	b.imports(staff, customerHeader+customerRow(moved), "")
	b.arrived(staff)
	tokens := b.login(mover, goodPassword)
	b.want(b.as(tokens.AccessToken, "/email/verify", object{"code": b.askEmail(tokens.AccessToken, moved)}), 204, "")
	told = b.importedEvents()
	require.Equal(t, []any{moved, *must(t)(b.s.store.byEmail(t.Context(), moved)).AccountID},
		[]any{told[len(told)-1].Email, told[len(told)-1].AccountID})

	// Who never comes is forgotten after a year.
	b.later(arrivalLife + time.Minute)
	require.NoError(t, b.s.sweep(t.Context()))
	require.NoError(t, b.s.prune(t.Context()))
	require.NoError(t, b.s.arrive(t.Context()))
	require.Equal(t, Status(""), b.status(hijacked))
	require.Zero(t, b.count(`arrivals`))
}

func must(t *testing.T) func(a Account, err error) Account {
	return func(a Account, err error) Account {
		t.Helper()
		require.NoError(t, err)
		return a
	}
}

// TestOwners: orders hears whose an address is, once that was proved.
func TestOwners(t *testing.T) {
	b := setup(t)
	known, id := b.active()
	pending := newEmail()
	b.register(pending)
	ask := func(app string) servetest.Response {
		return servetest.Do(t, b.rt, "POST", "/internal/accounts/owners", "", object{"emails": []string{known, pending, newEmail()}},
			"dapr-caller-app-id", app)
	}
	var out struct{ Items []owner }
	b.want(ask("orders"), 200, "").JSON(t, &out)
	require.Equal(t, []owner{{Email: known, AccountID: id}}, out.Items)
	b.want(ask("carts"), 403, "forbidden")
}

// TestImportRefused: whom Keycloak does not take is told, and holds up nobody.
func TestImportRefused(t *testing.T) {
	b := setup(t)
	_, staff := b.staff()
	theirs, good := newEmail(), newEmail()
	_, err := b.s.keycloak.createUser(t.Context(), Account{Email: theirs, FirstName: "By", LastName: "Hand"}, goodPassword)
	require.NoError(t, err)
	b.imports(staff, customerHeader+customerRow(theirs)+customerRow(good), "")
	b.later(time.Hour) // the user is older than the account would be
	b.arrived(staff)
	require.Equal(t, Pending, b.status(good))
	require.Equal(t, Status(""), b.status(theirs))
	failed := b.waiting(staff).Failed
	require.Len(t, failed, 1)
	require.Equal(t, []any{theirs, false}, []any{failed[0].Email, failed[0].Again})
}

// TestImportGoesOn: whatever step a crash or Keycloak cuts off, everybody of the file has an account in the end, once.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]func(r *http.Request) bool{
		"never asked": nil,
		"user is made": func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/users")
		},
		"token is given": func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/token") },
	} {
		for _, swept := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				b := setup(t)
				_, staff := b.staff()
				email := newEmail()
				b.imports(staff, customerHeader+customerRow(email), "")
				there := b.s.keycloak
				if lost == nil {
					b.away()
				} else {
					b.through(lost)
				}
				require.NoError(t, b.s.arrive(t.Context()))
				require.Equal(t, 1, b.waiting(staff).Waiting)
				require.True(t, b.waiting(staff).Failed[0].Again)
				b.s.keycloak = there
				b.later(lease)
				if swept { // it may finish what is half made
					require.NoError(t, b.s.sweep(t.Context()))
				}
				b.later(10 * time.Minute)
				b.arrived(staff)
				require.Len(t, b.importedEvents(), 1)
				require.Equal(t, Pending, b.status(email))
				require.Empty(t, b.code(email, VerifyEmail))
				b.later(48 * time.Hour)
				require.NoError(t, b.s.sweep(t.Context()))
				require.Equal(t, Pending, b.status(email), "a file's, however it was made")
			})
		}
	}
	t.Run("crash after the account", func(t *testing.T) {
		b := setup(t)
		_, staff := b.staff()
		email := newEmail()
		b.imports(staff, customerHeader+customerRow(email), "")
		batch, err := b.s.store.claimArrivals(t.Context(), b.s.now(), arrivalsBatch)
		require.NoError(t, err)
		_, err = b.s.makeImported(t.Context(), batch[0])
		require.NoError(t, err)
		require.NoError(t, b.s.arrive(t.Context()))
		require.Empty(t, b.importedEvents(), "another has it")
		b.later(arrivalsBatch * lease)
		b.arrived(staff)
		require.Len(t, b.importedEvents(), 1)
		require.NoError(t, b.s.makeArrival(t.Context(), batch[0]), "who was only slow")
		require.Len(t, b.importedEvents(), 1)
	})
	t.Run("three at once", func(t *testing.T) {
		b := setup(t)
		_, staff := b.staff()
		file := customerHeader
		for range 12 {
			file += customerRow(newEmail())
		}
		b.imports(staff, file, "")
		var instances sync.WaitGroup
		for range 3 {
			instances.Go(func() {
				if err := b.s.arrive(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		instances.Wait()
		require.Zero(t, b.waiting(staff).Waiting)
		seen := map[uuid.UUID]bool{}
		for _, e := range b.importedEvents() {
			require.False(t, seen[e.AccountID], "twice")
			seen[e.AccountID] = true
		}
		require.Len(t, seen, 12)
	})
}
