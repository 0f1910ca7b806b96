package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/idempotency"
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
	if f.Begins != "" {
		and(`(o.number LIKE ? OR o.email LIKE ?)`, pg.Begins(strings.ToUpper(f.Begins)), pg.Begins(strings.ToLower(f.Begins)))
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
	rows, next, err := keyset.Read[orderRow](ctx, s.db, orderLists, sort, page, selectOrders+text, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("read orders: %w", err)
	}
	return toOrders(rows), next, nil
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
		UPDATE orders SET status = $2, version = $3, cancel_reason = $4, cancel_note = $5, payment_status = $6, refunded = $7,
		       carrier = $8, tracking_number = $9, updated_at = $10
		WHERE id = $1`,
		o.ID, o.Status, o.Version, o.CancelReason, o.CancelNote, o.Payment.Status, o.Payment.Refunded.Amount, carrier, tracking, now)
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
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19)`,
		o.ID, o.Number, o.AccountID, o.Email, o.FirstName, o.CheckoutID, o.Status, o.Version, o.Total.Currency, o.Subtotal.Amount,
		o.Discount.Amount, o.Tax.Amount, o.Shipping.Amount, o.Total.Amount, o.Address, o.Payment.Method, o.Payment.Status, o.CreatedAt, now)
	for i, l := range o.Lines {
		b.Queue(`
			INSERT INTO order_lines (order_id, position, sku, slug, name, variant, image_url, quantity, unit_price, discount, tax, line_total)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			o.ID, i, l.SKU, l.Slug, l.Name, l.Variant, l.ImageURL, l.Quantity, l.UnitPrice.Amount, l.Discount.Amount, l.Tax.Amount, l.LineTotal.Amount)
	}
	queueMoments(b, o.ID, o.History)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	return nil
}

type keyRow struct {
	BodyHMAC   []byte
	OrderID    uuid.UUID
	Attempt    int
	LeaseUntil time.Time
	CheckoutID *uuid.UUID
	Lines      []basketLine
	Answer     json.RawMessage
	ExpiresAt  time.Time
}

const keyColumns = `body_hmac, order_id, attempt, lease_until, checkout_id, lines, answer, expires_at`

// Begin writes the key's row, which gives the attempt its order id, or takes over an attempt whose lease is over.
// answer is what was answered before, if it was. abandoned is an order id whose hold must be released.
// Errors: idempotency.ErrKeyReused, idempotency.ErrInProgress.
func (s store) Begin(ctx context.Context, account uuid.UUID, key string, bodyHMAC []byte, now time.Time) (a attempt, answer json.RawMessage, abandoned []uuid.UUID, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return a, nil, nil, fmt.Errorf("order id: %w", err)
	}
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		a, answer, abandoned = attempt{Account: account, Key: key, OrderID: id, Holder: 1}, nil, nil
		// The empty update locks the row of an earlier attempt and returns it.
		rows, err := tx.Query(ctx, `
			INSERT INTO order_keys (account_id, key, body_hmac, order_id, lease_until, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account_id, key) DO UPDATE SET key = excluded.key
			RETURNING `+keyColumns,
			account, key, bodyHMAC, id, now.Add(lease), now.Add(keepKeys))
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		a.Holder = row.Attempt
		switch {
		case row.OrderID == id:
			return nil
		case !row.ExpiresAt.After(now):
			// The key is free again. An unanswered attempt under it may have left a hold.
			if row.Answer == nil {
				if _, err := fate(ctx, tx, row.OrderID, "void", now); err != nil {
					return err
				}
				abandoned = append(abandoned, row.OrderID)
			}
		case !bytes.Equal(row.BodyHMAC, bodyHMAC):
			return idempotency.ErrKeyReused
		case row.Answer != nil:
			answer = row.Answer
			return nil
		case row.LeaseUntil.After(now):
			return idempotency.ErrInProgress
		default:
			a.OrderID, a.Held = row.OrderID, true
		}
		a.Holder++
		_, err = tx.Exec(ctx, `
			UPDATE order_keys SET attempt = $3, lease_until = $4, body_hmac = $5, order_id = $6, expires_at = $7, answer = NULL,
			       checkout_id = CASE WHEN order_id = $6 THEN checkout_id END, lines = CASE WHEN order_id = $6 THEN lines END
			WHERE account_id = $1 AND key = $2`,
			account, key, a.Holder, now.Add(lease), bodyHMAC, a.OrderID, now.Add(keepKeys))
		return err
	})
	return a, answer, abandoned, err
}

// lockKey locks the attempt's row. Errors: idempotency.ErrInProgress when another took the attempt over.
func lockKey(ctx context.Context, tx pgx.Tx, a attempt) (keyRow, error) {
	rows, err := tx.Query(ctx, `SELECT `+keyColumns+` FROM order_keys WHERE account_id = $1 AND key = $2 AND attempt = $3 FOR UPDATE`, a.Account, a.Key, a.Holder)
	if err != nil {
		return keyRow{}, fmt.Errorf("key: %w", err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return keyRow{}, idempotency.ErrInProgress
	}
	if err != nil {
		return keyRow{}, fmt.Errorf("key: %w", err)
	}
	return row, nil
}

// Claim takes the checkout for the attempt and notes what the hold will be for. An attempt that was taken over with
// another basket gets a new order id, because the old one may hold other goods; a claim whose holder's lease is over
// is taken from it. The order ids that were given up are void, and abandoned: their holds must be released.
// Errors: bought, errCheckoutBusy (another attempt has it and is at work),
// idempotency.ErrInProgress.
func (s store) Claim(ctx context.Context, a attempt, b basket, now time.Time) (claimed attempt, abandoned []uuid.UUID, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		claimed, abandoned = a, nil
		own, err := lockKey(ctx, tx, a)
		if err != nil {
			return err
		}
		if own.CheckoutID != nil && (*own.CheckoutID != b.CheckoutID || !slices.Equal(own.Lines, b.Lines)) {
			if _, err := fate(ctx, tx, own.OrderID, "void", now); err != nil {
				return err
			}
			abandoned = append(abandoned, own.OrderID)
			if claimed.OrderID, err = uuid.NewV7(); err != nil {
				return fmt.Errorf("order id: %w", err)
			}
			claimed.Held = false
		}
		var other struct {
			account uuid.UUID
			key     string
			order   uuid.UUID
			lease   time.Time
		}
		err = tx.QueryRow(ctx, `
			SELECT account_id, key, order_id, lease_until FROM order_keys
			WHERE checkout_id = $1 AND (account_id, key) <> ($2, $3) FOR UPDATE`, b.CheckoutID, a.Account, a.Key).
			Scan(&other.account, &other.key, &other.order, &other.lease)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return fmt.Errorf("claim: %w", err)
		case other.lease.After(now):
			return errCheckoutBusy
		default:
			if _, err := fate(ctx, tx, other.order, "void", now); err != nil {
				return err
			}
			abandoned = append(abandoned, other.order)
			if _, err := tx.Exec(ctx, `DELETE FROM order_keys WHERE account_id = $1 AND key = $2`, other.account, other.key); err != nil {
				return fmt.Errorf("claim: %w", err)
			}
		}
		_, err = tx.Exec(ctx, `UPDATE order_keys SET order_id = $4, checkout_id = $5, lines = $6 WHERE account_id = $1 AND key = $2 AND attempt = $3`,
			a.Account, a.Key, a.Holder, claimed.OrderID, b.CheckoutID, b.Lines)
		if err != nil {
			return err
		}
		// Asked last: whoever had the claim until a moment ago may have placed the order.
		claimed.InsteadOf, err = ordered(ctx, tx, a.Account, b, now)
		return err
	})
	if pg.IsUnique(err, "order_keys_checkout") {
		return a, nil, errCheckoutBusy
	}
	if err != nil {
		return a, nil, err
	}
	return claimed, abandoned, nil
}

// ordered returns bought when an order that is not cancelled bought what is in the cart, or some of it. Else it names
// the account's last order that ended because the payment was declined, if that was not long ago.
func ordered(ctx context.Context, q pg.Querier, account uuid.UUID, b basket, now time.Time) (declined *uuid.UUID, err error) {
	var found struct {
		order, checkout *uuid.UUID
		pending         *bool
	}
	err = q.QueryRow(ctx, `
		SELECT last.id, last.checkout_id, last.status = 'pending',
		       (SELECT id FROM orders WHERE account_id = $1 AND cancel_reason = 'payment-declined' AND updated_at > $2
		        ORDER BY updated_at DESC LIMIT 1)
		FROM (SELECT) AS one
		LEFT JOIN (SELECT id, checkout_id, status FROM orders
		           WHERE account_id = $1 AND checkout_id BETWEEN $3 AND $4 AND status <> 'cancelled' AND id <> ALL (coalesce($5, '{}'::uuid[]))
		           ORDER BY checkout_id DESC LIMIT 1) AS last ON true`,
		account, now.Add(-instead), b.Since, b.CheckoutID, b.Ended).Scan(&found.order, &found.checkout, &found.pending, &declined)
	if err != nil {
		return nil, fmt.Errorf("orders of a cart: %w", err)
	}
	if found.order != nil {
		return nil, bought{order: *found.order, whole: *found.checkout == b.CheckoutID, pending: *found.pending}
	}
	return declined, nil
}

// Place writes the order, its event and the key's answer, all or nothing.
// Errors: idempotency.ErrInProgress (another took the attempt over), errVoid, bought.
func (s store) Place(ctx context.Context, a attempt, o *Order, event Event, answer json.RawMessage, now time.Time) error {
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := lockKey(ctx, tx, a); err != nil {
			return err
		}
		decided, err := fate(ctx, tx, a.OrderID, "placed", now)
		if err != nil {
			return err
		}
		if decided != "placed" {
			return errVoid
		}
		if err := insert(ctx, tx, o, now); err != nil {
			return err
		}
		if err := outbox.Put(ctx, tx, event); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE order_keys SET answer = $4, checkout_id = NULL, lines = NULL WHERE account_id = $1 AND key = $2 AND attempt = $3`,
			a.Account, a.Key, a.Holder, answer)
		return err
	})
	if pg.IsUnique(err, "orders_checkout") {
		if _, err := ordered(ctx, s.db, o.AccountID, basket{CheckoutID: o.CheckoutID, Since: o.CheckoutID}, now); err != nil {
			return err
		}
	}
	return err
}

