package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

func setup(t *testing.T) *serve.Runtime {
	rt, db := servetest.NewTest(t, "users", migrations)
	_, err := newService(rt, db, settings{})
	require.NoError(t, err)
	return rt
}

func address() map[string]any {
	return map[string]any{"name": "Ada Lovelace", "line1": "1 High St", "city": "London", "postal_code": "N1 9GU", "country": "GB"}
}

func TestProfileFromEventAndFromToken(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	id, at := uuid.New(), time.Now().UTC()
	token := servetest.Token(t, id, "ada@example.test", auth.RoleUser)

	// The event is late: the token's claims make the profile.
	var p Profile
	servetest.Do(t, rt, "GET", "/api/v1/users/me", token, nil).JSON(t, &p)
	require.Equal(t, "ada@example.test", p.Email)
	require.Equal(t, "Lovelace", p.LastName)
	require.Empty(t, p.Addresses)

	// What the shopper changed since is not undone by the late event.
	change := map[string]any{"first_name": "Augusta", "phone": "+44 (0)20 7946\u00a00000"}
	servetest.Do(t, rt, "PATCH", "/api/v1/users/me", token, change).JSON(t, &p)
	servetest.Deliver(t, rt, events.AccountRegistered{AccountID: id, Email: "ada@example.test", FirstName: "Ada", LastName: "Lovelace", At: at})
	servetest.Do(t, rt, "GET", "/api/v1/users/me", token, nil).JSON(t, &p)
	require.Equal(t, "Augusta", p.FirstName)
	require.Equal(t, "+442079460000", *p.Phone)

	// activated overtakes registered; both orders end alike.
	other := uuid.New()
	servetest.Deliver(t, rt, events.AccountActivated{AccountID: other, Email: "new@example.test", FirstName: "Grace", At: at.Add(time.Second)})
	servetest.Deliver(t, rt, events.AccountRegistered{AccountID: other, Email: "new@example.test", FirstName: "Grace", LastName: "Hopper", At: at})
	res := servetest.Do(t, rt, "GET", "/api/v1/admin/users/"+other.String(), servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin), nil)
	res.JSON(t, &p)
	require.Equal(t, "Hopper", p.LastName)
}

// TestRemoved: an account that is gone leaves nothing, and nothing that is told late, or asked with a token that is still
// good, brings it back.
func TestRemoved(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	at := time.Now().UTC()
	admin := servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)
	for _, first := range []bool{true, false} {
		account := uuid.New()
		token := servetest.Token(t, account, "ada@example.test", auth.RoleUser)
		registered := events.AccountRegistered{
			AccountID: account, Email: "ada@example.test", FirstName: "Ada", LastName: "Lovelace", At: at,
		}
		if first {
			servetest.Deliver(t, rt, registered)
			require.Equal(t, 201, servetest.Do(t, rt, "POST", "/api/v1/users/me/addresses", token, address()).Status)
		}
		id := servetest.Deliver(t, rt, events.AccountRemoved{AccountID: account, At: at.Add(time.Second)})
		require.NoError(t, servetest.DeliverAs(t, rt, id, events.AccountRemoved{AccountID: account, At: at.Add(time.Second)}))
		servetest.Deliver(t, rt, registered)
		servetest.Deliver(t, rt, events.AccountActivated{
			AccountID: account, Email: "ada@example.test", FirstName: "Ada", First: true, At: at.Add(time.Hour),
		})
		servetest.Deliver(t, rt, events.AccountSuspended{AccountID: account, Email: "ada@example.test", At: at.Add(time.Hour)})
		require.Equal(t, 404, servetest.Do(t, rt, "GET", "/api/v1/admin/users/"+account.String(), admin, nil).Status)
		require.Equal(t, 401, servetest.Do(t, rt, "GET", "/api/v1/users/me", token, nil).Status)
		require.Equal(t, 401, servetest.Do(t, rt, "PATCH", "/api/v1/users/me", token, map[string]any{"first_name": "Ada"}).Status)
		require.Equal(t, 401, servetest.Do(t, rt, "POST", "/api/v1/users/me/addresses", token, address()).Status)
	}
}

