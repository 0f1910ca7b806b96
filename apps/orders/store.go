package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
)

// changed is the channel on which every changed order is named, for the long polls of all instances.
const changed = "orders_changed"

// store keeps orders and the attempts to place them. Exported methods open their own transaction; helpers take tx.
type store struct{ db *pgxpool.Pool }

// orderRow is an order as its table has it, lines and history folded in.
type orderRow struct {
	ID             uuid.UUID
	Number         string
	AccountID      uuid.UUID
	Email          string
	FirstName      string
	CheckoutID     uuid.UUID
	Status         Status
	Version        int
	CancelReason   *string
	CancelNote     string
	Currency       string
	Subtotal       int64
	Discount       int64
	Tax            int64
	Shipping       int64
	Total          int64
	Address        Address
	PaymentMethod  string
	PaymentStatus  PaymentStatus
	Refunded       int64
	Carrier        *string
	TrackingNumber *string
	CreatedAt      time.Time
	Lines          []lineRow
	History        []momentRow
}

type lineRow struct {
	SKU       string `json:"sku"`
	Slug      string `json:"slug"`
	Name      string `json:"name"`
	Variant   string `json:"variant"`
	ImageURL  string `json:"image_url"`
	Quantity  int    `json:"quantity"`
	UnitPrice int64  `json:"unit_price"`
	Discount  int64  `json:"discount"`
	Tax       int64  `json:"tax"`
	LineTotal int64  `json:"line_total"`
}

type momentRow struct {
	Version int       `json:"version"`
	Status  Status    `json:"status"`
	At      time.Time `json:"at"`
}

const selectOrders = `
	SELECT o.id, o.number, o.account_id, o.email, o.first_name, o.checkout_id, o.status, o.version, o.cancel_reason, o.cancel_note,
	       o.currency, o.subtotal, o.discount, o.tax, o.shipping, o.total, o.address, o.payment_method, o.payment_status, o.refunded,
	       o.carrier, o.tracking_number, o.created_at,
	       (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.position) FROM order_lines l WHERE l.order_id = o.id) AS lines,
	       (SELECT jsonb_agg(to_jsonb(h) ORDER BY h.version) FROM order_history h WHERE h.order_id = o.id) AS history
	FROM orders o `

func (r orderRow) order() *Order {
	in := func(amount int64) money.Money { return money.New(amount, r.Currency) }
	o := &Order{
		ID: r.ID, Number: r.Number, Status: r.Status, Version: r.Version, Email: r.Email,
		Totals:    Totals{Subtotal: in(r.Subtotal), Discount: in(r.Discount), Tax: in(r.Tax), Shipping: in(r.Shipping), Total: in(r.Total)},
		Address:   r.Address,
		Payment:   Payment{Status: r.PaymentStatus, Method: r.PaymentMethod, Refunded: in(r.Refunded)},
		CreatedAt: r.CreatedAt.UTC(), CancelReason: r.CancelReason, CancelNote: r.CancelNote,
		AccountID: r.AccountID, FirstName: r.FirstName, CheckoutID: r.CheckoutID,
	}
	if r.Carrier != nil {
		o.Shipment = &Shipment{Carrier: *r.Carrier, TrackingNumber: *r.TrackingNumber}
	}
	for _, l := range r.Lines {
		o.Lines = append(o.Lines, Line{
			SKU: l.SKU, Slug: l.Slug, Name: l.Name, Variant: l.Variant, ImageURL: l.ImageURL, Quantity: l.Quantity,
			UnitPrice: in(l.UnitPrice), Discount: in(l.Discount), Tax: in(l.Tax), LineTotal: in(l.LineTotal),
		})
	}
	for _, h := range r.History {
		o.History = append(o.History, Moment{Status: h.Status, At: h.At.UTC(), Version: h.Version})
	}
	return o
}

func orders(ctx context.Context, q pg.Querier, where string, args ...any) ([]*Order, error) {
	rows, err := q.Query(ctx, selectOrders+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[orderRow])
	if err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	return toOrders(found), nil
}

func toOrders(rows []orderRow) []*Order {
	list := make([]*Order, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.order())
	}
	return list
}

func order(ctx context.Context, q pg.Querier, id uuid.UUID) (*Order, error) {
	list, err := orders(ctx, q, `WHERE o.id = $1`, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ErrOrderNotFound
	}
	return list[0], nil
}

// Get reads one order. Errors: ErrOrderNotFound.
func (s store) Get(ctx context.Context, id uuid.UUID) (*Order, error) { return order(ctx, s.db, id) }

