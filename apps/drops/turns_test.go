package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/longpoll"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
)

func (b *bundle) schedule(id uuid.UUID) servetest.Response {
	b.t.Helper()
	return b.do(b.staff(), "POST", "/admin/drops/"+id.String()+"/schedule", nil)
}

func (b *bundle) watched(id uuid.UUID) (w Watched) {
	b.t.Helper()
	b.do(b.staff(), "GET", "/admin/drops/"+id.String(), nil).JSON(b.t, &w)
	return w
}

func (b *bundle) drafted() (w Watched) {
	b.t.Helper()
	r := b.do(b.staff(), "POST", "/admin/drops", b.draft())
	require.Equal(b.t, http.StatusCreated, r.Status, "%s", r.Body)
	r.JSON(b.t, &w)
	return w
}

// TestSchedule: the units are set aside once, whatever inventory does, and rules do not change any more.
func TestSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.drafted()
	require.Equal(t, "slug-taken", b.do(b.staff(), "POST", "/admin/drops", b.draft()).Slug())
	require.Equal(t, http.StatusNotFound, b.do("", "GET", "/drops/spring", nil).Status, "nobody sees a draft")
	require.Equal(t, http.StatusForbidden, b.do(b.token(1), "GET", "/admin/drops", nil).Status)

	b.inv.free = 1
	r := b.schedule(w.ID)
	require.Equal(t, "lots-refused", r.Slug(), "%s", r.Body)
	require.Contains(t, string(r.Body), `"out-of-stock"`)
	require.Equal(t, []string{"draft", "refused"}, []string{string(b.watched(w.ID).State), b.watched(w.ID).SetAside})
	overlaps := problem.New(problem.Conflict, "lot-overlaps", "It is in the open lot of another drop").With("sku", "TEE")
	servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/lots/{drop}", servetest.Refuses(overlaps))
	require.Contains(t, string(b.schedule(w.ID).Body), `"lot-overlaps"`)

	b.inv.free = 1000
	servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/lots/{drop}", servetest.HangsUp(b.inv.put))
	require.Equal(t, http.StatusOK, b.schedule(w.ID).Status)
	require.Equal(t, "asked", b.watched(w.ID).SetAside, "nobody knows")
	change := b.draft()
	delete(change, "slug")
	require.Equal(t, "drop-state", b.do(b.staff(), "PUT", "/admin/drops/"+w.ID.String(), change).Slug())
	require.Error(t, b.s.moveAll(t.Context()))
	servetest.Neighbour(t, b.rt, "inventory", "PUT /internal/lots/{drop}", b.inv.put)
	b.tick()
	require.Equal(t, Scheduled, b.watched(w.ID).State)
	require.Equal(t, int64(2), b.inv.lot("TEE").Units(), "once")
	require.Equal(t, http.StatusOK, b.schedule(w.ID).Status, "again")
	require.Equal(t, "drop-state", b.do(b.staff(), "PUT", "/admin/drops/"+w.ID.String(), change).Slug())
	require.Equal(t, []string{"drop.scheduled.v1"}, b.topics())

	var v DropView
	b.do("", "GET", "/drops/spring", nil).JSON(t, &v)
	require.NotNil(t, v.Rules)
	require.NotEmpty(t, v.Commitment)
	require.Equal(t, "created", v.Acts[0].Act)
}

// TestDraft: what staff write is checked, and a drop without units or in the past is none.
func TestDraft(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, change := range map[string]func(map[string]any){
		"no units":               func(in map[string]any) { in["lots"] = []LotWanted{{"TEE", 0, 1}} },
		"no lots":                func(in map[string]any) { in["lots"] = []LotWanted{} },
		"a SKU twice":            func(in map[string]any) { in["lots"] = []LotWanted{{"TEE", 1, 1}, {"TEE", 1, 1}} },
		"no limit":               func(in map[string]any) { in["lots"] = []LotWanted{{"TEE", 1, 0}} },
		"no such zone":           func(in map[string]any) { in["zone"] = "Europe/Nowhere" },
		"closes before it opens": func(in map[string]any) { in["closes_at"] = in["opens_at"] },
		"no pre-queue":           func(in map[string]any) { delete(in, "prequeue_at") },
		"a pre-queue":            func(in map[string]any) { in["preset"] = "first-come" },
		"no such preset":         func(in map[string]any) { in["preset"] = "raffle" },
		"a slug with a slash":    func(in map[string]any) { in["slug"] = "a/b" },
	} {
		in := b.draft()
		change(in)
		require.Equal(t, "invalid", b.do(b.staff(), "POST", "/admin/drops", in).Slug(), name)
	}
	w := b.drafted()
	change := b.draft()
	delete(change, "slug")
	change["lots"] = []LotWanted{{"CAP", 3, 1}, {"TEE", 1, 1}}
	require.Equal(t, http.StatusOK, b.do(b.staff(), "PUT", "/admin/drops/"+w.ID.String(), change).Status)
	for _, lot := range b.watched(w.ID).Lots {
		require.Equal(t, map[string]int64{"CAP": 3, "TEE": 1}[lot.SKU], lot.Units, lot.SKU)
	}
	require.Len(t, b.watched(w.ID).Lots, 2)
	b.at(w.OpensAt)
	require.Equal(t, "invalid", b.schedule(w.ID).Slug(), "it would have begun")
	require.Empty(t, b.inv.all)
}

