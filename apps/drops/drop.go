package main

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/problem"
)

// What a caller may be told.
var (
	ErrDropNotFound  = problem.New(problem.NotFound, "drop-not-found", "There is no such drop")
	ErrEntryNotFound = problem.New(problem.NotFound, "entry-not-found", "The account has not entered")
	ErrDropNotOpen   = problem.New(problem.Conflict, "drop-not-open", "The drop is not open for that yet")
	ErrDropDrawing   = problem.New(problem.Conflict, "drop-drawing", "The drop is being opened").RetryAfter(2 * time.Second)
	ErrDropPaused    = problem.New(problem.Conflict, "drop-paused", "The drop is paused").RetryAfter(5 * time.Second)
	ErrEntryClosed   = problem.New(problem.Conflict, "entry-closed", "Entries are closed")
	ErrDropEnded     = problem.New(problem.Conflict, "drop-ended", "The drop is over")
	ErrNotEligible   = problem.New(problem.Forbidden, "not-eligible", "The account may not take part")
	ErrTicket        = problem.New(problem.Forbidden, "ticket-invalid", "The ticket is not this account's for this drop, or too old")
	ErrNotEntered    = problem.New(problem.Conflict, "not-entered-for", "The entry is not for that")
	ErrNotCalled     = problem.New(problem.Conflict, "not-called", "It is not your turn yet").RetryAfter(2 * time.Second)
	ErrNotHeld       = problem.New(problem.Conflict, "not-held", "Nothing is held for you by that claim")
	ErrNoMoreTime    = problem.New(problem.Conflict, "no-more-time", "The claim has been given more time as often as can be")
	ErrSoldOut       = problem.New(problem.Conflict, "sold-out", "Nothing is left of it")
	ErrDropState     = problem.New(problem.Conflict, "drop-state", "The drop is not in the state for that")
	ErrSlugTaken     = problem.New(problem.Conflict, "slug-taken", "Another drop has this name")
	ErrUnitsChanged  = problem.New(problem.Conflict, "units-changed", "The lot has another number of units by now")
	ErrLots          = problem.New(problem.Conflict, "lots-refused", "The units cannot be set aside")
)

// Preset is how a drop gives its units out.
type Preset string

// The presets.
const (
	Queue     Preset = "queue"      // who is there at the opening is shuffled, who comes later stands behind
	Draw      Preset = "draw"       // entries close at the opening; those drawn have hours to claim
	FirstCome Preset = "first-come" // nobody waits before the opening
)

// State is where a drop is.
type State string

// The states.
const (
	Draft     State = "draft"
	Scheduled State = "scheduled"
	Prequeue  State = "prequeue"
	Drawing   State = "drawing" // entries are frozen; the beacon is waited for, then the positions are written
	Open      State = "open"
	Paused    State = "paused"
	AllHeld   State = "all_held" // nothing is free, some may come back
	SoldOut   State = "sold_out" // all is paid
	Closed    State = "closed"
)

// Over tells that nothing happens any more.
func (s State) Over() bool { return s == SoldOut || s == Closed }

// Gives tells that units are given out, or may be again.
func (s State) Gives() bool { return s == Open || s == AllHeld }

// Drop is a drop as staff have made it, and where it is.
type Drop struct {
	ID         uuid.UUID
	Slug       string
	Title      string
	Preset     Preset
	State      State
	Zone       string
	PrequeueAt *time.Time
	OpensAt    time.Time
	ClosesAt   time.Time
	GraceS     int64
	HoldS      int64
	StandbyS   int64
	CallsPerS  int64
	Notify     bool // the called get a mail, as far as they asked for it
	TellEnd    bool // and so do those who got nothing, when it is over

	Beacon      string
	BeaconRound *int64

	Message    string
	Lots       string
	Refused    string
	Rules      *string
	Nonce      []byte
	Commitment []byte
	Entered    int64
	N          *int64
	Root       []byte

	BeaconSignature []byte
	Secret          []byte
	Seed            []byte

	OpenedAt  *time.Time
	PausedAt  *time.Time
	EndedAt   *time.Time
	CreatedAt time.Time
}

