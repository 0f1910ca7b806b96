package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/kit/pause"
)

// What is promised of a drop is for ten thousand who come to it. How many come is a flag: with fewer the drops are smaller, and the
// rates at which requests arrive are the same.
const (
	inLot        = 100   // units
	asideOf      = 5     // one in so many comes to the two smaller drops
	loginsOf     = 20    // one in so many logs in at the opening's minute
	pollsASecond = 8_700 // 100,000 who look every 11.5 s
	claimsSecond = 5_000 // of those who are not called
	connections  = 512   // on which these arrive
)

// drops measures a drop from its scheduling to sold out, those who look at one, those who claim before they are called, and
// what logins cost at an opening.
func (b *bench) drops(ctx context.Context) error {
	crowd, err := b.shop.crowd(ctx, b.people) // with nothing in their carts
	if err != nil {
		return err
	}
	for _, part := range []func(context.Context, []shopper) error{b.wholeDrop, b.besieged, b.loggingIn} {
		if err := part(ctx, crowd); err != nil {
			return err
		}
	}
	if err := b.rest(ctx); err != nil {
		return err
	}
	if said, err := b.dev(ctx, "audit"); err != nil {
		b.mark("drop", "the books of all these", "`make audit` is clean", "%v", err)
	} else {
		b.mark("drop", "the books of all these", "`make audit` is clean", "clean: %s", lastLine(said))
	}
	return nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(strings.Fields(lines[len(lines)-1]), " ")
}

// sale is a drop that is measured, and what those who come to it find.
type sale struct {
	bench        *bench
	shop         *shop // of those who come again when they are told to
	path         string
	id           uuid.UUID
	sku          string
	begins       time.Time // entries
	opens, ended time.Time
	spread       time.Duration // within which all enter
	logins       int           // of those who come first, around the opening

	looks atomic.Int64 // at what is somebody's alone

	mu        sync.Mutex
	statuses  map[int]int // answers by status; 0: none
	answers   map[string]int
	positions map[uint64]uint64 // as they were worked out, by number
	knew      []time.Duration   // from the opening, of those who waited for it
	claims    []time.Duration
	loggedIn  []time.Duration
	told      []hearing
}

// hearing is when somebody was told that all is gone, and since when they had waited for that.
type hearing struct{ since, at time.Time }

func (s *sale) note(what func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what()
}

// RoundTrip counts what is answered.
func (s *sale) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := s.bench.shop.http.Transport.RoundTrip(req)
	s.note(func() {
		switch {
		case err == nil:
			s.statuses[resp.StatusCode]++
		case !errors.Is(err, context.Canceled): // who goes hangs up
			s.statuses[0]++
		}
	})
	return resp, err
}

// newSale schedules a drop of a new product that begins in a moment and opens after wait. more are settings of the drop.
func (b *bench) newSale(ctx context.Context, units int, wait time.Duration, more map[string]any) (*sale, error) {
	made, err := b.products(ctx, 1, units)
	if err != nil {
		return nil, err
	}
	s := &sale{
		bench: b, sku: made[0].SKU, path: "/api/v1/drops/" + made[0].Slug, statuses: map[int]int{}, answers: map[string]int{},
		positions: map[uint64]uint64{},
	}
	s.shop = b.shop.patient()
	s.shop.http = &http.Client{Timeout: b.shop.http.Timeout, Transport: s}
	s.begins = time.Now().Add(5 * time.Second).Round(time.Millisecond).UTC()
	s.opens = s.begins.Add(wait)
	draft := map[string]any{
		"slug": made[0].Slug, "title": "Bench", "preset": "queue", "zone": "UTC", "prequeue_at": s.begins, "opens_at": s.opens,
		"closes_at": s.opens.Add(time.Hour), "grace_s": 20, "hold_s": 60, "standby_s": 20,
		"lots": []any{map[string]any{"sku": s.sku, "units": units, "limit": 1}},
	}
	maps.Copy(draft, more)
	var answer struct {
		ID       uuid.UUID `json:"id"`
		State    string    `json:"state"`
		SetAside string    `json:"set_aside"`
		Refused  string    `json:"refused"`
	}
	if err := b.shop.send(ctx, "POST", "/api/v1/admin/drops", b.token, draft, &answer); err != nil {
		return nil, err
	}
	s.id = answer.ID
	if err := b.shop.send(ctx, "POST", s.admin("/schedule"), b.token, nil, &answer); err != nil {
		return nil, err
	}
	if answer.State != "scheduled" {
		return nil, fmt.Errorf("the drop is %s, its lots are %s %s", answer.State, answer.SetAside, answer.Refused)
	}
	return s, nil
}

