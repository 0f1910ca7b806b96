package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// inFlight is how long services may disagree while an event is on its way.
const inFlight = time.Minute

// The end of an order that nobody decides: its deadline (orders' default, from
// when order.placed was first sent), and the void after it.
const orderDeadline = 10*time.Minute + inFlight

// unplacedHold is how long units may be held for an order that was never
// placed: inventory asks after two minutes and every so often again.
const unplacedHold = 4 * time.Minute

// finding is one thing that does not add up. Since is when it last changed: a
// young one may be on its way.
type finding struct {
	what  string
	since time.Time
}

// What the services' databases say about one order; nil where they say
// nothing.
type auditedOrder struct {
	ID        uuid.UUID
	Status    string
	Total     int64
	Refunded  int64
	UpdatedAt time.Time
	SentAt    *time.Time // order.placed was first sent
}

type auditedCharge struct {
	OrderID   uuid.UUID
	State     string
	Amount    int64
	Captured  bool
	Refunded  int64 // sum of the refunds that are done
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

// judge holds an order against its charge and its hold, as design.md defines.
func judge(o *auditedOrder, c *auditedCharge, h *auditedHold, now time.Time) []finding {
	var found []finding
	add := func(since time.Time, format string, a ...any) {
		found = append(found, finding{fmt.Sprintf(format, a...), since})
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
		if c.Captured {
			captured = c.Amount
		}
		refunded = c.Refunded
		if c.HasBooks && (c.Booked != captured || c.Given != refunded) {
			add(since, "payments says captured %d, refunded %d; the provider's books say %d and %d", captured, refunded, c.Booked, c.Given)
		}
		if refunded > captured {
			add(since, "refunded %d of %d captured", refunded, captured)
		}
	}
	hold := "none"
	if h != nil {
		hold = h.State
	}
	if o == nil {
		if captured != refunded {
			add(since, "no such order, captured %d, refunded %d", captured, refunded)
		}
		if hold == "sold" || (hold == "held" && now.Sub(since) > unplacedHold) {
			add(since, "no such order, hold %s", hold)
		}
		return found
	}
	switch o.Status {
	case "pending":
		if hold != "held" {
			add(since, "pending, hold %s", hold)
		}
		if o.SentAt != nil && now.Sub(*o.SentAt) > orderDeadline {
			add(*o.SentAt, "pending past its deadline")
		}
	case "cancelled":
		if captured != refunded {
			add(since, "cancelled, captured %d, refunded %d", captured, refunded)
		}
		if hold == "held" || hold == "sold" {
			add(since, "cancelled, hold %s", hold)
		}
	default: // confirmed, shipped, delivered
		if captured != o.Total {
			add(since, "%s, total %d, captured %d", o.Status, o.Total, captured)
		}
		if hold != "sold" {
			add(since, "%s, hold %s", o.Status, hold)
		}
	}
	if o.Refunded != refunded {
		add(since, "orders says refunded %d, payments %d", o.Refunded, refunded)
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
	counts := map[string]int64{}
	var late, young []string
	note := func(name string, f finding) {
		line := name + ": " + f.what
		if now.Sub(f.since) < inFlight {
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
		if c.Captured {
			counts["minor units captured"] += c.Amount
		}
		counts["minor units refunded"] += c.Refunded
	}
	for id, h := range holds {
		ids[id] = true
		counts["order holds "+h.State]++
	}
	for id := range ids {
		for _, f := range judge(orders[id], charges[id], holds[id], now) {
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
			note(app+" "+topic+" "+id, finding{"not published", at})
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
	}

	for _, name := range sortedKeys(counts) {
		fmt.Fprintf(w, "%12d  %s\n", counts[name], name)
	}
	fmt.Fprintf(w, "%12d  in flight (younger than a minute)\n%12d  violations\n", len(young), len(late))
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

const ordersSQL = `SELECT id, status, total, refunded, updated_at, placed_sent_at AS sent_at FROM orders`

const holdsSQL = `SELECT order_id, state, changed_at FROM order_holds`

const chargesSQL = `
	SELECT c.order_id, c.state, c.amount, c.captured_at IS NOT NULL AS captured, COALESCE(r.done, 0)::bigint AS refunded,
	       COALESCE(b.amount, 0)::bigint AS booked, COALESCE(g.given, 0)::bigint AS given, c.provider IN ('', 'sandbox') AS has_books,
	       GREATEST(c.updated_at, r.last) AS updated_at
	FROM charges c
	LEFT JOIN (SELECT order_id, sum(amount) FILTER (WHERE state = 'done') AS done, max(COALESCE(ended_at, created_at)) AS last
	           FROM refunds GROUP BY order_id) r USING (order_id)
	LEFT JOIN (SELECT key, amount FROM sandbox_charges WHERE status = 'succeeded' AND settles_at <= now()) b ON b.key = c.order_id::text
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