// GiveUp frees the attempt's key. When something may be held for its order id, the id is made void first, so that no
// order can be placed under it; the caller then releases the hold. If the order was placed after all (the commit's
// answer was lost), its answer is returned instead. Errors: idempotency.ErrInProgress when another took the attempt over.
func (s store) GiveUp(ctx context.Context, a attempt, now time.Time) (answer json.RawMessage, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		row, err := lockKey(ctx, tx, a)
		if err != nil {
			return err
		}
		if answer = row.Answer; answer != nil {
			return nil
		}
		if a.Held {
			if _, err := fate(ctx, tx, a.OrderID, "void", now); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `DELETE FROM order_keys WHERE account_id = $1 AND key = $2 AND attempt = $3`, a.Account, a.Key, a.Holder)
		return err
	})
	return answer, err
}

// fate decides what becomes of an order id, unless that is decided, and returns the decision.
func fate(ctx context.Context, tx pgx.Tx, id uuid.UUID, wanted string, now time.Time) (string, error) {
	var decided string
	err := tx.QueryRow(ctx, `
		INSERT INTO order_ids (id, fate, decided_at) VALUES ($1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET fate = order_ids.fate
		RETURNING fate`, id, wanted, now).Scan(&decided)
	if err != nil {
		return "", fmt.Errorf("fate of an order id: %w", err)
	}
	return decided, nil
}

