package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

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
		viewSQL+`lower(s.sku) LIKE lower($2)) v WHERE ($3::bigint = 0 OR on_hand - cart_held - order_held < $3)`, s.now(), pg.Contains(f.Part), f.Below)
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
		b, err := s.open(ctx, tx, []string{sku}, shopper)
		if err != nil {
			return err
		}
		if _, holds := b.carts[shopper][sku]; !holds {
			return ErrHoldNotFound
		}
		b.endCart(shopper)
		return b.close(ctx)
	})
}
