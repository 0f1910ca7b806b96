package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
	"github.com/stampede-shop/stampede/kit/servetest"
	"github.com/stampede-shop/stampede/kit/skus"
)

// inventoryStand stands in for inventory. It knows what a test tells it.
type inventoryStand struct {
	mu        sync.Mutex
	available map[string]int64
	set       map[string]int64
	down      map[string]bool // SKUs that make it fail, as a sidecar without inventory does
}

var stand = &inventoryStand{available: map[string]int64{}, set: map[string]int64{}, down: map[string]bool{}}

func (s *inventoryStand) answerAvailability(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct{ SKUs []string }
	_ = json.NewDecoder(r.Body).Decode(&in)
	items := []availability{}
	for _, sku := range in.SKUs {
		if s.down[sku] {
			servetest.IsAway(w, r)
		}
		if n, ok := s.available[sku]; ok {
			items = append(items, availability{SKU: sku, Available: n, AsOf: time.Now()})
		}
	}
	servetest.Answers(map[string]any{"items": items})(w, r)
}

func (s *inventoryStand) answerStock(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct{ Quantity int64 }
	_ = json.NewDecoder(r.Body).Decode(&in)
	sku, err := skus.Parse(r.PathValue("sku"))
	if err != nil {
		panic(err)
	}
	if _, ok := s.available[sku]; !ok {
		servetest.Refuses(problem.New(problem.NotFound, "sku-not-found", "There is no such SKU"))(w, r)
		return
	}
	s.set[sku] = in.Quantity
	servetest.Answers(object{
		"sku": sku, "on_hand": in.Quantity, "cart_held": 0, "order_held": 0, "available": in.Quantity, "sold": 0, "listed": true, "number": 1,
		"product_id": nil, "name": "", "variant": "", "low_at": 5, "low_at_own": false,
	})(w, r)
}

func (s *inventoryStand) has(sku string, available int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.available[sku] = available
}

func TestMain(m *testing.M) {
	// Nothing listens here: bindings and state are away.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	os.Setenv("DAPR_GRPC_PORT", port)
	os.Exit(m.Run())
}

// bench is a service with a database of its own. Nothing is kept in process, so that tests need not wait.
type bench struct {
	t     *testing.T
	rt    *serve.Runtime
	db    *pgxpool.Pool
	s     *service
	admin string
	user  string
}

func setup(t *testing.T) *bench {
	t.Helper()
	rt, db := servetest.NewTest(t, "products", migrations)
	servetest.Neighbour(t, rt, "inventory", "POST /internal/availability", stand.answerAvailability)
	servetest.Neighbour(t, rt, "inventory", "PUT /internal/stock/{sku}", stand.answerStock)
	s, err := newService(rt, db, servetest.Settings[settings](t, "IMAGE_HOSTS", "cdn.example.com"))
	require.NoError(t, err)
	s.catalogue = newCatalogue(rt, db, s.inventory, "GBP", time.Nanosecond)
	return &bench{
		t: t, rt: rt, db: db, s: s,
		admin: servetest.Token(t, uuid.New(), "ops@example.com", "USER", "ADMIN"),
		user:  servetest.Token(t, uuid.New(), "shopper@example.com", "USER"),
	}
}

// in is the same bench for a subtest.
func (b *bench) in(t *testing.T) *bench {
	c := *b
	c.t = t
	return &c
}

func (b *bench) do(method, path, token string, body any, status int, headers ...string) servetest.Response {
	b.t.Helper()
	res := servetest.Do(b.t, b.rt, method, path, token, body, headers...)
	require.Equal(b.t, status, res.Status, "%s %s: %.500s", method, path, res.Body)
	if status >= 400 {
		require.Equal(b.t, "application/problem+json", res.Header.Get("Content-Type"))
	}
	return res
}

type object = map[string]any

// product makes a product with one variant.
func (b *bench) product(name, sku string, price int64, more ...object) AdminProduct {
	b.t.Helper()
	body := object{"name": name, "variants": []object{{"sku": sku, "price": object{"amount_minor": price, "currency": "GBP"}, "initial_stock": 5}}}
	for _, m := range more {
		for k, v := range m {
			body[k] = v
		}
	}
	var p AdminProduct
	b.do("POST", adminPath, b.admin, body, 201).JSON(b.t, &p)
	return p
}

func (b *bench) published(name, sku string, price int64, more ...object) AdminProduct {
	b.t.Helper()
	p := b.product(name, sku, price, more...)
	b.do("POST", adminPath+"/"+p.ID.String()+"/publication", b.admin, nil, 200).JSON(b.t, &p)
	return p
}

func (b *bench) list(query string) Listing {
	b.t.Helper()
	var l Listing
	b.do("GET", "/api/v1/products"+query, "", nil, 200).JSON(b.t, &l)
	return l
}

func names(l Listing) []string {
	out := []string{}
	for _, i := range l.Items {
		out = append(out, i.Name)
	}
	return out
}

func (b *bench) topics() []string {
	out := []string{}
	for _, e := range servetest.Outbox(b.t, b.db) {
		out = append(out, e.Topic)
	}
	return out
}

func (b *bench) importFile(query, file string) ImportReport {
	b.t.Helper()
	var report ImportReport
	b.do("POST", adminPath+"/import"+query, b.admin, file, 200, "Content-Type", "text/csv").JSON(b.t, &report)
	return report
}