// TestForgetOld: whose the entries of a drop were is forgotten some time after its end; the leaves stay, for who checks it.
func TestForgetOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened(2)
	_, leaves := b.proof()
	known := func() (n int) {
		require.NoError(t, b.db.QueryRow(t.Context(),
			`SELECT count(*) FROM entries WHERE account_id IS NOT NULL OR salt IS NOT NULL OR email IS NOT NULL`).Scan(&n))
		return n
	}
	require.Equal(t, http.StatusOK, b.do(b.staff(), "POST", "/admin/drops/"+b.watchedID().String()+"/end", nil).Status)
	b.later(entriesKept)
	require.NoError(t, b.s.store.forgetOld(t.Context(), b.s.now().Add(-entriesKept)))
	require.Equal(t, 2, known(), "not yet")
	b.later(time.Second)
	require.NoError(t, b.s.store.forgetOld(t.Context(), b.s.now().Add(-entriesKept)))
	require.Zero(t, known())
	_, left := b.proof()
	require.Equal(t, leaves, left)
}

// TestSecret: nothing that anybody can read has the secret, or what it follows from, before the reveal.
func TestSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made()
	b.at(*w.PrequeueAt)
	b.tick()
	b.entered(1)
	b.tick()
	d, _, err := b.s.store.byID(t.Context(), w.ID)
	require.NoError(t, err)
	secret, err := b.s.secretOf(d)
	require.NoError(t, err)
	var kept int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM drops WHERE secret IS NOT NULL OR seed IS NOT NULL`).Scan(&kept))
	require.Zero(t, kept, "not even a backup has it")
	look := func() (found bool) {
		for _, path := range []string{
			"/drops", "/drops/spring", "/drops/spring/status", "/drops/spring/proof", "/drops/spring/leaves", "/drops/spring/entry",
			"/admin/drops", "/admin/drops/" + w.ID.String(),
		} {
			token := b.token(1)
			if strings.HasPrefix(path, "/admin") {
				token = b.staff()
			}
			r := b.do(token, "GET", path, nil)
			require.Equal(t, http.StatusOK, r.Status, path)
			require.NotContains(t, string(r.Body), hex.EncodeToString(d.Nonce), path)
			found = found || strings.Contains(string(r.Body), hex.EncodeToString(secret[:]))
		}
		return found
	}
	require.False(t, look())
	b.at(w.OpensAt)
	b.tick()
	require.True(t, look(), "after it everybody has")
}

// rounds are a beacon that has told some rounds.
type rounds map[uint64][]byte

func (r rounds) signature(_ context.Context, round uint64) ([]byte, error) {
	if s, ok := r[round]; ok {
		return s, nil
	}
	return nil, problem.ErrUnavailable
}

// round1000 of Quicknet, as the network has published it (drop/proof/testdata).
const round1000 = "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"

// untilRound1000 makes a drop that the beacon's round 1000 decides, and has twenty enter. It returns when that opens, when the round
// is told, and its signature.
func (b *bundle) untilRound1000() (opens, told time.Time, signature []byte) {
	b.t.Helper()
	signature, err := hex.DecodeString(round1000)
	require.NoError(b.t, err)
	told = proof.Quicknet.TimeOf(1000)
	opens = told.Add(-proof.BeaconAfter)
	b.at(opens.Add(-2 * time.Hour))
	w := b.made("beacon", "drand", "prequeue_at", opens.Add(-time.Hour), "opens_at", opens, "closes_at", opens.Add(time.Hour))
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range 20 {
		b.entered(n)
	}
	return opens, told, signature
}

// TestBeacon: nothing opens before the round that the rules name, nor by a signature that is not the network's.
func TestBeacon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	opens, told, real := b.untilRound1000()
	beacon := rounds{}
	b.s.beacon = beacon
	b.at(opens)
	b.tick()
	require.Equal(t, Drawing, b.status().State, "not told yet")
	require.Nil(t, b.status().Seed)
	b.at(told)
	require.ErrorIs(t, b.s.moveAll(t.Context()), problem.ErrUnavailable)
	beacon[1000] = make([]byte, 48)
	require.Error(t, b.s.moveAll(t.Context()))
	beacon[1000] = append([]byte{real[0] ^ 1}, real[1:]...)
	require.Error(t, b.s.moveAll(t.Context()))
	require.Equal(t, Drawing, b.status().State)
	require.Nil(t, b.status().Seed)
	beacon[1000] = real
	b.tick()
	require.Equal(t, Open, b.status().State)
	d, leaves := b.proof()
	r, err := proof.Check(d, leaves)
	require.NoError(t, err)
	require.Empty(t, r.Notes)
	require.Equal(t, real, []byte(d.Signature))
}

// TestSeedIsToldAtOnce: the seed is told before the positions are written, so that nobody waits for that to know their own; it opens
// when all are written, as often as that takes, by the same seed, and nobody is asked for it again.
func TestSeedIsToldAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	opens, _, real := b.untilRound1000()
	b.s.beacon = rounds{1000: real}
	b.at(opens)
	b.tick()
	full := func(sql string) {
		t.Helper()
		_, err := b.db.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	full(`ALTER TABLE entries ADD CONSTRAINT full_disk CHECK (idx < 10 OR position IS NULL)`)
	b.at(opens.Add(proof.BeaconAfter))
	require.Error(t, b.s.moveAll(t.Context()))
	told := b.status()
	require.Equal(t, Drawing, told.State)
	require.Len(t, told.Seed, 32)
	d, leaves := b.proof()
	r, err := proof.Check(d, leaves)
	require.NoError(t, err)
	require.Empty(t, r.Notes)
	require.Len(t, r.Positions, 20)
	require.Zero(t, told.SKUs[0].Called, "nobody is called before all have their positions")
	b.tells("the beacon is not late", map[string]float64{"beacon_late_seconds" + spring: 0})

	full(`ALTER TABLE entries DROP CONSTRAINT full_disk`)
	b.s.beacon = rounds{}
	b.later(time.Second)
	require.Equal(t, Open, b.status().State)
	require.Equal(t, told.Seed, b.status().Seed)
	for n := range 20 {
		e := b.entry(n)
		require.Equal(t, int64(r.Positions[e.Idx]), *e.Position)
	}
}

// TestKeysChange: what was scheduled and signed under one key is right under the next one, since a drop's heads go on being signed by
// the key that its rules name.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made()
	b.at(*w.PrequeueAt)
	b.tick()
	b.entered(1)
	b.tick()
	const another = "another-key-of-the-tests-0123456789abcdef"
	b.s.settings.HeadKey = serve.Keys{another, headKey}
	b.entered(2)
	b.at(b.clock().Add(headEvery))
	b.tick()
	b.s.settings.HeadKey = serve.Keys{another}
	b.at(w.OpensAt)
	require.ErrorContains(t, b.s.moveAll(t.Context()), "DROPS_HEAD_KEY", "nobody has the key, nor the secret")
	require.Equal(t, Prequeue, b.status().State, "no head is signed by another key")
	b.s.settings.HeadKey = serve.Keys{another, headKey}
	b.tick()
	require.Equal(t, Open, b.status().State)
	d, leaves := b.proof()
	r, err := proof.Check(d, leaves)
	require.NoError(t, err)
	require.Len(t, d.Heads, 3)
	require.Equal(t, proof.Hex(proof.HeadKey([]byte(headKey)).Public().(ed25519.PublicKey)), r.Key)

	// Scheduled before rules named a key.
	_, err = b.db.Exec(t.Context(), `
		UPDATE drops SET state = 'prequeue', n = NULL, root = NULL, seed = NULL, secret = NULL, opened_at = NULL,
			rules = regexp_replace(rules, ',"head_key":"[0-9a-f]+"', '')`)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `DELETE FROM heads`)
	require.NoError(t, err)
	require.ErrorContains(t, b.s.moveAll(t.Context()), "secret", "it was committed to other rules")
	d, leaves = b.proof()
	r, err = proof.Check(d, leaves)
	require.NoError(t, err)
	require.Equal(t, proof.Hex(proof.HeadKey([]byte(another)).Public().(ed25519.PublicKey)), d.Heads[0].Key, "the key of new ones")
	require.Contains(t, r.Notes[0], "name no key")
}

// TestSuspended: who is suspended neither enters nor claims, and whoever is no shopper neither.
func TestSuspended(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(2)
	me := order[0]
	at := b.clock()
	for _, n := range []int{me, 77} {
		servetest.Deliver(t, b.rt, events.AccountSuspended{AccountID: account(n), At: at})
		servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: account(n), At: at.Add(-time.Minute)}) // late
	}
	require.Equal(t, "not-eligible", b.enter(77).Slug())
	require.Equal(t, "not-eligible", b.claim(me).Slug())
	r := b.do(b.staff(), "POST", "/drops/spring/entry", map[string]any{"skus": []string{"TEE"}, "quantity": 1})
	require.Equal(t, "not-eligible", r.Slug(), "staff")
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: account(me), At: at.Add(time.Minute)})
	require.Equal(t, http.StatusCreated, b.claim(me).Status)
	servetest.Deliver(t, b.rt, events.AccountRemoved{AccountID: account(me), At: at.Add(time.Hour)})
	var whose int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM entries WHERE account_id = $1`, account(me)).Scan(&whose))
	require.Zero(t, whose)
	d, leaves := b.proof()
	_, err := proof.Check(d, leaves)
	require.NoError(t, err, "its leaf stays")
}

