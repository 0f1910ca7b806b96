package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/longpoll"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

func (s *service) routes(api huma.API) {
	outbox.Feed(api, s.store.db, rest.Neighbours("mail"))
	rest.Handle(api, rest.Op("GET", "/api/v1/drops", "List drops", rest.Anyone), s.listDrops)
	rest.Handle(api, rest.Op("GET", "/api/v1/drops/{slug}", "Read a drop: its rules, times, lots and what staff did to it", rest.Anyone,
		rest.Problems(ErrDropNotFound)), s.getDrop)
	rest.Handle(api, rest.Op("GET", "/api/v1/drops/{slug}/status", "Read how a drop stands this second", rest.Anyone,
		rest.Describe("The same for everybody, at most a second old. Who has entered computes their own position from seed and n."),
		rest.Problems(ErrDropNotFound)), s.getStatus)
	rest.Handle(api, rest.Op("GET", "/api/v1/drops/{slug}/proof", "Read what proves a drop's order", rest.Anyone,
		rest.Problems(ErrDropNotFound)), s.getProof)
	rest.Handle(api, rest.Op("GET", "/api/v1/drops/{slug}/leaves", "Read the log of entries", rest.Anyone,
		rest.Problems(ErrDropNotFound)), s.getLeaves)

	rest.Handle(api, rest.Op("POST", "/api/v1/drops/{slug}/entry", "Enter a drop", rest.User, rest.Status(http.StatusCreated),
		rest.Also(http.StatusOK, "The account has entered before"),
		rest.Describe("An account has one entry, whatever its devices: again it is the same, with 200. What it is for may be changed "+
			"until the opening."),
		rest.Problems(ErrDropNotFound, ErrDropNotOpen, ErrDropDrawing, ErrEntryClosed, ErrDropEnded, ErrNotEligible)), s.postEntry)
	rest.Handle(api, rest.Op("GET", "/api/v1/drops/{slug}/entry", "Read my entry and my claims, or wait for them to change", rest.User,
		rest.Describe("With wait it comes back when I am called, stand by, am offered a unit, or anything else becomes of my entry; at "+
			"once when too many wait. For those who are near: who waits in the line asks for the drop's status."),
		rest.Problems(ErrDropNotFound, ErrEntryNotFound)), s.getEntry)
	rest.Handle(api, rest.Op("DELETE", "/api/v1/drops/{slug}/entry", "Leave a drop", rest.User, rest.Status(http.StatusNoContent),
		rest.Problems(ErrDropNotFound)), s.deleteEntry)
	rest.Handle(api, rest.Op("GET", "/api/v1/drops/{slug}/entry/proof", "Read the proof that my entry is in the log", rest.User,
		rest.Problems(ErrDropNotFound, ErrEntryNotFound, ErrDropNotOpen)), s.getEntryProof)
	rest.Handle(api, rest.Op("POST", "/api/v1/drops/{slug}/claim", "Claim a unit when it is my turn", rest.User,
		rest.Status(http.StatusCreated),
		rest.Also(http.StatusAccepted, "Nothing is free: I stand by"),
		rest.Describe("201: the units are held for my cart; put them in. 202: nothing is free, I stand by. Again it is the same."),
		rest.Problems(ErrDropNotFound, ErrEntryNotFound, ErrTicket, ErrNotEligible, ErrNotEntered, ErrNotCalled, ErrDropNotOpen,
			ErrDropPaused, ErrDropEnded, ErrSoldOut, ErrLimitReached, ErrClaimLapsed)), s.postClaim)

	rest.Handle(api, rest.Op("POST", "/api/v1/drops/{slug}/entry/more-time", "Ask for more time for what is held for me", rest.User,
		rest.Describe("Twice for each claim, as long as it is held. It does not begin anew: the time comes on top."),
		rest.Problems(ErrDropNotFound, ErrEntryNotFound, ErrNotHeld, ErrNoMoreTime, ErrClaimLapsed, ErrDropEnded)), s.postMoreTime)

	s.adminRoutes(api)
}

