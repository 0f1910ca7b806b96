package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/keyset"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/text"
)

// changed is the channel on which changed orders are named, for the long polls of all instances.
const changed = "orders_changed"

// store keeps orders and the attempts to place them. Exported methods open their own transaction; helpers take tx.
type store struct {
	db     *pgxpool.Pool
	reads  *gather.Gatherer[uuid.UUID, *Order]
	looks  *gather.Gatherer[asked, found]
	claims *gather.Gatherer[claim, attempt]
	places *gather.Gatherer[placing, struct{}]
	tell   func(ids ...uuid.UUID) // that orders have changed
}

func newStore(db *pgxpool.Pool, tell func(ids ...uuid.UUID)) store {
	s := store{db: db, tell: tell}
	s.reads = gather.New(gather.Settings[uuid.UUID]{}, s.read)
	s.looks = gather.New(gather.Settings[asked]{Limit: placeLimit / 2}, s.look)
	s.claims = gather.New(gather.Settings[claim]{
		Limit: placeLimit / 2, Conflict: func(c claim) string { return c.Account.String() },
	}, s.claimNew)
	s.places = gather.New(gather.Settings[placing]{
		Limit: placeLimit / 2, Conflict: func(p placing) string { return p.Account.String() },
	}, s.place)
	return s
}

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
	TrackingURL    *string
	ReaddressedAt  *time.Time
	CreatedAt      time.Time
	Forgotten      bool
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
	Weight    int    `json:"weight_grams"`
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
	       o.carrier, o.tracking_number, o.tracking_url, o.readdressed_at, o.created_at, o.forgotten_at IS NOT NULL AS forgotten,
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
		AccountID: r.AccountID, FirstName: r.FirstName, CheckoutID: r.CheckoutID, Forgotten: r.Forgotten,
	}
	if r.Forgotten { // an address has a name and a line
		o.Address.Name, o.Address.Line1 = "deleted account", "–"
	}
	if r.ReaddressedAt != nil {
		at := r.ReaddressedAt.UTC()
		o.ReaddressedAt = &at
	}
	if r.Carrier != nil {
		o.Shipment = &Shipment{Carrier: *r.Carrier, TrackingNumber: *r.TrackingNumber, TrackingURL: r.TrackingURL}
	}
	for _, l := range r.Lines {
		o.Lines = append(o.Lines, Line{
			SKU: l.SKU, Slug: l.Slug, Name: l.Name, Variant: l.Variant, ImageURL: l.ImageURL, Quantity: l.Quantity, Weight: l.Weight,
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

// read reads some orders. Whoever asks for the same gets the same: it is not to be changed.
func (s store) read(ctx context.Context, ids []uuid.UUID) ([]gather.Answer[*Order], error) {
	list, err := orders(ctx, s.db, `WHERE o.id = ANY ($1)`, ids)
	if err != nil {
		return nil, err
	}
	byID := orderByID(list)
	answers := make([]gather.Answer[*Order], 0, len(ids))
	for _, id := range ids {
		if o, ok := byID[id]; ok {
			answers = append(answers, gather.Answer[*Order]{Value: o})
		} else {
			answers = append(answers, gather.Answer[*Order]{Err: ErrOrderNotFound})
		}
	}
	return answers, nil
}

// Get reads one order. Errors: ErrOrderNotFound.
func (s store) Get(ctx context.Context, id uuid.UUID) (*Order, error) { return s.reads.Do(ctx, id) }

// filter narrows a list of orders; empty members do not.
type filter struct {
	Account     *uuid.UUID
	Status      Status
	Query       string // a number, how an e-mail address begins, or words as order.words has them
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
	// One of three, as each is found by an index of its own, and no plan for two of them together reads as little.
	from := `FROM orders o `
	switch words := text.Asked(f.Query); {
	case f.Query == "":
	case isNumber(f.Query):
		and(`o.number = ?`, strings.ToUpper(f.Query))
	case strings.Contains(f.Query, "@"):
		and(`o.email LIKE ?`, pg.Begins(strings.ToLower(f.Query)))
	case len(words) == 0:
		and(`false`) // nothing but signs
	default:
		few, err := s.withWords(ctx, begin(words))
		if err != nil {
			return nil, nil, err
		}
		if few != nil {
			// OFFSET 0: else the list may be walked in its order until it has met a page of them.
			args = append(args, few)
			from = fmt.Sprintf(`
				FROM (SELECT id, created_at, total, email, account_id, status, cancel_reason FROM orders
				WHERE id = ANY ($%d) OFFSET 0) o `, len(args))
			break
		}
		from += `JOIN order_words w ON w.order_id = o.id `
		and(`w.words @@ ?::text::tsquery`, begin(words))
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
	if len(where) > 0 {
		from += `WHERE ` + strings.Join(where, ` AND `)
	}
	// Which ones first: to sort many costs little as long as nothing hangs on them.
	rows, next, err := keyset.Read[listedRow](ctx, s.db, orderLists, sort, page, `
		SELECT o.id, o.created_at, o.total, o.email `+from, args...)
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

// fewWords is up to how many orders that have the words asked for are found first and sorted then: all of a product that sold
// out in an hour are, wherever they stand in the list. Of more the list is walked in its order until a page is full, which is
// long only where they all stand at its other end.
const fewWords = 50_000

// withWords finds the orders that have words (a tsquery), nil when they are more than fewWords.
func (s store) withWords(ctx context.Context, words string) ([]uuid.UUID, error) {
	rows, err := s.db.Query(ctx, `SELECT order_id FROM order_words WHERE words @@ $1::text::tsquery LIMIT $2`,
		pgx.QueryExecModeCacheDescribe, words, fewWords+1)
	if err != nil {
		return nil, fmt.Errorf("orders with words: %w", err)
	}
	found, err := pgx.AppendRows(make([]uuid.UUID, 0), rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("orders with words: %w", err)
	}
	if len(found) > fewWords {
		return nil, nil
	}
	return found, nil
}

// begin asks (as a tsquery) for texts in which each of the words stands or begins another.
func begin(words []string) string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `''`)
	asked := make([]string, 0, len(words))
	for _, w := range words {
		asked = append(asked, `'`+quoted.Replace(w)+`':*`)
	}
	return strings.Join(asked, ` & `)
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
	err := pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		found, err := lockOrders(ctx, tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		c, ok := found[id]
		if !ok {
			return ErrOrderNotFound
		}
		o = c.Order
		if err := c.apply("", fn); err != nil {
			return err
		}
		return s.save(ctx, tx, now, c)
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
		var changed []*change
		for _, c := range found {
			if err := c.apply("", fn); err != nil {
				refused = append(refused, err)
			} else {
				changed = append(changed, c)
			}
		}
		return s.save(ctx, tx, now, changed...)
	})
	if err != nil && len(ids) > 1 && ctx.Err() == nil {
		half := len(ids) / 2
		return errors.Join(s.UpdateAll(ctx, ids[:half], now, fn), s.UpdateAll(ctx, ids[half:], now, fn))
	}
	return errors.Join(append(refused, err)...)
}

// change is an order that nobody else can change until the transaction ends, and what it has to tell.
type change struct {
	*Order
	version, known int // of it and of its history, as they are saved
	events         []outbox.Event
}

// apply lets fn alter the order, and keeps what it has to tell in the trace of what has caused it.
func (c *change) apply(traceparent string, fn func(*Order) (Event, error)) error {
	event, err := fn(c.Order)
	if err == nil && event != nil {
		c.events = append(c.events, outbox.From(traceparent, event))
	}
	return err
}

// lockOrders locks the orders that there are and reads them.
func lockOrders(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (map[uuid.UUID]*change, error) {
	found, err := orders(ctx, tx, `WHERE o.id = ANY ($1) ORDER BY o.id FOR UPDATE OF o`, ids)
	if err != nil {
		return nil, err
	}
	// A statement that waited for a lock sees the new row, but the old history: the last moment has another status.
	if slices.ContainsFunc(found, func(o *Order) bool { return o.History[len(o.History)-1].Status != o.Status }) {
		if found, err = orders(ctx, tx, `WHERE o.id = ANY ($1)`, ids); err != nil {
			return nil, err
		}
	}
	locked := make(map[uuid.UUID]*change, len(found))
	for _, o := range found {
		locked[o.ID] = &change{Order: o, version: o.Version, known: len(o.History)}
	}
	return locked, nil
}

// save writes, by one statement, what has changed of orders that are locked, and their events.
func (s store) save(ctx context.Context, tx pgx.Tx, now time.Time, all ...*change) error {
	var (
		changed []orderRecord
		moments []momentRecord
		events  []outbox.Event
		ids     []uuid.UUID
	)
	for _, c := range all {
		events = append(events, c.events...)
		if c.Version != c.version {
			changed, ids = append(changed, recordOf(c.Order)), append(ids, c.ID)
			moments = append(moments, momentsOf(c.ID, c.History[c.known:])...)
		}
	}
	if len(changed) == 0 {
		return outbox.Put(ctx, tx, events...)
	}
	args := pgx.StrictNamedArgs{"orders": changed, "moments": moments, "now": now}
	err := outbox.PutWith(ctx, tx, `
		WITH saved AS (
			UPDATE orders o SET status = c.status, version = c.version, cancel_reason = c.cancel_reason, cancel_note = c.cancel_note,
			       payment_status = c.payment_status, refunded = c.refunded, carrier = c.carrier, tracking_number = c.tracking_number,
			       tracking_url = c.tracking_url, address = c.address, readdressed_at = c.readdressed_at, updated_at = @now
			FROM jsonb_to_recordset(@orders) AS c (id uuid, status text, version int, cancel_reason text, cancel_note text,
			       payment_status text, refunded bigint, carrier text, tracking_number text, tracking_url text, address jsonb,
			       readdressed_at timestamptz)
			WHERE o.id = c.id
		), `+insertMoments+`)`, args, events...)
	if err != nil {
		return fmt.Errorf("save orders: %w", err)
	}
	pg.OnEnd(tx, func(committed bool) {
		if committed {
			s.tell(ids...)
		}
	})
	return nil
}

// orderRecord, lineRecord and momentRecord are rows as statements take them: many in one argument, as JSON.
type orderRecord struct {
	ID             uuid.UUID     `json:"id"`
	Number         string        `json:"number"`
	AccountID      uuid.UUID     `json:"account_id"`
	Email          string        `json:"email"`
	FirstName      string        `json:"first_name"`
	CheckoutID     uuid.UUID     `json:"checkout_id"`
	Status         Status        `json:"status"`
	Version        int           `json:"version"`
	CancelReason   *string       `json:"cancel_reason"`
	CancelNote     string        `json:"cancel_note"`
	Currency       string        `json:"currency"`
	Subtotal       int64         `json:"subtotal"`
	Discount       int64         `json:"discount"`
	Tax            int64         `json:"tax"`
	Shipping       int64         `json:"shipping"`
	Total          int64         `json:"total"`
	Address        Address       `json:"address"`
	PaymentMethod  string        `json:"payment_method"`
	PaymentStatus  PaymentStatus `json:"payment_status"`
	Refunded       int64         `json:"refunded"`
	Carrier        *string       `json:"carrier"`
	TrackingNumber *string       `json:"tracking_number"`
	TrackingURL    *string       `json:"tracking_url"`
	ReaddressedAt  *time.Time    `json:"readdressed_at"`
	CreatedAt      time.Time     `json:"created_at"`
}

type lineRecord struct {
	OrderID  uuid.UUID `json:"order_id"`
	Position int       `json:"position"`
	lineRow
}

type momentRecord struct {
	OrderID uuid.UUID `json:"order_id"`
	momentRow
}

func recordOf(o *Order) orderRecord {
	r := orderRecord{
		ID: o.ID, Number: o.Number, AccountID: o.AccountID, Email: o.Email, FirstName: o.FirstName, CheckoutID: o.CheckoutID,
		Status: o.Status, Version: o.Version, CancelReason: o.CancelReason, CancelNote: o.CancelNote,
		Currency: o.Total.Currency, Subtotal: o.Subtotal.Amount, Discount: o.Discount.Amount, Tax: o.Tax.Amount,
		Shipping: o.Shipping.Amount, Total: o.Total.Amount, Address: o.Address,
		PaymentMethod: o.Payment.Method, PaymentStatus: o.Payment.Status, Refunded: o.Payment.Refunded.Amount, CreatedAt: o.CreatedAt,
		ReaddressedAt: o.ReaddressedAt,
	}
	if o.Shipment != nil {
		r.Carrier, r.TrackingNumber, r.TrackingURL = &o.Shipment.Carrier, &o.Shipment.TrackingNumber, o.Shipment.TrackingURL
	}
	return r
}

func momentsOf(id uuid.UUID, history []Moment) []momentRecord {
	var moments []momentRecord
	for _, m := range history {
		moments = append(moments, momentRecord{id, momentRow{Version: m.Version, Status: m.Status, At: m.At}})
	}
	return moments
}

// recordsOf are the arguments of insertOrders.
func recordsOf(list []*Order) pgx.StrictNamedArgs {
	var (
		records []orderRecord
		lines   []lineRecord
		moments []momentRecord
	)
	for _, o := range list {
		records = append(records, recordOf(o))
		for i, l := range o.Lines {
			lines = append(lines, lineRecord{o.ID, i, lineRow{
				SKU: l.SKU, Slug: l.Slug, Name: l.Name, Variant: l.Variant, ImageURL: l.ImageURL, Quantity: l.Quantity, Weight: l.Weight,
				UnitPrice: l.UnitPrice.Amount, Discount: l.Discount.Amount, Tax: l.Tax.Amount, LineTotal: l.LineTotal.Amount,
			}})
		}
		moments = append(moments, momentsOf(o.ID, o.History)...)
	}
	return pgx.StrictNamedArgs{"orders": records, "lines": lines, "moments": moments}
}

// insertMoments and insertOrders are parts of statements; the latter inserts those orders whose ids are in "placed".
const (
	insertMoments = `moments AS (
			INSERT INTO order_history (order_id, version, status, at)
			SELECT m.order_id, m.version, m.status, m.at
			FROM jsonb_to_recordset(@moments) AS m (order_id uuid, version int, status text, at timestamptz)`
	insertOrders = `inserted AS (
			INSERT INTO orders (id, number, account_id, email, first_name, checkout_id, status, version, currency, subtotal, discount, tax,
			                    shipping, total, address, payment_method, payment_status, created_at, updated_at, placed_put_at)
			SELECT o.id, o.number, o.account_id, o.email, o.first_name, o.checkout_id, o.status, o.version, o.currency, o.subtotal,
			       o.discount, o.tax, o.shipping, o.total, o.address, o.payment_method, o.payment_status, o.created_at, o.created_at, o.created_at
			FROM jsonb_to_recordset(@orders) AS o (id uuid, number text, account_id uuid, email text, first_name text,
			       checkout_id uuid, status text, version int, currency text, subtotal bigint, discount bigint, tax bigint, shipping bigint, total bigint,
			       address jsonb, payment_method text, payment_status text, created_at timestamptz)
			JOIN placed ON placed.id = o.id
		), lines AS (
			INSERT INTO order_lines (order_id, position, sku, slug, name, variant, image_url, quantity, weight_grams, unit_price,
			                         discount, tax, line_total)
			SELECT l.order_id, l.position, l.sku, l.slug, l.name, l.variant, l.image_url, l.quantity, l.weight_grams, l.unit_price,
			       l.discount, l.tax, l.line_total
			FROM jsonb_to_recordset(@lines) AS l (order_id uuid, position int, sku text, slug text, name text, variant text,
			       image_url text, quantity int, weight_grams int, unit_price bigint, discount bigint, tax bigint, line_total bigint)
			JOIN placed ON placed.id = l.order_id
		), ` + insertMoments + ` JOIN placed ON placed.id = m.order_id
		)`
)

// Orders reads many orders, by id. Unknown ones are left out.
func (s store) Orders(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]*Order, error) {
	list, err := orders(ctx, s.db, `WHERE o.id = ANY ($1)`, ids)
	if err != nil {
		return nil, err
	}
	return orderByID(list), nil
}

func orderByID(list []*Order) map[uuid.UUID]*Order {
	byID := make(map[uuid.UUID]*Order, len(list))
	for _, o := range list {
		byID[o.ID] = o
	}
	return byID
}