// filter narrows a list of orders; empty members do not.
type filter struct {
	Account     *uuid.UUID
	Status      Status
	Begins      string // of the number or the e-mail address
	From, Until time.Time
	Undeclined  bool // leaves out what was cancelled because the payment was declined
}

var orderLists = keyset.List{ID: "id", Sorts: map[string]string{
	"newest": "created_at DESC", "oldest": "created_at", "total": "total", "-total": "total DESC", "email": "email", "-email": "email DESC",
}}

// List reads a page of the orders that fit a filter, and the cursor of the next one.
func (s store) List(ctx context.Context, f filter, sort string, page rest.Page) ([]*Order, *string, error) {
	var where []string
	var args []any
	and := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	if f.Account != nil {
		and(`o.account_id = ?`, *f.Account)
	}
	if f.Status != "" {
		and(`o.status = ?`, f.Status)
	}
	switch number := strings.ToUpper(f.Begins); {
	case f.Begins == "":
	case strings.HasPrefix(number, numberPrefix), strings.HasPrefix(numberPrefix, number):
		and(`(o.number LIKE ? OR o.email LIKE ?)`, pg.Begins(number), pg.Begins(strings.ToLower(f.Begins)))
	default: // no number: then the addresses of an index are enough, in its order too
		and(`o.email LIKE ?`, pg.Begins(strings.ToLower(f.Begins)))
	}
	if !f.From.IsZero() {
		and(`o.created_at >= ?`, f.From)
	}
	if !f.Until.IsZero() {
		and(`o.created_at < ?`, f.Until)
	}
	if f.Undeclined {
		and(`o.cancel_reason IS DISTINCT FROM ?`, PaymentDeclined)
	}
	text := ""
	if len(where) > 0 {
		text = `WHERE ` + strings.Join(where, ` AND `)
	}
	// Which ones first: to sort many costs little as long as nothing hangs on them.
	rows, next, err := keyset.Read[listedRow](ctx, s.db, orderLists, sort, page, `
		SELECT o.id, o.created_at, o.total, o.email FROM orders o `+text, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("list orders: %w", err)
	}
	ids := make([]uuid.UUID, 0, len(rows))
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	found, err := s.Orders(ctx, ids)
	if err != nil {
		return nil, nil, err
	}
	list := make([]*Order, 0, len(ids))
	for _, id := range ids {
		list = append(list, found[id])
	}
	return list, next, nil
}

// listedRow is an order in a list, with what that can be sorted by.
type listedRow struct {
	ID        uuid.UUID
	CreatedAt time.Time
	Total     int64
	Email     string
}

// Update changes one order in a transaction of its own. Errors: ErrOrderNotFound, and what fn returns.
func (s store) Update(ctx context.Context, id uuid.UUID, now time.Time, fn func(*Order) (Event, error)) (*Order, error) {
	var o *Order
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) (err error) {
		o, err = update(ctx, tx, id, now, fn)
		return err
	})
	return o, err
}