// SlugPath names a drop to everybody.
type SlugPath struct {
	Slug string `path:"slug" minLength:"1" maxLength:"100" pattern:"^[a-z0-9-]+$"`
}

type body[T any] struct{ Body T }

// shared is an answer that is the same for everybody, and how long caches may keep it.
type shared[T any] struct {
	CacheControl string `header:"Cache-Control"`
	Body         T
}

const (
	aSecond = "public, max-age=1, stale-while-revalidate=2" // or else all who ask when a second is over ask here
	aWhile  = "public, max-age=10"
	anHour  = "public, max-age=3600"
)

type items[T any] struct {
	Items []T `json:"items" nullable:"false"`
}

// DropView is a drop as everybody may see it.
type DropView struct {
	ID         uuid.UUID   `json:"id" format:"uuid"`
	Slug       string      `json:"slug"`
	Title      string      `json:"title"`
	Preset     Preset      `json:"preset" enum:"queue,draw,first-come"`
	State      State       `json:"state" enum:"draft,scheduled,prequeue,drawing,open,paused,all_held,sold_out,closed"`
	Zone       string      `json:"zone" doc:"The IANA time zone in which its times are told to people"`
	PrequeueAt *time.Time  `json:"prequeue_at" nullable:"true" doc:"Null: nobody waits before the opening"`
	OpensAt    time.Time   `json:"opens_at"`
	ClosesAt   time.Time   `json:"closes_at"`
	GraceS     int64       `json:"grace_s" doc:"Seconds that who is called has to claim before others are called as well"`
	HoldS      int64       `json:"hold_s" doc:"Seconds that a claim holds"`
	StandbyS   int64       `json:"standby_s" doc:"Seconds that who stood by has to accept"`
	Beacon     string      `json:"beacon" enum:"drand,commit" doc:"commit: no public randomness; the shop could have influenced the order"`
	Notify     bool        `json:"notify" doc:"Whether the called who asked for it get a mail"`
	TellEnd    bool        `json:"tell_end" doc:"Whether those who asked for it and got nothing get one when it is over"`
	Message    string      `json:"message"`
	Lots       []LotWanted `json:"lots" nullable:"false"`
	Rules      *string     `json:"rules" nullable:"true" doc:"JSON, as it was committed to"`
	Commitment proof.Hex   `json:"commitment,omitempty"`
	Acts       []Act       `json:"acts,omitempty" doc:"What staff did, oldest first"`
}

func view(d Drop, lots []Lot, acts []Act) DropView {
	return DropView{
		ID: d.ID, Slug: d.Slug, Title: d.Title, Preset: d.Preset, State: d.State, Zone: d.Zone, PrequeueAt: d.PrequeueAt,
		OpensAt: d.OpensAt, ClosesAt: d.ClosesAt, GraceS: d.GraceS, HoldS: d.HoldS, StandbyS: d.StandbyS, Beacon: d.Beacon,
		Notify: d.Notify, TellEnd: d.TellEnd, Message: d.Message, Lots: wantedOf(lots), Rules: d.Rules, Commitment: d.Commitment,
		Acts: acts,
	}
}

func (s *service) views(ctx context.Context, drafts bool, page rest.Page) (out rest.List[DropView], err error) {
	drops, next, err := s.store.list(ctx, drafts, page)
	if err != nil {
		return out, err
	}
	lots, err := lotsOfAll(ctx, s.store.db, pg.Column(drops, func(d Drop) uuid.UUID { return d.ID })...)
	if err != nil {
		return out, err
	}
	out = rest.List[DropView]{Items: make([]DropView, 0, len(drops)), NextCursor: next}
	for _, d := range drops {
		out.Items = append(out.Items, view(d, lots[d.ID], nil))
	}
	return out, nil
}