func TestLifeOfAProduct(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Home"}, 201)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Lamps", "parent": "home"}, 201)

	res := b.do("POST", adminPath, b.admin, object{
		"name": "Desk lamp", "description": `<p onclick="x()">Warm <b>light</b></p><script>alert(1)</script>`, "vendor": "Lumen", "category": "lamps",
		"tags": []string{"light", "desk"}, "options": []string{"Colour"}, "attributes": object{"Socket": "E27"},
		"variants": []object{
			{"sku": "LAMP-RED", "options": object{"Colour": "Red"}, "price": object{"amount_minor": 2500, "currency": "GBP"}, "initial_stock": 4, "max_per_shopper": 2},
			{"sku": "LAMP-BLUE", "options": object{"Colour": "Blue"}, "price": object{"amount_minor": 2600, "currency": "GBP"}},
		},
	}, 201)
	var p AdminProduct
	res.JSON(t, &p)
	require.Equal(t, adminPath+"/"+p.ID.String(), res.Header.Get("Location"))
	require.Equal(t, "<p>Warm <b>light</b></p>", p.Description)
	require.Equal(t, Draft, p.Status)
	require.Equal(t, 1, p.Version)

	t.Log("a draft does not exist for shoppers, but neighbours learn why it is not sold")
	require.Equal(t, "product-not-found", b.do("GET", "/api/v1/products/desk-lamp", "", nil, 404).Slug())
	require.Empty(t, b.list("").Items)
	require.Empty(t, b.list("?q=lamp").Items)
	require.Empty(t, b.topics())
	variants := func() []VariantItem {
		var out struct{ Items []VariantItem }
		b.do("POST", "/internal/variants", "", object{"skus": []string{"LAMP-RED", "NONE", "LAMP-BLUE"}}, 200, "dapr-caller-app-id", "carts").JSON(t, &out)
		return out.Items
	}
	require.Len(t, variants(), 2)
	require.Equal(t, Draft, variants()[0].Status)
	require.Equal(t, []string{"Blue", "Red"}, []string{variants()[0].Variant, variants()[1].Variant})

	b.do("POST", adminPath+"/"+p.ID.String()+"/publication", b.admin, nil, 200).JSON(t, &p)
	require.Equal(t, Published, p.Status)
	require.Equal(t, 2, p.Version)
	b.do("POST", adminPath+"/"+p.ID.String()+"/publication", b.admin, nil, 200).JSON(t, &p)
	require.Equal(t, 2, p.Version, "publishing twice changes nothing")

	stand.has("LAMP-RED", 4)
	var page PublicProduct
	b.do("GET", "/api/v1/products/desk-lamp", "", nil, 200).JSON(t, &page)
	require.Equal(t, "Desk lamp", page.Name)
	require.Equal(t, "LAMP-RED", page.SKU)
	require.Equal(t, int64(2500), page.Price.Amount)
	require.Equal(t, int64(4), *page.Available)
	require.True(t, page.InStock)
	require.Equal(t, "lamps", *page.Category)
	require.Equal(t, map[string]string{"Colour": "Blue"}, page.Variants[1].Options)
	require.Equal(t, "Blue", page.Variants[1].Name)
	require.Equal(t, 2, page.VariantCount)
	require.Nil(t, page.Variants[1].Available, "inventory does not know it yet")
	require.Equal(t, 2, page.Variants[0].MaxPerShopper)
	require.Equal(t, 20, page.Variants[1].MaxPerShopper)
	require.Equal(t, map[string]string{"Socket": "E27"}, page.Attributes)

	sent := servetest.Outbox(t, b.db)
	require.Len(t, sent, 1)
	var e events.ProductPublished
	require.NoError(t, json.Unmarshal(sent[0].Data, &e))
	require.Equal(t, p.ID, e.ProductID)
	require.Equal(t, events.ProductVariant{
		SKU: "LAMP-RED", Options: map[string]string{"Colour": "Red"}, Variant: "Red",
		Price: events.Money{Amount: 2500, Currency: "GBP"}, InitialStock: 4, MaxPerShopper: ptr(2),
	}, e.Variants[0])
	require.Nil(t, e.Variants[1].MaxPerShopper, "no limit of its own, whatever a cart may hold")
	require.Equal(t, []*int{nil, ptr(2)}, []*int{variants()[0].MaxPerShopper, variants()[1].MaxPerShopper})

	t.Log("a change needs the version that was read")
	problem := b.do("PATCH", adminPath+"/"+p.ID.String(), b.admin, object{"version": 1, "name": "Lamp"}, 409)
	require.Equal(t, "version-conflict", problem.Slug())
	b.do("PATCH", adminPath+"/"+p.ID.String(), b.admin, object{"version": 2, "name": "Table lamp", "category": "", "variants": []object{
		{"sku": "LAMP-GREEN", "options": object{"Colour": "Green"}, "price": object{"amount_minor": 2700, "currency": "GBP"}, "initial_stock": 1}}}, 200).JSON(t, &p)
	require.Equal(t, 3, p.Version)
	require.Len(t, p.Variants, 3)
	require.Nil(t, p.Category)
	b.do("PATCH", adminPath+"/"+p.ID.String(), b.admin, object{"version": 3, "variants": []object{{"sku": "LAMP-RED", "price": object{"amount_minor": 2400, "currency": "GBP"}}}}, 200).JSON(t, &p)
	require.Equal(t, AdminVariant{SKU: "LAMP-RED", Options: map[string]string{"Colour": "Red"}, Price: money.New(2400, "GBP"), MaxPerShopper: ptr(2), InitialStock: 4, InStock: true}, p.Variants[0])
	require.Equal(t, []string{"Table lamp"}, names(b.list("?q=green")))

	b.do("DELETE", adminPath+"/"+p.ID.String()+"/publication", b.admin, nil, 200).JSON(t, &p)
	require.Equal(t, Unlisted, p.Status)
	b.do("GET", "/api/v1/products/desk-lamp", "", nil, 404)
	b.do("GET", "/api/v1/products/desk-lamp", b.user, nil, 404)
	require.Empty(t, b.list("").Items)
	require.Equal(t, Unlisted, variants()[0].Status)
	require.Equal(t, []string{"product.published.v1", "product.changed.v1", "product.changed.v1", "product.withdrawn.v1"}, b.topics())

	b.do("POST", adminPath+"/"+p.ID.String()+"/publication", b.admin, nil, 200).JSON(t, &p)
	b.do("GET", "/api/v1/products/desk-lamp", "", nil, 200)
	require.Len(t, b.topics(), 5)
}

func TestWhoMayCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.product("Lamp", "WHO-1", 100)
	id := adminPath + "/" + p.ID.String()
	for _, c := range []struct {
		method, path string
	}{
		{"GET", adminPath}, {"POST", adminPath}, {"GET", id}, {"PATCH", id}, {"DELETE", id + "/variants/WHO-1"},
		{"POST", id + "/publication"}, {"DELETE", id + "/publication"}, {"POST", id + "/images"}, {"DELETE", id + "/images/" + uuid.NewString()},
		{"POST", adminPath + "/pictures?name=a.svg"}, {"POST", adminPath + "/import"},
		{"GET", adminPath + "/categories"}, {"GET", adminPath + "/export"}, {"POST", adminPath + "/categories"}, {"PATCH", adminPath + "/categories/x"}, {"DELETE", adminPath + "/categories/x"},
	} {
		b.do(c.method, c.path, "", "{}", 401)
		b.do(c.method, c.path, b.user, "{}", 403)
		b.do(c.method, c.path, servetest.TokenUntil(t, uuid.New(), "ops@example.com", time.Now().Add(-time.Second), "ADMIN"), "{}", 401)
	}
	for _, path := range []string{"/api/v1/products", "/api/v1/categories", "/api/v1/products/x"} {
		b.do("GET", path, "not-a-token", nil, 401)
	}
	b.do("POST", "/internal/variants", "", object{"skus": []string{}}, 403)
	b.do("POST", "/internal/variants", "", object{"skus": []string{}}, 403, "dapr-caller-app-id", "store")
	b.do("POST", "/internal/variants", "", object{"skus": []string{}}, 200, "dapr-caller-app-id", "orders")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.published("Lamp", "BAD-1", 100)
	b.product("Other", "BAD-2", 100)
	long := strings.Repeat("x", 10_000)
	price := func(n any, currency string) object { return object{"amount_minor": n, "currency": currency} }
	variant := func(v object) object { return object{"name": "New", "variants": []object{v}} }
	before := len(servetest.Outbox(t, b.db))

	for name, c := range map[string]struct {
		body   any
		status int
		slug   string
	}{
		"not json":           {"{", 400, "malformed"},
		"two documents":      {"{}{}", 400, "malformed"},
		"not utf-8":          {[]byte("{\"name\":\"\xff\"}"), 400, "malformed"},
		"nul":                {`{"name":"a\u0000b"}`, 400, "malformed"},
		"wrong type":         {object{"name": 1}, 422, "invalid"},
		"unknown field":      {object{"name": "x", "colour": "red"}, 422, "invalid"},
		"no name":            {object{}, 422, "invalid"},
		"empty name":         {object{"name": ""}, 422, "invalid"},
		"invisible name":     {object{"name": "\u00a0\u200b\u3164", "slug": "unseen"}, 422, "invalid"},
		"spaces as name":     {object{"name": "   "}, 422, "invalid"},
		"control characters": {object{"name": "a\x07b"}, 422, "invalid"},
		"long name":          {object{"name": long}, 422, "invalid"},
		"long vendor":        {object{"name": "x", "vendor": long}, 422, "invalid"},
		"long tag":           {object{"name": "x", "tags": []string{long}}, 422, "invalid"},
		"long slug":          {object{"name": "x", "slug": long}, 422, "invalid"},
		"html slug":          {object{"name": "x", "slug": "<b>"}, 422, "invalid"},
		"no name to make":    {object{"name": "\u200b"}, 422, "invalid"},
		"sql slug":           {object{"name": "x", "slug": "'; drop table products; --"}, 422, "invalid"},
		"unknown category":   {object{"name": "x", "category": "' OR 1=1 --"}, 422, "invalid"},
		"slug taken":         {object{"name": "Lamp", "slug": "lamp"}, 409, "slug-taken"},
		"sku taken":          {variant(object{"sku": "BAD-1", "price": price(1, "GBP")}), 409, "sku-taken"},
		"sku in other case":  {variant(object{"sku": "bad-1", "price": price(1, "GBP")}), 409, "sku-taken"},
		"sku of two lines":   {variant(object{"sku": "A\nB", "price": price(1, "GBP")}), 422, "invalid"},
		"long sku":           {variant(object{"sku": strings.Repeat("x", 256), "price": price(1, "GBP")}), 422, "invalid"},
		"no price":           {variant(object{"sku": "N"}), 422, "invalid"},
		"negative price":     {variant(object{"sku": "N", "price": price(-1, "GBP")}), 422, "invalid"},
		"zero price":         {variant(object{"sku": "N", "price": price(0, "GBP")}), 422, "invalid"},
		"huge price":         {variant(object{"sku": "N", "price": price(int64(1)<<60, "GBP")}), 422, "invalid"},
		"beyond int64":       {`{"name":"x","variants":[{"sku":"N","price":{"amount_minor":1e30,"currency":"GBP"}}]}`, 422, "invalid"},
		"fraction":           {`{"name":"x","variants":[{"sku":"N","price":{"amount_minor":1.5,"currency":"GBP"}}]}`, 422, "invalid"},
		"other currency":     {variant(object{"sku": "N", "price": price(1, "EUR")}), 422, "invalid"},
		"unknown currency":   {variant(object{"sku": "N", "price": price(1, "???")}), 422, "invalid"},
		"negative stock":     {variant(object{"sku": "N", "price": price(1, "GBP"), "initial_stock": -1}), 422, "invalid"},
		"too many a shopper": {variant(object{"sku": "N", "price": price(1, "GBP"), "max_per_shopper": 21}), 422, "invalid"},
		"unknown option":     {variant(object{"sku": "N", "price": price(1, "GBP"), "options": object{"Size": "M"}}), 422, "invalid"},
		"missing option":     {object{"name": "New", "options": []string{"Size"}, "variants": []object{{"sku": "N", "price": price(1, "GBP")}}}, 422, "invalid"},
		"two megabytes":      {object{"name": strings.Repeat("x", 2<<20)}, 413, "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.in(t)
			require.Equal(t, c.slug, b.do("POST", adminPath, b.admin, c.body, c.status).Slug())
		})
	}

	t.Log("text that looks like SQL or HTML is text")
	nasty := b.published(`Robert'); DROP TABLE products;-- <script>alert(1)</script>`, "BAD-3", 100, object{"vendor": "<img src=x onerror=alert(1)>", "tags": []string{"' OR 1=1 --"}})
	require.Equal(t, []string{nasty.Name}, names(b.list("?q="+url.QueryEscape("Robert'); DROP TABLE"))))

	id := adminPath + "/" + p.ID.String()
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		slug         string
	}{
		"no version":              {"PATCH", id, object{"name": "x"}, 422, "invalid"},
		"version 0":               {"PATCH", id, object{"name": "x", "version": 0}, 422, "invalid"},
		"options without values":  {"PATCH", id, object{"version": 2, "options": []string{"Size"}}, 422, "invalid"},
		"unknown product":         {"PATCH", adminPath + "/" + uuid.NewString(), object{"version": 1}, 404, "product-not-found"},
		"not an id":               {"PATCH", adminPath + "/1", object{"version": 1}, 422, "invalid"},
		"read unknown":            {"GET", adminPath + "/" + uuid.NewString(), nil, 404, "product-not-found"},
		"publish unknown":         {"POST", adminPath + "/" + uuid.NewString() + "/publication", nil, 404, "product-not-found"},
		"remove sold variant":     {"DELETE", id + "/variants/BAD-1", nil, 409, "variant-published"},
		"remove unknown variant":  {"DELETE", id + "/variants/NONE", nil, 404, "variant-not-found"},
		"remove unknown image":    {"DELETE", id + "/images/" + uuid.NewString(), nil, 404, "image-not-found"},
		"upload text":             {"POST", id + "/images", "hello", 422, "picture-refused"},
		"upload a script":         {"POST", id + "/images", `<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>`, 422, "picture-refused"},
		"upload too much":         {"POST", id + "/images", strings.Repeat("x", maxPictureBytes+1), 413, "too-large"},
		"upload for unknown":      {"POST", adminPath + "/" + uuid.NewString() + "/images", "x", 404, "product-not-found"},
		"upload without binding":  {"POST", id + "/images", `<svg xmlns="http://www.w3.org/2000/svg"/>`, 503, "unavailable"},
		"picture without a name":  {"POST", adminPath + "/pictures", `<svg xmlns="http://www.w3.org/2000/svg"/>`, 422, "invalid"},
		"picture with a path":     {"POST", adminPath + "/pictures?name=..%2Fx.svg", `<svg xmlns="http://www.w3.org/2000/svg"/>`, 422, "invalid"},
		"status of nothing":       {"GET", adminPath + "?status=sold", nil, 422, "invalid"},
		"sorted by nothing":       {"GET", adminPath + "?sort=relevance", nil, 422, "invalid"},
		"forged cursor":           {"GET", adminPath + "?cursor=abc", nil, 422, "invalid"},
		"category without name":   {"POST", adminPath + "/categories", object{}, 422, "invalid"},
		"category nobody can see": {"POST", adminPath + "/categories", object{"name": " \u200b\u2060 ", "slug": "ghost"}, 422, "invalid"},
		"category of spaces":      {"POST", adminPath + "/categories", object{"name": "  ", "slug": "spaces"}, 422, "invalid"},
		"product nobody can see":  {"POST", adminPath, object{"name": "\u200e", "slug": "ghost", "variants": []object{{"sku": "GHOST", "price": object{"amount_minor": 1, "currency": "GBP"}}}}, 422, "invalid"},
		"category of long name":   {"POST", adminPath + "/categories", object{"name": long}, 422, "invalid"},
		"category in no category": {"POST", adminPath + "/categories", object{"name": "x", "parent": "none"}, 422, "invalid"},
		"unknown category":        {"PATCH", adminPath + "/categories/none", object{"name": "x"}, 404, "category-not-found"},
		"delete unknown category": {"DELETE", adminPath + "/categories/none", nil, 404, "category-not-found"},
		"import no csv":           {"POST", adminPath + "/import", "hello", 422, "invalid"},
		"import nothing":          {"POST", adminPath + "/import", nil, 422, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b.in(t)
			require.Equal(t, c.slug, b.do(c.method, c.path, b.admin, c.body, c.status).Slug())
		})
	}

	for name, query := range map[string]string{
		"long q": "?q=" + long, "long category": "?category=" + long, "limit 0": "?limit=0", "limit 101": "?limit=101", "limit text": "?limit=x",
		"sort": "?sort=id%3Bdrop", "min text": "?min_price=x", "negative min": "?min_price=-1", "huge max": "?max_price=99999999999999999999",
		"min over max": "?min_price=5&max_price=4", "in_stock": "?in_stock=maybe", "option": "?option=Size", "cursor": "?cursor=abc",
		"long cursor": "?cursor=" + long, "forged cursor": "?cursor=eyJ1IjoxfQ.AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			b := b.in(t)
			require.Equal(t, "invalid", b.do("GET", "/api/v1/products"+query, "", nil, 422).Slug())
		})
	}
	b.do("GET", "/api/v1/products?q=%ff", "", nil, 400)
	b.do("GET", "/api/v1/products?q=a%00b", "", nil, 400)
	for _, slug := range []string{"none", "%27%20OR%201=1", "%3Cscript%3E", long[:300]} {
		require.Contains(t, []int{404, 422}, servetest.Do(t, b.rt, "GET", "/api/v1/products/"+slug, "", nil).Status)
	}
	for _, q := range []string{"'", `"`, "\\", ":*", "!", "&|()<->", "' OR 1=1 --", "%", "_", "<script>", "日本", "a b c d e f g h i j k l m", "the", "-", "0x1F 1e400"} {
		b.do("GET", "/api/v1/products?q="+url.QueryEscape(q), "", nil, 200)
	}
	for _, q := range []string{"'", "!!!", "%", "<>"} {
		require.Empty(t, b.list("?q="+url.QueryEscape(q)).Items, q)
	}
	require.NotEmpty(t, b.list("?q=").Items)
	require.Len(t, servetest.Outbox(t, b.db), before+1, "nothing but the one product was published")
}

