package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/sub"
)

// Short is a line of an order that cannot be held.
type Short struct {
	SKU       string `json:"sku"`
	Wanted    int64  `json:"wanted"`
	Available int64  `json:"available"`
}

// hold does what a batch of wishes asks for, in the order of their coming, and answers each with what the shopper's cart
// holds then. Errors of an answer: those of books.hold. When somebody else keeps a SKU locked, the wishes for it are
// refused, and only those: a hot SKU, or one behind a transaction that stalls, holds the others up for a moment, once.
func (s *store) hold(ctx context.Context, batch []wish) ([]gather.Answer[[]HeldLine], error) {
	answers, err := s.holdBatch(ctx, batch, hasty)
	if pg.Late(err) && ctx.Err() == nil {
		answers, err = s.holdBatch(ctx, batch, skips)
	}
	return answers, err
}

func (s *store) holdBatch(ctx context.Context, batch []wish, how string) (answers []gather.Answer[[]HeldLine], err error) {
	var (
		claims         []OrderHold
		shoppers, skus []string
	)
	for _, w := range batch {
		shoppers = append(shoppers, w.shopper)
		for _, l := range w.lines {
			skus = append(skus, l.SKU)
		}
		if w.order != uuid.Nil {
			claims = append(claims, OrderHold{OrderID: w.order, Shopper: w.shopper, State: Held})
		}
		if w.insteadOf != uuid.Nil {
			claims = append(claims, OrderHold{OrderID: w.insteadOf, State: Released, Reason: ByDecline})
		}
	}
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		answers = make([]gather.Answer[[]HeldLine], len(batch))
		b := &stockTx{newBooks(), tx}
		if err := b.claim(ctx, claims, s.now()); err != nil {
			return err
		}
		passed, err := s.lockMost(ctx, b, how, append(slices.Clip(skus), b.ordersSKUs()...))
		if err != nil {
			return err
		}
		b.now = s.now()
		if err := b.read(ctx, shoppers); err != nil {
			return err
		}
		for i, w := range batch {
			a := &answers[i]
			if a.Err = b.busy(w, passed); a.Err == nil {
				a.Err = b.hold(w, s.settings.HoldTTL, s.settings.HoldRetry)
			}
			if a.Err == nil && w.order == uuid.Nil {
				a.Value = b.held(w.shopper)
			}
		}
		return b.close(ctx)
	})
	return answers, err
}

// passedBy are the SKUs that could not be locked by the last batch that wanted them.
type passedBy struct {
	mu   sync.Mutex
	skus map[string]bool
}

// among divides SKUs into those that were locked the last time and the others.
func (p *passedBy) among(skus []string) (passed, others []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sku := range skus {
		if p.skus[sku] {
			passed = append(passed, sku)
		} else {
			others = append(others, sku)
		}
	}
	return passed, others
}

// note notes which of the SKUs were passed by; the others no longer are.
func (p *passedBy) note(skus []string, passed map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.skus == nil {
		p.skus = map[string]bool{}
	}
	for _, sku := range skus {
		if passed[sku] {
			p.skus[sku] = true
		} else {
			delete(p.skus, sku)
		}
	}
}

// lockMost locks the SKUs that exist, in that way, and tells which of them it has passed by: none, unless it skips. Those
// that were passed by the last time are not waited for again: each batch would wait, and all who come meanwhile behind it.
func (s *store) lockMost(ctx context.Context, b *stockTx, how string, skus []string) (map[string]bool, error) {
	again, others := s.passed.among(skus)
	if how == skips {
		again = skus
	} else if err := b.lock(ctx, how, others); err != nil || len(again) == 0 {
		return nil, err
	}
	if err := b.lock(ctx, skips, again); err != nil { // after those that are waited for, or two could wait for each other
		return nil, err
	}
	passed, err := b.passed(ctx, skus)
	if err != nil {
		return nil, err
	}
	s.passed.note(skus, passed)
	return passed, nil
}

