package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// inFlight is how long services may disagree while an event is on its way.
const inFlight = time.Minute

// booksKept is for how long the sandbox keeps its books, less a day.
const booksKept = 89 * 24 * time.Hour

// mailsTold is how far back each order is looked for in the log of mails,
// which is pruned at its far end.
const mailsTold = 7 * 24 * time.Hour

// patience is how long each thing may take that ends by itself, by the
// settings of the stack.
type patience struct {
	deadline  time.Duration // an order that nobody decides, from when order.placed was first sent
	unplaced  time.Duration // units held for an order that was never placed
	inventory time.Duration // until inventory, and so on, has asked for what an event should have told it
	payments  time.Duration
	orders    time.Duration
	mail      time.Duration
}

// patience reads the settings of the stack.
func (s *stack) patience() (p patience, err error) {
	wait := func(key string) time.Duration {
		text := s.settings.get(key)
		for _, w := range append(waits, defaults(&stack{})...) {
			if text == "" && w.key == key {
				text = w.value
			}
		}
		d, wrong := time.ParseDuration(text)
		if wrong != nil {
			err = fmt.Errorf("%s: %w", key, wrong)
		}
		return d
	}
	// What a service pulls, it pulls so far behind and so often; then the event
	// that comes of it is on its way.
	pulled := func(key string) time.Duration {
		behind := wait(key)
		return behind + min(30*time.Second, max(behind/2, time.Second)) + inFlight
	}
	p = patience{
		deadline:  wait("ORDER_DEADLINE") + inFlight,
		unplaced:  2 * wait("INVENTORY_ASK_AFTER"),
		inventory: pulled("INVENTORY_PULL_BEHIND"),
		payments:  pulled("PAYMENTS_PULL_BEHIND"),
		orders:    pulled("ORDERS_PULL_BEHIND"),
		mail:      pulled("MAIL_PULL_BEHIND"),
	}
	return p, err
}

// finding is one thing that does not add up. Since is when it last changed: a
// younger one than within may be on its way. Within is a minute where it is 0.
type finding struct {
	what   string
	since  time.Time
	within time.Duration
}

// young reports whether it may still end by itself.
func (f finding) young(now time.Time) bool { return now.Sub(f.since) < max(f.within, inFlight) }

// What the services' databases say about one order; nil where they say
// nothing.
type auditedOrder struct {
	ID        uuid.UUID
	Status    string
	Payment   string
	Currency  string
	Total     int64
	Refunded  int64
	UpdatedAt time.Time
	SentAt    *time.Time // order.placed was first sent
}

type auditedCharge struct {
	OrderID   uuid.UUID
	State     string
	Captured  int64 // what was taken
	Currency  string
	Refunded  int64 // sum of the refunds that are done
	Asked     int64 // and of those that are to be made
	Failed    int64 // how many cannot be made
	Booked    int64 // what the provider's own books say was taken; 0 when they are elsewhere
	Given     int64 // and given back
	HasBooks  bool
	UpdatedAt time.Time
}

type auditedHold struct {
	OrderID   uuid.UUID
	State     string
	ChangedAt time.Time
}

// judge holds an order against its charge and its hold, as docs/architecture.md defines.
func judge(o *auditedOrder, c *auditedCharge, h *auditedHold, p patience, now time.Time) []finding {
	var found []finding
	add := func(since time.Time, within time.Duration, format string, a ...any) {
		found = append(found, finding{fmt.Sprintf(format, a...), since, within})
	}
	since := time.Time{}
	for _, t := range []*time.Time{field(o, func(o *auditedOrder) time.Time { return o.UpdatedAt }),
		field(c, func(c *auditedCharge) time.Time { return c.UpdatedAt }), field(h, func(h *auditedHold) time.Time { return h.ChangedAt })} {
		if t != nil && t.After(since) {
			since = *t
		}
	}
	captured, refunded := int64(0), int64(0)
	if c != nil {
		captured, refunded = c.Captured, c.Refunded
		if c.HasBooks && (c.Booked != captured || c.Given != refunded) {
			add(since, p.payments, "payments says captured %d, refunded %d; the provider's books say %d and %d", captured, refunded, c.Booked, c.Given)
		}
		if refunded > captured {
			add(since, 0, "refunded %d of %d captured", refunded, captured)
		}
		if c.Failed > 0 && refunded < captured {
			add(since, 0, "%d refunds cannot be made, and %d of %d captured is not given back", c.Failed, captured-refunded, captured)
		}
		if c.Asked > 0 {
			add(since, p.payments, "%d is to be given back", c.Asked)
		}
	}
	hold := "none"
	if h != nil {
		hold = h.State
	}
	if o == nil {
		if captured != refunded {
			add(since, p.payments, "no such order, captured %d, refunded %d", captured, refunded)
		}
		if hold == "sold" || (hold == "held" && now.Sub(since) > p.unplaced) {
			add(since, 0, "no such order, hold %s", hold)
		}
		return found
	}
	switch o.Status {
	case "pending":
		if hold != "held" {
			add(since, 0, "pending, hold %s", hold)
		}
		if o.SentAt != nil && now.Sub(*o.SentAt) > p.deadline {
			add(*o.SentAt, 0, "pending past its deadline")
		}
	case "cancelled":
		if captured != refunded {
			add(since, p.payments, "cancelled, captured %d, refunded %d", captured, refunded)
		}
		if hold == "held" || hold == "sold" {
			add(since, p.inventory, "cancelled, hold %s", hold)
		}
	default: // confirmed, shipped, delivered
		if captured != o.Total || captured > 0 && c.Currency != o.Currency {
			currency := ""
			if c != nil {
				currency = c.Currency
			}
			add(since, 0, "%s, total %d %s, captured %d %s", o.Status, o.Total, o.Currency, captured, currency)
		}
		if hold != "sold" {
			add(since, p.inventory, "%s, hold %s", o.Status, hold)
		}
	}
	if o.Payment == "refund_pending" {
		add(since, p.payments+p.orders, "its refund is pending")
	}
	if o.Refunded != refunded {
		add(since, p.orders, "orders says refunded %d, payments %d", o.Refunded, refunded)
	}
	return found
}

