package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/sub"
)

// Short is a line of an order that cannot be held.
type Short struct {
	SKU       string `json:"sku"`
	Wanted    int64  `json:"wanted"`
	Available int64  `json:"available"`
}

// holdOrder makes a shopper's holds the order's, all lines or none. The same order again is the same answer. insteadOf,
// unless it is nil, is an order of the same shopper that was declined: its units are the cart's again first, as if its
// cancellation had arrived. Errors: ErrLimitReached for the first such line, ErrOutOfStock with the short "lines",
// ErrHoldReleased, ErrHoldDiffers.
func (s *store) holdOrder(ctx context.Context, id uuid.UUID, shopper string, lines []Line, insteadOf uuid.UUID) error {
	lines = sorted(lines)
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var declined *ended
		// The orders' rows first, in the order of their ids: whoever else comes with these ids waits here.
		before := insteadOf != uuid.Nil && bytes.Compare(insteadOf[:], id[:]) < 0
		if before {
			var err error
			if declined, err = s.instead(ctx, tx, insteadOf, shopper); err != nil {
				return err
			}
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO order_holds (order_id, shopper, state, held_at, changed_at) VALUES ($1, $2, 'held', $3, $3)
			ON CONFLICT (order_id) DO NOTHING`, id, shopper, s.now())
		if err != nil {
			return fmt.Errorf("hold order: %w", err)
		}
		held := tag.RowsAffected() == 0
		if held {
			hold, err := lockOrder(ctx, tx, id)
			if err != nil {
				return err
			}
			if err := hold.Again(shopper, lines); err != nil {
				return err
			}
		}
		if insteadOf != uuid.Nil && !before {
			if declined, err = s.instead(ctx, tx, insteadOf, shopper); err != nil {
				return err
			}
		}
		var skus []string
		if declined != nil {
			skus = declined.SKUs()
		}
		if !held {
			for _, l := range lines {
				skus = append(skus, l.SKU)
			}
		}
		if len(skus) == 0 {
			return nil
		}
		b, err := s.open(ctx, tx, skus)
		if err != nil {
			return err
		}
		if declined != nil {
			if err := s.giveBack(ctx, b, declined); err != nil {
				return err
			}
		}
		if !held {
			if err := b.holdOrder(ctx, id, shopper, lines); err != nil {
				return err // nothing of all this is kept
			}
		}
		return b.close(ctx)
	})
}

// holdOrder takes an order's lines, which are sorted, out of the cart's holds and the free units. Errors:
// ErrLimitReached, ErrOutOfStock.
func (b *stockTx) holdOrder(ctx context.Context, id uuid.UUID, shopper string, lines []Line) error {
	carts, err := b.cartHolds(ctx, shopper)
	if err != nil {
		return err
	}
	var short []Short
	for _, l := range lines {
		stock, ok := b.stock[l.SKU]
		if !ok {
			short = append(short, Short{l.SKU, l.Quantity, 0})
			continue
		}
		ordered, err := b.ordered(ctx, stock, shopper)
		if err != nil {
			return err
		}
		if err := stock.Within(carts[l.SKU], ordered[shopper], l.Quantity); err != nil {
			return err
		}
		if mayHave, ok := stock.HoldForOrder(carts[l.SKU], l.Quantity); !ok {
			short = append(short, Short{l.SKU, l.Quantity, mayHave})
		}
	}
	if short != nil {
		return ErrOutOfStock.With("lines", short)
	}
	skus := make([]string, 0, len(lines))
	for _, l := range lines {
		skus = append(skus, l.SKU)
		var until *time.Time
		cart := carts[l.SKU]
		if cart.Quantity > 0 {
			until = &cart.ExpiresAt
		}
		if _, err := b.tx.Exec(ctx, `INSERT INTO order_hold_lines (order_id, sku, quantity, cart_until, retries) VALUES ($1, $2, $3, $4, $5)`,
			id, l.SKU, l.Quantity, until, cart.Retries); err != nil {
			return fmt.Errorf("hold order: %w", err)
		}
	}
	if _, err := b.tx.Exec(ctx, `DELETE FROM cart_holds WHERE shopper = $1 AND sku = ANY($2)`, shopper, skus); err != nil {
		return fmt.Errorf("hold order: %w", err)
	}
	return nil
}

// lockOrder reads an order's hold for update; pgx.ErrNoRows when there is none.
func lockOrder(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*OrderHold, error) {
	hold := &OrderHold{OrderID: id, From: map[string]CartHold{}}
	var reason *Reason
	err := tx.QueryRow(ctx, `SELECT shopper, state, release_reason FROM order_holds WHERE order_id = $1 FOR UPDATE`, id).
		Scan(&hold.Shopper, &hold.State, &reason)
	if err != nil {
		return nil, fmt.Errorf("hold of order %s: %w", id, err)
	}
	if reason != nil {
		hold.Reason = *reason
	}
	rows, err := tx.Query(ctx, `SELECT sku, quantity, cart_until, retries FROM order_hold_lines WHERE order_id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("hold of order %s: %w", id, err)
	}
	var line Line
	var until *time.Time
	var retries int
	_, err = pgx.ForEachRow(rows, []any{&line.SKU, &line.Quantity, &until, &retries}, func() error {
		hold.Lines = append(hold.Lines, line)
		from := CartHold{Retries: retries}
		if until != nil {
			from.ExpiresAt = *until
		}
		hold.From[line.SKU] = from
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("hold of order %s: %w", id, err)
	}
	hold.Lines = sorted(hold.Lines) // by bytes, as Go sorts, whatever the database's collation
	return hold, nil
}

// saveHold writes where an order's hold, whose row is locked, stands now.
func saveHold(ctx context.Context, tx pgx.Tx, hold *OrderHold, now time.Time) error {
	_, err := tx.Exec(ctx, `UPDATE order_holds SET state = $2, release_reason = NULLIF($3, ''), changed_at = $4 WHERE order_id = $1`,
		hold.OrderID, hold.State, hold.Reason, now)
	if err != nil {
		return fmt.Errorf("save hold of order %s: %w", hold.OrderID, err)
	}
	return nil
}

// sell turns what an order holds into sold units. Errors: ErrNotHeld, marked as one that no repetition cures.
func (s *store) sell(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	hold, err := lockOrder(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("order %s, unknown: %w: %w", id, ErrNotHeld, sub.Drop)
	}
	if err != nil {
		return err
	}
	now, err := hold.Sell()
	if err != nil {
		return fmt.Errorf("%w: %w", err, sub.Drop)
	}
	if !now {
		return nil
	}
	b, err := s.open(ctx, tx, hold.SKUs())
	if err != nil {
		return err
	}
	for _, l := range hold.Lines {
		b.enter(b.stock[l.SKU].Sell(l.Quantity, id, b.now))
	}
	if err := saveHold(ctx, tx, hold, b.now); err != nil {
		return err
	}
	return b.close(ctx)
}

// ended is a hold that has just been released, and the state in which it was. Its units have to be given back.
type ended struct {
	*OrderHold
	was State
}

// end releases an order's hold for good and leaves its units to giveBack; nil when there are none. For an unknown order
// it leaves a tombstone, which refuses a hold that comes later.
func (s *store) end(ctx context.Context, tx pgx.Tx, id uuid.UUID, why Reason) (*ended, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO order_holds (order_id, state, release_reason, held_at, changed_at) VALUES ($1, 'released', $2, $3, $3)
		ON CONFLICT (order_id) DO NOTHING`, id, why, s.now())
	if err != nil {
		return nil, fmt.Errorf("release order %s: %w", id, err)
	}
	if tag.RowsAffected() == 1 {
		return nil, nil
	}
	hold, err := lockOrder(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	before := hold.Reason
	was := hold.Release(why)
	if was == Released && hold.Reason == before {
		return nil, nil
	}
	if err := saveHold(ctx, tx, hold, s.now()); err != nil || was == Released {
		return nil, err
	}
	return &ended{hold, was}, nil
}

// instead ends the hold of a declined order that another order of the shopper takes the place of. Errors:
// ErrHoldDiffers when it is somebody else's.
func (s *store) instead(ctx context.Context, tx pgx.Tx, id uuid.UUID, shopper string) (*ended, error) {
	hold, err := s.end(ctx, tx, id, ByDecline)
	if err == nil && hold != nil && hold.Shopper != shopper {
		return nil, ErrHoldDiffers
	}
	return hold, err
}

// giveBack gives the units of a hold that ended back: to the shopper's cart when its payment was declined, else to
// everybody. The SKUs of its lines are among the books.
func (s *store) giveBack(ctx context.Context, b *stockTx, hold *ended) error {
	var carts map[string]CartHold
	if hold.Reason == ByDecline {
		var err error
		if carts, err = b.cartHolds(ctx, hold.Shopper); err != nil {
			return err
		}
	}
	for _, l := range hold.Lines {
		stock := b.stock[l.SKU]
		switch {
		case hold.was == Sold:
			b.enter(stock.Return(l.Quantity, hold.OrderID, b.now))
		case hold.Reason != ByDecline:
			stock.Unhold(l.Quantity)
		default:
			cart := stock.Retry(l.Quantity, hold.From[l.SKU], carts[l.SKU], b.now, s.settings.HoldRetry)
			if cart == carts[l.SKU] {
				continue
			}
			if err := b.saveCartHolds(ctx, l.SKU, map[string]CartHold{hold.Shopper: cart}); err != nil {
				return err
			}
		}
	}
	return nil
}

// release gives an order's units back for good, sold ones too. Done again it changes nothing.
func (s *store) release(ctx context.Context, tx pgx.Tx, id uuid.UUID, why Reason) error {
	hold, err := s.end(ctx, tx, id, why)
	if err != nil || hold == nil {
		return err
	}
	b, err := s.open(ctx, tx, hold.SKUs())
	if err != nil {
		return err
	}
	if err := s.giveBack(ctx, b, hold); err != nil {
		return err
	}
	return b.close(ctx)
}

// refuseOrder gives back the hold of an order that will not be placed.
func (s *store) refuseOrder(ctx context.Context, id uuid.UUID) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error { return s.release(ctx, tx, id, ByRefusal) })
}

// heldSince is where a hold stands among those that wait for their order.
type heldSince struct {
	OrderID uuid.UUID `json:"id"`
	HeldAt  time.Time `json:"at"`
}

// oldHolds lists a page of the holds that have waited for their order since before, the oldest first, those after a
// place.
func (s *store) oldHolds(ctx context.Context, after heldSince, before time.Time, limit int) ([]heldSince, error) {
	rows, err := s.db.Query(ctx, `
		SELECT order_id, held_at FROM order_holds
		WHERE state = 'held' AND held_at <= $3 AND (held_at, order_id) > ($1, $2)
		ORDER BY held_at, order_id LIMIT $4`, after.HeldAt, after.OrderID, before, limit)
	if err != nil {
		return nil, fmt.Errorf("find old holds: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[heldSince])
}

// settled reports whether nothing is left to do for an order that orders says was confirmed, or cancelled. It takes no
// lock: what it finds done is not undone again.
func (s *store) settled(ctx context.Context, tx pgx.Tx, id uuid.UUID, cancelled bool) (bool, error) {
	var state State
	var reason *Reason
	err := tx.QueryRow(ctx, `SELECT state, release_reason FROM order_holds WHERE order_id = $1`, id).Scan(&state, &reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("hold of order %s: %w", id, err)
	}
	if state == Released {
		return reason.Cancels(), nil
	}
	return !cancelled && state == Sold, nil
}

// How long a released order that never held anything is known, so that a hold that comes late is refused, and how many
// of them are forgotten by one statement.
const (
	keepTombstones = 30 * 24 * time.Hour
	pruneBatch     = 1000
)

// prune forgets old tombstones. Holds that had lines stay as long as the ledger, which names their orders.
func (s *store) prune(ctx context.Context) error {
	for {
		limited, cancel := context.WithTimeout(ctx, workLimit)
		tag, err := s.db.Exec(limited, `
			DELETE FROM order_holds WHERE order_id IN (
				SELECT order_id FROM order_holds WHERE shopper = '' AND changed_at <= $1
				ORDER BY changed_at LIMIT $2 FOR UPDATE SKIP LOCKED)`, s.now().Add(-keepTombstones), pruneBatch)
		cancel()
		if err != nil {
			return fmt.Errorf("forget tombstones: %w", err)
		}
		if tag.RowsAffected() < pruneBatch {
			return nil
		}
	}
}

// OrderHoldView is what became of an order's hold, as administrators see it.
type OrderHoldView struct {
	OrderID       uuid.UUID  `json:"order_id"`
	Shopper       string     `json:"shopper" doc:"Empty: it was released before there was a hold"`
	State         State      `json:"state" enum:"held,sold,released"`
	ReleaseReason *Reason    `json:"release_reason" enum:"cancelled,declined,refused,void"`
	HeldAt        time.Time  `json:"held_at"`
	ChangedAt     time.Time  `json:"changed_at"`
	Lines         []HoldLine `json:"lines" nullable:"false"`
	Ledger        []Entry    `json:"ledger" nullable:"false" doc:"What the order took and gave back, oldest first"`
}

// HoldLine is a line of an order's hold.
type HoldLine struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
	Retries  int    `json:"retries" doc:"Times that it came back to the cart from declined orders before"`
}

// orderHold reads all that there is about an order. Errors: ErrHoldNotFound.
func (s *store) orderHold(ctx context.Context, id uuid.UUID) (OrderHoldView, error) {
	v := OrderHoldView{OrderID: id}
	err := s.db.QueryRow(ctx, `SELECT shopper, state, release_reason, held_at, changed_at FROM order_holds WHERE order_id = $1`, id).
		Scan(&v.Shopper, &v.State, &v.ReleaseReason, &v.HeldAt, &v.ChangedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, ErrHoldNotFound
	}
	if err != nil {
		return v, fmt.Errorf("hold of order %s: %w", id, err)
	}
	rows, err := s.db.Query(ctx, `SELECT sku, quantity, retries FROM order_hold_lines WHERE order_id = $1 ORDER BY sku`, id)
	if err != nil {
		return v, fmt.Errorf("hold of order %s: %w", id, err)
	}
	if v.Lines, err = pgx.CollectRows(rows, pgx.RowToStructByName[HoldLine]); err != nil {
		return v, fmt.Errorf("hold of order %s: %w", id, err)
	}
	rows, err = s.db.Query(ctx, `
		SELECT sku, number, kind, delta, before, after, reason, ref, at
		FROM ledger WHERE ref = $1 AND kind IN ('sale', 'return') ORDER BY at, sku, number`, id.String())
	if err != nil {
		return v, fmt.Errorf("ledger of order %s: %w", id, err)
	}
	if v.Ledger, err = pgx.CollectRows(rows, pgx.RowToStructByName[Entry]); err != nil {
		return v, fmt.Errorf("ledger of order %s: %w", id, err)
	}
	return v, nil
}