// newest are the drops that everybody is told of.
const newest = 200

func (s *service) listDrops(ctx context.Context, _ *struct{}) (*shared[items[DropView]], error) {
	out, err := s.views(ctx, false, rest.Page{Limit: newest})
	return &shared[items[DropView]]{aWhile, items[DropView]{out.Items}}, err
}

// public reads a drop for everybody. Errors: ErrDropNotFound.
func (s *service) public(ctx context.Context, slug string) (Drop, []Lot, error) {
	d, lots, err := bySlug(ctx, s.store.db, slug)
	return d, lots, toAll(err)
}

// toAll lets caches repeat that there is no such drop, as long as how one stands.
func toAll(err error) error {
	if errors.Is(err, ErrDropNotFound) {
		return ErrDropNotFound.FreshFor(time.Second)
	}
	return err
}

func (s *service) getDrop(ctx context.Context, in *SlugPath) (*shared[DropView], error) {
	d, lots, err := s.public(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	acts, err := s.store.acts(ctx, d.ID)
	return &shared[DropView]{aSecond, view(d, lots, acts)}, err
}

func (s *service) getStatus(ctx context.Context, in *SlugPath) (*shared[Status], error) {
	sn, err := s.snapshot(ctx, in.Slug)
	return &shared[Status]{aSecond, sn.Status}, toAll(err)
}

func (s *service) getProof(ctx context.Context, in *SlugPath) (*shared[proof.Document], error) {
	d, _, err := s.public(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	all, err := heads(ctx, s.store.db, d.ID, 10_000)
	if err != nil {
		return nil, err
	}
	out := proof.Document{
		Drop: d.Slug, State: string(d.State), Rules: *d.Rules, Commitment: d.Commitment, Heads: all, Root: d.Root, Secret: d.Secret,
		Signature: d.BeaconSignature, Seed: d.Seed,
	}
	if d.N != nil {
		n := uint64(*d.N)
		out.N = &n
	}
	return &shared[proof.Document]{aSecond, out}, nil
}

// leavesAtOnce is how many leaves one answer has.
const leavesAtOnce = 10_000

type leaves struct {
	Leaves []proof.Hex `json:"leaves" nullable:"false" doc:"H(entry ‖ H(account ‖ salt)), SHA-256, in order; none: there are no more"`
}

func (s *service) getLeaves(ctx context.Context, in *struct {
	SlugPath
	From int64 `query:"from" minimum:"0" doc:"Place in the log of the first one"`
}) (*shared[leaves], error) {
	d, _, err := s.public(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	found, err := s.store.leaves(ctx, d.ID, in.From, leavesAtOnce)
	fresh := aSecond
	if len(found) == leavesAtOnce { // nothing of it ever changes
		fresh = anHour
	}
	return &shared[leaves]{fresh, leaves{found}}, err
}

// EntryView is an entry as its owner sees it.
type EntryView struct {
	Ticket   string      `json:"ticket" doc:"To be shown at a claim, in the header Drop-Ticket"`
	Idx      int64       `json:"idx" doc:"Place in the log of entries, from 0"`
	Position *int64      `json:"position" nullable:"true" doc:"Place in the order, from 0; null before the opening"`
	SKUs     []string    `json:"skus" nullable:"false"`
	Quantity int64       `json:"quantity"`
	Leaf     proof.Hex   `json:"leaf"`
	Odds     []Odds      `json:"odds" nullable:"false"`
	Left     bool        `json:"left"`
	Tell     bool        `json:"tell" doc:"I asked to be told by mail"`
	Excluded *string     `json:"excluded" nullable:"true" doc:"Why staff have shut it out"`
	Claims   []ClaimView `json:"claims" nullable:"false"`
	Version  string      `json:"version,omitempty" doc:"Where one can wait: for since. It changes with the entry"`
}

// ClaimView is a claim as its owner sees it.
type ClaimView struct {
	SKU           string     `json:"sku"`
	State         ClaimState `json:"state" enum:"asked,held,standby,offered,bought,lapsed,refused"`
	Quantity      int64      `json:"quantity"`
	HoldExpiresAt *time.Time `json:"hold_expires_at" nullable:"true"`
	Standby       int64      `json:"standby" doc:"1: next of those who stand by; 0: does not"`
	MoreTime      int64      `json:"more_time" doc:"How often it may be given more time"`
}

func claimView(c claimed) ClaimView {
	v := ClaimView{SKU: c.SKU, State: c.State, Quantity: c.Quantity, Standby: c.Place, MoreTime: c.MoreTimes()}
	switch c.State {
	case Held, Offered:
		v.HoldExpiresAt = c.Until
	case Drawn:
		v.State = Asked
	case Ending:
		v.State = Lapsed
	case Asked, Standby, Bought, Lapsed, Declined:
	}
	return v
}

func (s *service) entryView(sn snapshot, e Entry, claims []claimed) EntryView {
	v := EntryView{
		Ticket: s.ticket(sn.Drop, e), Idx: e.Idx, Position: e.Position, SKUs: e.SKUs, Quantity: e.Quantity, Leaf: e.Leaf,
		Left: e.LeftAt != nil, Tell: e.Email != nil, Excluded: e.Excluded, Odds: sn.Status.odds(e),
		Claims: make([]ClaimView, 0, len(claims)),
	}
	for _, c := range claims {
		v.Claims = append(v.Claims, claimView(c))
	}
	return v
}

type entryInput struct {
	SlugPath
	Body struct {
		SKUs     []string `json:"skus" minItems:"1" maxItems:"20" nullable:"false" doc:"Of its lots; each is called for by itself"`
		Quantity int64    `json:"quantity" minimum:"1" maximum:"1000" doc:"Units of each, at most"`
		Tell     bool     `json:"tell,omitempty" doc:"Tell my account's address what becomes of it, as far as the drop's rules say so"`
	}
}

type entryOutput struct {
	Status int
	Body   EntryView
}

func (s *service) postEntry(ctx context.Context, in *entryInput) (*entryOutput, error) {
	caller := auth.Must(ctx)
	sn, err := s.snapshot(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	if err := Enters(in.Body.SKUs, in.Body.Quantity, sn.Lots); err != nil {
		return nil, err
	}
	if err := isShopper(caller); err != nil {
		return nil, err
	}
	wants := entering{drop: sn.Drop.ID, account: caller.ID, skus: in.Body.SKUs, quantity: in.Body.Quantity}
	if in.Body.Tell && caller.Email != "" {
		wants.email = &caller.Email
	}
	e, err := s.entries.Do(ctx, wants)
	if err != nil {
		return nil, err
	}
	if e.made { // just now: it has claimed nothing
		return &entryOutput{http.StatusCreated, s.entryView(sn, e.Entry, nil)}, nil
	}
	claims, err := s.store.claimsOf(ctx, e.ID)
	return &entryOutput{http.StatusOK, s.entryView(sn, e.Entry, claims)}, err
}

// mine reads the caller's entry.
func (s *service) mine(ctx context.Context, slug string) (sn snapshot, e Entry, err error) {
	if sn, err = s.snapshot(ctx, slug); err != nil {
		return sn, e, err
	}
	e, err = s.store.entry(ctx, sn.Drop.ID, auth.Must(ctx).ID)
	return sn, e, err
}

func (s *service) getEntry(ctx context.Context, in *struct {
	SlugPath
	Wait  int64  `query:"wait" minimum:"0" maximum:"25" doc:"Seconds to wait for a change. Answered at once in a crowd: ask a second later"`
	Since string `query:"since" maxLength:"32" doc:"The version that the caller has; by default the one of now"`
}) (*body[EntryView], error) {
	_, e, err := s.mine(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	if in.Since == "" && in.Wait > 0 {
		now, err := s.store.versions(ctx, e.ID)
		if err != nil {
			return nil, err
		}
		in.Since = now[e.ID]
	}
	v, err := longpoll.Read(ctx, s.polls, e.ID, seconds(in.Wait), s.stopping, func() (EntryView, error) {
		return s.readEntry(ctx, in.Slug)
	}, func(v EntryView) bool { return v.Version != in.Since })
	return &body[EntryView]{v}, err
}

// readEntry reads the caller's entry as it is now. What changes while it is read is in the next version.
func (s *service) readEntry(ctx context.Context, slug string) (EntryView, error) {
	sn, e, err := s.mine(ctx, slug)
	if err != nil {
		return EntryView{}, err
	}
	now, err := s.store.versions(ctx, e.ID)
	if err != nil {
		return EntryView{}, err
	}
	claims, err := s.look(ctx, sn.Drop.ID, e)
	v := s.entryView(sn, e, claims)
	v.Version = now[e.ID]
	return v, err
}

func (s *service) deleteEntry(ctx context.Context, in *SlugPath) (*struct{}, error) {
	sn, err := s.snapshot(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	return nil, s.store.leave(ctx, sn.Drop.ID, auth.Must(ctx).ID)
}

func (s *service) getEntryProof(ctx context.Context, in *SlugPath) (*body[EntryProof], error) {
	p, err := s.proofs.Do(ctx, proving{in.Slug, auth.Must(ctx).ID})
	return &body[EntryProof]{p}, err
}

type claimInput struct {
	SlugPath
	Ticket string `header:"Drop-Ticket" maxLength:"1000"`
	Body   struct {
		SKU      string `json:"sku" minLength:"1" maxLength:"255"`
		Quantity int64  `json:"quantity" minimum:"1" maximum:"1000" doc:"In all, with my orders. What is held stays so if no more is free"`
	}
}

type claimOutput struct {
	Status int
	Body   ClaimView
}

func (s *service) postClaim(ctx context.Context, in *claimInput) (*claimOutput, error) {
	caller := auth.Must(ctx)
	sn, err := s.snapshot(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	entry, err := s.readTicket(in.Ticket, sn.Drop.Slug, caller)
	if err != nil {
		return nil, err
	}
	if err := isShopper(caller); err != nil {
		return nil, err
	}
	if sn.Drop.State.Over() { // for ever
		return nil, sn.Drop.MayClaim()
	}
	got, err := s.claims.Do(ctx, claiming{sn.Drop, caller.ID, entry, in.Body.SKU, in.Body.Quantity})
	if err != nil {
		return nil, err
	}
	if got.State == Lapsed || got.State == Ending {
		return nil, ErrClaimLapsed
	}
	out := &claimOutput{http.StatusCreated, claimView(got)}
	if got.State == Standby {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

type moreTimeInput struct {
	SlugPath
	Body struct {
		SKU string `json:"sku" minLength:"1" maxLength:"255"`
	}
}

func (s *service) postMoreTime(ctx context.Context, in *moreTimeInput) (*body[ClaimView], error) {
	sn, e, err := s.mine(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	of := sn.Drop.ID
	find := func() (c claimed, err error) {
		claims, err := s.look(ctx, of, e)
		if err != nil {
			return c, err
		}
		if i := slices.IndexFunc(claims, func(c claimed) bool { return c.SKU == in.Body.SKU }); i >= 0 {
			return claims[i], nil
		}
		return c, ErrNotHeld
	}
	c, err := find()
	if err != nil {
		return nil, err
	}
	until, err := c.MoreTime(s.now(), s.settings.MoreTime)
	if err != nil {
		return nil, err
	}
	if err := s.more(ctx, of, toClaim{c.Claim, e.AccountID}, until); err != nil {
		return nil, err
	}
	c, err = find()
	return &body[ClaimView]{claimView(c)}, err
}