func field[T any](v *T, get func(*T) time.Time) *time.Time {
	if v == nil {
		return nil
	}
	t := get(v)
	return &t
}

// audit checks the live databases against each other and prints what it
// counted. It fails when something has not added up for longer than a minute.
func (s *stack) audit(ctx context.Context, w io.Writer) error {
	now := time.Now()
	patience, err := s.patience()
	if err != nil {
		return err
	}
	counts := map[string]int64{}
	var late, young []string
	note := func(name string, f finding) {
		line := name + ": " + f.what
		if f.young(now) {
			young = append(young, line)
		} else {
			late = append(late, line)
		}
	}

	if err := s.eachRow(ctx, "inventory", stockSQL, func(row pgx.CollectableRow) error {
		var sku string
		var free, held, sold, entered, onHand, booked, cartHeld, cartSum, orderHeld, orderSum, soldSum int64
		if err := row.Scan(&sku, &free, &held, &sold, &entered, &onHand, &booked, &cartHeld, &cartSum, &orderHeld, &orderSum, &soldSum); err != nil {
			return err
		}
		counts["SKUs"]++
		counts["units free"] += free
		counts["units held"] += held
		counts["units sold"] += sold
		// All of one SKU is changed in one transaction and read in one
		// statement: here nothing is on its way.
		if free+held+sold != entered {
			late = append(late, fmt.Sprintf("SKU %s: free %d + held %d + sold %d is not %d, what came in", sku, free, held, sold, entered))
		}
		if onHand != booked || cartHeld != cartSum || orderHeld != orderSum || sold != soldSum || free < 0 {
			late = append(late, fmt.Sprintf("SKU %s: counters do not fit: on hand %d/%d, carts %d/%d, orders %d/%d, sold %d/%d, free %d",
				sku, onHand, booked, cartHeld, cartSum, orderHeld, orderSum, sold, soldSum, free))
		}
		return nil
	}); err != nil {
		return err
	}

	orders, err := load(ctx, s, "orders", ordersSQL, func(o auditedOrder) uuid.UUID { return o.ID })
	if err != nil {
		return err
	}
	charges, err := load(ctx, s, "payments", chargesSQL, func(c auditedCharge) uuid.UUID { return c.OrderID })
	if err != nil {
		return err
	}
	holds, err := load(ctx, s, "inventory", holdsSQL, func(h auditedHold) uuid.UUID { return h.OrderID })
	if err != nil {
		return err
	}
	ids := map[uuid.UUID]bool{}
	for id, o := range orders {
		ids[id] = true
		counts["orders "+o.Status]++
	}
	for id, c := range charges {
		ids[id] = true
		counts["charges "+c.State]++
		counts["minor units captured"] += c.Captured
		counts["refunds failed"] += c.Failed
		counts["minor units refunded"] += c.Refunded
	}
	for id, h := range holds {
		ids[id] = true
		counts["order holds "+h.State]++
	}
	for id := range ids {
		for _, f := range judge(orders[id], charges[id], holds[id], patience, now) {
			note("order "+id.String(), f)
		}
	}

	for _, app := range []string{"auth", "users", "products", "inventory", "orders", "payments", "mail"} {
		if err := s.eachRow(ctx, app, `SELECT id::text, topic, created_at FROM outbox WHERE sent_at IS NULL`, func(row pgx.CollectableRow) error {
			var id, topic string
			var at time.Time
			if err := row.Scan(&id, &topic, &at); err != nil {
				return err
			}
			counts["events unsent"]++
			note(app+" "+topic+" "+id, finding{"not published", at, 0})
			return nil
		}); err != nil {
			return err
		}
		if err := s.eachRow(ctx, app, `SELECT event_id, topic, error, died_at FROM dead_letters`, func(row pgx.CollectableRow) error {
			var id, topic, why string
			var at time.Time
			if err := row.Scan(&id, &topic, &why, &at); err != nil {
				return err
			}
			counts["dead letters"]++
			late = append(late, fmt.Sprintf("%s %s %s: dead letter: %s", app, topic, id, why))
			return nil
		}); err != nil {
			return err
		}
		if err := s.eachRow(ctx, app, `SELECT name, error, tries, first_at FROM feed_failures`, func(row pgx.CollectableRow) error {
			var name, why string
			var n int
			var at time.Time
			if err := row.Scan(&name, &why, &n, &at); err != nil {
				return err
			}
			counts["pulled items that failed"]++
			note(app+" "+name, finding{fmt.Sprintf("cannot be applied, %d tries: %s", n, why), at, 0})
			return nil
		}); err != nil {
			return err
		}
	}
	if err := s.eachRow(ctx, "inventory", limitsSQL, func(row pgx.CollectableRow) error {
		var shopper, sku string
		var has, most int64
		if err := row.Scan(&shopper, &sku, &has, &most); err != nil {
			return err
		}
		late = append(late, fmt.Sprintf("%s has %d of SKU %s, of which a shopper may have %d (it counts too what was ordered before the limit)", shopper, has, sku, most))
		return nil
	}); err != nil {
		return err
	}
	if err := s.auditMails(ctx, patience, now, counts, note); err != nil {
		return err
	}

	for _, name := range sortedKeys(counts) {
		fmt.Fprintf(w, "%12d  %s\n", counts[name], name)
	}
	fmt.Fprintf(w, "%12d  in flight (young enough to end by itself)\n%12d  violations\n", len(young), len(late))
	slices.Sort(young)
	for _, line := range young {
		fmt.Fprintln(w, "in flight:", line)
	}
	slices.Sort(late)
	for _, line := range late {
		fmt.Fprintln(w, "VIOLATION:", line)
	}
	if len(late) > 0 {
		return fmt.Errorf("audit: %d violations", len(late))
	}
	return nil
}

