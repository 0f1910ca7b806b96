package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
)

// LotView is how a drop's lot of a SKU stands.
type LotView struct {
	SKU      string     `json:"sku"`
	Units    int64      `json:"units" doc:"That were set aside, in all. While the lot is open: free + held + sold"`
	Limit    int64      `json:"limit" doc:"Units that one account may have"`
	Free     int64      `json:"free" doc:"That nobody has. Of a lot that is closed none: they were given back"`
	Held     int64      `json:"held" doc:"By claims, in carts and in orders that are not paid"`
	Sold     int64      `json:"sold"`
	OpenedAt time.Time  `json:"opened_at"`
	ClosedAt *time.Time `json:"closed_at" nullable:"true"`
}

// lots reads a drop's lots, by SKU. Claims that have lapsed count as free before they are swept. Of a lot that is closed
// the stock row knows nothing any more: what was claimed of it is counted.
func (s *store) lots(ctx context.Context, db pg.Querier, of uuid.UUID) ([]LotView, error) {
	rows, err := db.Query(ctx, `
		SELECT l.sku, l.units, l.most AS limit, l.opened_at, l.closed_at,
		       CASE WHEN l.closed_at IS NULL THEN s.lot_free + c.lapsed ELSE 0 END AS free,
		       CASE WHEN l.closed_at IS NULL THEN s.lot_held - c.lapsed ELSE c.live + o.held END AS held,
		       CASE WHEN l.closed_at IS NULL THEN s.lot_sold ELSE o.sold END AS sold
		FROM lots l
		-- LIMIT: else all of stock may be walked in the order of the answer.
		CROSS JOIN LATERAL (SELECT lot_free, lot_held, lot_sold FROM stock WHERE sku = l.sku LIMIT 1) s
		CROSS JOIN LATERAL (
			SELECT COALESCE(sum(quantity) FILTER (WHERE expires_at <= @now), 0)::bigint AS lapsed,
			       COALESCE(sum(quantity) FILTER (WHERE expires_at > @now), 0)::bigint AS live
			FROM cart_holds h
			WHERE h.lot = l.drop AND h.sku = l.sku
			  AND h.expires_at <= CASE WHEN l.closed_at IS NULL THEN @now ELSE 'infinity'::timestamptz END) c
		CROSS JOIN LATERAL (
			SELECT COALESCE(sum(n.quantity) FILTER (WHERE h.state = 'held'), 0)::bigint AS held,
			       COALESCE(sum(n.quantity) FILTER (WHERE h.state = 'sold'), 0)::bigint AS sold
			FROM order_hold_lines n JOIN order_holds h ON h.order_id = n.order_id
			WHERE l.closed_at IS NOT NULL AND n.lot = l.drop AND n.sku = l.sku) o
		WHERE l.drop = @drop ORDER BY l.sku`, pgx.StrictNamedArgs{"drop": of, "now": s.now()})
	if err != nil {
		return nil, fmt.Errorf("lots of drop %s: %w", of, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[LotView])
}

// openLots sets units aside for a drop, all that is wanted or nothing, and returns how its lots stand then. Errors: those of
// Stock.OpenLot, ErrSKUNotFound, ErrLotClosed.
func (s *store) openLots(ctx context.Context, of uuid.UUID, wanted []lotWanted) (lots []LotView, err error) {
	skus := make([]string, 0, len(wanted))
	for _, w := range wanted {
		skus = append(skus, w.SKU)
	}
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		b, err := s.open(ctx, tx, skus)
		if err != nil {
			return err
		}
		closed, err := closedLots(ctx, tx, of)
		if err != nil {
			return err
		}
		for _, w := range wanted {
			stock, ok := b.stock[w.SKU]
			switch {
			case !ok:
				return ErrSKUNotFound.With("sku", w.SKU)
			case slices.Contains(closed, w.SKU):
				return ErrLotClosed.With("sku", w.SKU)
			}
			if err := stock.OpenLot(of, w.Units, w.Limit); err != nil {
				return err
			}
		}
		if err := b.close(ctx); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO lots (drop, sku, units, most, opened_at)
			SELECT lot, sku, lot_free + lot_held + lot_sold, lot_limit, @now FROM stock WHERE sku = ANY(@skus)
			ON CONFLICT (drop, sku) DO UPDATE SET units = EXCLUDED.units WHERE lots.units < EXCLUDED.units`,
			pgx.StrictNamedArgs{"skus": skus, "now": b.now})
		if err != nil {
			return fmt.Errorf("open lots: %w", err)
		}
		lots, err = s.lots(ctx, tx, of)
		return err
	})
	return lots, err
}

// closedLots lists the SKUs of a drop's lots that are closed for good.
func closedLots(ctx context.Context, tx pgx.Tx, of uuid.UUID) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT sku FROM lots WHERE drop = $1 AND closed_at IS NOT NULL`, of)
	if err != nil {
		return nil, fmt.Errorf("closed lots: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// closeLots gives back what nobody has of a drop's lots. Done again it changes nothing.
func (s *store) closeLots(ctx context.Context, of uuid.UUID) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT sku FROM lots WHERE drop = $1 AND closed_at IS NULL`, of)
		if err != nil {
			return fmt.Errorf("open lots: %w", err)
		}
		skus, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(skus) == 0 {
			return err
		}
		b, err := s.open(ctx, tx, skus)
		if err != nil {
			return err
		}
		for _, stock := range b.stock {
			stock.CloseLot(of)
		}
		if err := b.close(ctx); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE lots SET closed_at = $3 WHERE drop = $1 AND sku = ANY($2) AND closed_at IS NULL`, of, skus, b.now)
		if err != nil {
			return fmt.Errorf("close lots: %w", err)
		}
		return nil
	})
}