// TestSuspendedIsPassedOver: who is suspended is not called, and the next is at once; who is let in again later may still come.
func TestSuspendedIsPassedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(4, "lots", []LotWanted{{"TEE", 1, 1}})
	at := b.clock()
	servetest.Deliver(t, b.rt, events.AccountSuspended{AccountID: account(order[1]), At: at})
	b.later(46 * time.Second) // the first has not come
	require.Equal(t, int64(3), b.status().SKUs[0].Called)
	servetest.Deliver(t, b.rt, events.AccountActivated{AccountID: account(order[1]), At: at.Add(time.Minute)})
	require.Equal(t, http.StatusCreated, b.claim(order[1]).Status)
}

// TestStandby: who finds nothing free is served from what comes back, in order, and has a minute to accept.
func TestStandby(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(6, "lots", []LotWanted{{"TEE", 1, 1}})
	b.later(time.Second)
	require.Equal(t, int64(1), b.status().SKUs[0].Called, "one unit calls one")
	b.later(46 * time.Second) // who does not come is passed over, and stays called
	require.Equal(t, int64(2), b.status().SKUs[0].Called)
	b.later(46 * time.Second)
	require.Equal(t, int64(3), b.status().SKUs[0].Called)
	require.Equal(t, http.StatusCreated, b.claim(order[2]).Status)
	r := b.claim(order[1])
	require.Equal(t, http.StatusAccepted, r.Status, "%s", r.Body)
	require.Equal(t, http.StatusAccepted, b.claim(order[0]).Status)
	require.Equal(t, []int64{1, 2}, []int64{b.entry(order[0]).Claims[0].Standby, b.entry(order[1]).Claims[0].Standby}, "by position")
	b.later(time.Second)
	require.Equal(t, AllHeld, b.status().State)

	b.later(11 * time.Minute) // the hold lapses
	require.Equal(t, Lapsed, b.entry(order[2]).Claims[0].State)
	require.Equal(t, Offered, b.entry(order[0]).Claims[0].State)
	require.Equal(t, b.clock().Add(time.Minute), *b.entry(order[0]).Claims[0].HoldExpiresAt)
	var offered time.Time
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT offered_at FROM claims WHERE state = 'offered' AND offered = 1`).Scan(&offered))
	require.Equal(t, b.clock(), offered.UTC(), "the audit tells by it who was served first")
	r = b.claim(order[2])
	require.Equal(t, http.StatusAccepted, r.Status, "%s: who let it lapse stands behind all others", r.Body)
	require.Equal(t, int64(2), b.entry(order[2]).Claims[0].Standby)
	b.later(62 * time.Second) // not accepted
	require.Equal(t, Offered, b.entry(order[1]).Claims[0].State)
	r = b.claim(order[1])
	require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
	require.Equal(t, b.clock().Add(10*time.Minute), *b.entry(order[1]).Claims[0].HoldExpiresAt)
	require.Equal(t, int64(3), b.status().SKUs[0].Called, "nobody new is called while somebody stands by")
	b.inv.buys(account(order[1]), "TEE")
	b.later(11 * time.Minute)
	require.Equal(t, Bought, b.entry(order[1]).Claims[0].State)
	require.Equal(t, SoldOut, b.status().State)
}

// TestCalled: it never falls, and grows with what it learns of who comes.
func TestCalled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(60, "lots", []LotWanted{{"TEE", 20, 1}}, "calls_per_s", 30)
	last := b.status().SKUs[0].Called
	want := drop.Call{Free: 20, Rate: 0.8, Quantity: 1, Most: 30}
	require.Equal(t, int64(want.More()), last)
	for range 10 { // nobody comes
		b.later(23 * time.Second)
		called := b.status().SKUs[0].Called
		require.GreaterOrEqual(t, called, last)
		last = called
	}
	require.Equal(t, int64(60), last)
	for _, n := range order[:20] {
		require.Equal(t, http.StatusCreated, b.claim(n).Status, "who was called stays called")
	}
	b.later(time.Second)
	require.Equal(t, AllHeld, b.status().State)
	require.Equal(t, int64(60), b.status().SKUs[0].Called)
	w := b.watched(b.watchedID())
	require.Equal(t, int64(0), w.Watch[0].Came)
	require.Less(t, w.Watch[0].Rate, 0.3)
}

func (b *bundle) watchedID() (id uuid.UUID) {
	require.NoError(b.t, b.db.QueryRow(b.t.Context(), `SELECT id FROM drops`).Scan(&id))
	return id
}

// TestPause: nobody is called or claims, and who was called gets the time back.
func TestPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(5, "lots", []LotWanted{{"TEE", 1, 1}})
	b.later(40 * time.Second)
	at := "/admin/drops/" + b.watchedID().String() + "/pause"
	for range 2 {
		require.Equal(t, http.StatusOK, b.do(b.staff(), "PUT", at, nil).Status)
	}
	require.Equal(t, "drop-paused", b.claim(order[0]).Slug())
	b.later(30 * time.Minute)
	require.Equal(t, int64(1), b.status().SKUs[0].Called)
	for range 2 {
		require.Equal(t, http.StatusOK, b.do(b.staff(), "DELETE", at, nil).Status)
	}
	b.later(2 * time.Second)
	require.Equal(t, int64(1), b.status().SKUs[0].Called, "5 seconds were left")
	b.later(5 * time.Second)
	require.Equal(t, int64(2), b.status().SKUs[0].Called)
	require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
	var v DropView
	b.do("", "GET", "/drops/spring", nil).JSON(t, &v)
	require.Len(t, v.Acts, 4, "created, scheduled, paused, resumed")
}

// TestEndsWithOpenClaims: what is held stays its holder's, what is free goes back, and nothing is claimed any more.
func TestEndsWithOpenClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(2)
	require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
	servetest.Neighbour(t, b.rt, "inventory", "DELETE /internal/lots/{drop}", servetest.IsAway)
	b.at(b.clock().Add(3 * time.Hour).Add(-time.Minute))
	require.Error(t, b.s.moveAll(t.Context()), "inventory is away")
	require.Equal(t, Closed, b.status().State)
	require.Equal(t, "closing", b.watched(b.watchedID()).SetAside)
	require.Equal(t, "drop-ended", b.claim(order[1]).Slug())
	servetest.Neighbour(t, b.rt, "inventory", "DELETE /internal/lots/{drop}", servetest.AnswersStatus(http.StatusNoContent, nil))
	b.tick()
	require.Equal(t, "closed", b.watched(b.watchedID()).SetAside)
	require.Equal(t, []string{"drop.scheduled.v1", "drop.opened.v1", "drop.closed.v1"}, b.topics())
}

// TestInventoryUnwell: a claim that nobody answered is asked again, and holds once.
func TestInventoryUnwell(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(2)
	me := order[0]
	ticket := b.entry(me).Ticket
	servetest.Unwell(t, b.rt, "inventory", claimsRoute, func(ctx context.Context, how string) {
		require.GreaterOrEqual(t, b.claimOf(me, ticket, "TEE", 1).Status, 403, how)
	})
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.HangsUp(b.inv.claims))
	require.Equal(t, "unavailable", b.claimOf(me, ticket, "TEE", 1).Slug())
	require.Equal(t, Asked, b.entry(me).Claims[0].State)
	end := b.clock().Add(10 * time.Minute)
	b.at(b.clock().Add(time.Minute))
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, b.inv.claims)
	r := b.claimOf(me, ticket, "TEE", 1)
	require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
	require.Equal(t, end, *b.entry(me).Claims[0].HoldExpiresAt, "the same end: no time is gained")
	require.Equal(t, int64(1), b.inv.lot("TEE").Held)
}

// TestStatus: it is the same for everybody, kept a while, and read once however many ask, whatever they add.
func TestStatus(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened(1)
	b.keepsSnapshots()
	first := b.do("", "GET", "/drops/spring/status", nil)
	require.Equal(t, "public, max-age=1, stale-while-revalidate=2", first.Header.Get("Cache-Control"))
	_, err := b.db.Exec(t.Context(), `UPDATE drops SET message = 'changed'`)
	require.NoError(t, err)
	require.Equal(t, string(first.Body), string(b.do(b.token(1), "GET", "/drops/spring/status?x=1", nil).Body))
	require.Equal(t, "changed", b.status().Message)
	require.Less(t, len(first.Body), 1000)
	for _, path := range []string{"", "/status", "/proof", "/leaves"} {
		none := b.do("", "GET", "/drops/autumn"+path, nil)
		require.Equal(t, http.StatusNotFound, none.Status)
		require.Equal(t, "public, max-age=1", none.Header.Get("Cache-Control"), "caches keep that there is none, too: %s", path)
	}
}

// TestStatementsOfClaims: many claims that come together cost what one does.
func TestStatementsOfClaims(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(20, "lots", []LotWanted{{"TEE", 20, 1}})
	d, _, err := bySlug(t.Context(), b.db, "spring")
	require.NoError(t, err)
	var batch []claiming
	for _, n := range order {
		e, err := b.s.store.entry(t.Context(), d.ID, account(n))
		require.NoError(t, err)
		batch = append(batch, claiming{d, account(n), e.ID, "TEE", 1})
	}
	db, count := pgtest.Count(t, b.db)
	require.NoError(t, db.Ping(t.Context()))
	b.s.store.db = db
	cost := func(batch []claiming) int {
		count.Reset()
		answers, err := b.s.claimAll(t.Context(), batch)
		require.NoError(t, err)
		for i, a := range answers {
			require.NoError(t, a.Err)
			require.Equal(t, batch[i].entry, a.Value.EntryID)
			require.Equal(t, Held, a.Value.State)
		}
		return len(count.Statements())
	}
	require.Equal(t, cost(batch[:1]), cost(batch[1:]))
}

// TestOdds: before the opening everybody has the same, of those who are in so far; then they are by one's position, as a page
// tells them by the status alone.
func TestOdds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.made("lots", []LotWanted{{"CAP", 5, 1}, {"TEE", 20, 2}}, "calls_per_s", 5)
	b.at(*w.PrequeueAt)
	b.tick()
	likely := drop.Likely
	part := func(v float64) *float64 { return &v }
	require.Equal(t, []Odds{{"TEE", part(1), &likely}}, b.entered(0).Odds)
	for n := range 30 {
		b.entered(n)
	}
	b.s.snapshots.InvalidateAll()
	require.Equal(t, []Odds{{"TEE", part(.833333), nil}}, b.entry(0).Odds, "of those who want it: nobody wants a cap")
	require.Equal(t, part(1), b.status().SKUs[0].Part)
	b.at(w.OpensAt)
	b.tick()
	st := b.status().SKUs[1]
	require.Equal(t, []int64{5, 20, 5 * 60, 19}, []int64{st.Called, st.Free, st.RatePerMin, st.LikelyBelow})
	require.Nil(t, st.Part)
	for n := range 30 {
		e := b.entry(n)
		require.Equal(t, []Odds{{"TEE", nil, e.Odds[0].Chance}}, e.Odds)
		require.Equal(t, drop.ChanceAt(*e.Position, 19, 20), *e.Odds[0].Chance)
	}
}

// TestFewWaitForMany: who stands by for one unit is served, however many stand by before them for more than is free.
func TestFewWaitForMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(1, "lots", []LotWanted{{"TEE", 1, 1}})
	id := b.watchedID()
	_, err := b.db.Exec(t.Context(), `
		INSERT INTO entries (id, drop_id, account_id, idx, position, skus, quantity, salt, leaf, entered_at)
		SELECT gen_random_uuid(), $1, gen_random_uuid(), n, n, '{TEE}', 2, '', '', now() FROM generate_series(1, $2) AS n`,
		id, 2*askedAtOnce)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `
		INSERT INTO claims (drop_id, entry_id, sku, quantity, position, state, made_at)
		SELECT drop_id, id, 'TEE', CASE WHEN idx = $2 THEN 1 ELSE 2 END, position, 'standby', entered_at FROM entries
		WHERE drop_id = $1 AND idx > 0`, id, 2*askedAtOnce)
	require.NoError(t, err)
	b.later(time.Second)
	var position int64
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT position FROM claims WHERE state = 'offered'`).Scan(&position))
	require.Equal(t, int64(2*askedAtOnce), position)
	require.Equal(t, http.StatusAccepted, b.claim(order[0]).Status, "it is held by now")
}