// TestEmailChanged: the newest address counts, in whatever order it is told, and comes with the names.
func TestEmailChanged(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	at := time.Now().UTC()
	admin := servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)
	told := []func(account uuid.UUID){
		func(account uuid.UUID) {
			servetest.Deliver(t, rt, events.AccountRegistered{
				AccountID: account, Email: "old@example.test", FirstName: "Ada", LastName: "Lovelace", At: at,
			})
		},
		func(account uuid.UUID) {
			servetest.Deliver(t, rt, events.AccountActivated{
				AccountID: account, Email: "old@example.test", FirstName: "Ada", First: true, At: at.Add(time.Second),
			})
		},
		func(account uuid.UUID) {
			servetest.Deliver(t, rt, events.AccountEmailChanged{AccountID: account, Email: "new@example.test", At: at.Add(time.Minute)})
		},
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		account := uuid.New()
		for _, i := range order {
			told[i](account)
		}
		var one struct {
			Email    string
			LastName string `json:"last_name"`
			Status   string
		}
		servetest.Do(t, rt, "GET", "/api/v1/admin/users/"+account.String(), admin, nil).JSON(t, &one)
		require.Equal(t, []string{"new@example.test", "Lovelace", "active"}, []string{one.Email, one.LastName, one.Status}, "%v", order)
	}
	gone := uuid.New()
	servetest.Deliver(t, rt, events.AccountRemoved{AccountID: gone, At: at})
	told[2](gone)
	require.Equal(t, 404, servetest.Do(t, rt, "GET", "/api/v1/admin/users/"+gone.String(), admin, nil).Status)
}

// TestImported: a file's telephone number and address are a new profile's, and nobody's who has told some.
func TestImported(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	at := time.Now().UTC()
	there := events.Address{Name: "Ada Lovelace", Line1: "1 High St", City: "London", PostalCode: "N1 9GU", Country: "GB"}
	for _, late := range []bool{false, true} {
		account := uuid.New()
		token := servetest.Token(t, account, "ada@example.test", auth.RoleUser)
		e := events.AccountImported{
			AccountID: account, Email: "ada@example.test", FirstName: "Ada", LastName: "Lovelace", Phone: "+442079460000",
			Address: &there, At: at,
		}
		if late {
			require.Equal(t, 201, servetest.Do(t, rt, "POST", "/api/v1/users/me/addresses", token, address()).Status)
			own := map[string]any{"phone": "+442079460001"}
			require.Equal(t, 200, servetest.Do(t, rt, "PATCH", "/api/v1/users/me", token, own).Status)
		}
		id := servetest.Deliver(t, rt, e)
		require.NoError(t, servetest.DeliverAs(t, rt, id, e))
		servetest.Deliver(t, rt, events.AccountRegistered{
			AccountID: account, Email: e.Email, FirstName: e.FirstName, LastName: e.LastName, At: at,
		})
		var p Profile
		servetest.Do(t, rt, "GET", "/api/v1/users/me", token, nil).JSON(t, &p)
		require.Len(t, p.Addresses, 1)
		require.Equal(t, map[bool]string{false: "+442079460000", true: "+442079460001"}[late], *p.Phone)
		require.Equal(t, "Lovelace", p.LastName)
	}
	gone := uuid.New()
	servetest.Deliver(t, rt, events.AccountRemoved{AccountID: gone, At: at})
	servetest.Deliver(t, rt, events.AccountImported{AccountID: gone, Email: "gone@example.test", Address: &there, At: at})
	admin := servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)
	require.Equal(t, 404, servetest.Do(t, rt, "GET", "/api/v1/admin/users/"+gone.String(), admin, nil).Status)
}

