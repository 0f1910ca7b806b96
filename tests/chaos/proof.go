package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/tests/shop"
)

// settled waits until every process is well, everything adds up and nothing is on its way. What it returns otherwise is
// why not.
func (m *market) settled(ctx context.Context) (took time.Duration, wrong []string) {
	begun := time.Now()
	for {
		if wrong = m.unsettled(context.WithoutCancel(ctx)); len(wrong) == 0 { // the last answer is a whole one too
			return time.Since(begun), nil
		}
		if !wait(ctx, 2*time.Second, 3*time.Second) {
			return time.Since(begun), wrong
		}
	}
}

func (m *market) unsettled(ctx context.Context) (wrong []string) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if out, err := m.Make(ctx, "status"); err != nil {
		wrong = append(wrong, fmt.Sprintf("make status: %s: %s", err, lines(out, "not well", "error", "down", "does not", "answers")))
	}
	if out, err := m.Make(ctx, "audit"); err != nil || strings.Contains(out, "\nin flight:") {
		wrong = append(wrong, fmt.Sprintf("make audit: %v:\n%s", err, lines(out, "VIOLATION", "in flight:", "error")))
	}
	return append(wrong, m.pending(ctx)...)
}

// pending is what is still to be done, though nothing is wrong with it yet.
func (m *market) pending(ctx context.Context) (wrong []string) {
	for _, q := range []struct{ database, what, sql string }{
		{"orders", "orders pending", `SELECT count(*) FROM orders WHERE status = 'pending'`},
		{"orders", "orders whose refund is pending", `SELECT count(*) FROM orders WHERE payment_status = 'refund_pending'`},
		{"payments", "refunds to be made", `SELECT count(*) FROM refunds WHERE state = 'requested'`},
		{"payments", "charges under way", `SELECT count(*) FROM charges WHERE state IN ('requested', 'attempted', 'unknown')`},
		{"mail", "mails to be sent", `SELECT count(*) FROM mails WHERE status = 'queued'`},
		{"inventory", "cart holds", `SELECT count(*) FROM cart_holds`},
		{"drops", "drops that go on", `
			SELECT count(*) FROM drops WHERE state NOT IN ('draft', 'sold_out', 'closed') OR lots IN ('asked', 'closing')`},
	} {
		rows, err := m.sql(ctx, q.database, q.sql)
		switch {
		case err != nil:
			wrong = append(wrong, err.Error())
		case rows[0][0] != "0":
			wrong = append(wrong, rows[0][0]+" "+q.what)
		}
	}
	return wrong
}