func TestSearch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Wireless headphones", "S-HEAD", 9900, object{"vendor": "Auralia", "tags": []string{"audio", "bluetooth"}, "description": "<p>Forty hours of music.</p>"})
	b.published("Café mug", "S-MUG-01", 1200, object{"description": "<p>Stoneware, also for headphones stands.</p>"})
	b.published("Rain jacket", "S-JKT", 8900, object{"options": []string{"Size"}, "variants": []object{
		{"sku": "S-JKT-M", "options": object{"Size": "Medium"}, "price": object{"amount_minor": 8900, "currency": "GBP"}},
		{"sku": "S-JKT-L", "options": object{"Size": "Large"}, "price": object{"amount_minor": 8900, "currency": "GBP"}}}})
	b.product("Hidden headphones", "S-HID", 100)

	for q, want := range map[string][]string{
		"headphones":          {"Wireless headphones", "Café mug"}, // in the title counts more
		"HEADPHONE":           {"Wireless headphones", "Café mug"},
		"head":                {"Wireless headphones", "Café mug"},
		"wireless headphones": {"Wireless headphones"},
		"cafe":                {"Café mug"},
		"s-mug-01":            {"Café mug"},
		"auralia":             {"Wireless headphones"},
		"bluetooth":           {"Wireless headphones"},
		"music":               {"Wireless headphones"},
		"medium jacket":       {"Rain jacket"},
		"raining jackets":     {"Rain jacket"},
		// mistyped
		"hedphones":          {"Wireless headphones", "Café mug"},
		"wirless haedphones": {"Wireless headphones"},
		"jaket":              {"Rain jacket"},
		"jakcet large":       {"Rain jacket"},
		"aurelia":            {"Wireless headphones"},
		"stonware":           {"Café mug"},
		"submarine":          {},
		"jacket submarine":   {},
	} {
		require.Equal(t, want, names(b.list("?q="+url.QueryEscape(q))), q)
	}
	require.Equal(t, "wireless headphones", *b.list("?q=wirless+haedphones").Corrected)
	require.Nil(t, b.list("?q=wireless").Corrected)
}

// TestToldAgain: what a migration has marked is told once more, by one of the instances.
func TestToldAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.published("Lamp", "", 0, object{"variants": []object{
		{"sku": "LAMP-RED", "price": object{"amount_minor": 2500, "currency": "GBP"}, "initial_stock": 4, "max_per_shopper": 2},
	}})
	_, err := b.db.Exec(t.Context(), `INSERT INTO untold VALUES ($1)`, p.ID)
	require.NoError(t, err)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := tellAgain(t.Context(), b.db, "GBP", b.s.now()); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	var again []events.ProductChanged
	for _, sent := range servetest.Outbox(t, b.db) {
		if sent.Topic == "product.changed.v1" {
			var e events.ProductChanged
			require.NoError(t, json.Unmarshal(sent.Data, &e))
			again = append(again, e)
		}
	}
	require.Len(t, again, 1)
	require.Equal(t, []any{p.ID, p.Version + 1}, []any{again[0].ProductID, again[0].Version})
	require.Equal(t, "LAMP-RED", again[0].Variants[0].SKU)
	require.Equal(t, 2, *again[0].Variants[0].MaxPerShopper)
}

func TestListFiltersSortsAndCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Clothes"}, 201)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Shirts", "parent": "clothes"}, 201)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Empty"}, 201)
	var now CategoryList
	b.do("GET", adminPath+"/categories", b.admin, nil, 200).JSON(t, &now)
	require.Len(t, now.Items, 3, "at once")
	sized := func(sku string, price int64, sizes ...string) object {
		variants := []object{}
		for _, s := range sizes {
			variants = append(variants, object{"sku": sku + "-" + s, "options": object{"Size": s}, "initial_stock": 1, "price": object{"amount_minor": price, "currency": "GBP"}})
		}
		return object{"options": []string{"Size"}, "variants": variants}
	}
	b.published("Alpha", "", 0, object{"category": "shirts"}, sized("F-A", 1000, "S", "M"))
	b.published("bravo", "", 0, object{"category": "shirts"}, sized("F-B", 2000, "M", "L"))
	b.published("Écharpe", "F-C", 3000, object{"category": "clothes"})
	b.published("Delta", "F-D", 4000)
	require.NoError(t, servetest.DeliverAs(t, b.rt, uuid.NewString(), events.StockCrossed{SKU: "F-D", InStock: false, Number: 1, At: time.Now()}))

	servetest.Sorts(t, b.rt, b.admin, adminPath, map[string]string{
		"newest": "-at", "oldest": "at", "name": "name", "-name": "-name", "price": "price.amount_minor", "-price": "-price.amount_minor",
	})
	require.Equal(t, []string{"Delta", "Écharpe", "bravo", "Alpha"}, names(b.list("")))
	require.Equal(t, []string{"Alpha", "bravo", "Delta", "Écharpe"}, names(b.list("?sort=name")))
	require.Equal(t, []string{"Alpha", "bravo", "Écharpe", "Delta"}, names(b.list("?sort=price")))
	require.Equal(t, []string{"Delta", "Écharpe", "bravo", "Alpha"}, names(b.list("?sort=-price")))
	require.Equal(t, []string{"Écharpe", "bravo"}, names(b.list("?min_price=2000&max_price=3000")))
	require.Equal(t, []string{"Delta"}, names(b.list("?in_stock=false")))
	require.Len(t, b.list("?in_stock=true").Items, 3)
	require.Equal(t, []string{"Écharpe", "bravo", "Alpha"}, names(b.list("?category=clothes")))
	require.Equal(t, []string{"bravo", "Alpha"}, names(b.list("?category=shirts")))
	require.Empty(t, b.list("?category=none").Items)
	require.Equal(t, []string{"bravo", "Alpha"}, names(b.list("?option=Size:M")))
	require.Equal(t, []string{"bravo", "Alpha"}, names(b.list("?option=Size:S&option=Size:L")))
	require.Empty(t, b.list("?option=Size:S&option=Colour:Red").Items)

	require.Nil(t, b.list("").Facets)
	f := b.list("?category=clothes&max_price=1500").Facets
	require.Equal(t, []CategoryFacet{{"clothes", "Clothes", 1}, {"shirts", "Shirts", 1}}, f.Categories)
	require.Equal(t, int64(1000), *f.Price.Min)
	require.Equal(t, int64(3000), *f.Price.Max)
	require.Equal(t, []OptionFacet{{"Size", []OptionCount{{"M", 1}, {"S", 1}}}}, f.Options)
	f = b.list("?category=clothes&option=Size:S").Facets
	require.Equal(t, []OptionFacet{{"Size", []OptionCount{{"M", 2}, {"L", 1}, {"S", 1}}}}, f.Options)
	f = b.list("?category=none").Facets
	require.Nil(t, f.Price.Min)

	var categories CategoryList
	b.do("GET", "/api/v1/categories", "", nil, 200).JSON(t, &categories)
	clothes := "clothes"
	require.Equal(t, []CategoryItem{{"clothes", "Clothes", nil, 3}, {"empty", "Empty", nil, 0}, {"shirts", "Shirts", &clothes, 2}}, categories.Items)

}

// TestCategoryChanges: categories move, are renamed and found by their new name, and go when they are empty.
func TestCategoryChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Clothes"}, 201)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Shirts", "parent": "clothes"}, 201)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Empty"}, 201)
	b.published("Alpha", "F-A", 1000, object{"category": "shirts"})
	b.published("bravo", "F-B", 2000, object{"category": "shirts"})
	require.Equal(t, "category-in-use", b.do("DELETE", adminPath+"/categories/shirts", b.admin, nil, 409).Slug())
	b.do("PATCH", adminPath+"/categories/clothes", b.admin, object{"parent": "shirts"}, 422)
	b.do("PATCH", adminPath+"/categories/shirts", b.admin, object{"name": "Blouses", "parent": ""}, 200)
	require.Equal(t, []string{"bravo", "Alpha"}, names(b.list("?q=blouse&sort=newest")))
	require.Equal(t, "slug-taken", b.do("POST", adminPath+"/categories", b.admin, object{"name": "blouses"}, 409).Slug())
	b.do("DELETE", adminPath+"/categories/empty", b.admin, nil, 204)
}

func TestPagingWhileRowsChange(t *testing.T) {
	t.Parallel()
	for _, sort := range []string{"relevance", "newest", "price", "-price", "name"} {
		t.Run(sort, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var file strings.Builder
			file.WriteString("Handle,Title,Variant SKU,Variant Price,Variant Inventory Qty\n")
			for i := range 60 {
				fmt.Fprintf(&file, "lamp-%02d,Lamp %02d,%s-%02d,%d.00,1\n", i, i, "P", i, 10+i%7)
			}
			require.Equal(t, 60, b.importFile("", file.String()).Created)
			seen := map[string]int{}
			cursor := ""
			for page := 0; ; page++ {
				l := b.list("?q=lamp&limit=7&sort=" + url.QueryEscape(sort) + cursor)
				for _, i := range l.Items {
					seen[i.Slug]++
				}
				if l.NextCursor == nil {
					break
				}
				cursor = "&cursor=" + url.QueryEscape(*l.NextCursor)
				// New products before and after, and one that was shown goes.
				b.published(fmt.Sprintf("Aardvark lamp %d", page), fmt.Sprintf("NEW-A%d", page), 1)
				b.published(fmt.Sprintf("Zebra lamp %d", page), fmt.Sprintf("NEW-Z%d", page), 100_000)
				var p AdminProduct
				b.do("GET", adminPath+"/"+l.Items[0].ID.String(), b.admin, nil, 200).JSON(t, &p)
				b.do("DELETE", adminPath+"/"+p.ID.String()+"/publication", b.admin, nil, 200)
				require.Less(t, page, 40)
			}
			for i := range 60 {
				require.Equal(t, 1, seen[fmt.Sprintf("lamp-%02d", i)], "lamp-%02d", i)
			}
			for slug, times := range seen {
				require.Equal(t, 1, times, slug)
			}
			b.do("GET", "/api/v1/products?q=other"+cursor, "", nil, 422)
		})
	}
}

