package main

import (
	"context"
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
	Seed     proof.Hex    `json:"seed,omitempty" doc:"position = compute_shuffled_index(idx, n, seed)"`
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
	RatePerMin int    `json:"rate_per_min" doc:"Called within the last minute"`
}

// statusLimit bounds the reading of a status, for which many may wait.
const statusLimit = 2 * time.Second

// readStatus reads a drop's status, once a second however many ask. Errors: ErrDropNotFound, which caches keep as long.
func (s *service) readStatus(ctx context.Context, slug string) (Status, error) {
	return s.status.Get(ctx, slug, otter.LoaderFunc[string, Status](func(ctx context.Context, slug string) (Status, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusLimit)
		defer cancel()
		d, lots, err := s.public(ctx, slug)
		if err != nil {
			return Status{}, err
		}
		now := s.now()
		rate, err := s.store.calledSince(ctx, d.ID, now.Add(-time.Minute))
		return statusOf(d, lots, rate, now), err
	}))
}

func statusOf(d Drop, lots []Lot, rate map[string]int, now time.Time) Status {
	st := Status{
		V: 1, State: d.State, Now: now, OpensAt: d.OpensAt, ClosesAt: d.ClosesAt, Entered: d.Entered, N: d.N, Root: d.Root, Seed: d.Seed,
		Message: d.Message, SKUs: make([]LotsStatus, 0, len(lots)),
	}
	waiting := d.Entered
	for _, l := range lots {
		st.SKUs = append(st.SKUs, LotsStatus{l.SKU, l.Called, l.Free, l.Held, l.Sold, rate[l.SKU]})
		waiting = min(waiting, d.Entered-l.Called)
	}
	st.PollS = [2]int64{2, min(max(waiting/10_000, 3), 30)}
	if d.Preset == Draw { // for hours
		st.PollS[1] = 30
	}
	return st
}

// Odds are what somebody is told about a lot.
type Odds struct {
	SKU    string       `json:"sku"`
	Part   *float64     `json:"part" nullable:"true" doc:"Before the opening: of those who entered, who will be offered a unit, 0 to 1"`
	Chance *drop.Chance `json:"chance" nullable:"true" enum:"likely,unlikely,if-others-quit" doc:"From the opening on"`
}

// odds are those of an entry, for each SKU that it is for.
func odds(d Drop, lots []Lot, e Entry) []Odds {
	all := make([]Odds, 0, len(e.SKUs))
	for _, l := range lots {
		for _, sku := range e.SKUs {
			if sku == l.SKU {
				all = append(all, oddsOf(d, l, e))
			}
		}
	}
	return all
}

func oddsOf(d Drop, l Lot, e Entry) Odds {
	o := Odds{SKU: l.SKU}
	rate := drop.Showing{Came: int(l.Came), Stayed: int(l.Stayed)}.Rate()
	m := 1.0
	if l.Entrants > 0 {
		m = float64(l.Wanted) / float64(l.Entrants)
	}
	switch {
	case e.Position != nil:
		chance := drop.Call{Free: int(l.Free), Rate: rate, Quantity: m}.ChanceOf(int(max(0, *e.Position-l.Called)))
		o.Chance = &chance
	case d.Entered > 0:
		part := min(1, float64(l.Units)/(float64(d.Entered)*rate*m))
		o.Part = &part
	}
	return o
}