// Lot is a drop's lot of a SKU, and how far it was called.
type Lot struct {
	SKU      string
	Units    int64
	Adding   *int64 // in all that inventory is asked for, as staff want more; nil: it has answered
	Most     int64  // for one account
	Called   int64  // whoever has a position below it was called
	Entrants int64
	Wanted   int64
	Came     int64
	Stayed   int64
	Free     int64
	Held     int64
	Sold     int64

	LikelyBelow int64 // whoever has a position below it is likely offered a unit; 0 in a draw
}

// InAll are the units that the lot has, or is to have.
func (l Lot) InAll() int64 {
	if l.Adding != nil {
		return *l.Adding
	}
	return l.Units
}

// Entry is somebody's place.
type Entry struct {
	ID        uuid.UUID  `json:"id"`
	AccountID uuid.UUID  `json:"account_id"`
	Idx       int64      `json:"idx"`
	Position  *int64     `json:"position"` // not known before the opening
	SKUs      []string   `json:"skus"`
	Quantity  int64      `json:"quantity"`
	Salt      []byte     `json:"salt"`
	Leaf      []byte     `json:"leaf"`
	EnteredAt time.Time  `json:"entered_at"`
	LeftAt    *time.Time `json:"-"`
	Excluded  *string    `json:"-"`
	Email     *string    `json:"email"` // where to tell what becomes of it; nil: nowhere
}

// ticketAfter is how long tickets are good after a drop's end, for who stands by.
const ticketAfter = time.Hour

// rules are what is published and committed to at scheduling, in this order.
type rules struct {
	Drop   string `json:"drop"`
	Title  string `json:"title"`
	Preset Preset `json:"preset"`
	proof.Rules
	Zone       string      `json:"zone"`
	PrequeueAt *time.Time  `json:"prequeue_at"`
	ClosesAt   time.Time   `json:"closes_at"`
	GraceS     int64       `json:"grace_s"`
	HoldS      int64       `json:"hold_s"`
	StandbyS   int64       `json:"standby_s"`
	Notify     bool        `json:"notify"`
	TellEnd    bool        `json:"tell_end"`
	Lots       []LotWanted `json:"lots"`
}

// LotWanted is how many units of a SKU a drop has, and how many one account may have.
type LotWanted struct {
	SKU   string `json:"sku" minLength:"1" maxLength:"255"`
	Units int64  `json:"units" minimum:"1" maximum:"1000000000"`
	Limit int64  `json:"limit" minimum:"1" maximum:"1000" doc:"Units that one account may have"`
}

func wantedOf(lots []Lot) []LotWanted {
	wanted := make([]LotWanted, 0, len(lots))
	for _, l := range lots {
		wanted = append(wanted, LotWanted{l.SKU, l.Units, l.Most})
	}
	return wanted
}