// TestMissedAccounts: what auth published, and no event told, makes a profile;
// until auth answers nothing does.
func TestMissedAccounts(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	const published = "GET /internal/events"
	e := events.AccountRegistered{AccountID: uuid.New(), Email: "ada@example.test", LastName: "Lovelace", At: time.Now().UTC()}
	data, err := json.Marshal(e)
	require.NoError(t, err)
	told := []outbox.Published{{ID: uuid.New(), Topic: e.Topic(), Data: data}}
	read := func() servetest.Response {
		admin := servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)
		return servetest.Do(t, rt, "GET", "/api/v1/admin/users/"+e.AccountID.String(), admin, nil)
	}
	missed := rt.Subs.Missed("auth", time.Minute)
	servetest.Unwell(t, rt, "auth", published, func(ctx context.Context, how string) {
		require.Error(t, missed(ctx), how)
		require.Equal(t, 404, read().Status, how)
	})
	servetest.Neighbour(t, rt, "auth", published, servetest.Feed(&told))
	require.NoError(t, missed(t.Context()))
	var p Profile
	read().JSON(t, &p)
	require.Equal(t, "Lovelace", p.LastName)
}

func TestAddressBook(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	mine := servetest.Token(t, uuid.New(), "a@example.test", auth.RoleUser)
	theirs := servetest.Token(t, uuid.New(), "b@example.test", auth.RoleUser)

	res := servetest.Do(t, rt, "POST", "/api/v1/users/me/addresses", mine, address())
	require.Equal(t, 201, res.Status, "%s", res.Body)
	var a BookAddress
	res.JSON(t, &a)
	path := "/api/v1/users/me/addresses/" + a.ID.String()

	changed := address()
	changed["city"], changed["phone"] = "\u00a0York\t", "020 7946 0000"
	require.Equal(t, 404, servetest.Do(t, rt, "PUT", path, theirs, changed).Status)
	require.Equal(t, 404, servetest.Do(t, rt, "DELETE", path, theirs, nil).Status)
	require.Equal(t, 200, servetest.Do(t, rt, "PUT", path, mine, changed).Status)

	// orders reads it, for its owner only.
	owner := func(token string) string {
		var p Profile
		servetest.Do(t, rt, "GET", "/api/v1/users/me", token, nil).JSON(t, &p)
		return p.AccountID.String()
	}
	internal := func(token string, caller string) servetest.Response {
		return servetest.Do(t, rt, "GET", "/internal/accounts/"+owner(token)+"/addresses/"+a.ID.String(), "", nil, "dapr-caller-app-id", caller)
	}
	res = internal(mine, "orders")
	require.Equal(t, 200, res.Status)
	res.JSON(t, &a)
	require.Equal(t, []string{"York", "+442079460000"}, []string{a.City, a.Phone})
	require.Equal(t, "address-not-found", internal(theirs, "orders").Slug())
	require.Equal(t, 403, internal(mine, "carts").Status)

	require.Equal(t, 204, servetest.Do(t, rt, "DELETE", path, mine, nil).Status)
	require.Equal(t, 404, servetest.Do(t, rt, "DELETE", path, mine, nil).Status)
}