// TestRestockForMany: units that come back for many who stand by are offered within the second, more than are asked about at once;
// nobody is called for what is theirs, also when there are too many for that second.
func TestRestockForMany(t *testing.T) {
	t.Parallel()
	const first, most = 3*askedAtOnce - 50, mostSettled * askedAtOnce
	const stand = first + most + 20
	b := setup(t)
	order := b.opened(1, "lots", []LotWanted{{"TEE", 1, 1}})
	require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
	b.later(46 * time.Second)
	for _, sql := range []string{
		`INSERT INTO entries (id, drop_id, account_id, idx, position, skus, quantity, salt, leaf, entered_at)
		SELECT gen_random_uuid(), $1, gen_random_uuid(), n, n, '{TEE}', 1, '', '', now() FROM generate_series(1, $2::bigint + 50) AS n`,
		`UPDATE drop_lots SET called = $2::bigint + 1 WHERE drop_id = $1`,
		`INSERT INTO claims (drop_id, entry_id, sku, quantity, position, state, made_at)
		SELECT drop_id, id, 'TEE', 1, position, 'standby', entered_at FROM entries
		WHERE drop_id = $1 AND position BETWEEN 1 AND $2::bigint`,
	} {
		_, err := b.db.Exec(t.Context(), sql, b.watchedID(), stand)
		require.NoError(t, err)
	}
	restock := func(units int64) (offered, called int64) {
		t.Helper()
		b.inv.Lock()
		b.inv.all["TEE"].Free += units
		b.inv.Unlock()
		b.tick()
		require.NoError(t, b.db.QueryRow(t.Context(),
			`SELECT count(*), (SELECT called FROM drop_lots) FROM claims WHERE state = 'offered' AND position > 0`).Scan(&offered, &called))
		return offered, called
	}
	offered, called := restock(first)
	require.Equal(t, []int64{first, stand + 1}, []int64{offered, called})
	offered, called = restock(most + 30)
	require.Equal(t, []int64{first + most, stand + 1}, []int64{offered, called})
	offered, called = restock(0)
	require.Equal(t, int64(stand), offered)
	require.Greater(t, called, int64(stand+1), "the others have all they want: the rest is for the next")
}

