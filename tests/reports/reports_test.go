// Package reports looks at a running shop for documents, not for correctness: make lighthouse and make screenshots run
// its tests, make test does not.
package reports

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/browser"
	"github.com/stampede-shop/stampede/tests/shop"
)

// Scores are Lighthouse's marks for a page, 0 to 100.
type Scores struct {
	Page          string `json:"page"`
	Performance   int    `json:"performance"`
	Accessibility int    `json:"accessibility"`
	BestPractices int    `json:"best_practices"`
	SEO           int    `json:"seo"`
}

// TestLighthouse marks each kind of page of the storefront, as a phone sees it: the middle of three looks, since the
// machine has other work. LIGHTHOUSE names the program (npm
// package lighthouse), REPORT the file that gets the marks.
func TestLighthouse(t *testing.T) {
	program := os.Getenv("LIGHTHOUSE")
	require.NotEmpty(t, program, "LIGHTHOUSE does not name the program: make lighthouse does")
	s := shop.Open(t)
	ann, seeded := s.Register(t), seededProducts(t, s)
	buy(t, ann, seeded[0], shop.Visa)
	order := shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items[0]
	ann.Await(t, order.ID, "confirmed")
	put(t, ann, seeded[1])

	port := freePort(t)
	v := browser.Visit(t, s, 1280, 900, chromedp.Flag("remote-debugging-port", port))
	var all []Scores
	mark := func(name, path string, options ...string) {
		t.Helper()
		points := map[string][]int{}
		for range 3 {
			for category, n := range lighthouse(t, program, s.Base+path, append(options, "--port="+port)) {
				points[category] = append(points[category], n)
			}
		}
		middle := func(category string) int {
			slices.Sort(points[category])
			return points[category][1]
		}
		marks := Scores{name, middle("performance"), middle("accessibility"), middle("best-practices"), middle("seo")}
		t.Logf("%+v of %v", marks, points["performance"])
		all = append(all, marks)
	}
	mark("home", "/")
	mark("category", "/c/sneakers")
	mark("product", "/products/"+seeded[0].Slug)
	mark("categories", "/categories")
	returns := shop.Read[struct{ Slug string }](t, s.Admin(t).Do(t, "POST", "/api/v1/admin/products/pages", map[string]any{
		"title": "Returns", "published": true, "foot": 1,
		"body": "## How\n\nSend it back within 30 days.\n\n| From | Costs |\n|---|---|\n| UK | nothing |",
	}).OK(t, 201))
	mark("page of the shop's", "/pages/"+returns.Slug)
	v.LoginAt("/cart", ann.Email, ann.Password)
	// For one shopper alone, so search engines are to leave them out: that is no fault.
	private := "--skip-audits=is-crawlable"
	mark("search", "/search?q=runner", private)
	mark("cart", "/cart", private)
	mark("checkout", "/checkout", private)
	mark("order", "/orders/"+order.ID, private)
	mark("address of an order", "/orders/"+order.ID+"/address", private)
	mark("account", "/account", private)
	mark("account, security", "/account/security", private)

	text, err := json.Marshal(all)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(os.Getenv("REPORT"), text, 0o644))
}