func (s *sale) admin(act string) string { return "/api/v1/admin/drops/" + s.id.String() + act }

// run lets a crowd come, and waits until each has an answer. Times count from the opening.
func (s *sale) run(ctx context.Context, crowd []shopper) *result {
	ctx, cancel := context.WithDeadline(ctx, s.opens.Add(6*time.Minute))
	defer cancel()
	var t tally
	begun := time.Now()
	_ = each(ctx, crowd, len(crowd), func(ctx context.Context, i int, who shopper) error { // what fails is tallied
		answer, err := s.visit(ctx, i, who)
		switch {
		case err != nil:
			answer = "none"
			t.add(time.Since(s.opens), err)
		case answer == bought:
			t.add(time.Since(s.opens), nil)
		case answer == soldOut:
			t.add(time.Since(s.opens), &refusal{slug: "out-of-stock"})
		}
		s.note(func() { s.answers[answer]++ })
		return nil
	})
	r := t.end(begun)
	r.Clients = len(crowd)
	return r
}

// compare reads from the service's own database when the drop ended, and tells how many of the positions that people have worked
// out are not those that it has.
func (s *sale) compare(ctx context.Context) (wrong int, err error) {
	db, err := pgx.Connect(ctx, s.bench.at("drops"))
	if err != nil {
		return 0, err
	}
	defer db.Close(ctx)
	var ended *time.Time
	if err := db.QueryRow(ctx, `SELECT ended_at FROM drops WHERE id = $1`, s.id).Scan(&ended); err != nil {
		return 0, err
	}
	if ended != nil {
		s.ended = *ended
	}
	rows, err := db.Query(ctx, `SELECT idx, position FROM entries WHERE drop_id = $1`, s.id)
	if err != nil {
		return 0, err
	}
	var idx, position uint64
	_, err = pgx.ForEachRow(rows, []any{&idx, &position}, func() error {
		if own, ok := s.positions[idx]; ok && own != position {
			wrong++
		}
		return nil
	})
	return wrong, err
}

// toldWithin is how long those who waited for it had to wait until they were told that all is gone, the shortest first.
func (s *sale) toldWithin() []time.Duration {
	var list []time.Duration
	for _, h := range s.told {
		if h.since.Before(s.ended) {
			list = append(list, h.at.Sub(s.ended))
		}
	}
	slices.Sort(list)
	return list
}

// failed is how many answers were errors of the shop's, or did not come.
func (s *sale) failed() int {
	n := 0
	for status, k := range s.statuses {
		if status == 0 || status >= 500 {
			n += k
		}
	}
	return n
}

// spreadOf tells three of some times, in seconds.
func spreadOf(times []time.Duration) string {
	if len(times) == 0 {
		return "nobody"
	}
	slices.Sort(times)
	return fmt.Sprintf("p50 %s s, p99 %s s, the last %s s", number(percentile(times, 50).Seconds()),
		number(percentile(times, 99).Seconds()), number(percentile(times, 100).Seconds()))
}

// listed tells counts, the largest first.
func listed[K ~string | ~int](counts map[K]int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b K) int { return counts[b] - counts[a] })
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%v %d", k, counts[k]))
	}
	return strings.Join(parts, ", ")
}

