package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/sub"
)

// store keeps stock and holds. Everything that changes goes the same way: lock the order's row if there is one, then
// the SKUs' rows in the order of their names, apply the rules of stock.go, write back. So nothing deadlocks, and what
// is read stays true until the commit.
type store struct {
	db       *pgxpool.Pool
	settings settings
	now      func() time.Time
}

// atCheckout means that carts hold nothing, orders do.
func (s *store) atCheckout() bool { return s.settings.HoldAt == "checkout" }

// books are some SKUs, locked, as one transaction changes them.
type books struct {
	tx      pgx.Tx
	now     time.Time
	stock   map[string]*Stock
	before  map[string]Stock
	entries []Entry
}

// open locks the SKUs that exist among skus and sweeps their lapsed cart holds.
func (s *store) open(ctx context.Context, tx pgx.Tx, skus []string) (*books, error) {
	b := &books{tx: tx, stock: map[string]*Stock{}, before: map[string]Stock{}}
	rows, err := tx.Query(ctx, `
		SELECT sku, on_hand, cart_held, order_held, sold, number, in_stock, crossings, max_per_shopper
		FROM stock WHERE sku = ANY($1) ORDER BY sku FOR UPDATE`, skus)
	if err != nil {
		return nil, fmt.Errorf("lock stock: %w", err)
	}
	locked, err := pgx.CollectRows(rows, pgx.RowToStructByName[Stock])
	if err != nil {
		return nil, fmt.Errorf("lock stock: %w", err)
	}
	for _, stock := range locked {
		b.before[stock.SKU] = stock
		b.stock[stock.SKU] = &stock
	}
	b.now = s.now() // the time at which we have the locks, which may have taken a while
	rows, err = tx.Query(ctx, `DELETE FROM cart_holds WHERE sku = ANY($1) AND expires_at <= $2 RETURNING sku, quantity`, b.skus(), b.now)
	if err != nil {
		return nil, fmt.Errorf("sweep holds: %w", err)
	}
	return b, b.lapse(rows)
}

// lapse frees the cart holds (sku, quantity) that a statement has deleted.
func (b *books) lapse(rows pgx.Rows) error {
	gone, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Line])
	if err != nil {
		return fmt.Errorf("end holds: %w", err)
	}
	for _, l := range gone {
		b.stock[l.SKU].Lapse(l.Quantity)
	}
	return nil
}

func (b *books) skus() []string { return slices.Sorted(maps.Keys(b.stock)) }

func (b *books) enter(e Entry) { b.entries = append(b.entries, e) }

