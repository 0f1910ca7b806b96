// Command audit reads the databases of all services and checks that stock,
// money, orders and mails add up. It prints what it counted and each thing
// that does not, and exits 1 when one has not for longer than it may take to
// end by itself.
//
// It is told everything by its environment: the databases by <SERVICE>_DATABASE_URL,
// and the deadlines by the services' own settings. It writes nothing, needs
// nothing else of the shop, and can run wherever the databases can be reached.
//
// What must add up is in judge.go, which does no I/O; the SQL is in store.go.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, settings.Environment(), time.Now(), os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "\nerror: %v\n", err)
		os.Exit(1)
	}
}

// waits are the settings of the services that tell how long something may
// take, with the services' names and defaults.
type waits struct {
	OrderDeadline       time.Duration `env:"ORDER_DEADLINE" envDefault:"10m" doc:"From when order.placed was first sent until orders gives a pending order up"`
	OrdersPullBehind    time.Duration `env:"ORDERS_PULL_BEHIND" envDefault:"10m" doc:"How long events of payments get to reach orders"`
	InventoryAskAfter   time.Duration `env:"INVENTORY_ASK_AFTER" envDefault:"2m" doc:"The age at which inventory asks about a hold that has no order"`
	InventoryPullBehind time.Duration `env:"INVENTORY_PULL_BEHIND" envDefault:"2m" doc:"How long events of orders get to reach inventory"`
	PaymentsPullBehind  time.Duration `env:"PAYMENTS_PULL_BEHIND" envDefault:"10m" doc:"How long order.cancelled gets to reach payments"`
	MailPullBehind      time.Duration `env:"MAIL_PULL_BEHIND" envDefault:"10m" doc:"How long events of orders and payments get to reach mail"`
}

func (w waits) deadlines() deadlines {
	// What a service pulls, it pulls so far behind and so often; then the event
	// that comes of it is on its way.
	pulled := func(behind time.Duration) time.Duration { return behind + feed.Every(behind) + inFlight }
	return deadlines{
		pending:   w.OrderDeadline + inFlight,
		unplaced:  2 * w.InventoryAskAfter,
		inventory: pulled(w.InventoryPullBehind),
		payments:  pulled(w.PaymentsPullBehind),
		orders:    pulled(w.OrdersPullBehind),
		mail:      pulled(w.MailPullBehind),
	}
}

const suffix = "_DATABASE_URL"

// variable is the setting with a service's database.
func variable(service string) string {
	return strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + suffix
}

// databaseURLs are the databases that an environment names, by service.
func databaseURLs(environ map[string]string) map[string]string {
	urls := map[string]string{}
	for key, value := range environ {
		if name, ok := strings.CutSuffix(key, suffix); ok && value != "" {
			urls[strings.ToLower(strings.ReplaceAll(name, "_", "-"))] = value
		}
	}
	return urls
}

// run does one audit as the environment says and prints it. The error tells
// how many violations there are, or what kept it from looking.
func run(ctx context.Context, environ map[string]string, now time.Time, w io.Writer) (err error) {
	set, err := settings.Read[waits](environ, "")
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	dbs, err := open(ctx, databaseURLs(environ))
	defer func() { err = errors.Join(err, dbs.close(context.WithoutCancel(ctx))) }()
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	r, err := audit(ctx, dbs, set.deadlines(), now)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	r.print(w)
	if n := len(r.late); n > 0 {
		return fmt.Errorf("audit: %d violations", n)
	}
	return nil
}

