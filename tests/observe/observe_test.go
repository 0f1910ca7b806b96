// Package observe watches the shop as `make observe` does while people buy and while things go wrong: everything that runs
// is seen, each question of the dashboards has an answer, and what hurts people is told. It runs alone, since what it
// breaks is everybody's.
package observe

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// unseen are processes that have no metrics, or that tell those of others.
var unseen = []string{"epmd", "maildev", "postgres-exporter", "redis-exporter"}

// watch is a shop's Prometheus.
type watch struct {
	*shop.Shop
	base string
}

// sample is one line of an answer.
type sample struct {
	Labels map[string]string `json:"metric"`
	Value  [2]any            `json:"value"` // time, and the value as text
}

// ask puts a question to Prometheus; it is an error when it is none.
func (w watch) ask(t *testing.T, question string) []sample {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.base+"/api/v1/query?query="+url.QueryEscape(question), nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct {
		Error string
		Data  struct{ Result []sample }
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Empty(t, answer.Error, question)
	return answer.Data.Result
}

// named are the values of a label in an answer.
func named(label string, answer []sample) (names []string) {
	for _, s := range answer {
		names = append(names, s.Labels[label])
	}
	return names
}

func (w watch) dev(t *testing.T, args ...string) {
	t.Helper()
	out, err := w.Dev(t, args...)
	require.NoError(t, err, out)
}

func TestObserve(t *testing.T) {
	s := shop.Open(t)
	w := watch{s, "http://127.0.0.1:" + s.Port(9090)}
	w.dev(t, "observe")
	defer w.dev(t, "observe", "off")
	if !t.Run("targets", w.targets) {
		return
	}
	p, ann := s.NewProduct(t, 1_500, 10), s.Register(t)
	w.buy(t, p, ann)
	t.Run("trace", func(t *testing.T) { w.trace(t, p, ann) })
	t.Run("dashboards", w.dashboards)
	t.Run("alerts", func(t *testing.T) { w.alerts(t, p, ann) })
}

// targets: every process of the shop is seen, by the name that it has in `make status`.
func (w watch) targets(t *testing.T) {
	now := fmt.Sprintf("up == 1 and timestamp(up) >= %d", time.Now().Unix()) // not as another run has left it
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		up := named("instance", w.ask(t, now))
		var missing []string
		for _, p := range w.Processes(t) {
			if !slices.Contains(up, p.Name) && !slices.Contains(unseen, p.Name) {
				missing = append(missing, p.Name)
			}
		}
		return len(missing) == 0, fmt.Sprintf("not seen: %v; down: %v", missing, named("instance", w.ask(t, "up == 0")))
	})
}

// buy is what people do, well and badly.
func (w watch) buy(t *testing.T, p *shop.Product, ann *shop.Client) {
	t.Helper()
	returned := ann.Bought(t, p, 1)
	ann.Cancel(t, returned.ID).OK(t, 202)
	ann.Await(t, ann.Buy(t, p, 1, shop.Declined).ID, "cancelled")
	ann.PutAny(t, p.SKU, 15).Refused(t, 409, "out-of-stock")
	w.refused(t, p, ann)
	ann.AwaitOrder(t, returned.ID, "refunded", func(o shop.Order) bool { return o.Payment.Status == "refunded" })
	w.drop(t)
	shop.Get[shop.List[shop.Order]](t, w.Admin(t), "/api/v1/admin/orders")
	_, err := w.Nobody().Send(t.Context(), "GET", "/", nil)
	require.NoError(t, err)
}

// firstCome is a drop of units that opens at once, and where who is called has half a minute.
func (w watch) firstCome(t *testing.T, units int) shop.Drop {
	t.Helper()
	return w.NewDrop(t, w.NewProduct(t, 5_000, units), units, 0, 5*time.Second, map[string]any{"preset": "first-come", "grace_s": 30})
}

// drop is one that goes on: somebody has what they claimed, and somebody wants more than they may.
func (w watch) drop(t *testing.T) {
	t.Helper()
	d, people := w.firstCome(t, 2), w.Crowd(t, 2)
	for i, c := range people {
		ticket := c.Enter(t, d)
		shop.Eventually(t, shop.Patience, func() (bool, string) {
			a := c.Claim(t, d, ticket, 1+i)
			return a.Status == 201 || a.Problem().Slug() == "limit-reached", string(a.Body) // not-called until then
		})
	}
}

// refused is an order for another price than it has.
func (w watch) refused(t *testing.T, p *shop.Product, ann *shop.Client) {
	t.Helper()
	ann.Put(t, p, 1)
	order := shop.OrderRequest{Address: &shop.Home, PaymentMethod: shop.Visa, ExpectedTotal: shop.Pounds(1)}
	ann.Place(t, shop.Random(), order).Refused(t, 409, "price-changed")
}

