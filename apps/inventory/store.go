package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/sub"
)

// store keeps stock and holds. Everything that changes goes the same way: lock the order's row if there is one, then
// the SKUs' rows in the order of their names, apply the rules of stock.go, write back. So nothing deadlocks, and what
// is read stays true until the commit.
type store struct {
	db       *pgxpool.Pool
	settings settings
	now      func() time.Time
	passed   passedBy
}

// atCheckout means that carts hold nothing, orders do.
func (s *store) atCheckout() bool { return s.settings.HoldAt == "checkout" }

// stockTx are the books of one transaction.
type stockTx struct {
	books
	tx pgx.Tx
}

// stockColumns are those of stockRow.columns.
const stockColumns = "sku, on_hand, cart_held, order_held, sold, number, in_stock, crossings, max_per_shopper, " +
	"lot, lot_free, lot_held, lot_sold, lot_limit"

// stockRow is a SKU's row as it is scanned.
type stockRow struct {
	Stock
	lot      *uuid.UUID
	lotLimit *int64
}

func (r *stockRow) columns() []any {
	return []any{
		&r.SKU, &r.OnHand, &r.CartHeld, &r.OrderHeld, &r.Sold, &r.Number, &r.InStock, &r.Crossings, &r.MaxPerShopper,
		&r.lot, &r.Lot.Free, &r.Lot.Held, &r.Lot.Sold, &r.lotLimit,
	}
}

// stock is the SKU of the row that was scanned.
func (r *stockRow) stock() Stock {
	r.Drop, r.Lot.Limit = dropOf(r.lot), 0
	if r.lotLimit != nil {
		r.Lot.Limit = *r.lotLimit
	}
	return r.Stock
}

// dropOf is the drop of a column lot.
func dropOf(lot *uuid.UUID) uuid.UUID {
	if lot == nil {
		return uuid.Nil
	}
	return *lot
}

// forAnybody is how many of a SKU's row s anybody could take now, as Stock.Available says; lapsed holds are still held.
const forAnybody = "CASE WHEN s.lot IS NULL THEN s.on_hand - s.cart_held - s.order_held ELSE 0 END"

// How locks of SKUs are waited for: until the batch's own time is over, a second at most, or not at all.
const (
	patient = `SELECT ` + stockColumns + ` FROM stock WHERE sku = ANY(@skus) ORDER BY sku FOR UPDATE`
	hasty   = `SELECT ` + stockColumns + ` FROM stock WHERE sku = ANY(@skus) AND ` + pg.WaitsAWhile + ` ORDER BY sku FOR UPDATE`
	skips   = `SELECT ` + stockColumns + ` FROM stock WHERE sku = ANY(@skus) ORDER BY sku FOR UPDATE SKIP LOCKED`
)

// open locks the SKUs that exist among skus, and reads the cart holds of some shoppers.
func (s *store) open(ctx context.Context, tx pgx.Tx, skus []string, shoppers ...string) (*stockTx, error) {
	b := &stockTx{newBooks(), tx}
	if err := b.lock(ctx, patient, skus); err != nil {
		return nil, err
	}
	b.now = s.now() // the time at which we have the locks, which may have taken a while
	return b, b.read(ctx, shoppers)
}

func (b *stockTx) lock(ctx context.Context, how string, skus []string) error {
	rows, err := b.tx.Query(ctx, how, pgx.StrictNamedArgs{"skus": skus})
	if err != nil {
		return fmt.Errorf("lock stock: %w", err)
	}
	var row stockRow
	_, err = pgx.ForEachRow(rows, row.columns(), func() error {
		stock := row.stock()
		b.stockRows[stock.SKU] = stock
		b.stock[stock.SKU] = &stock
		return nil
	})
	if err != nil {
		return fmt.Errorf("lock stock: %w", err)
	}
	return nil
}