// TestExclude: who is shut out is told why, everybody reads that somebody was, and nobody reads who.
func TestExclude(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(2)
	e := b.entry(order[0])
	at := "/admin/drops/" + b.watchedID().String() + "/exclusions/"
	require.Equal(t, http.StatusOK, b.do(b.staff(), "PUT", at+strconv.FormatInt(e.Idx, 10), map[string]any{"reason": "a script"}).Status)
	require.Equal(t, "entry-not-found", b.do(b.staff(), "PUT", at+"99", map[string]any{"reason": "a script"}).Slug())
	require.Equal(t, "not-eligible", b.claim(order[0]).Slug())
	require.Equal(t, "not-eligible", b.enter(order[0]).Slug())
	page := string(b.do("", "GET", "/drops/spring", nil).Body)
	require.Contains(t, page, "entry number "+strconv.FormatInt(e.Idx+1, 10)+": a script", "as its page and the office count")
	require.NotContains(t, page, account(order[0]).String())
	require.NotContains(t, page, account(999_999).String(), "nor which of the staff did it")
}

// TestMoreTimeHeld: inventory holds for longer, twice, whoever presses how often, and an answer that is lost gains nothing.
func TestMoreTimeHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(2, "lots", []LotWanted{{"TEE", 2, 1}})
	me := order[0]
	more := func(n int) servetest.Response {
		return b.do(b.token(n), "POST", "/drops/spring/entry/more-time", map[string]any{"sku": "TEE"})
	}
	require.Equal(t, "not-held", more(me).Slug())
	require.Equal(t, "entry-not-found", more(9).Slug())
	require.Equal(t, http.StatusCreated, b.claim(me).Status)
	end := b.clock().Add(10 * time.Minute)
	require.Equal(t, int64(2), b.entry(me).Claims[0].MoreTime)
	require.Equal(t, "not-held", more(order[1]).Slug(), "another's")

	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.HangsUp(b.inv.claims))
	require.Equal(t, "unavailable", more(me).Slug())
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, b.inv.claims)
	d, _, err := bySlug(t.Context(), b.db, "spring")
	require.NoError(t, err)
	e, err := b.s.store.entry(t.Context(), d.ID, account(me))
	require.NoError(t, err)
	before, err := b.s.store.claimsOf(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, end, before[0].Until.UTC(), "nobody has noted the answer that was lost")
	for range 2 { // two at once have read the same
		require.NoError(t, b.s.more(t.Context(), d.ID, toClaim{before[0].Claim, e.AccountID}, end.Add(5*time.Minute)))
	}
	v := b.entry(me).Claims[0]
	require.Equal(t, end.Add(5*time.Minute), *v.HoldExpiresAt)
	require.Equal(t, int64(1), v.MoreTime)

	b.later(14 * time.Minute)
	require.Equal(t, Held, b.entry(me).Claims[0].State, "its own time would have been over")
	r := more(me)
	require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
	r.JSON(t, &v)
	require.Equal(t, end.Add(10*time.Minute), *v.HoldExpiresAt)
	require.Equal(t, "no-more-time", more(me).Slug())
	require.Equal(t, int64(1), b.inv.lot("TEE").Held)
	b.later(7 * time.Minute)
	require.Equal(t, "claim-lapsed", more(me).Slug())
	require.Zero(t, b.inv.lot("TEE").Held)
}