// lighthouse looks at a page once and gives its marks, by category. What costs points is logged.
func lighthouse(t *testing.T, program, url string, options []string) map[string]int {
	t.Helper()
	out := filepath.Join(t.TempDir(), "report.json")
	args := append([]string{program, url, "--disable-storage-reset", "--output=json", "--output-path=" + out, "--quiet",
		"--only-categories=performance,accessibility,best-practices,seo"}, options...)
	text, err := exec.CommandContext(t.Context(), "node", args...).CombinedOutput()
	require.NoError(t, err, "%s", text)
	text, err = os.ReadFile(out)
	require.NoError(t, err)
	var report struct {
		FinalURL   string `json:"finalDisplayedUrl"`
		Categories map[string]struct {
			Score  float64 `json:"score"`
			Audits []struct {
				ID     string  `json:"id"`
				Weight float64 `json:"weight"`
			} `json:"auditRefs"`
		} `json:"categories"`
		Audits map[string]struct {
			Score *float64 `json:"score"`
			Title string   `json:"title"`
		} `json:"audits"`
	}
	require.NoError(t, json.Unmarshal(text, &report))
	require.Equal(t, url, report.FinalURL, "it was sent elsewhere")
	points := map[string]int{}
	for name, c := range report.Categories {
		points[name] = int(c.Score*100 + 0.5)
		for _, a := range c.Audits {
			if score := report.Audits[a.ID].Score; a.Weight > 0 && score != nil && *score < 0.9 {
				t.Logf("%s, %s: %s (%.2f)", url, name, report.Audits[a.ID].Title, *score)
			}
		}
	}
	return points
}

// TestScreenshots takes the pictures of docs/screenshots, into the folder that SCREENSHOTS names. What tests have made is
// in them: a shop after `make clean` shows its own products alone.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	require.NotEmpty(t, dir, "SCREENSHOTS does not name a folder: make screenshots does")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	s := shop.Open(t)
	ann, seeded := s.Register(t), seededProducts(t, s)
	buy(t, ann, seeded[0], shop.Visa)
	order := shop.Get[shop.List[shop.Order]](t, ann, "/api/v1/orders").Items[0]
	ann.Await(t, order.ID, "confirmed")

	v := browser.Visit(t, s, 1280, 900)
	shot := func(name string) { v.There("header .brand").Shot(filepath.Join(dir, name+".jpg")) }
	desktop := func(dark bool) *browser.Visitor { return v.Device(1280, 900, false, dark) }
	phone := func(dark bool) *browser.Visitor { return v.Device(390, 844, true, dark) }

	desktop(false).Open("/")
	shot("home")
	phone(false).Open("/")
	shot("phone-home")
	desktop(false).Open("/c/sneakers")
	shot("category")
	desktop(true).Open("/products/" + seeded[0].Slug)
	shot("product-dark")
	phone(true).Open("/products/" + seeded[0].Slug)
	shot("phone-product-dark")
	desktop(false).Open("/products/" + seeded[1].Slug).Click(".variants input:not(:disabled) + label")
	v.Click("#add").There("dialog[open] .line")
	shot("cart-drawer")
	v.LoginAt("/checkout", ann.Email, ann.Password).Address(shop.Home)
	shot("checkout")
	v.Open("/orders/" + order.ID).Sees("It is yours")
	shot("order")

	c := browser.Visit(t, s, 1440, 900)
	s.Alone(t, func() { c.Open("/admin").Login("ops@stampede.test", s.Settings["OPS_PASSWORD"]).At("/admin") })
	c.There(".chart svg").Shot(filepath.Join(dir, "office-dashboard.jpg"))
	c.Open("/admin/orders/" + order.ID).Sees("What happened").Shot(filepath.Join(dir, "office-order.jpg"))
	take := func(v *browser.Visitor, name string) { v.Shot(filepath.Join(dir, name+".jpg")) }
	c.Device(1440, 1180, false, false).Open("/admin/drops/new").Fill("#f-lots", seeded[2].SKU+", 2, 1").Fill("#f-slug", "spring")
	c.Fill("#f-title", seeded[2].Name)
	at := time.Now().Add(48 * time.Hour).Truncate(time.Hour)
	for field, after := range map[string]time.Duration{"prequeue_at": -time.Hour / 2, "opens_at": 0, "closes_at": time.Hour} {
		c.Choose("#f-"+field, at.Add(after).Format("2006-01-02T15:04"))
	}
	take(c, "office-drop-new")
	c.Device(1440, 900, false, false)
	drop(t, s, seeded[2], take, c)
	passedOn(t, s, seeded[1], take)
	draw(t, s, seeded[0], take)
}

