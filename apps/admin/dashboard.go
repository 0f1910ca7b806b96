package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
)

// What the services count.
type (
	orderFigures struct {
		Spans []struct {
			From    time.Time   `json:"from"`
			Orders  int         `json:"orders"`
			Revenue money.Money `json:"revenue"`
		} `json:"spans"`
		Statuses map[string]int `json:"statuses"`
	}
	stockFigures struct {
		SKUs      int `json:"skus"`
		CartHeld  int `json:"cart_held"`
		OrderHeld int `json:"order_held"`
		None      int `json:"none"`
		Low       int `json:"low"`
	}
	paymentFigures struct {
		States        map[string]int `json:"states"`
		FailedRefunds int            `json:"failed_refunds"`
	}
	mailFigures struct {
		Statuses map[string]int `json:"statuses"`
	}
	backlog struct {
		Unsent      int     `json:"unsent"`
		LagSeconds  float64 `json:"lag_seconds"`
		DeadLetters int     `json:"dead_letters"`
	}
)

// slow is when events are late, in seconds: `make audit` calls it a violation
// after a minute.
const slow = 10

func (s *service) dashboardRoutes(r chi.Router) {
	r.Get("/admin", s.page(s.dashboard))
	r.Get("/admin/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/admin", http.StatusFound) })
}

// figure is a number that leads to what it counts.
type figure struct {
	Name, Value, Href, Note string
	Tone                    string
}

// dashboardView is the Data of the page "dashboard".
type dashboardView struct {
	By       string
	Charts   []chart
	Orders   []figure
	Machine  []figure
	Flow     []flow
	Scarce   listView
	Failed   listView
	Away     []string
	Every    string // how often the page looks again
	AsOf     time.Time
	LastPart string // what the charts show
}

// flow is how the events of one service get on.
type flow struct {
	App         string
	Away        bool
	Unsent      int
	Lag         string
	Late        bool
	DeadLetters int
}

