package main

import (
	"context"
	"encoding/json"
	"html/template"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

	rules "github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/money"
)

// drop is a drop as drops tells everybody of it.
type drop struct {
	Slug       string     `json:"slug"`
	Title      string     `json:"title"`
	Preset     string     `json:"preset"`
	State      string     `json:"state"`
	Zone       string     `json:"zone"`
	PrequeueAt *time.Time `json:"prequeue_at"`
	OpensAt    time.Time  `json:"opens_at"`
	ClosesAt   time.Time  `json:"closes_at"`
	GraceS     int        `json:"grace_s"`
	HoldS      int        `json:"hold_s"`
	StandbyS   int        `json:"standby_s"`
	Beacon     string     `json:"beacon"`
	Notify     bool       `json:"notify"`
	TellEnd    bool       `json:"tell_end"`
	Lots       []lot      `json:"lots"`
	Acts       []dropAct  `json:"acts"` // oldest first; a list of drops has none
}

// dropAct is a line of a drop's public log: what staff did, never who.
type dropAct struct {
	Act    string    `json:"act"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
}

var actWords = map[string]string{
	"created": "Made", "changed": "Changed, before entries began", "scheduled": "Scheduled: the units were set aside",
	"paused": "Paused", "resumed": "Resumed", "rate": "People are called faster or slower", "units": "Units were added",
	"units-asked": "More units were asked for", "units-refused": "There were no more units",
	"message": "Told everybody", "excluded": "Shut an entry out", "ended": "Ended before its time",
}

// Words say what was done.
func (a dropAct) Words() string {
	if a.Act == "message" && a.Detail == "" {
		return "Took its message back"
	}
	if said, ok := actWords[a.Act]; ok {
		return said
	}
	return sentence(a.Act)
}

// mostActs is how many acts the page of a drop shows.
const mostActs = 50

// LastActs are the last ones, oldest first: with each somebody waits for the page once more.
func (d drop) LastActs() []dropAct { return d.Acts[max(len(d.Acts)-mostActs, 0):] }

// MoreActs tells that there are earlier ones.
func (d drop) MoreActs() bool { return len(d.Acts) > mostActs }

// lot is what a drop has of a SKU.
type lot struct {
	SKU   string `json:"sku"`
	Units int64  `json:"units"`
	Limit int    `json:"limit"` // units that one shopper may have
}

// Over tells that nothing happens any more.
func (d drop) Over() bool { return d.State == "sold_out" || d.State == "closed" }

// Begins is when somebody can enter.
func (d drop) Begins() time.Time {
	if d.PrequeueAt != nil {
		return *d.PrequeueAt
	}
	return d.OpensAt
}

// Told writes a time as clocks of the drop's zone show it.
func (d drop) Told(at time.Time) template.HTML { return d.time(at, "Mon 2 Jan, 15:04 MST") }

// Clock is Told without the date.
func (d drop) Clock(at time.Time) template.HTML { return d.time(at, "15:04 MST") }

func (d drop) time(at time.Time, layout string) template.HTML {
	zone, err := time.LoadLocation(d.Zone)
	if err != nil {
		zone = time.UTC
	}
	// Nothing but a date gets in here.
	return template.HTML(`<time datetime="` + at.Format(time.RFC3339) + `">` + at.In(zone).Format(layout) + `</time>`)
}

// IsDraw tells that entries close at the opening, and that who is drawn has hours to buy.
func (d drop) IsDraw() bool { return d.Preset == "draw" }

// ToCome, ToPay and ToTake are how long who is called has to come, who has claimed to pay, and who stood by to take it.
func (d drop) ToCome() string { return lasts(d.GraceS) }

func (d drop) ToPay() string { return lasts(d.HoldS) }

func (d drop) ToTake() string { return lasts(d.StandbyS) }

// lasts says how long something is.
func lasts(seconds int) string {
	n, unit := seconds, "seconds"
	for _, larger := range []struct {
		size int
		name string
	}{{60, "minutes"}, {3600, "hours"}, {24 * 3600, "days"}} {
		if seconds%larger.size == 0 && seconds > larger.size { // never one of them
			n, unit = seconds/larger.size, larger.name
		}
	}
	return itoa(n) + " " + unit
}

// Units is how many there are in all.
func (d drop) Units() (n int64) {
	for _, l := range d.Lots {
		n += l.Units
	}
	return n
}

// Most is how many of each somebody may enter for.
func (d drop) Most() int {
	most := mostAtOnce
	for _, l := range d.Lots {
		most = min(most, l.Limit)
	}
	return max(most, 1)
}

// dropStatus is how a drop stands: the document that everybody who waits asks for again and again.
type dropStatus struct {
	State    string      `json:"state"`
	Now      time.Time   `json:"now"`
	OpensAt  time.Time   `json:"opens_at"`
	ClosesAt time.Time   `json:"closes_at"`
	Entered  int64       `json:"entered"`
	N        *int64      `json:"n"`
	Seed     string      `json:"seed,omitempty"`
	SKUs     []lotStatus `json:"skus"`
	Message  string      `json:"message"`
	PollS    [2]int64    `json:"poll_s"`
}

type lotStatus struct {
	SKU        string `json:"sku"`
	Called     int64  `json:"called"`
	Free       int64  `json:"free"`
	Held       int64  `json:"held"`
	Sold       int64  `json:"sold"`
	RatePerMin int64  `json:"rate_per_min"`

	LikelyBelow int64    `json:"likely_below"`
	Part        *float64 `json:"part,omitempty"` // before the opening
}

func (st dropStatus) lot(sku string) lotStatus {
	for _, l := range st.SKUs {
		if l.SKU == sku {
			return l
		}
	}
	return lotStatus{SKU: sku}
}

// entry is a shopper's own place in a drop.
type entry struct {
	Ticket   string   `json:"ticket"`
	Idx      int64    `json:"idx"`
	Position *int64   `json:"position"`
	SKUs     []string `json:"skus"`
	Quantity int      `json:"quantity"`
	Left     bool     `json:"left"`
	Tell     bool     `json:"tell"`
	Excluded *string  `json:"excluded"`
	Claims   []claim  `json:"claims"`
	Version  string   `json:"version"`
}

type claim struct {
	SKU           string     `json:"sku"`
	State         string     `json:"state"`
	Quantity      int        `json:"quantity"`
	HoldExpiresAt *time.Time `json:"hold_expires_at"`
	Standby       int64      `json:"standby"`
	MoreTime      int64      `json:"more_time"` // how often it may be given more time
}

func (e entry) claim(sku string) claim {
	for _, c := range e.Claims {
		if c.SKU == sku {
			return c
		}
	}
	return claim{SKU: sku}
}

// entryProof proves that an entry is in the drop's log.
type entryProof struct {
	EntryID   string   `json:"entry_id"`
	AccountID string   `json:"account_id"`
	Salt      string   `json:"salt"`
	Leaf      string   `json:"leaf"`
	Idx       int64    `json:"idx"`
	Size      int64    `json:"size"`
	Root      string   `json:"root"`
	Path      []string `json:"path"`
}

// row says how a SKU that somebody has entered for stands for them. assets/drop.js knows the same rules, since a page follows
// the status by itself: testdata/standings.json holds both to them.
func (st dropStatus) row(c claim, position *int64) string {
	l := st.lot(c.SKU)
	switch {
	case c.State == "held", c.State == "asked":
		return "holding"
	case c.State == "bought", c.State == "offered":
		return c.State
	case st.State == "sold_out", l.Free+l.Held == 0 && l.Sold > 0:
		return "sold-out"
	case c.State == "standby", c.State == "refused":
		return c.State
	case position == nil, *position >= l.Called:
		return "waiting"
	case c.State == "lapsed":
		return "lapsed"
	}
	return "turn"
}

// stage says which of its sections the page of a drop shows to somebody; e is nil for who has not entered.
func (st dropStatus) stage(preset string, e *entry, rows []string) string {
	has := func(state string) bool { return slices.Contains(rows, state) }
	in := e != nil && !e.Left
	done := len(rows) > 0 && !slices.ContainsFunc(rows, func(r string) bool { return r != "bought" && r != "sold-out" && r != "refused" })
	switch {
	case e != nil && e.Excluded != nil:
		return "excluded"
	case has("holding"):
		return "holding"
	case has("bought") && (done || st.State == "sold_out" || st.State == "closed"):
		return "bought"
	case st.State == "sold_out":
		return "sold-out"
	case st.State == "closed":
		return "closed"
	case st.State == "scheduled":
		return "announced"
	case st.State == "prequeue" && st.Now.Before(st.OpensAt) && in:
		return "in"
	case st.State == "prequeue" && st.Now.Before(st.OpensAt):
		return "enter"
	case st.State == "prequeue", st.State == "drawing":
		return "drawing"
	case st.State == "paused":
		return "paused"
	case !in && preset == "draw":
		return "entry-closed"
	case !in:
		return "late"
	}
	for _, state := range []string{"offered", "turn", "lapsed", "standby"} {
		if has(state) {
			return state
		}
	}
	switch {
	case done && has("refused"):
		return "refused"
	case done:
		return "sold-out"
	case st.State == "all_held":
		return "all-held"
	}
	return "waiting"
}

// seenDrop is a drop as everybody may see it.
type seenDrop struct {
	Drop   drop
	Status dropStatus
}

const (
	statusFresh   = time.Second // as drops keeps it
	dropsFresh    = 5 * time.Second
	productsFresh = 5 * time.Minute
)

// dropsCache keeps what is the same for everybody, for the many who look.
type dropsCache struct {
	list     lastKnown[[]drop]
	seen     *otter.Cache[string, seenDrop]
	before   *otter.Cache[string, seenDrop] // the last known, for when drops is away
	products *otter.Cache[string, dropProduct]
}

func newDropsCache() dropsCache {
	return dropsCache{
		seen: otter.Must(&otter.Options[string, seenDrop]{
			MaximumSize: 100, ExpiryCalculator: otter.ExpiryWriting[string, seenDrop](statusFresh),
		}),
		before: otter.Must(&otter.Options[string, seenDrop]{MaximumSize: 100}),
		products: otter.Must(&otter.Options[string, dropProduct]{
			MaximumSize: 1000, ExpiryCalculator: otter.ExpiryWriting[string, dropProduct](productsFresh),
		}),
	}
}

// allDrops lists the drops; the last known ones while drops is away.
func (s *service) allDrops(ctx context.Context) []drop {
	return s.drops.list.get(s.now(), dropsFresh, func() ([]drop, error) {
		out, err := get[items[drop]](asNobody(ctx), s, "drops", "/api/v1/drops", nil)
		return out.Items, err
	}, func([]drop) bool { return false })
}

// comingDrops lists those that are not over.
func (s *service) comingDrops(ctx context.Context) []drop {
	return slices.DeleteFunc(slices.Clone(s.allDrops(ctx)), drop.Over)
}

// dropOf is the drop in which a product is sold: one that is not over and has all of its variants.
func (s *service) dropOf(ctx context.Context, p product) *drop {
	for _, d := range s.comingDrops(ctx) {
		if !slices.ContainsFunc(p.Variant, func(v variant) bool {
			return !slices.ContainsFunc(d.Lots, func(l lot) bool { return l.SKU == v.SKU })
		}) {
			return &d
		}
	}
	return nil
}

func dropAPI(slug string) string { return "/api/v1/drops/" + url.PathEscape(slug) }

// seeDrop reads a drop and how it stands, once a second for all who look. While drops is away it is the last known one, and
// old tells so.
func (s *service) seeDrop(ctx context.Context, slug string) (d seenDrop, old bool, err error) {
	load := func(ctx context.Context, slug string) (d seenDrop, err error) {
		ctx = asNobody(context.WithoutCancel(ctx)) // others wait for the answer, too
		if d.Drop, err = get[drop](ctx, s, "drops", dropAPI(slug), nil); err == nil {
			d.Status, err = get[dropStatus](ctx, s, "drops", dropAPI(slug)+"/status", nil)
		}
		return d, err
	}
	d, err = s.drops.seen.Get(ctx, slug, otter.LoaderFunc[string, seenDrop](load))
	if err == nil {
		s.drops.before.Set(slug, d)
		return d, false, nil
	}
	if known, ok := s.drops.before.GetIfPresent(slug); ok && unavailable(err) {
		return known, true, nil
	}
	return d, false, err
}

// dropProduct is what a SKU of a drop is called.
type dropProduct struct {
	Slug, Name, Variant, ImageURL string
	Price                         money.Money
}

// productOf finds what a SKU is of: products is asked for what its search finds by the SKU. Without an answer the page names
// the SKU alone.
func (s *service) productOf(ctx context.Context, sku string) dropProduct {
	load := func(ctx context.Context, sku string) (dropProduct, error) {
		ctx = context.WithoutCancel(ctx)
		list, err := s.products(ctx, url.Values{"q": {sku}, "limit": {"3"}})
		if err != nil {
			return dropProduct{}, err
		}
		for _, one := range list.Items {
			p, err := s.productBySlug(ctx, one.Slug)
			if err != nil {
				return dropProduct{}, err
			}
			for _, v := range p.Variant {
				if v.SKU == sku {
					found := dropProduct{p.Slug, p.Name, v.Name, v.ImageURL, v.Price}
					if found.ImageURL == "" {
						found.ImageURL = p.ImageURL
					}
					return found, nil
				}
			}
		}
		return dropProduct{}, otter.ErrNotFound
	}
	found, err := s.drops.products.Get(ctx, sku, otter.LoaderFunc[string, dropProduct](load))
	if err != nil {
		return dropProduct{}
	}
	return found
}

// dropRow is a SKU of a drop on its page.
type dropRow struct {
	Lot     lot
	Product dropProduct
	Status  lotStatus
	In      bool   // it was entered for
	State   string // of what was entered for
	Claim   claim
	Odds    string // what is said of them
	Ahead   int64  // people who are called before; of no meaning before the opening
}

// Claimable hides the form of what cannot be claimed now. What was refused can: fewer may be within the limit, and so may as many
// once an order is cancelled.
func (r dropRow) Claimable() template.HTMLAttr {
	if slices.Contains([]string{"turn", "offered", "lapsed", "refused"}, r.State) {
		return ""
	}
	return "hidden"
}

// Named is what the row is called.
func (r dropRow) Named() string {
	switch {
	case r.Product.Name == "":
		return r.Lot.SKU
	case r.Product.Variant == "":
		return r.Product.Name
	}
	return r.Product.Name + ", " + r.Product.Variant
}

// odds say what somebody who waits is told about a unit: before the opening what everybody is, position is nil then.
// assets/drop.js says the same, since a page follows the status by itself: testdata/odds.json holds both to it.
func (l lotStatus) odds(position *int64) string {
	switch {
	case l.Part != nil && *l.Part > 0:
		return "There is enough for " + share(*l.Part) + " of those who are in so far."
	case position == nil, *position < l.Called:
		return ""
	}
	switch rules.ChanceAt(*position, l.LikelyBelow, l.Free) {
	case rules.Likely:
		return "It is likely that there is one for you."
	case rules.Unlikely:
		return "It is unlikely that there is one for you: those who stand before you will probably take what is left."
	default:
		return "All are held just now: there is one for you only if others give theirs up."
	}
}

// share says a part in words.
func share(part float64) string {
	switch {
	case rules.PartLikely(part):
		return "nearly all"
	case part >= .5:
		return itoa(int(part*10+.5)) + " in 10"
	}
	return "about 1 in " + itoa(int(1/part+.5))
}

// wait says when it may be somebody's turn, as a range that holds in eight cases of ten if people go on being called as in the
// last minute; "" where that is not known, or not likely at all. assets/drop.js says the same.
func (l lotStatus) wait(position int64) string {
	from, to, known := rules.Wait(position-l.Called, l.RatePerMin)
	if !known || position >= l.LikelyBelow {
		return ""
	}
	least, most := int(from), int(math.Ceil(to))
	switch {
	case most <= 1:
		return "within a minute"
	case least < 1:
		return "within " + itoa(most) + " minutes"
	}
	return "in " + itoa(least) + " to " + itoa(most) + " minutes"
}

// Wait says when it may be one's turn, for the SKU that comes first.
func (v dropView) Wait() string {
	for _, r := range v.Rows {
		if r.In && r.State == "waiting" && r.Ahead == v.Ahead() && v.Entry.Position != nil {
			return r.Status.wait(*v.Entry.Position)
		}
	}
	return ""
}

// dropView is the Data of the page "drop" and of the part "drop-body".
type dropView struct {
	Drop     drop
	Status   dropStatus
	Entry    *entry
	Stage    string
	Rows     []dropRow
	LoggedIn bool
	Token    string
	Problem  string
	Chosen   []string // SKUs that a form was sent with
	Quantity int
	Tell     bool // a form was sent with it, or it is what is usual
	Old      bool // drops is away: this is the last that is known
	Still    bool // the page does not renew itself
}

// On hides a section of the page that is not to be seen.
func (v dropView) On(stage string) template.HTMLAttr {
	if v.Stage == stage {
		return ""
	}
	return "hidden"
}

// Place is one's place in the order, from 1; 0 before the opening.
func (v dropView) Place() int64 {
	if v.Entry == nil || v.Entry.Position == nil {
		return 0
	}
	return *v.Entry.Position + 1
}

// Entered is how many have entered: oneself among them, whom an older status does not know.
func (v dropView) Entered() int64 { return max(v.Status.Entered, v.Number()) }

// Number is one's number in the log of entries, from 1; 0 for who has not entered.
func (v dropView) Number() int64 {
	if v.Entry == nil {
		return 0
	}
	return v.Entry.Idx + 1
}

// Ahead is how many people are called before, for the SKU that comes first.
func (v dropView) Ahead() (least int64) {
	least = -1
	for _, r := range v.Rows {
		if r.In && r.State == "waiting" && (least < 0 || r.Ahead < least) {
			least = r.Ahead
		}
	}
	return max(least, 0)
}

// Called is how far the line has come, for the SKU that comes first.
func (v dropView) Called() int64 { return max(v.Place()-1-v.Ahead(), 0) }

// Left is how many units nobody has yet, of what was entered for, or of all.
func (v dropView) Left() (n int64) {
	for _, r := range v.Rows {
		if r.In || v.Entry == nil {
			n += r.Status.Free
		}
	}
	return n
}

// Ends is the first end of what is held or offered.
func (v dropView) Ends() (first *time.Time) {
	for _, r := range v.Rows {
		if at := r.Claim.HoldExpiresAt; at != nil && (first == nil || at.Before(*first)) {
			first = at
		}
	}
	return first
}

// Standby is one's place among those who stand by.
func (v dropView) Standby() (first int64) {
	for _, r := range v.Rows {
		if n := r.Claim.Standby; n > 0 && (first == 0 || n < first) {
			first = n
		}
	}
	return first
}

// Checked tells whether a SKU is ticked in the form.
func (v dropView) Checked(sku string) bool {
	return len(v.Rows) == 1 || slices.Contains(v.Chosen, sku)
}

// Refresh is in how many seconds a browser without scripts shows the page anew; 0 where nothing moves, or somebody is about to
// act: a page that comes anew under their hands loses what they chose, and throws a screen reader to its top.
func (v dropView) Refresh() int {
	if v.Still {
		return 0
	}
	soon := 15 + int(v.Status.Now.Unix()%11) // not all at once
	if v.Stage == "holding" && v.Ends() == nil {
		return soon
	}
	switch v.Stage {
	case "in", "drawing", "waiting", "standby", "paused", "all-held":
		return soon
	case "announced":
		if left := int(v.Drop.Begins().Sub(v.Status.Now).Seconds()); left < 3600 {
			return max(left, 0) + soon
		}
	}
	return 0
}

// Script is what assets/drop.js begins with, as JSON.
func (v dropView) Script() (string, error) {
	type mine struct {
		Idx      int64   `json:"idx"`
		Position *int64  `json:"position"`
		Left     bool    `json:"left"`
		Excluded bool    `json:"excluded"`
		Version  string  `json:"version"`
		Claims   []claim `json:"claims"` // one for each SKU that was entered for, with an empty state where none was made
	}
	out := struct {
		Slug   string     `json:"slug"`
		Preset string     `json:"preset"`
		Begins time.Time  `json:"begins"`
		Stage  string     `json:"stage"`
		Me     *mine      `json:"me"`
		Status dropStatus `json:"status"`
	}{v.Drop.Slug, v.Drop.Preset, v.Drop.Begins(), v.Stage, nil, v.Status}
	if v.Entry != nil {
		out.Me = &mine{v.Entry.Idx, v.Entry.Position, v.Entry.Left, v.Entry.Excluded != nil, v.Entry.Version, []claim{}}
		for _, sku := range v.Entry.SKUs {
			out.Me.Claims = append(out.Me.Claims, v.Entry.claim(sku))
		}
	}
	text, err := json.Marshal(out)
	return string(text), err
}

// view puts together what the page of a drop shows to somebody.
func (s *service) dropView(ctx context.Context, d seenDrop, e *entry) dropView {
	v := dropView{Drop: d.Drop, Status: d.Status, Entry: e, Quantity: 1, Tell: d.Drop.IsDraw()}
	if n := shopperOf(ctx).session; n != nil {
		v.LoggedIn, v.Token = true, n.token()
	}
	var states []string
	for _, l := range d.Drop.Lots {
		r := dropRow{Lot: l, Product: s.productOf(ctx, l.SKU), Status: d.Status.lot(l.SKU), Claim: claim{SKU: l.SKU}}
		if e != nil && slices.Contains(e.SKUs, l.SKU) {
			r.In, r.Claim = true, e.claim(l.SKU)
			r.State = d.Status.row(r.Claim, e.Position)
			states = append(states, r.State)
			if e.Position != nil {
				r.Ahead = max(*e.Position-r.Status.Called, 0)
			}
			if r.State == "waiting" {
				r.Odds = r.Status.odds(e.Position)
			}
		}
		v.Rows = append(v.Rows, r)
	}
	v.Stage = d.Status.stage(d.Drop.Preset, e, states)
	if e != nil {
		v.Chosen, v.Quantity, v.Tell = e.SKUs, e.Quantity, e.Tell
	}
	return v
}
