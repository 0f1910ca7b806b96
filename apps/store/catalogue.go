package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

func itoa(n int) string { return strconv.Itoa(n) }

// homeView is the Data of the page "home".
type homeView struct {
	Featured   []summary
	New        []summary
	Low        []summary
	Categories []category
	Pictures   map[string]string
	Drops      []drop // that are not over
	Goodbye    bool
}

// home shows what is featured, what is new, what is nearly gone, and the
// categories. Each part may be missing.
func (s *service) home(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	if old := r.URL.Query(); old.Get("q") != "" || old.Get("category") != "" { // addresses of earlier days
		return page.Moved(searchURL(url.Values{"q": old["q"], "category": old["category"]})), nil
	}
	v := homeView{Categories: menuOf(s.catalogue.all(r.Context()), ""), Goodbye: r.URL.Query().Has("goodbye")}
	newest, err := s.products(r.Context(), url.Values{"sort": {"newest"}, "in_stock": {"true"}, "limit": {"48"}})
	if err != nil {
		return nil, err
	}
	v.Featured = s.chosen(r.Context())
	seen, kinds := map[string]bool{}, map[string]bool{}
	for _, p := range newest.Items {
		if len(s.settings.Featured) == 0 && len(v.Featured) < 3 && p.ImageURL != "" && !kinds[p.Category] {
			v.Featured, kinds[p.Category] = append(v.Featured, p), true
		}
	}
	for _, p := range v.Featured {
		seen[p.Slug] = true
	}
	// One of each category in turn, so that an import of forty lamps does not
	// make it a shop for lamps.
	for round := range 8 {
		had := map[string]int{}
		for _, p := range newest.Items {
			had[p.Category]++
			if had[p.Category] == round+1 && !seen[p.Slug] && len(v.New) < 8 {
				seen[p.Slug] = true
				v.New = append(v.New, p)
			}
		}
	}
	for _, p := range newest.Items {
		if p.Stock().State == "low" && !seen[p.Slug] && len(v.Low) < 4 {
			v.Low = append(v.Low, p)
		}
	}
	v.Pictures = s.catalogue.pictures(r.Context(), v.Categories)
	v.Drops = s.comingDrops(r.Context())
	shared(w, r, anonymous)
	f := s.forAll(r, "/", "Sneakers, lamps, headphones and more that sell out in minutes. "+
		"What is in your cart is held for you while you check out.")
	f.Data = map[string]any{
		"@context": "https://schema.org", "@type": "WebSite", "name": "Stampede", "url": s.public + "/",
		"potentialAction": map[string]any{"@type": "SearchAction", "target": s.public + "/search?q={q}", "query-input": "required name=q"},
	}
	return page.Show("home", page.View{Title: "Things that sell out in minutes", Meta: f, Data: v}), nil
}

// chosen are the products that the shop shows first.
func (s *service) chosen(ctx context.Context) []summary {
	found := make([]*product, len(s.settings.Featured))
	g, ctx := errgroup.WithContext(ctx)
	for i, slug := range s.settings.Featured {
		g.Go(func() error {
			if p, err := s.productBySlug(ctx, slug); err == nil {
				found[i] = &p
			}
			return nil
		})
	}
	_ = g.Wait()
	var all []summary
	for _, p := range found {
		if p != nil {
			all = append(all, p.summary)
		}
	}
	return all
}

// choice is one value of a facet.
type choice struct {
	Name, URL string
	Count     int
	On        bool
}

// searchView is the Data of the page "search".
type searchView struct {
	Query, Category, Sort string
	Corrected             string
	Min, Max              string
	Currency              string
	InStock               bool
	Action                string
	Hidden                []choice // options that stay when the form is sent
	Categories            []choice
	Options               []struct {
		Name   string
		Values []choice
	}
	Active   []choice // what narrows the list, with the address without it
	Products []summary
	Next     string // address of the next page, empty at the end
	Page     bool   // not the first one
}

