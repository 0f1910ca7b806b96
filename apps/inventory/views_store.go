package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/text"
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
		SELECT s.sku, s.listed, $2::timestamptz AS as_of, CASE WHEN s.lot IS NULL THEN s.on_hand - s.cart_held - s.order_held
		       + COALESCE((SELECT sum(quantity) FROM cart_holds WHERE sku = s.sku AND expires_at <= $2), 0)::bigint ELSE 0 END AS available
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
	Available int64  `json:"available" doc:"on_hand - cart_held - order_held - lot_free"`
	Sold      int64  `json:"sold" doc:"Sold by orders that were not cancelled"`
	Listed    bool   `json:"listed" doc:"Shoppers see its product"`
	Number    int64  `json:"number" doc:"Of the last ledger entry"`

	ProductID *uuid.UUID `json:"product_id" format:"uuid" nullable:"true" doc:"Null for a SKU that products has not told of"`
	Name      string     `json:"name" doc:"Its product's"`
	Variant   string     `json:"variant" doc:"Which of the product's variants, such as 'M / Blue'; empty when there is but one"`
	LowAt     int64      `json:"low_at" doc:"It runs out when so many or fewer are available"`
	LowAtOwn  bool       `json:"low_at_own" doc:"low_at was set for this SKU; else it is LOW_STOCK"`

	Lot     *uuid.UUID `json:"lot,omitempty" format:"uuid" doc:"The drop in whose open lot it is"`
	LotFree int64      `json:"lot_free,omitempty" doc:"Units of the lot that nobody has"`
	LotHeld int64      `json:"lot_held,omitempty" doc:"Of cart_held and order_held, those that were claimed of the lot"`
	LotSold int64      `json:"lot_sold,omitempty" doc:"Of sold, those that were claimed of the lot"`
}

// viewSQL begins a query for StockViews; $1 is the time, $2 with how many available a SKU runs out that says nothing else.
const viewSQL = `
	SELECT sku, on_hand, cart_held, order_held, on_hand - cart_held - order_held - lot_free AS available, sold, listed, number,
	       product_id, name, variant, COALESCE(own_low, $2::bigint) AS low_at, own_low IS NOT NULL AS low_at_own,
	       lot, lot_free, lot_held, lot_sold
	FROM (SELECT s.sku, s.on_hand, s.order_held, s.sold, s.listed, s.number, s.product_id, s.low_at AS own_low,
	             s.lot, s.lot_free, s.lot_held, s.lot_sold,
	             COALESCE(l.name, '') AS name, COALESCE(l.variant, '') AS variant, COALESCE(l.found, lower(s.sku)) AS found,
	             s.cart_held - COALESCE((SELECT sum(quantity) FROM cart_holds WHERE sku = s.sku AND expires_at <= $1), 0)::bigint AS cart_held
	      FROM stock s LEFT JOIN labels l ON l.sku = s.sku) v WHERE `

// view reads one SKU. Errors: ErrSKUNotFound.
func (s *store) view(ctx context.Context, db pg.Querier, sku string) (StockView, error) {
	rows, err := db.Query(ctx, viewSQL+`sku = $3`, s.now(), s.settings.LowStock, sku)
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
	Query   string // words of the SKU and of what it is called, or parts of them
	Product *uuid.UUID
	Below   int64 // only those of which less is available
	Low     bool  // only those that run out
}

var stockLists = keyset.List{ID: "sku", Sorts: map[string]string{
	"sku": "sku", "-sku": "sku DESC", "available": "available", "-available": "available DESC", "sold": "sold", "-sold": "sold DESC",
	"cart_held": "cart_held", "-cart_held": "cart_held DESC", "order_held": "order_held", "-order_held": "order_held DESC",
}}

// views reads a page of the SKUs that fit a filter, and the cursor of the next one.
func (s *store) views(ctx context.Context, f stockFilter, sort string, page rest.Page) ([]StockView, *string, error) {
	parts := []string{}
	for _, word := range strings.Fields(text.Fold(f.Query)) {
		parts = append(parts, pg.Contains(word))
	}
	return keyset.Read[StockView](ctx, s.db, stockLists, sort, page, viewSQL+`found LIKE ALL ($3::text[])
			AND ($4::bigint = 0 OR on_hand - cart_held - order_held - lot_free < $4)
			AND (NOT $5 OR on_hand - cart_held - order_held - lot_free <= COALESCE(own_low, $2))
			AND ($6::uuid IS NULL OR product_id = $6)`, s.now(), s.settings.LowStock, parts, f.Below, f.Low, f.Product)
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

// figures counts as low what has so many available, or fewer; when low is below 0, what runs out by its own number.
func (s *store) figures(ctx context.Context, low int64) (Figures, error) {
	rows, err := s.db.Query(ctx, `
		SELECT count(*) AS skus, COALESCE(sum(on_hand), 0)::bigint AS on_hand, COALESCE(sum(cart_held), 0)::bigint AS cart_held,
		       COALESCE(sum(order_held), 0)::bigint AS order_held, COALESCE(sum(available), 0)::bigint AS available,
		       count(*) FILTER (WHERE available < 1) AS none,
		       count(*) FILTER (WHERE available <= CASE WHEN $3::bigint < 0 THEN low_at ELSE $3::bigint END) AS low
		FROM (`+viewSQL+`true) f`, s.now(), s.settings.LowStock, low)
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
	Lot       *uuid.UUID `json:"lot,omitempty" format:"uuid" doc:"The drop of which it was claimed"`
}

var holdLists = keyset.List{ID: "holder", Sorts: map[string]string{
	"holder": "kind || ' ' || holder", "-holder": "kind || ' ' || holder DESC", "quantity": "quantity", "-quantity": "quantity DESC",
	"until": "COALESCE(expires_at, 'infinity')", "-until": "COALESCE(expires_at, 'infinity') DESC",
}}

// holds reads a page of a SKU's live holds, all or those of carts or orders, and the cursor of the next one.
func (s *store) holds(ctx context.Context, sku, kind, sort string, page rest.Page) ([]HoldView, *string, error) {
	return keyset.Read[HoldView](ctx, s.db, holdLists, sort, page, `
		SELECT kind, holder, quantity, expires_at, lot FROM (
			SELECT 'cart' AS kind, shopper AS holder, quantity, expires_at, lot
			FROM cart_holds WHERE sku = $1 AND expires_at > $2
			UNION ALL
			SELECT 'order', l.order_id::text, l.quantity, NULL, l.lot
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