// passed are those of the SKUs that exist and are not locked by us.
func (b *stockTx) passed(ctx context.Context, skus []string) (map[string]bool, error) {
	rows, err := b.tx.Query(ctx, `SELECT sku FROM stock WHERE sku = ANY($1) AND sku <> ALL($2)`, skus, b.skus())
	if err != nil {
		return nil, fmt.Errorf("locked SKUs: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("locked SKUs: %w", err)
	}
	passed := map[string]bool{}
	for _, name := range names {
		passed[name] = true
	}
	return passed, nil
}

// claim locks the rows of orders, in the order of their ids, and makes those that are not there as they are given: whoever
// else comes with these ids waits here. Of orders that hold or have bought something it reads the lines.
func (b *stockTx) claim(ctx context.Context, orders []OrderHold, now time.Time) error {
	if len(orders) == 0 {
		return nil
	}
	orders = slices.Clone(orders)
	slices.SortStableFunc(orders, func(a, b OrderHold) int { return bytes.Compare(a.OrderID[:], b.OrderID[:]) })
	orders = slices.CompactFunc(orders, func(a, b OrderHold) bool { return a.OrderID == b.OrderID })
	// The update of a row that is there changes nothing: it locks it, which a row that somebody else has only just made
	// could not be read for. xmax is 0 where nobody has ever locked the row: it is ours.
	rows, err := b.tx.Query(ctx, `
		INSERT INTO order_holds AS o (order_id, shopper, state, release_reason, held_at, changed_at)
		SELECT order_id, shopper, state, NULLIF(reason, ''), @now, @now
		FROM unnest(@ids::uuid[], @shoppers::text[], @states::text[], @reasons::text[])
			WITH ORDINALITY AS n (order_id, shopper, state, reason, nth)
		WHERE `+pg.WaitsAWhile+` ORDER BY nth
		ON CONFLICT (order_id) DO UPDATE SET state = o.state
		RETURNING o.order_id, o.shopper, o.state, COALESCE(o.release_reason, ''), o.xmax = 0`,
		pgx.StrictNamedArgs{
			"ids":      pg.Column(orders, func(o OrderHold) uuid.UUID { return o.OrderID }),
			"shoppers": pg.Column(orders, func(o OrderHold) string { return o.Shopper }),
			"states":   pg.Column(orders, func(o OrderHold) State { return o.State }),
			"reasons":  pg.Column(orders, func(o OrderHold) Reason { return o.Reason }),
			"now":      now,
		})
	if err != nil {
		return fmt.Errorf("claim orders: %w", err)
	}
	var (
		r    orderRow
		have []uuid.UUID
	)
	_, err = pgx.ForEachRow(rows, []any{&r.row.OrderID, &r.row.Shopper, &r.row.State, &r.row.Reason, &r.isNew}, func() error {
		claimed := r
		claimed.OrderHold = r.row
		if r.isNew {
			claimed.OrderHold = OrderHold{OrderID: r.row.OrderID}
		} else if r.row.Shopper != "" {
			have = append(have, r.row.OrderID)
		}
		b.orders[r.row.OrderID] = &claimed
		return nil
	})
	if err != nil {
		return fmt.Errorf("claim orders: %w", err)
	}
	if have == nil {
		return nil
	}
	return b.readLines(ctx, have)
}

// readLines reads what orders hold, have bought, or had.
func (b *stockTx) readLines(ctx context.Context, ids []uuid.UUID) error {
	rows, err := b.tx.Query(ctx, `
		SELECT order_id, sku, quantity, cart_until, retries, lot FROM order_hold_lines WHERE order_id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("lines of orders: %w", err)
	}
	var (
		id      uuid.UUID
		line    Line
		until   *time.Time
		retries int
		lot     *uuid.UUID
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &line.SKU, &line.Quantity, &until, &retries, &lot}, func() error {
		row, from := b.orders[id], CartHold{Retries: retries, Drop: dropOf(lot)}
		if until != nil {
			from.ExpiresAt = *until
		}
		row.add(line, from)
		return nil
	})
	if err != nil {
		return fmt.Errorf("lines of orders: %w", err)
	}
	for _, id := range ids {
		row := b.orders[id]
		row.Lines = sorted(row.Lines) // by bytes, as Go sorts, whatever the database's collation
	}
	return nil
}

// ordersSKUs are those of which the orders hold something or have bought it.
func (b *stockTx) ordersSKUs() []string {
	var skus []string
	for _, row := range b.orders {
		if row.State == Held || row.State == Sold {
			skus = append(skus, row.SKUs()...)
		}
	}
	return skus
}

func (b *stockTx) writeOrders(c *changes) {
	type orderChange struct {
		ID      uuid.UUID `json:"id"`
		Shopper string    `json:"shopper"`
		State   State     `json:"state"`
		Reason  *Reason   `json:"reason"`
		At      time.Time `json:"at"`
	}
	type line struct {
		ID       uuid.UUID  `json:"id"`
		SKU      string     `json:"sku"`
		Quantity int64      `json:"quantity"`
		Until    *time.Time `json:"until"`
		Retries  int        `json:"retries"`
		Lot      uuid.UUID  `json:"lot,omitzero"`
	}
	var (
		unwanted []uuid.UUID
		orders   []orderChange
		lines    []line
	)
	for id, o := range b.orders {
		if o.State == "" {
			unwanted = append(unwanted, id)
			continue
		}
		if o.State != o.row.State || o.Reason != o.row.Reason || o.Shopper != o.row.Shopper {
			change := orderChange{ID: id, Shopper: o.Shopper, State: o.State, At: b.now}
			if o.Reason != "" {
				change.Reason = &o.Reason
			}
			orders = append(orders, change)
		}
		if !o.isNew {
			continue
		}
		for _, l := range o.Lines {
			cart := o.From[l.SKU]
			row := line{ID: id, SKU: l.SKU, Quantity: l.Quantity, Retries: cart.Retries, Lot: cart.Drop}
			if cart.Quantity > 0 {
				row.Until = &cart.ExpiresAt
			}
			lines = append(lines, row)
		}
	}
	add(c, "unwanted", unwanted, `DELETE FROM order_holds WHERE order_id IN (SELECT jsonb_array_elements_text(@unwanted)::uuid)`)
	add(c, "orders", orders, `
		UPDATE order_holds o SET shopper = v.shopper, state = v.state, release_reason = v.reason, changed_at = v.at
		FROM jsonb_to_recordset(@orders) AS v (id uuid, shopper text, state text, reason text, at timestamptz) WHERE o.order_id = v.id`)
	add(c, "lines", lines, `
		INSERT INTO order_hold_lines (order_id, sku, quantity, cart_until, retries, lot)
		SELECT id, sku, quantity, until, retries, lot
		FROM jsonb_to_recordset(@lines) AS l (id uuid, sku text, quantity bigint, until timestamptz, retries int, lot uuid)`)
}

// sell turns what orders hold into sold units. Errors: ErrNotHeld, marked as one that no repetition cures.
func (s *store) sell(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	b := &stockTx{newBooks(), tx}
	if err := b.openHeld(ctx, ids); err != nil {
		return err
	}
	b.now = s.now()
	for _, id := range ids {
		if err := b.sell(id); err != nil {
			return fmt.Errorf("%w: %w", err, sub.Drop)
		}
	}
	return b.close(ctx)
}

// openHeld locks orders, in the order of their ids, then the SKUs of those that hold something, and reads all of them by
// one statement: the subquery is evaluated whole before the first SKU is locked. It can be one since lines do not change,
// and what is sold was not available before either, so that no cart hold matters.
func (b *stockTx) openHeld(ctx context.Context, ids []uuid.UUID) error {
	rows, err := b.tx.Query(ctx, `
		WITH o AS MATERIALIZED (
			SELECT order_id, shopper, state, release_reason FROM order_holds WHERE order_id = ANY(@ids) ORDER BY order_id FOR UPDATE
		), s AS MATERIALIZED (
			SELECT `+stockColumns+` FROM stock
			WHERE sku = ANY(ARRAY(SELECT l.sku FROM o JOIN order_hold_lines l ON l.order_id = o.order_id WHERE o.state = 'held'))
			ORDER BY sku FOR UPDATE
		)
		SELECT o.order_id, o.shopper, o.state, COALESCE(o.release_reason, ''), COALESCE(l.quantity, 0), l.lot, COALESCE(s.sku, ''),
		       COALESCE(s.on_hand, 0), COALESCE(s.cart_held, 0), COALESCE(s.order_held, 0), COALESCE(s.sold, 0),
		       COALESCE(s.number, 0), COALESCE(s.in_stock, false), COALESCE(s.crossings, 0), s.max_per_shopper,
		       s.lot, COALESCE(s.lot_free, 0), COALESCE(s.lot_held, 0), COALESCE(s.lot_sold, 0), s.lot_limit
		FROM o LEFT JOIN order_hold_lines l ON l.order_id = o.order_id AND o.state = 'held' LEFT JOIN s ON s.sku = l.sku
		ORDER BY o.order_id, s.sku`, pgx.StrictNamedArgs{"ids": ids})
	if err != nil {
		return fmt.Errorf("lock orders and stock: %w", err)
	}
	var (
		o        OrderHold
		quantity int64
		lot      *uuid.UUID
		s        stockRow
	)
	into := append([]any{&o.OrderID, &o.Shopper, &o.State, &o.Reason, &quantity, &lot}, s.columns()...)
	_, err = pgx.ForEachRow(rows, into, func() error {
		row, ok := b.orders[o.OrderID]
		if !ok {
			row = &orderRow{OrderHold: o, row: o}
			b.orders[o.OrderID] = row
		}
		if s.SKU == "" {
			return nil
		}
		row.add(Line{s.SKU, quantity}, CartHold{Drop: dropOf(lot)})
		if _, ok := b.stock[s.SKU]; !ok {
			stock := s.stock()
			b.stock[s.SKU], b.stockRows[s.SKU] = &stock, stock
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("lock orders and stock: %w", err)
	}
	return nil
}

// ending is why an order's hold is given back.
type ending struct {
	order uuid.UUID
	why   Reason
}

// release gives orders' units back for good, sold ones too. Done again it changes nothing.
func (s *store) release(ctx context.Context, tx pgx.Tx, endings ...ending) error {
	claims := make([]OrderHold, 0, len(endings))
	for _, e := range endings {
		claims = append(claims, OrderHold{OrderID: e.order, State: Released, Reason: e.why})
	}
	b := &stockTx{newBooks(), tx}
	if err := b.claim(ctx, claims, s.now()); err != nil {
		return err
	}
	if skus := b.ordersSKUs(); len(skus) > 0 {
		var shoppers []string
		for _, row := range b.orders {
			shoppers = append(shoppers, row.Shopper)
		}
		if err := b.lock(ctx, patient, skus); err != nil {
			return err
		}
		b.now = s.now()
		if err := b.read(ctx, shoppers); err != nil {
			return err
		}
	}
	b.now = s.now()
	for _, e := range endings {
		b.release(e.order, e.why, s.settings.HoldRetry)
	}
	return b.close(ctx)
}

// refuse gives back the holds of orders that will not be placed.
func (s *store) refuse(ctx context.Context, ids []uuid.UUID) error {
	endings := make([]ending, 0, len(ids))
	for _, id := range ids {
		endings = append(endings, ending{id, ByRefusal})
	}
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error { return s.release(ctx, tx, endings...) })
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