// audit reads everything once and judges it as of now.
func audit(ctx context.Context, dbs databases, d deadlines, now time.Time) (*report, error) {
	r := newReport(now)
	for _, part := range []func(context.Context, databases, deadlines, *report) error{
		auditStock, auditLots, auditDrops, auditOrders, auditEvents, auditLimits, auditMails,
	} {
		if err := part(ctx, dbs, d, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func auditStock(ctx context.Context, dbs databases, _ deadlines, r *report) error {
	return each(ctx, dbs, "inventory", stockSQL, nil, func(s stock) error {
		r.counts["SKUs"]++
		r.counts["units free"] += s.Free
		r.counts["units held"] += s.Held
		r.counts["units sold"] += s.Sold
		r.add("SKU "+s.SKU, judgeStock(s)...)
		return nil
	})
}

func auditLots(ctx context.Context, dbs databases, _ deadlines, r *report) error {
	return each(ctx, dbs, "inventory", lotsSQL, nil, func(l lot) error {
		if l.Open {
			r.counts["lots open"]++
		}
		r.counts["lots"]++
		r.add("drop "+l.Drop+", SKU "+l.SKU, judgeLot(l)...)
		return nil
	})
}

// auditOrders goes through orders, charges and holds side by side, by order id.
func auditOrders(ctx context.Context, dbs databases, d deadlines, r *report) error {
	orders := &pages[order]{dbs: dbs, service: "orders", sql: ordersSQL, id: func(o order) uuid.UUID { return o.ID }}
	charges := &pages[charge]{dbs: dbs, service: "payments", sql: chargesSQL, id: func(c charge) uuid.UUID { return c.OrderID },
		args: pgx.NamedArgs{"now": r.now, "books_from": r.now.Add(-booksKept)}}
	holds := &pages[hold]{dbs: dbs, service: "inventory", sql: holdsSQL, id: func(h hold) uuid.UUID { return h.OrderID }}
	for {
		var next *uuid.UUID
		for _, peek := range []func(context.Context) (uuid.UUID, bool, error){orders.peek, charges.peek, holds.peek} {
			id, ok, err := peek(ctx)
			if err != nil {
				return err
			}
			if ok && (next == nil || bytes.Compare(id[:], next[:]) < 0) {
				next = &id
			}
		}
		if next == nil {
			return nil
		}
		o, c, h := orders.take(*next), charges.take(*next), holds.take(*next)
		if o != nil {
			r.counts["orders "+o.Status]++
		}
		if c != nil {
			r.counts["charges "+c.State]++
			r.counts["minor units captured"] += c.Captured
			r.counts["minor units refunded"] += c.Refunded
			r.counts["refunds failed"] += c.Failed
		}
		if h != nil {
			r.counts["order holds "+h.State]++
		}
		r.add("order "+next.String(), judgeOrder(o, c, h, d, r.now)...)
	}
}

// auditEvents looks in every service for what was not published, not handled
// or, pulled, not applied.
func auditEvents(ctx context.Context, dbs databases, _ deadlines, r *report) error {
	type unsent struct {
		ID, Topic string
		Since     time.Time
	}
	type deadLetter struct{ ID, Topic, Error string }
	for service := range dbs {
		err := errors.Join(
			each(ctx, dbs, service, unsentSQL, nil, func(e unsent) error {
				r.counts["events unsent"]++
				r.add(service+" "+e.Topic+" "+e.ID, finding{"not published", e.Since, 0})
				return nil
			}),
			each(ctx, dbs, service, deadLettersSQL, nil, func(e deadLetter) error {
				r.counts["dead letters"]++
				r.add(service+" "+e.Topic+" "+e.ID, finding{what: "dead letter: " + e.Error})
				return nil
			}),
			each(ctx, dbs, service, failedItemsSQL, nil, func(f failedItem) error {
				r.counts["pulled items that failed"]++
				r.add(service+" "+f.Name, f.judge())
				return nil
			}),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func auditLimits(ctx context.Context, dbs databases, _ deadlines, r *report) error {
	for _, sql := range []string{limitsSQL, lotLimitsSQL} {
		err := each(ctx, dbs, "inventory", sql, pgx.NamedArgs{"now": r.now}, func(o overLimit) error {
			r.add("", o.judge())
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// auditMails checks that everybody was told, and not again and again.
func auditMails(ctx context.Context, dbs databases, d deadlines, r *report) error {
	type count struct {
		Status string
		Count  int64
	}
	if err := each(ctx, dbs, "mail", mailCountsSQL, nil, func(c count) error {
		r.counts["mails "+c.Status] = c.Count
		return nil
	}); err != nil {
		return err
	}
	if err := each(ctx, dbs, "mail", mailsSQL, nil, func(m mail) error {
		r.add("mail "+m.About, judgeMail(m, d)...)
		return nil
	}); err != nil {
		return err
	}
	for service, sql := range map[string]string{"orders": dueMailsOfOrdersSQL, "payments": dueMailsOfRefundsSQL} {
		var due []dueMail
		look := func() error {
			about, orders := make([]string, 0, len(due)), make([]uuid.UUID, 0, len(due))
			for _, m := range due {
				about, orders = append(about, m.About), append(orders, m.OrderID)
			}
			logged, err := known[string](ctx, dbs, "mail", loggedSQL, pgx.NamedArgs{"about": about})
			if err != nil {
				return err
			}
			forgotten, err := known[uuid.UUID](ctx, dbs, "mail", mailForgotSQL, pgx.NamedArgs{"orders": orders})
			if err != nil {
				return err
			}
			for _, m := range due {
				if !forgotten[m.OrderID] {
					r.add("mail "+m.About, judgeDueMail(m, logged[m.About], d)...)
				}
			}
			due = due[:0]
			return nil
		}
		err := each(ctx, dbs, service, sql, pgx.NamedArgs{"from": r.now.Add(-mailsTold)}, func(m dueMail) error {
			if due = append(due, m); len(due) < batch {
				return nil
			}
			return look()
		})
		if err == nil {
			err = look()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