// A mail that an order or a refund has to have, and one as the log has it.
type (
	dueMail struct {
		About string
		Since time.Time
	}
	auditedMail struct {
		About     string
		Status    string
		CutOff    int
		CreatedAt time.Time
	}
)

// auditMails checks that everybody was told, and not again and again.
func (s *stack) auditMails(ctx context.Context, p patience, now time.Time, counts map[string]int64, note func(string, finding)) error {
	logged := map[string]bool{}
	if err := s.eachRow(ctx, "mail", mailsSQL, func(row pgx.CollectableRow) error {
		m, err := pgx.RowToStructByName[auditedMail](row)
		if err != nil {
			return err
		}
		logged[m.About] = true
		counts["mails "+m.Status]++
		if m.Status == "queued" {
			note("mail "+m.About, finding{"is not sent", m.CreatedAt, p.mail})
		}
		if m.CutOff > 1 {
			note("mail "+m.About, finding{fmt.Sprintf("%d tries were cut off: it may have come more than twice", m.CutOff), m.CreatedAt, 0})
		}
		return nil
	}); err != nil {
		return err
	}
	from := now.Add(-mailsTold).UTC().Format(time.RFC3339)
	for app, sql := range map[string]string{"orders": toldSQL, "payments": refundsToldSQL} {
		if err := s.eachRow(ctx, app, strings.ReplaceAll(sql, "$from", "'"+from+"'"), func(row pgx.CollectableRow) error {
			m, err := pgx.RowToStructByName[dueMail](row)
			if err != nil {
				return err
			}
			if !logged[m.About] {
				note("mail "+m.About, finding{"was never written", m.Since, p.mail})
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

const stockSQL = `
	SELECT s.sku, s.on_hand - s.cart_held - s.order_held, s.cart_held + s.order_held, s.sold,
	       COALESCE(l.entered, 0)::bigint, s.on_hand, COALESCE(l.booked, 0)::bigint,
	       s.cart_held, COALESCE(c.held, 0)::bigint, s.order_held, COALESCE(o.held, 0)::bigint, COALESCE(o.sold, 0)::bigint
	FROM stock s
	LEFT JOIN (SELECT sku, sum(delta) AS booked, sum(delta) FILTER (WHERE kind NOT IN ('sale', 'return')) AS entered
	           FROM ledger GROUP BY sku) l USING (sku)
	LEFT JOIN (SELECT sku, sum(quantity) AS held FROM cart_holds GROUP BY sku) c USING (sku)
	LEFT JOIN (SELECT sku, sum(quantity) FILTER (WHERE state = 'held') AS held, sum(quantity) FILTER (WHERE state = 'sold') AS sold
	           FROM order_hold_lines JOIN order_holds USING (order_id) GROUP BY sku) o USING (sku)`

// What each shopper has where there is a limit: in the cart, in orders that
// are pending, and in those that are paid. Guests have their cart alone.
const limitsSQL = `
	SELECT shopper, sku, sum(quantity)::bigint, s.max_per_shopper::bigint
	FROM (SELECT shopper, sku, quantity FROM cart_holds WHERE expires_at > now()
	      UNION ALL
	      SELECT shopper, sku, quantity FROM order_holds JOIN order_hold_lines USING (order_id)
	      WHERE state IN ('held', 'sold') AND shopper LIKE 'account:%') had
	JOIN stock s USING (sku)
	WHERE s.max_per_shopper IS NOT NULL
	GROUP BY shopper, sku, s.max_per_shopper
	HAVING sum(quantity) > s.max_per_shopper`

const mailsSQL = `SELECT COALESCE(about, id::text) AS about, status, cut_off, created_at FROM mails`

// Who has read that an order is cancelled need not read that it was confirmed,
// and so with delivered and shipped. Of a declined card no mail tells.
const toldSQL = `
	SELECT 'order:' || o.id || ':order-' || h.status AS about, h.at AS since
	FROM order_history h JOIN orders o ON o.id = h.order_id
	WHERE h.at > $from AND h.status <> 'pending' AND o.cancel_reason IS DISTINCT FROM 'payment-declined'
	  AND NOT (h.status = 'confirmed' AND o.status = 'cancelled') AND NOT (h.status = 'shipped' AND o.status = 'delivered')`

const refundsToldSQL = `SELECT 'refund:' || id AS about, ended_at AS since FROM refunds WHERE state = 'done' AND ended_at > $from`

const ordersSQL = `SELECT id, status, payment_status AS payment, currency, total, refunded, updated_at, placed_sent_at AS sent_at FROM orders`

const holdsSQL = `SELECT order_id, state, changed_at FROM order_holds`

var chargesSQL = `
	SELECT c.order_id, c.state, c.captured_amount AS captured, c.captured_currency AS currency, COALESCE(r.done, 0)::bigint AS refunded,
	       COALESCE(r.asked, 0)::bigint AS asked, COALESCE(r.failed, 0) AS failed,
	       COALESCE(b.taken, 0)::bigint AS booked, COALESCE(g.given, 0)::bigint AS given,
	       c.provider IN ('', 'sandbox') AND c.created_at > now() - interval '` + strconv.Itoa(int(booksKept.Hours())) + ` hours' AS has_books,
	       GREATEST(c.updated_at, r.last) AS updated_at
	FROM charges c
	LEFT JOIN (SELECT order_id, sum(amount) FILTER (WHERE state = 'done') AS done, sum(amount) FILTER (WHERE state = 'requested') AS asked,
	                  count(*) FILTER (WHERE state = 'failed') AS failed, max(COALESCE(ended_at, created_at)) AS last
	           FROM refunds GROUP BY order_id) r USING (order_id)
	LEFT JOIN (SELECT key, taken FROM sandbox_charges WHERE status = 'succeeded' AND settles_at <= now()) b ON b.key = c.order_id::text
	LEFT JOIN (SELECT charge_key, sum(amount) AS given FROM sandbox_refunds GROUP BY charge_key) g ON g.charge_key = c.order_id::text`

// load reads a table of one service by id.
func load[T any](ctx context.Context, s *stack, app, sql string, id func(T) uuid.UUID) (map[uuid.UUID]*T, error) {
	found := map[uuid.UUID]*T{}
	err := s.eachRow(ctx, app, sql, func(row pgx.CollectableRow) error {
		v, err := pgx.RowToAddrOfStructByName[T](row)
		if err == nil {
			found[id(*v)] = v
		}
		return err
	})
	return found, err
}

// eachRow reads a service's database as the superuser, who alone may read all
// of them.
func (s *stack) eachRow(ctx context.Context, app, sql string, fn func(pgx.CollectableRow) error) error {
	u, err := url.Parse(s.settings.get("POSTGRES_SUPERUSER_URL"))
	if err != nil {
		return err
	}
	u.Path = "/" + app
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return fmt.Errorf("audit needs the shop's database, which `make up` starts: %w", err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return fmt.Errorf("audit %s: %w", app, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return fmt.Errorf("audit %s: %w", app, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("audit %s: %s: %w", app, strings.Join(strings.Fields(sql), " "), err)
	}
	return nil
}
