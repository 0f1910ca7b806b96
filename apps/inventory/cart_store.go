package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// cartHolds reads the holds of a shopper by SKU.
func (b *stockTx) cartHolds(ctx context.Context, shopper string) (map[string]CartHold, error) {
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
func (b *stockTx) ordered(ctx context.Context, stock *Stock, shoppers ...string) (map[string]int64, error) {
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
func (b *stockTx) saveCartHolds(ctx context.Context, sku string, holds map[string]CartHold) error {
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

func (b *stockTx) endCart(ctx context.Context, shopper string) error {
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

// cartHolds reads the live holds of a shopper's cart.
func (s *store) cartHolds(ctx context.Context, shopper string) ([]HeldLine, error) {
	rows, err := s.db.Query(ctx, `
		SELECT sku, quantity, expires_at FROM cart_holds WHERE shopper = $1 AND expires_at > $2 ORDER BY sku`, shopper, s.now())
	if err != nil {
		return nil, fmt.Errorf("holds of %s: %w", shopper, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[HeldLine])
}
