package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/settings"
)

// TestDeadlines: the audit waits as long as the services of this shop do.
func TestDeadlines(t *testing.T) {
	t.Parallel()
	parse := func(environ map[string]string) (deadlines, error) {
		set, err := settings.Read[waits](environ, "")
		return set.deadlines(), err
	}
	d, err := parse(map[string]string{"ORDER_DEADLINE": ""})
	require.NoError(t, err)
	require.Equal(t, ordinary, d)

	d, err = parse(map[string]string{"ORDER_DEADLINE": "45s", "ORDERS_PULL_BEHIND": "10s", "INVENTORY_ASK_AFTER": "10s",
		"INVENTORY_PULL_BEHIND": "10s", "PAYMENTS_PULL_BEHIND": "10s", "MAIL_PULL_BEHIND": "10s"})
	require.NoError(t, err)
	require.Equal(t, deadlines{
		pending: 105 * time.Second, unplaced: 20 * time.Second,
		inventory: 75 * time.Second, payments: 75 * time.Second, orders: 75 * time.Second, mail: 75 * time.Second,
	}, d)

	_, err = parse(map[string]string{"ORDER_DEADLINE": "soon"})
	require.ErrorContains(t, err, "ORDER_DEADLINE")
}

// TestDefaults: they are the services' own.
func TestDefaults(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../apps/*/main.go")
	require.NoError(t, err)
	var sources strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		sources.Write(text)
	}
	for _, s := range settings.Describe[waits](nil, "") {
		require.Contains(t, sources.String(), fmt.Sprintf("`env:%q envDefault:%q ", s.Name, s.Default), "a service declares it so")
	}
}

func TestDatabaseURLs(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]string{"orders": "a", "gift-cards": "b"}, databaseURLs(map[string]string{
		"ORDERS_DATABASE_URL": "a", "GIFT_CARDS_DATABASE_URL": "b", "MAIL_DATABASE_URL": "", "DATABASE_URL": "c", "POSTGRES_SUPERUSER_URL": "d",
	}))
}

// shop is the databases of services, migrated and empty.
type shop struct {
	t       *testing.T
	environ map[string]string
}

// newShop makes the databases of these services; without any, of all that have
// migrations.
func newShop(t *testing.T, services ...string) shop {
	t.Helper()
	s := shop{t: t, environ: map[string]string{}}
	if len(services) == 0 {
		found, err := filepath.Glob("../apps/*/migrations")
		require.NoError(t, err)
		require.NotEmpty(t, found)
		for _, dir := range found {
			services = append(services, filepath.Base(filepath.Dir(dir)))
		}
	}
	for _, service := range services {
		s.environ[variable(service)] = pgtest.URL(t, os.DirFS(filepath.Join("../apps", service)))
	}
	return s
}

// write runs statements, with semicolons between, in a service's database.
func (s shop) write(service, sql string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.environ[variable(service)])
	require.NoError(s.t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(s.t.Context(), sql)
	require.NoError(s.t, err)
}

func (s shop) audit() (string, error) {
	s.t.Helper()
	var out strings.Builder
	err := run(s.t.Context(), s.environ, time.Now(), &out)
	return out.String(), err
}