// searchURL is the address of a list.
func searchURL(q url.Values) string {
	q = cleanQuery(q)
	path := "/search"
	if c := q.Get("category"); c != "" && q.Get("q") == "" {
		path = "/c/" + url.PathEscape(c)
		q.Del("category")
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// cleanQuery keeps what a list knows, without what is empty.
func cleanQuery(in url.Values) url.Values {
	out := url.Values{}
	for _, name := range []string{"q", "category", "sort", "min", "max", "in_stock", "option", "cursor"} {
		for _, v := range in[name] {
			if v = strings.TrimSpace(v); v != "" && len(v) <= 2_000 {
				out.Add(name, v)
			}
		}
	}
	return out
}

// minor reads an amount that a shopper typed, in minor units; "" when it is
// none.
func (s *service) minor(text string) string {
	major, err := strconv.ParseFloat(strings.Replace(text, ",", ".", 1), 64)
	if err != nil || major < 0 || major > 10_000_000 {
		return ""
	}
	factor := 1.0
	if _, fraction, ok := strings.Cut(money.Zero(s.settings.Currency).String(), "."); ok {
		for range fraction {
			factor *= 10
		}
	}
	return strconv.FormatInt(int64(major*factor+0.5), 10)
}

// tidyPrices drops what is no amount, and puts the smaller first.
func (s *service) tidyPrices(asked url.Values) {
	amount := map[string]int64{}
	for _, name := range []string{"min", "max"} {
		n, err := strconv.ParseInt(s.minor(asked.Get(name)), 10, 64)
		if err != nil {
			asked.Del(name)
			continue
		}
		amount[name] = n
	}
	if len(amount) == 2 && amount["min"] > amount["max"] {
		least, most := asked.Get("max"), asked.Get("min")
		asked.Set("min", least)
		asked.Set("max", most)
	}
}

// search shows products: all, of a category, or found by words.
func (s *service) search(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	asked := cleanQuery(r.URL.Query())
	if c := chi.URLParam(r, "category"); c != "" {
		asked.Set("category", c)
	}
	if q := []rune(asked.Get("q")); len(q) > 200 {
		asked.Set("q", string(q[:200]))
	}
	s.tidyPrices(asked)
	query := url.Values{"limit": {"24"}}
	for _, name := range []string{"q", "category", "sort", "cursor"} {
		if v := asked.Get(name); v != "" {
			query.Set(name, v)
		}
	}
	if asked.Get("in_stock") != "" {
		query.Set("in_stock", "true")
	}
	for name, to := range map[string]string{"min": "min_price", "max": "max_price"} {
		if v := s.minor(asked.Get(name)); v != "" {
			query.Set(to, v)
		}
	}
	query["option"] = asked["option"]
	found, err := s.products(r.Context(), query)
	var invalid bool
	if slugOf(err) == "invalid" { // a cursor of yesterday, a sort that is none: begin anew
		invalid = true
		found, err = s.products(r.Context(), url.Values{"limit": {"24"}, "q": query["q"], "category": query["category"]})
	}
	if err != nil {
		return nil, err
	}
	if invalid {
		asked = cleanQuery(url.Values{"q": asked["q"], "category": asked["category"]})
	}
	v := searchView{
		Query: asked.Get("q"), Category: asked.Get("category"), Sort: asked.Get("sort"),
		Currency: strings.TrimRight(money.Zero(s.settings.Currency).String(), "0. "),
		Min:      asked.Get("min"), Max: asked.Get("max"), InStock: asked.Get("in_stock") != "",
		Products: found.Items, Page: asked.Get("cursor") != "",
	}
	if found.Corrected != nil {
		v.Corrected = *found.Corrected
	}
	asked.Del("cursor")
	with := func(change func(url.Values)) string {
		q := url.Values{}
		for k, vs := range asked {
			q[k] = slices.Clone(vs)
		}
		change(q)
		return searchURL(q)
	}
	v.Action = with(func(q url.Values) { clear(q); q["category"] = asked["category"] })
	if v.Query != "" {
		v.Action = "/search"
	}
	if found.NextCursor != nil {
		v.Next = with(func(q url.Values) { q.Set("cursor", *found.NextCursor) })
	}
	categories := s.catalogue.all(r.Context())
	title, description := "Everything", "All that the shop has."
	known := v.Category == ""
	for _, c := range categories {
		if c.Slug == v.Category {
			title, known = c.Name, true
			description = c.Name + " at Stampede: " + itoa(c.ProductCount) + " to choose from, and what is in your cart is held for you."
		}
	}
	if !known && len(found.Items) == 0 && len(categories) > 0 {
		return nil, problem.ErrNotFound.Detail("There is no such category.")
	}
	if v.Query != "" {
		title = "“" + v.Query + "”"
	}
	if found.Facets != nil && v.Query != "" {
		for _, c := range found.Facets.Categories {
			on := c.Slug == v.Category
			v.Categories = append(v.Categories, choice{c.Name, with(func(q url.Values) {
				q.Set("category", c.Slug)
				if on {
					q.Del("category")
				}
			}), c.Count, on})
		}
	}
	if found.Facets != nil {
		for _, o := range found.Facets.Options {
			group := struct {
				Name   string
				Values []choice
			}{Name: o.Name}
			for _, value := range o.Values {
				one := o.Name + ":" + value.Value
				on := slices.Contains(asked["option"], one)
				group.Values = append(group.Values, choice{value.Value, with(func(q url.Values) {
					if on {
						q["option"] = slices.DeleteFunc(q["option"], func(o string) bool { return o == one })
					} else {
						q.Add("option", one)
					}
				}), value.Count, on})
			}
			slices.SortStableFunc(group.Values, func(a, b choice) int { return compareSizes(a.Name, b.Name) })
			v.Options = append(v.Options, group)
		}
	}
	for _, one := range asked["option"] {
		_, name, _ := strings.Cut(one, ":")
		v.Hidden = append(v.Hidden, choice{Name: one})
		v.Active = append(v.Active, choice{Name: name, URL: with(func(q url.Values) {
			q["option"] = slices.DeleteFunc(q["option"], func(o string) bool { return o == one })
		})})
	}
	if v.Min != "" || v.Max != "" {
		name := v.Currency + v.Min + " to " + v.Currency + v.Max
		switch {
		case v.Max == "":
			name = "From " + v.Currency + v.Min
		case v.Min == "":
			name = "Up to " + v.Currency + v.Max
		}
		v.Active = append(v.Active, choice{Name: name, URL: with(func(q url.Values) { q.Del("min"); q.Del("max") })})
	}
	if v.InStock {
		v.Active = append(v.Active, choice{Name: "In stock", URL: with(func(q url.Values) { q.Del("in_stock") })})
	}
	if len(asked["option"]) > 0 {
		for i := range v.Products {
			v.Products[i].Chosen = template.URL("?" + url.Values{"option": asked["option"]}.Encode()) // encoded, so it is one
		}
	}
	shared(w, r, anonymous)
	if partial(r) {
		return page.Part("cards", 0, v), nil
	}
	f := s.forAll(r, searchURL(url.Values{"category": asked["category"]}), description)
	f.Category, f.Query = v.Category, v.Query
	f.NoIndex = v.Query != "" || len(v.Active) > 0 || v.Page
	if v.Query != "" {
		f.Category = ""
	}
	return page.Show("search", page.View{Title: title, Meta: f, Data: v}), nil
}

// sizes is the order of clothes' sizes; everything else is sorted by number,
// then by letter.
var sizes = []string{"XXS", "XS", "S", "M", "L", "XL", "XXL", "XXXL"}

func compareSizes(a, b string) int {
	i, j := slices.Index(sizes, a), slices.Index(sizes, b)
	if i >= 0 && j >= 0 {
		return i - j
	}
	digits := func(s string) (n int) {
		_, rest, _ := strings.Cut(s, " ")
		if rest == "" {
			rest = s
		}
		n, _ = strconv.Atoi(strings.TrimRightFunc(rest, func(r rune) bool { return r < '0' || r > '9' }))
		return n
	}
	if m, n := digits(a), digits(b); m != n {
		return m - n
	}
	return strings.Compare(a, b)
}

// suggestView is the Data of the fragment "suggestions".
type suggestView struct {
	Query    string
	Products []summary
}

// suggest answers what a shopper may mean who is still typing.
func (s *service) suggest(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	v := suggestView{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	if len([]rune(v.Query)) >= 2 && len(v.Query) <= 200 {
		found, err := s.products(r.Context(), url.Values{"q": {v.Query}, "limit": {"6"}})
		if err == nil {
			v.Products = found.Items
		}
	}
	w.Header().Set("Cache-Control", "public, max-age=10, stale-while-revalidate=30")
	return page.Part("suggestions", 0, v), nil
}

// productView is the Data of the page "product".
type productView struct {
	product
	CategoryName string
	Related      []summary
	Problem      string // why it did not go into the cart
	Asked        string // the SKU that is chosen, if one is
	Quantity     int
	Drop         *drop // in which it is sold
}

// Chosen is the variant that is chosen; nil when the shopper has to choose.
func (v productView) Chosen() *variant {
	for i := range v.Variant {
		if v.Variant[i].SKU == v.Asked {
			return &v.Variant[i]
		}
	}
	return nil
}

// Notify is the form for what is sold out.
func (v productView) Notify() notifyForm { return notifyForm{Product: v.product, SKU: v.Asked} }

// Said is what the page says about stock: that of the chosen variant, or that there is something to choose.
func (v productView) Said() stock {
	if one := v.Chosen(); one != nil {
		return one.Stock()
	}
	said := stockOf(v.InStock, nil)
	if v.InStock {
		said.State, said.Text = "", "Please choose"
	}
	return said
}

// Most is how many the list offers: of the chosen variant, or as many as there are of each that one may choose.
func (v productView) Most() int {
	if one := v.Chosen(); one != nil {
		return max(one.Stock().Most, 1)
	}
	most := mostAtOnce
	for _, one := range v.Variant {
		if said := one.Stock(); said.State != "out" {
			most = min(most, said.Most)
		}
	}
	return most
}

// PictureAt is the address of the page with the picture at a place among the images.
func (v productView) PictureAt(i int) string { return pictureAt(v.Slug, i) }

func pictureAt(slug string, i int) string {
	return "/products/" + url.PathEscape(slug) + "/pictures/" + itoa(i+1)
}

// Staged is the place of the picture that is shown large: the chosen variant's own, or the first.
func (v productView) Staged() int {
	for _, one := range v.Variant {
		if i := slices.IndexFunc(v.Images, func(p image) bool { return p.URL == one.ImageURL }); one.SKU == v.Asked && i > 0 {
			return i
		}
	}
	return 0
}

// product shows one product with its variants.
func (s *service) product(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	p, err := s.productBySlug(r.Context(), chi.URLParam(r, "slug"))
	if err != nil {
		return nil, err
	}
	shared(w, r, anonymous)
	v := productView{product: p, Asked: p.fitting(r.URL.Query()["option"]).SKU, Drop: s.dropOf(r.Context(), p)}
	return page.Show("product", s.productPage(r, p, v)), nil
}

// pictureView is the Data of the page "picture".
type pictureView struct {
	Slug, Name     string
	Picture        image
	N, Of          int
	Before, Behind string // addresses of the pictures beside it; empty at the ends
}

// picture shows one picture of a product as large as there is room.
func (s *service) picture(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	p, err := s.productBySlug(r.Context(), chi.URLParam(r, "slug"))
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(chi.URLParam(r, "n"))
	if err != nil || n < 1 || n > len(p.Images) {
		return nil, problem.ErrNotFound
	}
	v := pictureView{Slug: p.Slug, Name: p.Name, Picture: p.described()[n-1], N: n, Of: len(p.Images)}
	if n > 1 {
		v.Before = pictureAt(p.Slug, n-2)
	}
	if n < len(p.Images) {
		v.Behind = pictureAt(p.Slug, n)
	}
	shared(w, r, anonymous)
	f := s.forAll(r, "/products/"+url.PathEscape(p.Slug), p.Summary())
	f.NoIndex, f.Category = true, p.Category
	return page.Show("picture", page.View{Title: v.Picture.Alt, Meta: f, Data: v}), nil
}

func (s *service) productPage(r *http.Request, p product, v productView) page.View {
	v.Quantity = max(v.Quantity, 1)
	v.Images = p.described()
	for _, c := range s.catalogue.all(r.Context()) {
		if c.Slug == p.Category {
			v.CategoryName = c.Name
		}
	}
	if p.Category != "" {
		if near, err := s.products(r.Context(), url.Values{"category": {p.Category}, "limit": {"5"}, "in_stock": {"true"}}); err == nil {
			v.Related = slices.DeleteFunc(near.Items, func(o summary) bool { return o.Slug == p.Slug })
			v.Related = v.Related[:min(4, len(v.Related))]
		}
	}
	f := s.forAll(r, "/products/"+url.PathEscape(p.Slug), p.Summary())
	f.Product = p.Slug
	f.Image, f.Category = s.absolute(p.ImageURL), p.Category
	f.Data = s.structured(p, v.CategoryName)
	return page.View{Title: p.Name, Meta: f, Data: v}
}

func (s *service) absolute(address string) string {
	if strings.HasPrefix(address, "/") {
		return s.public + address
	}
	return address
}

// structured tells search engines what is sold, by schema.org's vocabulary.
func (s *service) structured(p product, category string) any {
	var offers []any
	for _, v := range p.Variant {
		availability := map[string]string{"in": "InStock", "low": "LimitedAvailability", "out": "OutOfStock"}[v.Stock().State]
		offers = append(offers, map[string]any{
			"@type": "Offer", "sku": v.SKU, "name": v.Name, "price": plain(v.Price), "priceCurrency": v.Price.Currency,
			"availability": "https://schema.org/" + availability,
			"url":          s.public + "/products/" + url.PathEscape(p.Slug), "itemCondition": "https://schema.org/NewCondition",
		})
	}
	doc := map[string]any{
		"@context": "https://schema.org", "@type": "Product", "name": p.Name, "sku": p.SKU, "description": p.Summary(), "offers": offers,
	}
	if p.Vendor != "" {
		doc["brand"] = map[string]any{"@type": "Brand", "name": p.Vendor}
	}
	if category != "" {
		doc["category"] = category
	}
	var pictures []string
	for _, i := range p.Images {
		pictures = append(pictures, s.absolute(i.URL))
	}
	if pictures != nil {
		doc["image"] = pictures
	}
	return doc
}

// plain writes an amount without symbol or separators: "1234.50".
func plain(m money.Money) string {
	return strings.TrimLeftFunc(m.String(), func(r rune) bool { return r < '0' || r > '9' })
}

// stock answers how much of each variant there is, for a page that is open.
func (s *service) stock(w http.ResponseWriter, r *http.Request) {
	type item struct {
		SKU string `json:"sku"`
		stock
	}
	p, err := s.productBySlug(r.Context(), chi.URLParam(r, "slug"))
	if err != nil {
		s.pages.Problem(w, r, err)
		return
	}
	items := make([]item, 0, len(p.Variant))
	for _, v := range p.Variant {
		items = append(items, item{v.SKU, v.Stock()})
	}
	w.Header().Set("Cache-Control", anonymous)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(items)
}

// robots lets search engines into the catalogue.
func (s *service) robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	lines := []string{"User-agent: *"}
	for _, path := range []string{
		"/account", "/admin", "/api/", "/cart", "/checkout", "/login", "/my/", "/notify/", "/orders",
		"/password", "/realms/", "/register", "/search", "/suggest", "/verify",
	} {
		lines = append(lines, "Disallow: "+path)
	}
	_, _ = w.Write([]byte(strings.Join(append(lines, "", "Sitemap: "+s.public+"/sitemap.xml", ""), "\n")))
}

const (
	sitemapFresh = 10 * time.Minute
	sitemapMost  = 50_000 // by the protocol of sitemaps.org
)

// sitemap is the last one that was made.
type sitemap struct {
	sync.Mutex
	at   time.Time
	text []byte
}

// getSitemap lists every page of the catalogue.
func (s *service) getSitemap(w http.ResponseWriter, r *http.Request) {
	kept := &s.sitemapKept
	kept.Lock()
	defer kept.Unlock()
	if s.now().Sub(kept.at) > sitemapFresh {
		text, err := s.makeSitemap(r.Context())
		if err != nil {
			s.pages.Problem(w, r, err)
			return
		}
		kept.at, kept.text = s.now(), text
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Cache-Control", "public, max-age=600")
	_, _ = w.Write(kept.text)
}

func (s *service) makeSitemap(ctx context.Context) ([]byte, error) {
	type entry struct {
		Loc string `xml:"loc"`
	}
	set := struct {
		XMLName xml.Name `xml:"urlset"`
		NS      string   `xml:"xmlns,attr"`
		URLs    []entry  `xml:"url"`
	}{NS: "http://www.sitemaps.org/schemas/sitemap/0.9", URLs: []entry{{s.public + "/"}}}
	set.URLs = append(set.URLs, entry{s.public + "/categories"})
	for _, p := range s.foot(ctx) {
		set.URLs = append(set.URLs, entry{s.public + "/pages/" + url.PathEscape(p.Slug)})
	}
	for _, c := range s.catalogue.all(ctx) {
		set.URLs = append(set.URLs, entry{s.public + searchURL(url.Values{"category": {c.Slug}})})
	}
	query := url.Values{"sort": {"name"}, "limit": {"100"}}
	for len(set.URLs) < sitemapMost {
		l, err := s.products(ctx, query)
		if err != nil {
			return nil, err
		}
		for _, p := range l.Items {
			set.URLs = append(set.URLs, entry{s.public + "/products/" + url.PathEscape(p.Slug)})
		}
		if l.NextCursor == nil {
			break
		}
		query.Set("cursor", *l.NextCursor)
	}
	set.URLs = set.URLs[:min(len(set.URLs), sitemapMost)]
	text, err := xml.Marshal(set)
	return append([]byte(xml.Header), text...), err
}