// entriesWithin is how long the entries of so many are spread over: 60 s for ten thousand.
func entriesWithin(people int) time.Duration {
	return max(time.Duration(people)*6*time.Millisecond, 10*time.Second)
}

// wholeDrop measures a drop to which all come.
func (b *bench) wholeDrop(ctx context.Context, crowd []shopper) error {
	spread := entriesWithin(len(crowd))
	s, err := b.newSale(ctx, inLot, spread+15*time.Second, nil)
	if err != nil {
		return err
	}
	s.spread = spread
	before, err := b.servedByDrops(ctx)
	if err != nil {
		return err
	}
	profiled := make(chan error, 1)
	go func() {
		if until(ctx, s.opens) {
			profiled <- b.takeProfiles(ctx)()
		}
	}()
	r, err := b.measured(ctx, func(ctx context.Context) (*result, error) { return s.run(ctx, crowd), nil })
	if err == nil {
		err = <-profiled
	}
	if err != nil {
		return err
	}
	after, err := b.servedByDrops(ctx)
	if err != nil {
		return err
	}
	wrong, err := s.compare(ctx)
	if err != nil {
		return err
	}
	r.Name, r.Cost.Operations = fmt.Sprintf("a drop of %d units, a shopper", inLot), len(crowd)
	b.keep("drop", r)
	b.detail(r)
	if err := b.showProfiles(); err != nil {
		return err
	}
	b.mark("drop", fmt.Sprintf("%d real shoppers for %d units, over HTTP", len(crowd), inLot), "each a definite answer, no 5xx",
		"%s; %d answers of 5xx or none (all: %s), %d times told to come again later", listed(s.answers), s.failed(), listed(s.statuses),
		s.shop.told.Load())
	b.mark("drop", "own number known after the opening", "≤ 10 s", "%s; %d of %d differ from the service's", spreadOf(s.knew), wrong,
		len(s.positions))
	own := after["GET /api/v1/drops/{slug}/entry"] - before["GET /api/v1/drops/{slug}/entry"] - float64(s.looks.Load())
	b.mark("drop", "requests for a position", "0", "%.0f; %d looks at their own claim by those who stood by", own, s.looks.Load())
	b.mark("drop", "sold out is told to all who wait", "≤ 5 s", "%s", spreadOf(s.toldWithin()))
	polls := after[statusRoute] - before[statusRoute]
	b.mark("drop", "requests of the status that reach drops", "≤ 2 a second", "%s a second", number(polls/r.Took.Seconds()))
	b.mark("drop", "a claim of the called", "–", "p50 %s ms, p99 %s ms of %d", milliseconds(percentile(sorted(s.claims), 50)),
		milliseconds(percentile(sorted(s.claims), 99)), len(s.claims))
	b.say("drop", "Entries within %s, %s after the last the opening, sold out %.0f s after that. CPU of a shopper: %s ms, of which %s.",
		spread, 15*time.Second, s.ended.Sub(s.opens).Seconds(), number(r.Cost.total().Seconds()*1000), dearest(r.Cost, 8))
	return nil
}

func sorted(times []time.Duration) []time.Duration {
	slices.Sort(times)
	return times
}

// dearest tells what the dearest processes took of one operation, in ms.
func dearest(c *cost, n int) string {
	var parts []string
	for _, name := range c.processes()[:min(n, len(c.Processor))] {
		parts = append(parts, fmt.Sprintf("%s %s", name, number(c.per(c.Processor[name].Seconds()*1000))))
	}
	return strings.Join(parts, ", ")
}