// TestLongPoll: who waits is answered when something becomes of the entry, whichever instance did it; and at once when too many
// wait, as the shop's other long polls are.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(3, "lots", []LotWanted{{"TEE", 1, 1}})
	get := func(n int, query string) (e EntryView) {
		r := b.do(b.token(n), "GET", "/drops/spring/entry"+query, nil)
		require.Equal(t, http.StatusOK, r.Status, "%s", r.Body)
		r.JSON(t, &e)
		return e
	}
	waits := func(n int, query string) <-chan EntryView {
		answer := make(chan EntryView, 1)
		go func() { answer <- get(n, query) }()
		require.Eventually(t, func() bool { return b.s.polls.Waiting() == 1 }, 5*time.Second, time.Millisecond)
		return answer
	}
	looks := func(answer <-chan EntryView) (e EntryView) { // as each instance does every second
		for {
			require.NoError(t, b.s.wakeChanged(t.Context()))
			select {
			case e = <-answer:
				return e
			case <-time.After(time.Millisecond):
			}
		}
	}
	me := order[1]
	start := time.Now()
	version := get(me, "").Version
	require.Equal(t, version, get(me, "").Version)
	require.Equal(t, version, get(me, "?wait=25&since=another").Version, "it has changed since")

	answer := waits(me, "?wait=25&since="+version)
	for range 3 {
		require.NoError(t, b.s.wakeChanged(t.Context()))
	}
	require.Equal(t, 1, b.s.polls.Waiting(), "nothing has become of it")
	require.Equal(t, http.StatusNoContent, b.do(b.token(order[2]), "DELETE", "/drops/spring/entry", nil).Status) // another's
	b.later(46 * time.Second)
	called := looks(answer)
	require.NotEqual(t, version, called.Version, "called")
	require.Equal(t, int64(2), b.status().SKUs[0].Called)

	require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
	answer = waits(me, "?wait=25")
	require.Equal(t, http.StatusAccepted, b.claim(me).Status)
	standing := looks(answer)
	require.Equal(t, Standby, standing.Claims[0].State)
	answer = waits(me, "?wait=25&since="+standing.Version)
	b.later(11 * time.Minute)
	require.Equal(t, Offered, looks(answer).Claims[0].State)

	b.s.polls = longpoll.New(0)
	require.Equal(t, Offered, get(me, "?wait=25").Claims[0].State)
	require.Less(t, time.Since(start), 20*time.Second, "nobody waited for the time to pass")
	require.Equal(t, 422, b.do(b.token(me), "GET", "/drops/spring/entry?wait=26", nil).Status)
	require.Equal(t, "entry-not-found", b.do(b.token(9), "GET", "/drops/spring/entry?wait=25", nil).Slug())
}