// stands waits until a drop is in a state.
func stands(t *testing.T, s *shop.Shop, d shop.Drop, state string) {
	t.Helper()
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		now := shop.Get[struct{ State string }](t, s.Nobody(), d.At+"/status")
		return now.State == state, now.State
	})
}

// inOrder sorts people by their places in a drop that is open.
func inOrder(t *testing.T, d shop.Drop, people []*shop.Client) {
	t.Helper()
	place := map[*shop.Client]int{}
	for _, c := range people {
		place[c] = *shop.Get[struct{ Position *int }](t, c, d.At+"/entry").Position
	}
	slices.SortFunc(people, func(a, b *shop.Client) int { return place[a] - place[b] })
}

func asPhone(t *testing.T, s *shop.Shop, c *shop.Client, at string, dark bool) *browser.Visitor {
	t.Helper()
	return browser.Visit(t, s, 390, 844).Device(390, 844, true, dark).LoginAt(at, c.Email, c.Password)
}

// passedOn takes pictures of a drop of one unit: of who stands by for it, and of a pause.
func passedOn(t *testing.T, s *shop.Shop, item shop.Item, shot func(v *browser.Visitor, name string)) {
	t.Helper()
	people := []*shop.Client{s.Register(t), s.Register(t), s.Register(t)}
	d := s.NewDrop(t, &shop.Product{Name: item.Name, SKU: item.SKU}, 1, time.Second, 15*time.Second,
		map[string]any{"title": item.Name, "grace_s": 15})
	tickets := map[*shop.Client]string{}
	for _, c := range people {
		tickets[c] = c.Enter(t, d)
	}
	stands(t, s, d, "open")
	inOrder(t, d, people)
	type status struct{ SKUs []struct{ Called int } }
	shop.Eventually(t, shop.Patience, func() (bool, string) { // while the first one does not come
		return shop.Get[status](t, s.Nobody(), d.At+"/status").SKUs[0].Called >= 2, "the second is not called"
	})
	people[0].AwaitClaim(t, d, tickets[people[0]], 1).OK(t, 201)
	people[1].AwaitClaim(t, d, tickets[people[1]], 1).OK(t, 202)
	at := "/drops/" + d.Slug
	shot(asPhone(t, s, people[1], at, false).Sees("for what comes back"), "phone-drop-standby")
	s.Admin(t).Do(t, "PUT", "/api/v1/admin/drops/"+d.ID+"/message", map[string]any{"message": "We look at the payments."}).OK(t, 200)
	s.Admin(t).Do(t, "PUT", "/api/v1/admin/drops/"+d.ID+"/pause", nil).OK(t, 200)
	stands(t, s, d, "paused")
	shot(asPhone(t, s, people[2], at, true).Sees("We have stopped for a moment"), "phone-drop-paused-dark")
	d.End(t)
}

// draw takes a picture of who was drawn in a draw.
func draw(t *testing.T, s *shop.Shop, item shop.Item, shot func(v *browser.Visitor, name string)) {
	t.Helper()
	people := []*shop.Client{s.Register(t), s.Register(t), s.Register(t)}
	d := s.NewDrop(t, &shop.Product{Name: item.Name, SKU: item.SKU}, 1, time.Second, 10*time.Second,
		map[string]any{"title": item.Name, "preset": "draw", "closes_at": time.Now().Add(48 * time.Hour)})
	for _, c := range people {
		c.Enter(t, d)
	}
	stands(t, s, d, "all_held")
	inOrder(t, d, people)
	v := browser.Visit(t, s, 1280, 900).Device(1280, 900, false, false)
	at := "/drops/" + d.Slug
	shot(v.LoginAt(at, people[0].Email, people[0].Password).Sees("You were drawn"), "drop-drawn")
	d.End(t)
}