// lines are those of a text that have one of the marks, the first forty.
func lines(text string, marks ...string) string {
	var found []string
	for line := range strings.Lines(text) {
		for _, mark := range marks {
			if strings.Contains(line, mark) {
				found = append(found, strings.TrimSpace(line))
				break
			}
		}
	}
	if more := len(found) - 40; more > 0 {
		found = append(found[:40], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(found, "\n")
}

// books is what the databases say about one order.
type books struct {
	status, reason         string
	total, refunded        int64
	taken, given, refunds  int64 // the provider's own books; what payments says that it gave back
	holds                  string
	mails                  map[string]int // sent, by kind
	confirmedMail, ordered bool
}

// number is one that psql has printed.
func number(text string) int64 { n, _ := strconv.ParseInt(text, 10, 64); return n }

// prove holds what people were told against what the services and the provider wrote down.
func (m *market) prove(ctx context.Context) (wrong []string) {
	bad := func(format string, a ...any) { wrong = append(wrong, fmt.Sprintf(format, a...)) }
	all := map[string]*books{}
	book := func(id string) *books {
		if all[id] == nil {
			all[id] = &books{mails: map[string]int{}}
		}
		return all[id]
	}
	each := func(database, sql string, fn func(row []string)) {
		rows, err := m.sql(ctx, database, sql)
		if err != nil {
			bad("%s", err)
		}
		for _, row := range rows {
			fn(row)
		}
	}
	each("orders", `SELECT id, status, COALESCE(cancel_reason, ''), total, refunded FROM orders`, func(r []string) {
		b := book(r[0])
		b.ordered, b.status, b.reason, b.total, b.refunded = true, r[1], r[2], number(r[3]), number(r[4])
	})
	each("payments", `SELECT key, amount FROM sandbox_charges WHERE status = 'succeeded'`, func(r []string) { book(r[0]).taken = number(r[1]) })
	each("payments", `SELECT charge_key, sum(amount) FROM sandbox_refunds GROUP BY 1`, func(r []string) { book(r[0]).given = number(r[1]) })
	each("payments", `SELECT order_id, sum(amount) FROM refunds WHERE state = 'done' GROUP BY 1`, func(r []string) { book(r[0]).refunds = number(r[1]) })
	each("mail", `SELECT order_id, kind, count(*) FROM mails WHERE order_id IS NOT NULL AND status = 'sent' GROUP BY 1, 2`, func(r []string) {
		book(r[0]).mails[r[1]] = int(number(r[2]))
	})
	each("inventory", `SELECT order_id, state FROM order_holds`, func(r []string) { book(r[0]).holds = r[1] })

	// Nobody pays for nothing, and nothing is given back twice, whether or not a client was told of the order.
	for id, b := range all {
		switch {
		case !b.ordered && b.taken != b.given, b.status == "cancelled" && b.taken != b.given:
			bad("order %s (%s %s): the provider took %d and gave back %d", id, b.status, b.reason, b.taken, b.given)
		case b.given > b.taken:
			bad("order %s: the provider gave back %d of %d", id, b.given, b.taken)
		case b.given != b.refunds || b.ordered && b.given != b.refunded:
			bad("order %s: the provider gave back %d, payments says %d, orders %d", id, b.given, b.refunds, b.refunded)
		case b.ordered && b.status != "cancelled" && b.taken != b.total:
			bad("order %s: %s for %d, and the provider took %d", id, b.status, b.total, b.taken)
		}
	}

	sold, had := map[string]int{}, map[string]int{}
	for _, o := range m.orders {
		b := all[o.ID]
		if b == nil || !b.ordered {
			bad("order %s of %s was answered 201 and does not exist", o.ID, o.who.Email)
			continue
		}
		refunds := int64(0)
		for _, r := range o.refunds {
			refunds += r.Amount
		}
		switch {
		case b.status == "pending":
			bad("order %s is pending", o.ID)
		case o.cancelled && b.status != "cancelled":
			bad("order %s: its cancellation was answered 202, and it is %s", o.ID, b.status)
		case b.given < refunds:
			bad("order %s: refunds of %d were promised, %d was given back", o.ID, refunds, b.given)
		case b.reason == "payment-declined" && (b.taken != 0 || len(b.mails) > 0):
			bad("order %s was declined: taken %d, mails %v", o.ID, b.taken, b.mails)
		case b.status == "cancelled" && b.reason != "payment-declined" && b.mails["order-cancelled"] != 1:
			bad("order %s is cancelled (%s): mails %v", o.ID, b.reason, b.mails)
		case b.status == "shipped" && b.mails["order-shipped"] != 1:
			bad("order %s is shipped: mails %v", o.ID, b.mails)
		case b.status == "confirmed" && b.mails["order-confirmed"] != 1:
			bad("order %s is confirmed: mails %v", o.ID, b.mails)
		case len(o.refunds) > b.mails["order-refunded"]:
			bad("order %s: %d refunds were made: mails %v", o.ID, len(o.refunds), b.mails)
		}
		if b.status != "cancelled" {
			for sku, n := range o.lines {
				sold[sku] += n
				if sku == m.limited.SKU {
					had[o.who.Email] += n
				}
			}
		}
	}
	for email, n := range had {
		if n > limit {
			bad("%s has %d of %s, of which %d is the most", email, n, m.limited.SKU, limit)
		}
	}
	// Units. Orders whose answer a client never got count too: they are orders.
	answered := map[string]bool{}
	for _, o := range m.orders {
		answered[o.ID] = true
	}
	each("orders", `SELECT o.id, sku, quantity FROM order_lines JOIN orders o ON o.id = order_id WHERE o.status <> 'cancelled'`, func(r []string) {
		if !answered[r[0]] {
			sold[r[1]] += int(number(r[2]))
		}
	})
	each("inventory", `SELECT sku, on_hand, cart_held, order_held, sold FROM stock`, func(r []string) {
		came, ours := m.initial[r[0]]
		if !ours {
			return
		}
		if n := number(r[1]) + number(r[4]); n != int64(came) {
			bad("SKU %s: %d units came in, %d are there: %v", r[0], came, n, r)
		}
		if number(r[4]) != int64(sold[r[0]]) {
			bad("SKU %s: %d units are ordered, %s sold", r[0], sold[r[0]], r[4])
		}
	})
	return append(append(wrong, m.inbox(ctx)...), m.crashes(ctx)...)
}

// inbox: each mail is there once. One repeat of it is allowed to a mail of which the log says that a try was cut off;
// and such a mail may be there although it was not sent in the end, because something overtook it meanwhile.
func (m *market) inbox(ctx context.Context) (wrong []string) {
	rows, err := m.sql(ctx, "mail", `
		SELECT recipient, subject, count(*) FILTER (WHERE status = 'sent'), sum(cut_off), count(*), max(cut_off)
		FROM mails WHERE status = 'sent' OR cut_off > 0 GROUP BY 1, 2`)
	if err != nil {
		return []string{err.Error()}
	}
	arrived := map[string]map[string]int{}
	for _, r := range rows {
		to, subject := r[0], r[1]
		if arrived[to] == nil {
			mails, err := m.mailsTo(ctx, to)
			if err != nil {
				return append(wrong, err.Error())
			}
			arrived[to] = map[string]int{}
			for _, mail := range mails {
				arrived[to][mail.Subject]++
			}
		}
		sent, _ := strconv.Atoi(r[2])
		cutOff, _ := strconv.Atoi(r[3])
		logged, _ := strconv.Atoi(r[4])
		if n := arrived[to][subject]; n < sent || n > min(sent+cutOff, 2*logged) {
			wrong = append(wrong, fmt.Sprintf("mail %q to %s: logged %d times, sent %d, tries cut off %d (at most %s of one), arrived %d times", subject, to, logged, sent, cutOff, r[5], n))
		}
		delete(arrived[to], subject)
	}
	for to, subjects := range arrived {
		for subject, n := range subjects {
			wrong = append(wrong, fmt.Sprintf("mail %q to %s arrived %d times and was never sent", subject, to, n))
		}
	}
	return wrong
}

// mailsTo lists what has arrived for an address.
func (m *market) mailsTo(ctx context.Context, address string) (mails []shop.Mail, err error) {
	c := shop.Client{Shop: &shop.Shop{Base: m.Mail}}
	a, err := c.Send(ctx, "GET", "/api/email?sort=asc&to.address="+strings.ReplaceAll(address, "+", "%2B"), nil)
	if err != nil {
		return nil, err
	}
	return mails, json.Unmarshal(a.Body, &mails)
}

var crash = regexp.MustCompile(`^(panic:|fatal error:|\[signal SIG)|"panic|invalid memory address`)

// crashes are processes that did not end because somebody ended them.
func (m *market) crashes(context.Context) (wrong []string) {
	logs, _ := filepath.Glob(filepath.Join(m.Run, "logs", "*.log"))
	for _, file := range logs {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		n, first := 0, ""
		for line := range strings.Lines(string(text)) {
			if crash.MatchString(line) {
				if n++; n == 1 {
					first = strings.TrimSpace(line)
				}
			}
		}
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf("%s crashed (%d lines say so): %.300s", strings.TrimSuffix(filepath.Base(file), ".log"), n, first))
		}
	}
	return wrong
}