// idFate is what a neighbour learns about an order id.
type idFate struct {
	OrderID uuid.UUID `json:"order_id"`
	Status  string    `json:"status" doc:"The order's status, or void: no order will ever have this id"`
	Reason  string    `json:"reason" doc:"Why it was cancelled"`
}

// Void answers what became of order ids: the order's status, or "void", and then no order will ever have that id.
func (s store) Void(ctx context.Context, ids []uuid.UUID, now time.Time) (fates []idFate, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		// The keys' rows before the ids', as Place locks them, and each kind in one order, as whoever else voids does.
		if _, err := tx.Exec(ctx, `SELECT FROM order_keys WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE`, ids); err != nil {
			return err
		}
		// An id that somebody else decides at this moment is waited for, and read by the statements that follow.
		_, err := tx.Exec(ctx, `
			INSERT INTO order_ids (id, fate, decided_at) SELECT id, 'void', $2 FROM unnest($1::uuid[]) AS id ORDER BY id
			ON CONFLICT (id) DO NOTHING`, ids, now)
		if err != nil {
			return err
		}
		// The keys and the checkouts that they claimed are free again.
		_, err = tx.Exec(ctx, `
			DELETE FROM order_keys WHERE answer IS NULL AND order_id IN (SELECT id FROM order_ids WHERE id = ANY ($1) AND fate = 'void')`, ids)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT i.id AS order_id, COALESCE(o.status, 'void') AS status, COALESCE(o.cancel_reason, '') AS reason
			FROM order_ids i LEFT JOIN orders o ON o.id = i.id WHERE i.id = ANY ($1)`, ids)
		if err != nil {
			return err
		}
		fates, err = pgx.CollectRows(rows, pgx.RowToStructByName[idFate])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("void: %w", err)
	}
	return fates, nil
}

// setStanding notes whether an account is suspended, unless something later is known.
func setStanding(ctx context.Context, tx pgx.Tx, account uuid.UUID, suspended bool, at time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO standings (account_id, suspended, told_at) VALUES ($1, $2, $3)
		ON CONFLICT (account_id) DO UPDATE SET suspended = excluded.suspended, told_at = excluded.told_at
		WHERE standings.told_at < excluded.told_at`, account, suspended, at)
	if err != nil {
		return fmt.Errorf("standing: %w", err)
	}
	return nil
}

