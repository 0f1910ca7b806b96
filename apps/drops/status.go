package main

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/drop/proof"
)

// Status is how a drop stands, the same for everybody. Who waits asks for nothing else.
type Status struct {
	V        int          `json:"v" doc:"Of this document's form: 1"`
	State    State        `json:"state" enum:"scheduled,prequeue,drawing,open,paused,all_held,sold_out,closed"`
	Now      time.Time    `json:"now" doc:"The server's clock; a device's may be wrong"`
	OpensAt  time.Time    `json:"opens_at"`
	ClosesAt time.Time    `json:"closes_at"`
	Entered  int64        `json:"entered"`
	N        *int64       `json:"n" nullable:"true" doc:"Entries whose order is drawn; who entered later has position = idx"`
	Root     proof.Hex    `json:"root,omitempty"`
	Seed     proof.Hex    `json:"seed,omitempty" doc:"position = compute_shuffled_index(idx, n, seed). Told before it opens"`
	SKUs     []LotsStatus `json:"skus" nullable:"false"`
	Message  string       `json:"message"`
	PollS    [2]int64     `json:"poll_s" doc:"The least and the most seconds between two requests"`
}

// LotsStatus is how a lot stands.
type LotsStatus struct {
	SKU        string `json:"sku"`
	Called     int64  `json:"called" doc:"Who has a position below it may claim. It never falls"`
	Free       int64  `json:"free"`
	Held       int64  `json:"held"`
	Sold       int64  `json:"sold"`
	RatePerMin int64  `json:"rate_per_min" doc:"Positions by which called rose within the last minute"`
	// What a page tells its reader's odds by.
	LikelyBelow int64    `json:"likely_below" doc:"Who has a position below it is likely offered a unit of those that are free"`
	Part        *float64 `json:"part,omitempty" doc:"Before the opening: the part of those in so far whom the units will do for, 0 to 1"`
}

// snapshot is a drop and its lots as they stood at a moment, and the status that tells it. It may be as old as snapshotFresh, and
// other instances may know more. So only what is true for ever may be taken from it: what was published (id, preset, rules, times, the
// lots' SKUs and limits), and that the drop is over. What may change, its state, the numbers, how far was called and anybody's entry or
// standing, lets in or refuses nobody before it is read in the transaction that does it (enterOf, claimOf).
type snapshot struct {
	Drop   Drop
	Lots   []Lot
	Status Status
}

// snapshotLimit bounds the reading of a snapshot, for which many may wait.
const snapshotLimit = 2 * time.Second

// snapshot reads how a drop stands, four times a second however many ask. Errors: ErrDropNotFound.
func (s *service) snapshot(ctx context.Context, slug string) (snapshot, error) {
	return s.snapshots.Get(ctx, slug, otter.LoaderFunc[string, snapshot](func(ctx context.Context, slug string) (snapshot, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), snapshotLimit)
		defer cancel()
		return s.store.snapshot(ctx, slug, s.now)
	}))
}

// line is what a drop knows of those who want a lot's SKU, of whom so many are called and not heard of.
func (l Lot) line(d Drop, open int) drop.Line {
	return drop.Line{
		Free: l.Free, Open: int64(open), Came: l.Came, Stayed: l.Stayed, Entrants: l.Entrants, Wanted: l.Wanted, Entered: d.Entered,
		Most: d.CallsPerS,
	}
}

func statusOf(d Drop, lots []Lot, forward map[string]int, now time.Time) Status {
	st := Status{
		V: 1, State: d.State, Now: now, OpensAt: d.OpensAt, ClosesAt: d.ClosesAt, Entered: d.Entered, N: d.N, Root: d.Root, Seed: d.Seed,
		Message: d.Message, SKUs: make([]LotsStatus, 0, len(lots)),
	}
	waiting := d.Entered
	for _, l := range lots {
		one := LotsStatus{SKU: l.SKU, Called: l.Called, Free: l.Free, Held: l.Held, Sold: l.Sold, LikelyBelow: l.LikelyBelow}
		if d.OpenedAt != nil {
			one.RatePerMin = drop.PerMin(int64(forward[l.SKU]), now.Sub(*d.OpenedAt).Seconds())
		} else {
			part := math.Round(l.line(d, 0).Part(l.Units)*1e6) / 1e6
			one.Part = &part
		}
		st.SKUs = append(st.SKUs, one)
		waiting = min(waiting, d.Entered-l.Called)
	}
	st.PollS = drop.Poll(waiting)
	if d.Preset == Draw { // for hours
		st.PollS[1] = 30
	}
	return st
}

// Odds are what somebody is told about a lot.
type Odds struct {
	SKU    string       `json:"sku"`
	Part   *float64     `json:"part" nullable:"true" doc:"Before the opening: of those in so far, whom units will do for, 0 to 1"`
	Chance *drop.Chance `json:"chance" nullable:"true" enum:"likely,unlikely,if-others-quit" doc:"Before the opening null or likely"`
}

// odds are those of an entry, for each SKU that it is for: what its page tells by the same status.
func (st Status) odds(e Entry) []Odds {
	all := make([]Odds, 0, len(e.SKUs))
	for _, l := range st.SKUs {
		if !slices.Contains(e.SKUs, l.SKU) {
			continue
		}
		o := Odds{SKU: l.SKU, Part: l.Part}
		var chance drop.Chance
		switch {
		case e.Position != nil && l.Part == nil:
			chance = drop.ChanceAt(*e.Position, l.LikelyBelow, l.Free)
		case l.Part != nil && drop.PartLikely(*l.Part):
			chance = drop.Likely
		}
		if chance != "" {
			o.Chance = &chance
		}
		all = append(all, o)
	}
	return all
}