// claimed reads what shoppers have of a drop, each of one SKU.
func (s *store) claimed(ctx context.Context, of uuid.UUID, shoppers, skus []string) ([]Claimed, error) {
	rows, err := s.db.Query(ctx, `
		SELECT a.sku, COALESCE(c.quantity, 0) AS held, c.expires_at AS held_until, (
			SELECT COALESCE(sum(n.quantity), 0)::bigint
			FROM order_hold_lines n JOIN order_holds h ON h.order_id = n.order_id
			WHERE h.shopper = a.shopper AND h.state <> 'released' AND n.lot = @drop AND n.sku = a.sku) AS ordered
		FROM unnest(@shoppers::text[], @skus::text[]) WITH ORDINALITY AS a(shopper, sku, number)
		LEFT JOIN cart_holds c ON c.shopper = a.shopper AND c.sku = a.sku AND c.lot = @drop AND c.expires_at > @now
		ORDER BY a.number`, pgx.StrictNamedArgs{"drop": of, "shoppers": shoppers, "skus": skus, "now": s.now()})
	if err != nil {
		return nil, fmt.Errorf("what is claimed of drop %s: %w", of, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Claimed])
}

// holdClaims holds what is claimed, and answers each claim; all that come together, whoever sent them, are served by their
// position. Errors of an answer: those of books.holdClaim. A SKU that somebody else keeps locked is waited for as by
// store.hold.
func (s *store) holdClaims(ctx context.Context, batch [][]claim) ([]claimsAnswer, error) {
	answers, err := s.claimBatch(ctx, batch, hasty)
	if pg.Late(err) && ctx.Err() == nil {
		answers, err = s.claimBatch(ctx, batch, skips)
	}
	return answers, err
}

// claimsAnswer is what one call's claims are answered, each by itself.
type claimsAnswer = gather.Answer[[]gather.Answer[Claimed]]

func (s *store) claimBatch(ctx context.Context, batch [][]claim, how string) (answers []claimsAnswer, err error) {
	type turn struct {
		claim
		answer *gather.Answer[Claimed]
	}
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var (
			turns          []turn
			skus, shoppers []string
		)
		answers = make([]claimsAnswer, len(batch))
		for i, claims := range batch {
			answers[i].Value = make([]gather.Answer[Claimed], len(claims))
			for j, c := range claims {
				turns = append(turns, turn{c, &answers[i].Value[j]})
				skus, shoppers = append(skus, c.sku), append(shoppers, c.shopper)
			}
		}
		drop.InTurn(turns, func(t turn) int64 { return t.position })
		b := &stockTx{newBooks(), tx}
		passed, err := s.lockMost(ctx, b, how, skus)
		if err != nil {
			return err
		}
		b.now = s.now()
		if err := b.read(ctx, shoppers); err != nil {
			return err
		}
		for _, t := range turns {
			if passed[t.sku] {
				t.answer.Err = errLocked(t.sku)
				continue
			}
			t.answer.Value, t.answer.Err = b.holdClaim(t.claim)
		}
		return b.close(ctx)
	})
	return answers, err
}