// Suspended reports whether an account may not order.
func (s store) Suspended(ctx context.Context, account uuid.UUID) (suspended bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM standings WHERE account_id = $1 AND suspended)`, account).Scan(&suspended)
	if err != nil {
		return false, fmt.Errorf("standing: %w", err)
	}
	return suspended, nil
}

// outcome is a moment at which an order got a status, as the feeds tell it.
type outcome struct {
	OrderID uuid.UUID `json:"order_id"`
	Status  Status    `json:"status" enum:"confirmed,cancelled"`
	Reason  string    `json:"reason" doc:"Why it was cancelled"`
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	NotedAt time.Time `json:"-"` // its place in the feeds
	Key     string    `json:"-"`
}

// Outcomes reads the moments at which orders got one of the statuses, in the order in which they were written down.
// pending is none of them.
func (s store) Outcomes(ctx context.Context, ask feed.Ask, statuses ...Status) (page feed.Page[outcome], err error) {
	page.Items, page.Cursor, page.More, err = feed.Read(ctx, s.db, ask, `
		SELECT h.order_id, h.status, CASE h.status WHEN 'cancelled' THEN o.cancel_reason ELSE '' END AS reason, h.version, h.at,
		       h.noted_at, h.order_id::text || '/' || h.version::text AS key
		FROM order_history h JOIN orders o ON o.id = h.order_id
		WHERE (h.noted_at, h.order_id::text || '/' || h.version::text) > ($1, $2) AND h.noted_at < $3
		  AND h.status <> 'pending' AND h.status = ANY ($5)
		ORDER BY h.noted_at, h.order_id::text || '/' || h.version::text LIMIT $4`,
		func(o outcome) feed.Place { return feed.Place{At: o.NotedAt, Key: o.Key} }, statuses)
	return page, err
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

// NoteSent notes for at most so many pending orders when their order.placed was first sent; kit/outbox knows. It returns
// for how many.
func (s store) NoteSent(ctx context.Context, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		UPDATE orders o SET placed_sent_at = e.sent_at
		FROM (SELECT p.id, e.sent_at
		      FROM orders p CROSS JOIN LATERAL (
		        SELECT min(e.sent_at) AS sent_at FROM outbox e WHERE e.topic = 'order.placed.v1' AND e.data ->> 'order_id' = p.id::text) e
		      WHERE p.status = 'pending' AND p.placed_sent_at IS NULL AND e.sent_at IS NOT NULL
		      LIMIT $1 FOR UPDATE OF p SKIP LOCKED) e
		WHERE o.id = e.id`, limit)
	if err != nil {
		return 0, fmt.Errorf("note what was sent: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// Remind looks at no more than so many orders that have been pending since before, and sends order.placed once more for
// those whose last one has left the outbox. It returns at how many it looked; none of them is looked at again before
// twice the time since order.placed was first sent, so that an outage is not followed by a flood.
func (s store) Remind(ctx context.Context, before, now time.Time, limit int) (looked int, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		// The last to be sent, or one that is not, is the first that the index has for an order, from its end.
		rows, err := tx.Query(ctx, `
			WITH due AS (
			    SELECT id FROM orders WHERE status = 'pending' AND placed_sent_at IS NOT NULL AND placed_put_at <= $1
			      AND placed_put_at - placed_sent_at <= $2 - placed_put_at
			    ORDER BY placed_put_at LIMIT $3 FOR UPDATE SKIP LOCKED),
			seen AS MATERIALIZED (
			    SELECT id, (SELECT e.sent_at IS NOT NULL FROM outbox e WHERE e.topic = 'order.placed.v1' AND e.data ->> 'order_id' = due.id::text
			                ORDER BY e.sent_at DESC LIMIT 1) IS NOT FALSE AS sent
			    FROM due)
			UPDATE orders o SET placed_put_at = $2, placed_count = placed_count + seen.sent::int FROM seen WHERE o.id = seen.id
			RETURNING o.id, seen.sent`, before, now, limit)
		if err != nil {
			return fmt.Errorf("remind: %w", err)
		}
		var (
			id   uuid.UUID
			sent bool
			ids  []uuid.UUID
		)
		looked = 0
		_, err = pgx.ForEachRow(rows, []any{&id, &sent}, func() error {
			if looked++; sent {
				ids = append(ids, id)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("remind: %w", err)
		}
		found, err := orders(ctx, tx, `WHERE o.id = ANY ($1)`, ids)
		if err != nil {
			return err
		}
		for _, o := range found {
			if err := outbox.Put(ctx, tx, o.Remind()); err != nil {
				return err
			}
		}
		return nil
	})
	return looked, err
}

// Unsettled leases orders whose charge should be voided: pending ones whose order.placed was first sent before
// deadline, and those cancelled before quiet whose payment has not been heard of. They come again at next.
func (s store) Unsettled(ctx context.Context, deadline, quiet, now, next time.Time, limit int) ([]uuid.UUID, error) {
	rows, err := s.db.Query(ctx, `
		UPDATE orders SET settle_at = $4
		WHERE id IN (SELECT id FROM orders
		             WHERE (status = 'pending' OR payment_status = 'pending')
		               AND (status = 'pending' AND placed_sent_at <= $1 OR status = 'cancelled' AND updated_at <= $2)
		               AND (settle_at IS NULL OR settle_at <= $3)
		             ORDER BY settle_at NULLS FIRST, id LIMIT $5 FOR UPDATE SKIP LOCKED)
		RETURNING id`, deadline, quiet, now, next, limit)
	if err != nil {
		return nil, fmt.Errorf("unsettled: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

// PruneKeys forgets at most so many keys that have expired and returns how many. Those without an answer may have left
// a hold: their order ids are made void and returned, so that the holds are released.
func (s store) PruneKeys(ctx context.Context, now time.Time, limit int) (n int, abandoned []uuid.UUID, err error) {
	err = pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		n, abandoned = 0, nil
		rows, err := tx.Query(ctx, `
			DELETE FROM order_keys WHERE (account_id, key) IN (
			    SELECT account_id, key FROM order_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
			RETURNING order_id, answer IS NULL`, now, limit)
		if err != nil {
			return fmt.Errorf("prune keys: %w", err)
		}
		var (
			id         uuid.UUID
			unanswered bool
		)
		_, err = pgx.ForEachRow(rows, []any{&id, &unanswered}, func() error {
			if n++; unanswered {
				abandoned = append(abandoned, id)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("prune keys: %w", err)
		}
		for _, id := range abandoned {
			if _, err := fate(ctx, tx, id, "void", now); err != nil {
				return err
			}
		}
		return nil
	})
	return n, abandoned, err
}

// PruneVoid forgets at most so many order ids that were made void before a time, and returns how many.
func (s store) PruneVoid(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `
		DELETE FROM order_ids WHERE id IN (SELECT id FROM order_ids WHERE fate = 'void' AND decided_at <= $1 ORDER BY decided_at LIMIT $2)`,
		before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune order ids: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// spanSum is what was ordered in a stretch of time.
type spanSum struct {
	Orders  int
	Revenue int64
}

// Spans sums up the orders placed from a time on, by minute or hour. Stretches without orders are missing.
func (s store) Spans(ctx context.Context, by string, from time.Time) (map[time.Time]spanSum, error) {
	rows, err := s.db.Query(ctx, `
		SELECT date_trunc($1, created_at, 'UTC') AS from, count(*),
		       COALESCE(sum(total - refunded) FILTER (WHERE payment_status NOT IN ('pending', 'failed')), 0)::bigint
		FROM orders WHERE created_at >= $2 GROUP BY 1`, by, from)
	if err != nil {
		return nil, fmt.Errorf("spans: %w", err)
	}
	spans := map[time.Time]spanSum{}
	var (
		at  time.Time
		sum spanSum
	)
	if _, err := pgx.ForEachRow(rows, []any{&at, &sum.Orders, &sum.Revenue}, func() error { spans[at.UTC()] = sum; return nil }); err != nil {
		return nil, fmt.Errorf("spans: %w", err)
	}
	return spans, nil
}

// CountStatuses counts the orders in each status.
func (s store) CountStatuses(ctx context.Context) (map[string]int, error) {
	return pg.Counts(ctx, s.db, `SELECT status, count(*) FROM orders GROUP BY status`)
}