// besieged measures those who look at a drop and those who claim before they are called, at one that is open and calls two a
// second.
func (b *bench) besieged(ctx context.Context, crowd []shopper) error {
	crowd = crowd[:min(max(len(crowd)/asideOf, 1000), len(crowd))] // of whom two a second are called
	calm := 20*time.Second + time.Duration(len(crowd))*15*time.Millisecond
	s, err := b.newSale(ctx, len(crowd)/5, calm, map[string]any{"calls_per_s": 2})
	if err != nil {
		return err
	}
	people := make([]*person, len(crowd))
	until(ctx, s.begins)
	err = b.one(ctx, "entry", func(ctx context.Context) (*result, error) {
		return closed(ctx, browsers, time.Until(s.opens), len(crowd), func(ctx context.Context, n int) error {
			people[n] = &person{shopper: crowd[n]}
			return s.enter(ctx, people[n])
		}), nil
	})
	if err != nil {
		return err
	}
	var st standing
	for st.State != "open" {
		if !pause.For(ctx, time.Second) {
			return ctx.Err()
		}
		if err := b.shop.send(ctx, "GET", s.path+"/status", "", nil, &st); err != nil {
			return err
		}
	}
	people = slices.DeleteFunc(people, func(p *person) bool { return p == nil || p.ticket == "" }) // those who came too late
	place := func(p *person) uint64 { at, _ := st.place(p.idx); return at }
	slices.SortFunc(people, func(a, b *person) int { return int(place(a)) - int(place(b)) })

	at := b.shop.base + s.path + "/status"
	if err := b.polled(ctx, "look at a drop", vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: at})); err != nil {
		return err
	}
	if err := b.polled(ctx, "look at a drop, each with another query, token and cookie", evading(at)); err != nil {
		return err
	}
	served, err := b.claimedEarly(ctx, s, people)
	if err != nil {
		return err
	}
	if err := b.shop.send(ctx, "GET", s.path+"/status", "", nil, &st); err != nil {
		return err
	}
	far := int(min(uint64(len(people)/2), st.SKUs[0].Called))
	called := people[min(served, far):far]
	err = b.one(ctx, "claim of the called", func(ctx context.Context) (*result, error) {
		return closed(ctx, browsers, b.limit, len(called), func(ctx context.Context, n int) error {
			_, err := s.claim(ctx, called[n])
			return err
		}), nil
	})
	if err != nil {
		return err
	}
	if err := b.strangers(ctx); err != nil {
		return err
	}
	return b.shop.send(ctx, "POST", s.admin("/end"), b.token, nil, nil)
}

// one measures what fn does, and shows what it costs by process.
func (b *bench) one(ctx context.Context, name string, fn func(ctx context.Context) (*result, error)) error {
	r, err := b.measured(ctx, fn)
	if err != nil {
		return err
	}
	r.Name = name
	b.keep("drop", r)
	b.detail(r)
	return nil
}

// crowded is how what arrives at such a rate is sent.
func crowded() []func(*vegeta.Attacker) {
	return []func(*vegeta.Attacker){
		vegeta.Workers(64), vegeta.MaxWorkers(connections), vegeta.Connections(connections), vegeta.MaxConnections(connections),
	}
}

// evading asks for an address with what should miss what is kept of it, another each time.
func evading(at string) vegeta.Targeter {
	var count atomic.Int64
	return func(t *vegeta.Target) error {
		n := fmt.Sprint(count.Add(1))
		t.Method, t.URL = "GET", at+"?miss="+n
		t.Header = http.Header{
			"Authorization": {"Bearer " + n}, "Cookie": {"cart=" + n}, "Accept": {"text/" + n}, "Origin": {"http://" + n},
		}
		return nil
	}
}

