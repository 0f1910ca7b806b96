package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// cartRow is a hold in the table.
type cartRow struct {
	Shopper   string    `json:"shopper"`
	SKU       string    `json:"sku"`
	Quantity  int64     `json:"quantity"`
	ExpiresAt time.Time `json:"expires_at"`
	Retries   int       `json:"retries"`
	Lot       uuid.UUID `json:"lot,omitzero"`
}

func (b *stockTx) writeCarts(c *changes) {
	var gone, holds []cartRow
	for key := range b.cartRows {
		if _, lives := b.carts[key.shopper][key.sku]; !lives {
			gone = append(gone, cartRow{Shopper: key.shopper, SKU: key.sku})
		}
	}
	for shopper, cart := range b.carts {
		for sku, hold := range cart {
			if hold != b.cartRows[cartKey{shopper, sku}] {
				holds = append(holds, cartRow{shopper, sku, hold.Quantity, hold.ExpiresAt, hold.Retries, hold.Drop})
			}
		}
	}
	add(c, "gone", gone, `
		DELETE FROM cart_holds h USING jsonb_to_recordset(@gone) AS g (shopper text, sku text)
		WHERE h.shopper = g.shopper AND h.sku = g.sku`)
	add(c, "holds", holds, `
		INSERT INTO cart_holds (shopper, sku, quantity, expires_at, retries, lot)
		SELECT shopper, sku, quantity, expires_at, retries, lot
		FROM jsonb_to_recordset(@holds) AS h (shopper text, sku text, quantity bigint, expires_at timestamptz, retries int, lot uuid)
		ON CONFLICT (shopper, sku) DO UPDATE
			SET quantity = EXCLUDED.quantity, expires_at = EXCLUDED.expires_at, retries = EXCLUDED.retries, lot = EXCLUDED.lot`)
}

// checkCart tells whether a shopper could have a quantity, and holds nothing. Errors: those of SetCart.
func (s *store) checkCart(ctx context.Context, shopper, sku string, quantity int64) error {
	now := s.now()
	stock := Stock{SKU: sku}
	var current CartHold
	var ordered int64
	var lot *uuid.UUID
	err := s.db.QueryRow(ctx, `
		SELECT s.on_hand, s.order_held, s.max_per_shopper, s.lot,
		       s.cart_held - COALESCE((SELECT sum(quantity) FROM cart_holds WHERE sku = s.sku AND expires_at <= $3), 0)::bigint,
		       COALESCE((SELECT quantity FROM cart_holds WHERE sku = s.sku AND shopper = $2 AND expires_at > $3), 0),
		       CASE WHEN s.max_per_shopper IS NULL THEN 0 ELSE COALESCE((
		           SELECT sum(l.quantity) FROM order_holds o JOIN order_hold_lines l ON l.order_id = o.order_id AND l.sku = s.sku
		           WHERE o.shopper = $2 AND o.state <> 'released'), 0) END::bigint
		FROM stock s WHERE s.sku = $1`, sku, shopper, now).
		Scan(&stock.OnHand, &stock.OrderHeld, &stock.MaxPerShopper, &lot, &stock.CartHeld, &current.Quantity, &ordered)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read stock of %s: %w", sku, err)
	}
	stock.Drop = dropOf(lot)
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
		b, err := s.open(ctx, tx, skus, shopper)
		if err != nil {
			return err
		}
		b.endCart(shopper)
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

// merge ends the guest's holds and sets the account's for the lines of the joined cart.
func (s *store) merge(ctx context.Context, guest, account string, lines []Line) ([]HeldLine, error) {
	lines = sorted(lines)
	var merged []HeldLine
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		skus, err := heldSKUs(ctx, tx, guest)
		if err != nil {
			return err
		}
		for _, l := range lines {
			skus = append(skus, l.SKU)
		}
		b, err := s.open(ctx, tx, skus, guest, account)
		if err != nil {
			return err
		}
		merged = b.merge(guest, account, lines, !s.atCheckout(), s.settings.HoldTTL)
		b.endCart(guest) // what the joined cart has no line for
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
		SELECT h.sku, h.quantity, h.expires_at, (SELECT `+forAnybody+` FROM stock s WHERE s.sku = h.sku) AS free
		FROM cart_holds h WHERE h.shopper = $1 AND h.expires_at > $2 ORDER BY h.sku`, shopper, s.now())
	if err != nil {
		return nil, fmt.Errorf("holds of %s: %w", shopper, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[HeldLine])
}
