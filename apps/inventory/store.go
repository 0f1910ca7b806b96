package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
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

// stockTx are some SKUs, locked, as one transaction changes them.
type stockTx struct {
	tx      pgx.Tx
	now     time.Time
	stock   map[string]*Stock
	before  map[string]Stock
	entries []Entry
}

// open locks the SKUs that exist among skus and sweeps their lapsed cart holds.
func (s *store) open(ctx context.Context, tx pgx.Tx, skus []string) (*stockTx, error) {
	b := &stockTx{tx: tx, stock: map[string]*Stock{}, before: map[string]Stock{}}
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
func (b *stockTx) lapse(rows pgx.Rows) error {
	gone, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Line])
	if err != nil {
		return fmt.Errorf("end holds: %w", err)
	}
	for _, l := range gone {
		b.stock[l.SKU].Lapse(l.Quantity)
	}
	return nil
}

func (b *stockTx) skus() []string { return slices.Sorted(maps.Keys(b.stock)) }

func (b *stockTx) enter(e Entry) { b.entries = append(b.entries, e) }

// close writes what has changed, the ledger, and stock.crossed for what ran out or came back.
func (b *stockTx) close(ctx context.Context) error {
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
			UPDATE stock SET on_hand = @on_hand, cart_held = @cart_held, order_held = @order_held, sold = @sold,
				number = @number, in_stock = @in_stock, crossings = @crossings
			WHERE sku = @sku`, pgx.StrictNamedArgs{
			"sku": sku, "on_hand": stock.OnHand, "cart_held": stock.CartHeld, "order_held": stock.OrderHeld,
			"sold": stock.Sold, "number": stock.Number, "in_stock": stock.InStock, "crossings": stock.Crossings,
		})
		if err != nil {
			return fmt.Errorf("save stock of %s: %w", sku, err)
		}
	}
	for _, e := range b.entries {
		_, err := b.tx.Exec(ctx, `
			INSERT INTO ledger (sku, number, kind, delta, before, after, reason, ref, at)
			VALUES (@sku, @number, @kind, @delta, @before, @after, @reason, @ref, @at)`, pgx.StrictNamedArgs{
			"sku": e.SKU, "number": e.Number, "kind": e.Kind, "delta": e.Delta, "before": e.Before,
			"after": e.After, "reason": e.Reason, "ref": e.Ref, "at": e.At,
		})
		if err != nil {
			return fmt.Errorf("ledger of %s: %w", e.SKU, err)
		}
	}
	return nil
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