// drop takes pictures of a drop of two units to which twelve have come, one of them with scripts and one without: of who enters,
// of who is called first, of who is called last, of the back office, and of its proof.
func drop(t *testing.T, s *shop.Shop, item shop.Item, shot func(v *browser.Visitor, name string), office *browser.Visitor) {
	t.Helper()
	people := make([]*shop.Client, 12)
	for i := range people {
		people[i] = s.Register(t)
	}
	d := s.NewDrop(t, &shop.Product{Name: item.Name, SKU: item.SKU}, 2, time.Second, time.Minute,
		map[string]any{"title": item.Name, "grace_s": 300})
	at := "/drops/" + d.Slug
	tickets := make([]string, len(people))
	for i, c := range people[2:] {
		tickets[i+2] = c.Enter(t, d)
	}
	enter := `section:not([hidden]) form[action$="/entry"] button`
	scripted := browser.Visit(t, s, 1280, 900).Device(1280, 900, false, false)
	scripted.LoginAt(at, people[0].Email, people[0].Password).There(enter)
	shot(scripted, "drop-enter")
	scripted.Click(enter).At(at).Sees("You are in")
	plain := browser.Visit(t, s, 390, 920).WithoutScripts().Device(390, 920, true, false)
	plain.LoginAt(at, people[1].Email, people[1].Password).Click(enter).At(at).Sees("You are in")
	shot(plain, "phone-drop-in-plain")
	for i := range 2 {
		tickets[i] = people[i].Enter(t, d)
	}
	stands(t, s, d, "open")
	turn := make([]int, len(people)) // who has which place
	for i, c := range people {
		turn[*shop.Get[struct{ Position *int }](t, c, d.At+"/entry").Position] = i
	}
	first, second, last := people[turn[0]], turn[1], people[turn[len(turn)-1]]

	waits := browser.Visit(t, s, 1280, 900).Device(1280, 900, false, false)
	waits.LoginAt(at, last.Email, last.Password).Sees("before you")
	shot(waits, "drop-waiting")
	shot(waits.Device(390, 844, true, true).Open(at).Sees("before you"), "phone-drop-waiting-dark")
	office.Open("/admin/drops/" + d.ID).There("#watch .figures")
	shot(office, "office-drop")
	buys := browser.Visit(t, s, 390, 844).Device(390, 844, true, false)
	buys.LoginAt(at, first.Email, first.Password).Sees("Take it now")
	shot(buys, "phone-drop-turn")
	buys.Click(`section:not([hidden]) form[action$="/claim"] button`).At(at).Sees("Yours until")
	shot(buys, "phone-drop-holding")
	buys.Open("/checkout").There("#line1").Address(shop.Home).Click("#pay").Order()
	shot(buys.Device(1280, 900, false, true).Open(at).Sees("It is yours"), "drop-bought-dark")

	people[second].AwaitClaim(t, d, tickets[second], 1).OK(t, 201)
	buy(t, people[second], item, shop.Visa)
	stands(t, s, d, "sold_out")
	shot(waits.Device(390, 844, true, false).Open(at).Sees("Sold out"), "phone-drop-sold-out")
	shot(waits.Device(1280, 900, false, false).Open(at+"/verify").Sees("Everything fits"), "drop-verify")
	t.Logf("go run ./drop/verify %s%s", s.Base, d.At)
}

func seededProducts(t *testing.T, s *shop.Shop) []shop.Item {
	t.Helper()
	items := shop.Get[shop.Listing](t, s.Nobody(), "/api/v1/products?category=sneakers&in_stock=true&limit=10").Items
	require.GreaterOrEqual(t, len(items), 3, "the seeded catalogue is wanted")
	return items
}

func put(t *testing.T, c *shop.Client, p shop.Item) {
	t.Helper()
	c.PutAny(t, p.SKU, 1).OK(t, 200)
}

func buy(t *testing.T, c *shop.Client, p shop.Item, method string) {
	t.Helper()
	put(t, c, p)
	c.Order(t, method)
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}
