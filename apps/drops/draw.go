package main

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
)

const (
	drawnAtOnce = 10_000 // units of a SKU
	toldAtOnce  = 500    // that it is over
)

// draw gives what is free in a draw: to those who stand by and have let nothing lapse, to those who are next in the order, all
// at once, and what is left when nobody is next to those who had their time. Whoever is drawn has the units held until their
// time to buy is over, and is told once they are: nobody is told who finds nothing.
func (s *service) draw(ctx context.Context, d Drop, lots []Lot) error {
	for i := range lots {
		l := &lots[i]
		if err := s.offer(ctx, d, l, 0); err != nil {
			return err
		}
		want := min(l.Free, drawnAtOnce)
		if want == 0 {
			continue
		}
		drawn, err := s.store.drawNext(ctx, d, l.SKU, want, s.now())
		if err != nil {
			return err
		}
		l.Free -= drawn
		if drawn < want {
			if err := s.offer(ctx, d, l, math.MaxInt64); err != nil {
				return err
			}
		}
	}
	return s.askDrawn(ctx, d)
}

// within is so many seconds from now on, or when the drop closes: then nobody can claim any more.
func (d *Drop) within(now time.Time, s int64) time.Time {
	until := now.Add(seconds(s))
	if until.After(d.ClosesAt) {
		return d.ClosesAt
	}
	return until
}

// askDrawn asks inventory for the units of those who are drawn, or have an offer after a pause, until it has answered, and tells them.
func (s *service) askDrawn(ctx context.Context, d Drop) error {
	for {
		drawn, err := s.store.drawn(ctx, d.ID, askedAtOnce)
		if err != nil || len(drawn) == 0 {
			return err
		}
		heard, err := s.holdDrawn(ctx, d, drawn)
		if err != nil || heard < askedAtOnce {
			return err
		}
	}
}

// holdDrawn counts those of whom it has heard.
func (s *service) holdDrawn(ctx context.Context, d Drop, drawn []toDraw) (heard int, err error) {
	answers, err := s.inventory.claim(ctx, d.ID, pg.Column(drawn, func(c toDraw) wantsHeld { return c.wants(*c.Until) }))
	if err != nil {
		return 0, err
	}
	keys := pg.Column(drawn, func(c toDraw) claimKey { return c.key() })
	err = s.store.changeClaims(ctx, d.ID, keys, func(tx pgx.Tx, claims map[claimKey]*Claim) (changed []claimKey, err error) {
		var told []outbox.Event
		heard = 0
		for i, k := range keys {
			c, a := claims[k], answers[i]
			if c == nil || c.State != Drawn {
				continue // claimed meanwhile, or gone
			}
			refusal, known := refusalOf(a.Err)
			switch {
			case !known, refusal == drop.NoneFree && d.Preset == Draw:
				continue // asked again
			case refusal == drop.NoneFree: // somebody who comes first has claimed it since the pause
				c.Wait(s.now())
			case refusal == "":
				c.State = Offered
				c.Answer(a.Value.has())
				if d.Notify && drawn[i].Email != nil { // mail tells it once, also after a pause
					told = append(told, d.called(called{drawn[i].AccountID, drawn[i].Email}, c.SKU, *c.Until, s.now()))
				}
			case refusal == drop.TooLate:
				c.Lapse()
			default:
				c.Decline()
			}
			heard++
			changed = append(changed, k)
		}
		return changed, outbox.Put(ctx, tx, told...)
	})
	return heard, err
}

func (d *Drop) called(who called, sku string, until, now time.Time) events.DropCalled {
	return events.DropCalled{
		DropID: d.ID, Slug: d.Slug, Title: d.Title, Zone: d.Zone, AccountID: who.AccountID, Email: *who.Email, SKU: sku, Until: until.UTC(),
		At: now,
	}
}

// tellMissed tells those who asked for it, and got nothing, that a drop is over.
func (s *service) tellMissed(ctx context.Context) error {
	drops, err := s.store.untold(ctx)
	for _, d := range drops {
		err = errors.Join(err, s.tellMissedOf(ctx, d))
	}
	return err
}

// tellMissedOf forgets addresses by the way. Who may still buy what is held stays for later.
func (s *service) tellMissedOf(ctx context.Context, d Drop) error {
	if err := s.settle(ctx, d.ID); err != nil {
		return err
	}
	for {
		n := 0
		err := pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
			all, err := forgetEmails(ctx, tx, d.ID, toldAtOnce)
			if err != nil {
				return err
			}
			n = len(all)
			var told []outbox.Event
			for _, e := range all {
				if d.TellEnd && e.Missed {
					told = append(told, events.DropMissed{
						DropID: d.ID, Slug: d.Slug, Title: d.Title, AccountID: e.AccountID, Email: e.Email, SoldOut: d.State == SoldOut,
						At: s.now(),
					})
				}
			}
			return outbox.Put(ctx, tx, told...)
		})
		if err != nil || n < toldAtOnce {
			return err
		}
	}
}