func TestAddressBookIsBounded(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	token := servetest.Token(t, uuid.New(), "a@example.test", auth.RoleUser)
	statuses := make([]int, maxAddresses+10)
	var wg sync.WaitGroup
	for i := range statuses {
		wg.Go(func() {
			statuses[i] = servetest.Do(t, rt, "POST", "/api/v1/users/me/addresses", token, address()).Status
		})
	}
	wg.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	require.Equal(t, map[int]int{201: maxAddresses, 409: 10}, count)
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	token := servetest.Token(t, uuid.New(), "a@example.test", auth.RoleUser)
	with := func(key string, v any) map[string]any {
		a := address()
		a[key] = v
		return a
	}
	for _, c := range []struct {
		name, method, path string
		body               any
		want               int
	}{
		{"no country", "POST", "/addresses", with("country", ""), 422},
		{"country in small letters", "POST", "/addresses", with("country", "gb"), 422},
		{"no country of that code", "POST", "/addresses", with("country", "UK"), 422},
		{"no country yet", "POST", "/addresses", with("country", "XX"), 422},
		{"no postcode", "POST", "/addresses", with("postal_code", "x"), 422},
		{"a state is missing", "POST", "/addresses", with("country", "US"), 422},
		{"no phone", "POST", "/addresses", with("phone", "call me"), 422},
		{"blank name", "POST", "/addresses", with("name", "   "), 422},
		{"a name of no-break spaces", "POST", "/addresses", with("name", "\u00a0\u00a0"), 422},
		{"a street of no width", "POST", "/addresses", with("line1", "\u200b\u2060"), 422},
		{"10,000 characters", "POST", "/addresses", with("line1", strings.Repeat("a", 10_000)), 422},
		{"unknown field", "POST", "/addresses", with("account_id", uuid.New()), 422},
		{"an id of mine", "POST", "/addresses", with("id", uuid.New()), 422},
		{"wrong type", "POST", "/addresses", with("city", 7), 422},
		{"line breaks", "POST", "/addresses", with("line2", "a\r\nBcc: b@example.test"), 422},
		{"malformed", "POST", "/addresses", `{"name"`, 400},
		{"not an id", "PUT", "/addresses/1%27--", address(), 422},
		{"phone", "PATCH", "", map[string]any{"phone": "call me"}, 422},
		{"email", "PATCH", "", map[string]any{"email": "b@example.test"}, 422},
		{"empty name", "PATCH", "", map[string]any{"first_name": " "}, 422},
		{"invisible name", "PATCH", "", map[string]any{"last_name": "\u3164"}, 422},
		{"SQL is text", "POST", "/addresses", with("name", `'); DROP TABLE addresses; --`), 201},
		{"HTML is text", "POST", "/addresses", with("name", `<script>alert(1)</script>`), 201},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := servetest.Do(t, rt, c.method, "/api/v1/users/me"+c.path, token, c.body)
			require.Equal(t, c.want, res.Status, "%s", res.Body)
		})
	}
	var p Profile
	servetest.Do(t, rt, "GET", "/api/v1/users/me", token, nil).JSON(t, &p)
	require.Len(t, p.Addresses, 2, "refused input changed nothing")
}

func TestListShoppers(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	for i := range 5 {
		servetest.Deliver(t, rt, events.AccountRegistered{AccountID: uuid.New(), Email: fmt.Sprintf("s%d_x@example.test", i), FirstName: "S", LastName: "X", At: time.Now()})
	}
	admin := servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)
	require.Equal(t, 403, servetest.Do(t, rt, "GET", "/api/v1/admin/users", servetest.Token(t, uuid.New(), "a@example.test", auth.RoleUser), nil).Status)
	var got []string
	next := ""
	for {
		var page struct {
			Items      []listed `json:"items"`
			NextCursor *string  `json:"next_cursor"`
		}
		res := servetest.Do(t, rt, "GET", "/api/v1/admin/users?limit=2&email=S&cursor="+next, admin, nil)
		require.Equal(t, 200, res.Status, "%s", res.Body)
		res.JSON(t, &page)
		for _, i := range page.Items {
			got = append(got, i.Email)
		}
		if page.NextCursor == nil {
			break
		}
		next = *page.NextCursor
	}
	require.Len(t, got, 5)
	require.Equal(t, "invalid", servetest.Do(t, rt, "GET", "/api/v1/admin/users?cursor=forged", admin, nil).Slug())
	servetest.Deliver(t, rt, events.AccountRegistered{AccountID: uuid.New(), Email: "zoe@example.test", FirstName: "Zoë", LastName: "von der Höhe", At: time.Now()})
	for query, want := range map[string]int{
		"email=s%25": 0, "q=%25": 0, "q=s_": 0, // a percent sign is text
		"q=": 6, "q=ZOË": 1, "q=zoe%CC%88%C2%A0von": 1, "q=der+h": 1, "q=+Zoë++von+": 1, "q=zoe@": 1, "q=_x@": 5, "q=S+X": 5,
		"email=s1&q=x": 1, "email=s1&q=zoe": 0,
		"q=ZOE": 1, "q=hohe": 1, "q=zoe+von+der+hohe": 1, "q=hoehe": 0,
		"q=%27+OR+1=1+--": 0,
	} {
		var page struct{ Items []listed }
		res := servetest.Do(t, rt, "GET", "/api/v1/admin/users?"+query, admin, nil)
		require.Equal(t, 200, res.Status, query)
		res.JSON(t, &page)
		require.Len(t, page.Items, want, query)
	}
	for _, bad := range []string{"q=" + strings.Repeat("a", 201), "status=gone", "sort=x"} {
		require.Equal(t, 422, servetest.Do(t, rt, "GET", "/api/v1/admin/users?"+bad, admin, nil).Status, bad)
	}
	servetest.Sorts(t, rt, admin, "/api/v1/admin/users", map[string]string{
		"email": "email", "-email": "-email", "newest": "-created_at", "oldest": "created_at", "name": "last_name", "-name": "-last_name",
	})
}