// TestNoUnitWaits: one that is free goes to the next who wants no more, when somebody who stands by first wants two.
func TestNoUnitWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.openedFor(3, 2, "lots", []LotWanted{{"TEE", 2, 2}})
	for range 3 { // two do not come in time
		b.later(46 * time.Second)
	}
	claim := func(n int, quantity int64) int { return b.claimOf(n, b.entry(n).Ticket, "TEE", quantity).Status }
	require.Equal(t, http.StatusCreated, claim(order[2], 1))
	require.Equal(t, http.StatusAccepted, claim(order[0], 2))
	require.Equal(t, http.StatusAccepted, claim(order[1], 1), "somebody stands by first")
	b.later(time.Second)
	require.Equal(t, Standby, b.entry(order[0]).Claims[0].State)
	require.Equal(t, Offered, b.entry(order[1]).Claims[0].State)
	require.Equal(t, http.StatusCreated, claim(order[1], 1))
}

// TestLeaverStandsInNobodysWay: who stood by and has left does not keep others from claiming what is free, nor from being called, and
// is none of those who come before.
func TestLeaverStandsInNobodysWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(6, "lots", []LotWanted{{"TEE", 1, 1}})
	for range 3 { // nobody comes in time
		b.later(46 * time.Second)
	}
	require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
	require.Equal(t, http.StatusAccepted, b.claim(order[1]).Status)
	require.Equal(t, http.StatusNoContent, b.do(b.token(order[1]), "DELETE", "/drops/spring/entry", nil).Status)
	b.later(10*time.Minute + 2*time.Second)
	require.Equal(t, int64(1), b.status().SKUs[0].Free, "it is over for who had it")
	require.Equal(t, int64(5), b.status().SKUs[0].Called)
	b.at(b.clock().Add(75 * time.Second))
	b.tells("the last one's 45 s are over, and nobody calls the next", map[string]float64{"idle_seconds" + tee: 30})
	require.Equal(t, http.StatusCreated, b.claim(order[2]).Status)
	require.Equal(t, http.StatusAccepted, b.claim(order[0]).Status)
	require.Equal(t, int64(1), b.entry(order[0]).Claims[0].Standby)
}