// UpdateAll changes many orders, in one transaction if that works, else in ever smaller ones, so that one that cannot be
// saved holds up no other. Where fn refuses, or there is no such order, that order stays as it is. The errors are joined.
func (s store) UpdateAll(ctx context.Context, ids []uuid.UUID, now time.Time, fn func(*Order) (Event, error)) error {
	var refused []error
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		refused = nil
		found, err := lockOrders(ctx, tx, ids)
		if err != nil {
			return err
		}
		for _, o := range found {
			var refusal error
			err := change(ctx, tx, o, now, func(o *Order) (event Event, _ error) { event, refusal = fn(o); return event, refusal })
			if refusal != nil {
				refused = append(refused, refusal)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && len(ids) > 1 && ctx.Err() == nil {
		half := len(ids) / 2
		return errors.Join(s.UpdateAll(ctx, ids[:half], now, fn), s.UpdateAll(ctx, ids[half:], now, fn))
	}
	return errors.Join(append(refused, err)...)
}

// lockOrders reads orders that nobody else can change until the transaction ends.
func lockOrders(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]*Order, error) {
	// Locked first and read after: a statement that waits for a lock sees the new row, but the old lines and history.
	if _, err := tx.Exec(ctx, `SELECT FROM orders WHERE id = ANY ($1) ORDER BY id FOR UPDATE`, ids); err != nil {
		return nil, fmt.Errorf("lock orders: %w", err)
	}
	return orders(ctx, tx, `WHERE o.id = ANY ($1)`, ids)
}

// update locks an order, lets fn change it, and saves it if its version grew; the event goes into the outbox.
func update(ctx context.Context, tx pgx.Tx, id uuid.UUID, now time.Time, fn func(*Order) (Event, error)) (*Order, error) {
	found, err := lockOrders(ctx, tx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, ErrOrderNotFound
	}
	return found[0], change(ctx, tx, found[0], now, fn)
}

// change lets fn change an order that is locked, and saves it as update does.
func change(ctx context.Context, tx pgx.Tx, o *Order, now time.Time, fn func(*Order) (Event, error)) error {
	version, known := o.Version, len(o.History)
	event, err := fn(o)
	if err != nil {
		return err
	}
	if o.Version != version {
		if err := save(ctx, tx, o, o.History[known:], now); err != nil {
			return err
		}
	}
	if event != nil {
		return outbox.Put(ctx, tx, event)
	}
	return nil
}

// save writes what may change of an order.
func save(ctx context.Context, tx pgx.Tx, o *Order, moments []Moment, now time.Time) error {
	var carrier, tracking *string
	if o.Shipment != nil {
		carrier, tracking = &o.Shipment.Carrier, &o.Shipment.TrackingNumber
	}
	b := &pgx.Batch{}
	b.Queue(`
		UPDATE orders SET status = @status, version = @version, cancel_reason = @cancel_reason,
			cancel_note = @cancel_note, payment_status = @payment_status, refunded = @refunded,
		       carrier = @carrier, tracking_number = @tracking_number, updated_at = @updated_at
		WHERE id = @id`, pgx.StrictNamedArgs{
		"id": o.ID, "status": o.Status, "version": o.Version, "cancel_reason": o.CancelReason,
		"cancel_note": o.CancelNote, "payment_status": o.Payment.Status,
		"refunded": o.Payment.Refunded.Amount, "carrier": carrier, "tracking_number": tracking,
		"updated_at": now,
	})
	queueMoments(b, o.ID, moments)
	b.Queue(`SELECT pg_notify($1, $2)`, changed, o.ID.String())
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("save order: %w", err)
	}
	return nil
}

func queueMoments(b *pgx.Batch, id uuid.UUID, moments []Moment) {
	for _, m := range moments {
		b.Queue(`INSERT INTO order_history (order_id, version, status, at) VALUES ($1, $2, $3, $4)`, id, m.Version, m.Status, m.At)
	}
}

// insert writes a new order.
func insert(ctx context.Context, tx pgx.Tx, o *Order, now time.Time) error {
	b := &pgx.Batch{}
	b.Queue(`
		INSERT INTO orders (id, number, account_id, email, first_name, checkout_id, status, version, currency, subtotal, discount, tax,
		                    shipping, total, address, payment_method, payment_status, created_at, updated_at, placed_put_at)
		VALUES (@id, @number, @account_id, @email, @first_name, @checkout_id, @status, @version, @currency, @subtotal,
			@discount, @tax, @shipping, @total, @address, @payment_method, @payment_status, @created_at, @updated_at,
				@updated_at)`, pgx.StrictNamedArgs{
		"id": o.ID, "number": o.Number, "account_id": o.AccountID, "email": o.Email,
		"first_name": o.FirstName, "checkout_id": o.CheckoutID, "status": o.Status, "version": o.Version,
		"currency": o.Total.Currency, "subtotal": o.Subtotal.Amount, "discount": o.Discount.Amount,
		"tax": o.Tax.Amount, "shipping": o.Shipping.Amount, "total": o.Total.Amount, "address": o.Address,
		"payment_method": o.Payment.Method, "payment_status": o.Payment.Status, "created_at": o.CreatedAt,
		"updated_at": now,
	})
	for i, l := range o.Lines {
		b.Queue(`
			INSERT INTO order_lines (order_id, position, sku, slug, name, variant, image_url, quantity, unit_price, discount, tax, line_total)
			VALUES (@order_id, @position, @sku, @slug, @name, @variant, @image_url, @quantity, @unit_price, @discount,
				@tax, @line_total)`, pgx.StrictNamedArgs{
			"order_id": o.ID, "position": i, "sku": l.SKU, "slug": l.Slug, "name": l.Name, "variant": l.Variant,
			"image_url": l.ImageURL, "quantity": l.Quantity, "unit_price": l.UnitPrice.Amount,
			"discount": l.Discount.Amount, "tax": l.Tax.Amount, "line_total": l.LineTotal.Amount,
		})
	}
	queueMoments(b, o.ID, o.History)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	return nil
}

// Orders reads many orders, by id. Unknown ones are left out.
func (s store) Orders(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Order, error) {
	list, err := orders(ctx, s.db, `WHERE o.id = ANY ($1)`, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*Order, len(list))
	for _, o := range list {
		byID[o.ID] = o
	}
	return byID, nil
}