func TestAuditOfAnEmptyShop(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	out, err := s.audit()
	require.NoError(t, err)
	require.Equal(t, "           0  in flight (young enough to end by itself)\n           0  violations\n", out)

	delete(s.environ, "ORDERS_DATABASE_URL")
	_, err = s.audit()
	require.ErrorContains(t, err, "ORDERS_DATABASE_URL is not given")

	s.environ["ORDERS_DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/orders"
	_, err = s.audit()
	require.ErrorContains(t, err, "ORDERS_DATABASE_URL: ")
}

// TestAuditReads: each statement, on tables as the migrations make them, in a
// shop in which one thing of each kind is wrong.
func TestAuditReads(t *testing.T) {
	t.Parallel()
	s := newShop(t, "orders", "payments", "inventory", "mail", "users", "drops")
	s.environ["KEYCLOAK_DATABASE_URL"] = withoutTables(t, s.environ["USERS_DATABASE_URL"])
	id := func(n int) string { return fmt.Sprintf("01900000-0000-7000-8000-%012d", n) }

	// 1: all is well. 2: cancelled, its money is kept. 3: confirmed, not sold, and its mail is missing. 4: a minute too young.
	place := func(n int, status, payment string, refunded int, at string) string {
		reason := "NULL"
		if status == "cancelled" {
			reason = "'by-customer'"
		}
		return fmt.Sprintf(`INSERT INTO order_ids (id, fate, decided_at) VALUES ('%[1]s', 'placed', now());
			INSERT INTO orders (id, number, account_id, email, first_name, checkout_id, status, version, cancel_reason, currency, subtotal, discount, tax,
				shipping, total, address, payment_method, payment_status, refunded, created_at, updated_at, placed_sent_at, placed_put_at)
			VALUES ('%[1]s', '%[2]d', '%[1]s', 'a@b.test', 'A', '%[1]s', '%[3]s', 2, %[4]s, 'GBP', 100, 0, 0, 0, 100, '{}', 'pm', '%[5]s', %[6]d,
				%[7]s, %[7]s, %[7]s, %[7]s);
			INSERT INTO order_history (order_id, version, status, at) VALUES ('%[1]s', 1, 'pending', %[7]s), ('%[1]s', 2, '%[3]s', %[7]s);`,
			id(n), n, status, reason, payment, refunded, at)
	}
	const old = "now() - interval '1 hour'"
	s.write("orders", place(1, "confirmed", "partially_refunded", 30, old)+place(2, "cancelled", "captured", 0, old)+
		place(3, "confirmed", "captured", 0, old)+place(4, "confirmed", "captured", 0, "now()"))
	for n := 1; n <= 4; n++ {
		s.write("payments", fmt.Sprintf(`
			INSERT INTO charges (order_id, amount, currency, captured_amount, captured_currency, provider, state, next_try_at, captured_at, created_at, updated_at)
			VALUES ('%[1]s', 100, 'GBP', 100, 'GBP', 'sandbox', 'captured', %[2]s, %[2]s, %[2]s, %[2]s);
			INSERT INTO sandbox_charges (key, ref, amount, currency, method, status, settles_at, created_at, taken, taken_currency)
			VALUES ('%[1]s', '%[1]s', 100, 'GBP', 'pm', 'succeeded', %[2]s, %[2]s, 100, 'GBP')`, id(n), old))
	}
	s.write("payments", fmt.Sprintf(`
		INSERT INTO refunds (id, order_id, amount, reason, state, next_try_at, created_at, ended_at, origin, key)
		VALUES ('%[2]s', '%[1]s', 30, '', 'done', %[3]s, %[3]s, %[3]s, 'staff', 'k');
		INSERT INTO sandbox_refunds (key, ref, charge_key, amount, created_at) VALUES ('k', 'k', '%[1]s', 30, %[3]s)`, id(1), id(11), old))
	s.write("inventory", fmt.Sprintf(`
		INSERT INTO stock (sku, on_hand, cart_held, order_held, sold, max_per_shopper) VALUES ('A', 6, 3, 1, 2, 2), ('B', 5, 0, 0, 0, NULL);
		INSERT INTO ledger (sku, number, kind, delta, before, after, reason, ref, at)
		VALUES ('A', 1, 'initial', 8, 0, 8, '', '', %[1]s), ('A', 2, 'sale', -2, 8, 6, '', '', %[1]s), ('B', 1, 'initial', 4, 0, 4, '', '', %[1]s);
		INSERT INTO cart_holds (shopper, sku, quantity, expires_at) VALUES ('guest:g', 'A', 3, now() + interval '1 hour');
		INSERT INTO order_holds (order_id, shopper, state, release_reason, held_at, changed_at) VALUES ('%[2]s', 'account:a', 'sold', NULL, %[1]s, %[1]s),
			('%[3]s', 'account:a', 'released', 'cancelled', %[1]s, %[1]s), ('%[4]s', 'account:a', 'held', NULL, %[1]s, %[1]s),
			('%[5]s', 'account:a', 'sold', NULL, %[1]s, %[1]s), ('%[6]s', 'account:b', 'held', NULL, %[1]s, %[1]s);
		INSERT INTO order_hold_lines (order_id, sku, quantity) VALUES ('%[2]s', 'A', 1), ('%[4]s', 'A', 1), ('%[5]s', 'A', 1)`,
		old, id(1), id(2), id(3), id(4), id(5)))
	s.write("users", `
		INSERT INTO outbox (id, topic, data, created_at) VALUES ('`+id(21)+`', 'account.seen.v1', '{}', now() - interval '1 hour');
		INSERT INTO dead_letters (event_id, topic, event, error, tries) VALUES ('e', 'account.registered.v1', '', 'no', 15);
		INSERT INTO feed_failures (name, item, item_hash, error, tries, first_at, next_try_at) VALUES ('accounts', '{}', '', 'why', 7, now() - interval '1 hour', now())`)
	mailed := func(n int, about, status, cutOff string) string {
		return fmt.Sprintf(`INSERT INTO mails (id, kind, about, topic, sender, recipient, subject, data, status, cut_off, next_try_at, created_at)
			VALUES ('%s', 'order', '%s', '', '', '', '', '{}', '%s', %s, now(), %s);`, id(n), about, status, cutOff, old)
	}
	s.write("mail", mailed(31, "order:"+id(1)+":order-confirmed", "sent", "2")+mailed(32, "order:"+id(2)+":order-cancelled", "queued", "0")+
		mailed(33, "refund:"+id(11), "sent", "0"))

	out, err := s.audit()
	require.EqualError(t, err, "audit: 13 violations")
	require.Equal(t, strings.Join([]string{
		"           2  SKUs",
		"           4  charges captured",
		"           1  dead letters",
		"           1  events unsent",
		"           1  mails queued",
		"           2  mails sent",
		"         400  minor units captured",
		"          30  minor units refunded",
		"           2  order holds held",
		"           1  order holds released",
		"           2  order holds sold",
		"           1  orders cancelled",
		"           3  orders confirmed",
		"           1  pulled items that failed",
		"           0  refunds failed",
	}, "\n"), strings.Join(countLines(out, "charges", "dead", "events", "mails", "minor", "order", "pulled", "refunds", "SKUs"), "\n"))
	require.Equal(t, []string{
		"in flight: mail order:" + id(4) + ":order-confirmed: was never written",
	}, linesWith(out, "in flight: "))
	require.Equal(t, []string{
		"VIOLATION: SKU B: counters do not fit: on hand 5/4, carts 0/0, orders 0/0, sold 0/0, free 5",
		"VIOLATION: SKU B: free 5 + held 0 + sold 0 is not 4, what came in",
		"VIOLATION: account:a has 3 of SKU A, of which a shopper may have 2 (it counts too what was ordered before the limit)",
		"VIOLATION: guest:g has 3 of SKU A, of which a shopper may have 2 (it counts too what was ordered before the limit)",
		"VIOLATION: mail order:" + id(1) + ":order-confirmed: 2 tries were cut off: it may have come more than twice",
		"VIOLATION: mail order:" + id(2) + ":order-cancelled: is not sent",
		"VIOLATION: mail order:" + id(3) + ":order-confirmed: was never written",
		"VIOLATION: order " + id(2) + ": cancelled, captured 100, refunded 0",
		"VIOLATION: order " + id(3) + ": confirmed, hold held",
		"VIOLATION: order " + id(5) + ": no such order, hold held",
		"VIOLATION: users account.registered.v1 e: dead letter: no",
		"VIOLATION: users account.seen.v1 " + id(21) + ": not published",
		"VIOLATION: users accounts: cannot be applied, 7 tries: why",
	}, linesWith(out, "VIOLATION: "))
}

// TestAuditOfLots: each statement about lots, where all is well and where one thing of each kind is wrong.
func TestAuditOfLots(t *testing.T) {
	t.Parallel()
	s := newShop(t, "orders", "payments", "inventory", "mail", "drops")
	id := func(n int) string { return fmt.Sprintf("01900000-0000-7000-8000-%012d", n) }
	const old = "now() - interval '1 hour'"
	order := func(n int, shopper, state, sku, quantity, lot string) string {
		s.write("orders", fmt.Sprintf(`INSERT INTO order_ids (id, fate, decided_at) VALUES ('%[1]s', 'placed', now());
			INSERT INTO orders (id, number, account_id, email, first_name, checkout_id, status, version, currency, subtotal, discount, tax,
				shipping, total, address, payment_method, payment_status, created_at, updated_at, placed_put_at)
			VALUES ('%[1]s', '%[1]s', '%[1]s', '', '', '%[1]s', CASE '%[2]s' WHEN 'sold' THEN 'confirmed' ELSE 'pending' END,
				2, 'GBP', 0, 0, 0, 0, 0, '{}', 'pm', 'captured', %[3]s, %[3]s, %[3]s)`, id(n), state, old))
		return fmt.Sprintf(`
			INSERT INTO order_holds (order_id, shopper, state, held_at, changed_at) VALUES ('%[1]s', '%[2]s', '%[3]s', %[7]s, %[7]s);
			INSERT INTO order_hold_lines (order_id, sku, quantity, lot) VALUES ('%[1]s', '%[4]s', %[5]s, '%[6]s');`,
			id(n), shopper, state, sku, quantity, lot, old)
	}
	entered := func(sku string, delta, sold int) string {
		text := fmt.Sprintf(`INSERT INTO ledger (sku, number, kind, delta, before, after, reason, ref, at)
			VALUES ('%s', 1, 'initial', %d, 0, %[2]d, '', '', now());`, sku, delta)
		if sold > 0 {
			text += fmt.Sprintf(`INSERT INTO ledger (sku, number, kind, delta, before, after, reason, ref, at)
				VALUES ('%s', 2, 'sale', %d, %d, %d, '', '', now());`, sku, -sold, delta, delta-sold)
		}
		return text
	}
	// A is well: 10 set aside, 4 in carts and orders, 1 sold. B was a lot, and is one no more.
	s.write("inventory", fmt.Sprintf(`
		INSERT INTO stock (sku, on_hand, cart_held, order_held, sold, lot, lot_free, lot_held, lot_sold, lot_limit)
		VALUES ('A', 19, 4, 1, 1, '%[1]s', 5, 4, 1, 3);
		INSERT INTO stock (sku, on_hand, sold) VALUES ('B', 8, 2);
		INSERT INTO lots (drop, sku, units, most, opened_at, closed_at)
		VALUES ('%[1]s', 'A', 10, 3, now(), NULL), ('%[1]s', 'B', 4, 2, now(), now());
		INSERT INTO cart_holds (shopper, sku, quantity, expires_at, lot) VALUES ('account:a', 'A', 3, now() + interval '1 hour', '%[1]s'),
			('guest:g', 'A', 1, now() + interval '1 hour', NULL);`, id(1))+
		entered("A", 20, 1)+entered("B", 10, 2)+order(11, "account:b", "held", "A", "1", id(1))+
		order(12, "account:b", "sold", "A", "1", id(1))+order(13, "account:a", "sold", "B", "2", id(1)))
	out, err := s.audit()
	require.NoError(t, err, out)
	require.Equal(t, []string{"           2  lots", "           1  lots open"}, countLines(out, "lots"))

	// C: a claim is lost. D: a unit is. E: its row in lots says nothing. F: neither does its stock. B: sold too many, to one account.
	s.write("inventory", fmt.Sprintf(`
		INSERT INTO stock (sku, on_hand, cart_held, lot, lot_free, lot_held, lot_limit)
		VALUES ('C', 9, 2, '%[1]s', 3, 2, 1), ('D', 9, 0, '%[1]s', 3, 0, 1), ('E', 9, 0, '%[1]s', 3, 0, 1), ('F', 9, 0, NULL, 0, 0, NULL);
		INSERT INTO lots (drop, sku, units, most, opened_at)
		VALUES ('%[1]s', 'C', 5, 1, now()), ('%[1]s', 'D', 4, 1, now()), ('%[1]s', 'F', 4, 1, now());
		INSERT INTO cart_holds (shopper, sku, quantity, expires_at) VALUES ('account:a', 'C', 2, now() + interval '1 hour');
		UPDATE stock SET on_hand = 5, sold = 5, number = 2 WHERE sku = 'B';
		UPDATE ledger SET delta = -5, after = 5 WHERE sku = 'B' AND number = 2;`, id(2))+
		entered("C", 9, 0)+entered("D", 9, 0)+entered("E", 9, 0)+entered("F", 9, 0)+order(14, "account:a", "sold", "B", "3", id(1)))
	out, err = s.audit()
	require.EqualError(t, err, "audit: 6 violations", out)
	require.Equal(t, []string{
		"VIOLATION: account:a has 5 of SKU B in drop " + id(1) + ", of which an account may have 2",
		"VIOLATION: drop " + id(1) + ", SKU B: held 0 + sold 5 are more than 4, what was set aside",
		"VIOLATION: drop " + id(2) + ", SKU C: counters do not fit: held 2/0, sold 0/0, free 3",
		"VIOLATION: drop " + id(2) + ", SKU D: free 3 + held 0 + sold 0 is not 4, what was set aside",
		"VIOLATION: drop " + id(2) + ", SKU E: its lot and its stock do not agree whether it is open",
		"VIOLATION: drop " + id(2) + ", SKU F: its lot and its stock do not agree whether it is open",
	}, linesWith(out, "VIOLATION: "))
}

// TestForgottenMails: of orders whose buyers are gone no mail is missed once mail has forgotten them, and until then it is.
func TestForgottenMails(t *testing.T) {
	t.Parallel()
	s := newShop(t, "orders", "payments", "inventory", "mail", "drops")
	const id = "01900000-0000-7000-8000-000000000001"
	s.write("orders", `
		INSERT INTO order_ids (id, fate, decided_at) VALUES ('`+id+`', 'placed', now());
		INSERT INTO orders (id, number, account_id, email, first_name, checkout_id, status, version, cancel_reason,
			currency, subtotal, discount, tax, shipping, total, address, payment_method, payment_status,
			created_at, updated_at, forgotten_at, placed_put_at)
		VALUES ('`+id+`', '1', '`+id+`', '', '', '`+id+`', 'cancelled', 2, 'by-customer',
			'GBP', 1, 0, 0, 0, 1, '{}', 'pm', 'refunded', now(), now(), now(), now());
		INSERT INTO order_history (order_id, version, status, at) VALUES ('`+id+`', 2, 'cancelled', now() - interval '1 hour')`)
	s.write("payments", `
		INSERT INTO charges (order_id, amount, currency, state, next_try_at, created_at, updated_at)
		VALUES ('`+id+`', 1, 'GBP', 'captured', now(), now(), now());
		INSERT INTO refunds (id, order_id, amount, reason, state, next_try_at, created_at, ended_at, origin, key)
		VALUES ('`+id+`', '`+id+`', 1, '', 'done', now(), now(), now() - interval '1 hour', 'staff', 'k')`)
	out, err := s.audit()
	require.Error(t, err)
	require.Len(t, linesWith(out, "VIOLATION: mail "), 2, out)
	s.write("mail", `INSERT INTO forgotten (id, again_at) VALUES ('`+id+`', now())`)
	out, err = s.audit()
	require.NoError(t, err, out)
}

// TestAuditInBatches: each order meets its own charge and hold, however many
// there are of the others and whichever service knows it.
func TestAuditInBatches(t *testing.T) {
	t.Parallel()
	s := newShop(t, "orders", "payments", "inventory", "mail", "drops")
	const orders = 2*batch + 500
	s.write("payments", fmt.Sprintf(`
		INSERT INTO charges (order_id, state, next_try_at, created_at, updated_at)
		SELECT ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'voided', now(), now(), now() - interval '1 hour' FROM generate_series(1, %d, 3) n`, orders))
	s.write("inventory", fmt.Sprintf(`
		INSERT INTO order_holds (order_id, state, release_reason, held_at, changed_at)
		SELECT ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, CASE n WHEN 2001 THEN 'sold' ELSE 'released' END,
		       CASE n WHEN 2001 THEN NULL ELSE 'void' END, now(), now() - interval '1 hour' FROM generate_series(1, %d) n`, orders))
	s.write("orders", fmt.Sprintf(`
		INSERT INTO order_ids (id, fate, decided_at) SELECT ('01900000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'placed', now() FROM generate_series(1, %[1]d, 2) n;
		INSERT INTO orders (id, number, account_id, email, first_name, checkout_id, status, version, cancel_reason, currency, subtotal, discount, tax,
			shipping, total, address, payment_method, payment_status, created_at, updated_at, placed_put_at)
		SELECT id, id::text, id, '', '', id, 'cancelled', 2, 'payment-declined', 'GBP', 1, 0, 0, 0, 1, '{}', 'pm', 'failed', now(), now() - interval '1 hour', now() FROM order_ids`, orders))
	out, err := s.audit()
	require.EqualError(t, err, "audit: 1 violations", out)
	require.Equal(t, []string{"VIOLATION: order 01900000-0000-7000-8000-000000002001: cancelled, hold sold"}, linesWith(out, "VIOLATION: "))
	require.Equal(t, fmt.Sprintf("%12d  orders cancelled", orders/2), linesWith(out, "orders cancelled")[0])
	require.Equal(t, fmt.Sprintf("%12d  order holds released", orders-1), linesWith(out, "order holds released")[0])
	require.Equal(t, fmt.Sprintf("%12d  charges voided", (orders+2)/3), linesWith(out, "charges voided")[0])
}

// TestPagesEnd: a last page that is full is followed by one more look.
func TestPagesEnd(t *testing.T) {
	t.Parallel()
	s := newShop(t, "inventory", "drops")
	s.write("inventory", fmt.Sprintf(`
		INSERT INTO order_holds (order_id, state, release_reason, held_at, changed_at)
		SELECT gen_random_uuid(), 'released', 'void', now(), now() FROM generate_series(1, %d) n`, batch))
	dbs, err := open(t.Context(), map[string]string{"inventory": s.environ["INVENTORY_DATABASE_URL"]})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dbs.close(context.Background())) })
	holds := &pages[hold]{dbs: dbs, service: "inventory", sql: holdsSQL, id: func(h hold) uuid.UUID { return h.OrderID }}
	n := 0
	for {
		id, ok, err := holds.peek(t.Context())
		require.NoError(t, err)
		if !ok {
			break
		}
		require.NotNil(t, holds.take(id))
		n++
	}
	require.Equal(t, batch, n)
}

// withoutTables makes an empty database beside another, such as Keycloak's is
// for this program.
func withoutTables(t *testing.T, beside string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(beside)
	require.NoError(t, err)
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	name := cfg.Database + "_other"
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		conn, err := pgx.ConnectConfig(context.Background(), cfg)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
	})
	return strings.Replace(beside, "/"+cfg.Database, "/"+name, 1)
}

func linesWith(text, part string) (lines []string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

// countLines are the lines with a count whose name begins as one of names.
func countLines(text string, names ...string) (lines []string) {
	for line := range strings.Lines(text) {
		for _, name := range names {
			if len(line) > 14 && strings.HasPrefix(line[14:], name) && !strings.Contains(line, ": ") {
				lines = append(lines, strings.TrimRight(line, "\n"))
				break
			}
		}
	}
	return lines
}