// close writes what has changed, the ledger, and stock.crossed for what ran out or came back.
func (b *books) close(ctx context.Context) error {
	for _, sku := range b.skus() {
		stock := b.stock[sku]
		if *stock == b.before[sku] {
			continue
		}
		if stock.Cross() {
			if err := outbox.Put(ctx, b.tx, events.StockCrossed{SKU: sku, InStock: stock.InStock, Number: stock.Crossings, At: b.now}); err != nil {
				return err
			}
		}
		_, err := b.tx.Exec(ctx, `
			UPDATE stock SET on_hand = $2, cart_held = $3, order_held = $4, sold = $5, number = $6, in_stock = $7, crossings = $8
			WHERE sku = $1`,
			sku, stock.OnHand, stock.CartHeld, stock.OrderHeld, stock.Sold, stock.Number, stock.InStock, stock.Crossings)
		if err != nil {
			return fmt.Errorf("save stock of %s: %w", sku, err)
		}
	}
	for _, e := range b.entries {
		_, err := b.tx.Exec(ctx, `
			INSERT INTO ledger (sku, number, kind, delta, before, after, reason, ref, at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			e.SKU, e.Number, e.Kind, e.Delta, e.Before, e.After, e.Reason, e.Ref, e.At)
		if err != nil {
			return fmt.Errorf("ledger of %s: %w", e.SKU, err)
		}
	}
	return nil
}

// cartHolds reads the holds of a shopper by SKU.
func (b *books) cartHolds(ctx context.Context, shopper string) (map[string]CartHold, error) {
	rows, err := b.tx.Query(ctx, `SELECT sku, quantity, expires_at, retries FROM cart_holds WHERE shopper = $1 AND sku = ANY($2)`, shopper, b.skus())
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return collectHolds(rows)
}

// collectHolds reads rows of (key, quantity, expires_at, retries).
func collectHolds(rows pgx.Rows) (map[string]CartHold, error) {
	holds := map[string]CartHold{}
	var key string
	var hold CartHold
	_, err := pgx.ForEachRow(rows, []any{&key, &hold.Quantity, &hold.ExpiresAt, &hold.Retries}, func() error {
		holds[key] = hold
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return holds, nil
}

// ordered counts what the pending and paid orders of each of some shoppers have of a SKU that has a limit. The SKU is
// locked, so no other order of theirs comes or goes meanwhile.
func (b *books) ordered(ctx context.Context, stock *Stock, shoppers ...string) (map[string]int64, error) {
	if stock.MaxPerShopper == nil {
		return nil, nil
	}
	rows, err := b.tx.Query(ctx, `
		SELECT o.shopper, sum(l.quantity)::bigint
		FROM order_holds o JOIN order_hold_lines l ON l.order_id = o.order_id AND l.sku = $1
		WHERE o.shopper = ANY($2) AND o.state <> 'released' GROUP BY o.shopper`, stock.SKU, shoppers)
	if err != nil {
		return nil, fmt.Errorf("count orders: %w", err)
	}
	counts := map[string]int64{}
	var shopper string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&shopper, &n}, func() error { counts[shopper] = n; return nil }); err != nil {
		return nil, fmt.Errorf("count orders: %w", err)
	}
	return counts, nil
}

// saveCartHolds writes the holds of one SKU by shopper; those of nothing are removed.
func (b *books) saveCartHolds(ctx context.Context, sku string, holds map[string]CartHold) error {
	var gone, shoppers []string
	var quantities []int64
	var ends []time.Time
	var retries []int
	for shopper, hold := range holds {
		if hold.Quantity == 0 {
			gone = append(gone, shopper)
			continue
		}
		shoppers, quantities = append(shoppers, shopper), append(quantities, hold.Quantity)
		ends, retries = append(ends, hold.ExpiresAt), append(retries, hold.Retries)
	}
	if len(gone) > 0 {
		if _, err := b.tx.Exec(ctx, `DELETE FROM cart_holds WHERE sku = $1 AND shopper = ANY($2)`, sku, gone); err != nil {
			return fmt.Errorf("end holds: %w", err)
		}
	}
	if len(shoppers) == 0 {
		return nil
	}
	_, err := b.tx.Exec(ctx, `
		INSERT INTO cart_holds (sku, shopper, quantity, expires_at, retries)
		SELECT $1, shopper, quantity, expires_at, retries
		FROM unnest($2::text[], $3::bigint[], $4::timestamptz[], $5::int[]) AS h (shopper, quantity, expires_at, retries)
		ON CONFLICT (shopper, sku) DO UPDATE SET quantity = EXCLUDED.quantity, expires_at = EXCLUDED.expires_at, retries = EXCLUDED.retries`,
		sku, shoppers, quantities, ends, retries)
	if err != nil {
		return fmt.Errorf("save holds: %w", err)
	}
	return nil
}

// setCartHolds applies a batch of wishes for one SKU and answers each.
func (s *store) setCartHolds(ctx context.Context, sku string, batch []*putHold) error {
	shoppers := make([]string, 0, len(batch))
	for _, p := range batch {
		shoppers = append(shoppers, p.shopper)
	}
	answers := make([]putAnswer, len(batch))
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		b, err := s.open(ctx, tx, []string{sku})
		if err != nil {
			return err
		}
		stock, ok := b.stock[sku]
		if !ok { // products knows it, its event has not come yet
			stock = &Stock{SKU: sku}
		}
		rows, err := tx.Query(ctx, `SELECT shopper, quantity, expires_at, retries FROM cart_holds WHERE sku = $1 AND shopper = ANY($2)`, sku, shoppers)
		if err != nil {
			return fmt.Errorf("read holds: %w", err)
		}
		holds, err := collectHolds(rows)
		if err != nil {
			return err
		}
		full, err := s.fullShoppers(ctx, tx, sku, shoppers, b.now)
		if err != nil {
			return err
		}
		ordered, err := b.ordered(ctx, stock, shoppers...)
		if err != nil {
			return err
		}
		changed := map[string]CartHold{}
		for i, p := range batch {
			current := holds[p.shopper]
			if p.quantity > 0 && current.Quantity == 0 && full[p.shopper] {
				answers[i] = putAnswer{err: ErrLimitReached.With("limit", maxSKUs).With("available", 0)}
				continue
			}
			hold, err := stock.SetCart(current, ordered[p.shopper], p.quantity, b.now, s.settings.HoldTTL)
			answers[i] = putAnswer{hold, err}
			if err == nil && hold != current {
				holds[p.shopper], changed[p.shopper] = hold, hold
			}
		}
		if err := b.saveCartHolds(ctx, sku, changed); err != nil {
			return err
		}
		return b.close(ctx)
	})
	if err != nil {
		return err
	}
	for i, p := range batch {
		p.answer <- answers[i]
	}
	return nil
}

// fullShoppers are those who hold as many other SKUs as a shopper can. Carts keeps the exact limit; this bounds what
// gets past it, and shoppers who change several SKUs in the same moment may exceed it by a few.
func (s *store) fullShoppers(ctx context.Context, tx pgx.Tx, sku string, shoppers []string, now time.Time) (map[string]bool, error) {
	rows, err := tx.Query(ctx, `
		SELECT shopper FROM cart_holds WHERE shopper = ANY($1) AND sku <> $2 AND expires_at > $3
		GROUP BY shopper HAVING count(*) >= $4`, shoppers, sku, now, maxSKUs)
	if err != nil {
		return nil, fmt.Errorf("count holds: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("count holds: %w", err)
	}
	full := map[string]bool{}
	for _, name := range names {
		full[name] = true
	}
	return full, nil
}

// checkCart tells whether a shopper could have a quantity, and holds nothing. Errors: ErrOutOfStock, ErrLimitReached.
func (s *store) checkCart(ctx context.Context, shopper, sku string, quantity int64) error {
	now := s.now()
	stock := Stock{SKU: sku}
	var current CartHold
	var ordered int64
	err := s.db.QueryRow(ctx, `
		SELECT s.on_hand, s.order_held, s.max_per_shopper,
		       s.cart_held - COALESCE((SELECT sum(quantity) FROM cart_holds WHERE sku = s.sku AND expires_at <= $3), 0)::bigint,
		       COALESCE((SELECT quantity FROM cart_holds WHERE sku = s.sku AND shopper = $2 AND expires_at > $3), 0),
		       CASE WHEN s.max_per_shopper IS NULL THEN 0 ELSE COALESCE((
		           SELECT sum(l.quantity) FROM order_holds o JOIN order_hold_lines l ON l.order_id = o.order_id AND l.sku = s.sku
		           WHERE o.shopper = $2 AND o.state <> 'released'), 0) END::bigint
		FROM stock s WHERE s.sku = $1`, sku, shopper, now).
		Scan(&stock.OnHand, &stock.OrderHeld, &stock.MaxPerShopper, &stock.CartHeld, &current.Quantity, &ordered)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read stock of %s: %w", sku, err)
	}
	_, err = stock.SetCart(current, ordered, quantity, now, s.settings.HoldTTL)
	return err
}

// endCart gives all cart holds of a shopper back.
func (s *store) endCart(ctx context.Context, shopper string) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		skus, err := heldSKUs(ctx, tx, shopper)
		if err != nil || len(skus) == 0 {
			return err
		}
		b, err := s.open(ctx, tx, skus)
		if err != nil {
			return err
		}
		if err := b.endCart(ctx, shopper); err != nil {
			return err
		}
		return b.close(ctx)
	})
}

func heldSKUs(ctx context.Context, tx pgx.Tx, shopper string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT sku FROM cart_holds WHERE shopper = $1`, shopper)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (b *books) endCart(ctx context.Context, shopper string) error {
	rows, err := b.tx.Query(ctx, `DELETE FROM cart_holds WHERE shopper = $1 AND sku = ANY($2) RETURNING sku, quantity`, shopper, b.skus())
	if err != nil {
		return fmt.Errorf("end holds: %w", err)
	}
	return b.lapse(rows)
}

// HeldLine is what a cart has of a SKU.
type HeldLine struct {
	SKU       string     `json:"sku"`
	Quantity  int64      `json:"quantity"`
	ExpiresAt *time.Time `json:"expires_at" doc:"Null where nothing, or not all of it, is held"`
}

// merge ends the guest's holds and sets the account's for the lines of the joined cart.
func (s *store) merge(ctx context.Context, guest, account string, lines []Line) ([]HeldLine, error) {
	lines = sorted(lines)
	var merged []HeldLine
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		merged = make([]HeldLine, 0, len(lines))
		skus, err := heldSKUs(ctx, tx, guest)
		if err != nil {
			return err
		}
		for _, l := range lines {
			skus = append(skus, l.SKU)
		}
		b, err := s.open(ctx, tx, skus)
		if err != nil {
			return err
		}
		guests, err := b.cartHolds(ctx, guest)
		if err != nil {
			return err
		}
		accounts, err := b.cartHolds(ctx, account)
		if err != nil {
			return err
		}
		for _, l := range lines {
			out := HeldLine{SKU: l.SKU, Quantity: l.Quantity}
			if stock, ok := b.stock[l.SKU]; ok && !s.atCheckout() {
				ordered, err := b.ordered(ctx, stock, account)
				if err != nil {
					return err
				}
				hold, held := stock.Merge(guests[l.SKU], accounts[l.SKU], ordered[account], l.Quantity, b.now, s.settings.HoldTTL)
				if held {
					out.ExpiresAt = &hold.ExpiresAt
				}
				if err := b.saveCartHolds(ctx, l.SKU, map[string]CartHold{guest: {}, account: hold}); err != nil {
					return err
				}
			}
			merged = append(merged, out)
		}
		if err := b.endCart(ctx, guest); err != nil { // what the joined cart has no line for
			return err
		}
		return b.close(ctx)
	})
	return merged, err
}

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
func (b *books) holdOrder(ctx context.Context, id uuid.UUID, shopper string, lines []Line) error {
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
func (s *store) giveBack(ctx context.Context, b *books, hold *ended) error {
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

// workLimit bounds one step of background work, so that a connection that has gone quiet holds nothing up.
const workLimit = 10 * time.Second

// sweep ends cart holds that have lapsed. They count for nothing from the moment they lapse; the sweep lets
// products know that something is in stock again.
func (s *store) sweep(ctx context.Context) error {
	skus, err := s.lapsed(ctx)
	if err != nil {
		return fmt.Errorf("find lapsed holds: %w", err)
	}
	var failed []error
	for _, sku := range skus { // one by one: no SKU waits for another's lock, nor for another's error
		if ctx.Err() != nil {
			break
		}
		if err := s.sweepOne(ctx, sku); err != nil {
			failed = append(failed, fmt.Errorf("sweep %s: %w", sku, err))
		}
	}
	return errors.Join(failed...)
}

func (s *store) lapsed(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	rows, err := s.db.Query(ctx, `SELECT DISTINCT sku FROM cart_holds WHERE expires_at <= $1 ORDER BY sku`, s.now())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (s *store) sweepOne(ctx context.Context, sku string) error {
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		b, err := s.open(ctx, tx, []string{sku})
		if err != nil {
			return err
		}
		return b.close(ctx)
	})
}

// move brings units of a SKU in or takes free ones out. Errors: ErrSKUNotFound, ErrStockHeld, ErrInvalid.
func (s *store) move(ctx context.Context, tx pgx.Tx, sku string, delta int64, reason, ref string) (Entry, error) {
	b, err := s.open(ctx, tx, []string{sku})
	if err != nil {
		return Entry{}, err
	}
	stock, ok := b.stock[sku]
	if !ok {
		return Entry{}, ErrSKUNotFound
	}
	e, err := stock.Move("movement", delta, reason, ref, b.now)
	if err != nil {
		return Entry{}, err
	}
	b.enter(e)
	return e, b.close(ctx)
}

// setOnHand brings the units on hand of a SKU to a quantity. Errors: ErrSKUNotFound, ErrStockHeld.
func (s *store) setOnHand(ctx context.Context, tx pgx.Tx, sku string, quantity int64, reason, ref string) error {
	b, err := s.open(ctx, tx, []string{sku})
	if err != nil {
		return err
	}
	stock, ok := b.stock[sku]
	if !ok {
		return ErrSKUNotFound
	}
	if delta := quantity - stock.OnHand; delta != 0 {
		e, err := stock.Move("import", delta, reason, ref, b.now)
		if err != nil {
			return err
		}
		b.enter(e)
	}
	return b.close(ctx)
}

// learn takes over what products tells: which SKUs there are, what they start with, how many one account may have, and
// whether shoppers see them.
// An older version than the one known changes nothing.
func (s *store) learn(ctx context.Context, tx pgx.Tx, p events.Product, listed bool) error {
	tag, err := tx.Exec(ctx, `
		INSERT INTO products (id, version) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET version = EXCLUDED.version WHERE products.version < EXCLUDED.version`, p.ProductID, p.Version)
	if err != nil {
		return fmt.Errorf("product %s: %w", p.ProductID, err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	initial, limit := map[string]int64{}, map[string]*int{}
	for _, v := range p.Variants {
		initial[v.SKU], limit[v.SKU] = int64(v.InitialStock), v.MaxPerShopper
	}
	skus := slices.Sorted(maps.Keys(initial))
	limits := make([]*int, 0, len(skus))
	for _, sku := range skus {
		limits = append(limits, limit[sku])
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO stock (sku) SELECT sku FROM unnest($1::text[]) AS v (sku)
		ON CONFLICT (sku) DO NOTHING RETURNING sku`, skus)
	if err != nil {
		return fmt.Errorf("create SKUs: %w", err)
	}
	created, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("create SKUs: %w", err)
	}
	rows, err = tx.Query(ctx, `SELECT sku FROM stock WHERE product_id = $1`, p.ProductID)
	if err != nil {
		return fmt.Errorf("read SKUs: %w", err)
	}
	had, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read SKUs: %w", err)
	}
	b, err := s.open(ctx, tx, append(had, skus...))
	if err != nil {
		return err
	}
	for _, sku := range created {
		if initial[sku] <= 0 {
			continue
		}
		e, err := b.stock[sku].Move("initial", initial[sku], "initial stock", p.ProductID.String(), b.now)
		if err != nil {
			return fmt.Errorf("initial stock of %s: %w: %w", sku, err, sub.Drop)
		}
		b.enter(e)
	}
	if err := b.close(ctx); err != nil {
		return err
	}
	// A SKU that the product had and has no more is not seen either.
	_, err = tx.Exec(ctx, `
		UPDATE stock s SET product_id = $1, listed = $3 AND t.has, max_per_shopper = t.most
		FROM (SELECT o.sku, v.sku IS NOT NULL AS has, v.most
		      FROM stock o LEFT JOIN unnest($2::text[], $4::bigint[]) AS v (sku, most) ON v.sku = o.sku
		      WHERE o.sku = ANY($2) OR o.product_id = $1) t
		WHERE s.sku = t.sku AND (s.product_id, s.listed, s.max_per_shopper) IS DISTINCT FROM ($1, $3 AND t.has, t.most)`,
		p.ProductID, skus, listed, limits)
	if err != nil {
		return fmt.Errorf("list SKUs: %w", err)
	}
	return nil
}

// Availability is what anybody could take of a SKU at a time.
type Availability struct {
	SKU       string    `json:"sku"`
	Available int64     `json:"available"`
	AsOf      time.Time `json:"as_of"`
	Listed    bool      `json:"-"`
}

// availability reads SKUs without a lock; unknown ones are left out.
func (s *store) availability(ctx context.Context, skus []string) ([]Availability, error) {
	rows, err := s.db.Query(ctx, `
		SELECT s.sku, s.listed, $2::timestamptz AS as_of, s.on_hand - s.cart_held - s.order_held
		       + COALESCE((SELECT sum(quantity) FROM cart_holds WHERE sku = s.sku AND expires_at <= $2), 0)::bigint AS available
		FROM stock s WHERE s.sku = ANY($1) ORDER BY s.sku`, skus, s.now())
	if err != nil {
		return nil, fmt.Errorf("availability: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Availability])
}

// StockView is a SKU as administrators see it.
type StockView struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand" doc:"Units that are here, held or not"`
	CartHeld  int64  `json:"cart_held" doc:"Held by carts"`
	OrderHeld int64  `json:"order_held" doc:"Held by orders that are not paid yet"`
	Available int64  `json:"available" doc:"on_hand - cart_held - order_held"`
	Sold      int64  `json:"sold" doc:"Sold by orders that were not cancelled"`
	Listed    bool   `json:"listed" doc:"Shoppers see its product"`
	Number    int64  `json:"number" doc:"Of the last ledger entry"`
}

// viewSQL begins a query for StockViews; $1 is the time.
const viewSQL = `
	SELECT sku, on_hand, cart_held, order_held, on_hand - cart_held - order_held AS available, sold, listed, number
	FROM (SELECT s.sku, s.on_hand, s.order_held, s.sold, s.listed, s.number,
	             s.cart_held - COALESCE((SELECT sum(quantity) FROM cart_holds WHERE sku = s.sku AND expires_at <= $1), 0)::bigint AS cart_held
	      FROM stock s WHERE `

// view reads one SKU. Errors: ErrSKUNotFound.
func (s *store) view(ctx context.Context, db pg.Querier, sku string) (StockView, error) {
	rows, err := db.Query(ctx, viewSQL+`s.sku = $2) v`, s.now(), sku)
	if err != nil {
		return StockView{}, fmt.Errorf("read %s: %w", sku, err)
	}
	v, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[StockView])
	if errors.Is(err, pgx.ErrNoRows) {
		return v, ErrSKUNotFound
	}
	return v, err
}

// stockFilter narrows the list of SKUs; empty members do not.
type stockFilter struct {
	Part  string // of the SKU
	Below int64  // only those of which less is available
}

var stockLists = keyset.List{ID: "sku", Sorts: map[string]string{
	"sku": "sku", "-sku": "sku DESC", "available": "available", "-available": "available DESC", "sold": "sold", "-sold": "sold DESC",
	"cart_held": "cart_held", "-cart_held": "cart_held DESC", "order_held": "order_held", "-order_held": "order_held DESC",
}}

// views reads a page of the SKUs that fit a filter, and the cursor of the next one.
func (s *store) views(ctx context.Context, f stockFilter, sort string, page rest.Page) ([]StockView, *string, error) {
	return keyset.Read[StockView](ctx, s.db, stockLists, sort, page,
		viewSQL+`lower(s.sku) LIKE lower($2)) v WHERE ($3::bigint = 0 OR on_hand - cart_held - order_held < $3)`, s.now(), pg.Holds(f.Part), f.Below)
}

// Figures sum up the stock of all SKUs.
type Figures struct {
	SKUs      int64 `json:"skus"`
	OnHand    int64 `json:"on_hand"`
	CartHeld  int64 `json:"cart_held"`
	OrderHeld int64 `json:"order_held"`
	Available int64 `json:"available"`
	None      int64 `json:"none" doc:"SKUs of which none is available"`
	Low       int64 `json:"low" doc:"SKUs that run out, those of which none is available among them"`
}

// figures counts as low what has so many available, or fewer.
func (s *store) figures(ctx context.Context, low int64) (Figures, error) {
	rows, err := s.db.Query(ctx, `
		SELECT count(*) AS skus, COALESCE(sum(on_hand), 0)::bigint AS on_hand, COALESCE(sum(cart_held), 0)::bigint AS cart_held,
		       COALESCE(sum(order_held), 0)::bigint AS order_held, COALESCE(sum(available), 0)::bigint AS available,
		       count(*) FILTER (WHERE available < 1) AS none, count(*) FILTER (WHERE available <= $2) AS low
		FROM (`+viewSQL+`true) v) f`, s.now(), low)
	if err != nil {
		return Figures{}, fmt.Errorf("figures: %w", err)
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Figures])
}

var ledgerLists = keyset.List{ID: "number", Sorts: map[string]string{"newest": "number DESC", "oldest": "number"}}

// ledger reads a page of a SKU's entries, all or of one kind, and the cursor of the next one.
func (s *store) ledger(ctx context.Context, sku, kind, sort string, page rest.Page) ([]Entry, *string, error) {
	return keyset.Read[Entry](ctx, s.db, ledgerLists, sort, page, `
		SELECT sku, number, kind, delta, before, after, reason, ref, at
		FROM ledger WHERE sku = $1 AND ($2::text = '' OR kind = $2)`, sku, kind)
}

// HoldView is one hold of a SKU as administrators see it.
type HoldView struct {
	Kind      string     `json:"kind" enum:"cart,order"`
	Holder    string     `json:"holder" doc:"The shopper of a cart's hold, the id of an order"`
	Quantity  int64      `json:"quantity"`
	ExpiresAt *time.Time `json:"expires_at" doc:"Null for orders: their holds have no clock"`
}

var holdLists = keyset.List{ID: "holder", Sorts: map[string]string{
	"holder": "kind || ' ' || holder", "-holder": "kind || ' ' || holder DESC", "quantity": "quantity", "-quantity": "quantity DESC",
	"until": "COALESCE(expires_at, 'infinity')", "-until": "COALESCE(expires_at, 'infinity') DESC",
}}

// holds reads a page of a SKU's live holds, all or those of carts or orders, and the cursor of the next one.
func (s *store) holds(ctx context.Context, sku, kind, sort string, page rest.Page) ([]HoldView, *string, error) {
	return keyset.Read[HoldView](ctx, s.db, holdLists, sort, page, `
		SELECT kind, holder, quantity, expires_at FROM (
			SELECT 'cart' AS kind, shopper AS holder, quantity, expires_at
			FROM cart_holds WHERE sku = $1 AND expires_at > $2
			UNION ALL
			SELECT 'order', l.order_id::text, l.quantity, NULL
			FROM order_hold_lines l JOIN order_holds o ON o.order_id = l.order_id WHERE l.sku = $1 AND o.state = 'held'
		) h WHERE ($3::text = '' OR kind = $3)`, sku, s.now(), kind)
}

// endHold gives back what a cart holds of a SKU. Errors: ErrHoldNotFound, also for one that has lapsed.
func (s *store) endHold(ctx context.Context, sku, shopper string) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		b, err := s.open(ctx, tx, []string{sku})
		if err != nil {
			return err
		}
		held, err := b.cartHolds(ctx, shopper)
		if err != nil {
			return err
		}
		if len(held) == 0 {
			return ErrHoldNotFound
		}
		if err := b.endCart(ctx, shopper); err != nil {
			return err
		}
		return b.close(ctx)
	})
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

// cartHolds reads the live holds of a shopper's cart.
func (s *store) cartHolds(ctx context.Context, shopper string) ([]HeldLine, error) {
	rows, err := s.db.Query(ctx, `
		SELECT sku, quantity, expires_at FROM cart_holds WHERE shopper = $1 AND expires_at > $2 ORDER BY sku`, shopper, s.now())
	if err != nil {
		return nil, fmt.Errorf("holds of %s: %w", shopper, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[HeldLine])
}