// TestStatus: what events tell of an account, in whatever order they come.
func TestStatus(t *testing.T) {
	t.Parallel()
	rt := setup(t)
	at := time.Now().UTC()
	admin := servetest.Token(t, uuid.New(), "ops@example.test", auth.RoleAdmin)
	account := uuid.New()
	status := func(email string) string {
		t.Helper()
		var one struct{ Status string }
		servetest.Do(t, rt, "GET", "/api/v1/admin/users/"+account.String(), admin, nil).JSON(t, &one)
		var page struct{ Items []listed }
		servetest.Do(t, rt, "GET", "/api/v1/admin/users?status="+one.Status+"&email="+email, admin, nil).JSON(t, &page)
		require.Len(t, page.Items, 1)
		require.Equal(t, one.Status, page.Items[0].Status)
		return one.Status
	}
	// The suspension overtakes what comes before it, and the end of it overtakes the next.
	servetest.Deliver(t, rt, events.AccountSuspended{AccountID: account, Email: "ada@example.test", At: at.Add(2 * time.Second)})
	require.Equal(t, "suspended", status("ada@"))
	servetest.Deliver(t, rt, events.AccountActivated{AccountID: account, Email: "ada@example.test", FirstName: "Ada", First: true, At: at.Add(time.Second)})
	servetest.Deliver(t, rt, events.AccountRegistered{AccountID: account, Email: "ada@example.test", FirstName: "Ada", LastName: "Lovelace", At: at})
	require.Equal(t, "suspended", status("ada@"))
	id := servetest.Deliver(t, rt, events.AccountActivated{AccountID: account, Email: "ada@example.test", FirstName: "Ada", At: at.Add(4 * time.Second)})
	servetest.Deliver(t, rt, events.AccountSuspended{AccountID: account, Email: "ada@example.test", At: at.Add(3 * time.Second)})
	require.Equal(t, "active", status("ada@"))
	servetest.Deliver(t, rt, events.AccountSuspended{AccountID: account, Email: "ada@example.test", At: at.Add(5 * time.Second)})
	require.NoError(t, servetest.DeliverAs(t, rt, id, events.AccountActivated{AccountID: account, At: at.Add(4 * time.Second)}))
	require.Equal(t, "suspended", status("ada@"))
	// Shoppers see nothing of it.
	res := servetest.Do(t, rt, "GET", "/api/v1/users/me", servetest.Token(t, account, "ada@example.test", auth.RoleUser), nil)
	require.NotContains(t, string(res.Body), "suspended")
	require.Contains(t, string(res.Body), "Lovelace")
	var listing struct{ Items []listed }
	servetest.Do(t, rt, "GET", "/api/v1/admin/users?q=lovelace", admin, nil).JSON(t, &listing)
	require.True(t, at.Truncate(time.Microsecond).Equal(listing.Items[0].CreatedAt), "registered when auth says so")

	account = uuid.New()
	servetest.Deliver(t, rt, events.AccountRegistered{AccountID: account, Email: "bob@example.test", FirstName: "Bob", LastName: "B", At: at})
	require.Equal(t, "pending", status("bob@"))
	servetest.Deliver(t, rt, events.AccountActivated{AccountID: account, Email: "bob@example.test", FirstName: "Bob", First: true, At: at.Add(time.Second)})
	require.Equal(t, "active", status("bob@"))
	// Who comes with a token before any event has told of them could log in.
	account = uuid.New()
	servetest.Do(t, rt, "GET", "/api/v1/users/me", servetest.Token(t, account, "cat@example.test", auth.RoleUser), nil)
	require.Equal(t, "active", status("cat@"))
}