// polled measures requests of a status for three times as long as others, a minute.
func (b *bench) polled(ctx context.Context, name string, to vegeta.Targeter) error {
	before, err := b.servedByDrops(ctx)
	if err != nil {
		return err
	}
	var after map[string]float64
	r, err := b.measured(ctx, func(ctx context.Context) (r *result, err error) {
		r = arrive(ctx, to, pollsASecond, 3*b.limit, crowded()...)
		after, err = b.servedByDrops(ctx)
		return r, err
	})
	if err != nil {
		return err
	}
	r.Name = name
	b.keep("drop", r)
	b.detail(r)
	share := 100 * r.Cost.Processor["nginx"].Seconds() / r.Took.Seconds() / float64(runtime.NumCPU())
	b.mark("drop", fmt.Sprintf("%s: %d a second", name, pollsASecond), "≤ 25 % of 2 processors at the front, ≤ 2 a second reach drops",
		"%s a second came, Nginx took %.0f %% of %d processors, %s a second reached drops, p99 %s ms, %d failed",
		number(r.rate()), share, runtime.NumCPU(), number((after[statusRoute]-before[statusRoute])/r.Took.Seconds()),
		milliseconds(percentile(r.Times, 99)), r.failed())
	return nil
}

// strangers measures requests of the status of drops that are not there: each is another one, so nothing that is kept helps.
func (b *bench) strangers(ctx context.Context) error {
	before, err := b.servedByDrops(ctx)
	if err != nil {
		return err
	}
	var count atomic.Int64
	r := arrive(ctx, func(t *vegeta.Target) error {
		t.Method, t.URL = "GET", fmt.Sprintf("%s/api/v1/drops/none-%d/status", b.shop.base, count.Add(1))
		return nil
	}, pollsASecond, b.limit/2, crowded()...)
	after, err := b.servedByDrops(ctx)
	if err != nil {
		return err
	}
	b.mark("drop", fmt.Sprintf("the status of drops that are not there: %d a second", pollsASecond), "≤ 20 a second reach drops",
		"%.0f a second came, %.0f a second reached drops, %d were told to come again later, %s", float64(count.Load())/r.Took.Seconds(),
		(after[statusRoute]-before[statusRoute])/r.Took.Seconds(), len(r.Refused), listed(r.Errors))
	return b.rest(ctx)
}

// claimedEarly measures claims of those who are not called, the second half, while the first ones are and buy, four a second.
// It returns how many of these had their turn.
func (b *bench) claimedEarly(ctx context.Context, s *sale, people []*person) (served int, err error) {
	early := people[len(people)/2:]
	text, err := json.Marshal(s.wanted())
	if err != nil {
		return 0, err
	}
	headers := make([]http.Header, len(early))
	for i, p := range early {
		headers[i] = http.Header{"Authorization": {"Bearer " + p.token}, "Drop-Ticket": {p.ticket}, "Content-Type": {"application/json"}}
	}
	var count atomic.Int64
	target := func(t *vegeta.Target) error {
		t.Method, t.URL, t.Body = "POST", b.shop.base+s.path+"/claim", text
		t.Header = headers[int(count.Add(1))%len(headers)]
		return nil
	}
	before, err := b.claimsLetIn(ctx)
	if err != nil {
		return 0, err
	}
	sent := len(s.claims)
	var buyers tally
	var orders *result
	r, err := b.measured(ctx, func(ctx context.Context) (*result, error) {
		begun := time.Now()
		var buying sync.WaitGroup
		buying.Go(func() {
			for ; time.Since(begun) < b.limit && served < len(early)/2 && ctx.Err() == nil; served++ {
				who := people[served]
				buying.Go(func() {
					from := time.Now()
					answer, err := s.turn(ctx, who)
					for answer == "" && err == nil && pause.For(ctx, 2*time.Second) { // told to come again
						answer, err = s.turn(ctx, who)
					}
					buyers.add(time.Since(from), err)
				})
				pause.For(ctx, 250*time.Millisecond)
			}
		})
		r := arrive(ctx, target, claimsSecond, b.limit, crowded()...)
		buying.Wait()
		orders = buyers.end(begun)
		return r, nil
	})
	if err != nil {
		return 0, err
	}
	after, err := b.claimsLetIn(ctx)
	if err != nil {
		return 0, err
	}
	r.Name, r.Cost.Operations = "claims before one's turn, and orders meanwhile", int(count.Load())
	b.keep("drop", r)
	b.detail(r)
	orders.Name = "of the called meanwhile: claim, cart, order, payment"
	b.keep("drop", orders)
	claims := sorted(slices.Clone(s.claims[sent:]))
	b.mark("drop", fmt.Sprintf("claims of the uncalled, %d a second", claimsSecond), "none reaches a sidecar; called buyers' p99 ≤ 1 s",
		"%.0f a second came; %.0f were let in, %d of the called had claimed; these were answered within p50 %s, p99 %s ms "+
			"(%d bought, %d failed)",
		float64(count.Load())/r.Took.Seconds(), after-before, len(claims), milliseconds(percentile(claims, 50)),
		milliseconds(percentile(claims, 99)), len(orders.Times), orders.failed())
	return served, nil
}