// read reads what depends on the locks and must come after them: the cart holds of some shoppers, and what their orders
// have of SKUs with a limit or in a lot; of SKUs that are not locked also what is free, to be told. It ends cart holds that
// have lapsed.
func (b *stockTx) read(ctx context.Context, shoppers []string) error {
	shoppers = append([]string{}, slices.Compact(slices.Sorted(slices.Values(shoppers)))...) // an array, not NULL
	// Shopper by shopper, SKU by SKU: a plan made while the table was small would go on reading it whole.
	sql, args := `
		SELECT h.shopper, h.sku, h.quantity, h.expires_at, h.retries, h.lot,
			CASE WHEN h.sku <> ALL(@skus) THEN (SELECT `+forAnybody+` FROM stock s WHERE s.sku = h.sku) END
		FROM unnest(@shoppers::text[]) AS w (shopper) CROSS JOIN LATERAL (
			SELECT shopper, sku, quantity, expires_at, retries, lot FROM cart_holds WHERE shopper = w.shopper OFFSET 0) h
		UNION ALL
		SELECT h.shopper, h.sku, h.quantity, h.expires_at, h.retries, h.lot, NULL
		FROM unnest(@skus::text[]) AS w (sku) CROSS JOIN LATERAL (
			SELECT shopper, sku, quantity, expires_at, retries, lot FROM cart_holds
			WHERE sku = w.sku AND expires_at <= @now AND shopper <> ALL(@shoppers) OFFSET 0) h`,
		pgx.StrictNamedArgs{"shoppers": shoppers, "skus": append([]string{}, b.skus()...), "now": b.now}
	var limited []string
	for sku, stock := range b.stock {
		if stock.MaxPerShopper != nil || stock.Drop != uuid.Nil {
			limited = append(limited, sku)
		}
	}
	if limited != nil && len(shoppers) > 0 {
		sql += `
		UNION ALL
		SELECT o.shopper, l.sku, sum(l.quantity)::bigint, NULL, 0, l.lot, NULL
		FROM order_holds o JOIN order_hold_lines l ON l.order_id = o.order_id
		WHERE o.shopper = ANY(@shoppers) AND o.state <> 'released' AND l.sku = ANY(@limited) GROUP BY o.shopper, l.sku, l.lot`
		args["limited"] = limited
	}
	rows, err := b.tx.Query(ctx, sql, args)
	if err != nil {
		return fmt.Errorf("read holds: %w", err)
	}
	var (
		key     cartKey
		hold    CartHold
		expires *time.Time
		lot     *uuid.UUID
		free    *int64
	)
	_, err = pgx.ForEachRow(rows, []any{&key.shopper, &key.sku, &hold.Quantity, &expires, &hold.Retries, &lot, &free}, func() error {
		stock, locked := b.stock[key.sku]
		hold.Drop = dropOf(lot)
		if free != nil {
			b.free[key.sku] = *free
		}
		switch {
		case expires == nil:
			b.order(key.shopper, Line{key.sku, hold.Quantity}, hold)
		case expires.After(b.now):
			hold.ExpiresAt = *expires
			b.cartRows[key] = hold
			b.setCart(key.shopper, key.sku, hold)
		case locked:
			b.cartRows[key] = CartHold{}
			stock.Lapse(hold)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read holds: %w", err)
	}
	return nil
}

// changes are the parts of one statement. The rows of each are its argument, as JSON.
type changes struct {
	parts []string
	args  pgx.StrictNamedArgs
}

func add[R any](c *changes, name string, rows []R, sql string) {
	if len(rows) > 0 {
		c.parts = append(c.parts, fmt.Sprintf("%s AS ("+sql+")", name))
		c.args[name] = rows
	}
}

// close writes what has changed, by one statement, and by another the events about what ran out or came back.
func (b *stockTx) close(ctx context.Context) error {
	c := &changes{args: pgx.StrictNamedArgs{}}
	told := b.writeStock(c)
	b.writeCarts(c)
	b.writeOrders(c)
	if len(c.parts) > 0 {
		if _, err := b.tx.Exec(ctx, "WITH "+strings.Join(c.parts, ", ")+" SELECT", c.args); err != nil {
			return fmt.Errorf("save stock and holds: %w", err)
		}
	}
	return outbox.Put(ctx, b.tx, told...)
}

func (b *stockTx) writeStock(c *changes) (told []outbox.Event) {
	type row struct {
		Stock
		Lot      uuid.UUID `json:"lot,omitzero"`
		LotFree  int64     `json:"lot_free,omitzero"`
		LotHeld  int64     `json:"lot_held,omitzero"`
		LotSold  int64     `json:"lot_sold,omitzero"`
		LotLimit int64     `json:"lot_limit,omitzero"`
	}
	var changed []row
	for _, sku := range b.skus() {
		stock := b.stock[sku]
		was := b.stockRows[sku]
		if *stock == was {
			continue
		}
		if stock.Cross() {
			told = append(told, events.StockCrossed{SKU: sku, InStock: stock.InStock, Number: stock.Crossings, At: b.now})
		}
		lot := stock.Lot
		if stock.Drop != uuid.Nil && (lot.Free > 0) != (was.Lot.Free > 0) {
			told = append(told, events.LotChanged{DropID: stock.Drop, SKU: sku, Free: lot.Free, At: b.now})
		}
		changed = append(changed, row{*stock, stock.Drop, lot.Free, lot.Held, lot.Sold, lot.Limit})
	}
	add(c, "stocks", changed, `
		UPDATE stock s SET on_hand = v.on_hand, cart_held = v.cart_held, order_held = v.order_held, sold = v.sold,
			number = v.number, in_stock = v.in_stock, crossings = v.crossings, lot = v.lot, lot_free = COALESCE(v.lot_free, 0),
			lot_held = COALESCE(v.lot_held, 0), lot_sold = COALESCE(v.lot_sold, 0), lot_limit = v.lot_limit
		FROM jsonb_to_recordset(@stocks) AS v (sku text, on_hand bigint, cart_held bigint, order_held bigint, sold bigint,
			number bigint, in_stock bool, crossings bigint, lot uuid, lot_free bigint, lot_held bigint, lot_sold bigint, lot_limit bigint)
		WHERE s.sku = v.sku`)
	add(c, "entries", b.entries, `
		INSERT INTO ledger (sku, number, kind, delta, before, after, reason, ref, at)
		SELECT sku, number, kind, delta, before, after, reason, ref, at
		FROM jsonb_to_recordset(@entries) AS e (sku text, number bigint, kind text, delta bigint, before bigint, after bigint,
			reason text, ref text, at timestamptz)`)
	return told
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

// learn takes over what products tells: which SKUs there are, what they start with and are called, how many one account may
// have, and whether shoppers see them.
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
	return s.label(ctx, tx, labelsOf(p), true)
}