// TestStandsBySince: a claim of which inventory was not heard stands by from when it is, not from when it was made. Who was served in
// between has not passed it over, and the audit does not say so.
func TestStandsBySince(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(2, "lots", []LotWanted{{"TEE", 1, 1}}, "tell_end", true)
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, servetest.IsAway)
	require.Equal(t, "unavailable", b.claim(order[0]).Slug())
	servetest.Neighbour(t, b.rt, "inventory", claimsRoute, b.inv.claims)
	b.later(46 * time.Second)
	require.Equal(t, http.StatusCreated, b.claim(order[1]).Status)
	b.at(b.clock().Add(time.Minute))
	require.Equal(t, http.StatusAccepted, b.claim(order[0]).Status)
	since := func() (at time.Time) {
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT made_at FROM claims WHERE state = 'standby'`).Scan(&at))
		return at.UTC()
	}
	require.Equal(t, b.clock(), since())

	require.Equal(t, http.StatusNoContent, b.do(b.token(order[0]), "DELETE", "/drops/spring/entry", nil).Status)
	b.at(b.clock().Add(time.Minute))
	require.Equal(t, http.StatusOK, b.enter(order[0]).Status, "who comes back")
	back := b.clock()
	require.Equal(t, back, since(), "stands by since then")
	b.at(back.Add(time.Second))
	in := map[string]any{"skus": []string{"TEE"}, "quantity": 1, "tell": true}
	require.Equal(t, http.StatusOK, b.do(b.token(order[0]), "POST", "/drops/spring/entry", in).Status)
	require.Equal(t, back, since(), "who only wants to be told was not away")
}

// TestPausedOffers: who was offered a unit before a pause has as long for it afterwards as was left, whatever inventory's holds do
// meanwhile, and nobody takes it, however soon they come.
func TestPausedOffers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.opened(3, "lots", []LotWanted{{"TEE", 1, 1}})
	b.later(46 * time.Second)
	require.Equal(t, http.StatusCreated, b.claim(order[0]).Status)
	require.Equal(t, http.StatusAccepted, b.claim(order[1]).Status)
	b.later(10*time.Minute + 2*time.Second)
	require.Equal(t, Offered, b.entry(order[1]).Claims[0].State)
	b.later(30 * time.Second)
	at := "/admin/drops/" + b.watchedID().String() + "/pause"
	require.Equal(t, http.StatusOK, b.do(b.staff(), "PUT", at, nil).Status)
	looked := b.inv.looked
	b.later(5 * time.Minute)
	require.Equal(t, looked, b.inv.looked, "its end has not come")
	require.Equal(t, "drop-paused", b.claim(order[1]).Slug())
	require.Equal(t, Offered, b.entry(order[1]).Claims[0].State)
	require.Zero(t, b.inv.lot("TEE").Held, "its end has come")
	require.Equal(t, http.StatusOK, b.do(b.staff(), "DELETE", at, nil).Status)
	r := b.claim(order[0])
	require.Equal(t, http.StatusAccepted, r.Status, "%s: it is another's", r.Body)
	b.tick()
	v := b.entry(order[1]).Claims[0]
	require.Equal(t, Offered, v.State)
	require.Equal(t, b.clock().Add(30*time.Second), *v.HoldExpiresAt)
	require.Equal(t, int64(1), b.inv.lot("TEE").Held)
	b.at(b.clock().Add(29 * time.Second))
	require.Equal(t, http.StatusCreated, b.claim(order[1]).Status)

	// An offer whose end came before the pause is over.
	b.later(10*time.Minute + 2*time.Second)
	require.Equal(t, Offered, b.entry(order[0]).Claims[0].State)
	b.at(b.clock().Add(time.Minute))
	require.Equal(t, http.StatusOK, b.do(b.staff(), "PUT", at, nil).Status)
	b.later(5 * time.Minute)
	require.Equal(t, http.StatusOK, b.do(b.staff(), "DELETE", at, nil).Status)
	b.tick()
	require.Equal(t, Lapsed, b.entry(order[0]).Claims[0].State)
}

// TestAskForMore: who holds one and asks for two has one as long as no other is free, whatever becomes of it.
func TestAskForMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openedFor(2, 2, "lots", []LotWanted{{"TEE", 3, 2}})
	claim := func(n int, quantity int64, state ClaimState, has int64) {
		t.Helper()
		r := b.claimOf(n, b.entry(n).Ticket, "TEE", quantity)
		require.Equal(t, http.StatusCreated, r.Status, "%s", r.Body)
		c := b.entry(n).Claims[0]
		require.Equal(t, []any{state, has}, []any{c.State, c.Quantity})
	}
	claim(0, 1, Held, 1)
	claim(1, 2, Held, 2)
	claim(0, 2, Held, 1)
	b.inv.buys(account(0), "TEE")
	claim(0, 2, Bought, 1)
	b.later(11 * time.Minute)
	b.tick()
	require.Equal(t, drop.Lot{Free: 2, Sold: 1, Limit: 2}, b.inv.lot("TEE"), "the other one has let it go")
	claim(0, 2, Held, 2)
	b.inv.buys(account(0), "TEE")
	claim(0, 2, Bought, 2)
}