// loggingIn measures a drop at the minute of whose opening some log in at Keycloak, before they enter.
func (b *bench) loggingIn(ctx context.Context, crowd []shopper) error {
	logins := max(len(crowd)/loginsOf, 1)
	people := make([]shopper, logins)
	err := each(ctx, people, accounts, func(ctx context.Context, i int, _ shopper) (err error) {
		people[i], err = b.shop.register(ctx)
		return err
	})
	if err != nil {
		return err
	}
	people = append(people, crowd[:max(len(crowd)/asideOf-logins, 0)]...)
	s, err := b.newSale(ctx, max(inLot/asideOf, 1), entriesWithin(len(people))+30*time.Second, nil)
	if err != nil {
		return err
	}
	s.spread, s.logins = entriesWithin(len(people)), logins
	r, err := b.measured(ctx, func(ctx context.Context) (*result, error) { return s.run(ctx, people), nil })
	if err != nil {
		return err
	}
	if _, err := s.compare(ctx); err != nil {
		return err
	}
	r.Name, r.Cost.Operations = fmt.Sprintf("a smaller one, %d log in at the opening, a shopper", logins), len(people)
	b.keep("drop", r)
	b.detail(r)
	login := time.Duration(0)
	for _, name := range []string{"keycloak", "auth", "auth-daprd"} {
		login += r.Cost.Processor[name]
	}
	slices.Sort(s.loggedIn)
	b.mark("drop", fmt.Sprintf("%d real logins within the minute of an opening", logins), "–",
		"Keycloak and auth took %s ms of a processor each; answered within p50 %s ms, p99 %s ms; meanwhile %s; %d answers of 5xx or none; "+
			"own number known: %s; sold out told: %s", number(login.Seconds()*1000/float64(max(len(s.loggedIn), 1))),
		milliseconds(percentile(s.loggedIn, 50)), milliseconds(percentile(s.loggedIn, 99)), listed(s.answers), s.failed(), spreadOf(s.knew),
		spreadOf(s.toldWithin()))
	return nil
}

const statusRoute = "GET /api/v1/drops/{slug}/status"

// servedByDrops is how many requests the service drops has answered, by route.
func (b *bench) servedByDrops(ctx context.Context) (map[string]float64, error) {
	served := map[string]float64{}
	for _, a := range b.apps {
		if a.ID != "drops" {
			continue
		}
		err := scrape(ctx, a.Port, func(metric, labels string, n float64) {
			if metric == "http_request_seconds_count" {
				served[label(labels, "method")+" "+label(labels, "route")] += n
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return served, nil
}

// claimsLetIn is how many claims the gateway has let through to a sidecar.
func (b *bench) claimsLetIn(ctx context.Context) (n float64, err error) {
	err = scrape(ctx, b.shop.Port(stack.PortKeys), func(metric, labels string, k float64) {
		if metric == "gateway_requests_total" && label(labels, "service") == "drops" && label(labels, "work") == "drop" {
			n += k
		}
	})
	return n, err
}

// label is the value of one of a metric's labels, which are written {a="b",c="d"}.
func label(labels, name string) string {
	_, value, _ := strings.Cut(labels, name+`="`)
	value, _, _ = strings.Cut(value, `"`)
	return value
}
