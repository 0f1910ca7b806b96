package chaos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/tests/shop"
)

// recovery is how long the shop took after an act.
type recovery struct {
	act   Act
	back  time.Duration // until the process said of itself that it is well; 0 where none was touched
	good  time.Duration // until the first good answer that needs the part, both from the act's end
	never bool          // not before everything was over
}

// prompt is how long a part may take to work again when everything that it needs is back.
const prompt = 15 * time.Second

// excused is how long the part itself took to start, which those who need it can only wait for: Keycloak and the broker
// take their time. A service has no excuse.
func (r recovery) excused() time.Duration {
	if slices.Contains([]string{"epmd", "keycloak", "maildev", "nginx", "postgres", "rabbitmq", "redis", "sentry"}, r.act.Target) {
		return r.back
	}
	return 0
}

// late lists the parts that took longer than that though nothing was broken any more.
func late(all []recovery) (wrong []string) {
	for _, r := range all {
		if r.never {
			wrong = append(wrong, fmt.Sprintf("%s did not recover from: %s", r.act.Part(), r.act))
			continue
		}
		good, quiet := r.act.End()+r.good, time.Duration(0)
		for _, other := range all {
			if other.act.At < good {
				quiet = max(quiet, min(other.act.End()+other.excused(), good))
			}
		}
		if good-quiet > prompt {
			wrong = append(wrong, fmt.Sprintf("%s worked again only %.1f s after everything was back; it recovered from: %s", r.act.Part(), (good-quiet).Seconds(), r.act))
		}
	}
	return wrong
}

// probe asks, from the end of an act on, for what needs its part, until the answer is good.
func (m *market) probe(ctx context.Context, a Act, who, ops *shopper) recovery {
	begun := time.Now()
	r := recovery{act: a}
	if (a.Kind == Kill || a.Kind == Pause) && a.Target != "" {
		for ctx.Err() == nil {
			p, err := m.process(a.Target)
			if err == nil && p.PID != 0 && (a.Kind == Pause || p.Since.After(begun.Add(-time.Second))) && p.well(ctx) {
				break
			}
			wait(ctx, 90*time.Millisecond, 110*time.Millisecond)
		}
		r.back = time.Since(begun)
	}
	good := m.need(a.Part(), who, ops)
	for {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		ok := good(one)
		cancel()
		if ok {
			r.good = time.Since(begun)
			return r
		}
		if !wait(ctx, 90*time.Millisecond, 110*time.Millisecond) {
			r.never = true
			return r
		}
	}
}

// need is a request that only succeeds when a part works.
func (m *market) need(part string, who, ops *shopper) func(ctx context.Context) bool {
	get := func(c *shopper, path string, fine ...int) func(ctx context.Context) bool {
		return func(ctx context.Context) bool {
			separator := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
			a, err := c.once(ctx, "GET", path+separator+"x="+shop.Random(), nil)
			return err == nil && slices.Contains(append(fine, 200), a.Status)
		}
	}
	switch part {
	case "auth":
		return get(who, "/api/v1/auth/verify-token")
	case "keycloak":
		return func(ctx context.Context) bool {
			// A registered account, of which only one logs in at a time: Keycloak refuses the second as it does who guesses.
			a, err := m.Nobody().Send(ctx, "POST", "/api/v1/auth/login", map[string]string{"email": who.Email, "password": who.Password})
			return err == nil && a.Status == 200
		}
	case "users":
		return get(who, "/api/v1/users/me")
	case "products":
		return func(ctx context.Context) bool {
			a, err := who.once(ctx, "GET", "/api/v1/products?q="+shop.Random(), nil)
			return err == nil && a.Status == 200
		}
	case "carts", "redis":
		return get(who, "/api/v1/cart")
	case "inventory":
		return get(ops, "/api/v1/admin/inventory/"+m.limited.SKU)
	case "payments":
		return get(ops, "/api/v1/admin/payments")
	case "mail":
		return get(ops, "/api/v1/admin/mail")
	case "drops":
		return get(who, "/api/v1/drops")
	case "store":
		return get(m.newShopper(m.Nobody(), 0, 0), "/")
	case "admin", "edge-admin":
		return get(m.newShopper(m.Nobody(), 0, 0), "/admin", 302, 303, 307)
	case "maildev", "rabbitmq":
		return m.bought(who, part == "maildev")
	}
	return get(who, "/api/v1/orders") // orders, postgres, the edges, nginx, sentry
}

// bought is an order that is confirmed, and its mail when that is meant; one every few seconds, of which the first
// counts.
func (m *market) bought(who *shopper, mailed bool) func(ctx context.Context) bool {
	p := m.plenty[0]
	return func(ctx context.Context) bool {
		o := who.buy(ctx, p, 1, shop.Visa)
		for o != nil {
			a, err := who.once(ctx, "GET", "/api/v1/orders/"+o.ID, nil)
			if err == nil && strings.Contains(string(a.Body), `"status":"confirmed"`) {
				if !mailed {
					return true
				}
				rows, err := m.sql(ctx, "mail", "SELECT count(*) FROM mails WHERE order_id = '"+o.ID+"' AND status = 'sent'")
				if err == nil && rows[0][0] != "0" {
					return true
				}
			}
			if !wait(ctx, 90*time.Millisecond, 110*time.Millisecond) {
				return false
			}
		}
		return false
	}
}

// table is the table of all recoveries: a line a part.
func table(all []recovery) string {
	parts := map[string][]recovery{}
	for _, r := range all {
		parts[r.act.Part()] = append(parts[r.act.Part()], r)
	}
	var names []string
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %4s  %-18s %-18s %s\n", "part", "acts", "process back, max", "good answer, median", "max, after what")
	for _, name := range names {
		list := parts[name]
		slices.SortFunc(list, func(a, b recovery) int {
			if a.never != b.never {
				return map[bool]int{true: 1, false: -1}[a.never]
			}
			return cmp.Compare(a.good, b.good)
		})
		back := slices.MaxFunc(list, func(a, b recovery) int { return cmp.Compare(a.back, b.back) }).back
		worst := list[len(list)-1]
		most := fmt.Sprintf("%.1f s", worst.good.Seconds())
		if worst.never {
			most = "never"
		}
		fmt.Fprintf(&b, "%-12s %4d  %-18s %-18s %s, %s\n", name, len(list), fmt.Sprintf("%.1f s", back.Seconds()),
			fmt.Sprintf("%.1f s", list[len(list)/2].good.Seconds()), most, strings.Join(strings.Fields(worst.act.String())[1:], " "))
	}
	return b.String()
}