// dashboards: each question that Grafana would ask has an answer, but for those about Kong, which is not here.
func (w watch) dashboards(t *testing.T) {
	files, err := filepath.Glob("../../deploy/observe/dashboards/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	questions := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(text, &d), file)
		require.NotEmpty(t, d.Panels, file)
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				if !strings.Contains(target.Expr, "kong_") {
					expr := strings.NewReplacer("$__rate_interval", "1m", "$app", ".+").Replace(target.Expr)
					questions[expr] = filepath.Base(file) + ", " + p.Title
				}
			}
		}
	}
	require.Greater(t, len(questions), 50)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		for question := range questions {
			if len(w.ask(t, question)) > 0 {
				delete(questions, question)
			}
		}
		return len(questions) == 0, fmt.Sprintf("no answer: %q", questions)
	})
	for _, queue := range named("queue", w.ask(t, "rabbitmq_detailed_queue_messages")) {
		require.NotEmpty(t, queue)
	}
}

// fires waits until these alerts, each a name and labels of it, have fired, doing again and again what causes them.
func (w watch) fires(t *testing.T, cause func(), alerts ...string) {
	t.Helper()
	missing := slices.Clone(alerts)
	shop.Eventually(t, 2*shop.Patience, func() (bool, string) {
		cause()
		missing = slices.DeleteFunc(missing, func(alert string) bool {
			name, labels, _ := strings.Cut(alert, " ")
			return len(w.ask(t, fmt.Sprintf(`ALERTS{alertstate="firing",alertname=%q,%s}`, name, labels))) > 0
		})
		return len(missing) == 0, fmt.Sprintf("did not fire: %v; these do: %v", missing, w.ask(t, `ALERTS{alertstate="firing"}`))
	})
}

// alerts really breaks something of each kind, sees that it is told, and puts it right.
func (w watch) alerts(t *testing.T, p *shop.Product, ann *shop.Client) {
	w.sql(t, `INSERT INTO outbox (id, topic, data) VALUES (gen_random_uuid(), 'order.confirmed.v1', '"not an order"')`)
	w.fires(t, func() { w.refused(t, p, ann) }, `DeadLetters app="inventory"`, "CheckoutRefuses")
	for _, l := range w.ask(t, "sum by (app) (dead_letters) > 0") {
		list := "/api/v1/admin/" + l.Labels["app"] + "/dead-letters"
		for _, letter := range shop.Get[shop.List[struct {
			ID string `json:"event_id"`
		}]](t, w.Admin(t), list).Items {
			w.Admin(t).Do(t, "DELETE", list+"/"+letter.ID, nil).OK(t, 204)
		}
	}

	// A drop waits for a beacon that nobody tells. Of another nobody knows how its units stand: three of twelve are called every half
	// minute until then, since none of them comes. Somebody tries the tickets of the first.
	late := w.NewDrop(t, w.NewProduct(t, 5_000, 1), 1, 3*time.Second, 4*time.Second, map[string]any{"beacon": "drand"})
	stands, people := w.firstCome(t, 3), w.Crowd(t, 12)
	var tickets []string
	for _, c := range people {
		tickets = append(tickets, c.Enter(t, stands))
	}
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := people[11].Claim(t, stands, tickets[2], 1)
		return a.Status == 403, string(a.Body) // not-called until then
	})

	// The broker believes that its disk is full, so events wait, and with them an order. Carts have no store, mail is away.
	require.NoError(t, w.DiskLimit(t.Context(), "1000000GB"))
	order := ann.Order(t, shop.Visa)
	w.dev(t, "kill", "inventory")
	w.dev(t, "kill", "redis")
	w.dev(t, "kill", "mail")
	w.fires(t, func() {
		_, err := w.Guest().Send(t.Context(), "GET", "/api/v1/cart", nil)
		require.NoError(t, err)
		for _, ticket := range tickets[:3] {
			people[11].Claim(t, stands, ticket, 1)
		}
	},
		`DiskFills job="rabbitmq"`, `EventsWait app="orders"`, "OrdersWait",
		`StoreDown app="redis"`, "ErrorBudgetBurns", `Down instance="mail"`,
		fmt.Sprintf("DropLate drop=%q", late.Slug), fmt.Sprintf("DropStands drop=%q", stands.Slug),
		fmt.Sprintf("DropStale drop=%q", stands.Slug), "DropRefuses")
	w.dev(t, "start", "inventory")
	w.dev(t, "start", "redis")
	w.dev(t, "start", "mail")
	require.NoError(t, w.DiskLimit(t.Context(), "200MB"))

	late.End(t)
	stands.End(t)
	ann.Await(t, order.ID, "confirmed")
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		var subjects []string
		for _, m := range w.Mails(t, w.Settings["ALERT_MAIL"]) {
			subjects = append(subjects, m.Subject)
		}
		told := slices.ContainsFunc(subjects, func(s string) bool { return strings.Contains(s, "FIRING") && strings.Contains(s, "Down") })
		return told, fmt.Sprintf("nobody was told by mail that something is down; there are %q", subjects)
	})
	w.sql(t, `DELETE FROM outbox WHERE data = '"not an order"'`)
}

// sql runs a statement on the database of orders.
func (w watch) sql(t *testing.T, statement string) {
	t.Helper()
	at, err := url.Parse(w.Settings["POSTGRES_SUPERUSER_URL"])
	require.NoError(t, err)
	at.Path = "/orders"
	out, err := exec.CommandContext(t.Context(), "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-c", statement, at.String()).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