func TestStock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Lamp", "STOCK-1", 100)
	inStock := func() bool { return b.list("").Items[0].InStock }
	require.True(t, inStock(), "from the initial stock, until inventory speaks")
	at := time.Now().Add(-time.Hour)
	servetest.Deliver(t, b.rt, events.StockCrossed{SKU: "STOCK-1", InStock: false, Number: 2, At: at})
	require.False(t, inStock())
	servetest.Deliver(t, b.rt, events.StockCrossed{SKU: "STOCK-1", InStock: true, Number: 1, At: at})
	require.False(t, inStock(), "an older word")
	servetest.Deliver(t, b.rt, events.StockCrossed{SKU: "STOCK-1", InStock: true, Number: 3, At: at})
	require.True(t, inStock())
	servetest.Deliver(t, b.rt, events.StockCrossed{SKU: "NEVER-HEARD-OF", InStock: true, Number: 1, At: at})
	require.Len(t, b.topics(), 1, "stock is not a change of the product")

	t.Log("what inventory answers is shown, and kept")
	stand.has("STOCK-1", 0)
	item := b.list("").Items[0]
	require.Equal(t, int64(0), *item.Available)
	require.False(t, item.InStock)
	var kept bool
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT in_stock FROM products WHERE slug = 'lamp'`).Scan(&kept))
	require.False(t, kept)
	stand.has("STOCK-1", 7)
	var page PublicProduct
	b.do("GET", "/api/v1/products/lamp", "", nil, 200).JSON(t, &page)
	require.Equal(t, int64(7), *page.Available)
	require.True(t, page.InStock)
	require.Len(t, b.list("?in_stock=true").Items, 1)

	t.Log("without inventory, pages go on")
	stand.mu.Lock()
	stand.down["STOCK-1"] = true
	stand.mu.Unlock()
	item = b.list("").Items[0]
	require.Nil(t, item.Available)
	require.True(t, item.InStock)
	require.True(t, b.s.inventory.pause.on())
}

func TestCaching(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Lamp", "CACHE-1", 100)
	res := b.do("GET", "/api/v1/products", "", nil, 200)
	require.Equal(t, publicCache, res.Header.Get("Cache-Control"))
	require.Equal(t, "Authorization", res.Header.Get("Vary"))
	require.Contains(t, b.do("GET", "/api/v1/products", b.user, nil, 200).Header.Get("Cache-Control"), "private")
	for _, path := range []string{"/api/v1/products", "/api/v1/products/lamp", "/api/v1/categories"} {
		tag := b.do("GET", path, "", nil, 200).Header.Get("ETag")
		require.NotEmpty(t, tag)
		res := b.do("GET", path, "", nil, 304, "If-None-Match", `"other", `+tag)
		require.Empty(t, res.Body)
		b.do("GET", path, "", nil, 200, "If-None-Match", `"other"`)
	}
	version := func() int64 {
		v, err := catalogueVersion(t.Context(), b.db)
		require.NoError(t, err)
		return v
	}
	before := version()
	draft := b.product("Draft", "CACHE-2", 100)
	require.Equal(t, before, version(), "shoppers see no draft")
	b.do("POST", adminPath+"/"+draft.ID.String()+"/publication", b.admin, nil, 200)
	require.Equal(t, before+1, version())

	t.Log("a kept answer is at most a second old")
	s := newCatalogue(b.rt, b.db, b.s.inventory, "GBP", time.Hour)
	r, err := (&listInput{}).request()
	require.NoError(t, err)
	r.Limit = 10
	first, err := s.list(t.Context(), r)
	require.NoError(t, err)
	b.published("Later", "CACHE-3", 100)
	again, err := s.list(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, first.body, again.body)
	s.version.InvalidateAll()
	fresh, err := s.list(t.Context(), r)
	require.NoError(t, err)
	require.NotEqual(t, first.body, fresh.body, "a new version is a new list")

	t.Log("what is shared between instances survives the way there and back")
	l, err := s.makeList(t.Context(), 1, request{Typed: typed{Words: "lamp"}, Sort: "relevance", Limit: 1, Filter: filter{}})
	require.NoError(t, err)
	data, err := json.Marshal(l)
	require.NoError(t, err)
	var back listed
	require.NoError(t, json.Unmarshal(data, &back))
	require.Equal(t, l.Rows[0].Slug, back.Rows[0].Slug)
	require.Equal(t, l.Facets, back.Facets)
}

func TestManyAskAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Lamp", "ONCE-1", 100)
	c := newCatalogue(b.rt, b.db, b.s.inventory, "GBP", time.Hour)
	var loads int
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := c.once(t.Context(), "key", func(ctx context.Context) (answer, error) {
				loads++ // one at a time, or the race detector says so
				return answer{body: []byte("x")}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, loads)
}

// TestPagesTogether: each gets its own page when several are made at once, and who asks for none gets none.
func TestPagesTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Lamp", "TOGETHER-1", 100)
	b.published("Vase", "TOGETHER-2", 200)
	slugs := []string{"vase", "nothing", "lamp", "vase"}
	answers, err := b.s.catalogue.makePages(t.Context(), slugs)
	require.NoError(t, err)
	require.Len(t, answers, len(slugs))
	for i, slug := range slugs {
		require.NoError(t, answers[i].Err)
		if slug == "nothing" {
			require.Nil(t, answers[i].Value.body)
			continue
		}
		var page PublicProduct
		require.NoError(t, json.Unmarshal(answers[i].Value.body, &page))
		require.Equal(t, slug, page.Slug)
		require.Len(t, page.Variants, 1)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, savePicture(t.Context(), b.db, "tee.svg", "abc.svg"))
	file := header +
		"i-tee,Tee,<b>Soft</b><script>x</script>,Acme,Clothes > Shirts,cotton,TRUE,Size,S,I-T-S,10.00,5,tee.svg,A tee,active\n" +
		"i-tee,,,,,,,,M,I-T-M,11.50,6,https://cdn.example.com/m.jpg,,\n" +
		"i-mug,Mug,,,Mugs,,TRUE,Title,Default Title,,7.99,3,http://169.254.169.254/x,,active\n" +
		"i-bad,Bad,,,,,TRUE,Title,Default Title,I-BAD,-5,1,,,active\n" +
		"i-hat,Hat,,,,,TRUE,Title,Default Title,I-HAT,9,1,,,draft\n"
	report := b.importFile("", file)
	require.Equal(t, ImportReport{Rows: report.Rows, Created: 4, Refused: 1, Complete: true}, report)
	require.Equal(t, "the price is not an amount such as 19.99", report.Rows[3].Reason)
	require.Equal(t, 5, report.Rows[3].Line)
	require.Contains(t, report.Rows[2].Notes[0], "picture not taken")
	require.Equal(t, []string{"product.published.v1", "product.published.v1"}, b.topics())
	var page PublicProduct
	b.do("GET", "/api/v1/products/i-tee", "", nil, 200).JSON(t, &page)
	require.Equal(t, "shirts", *page.Category)
	require.Equal(t, []PublicImage{{"/media/abc.svg", "A tee"}, {"https://cdn.example.com/m.jpg", ""}}, page.Images)
	require.Equal(t, "<b>Soft</b>", page.Description)
	b.do("GET", "/api/v1/products/i-hat", "", nil, 404)
	b.do("GET", "/api/v1/products/i-bad", "", nil, 404)

	again := b.importFile("", file)
	require.Equal(t, ImportReport{Rows: again.Rows, Unchanged: 4, Refused: 1, Complete: true}, again)
	require.Len(t, b.topics(), 2)
	require.Len(t, b.list("").Items, 2)

	t.Log("an export can be imported again")
	b.do("PATCH", adminPath+"/"+page.ID.String(), b.admin, map[string]any{"version": page.Version, "name": "=1+1", "attributes": map[string]string{"Material": "-Oak"}}, 200)
	exported := b.do("GET", adminPath+"/export", b.admin, nil, 200)
	require.Contains(t, exported.Header.Get("Content-Type"), "text/csv")
	require.Contains(t, string(exported.Body), ",'=1+1,")
	sent := len(b.topics())
	again = b.importFile("", string(exported.Body))
	require.Equal(t, ImportReport{Rows: again.Rows, Unchanged: 4, Complete: true}, again, "%s", exported.Body)
	require.Len(t, b.topics(), sent)
	b.do("PATCH", adminPath+"/"+page.ID.String(), b.admin, map[string]any{"version": page.Version + 1, "name": "Tee"}, 200)

	t.Log("stock of known SKUs, only when asked")
	stand.has("I-T-S", 5)
	report = b.importFile("?set_stock=true", strings.Replace(file, "10.00,5", "10.00,50", 1))
	require.Equal(t, "changed refused refused refused unchanged", outcomes(report.Rows))
	require.Contains(t, report.Rows[1].Reason, "not heard of")
	require.Equal(t, int64(50), stand.set["I-T-S"])

	t.Log("as a form")
	form := "--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\n\r\n" + file + "\r\n--x--\r\n"
	report = ImportReport{}
	b.do("POST", adminPath+"/import", b.admin, form, 200, "Content-Type", "multipart/form-data; boundary=x").JSON(t, &report)
	require.Equal(t, 4, report.Unchanged)
	b.do("POST", adminPath+"/import", b.admin, "--x--\r\n", 422, "Content-Type", "multipart/form-data; boundary=x")

	t.Log("a SKU that another product of the file has")
	report = b.importFile("", header+"i-one,One,,,,,,Title,Default Title,I-SAME,1,1,,,\ni-two,Two,,,,,,Title,Default Title,i-same,1,1,,,\n")
	require.Equal(t, "created refused", outcomes(report.Rows))

	t.Log("a SKU made from the handle that another product has already")
	report = b.importFile("", header+"other,Other,,,,,,Title,Default Title,MADE,1,1,,,\nmade,Made,,,,,,Title,Default Title,,1,1,,,\nfine,Fine,,,,,,Title,Default Title,,1,1,,,\n")
	require.Equal(t, "created created created", outcomes(report.Rows))
	require.Regexp(t, "^MADE-[0-9A-F]{6}$", report.Rows[1].SKU)

	t.Log("a file that cannot be read to its end")
	report = b.importFile("", header+"cut,Cut,,,,,,Title,Default Title,CUT,1,1,,,\nx,\""+strings.Repeat("x", 3<<20))
	require.False(t, report.Complete)
	require.Contains(t, report.Stopped, "quote")
	require.Equal(t, 1, report.Created)

	t.Log("one at a time")
	release, ok, err := lockImport(t.Context(), b.db)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "import-running", b.do("POST", adminPath+"/import", b.admin, file, 409).Slug())
	release()
	b.importFile("", file)

	t.Log("too much is refused before it is read")
	res := servetest.Do(t, b.rt, "POST", adminPath+"/import", b.admin, "x", "Content-Length", fmt.Sprint(maxImportBytes+1))
	require.Equal(t, 413, res.Status)
}

func TestExportFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := header +
		"e-tee,Tee,,,Clothes > Shirts,,TRUE,Size,S,E-T-S,10,5,,,active\n" +
		"e-tee,,,,,,,,M,E-T-M,11,6,,,\n" +
		"e-cap,Woollen cap,,,Clothes,,FALSE,Title,Default Title,E-CAP,9,1,,,draft\n" +
		"e-mug,Mug,,,Mugs,,FALSE,Title,Default Title,E-MUG,7,3,,,archived\n"
	for i := range exportBatch + 20 {
		file += fmt.Sprintf("e-%d,Thing %d,,,,,FALSE,Title,Default Title,E-%d,1,1,,,draft\n", i, i, i)
	}
	require.Equal(t, exportBatch+24, b.importFile("", file).Created, "rows")
	handles := func(query string) []string {
		t.Helper()
		file := b.do("GET", adminPath+"/export"+query, b.admin, nil, 200).Body
		require.True(t, bytes.HasPrefix(file, []byte(byteOrderMark)))
		rows, err := csv.NewReader(bytes.NewReader(file[len(byteOrderMark):])).ReadAll()
		require.NoError(t, err)
		require.Equal(t, "Handle", rows[0][0])
		out := []string{}
		for _, r := range rows[1:] {
			out = append(out, r[0])
		}
		return out
	}
	for query, want := range map[string][]string{
		"?status=published":              {"e-tee", "e-tee"},
		"?status=unlisted":               {},
		"?q=tee":                         {"e-tee", "e-tee"},
		"?q=E-T-M":                       {"e-tee", "e-tee"},
		"?q=wool":                        {"e-cap"},
		"?q=nothing":                     {},
		"?category=clothes":              {"e-tee", "e-tee", "e-cap"},
		"?category=shirts":               {"e-tee", "e-tee"},
		"?category=none":                 {},
		"?category=clothes&status=draft": {"e-cap"},
		"?category=clothes&q=mug":        {},
	} {
		require.Equal(t, want, handles(query), query)
	}
	require.Len(t, handles(""), exportBatch+24, "everything, a row for each variant")
	drafts := handles("?status=draft")
	require.Subset(t, drafts, []string{"e-cap", "e-0", fmt.Sprint("e-", exportBatch+19)}, "the filter holds in all batches")
	require.NotContains(t, drafts, "e-tee")
	for _, query := range []string{"?status=sold", "?q=" + strings.Repeat("a", 201), "?category=" + strings.Repeat("a", 256)} {
		require.Equal(t, "invalid", b.do("GET", adminPath+"/export"+query, b.admin, nil, 422).Slug(), query)
	}
}

func TestVariantsOfARequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	variant := func(sku string, options object) object {
		return object{"sku": sku, "options": options, "price": object{"amount_minor": 100, "currency": "GBP"}}
	}
	size := func(sku, size string) object { return variant(sku, object{"Size": size}) }
	long := strings.Repeat("x", 101)
	const second = "body.variants[1].options.Size"
	var p AdminProduct
	b.do("POST", adminPath, b.admin, object{"name": "Tee", "options": []string{"Size"}, "variants": []object{size("V-S", "S"), size("V-M", "M")}}, 201).JSON(t, &p)
	for name, c := range map[string]struct {
		variants          []object
		location, message string
	}{
		"sku twice":                     {[]object{size("V-1", "1"), size("V-2", "2"), size("V-1", "3")}, "body.variants[2].sku", "is there twice"},
		"sku twice, the same in all":    {[]object{size("V-1", "1"), size("V-1", "1")}, "body.variants[1].sku", "is there twice"},
		"sku twice, in other letters":   {[]object{size("V-a", "1"), size("v-A", "2")}, "body.variants[1].sku", "is there twice"},
		"sku twice, with a space":       {[]object{size("V-1", "1"), size(" V-1", "2")}, "body.variants[1].sku", "is there twice"},
		"option empty":                  {[]object{size("V-1", "1"), size("V-2", " ")}, second, "must not be empty"},
		"option missing":                {[]object{size("V-1", "1"), variant("V-2", nil)}, second, "must not be empty"},
		"option long":                   {[]object{size("V-1", "1"), size("V-2", long)}, second, "must have at most 100 characters"},
		"options of another":            {[]object{size("V-1", "1"), size("V-2", "1")}, "body.variants[1]", "must differ from each other in SKU and options"},
		"sku that no variant can have":  {[]object{size("V-1", "1"), size("V\n2", "2")}, "body.variants[1].sku", ""},
		"price that no variant can ask": {[]object{{"sku": "V-1", "options": object{"Size": "1"}, "price": object{"amount_minor": maxPrice + 1, "currency": "GBP"}}}, "body.variants[0].price", ""},
	} {
		for method, path := range map[string]string{"POST": adminPath, "PATCH": adminPath + "/" + p.ID.String()} {
			body := object{"name": "Other", "options": []string{"Size"}, "variants": c.variants}
			if method == "PATCH" {
				body["version"] = p.Version
			}
			res := b.do(method, path, b.admin, body, 422)
			require.Equal(t, "invalid", res.Slug(), name)
			var refused struct{ Errors []problem.FieldError }
			res.JSON(t, &refused)
			require.Len(t, refused.Errors, 1, name)
			require.Equal(t, c.location, refused.Errors[0].Location, name)
			if c.message != "" {
				require.Equal(t, c.message, refused.Errors[0].Message, name)
			}
		}
	}
	patch := func(status int, variants ...object) servetest.Response {
		t.Helper()
		return b.do("PATCH", adminPath+"/"+p.ID.String(), b.admin, object{"version": p.Version, "variants": variants}, status)
	}
	require.Contains(t, string(patch(422, size("V-L", "L"), size("v-s", "XS")).Body), `"body.variants[1]"`, "the product has it, in other letters")
	require.Contains(t, string(patch(422, size("V-L", "L"), size("V-XL", "S")).Body), `"body.variants[1]"`, "the product has its options")
	var now AdminProduct
	b.do("GET", adminPath+"/"+p.ID.String(), b.admin, nil, 200).JSON(t, &now)
	require.Equal(t, p, now, "nothing of what was refused is kept")

	t.Log("a space around a known SKU changes the variant, and keeps what is not named")
	patch(200, object{"sku": " V-M ", "price": object{"amount_minor": 200, "currency": "GBP"}}).JSON(t, &now)
	p.Variants[1].Price.Amount = 200
	require.Equal(t, p.Variants, now.Variants)
}

func TestTwoWritersAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.published("Lamp", "RACE-1", 100)
	var wg sync.WaitGroup
	statuses := make([]int, 20)
	for i := range statuses {
		wg.Go(func() {
			switch i % 4 {
			case 0:
				statuses[i] = servetest.Do(t, b.rt, "PATCH", adminPath+"/"+p.ID.String(), b.admin, object{"version": p.Version, "name": fmt.Sprintf("Lamp %d", i)}).Status
			case 1:
				statuses[i] = servetest.Do(t, b.rt, "POST", adminPath, b.admin, object{
					"name": "Same", "slug": "same-slug",
					"variants": []object{{"sku": fmt.Sprintf("RACE-X%d", i), "price": object{"amount_minor": 1, "currency": "GBP"}}},
				}).Status
			case 2:
				statuses[i] = servetest.Do(t, b.rt, "POST", adminPath, b.admin, object{"name": fmt.Sprintf("Same sku %d", i), "variants": []object{{"sku": "RACE-SAME", "price": object{"amount_minor": 1, "currency": "GBP"}}}}).Status
			case 3:
				statuses[i] = 200
				if err := servetest.DeliverAs(t, b.rt, uuid.NewString(), events.StockCrossed{SKU: "RACE-1", InStock: i%8 == 3, Number: int64(i), At: time.Now()}); err != nil {
					statuses[i] = 500
				}
			}
		})
	}
	wg.Wait()
	count := func(kind, status int) (n int) {
		for i, s := range statuses {
			require.Less(t, s, 500)
			if i%4 == kind && s == status {
				n++
			}
		}
		return n
	}
	require.Equal(t, 1, count(0, 200))
	require.Equal(t, 1, count(1, 201))
	require.Equal(t, 1, count(2, 201))
}

// TestSeed shows that the catalogue that a new shop starts with is taken without a word, pictures included.
func TestSeed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pictures, err := filepath.Glob("../../dev/seed/pictures/*")
	require.NoError(t, err)
	for _, path := range pictures {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		files, err := preparePicture(data)
		require.NoError(t, err, path)
		require.NoError(t, savePicture(t.Context(), b.db, filepath.Base(path), files[len(files)-1].name))
	}
	file, err := os.ReadFile("../../dev/seed/products.csv")
	require.NoError(t, err)
	report := b.importFile("", string(file))
	for _, r := range report.Rows {
		require.Equal(t, outcomeCreated, r.Outcome, "%+v", r)
		require.Empty(t, r.Notes, "%+v", r)
	}
	var categories CategoryList
	b.do("GET", "/api/v1/categories", "", nil, 200).JSON(t, &categories)
	require.Len(t, categories.Items, 8)
	total := 0
	for _, c := range categories.Items {
		total += c.Count
	}
	require.Equal(t, 96, total)
	for _, i := range b.list("?limit=100").Items {
		require.NotNil(t, i.ImageURL, i.Slug)
	}
	require.Equal(t, len(report.Rows), b.importFile("", string(file)).Unchanged)
	for q, want := range map[string]string{"seakers": "Sneakers", "headfones": "", "backpak": "Backpacks", "monstra": "Plants", "skatebord": "Skateboards", "noturne": "Headphones"} {
		l := b.list("?q=" + q)
		if want != "" {
			require.NotEmpty(t, l.Items, q)
			require.Equal(t, strings.ToLower(want), *l.Items[0].Category, q)
		}
	}
}

// rowsOf is a product file that is made while it is read.
type rowsOf struct {
	products, at int
	rest         []byte
}

func (r *rowsOf) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.at == r.products {
			return 0, io.EOF
		}
		i := r.at
		r.at++
		body := strings.Repeat(fmt.Sprintf("<p>Product %d is made of good material and lasts.</p>", i), 20) // 1 KB
		r.rest = fmt.Appendf(nil, "bulk-%d,Bulk %d,%s,Vendor %d,Type %d,\"bulk, t%d\",TRUE,Size,S,BULK-%d-S,%d.99,3,,,active\n"+
			"bulk-%d,,,,,,,,M,BULK-%d-M,%d.99,3,,,\n", i, i, body, i%50, i%8, i%10, i, 5+i%90, i, i, 5+i%90)
		if i == 0 {
			r.rest = append([]byte(header), r.rest...)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestImportManyRows shows that memory does not grow with the file.
func TestImportManyRows(t *testing.T) {
	const products, rows = 2_000, 4_000
	b := setup(t)
	// live is what is reachable: what is garbage depends on GOGC and on how often the collector came.
	live := func() uint64 {
		runtime.GC()
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		return now.HeapAlloc
	}
	// grew is by how much: between the least that was live in the first and in the last quarter of the time, as what a batch
	// has in hand comes and goes.
	run := func() (took time.Duration, grew int64, report ImportReport) {
		file, err := os.CreateTemp(t.TempDir(), "report")
		require.NoError(t, err)
		defer file.Close()
		r := &importRun{service: b.s, id: newID(), report: bufio.NewWriter(file)}
		var heap []uint64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					heap = append(heap, live())
				}
			}
		}()
		began := time.Now()
		require.NoError(t, r.run(t.Context(), &rowsOf{products: products}))
		took = time.Since(began)
		close(stop)
		<-stopped
		_, err = file.Seek(0, io.SeekStart)
		require.NoError(t, err)
		require.NoError(t, json.NewDecoder(file).Decode(&report))
		require.Greater(t, len(heap), 3)
		quarter := len(heap) / 4
		return took, int64(slices.Min(heap[len(heap)-quarter:])) - int64(slices.Min(heap[:quarter])), report
	}
	took, grew, report := run()
	t.Logf("%d rows: %v, the live heap grew by %d KB", rows, took.Round(time.Millisecond), grew>>10)
	require.Equal(t, rows, report.Created)
	require.Less(t, grew, int64(2<<20), "keeping the rows takes 7 MB")
	took, grew, report = run()
	t.Logf("again: %v, the live heap grew by %d KB", took.Round(time.Millisecond), grew>>10)
	require.Equal(t, rows, report.Unchanged)
	require.Len(t, b.topics(), products)
}