func (s *service) dashboard(r *http.Request) (page.Answer, error) {
	var (
		ctx      = r.Context()
		wait     sync.WaitGroup
		orders   part[orderFigures]
		stocks   part[stockFigures]
		payments part[paymentFigures]
		mails    part[mailFigures]
		scarce   part[items[stock]]
		failed   part[items[payment]]
		backlogs = make([]part[backlog], len(publishers))
		v        = dashboardView{By: "hour", LastPart: "the last 24 hours", AsOf: s.now(), Every: "15s"}
		last     = "24"
	)
	if r.URL.Query().Get("by") == "minute" {
		v.By, last, v.Every, v.LastPart = "minute", "60", "5s", "the last hour"
	}
	load(&wait, &orders, func() (orderFigures, error) {
		return get[orderFigures](ctx, s, "orders", "/api/v1/admin/orders/figures", url.Values{"by": {v.By}, "last": {last}})
	})
	load(&wait, &stocks, func() (stockFigures, error) {
		return get[stockFigures](ctx, s, "inventory", "/api/v1/admin/inventory/figures", nil)
	})
	load(&wait, &payments, func() (paymentFigures, error) {
		return get[paymentFigures](ctx, s, "payments", "/api/v1/admin/payments/figures", nil)
	})
	load(&wait, &mails, func() (mailFigures, error) {
		return get[mailFigures](ctx, s, "mail", "/api/v1/admin/mail/figures", nil)
	})
	load(&wait, &scarce, func() (items[stock], error) {
		return get[items[stock]](ctx, s, "inventory", "/api/v1/admin/inventory",
			url.Values{"sort": {"available"}, "low": {"true"}, "limit": {"14"}})
	})
	load(&wait, &failed, func() (items[payment], error) {
		return get[items[payment]](ctx, s, "payments", "/api/v1/admin/payments", url.Values{"state": {"failed"}, "limit": {"6"}})
	})
	for i, app := range publishers {
		load(&wait, &backlogs[i], func() (backlog, error) {
			return get[backlog](ctx, s, app, "/api/v1/admin/"+app+"/backlog", nil)
		})
	}
	wait.Wait()

	v.Charts = s.charts(orders, v.By)
	o := orders.Data.Statuses
	v.Orders = []figure{
		counted("To ship", o["confirmed"], "/admin/orders?status=confirmed", "", orders.Err),
		counted("Waiting for payment", o["pending"], "/admin/orders?status=pending", "", orders.Err),
		counted("On their way", o["shipped"], "/admin/orders?status=shipped", "", orders.Err),
		counted("Running out", stocks.Data.Low, "/admin/inventory?low=true&sort=available", "warn", stocks.Err),
		counted("Held in carts", stocks.Data.CartHeld, "/admin/inventory?sort=-cart_held", "", stocks.Err),
		counted("Held by orders", stocks.Data.OrderHeld, "/admin/inventory?sort=-order_held", "", stocks.Err),
	}
	v.Orders[3].Note = fmt.Sprintf("%d of them sold out", stocks.Data.None)
	dead, unsent, lag := 0, 0, 0.0
	for i, b := range backlogs {
		f := flow{App: publishers[i], Away: b.Err != nil, Unsent: b.Data.Unsent, Late: b.Data.LagSeconds > slow, DeadLetters: b.Data.DeadLetters, Lag: "none"}
		if b.Data.Unsent > 0 {
			f.Lag = (time.Duration(b.Data.LagSeconds * float64(time.Second))).Round(100 * time.Millisecond).String()
		}
		if b.Err != nil {
			v.Away = append(v.Away, publishers[i])
		}
		dead, unsent, lag = dead+b.Data.DeadLetters, unsent+b.Data.Unsent, max(lag, b.Data.LagSeconds)
		v.Flow = append(v.Flow, f)
	}
	v.Machine = []figure{
		counted("Failed payments", payments.Data.States["failed"], "/admin/payments?status=failed", "", payments.Err),
		counted("Failed refunds", payments.Data.FailedRefunds, "/admin/payments?refund=failed", "bad", payments.Err),
		counted("Unsettled payments", payments.Data.States["unknown"], "/admin/payments?status=unknown", "warn", payments.Err),
		counted("Failed mails", mails.Data.Statuses["failed"], "/admin/mails?status=failed", "bad", mails.Err),
		counted("Dead letters", dead, "/admin/letters", "bad", nil),
		counted("Events waiting", unsent, "#flow", map[bool]string{true: "warn"}[lag > slow], nil),
	}
	v.Scarce = list[stock]{Columns: stockList.Columns[:6], Empty: empty{Title: "Nothing runs out",
		Text: "Every SKU has more available than the number at which it runs out."}}.part(scarce, "Running out")
	v.Failed = list[payment]{Columns: append(paymentList.Columns[:2:2], paymentList.Columns[3]), Empty: empty{Title: "No payment failed"}}.part(failed, "Failed payments")
	return page.Show("dashboard", page.View{Title: "Dashboard", Data: v}), nil
}

// countLimit is how far the services count.
const countLimit = 10_000

// counted is a figure; when its service is away, that.
func counted(name string, n int, at, tone string, err error) figure {
	f := figure{Name: name, Value: strconv.Itoa(n), Href: at}
	if n == countLimit {
		f.Value += "+"
	}
	if n > 0 {
		f.Tone = tone
	}
	if err != nil {
		f.Value, f.Note, f.Tone = "–", "not answering", "warn"
	}
	return f
}

// charts draw what was ordered. Their sums are of the orders that the linked
// list shows.
func (s *service) charts(p part[orderFigures], by string) []chart {
	if p.Err != nil || len(p.Data.Spans) == 0 {
		return nil
	}
	n, sum := 0, money.Zero(s.settings.Currency)
	orders := chart{Title: "Orders", Minute: by == "minute"}
	revenue := chart{Title: "Revenue", Minute: by == "minute", Second: true, Scale: func(n int64) string {
		whole, _, _ := strings.Cut(money.New(n, s.settings.Currency).String(), ".")
		return whole
	}}
	for _, one := range p.Data.Spans {
		from := one.From.In(s.zone)
		n, sum = n+one.Orders, money.New(sum.Amount+one.Revenue.Amount, cmp.Or(one.Revenue.Currency, s.settings.Currency))
		orders.Bars = append(orders.Bars, bar{from, int64(one.Orders), strconv.Itoa(one.Orders)})
		revenue.Bars = append(revenue.Bars, bar{from, one.Revenue.Amount, one.Revenue.String()})
	}
	orders.Sum, revenue.Sum = strconv.Itoa(n), sum.String()
	at := address("/admin/orders", url.Values{"declined": {"true"}, "since": {p.Data.Spans[0].From.UTC().Format(time.RFC3339)}})
	orders.Href, revenue.Href = at, at
	return []chart{orders, revenue}
}