// Publish fixes a drop's rules, from when on they do not change: which round of the beacon decides is among them, and which key signs
// the log's heads.
func (d *Drop) Publish(lots []Lot, headKey ed25519.PublicKey) error {
	r := rules{
		Drop: d.Slug, Title: d.Title, Preset: d.Preset, Zone: d.Zone, PrequeueAt: d.PrequeueAt, ClosesAt: d.ClosesAt,
		GraceS: d.GraceS, HoldS: d.HoldS, StandbyS: d.StandbyS, Notify: d.Notify, TellEnd: d.TellEnd, Lots: wantedOf(lots),
		Rules: proof.Rules{OpensAt: d.OpensAt, Beacon: d.Beacon, HeadKey: proof.Hex(headKey)},
	}
	if d.Beacon == proof.BeaconDrand {
		r.Chain, r.Round = proof.Quicknet.Hash, proof.Quicknet.Decides(d.OpensAt)
		round := int64(r.Round)
		d.BeaconRound = &round
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	published := string(text)
	d.Rules = &published
	return nil
}

// Schedulable refuses times that have passed. Errors: ErrDropState, ErrInvalid.
func (d *Drop) Schedulable(now time.Time) error {
	begins := d.OpensAt
	if d.PrequeueAt != nil {
		begins = *d.PrequeueAt
	}
	switch {
	case d.State != Draft:
		return ErrDropState.With("state", d.State)
	case !begins.After(now):
		return problem.InvalidField("body.opens_at", problem.CodeTooSmall, "the drop would have begun already")
	}
	return nil
}

// Late is for how long a drop should have been open and never was.
func (d *Drop) Late(now time.Time) time.Duration {
	if d.OpenedAt != nil || d.State.Over() {
		return 0
	}
	return max(0, now.Sub(d.OpensAt))
}

// Awaits tells whether a beacon is to decide the drop's order, and has not yet.
func (d *Drop) Awaits() bool {
	return d.Beacon == proof.BeaconDrand && d.Seed == nil && !d.State.Over()
}

// BeaconLate is for how long the beacon should have told the round that a drop waits for.
func (d *Drop) BeaconLate(now time.Time) time.Duration {
	if d.State != Drawing || d.BeaconRound == nil || d.Seed != nil {
		return 0
	}
	return max(0, now.Sub(proof.Quicknet.TimeOf(uint64(*d.BeaconRound))))
}

// MayEnter refuses entries while a drop takes none. Between the opening's time and the moment when the entries are frozen
// nobody enters, so that they are what they were when no beacon was known. Errors: ErrDropNotOpen, ErrDropDrawing,
// ErrEntryClosed, ErrDropEnded.
func (d *Drop) MayEnter(now time.Time) error {
	switch {
	case d.State.Over():
		return ErrDropEnded
	case d.State == Draft:
		return ErrDropNotFound
	case d.State == Scheduled:
		begins := d.OpensAt
		if d.PrequeueAt != nil {
			begins = *d.PrequeueAt
		}
		return ErrDropNotOpen.With("opens_at", begins)
	case d.Preset == Draw && (d.State != Prequeue || !now.Before(d.OpensAt)):
		return ErrEntryClosed
	case d.State == Prequeue && !now.Before(d.OpensAt):
		return ErrDropDrawing
	}
	return nil
}

// MayClaim refuses claims while a drop gives nothing. Errors: ErrDropNotOpen, ErrDropPaused, ErrDropEnded, ErrSoldOut.
func (d *Drop) MayClaim() error {
	switch {
	case d.State == SoldOut:
		return ErrSoldOut
	case d.State == Closed:
		return ErrDropEnded
	case d.State == Paused:
		return ErrDropPaused
	case !d.State.Gives():
		return ErrDropNotOpen.With("opens_at", d.OpensAt)
	}
	return nil
}

// Give says in which state a drop is whose lots stand like that.
func (d *Drop) Give(lots []Lot) State {
	var free, unsold int64
	for _, l := range lots {
		free, unsold = free+l.Free, unsold+l.Units-l.Sold
	}
	switch {
	case free > 0:
		return Open
	case unsold > 0:
		return AllHeld
	}
	return SoldOut
}

// Seconds is so many of them.
func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// Enters checks what somebody wants against a drop's lots. Errors: ErrInvalid.
func Enters(skus []string, quantity int64, lots []Lot) error {
	for i, sku := range skus {
		at := slices.IndexFunc(lots, func(l Lot) bool { return l.SKU == sku })
		switch {
		case at < 0:
			return problem.InvalidField("body.skus", problem.CodeNotFound, "one of them is not in this drop")
		case slices.Contains(skus[:i], sku):
			return problem.InvalidField("body.skus", problem.CodeDuplicate, "one of them is there twice")
		case quantity > lots[at].Most:
			return problem.InvalidField("body.quantity", problem.CodeTooLarge, "is more than one account may have")
		}
	}
	return nil
}
