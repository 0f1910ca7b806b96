package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/serve"
)

const (
	fresh      = time.Second     // how long an answer is kept in process; a price this old is honoured
	listLife   = 2 * time.Minute // of lists in the state store; they are kept under the catalogue's version
	stateLimit = 300 * time.Millisecond
	loadLimit  = 5 * time.Second // for making an answer that others wait for
	hotBytes   = 64 << 20        // of answers kept in process
)

// catalogue is the side that shoppers read. What it answers is at most a second old: the answer itself is
// kept in process for that long, one loader fills it however many wait, and no event is needed to forget
// it. Lists and searches, without what changes by the second, are shared by all instances in the state
// store, under the catalogue's version.
type catalogue struct {
	db        *pgxpool.Pool
	dapr      *dapr.Client
	inventory *inventory
	log       *slog.Logger
	currency  string
	now       func() time.Time

	version *otter.Cache[struct{}, int64]
	same    *otter.Cache[int64, synonyms] // by the catalogue's version
	shelf   *otter.Cache[struct{}, shelf]
	hot     *otter.Cache[string, answer]
	pages   *gather.Gatherer[string, answer]
	state   pause
}

// answer is a body as it goes out; without one, there is nothing to show.
type answer struct {
	body []byte
	etag string
}

func newCatalogue(rt *serve.Runtime, db *pgxpool.Pool, inv *inventory, currency string, fresh time.Duration) *catalogue {
	c := &catalogue{
		db: db, dapr: rt.Dapr, inventory: inv, log: rt.Log, currency: currency, now: rt.Now, state: pause{now: rt.Now},
		version: otter.Must(&otter.Options[struct{}, int64]{MaximumSize: 1, ExpiryCalculator: otter.ExpiryWriting[struct{}, int64](fresh)}),
		same:    otter.Must(&otter.Options[int64, synonyms]{MaximumSize: 2}),
		shelf:   otter.Must(&otter.Options[struct{}, shelf]{MaximumSize: 1, ExpiryCalculator: otter.ExpiryWriting[struct{}, shelf](fresh)}),
		hot: otter.Must(&otter.Options[string, answer]{
			MaximumWeight:    hotBytes,
			Weigher:          func(key string, a answer) uint32 { return uint32(len(key) + len(a.body) + 64) },
			ExpiryCalculator: otter.ExpiryWriting[string, answer](fresh),
		}),
	}
	c.pages = gather.New(gather.Settings[string]{}, c.makePages)
	return c
}

// Summary is a product in a list.
type Summary struct {
	ID        uuid.UUID   `json:"id"`
	Slug      string      `json:"slug"`
	SKU       string      `json:"sku" doc:"The first variant's"`
	Name      string      `json:"name"`
	Price     money.Money `json:"price" doc:"The first variant's"`
	PriceFrom money.Money `json:"price_from" doc:"The lowest of its variants'. Sorting by price goes by it"`
	PriceTo   money.Money `json:"price_to" doc:"The highest of its variants'"`
	ImageURL  *string     `json:"image_url"`
	Category  *string     `json:"category" doc:"Its slug"`
	Available *int64      `json:"available" doc:"The first variant's, at most a second or two old; null while inventory cannot be asked or does not know it yet"`
	InStock   bool        `json:"in_stock" doc:"Any variant's"`

	VariantCount int `json:"variant_count"`
}

// Listing is a page of products.
type Listing struct {
	Items      []Summary `json:"items" nullable:"false"`
	NextCursor *string   `json:"next_cursor"`
	Facets     *Facets   `json:"facets,omitempty" doc:"With q or category. Each facet counts what the other filters leave"`
	Corrected  *string   `json:"corrected_query,omitempty" doc:"What was searched for instead, when q as typed finds nothing"`
}

// Facets are the choices that narrow a list.
type Facets struct {
	Categories []CategoryFacet `json:"categories" nullable:"false"`
	Price      PriceFacet      `json:"price"`
	Options    []OptionFacet   `json:"options" nullable:"false"`
}

// CategoryFacet counts the matches in a category and below.
type CategoryFacet struct {
	Slug  string `json:"slug"`
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// PriceFacet is the range of prices, in minor units.
type PriceFacet struct {
	Min *int64 `json:"min"`
	Max *int64 `json:"max"`
}

// OptionFacet is something that the variants differ in.
type OptionFacet struct {
	Name   string        `json:"name"`
	Values []OptionCount `json:"values" nullable:"false"`
}

// OptionCount counts the products that have an option's value.
type OptionCount struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// request is what a list is asked for; it is also the key under which the answer is kept.
type request struct {
	Typed  typed     `json:"w,omitzero"`  // what the shopper looks for
	Vain   bool      `json:"v,omitempty"` // something was typed, but no word: nothing is found
	Filter filter    `json:"f"`           // its Search is set when the list is made
	Sort   string    `json:"s"`
	Limit  int       `json:"l"`
	After  *bookmark `json:"a,omitempty"`
}

// bookmark is what a cursor carries. It holds the search as it was made, so that a later page searches for
// the same, whatever words have come into the catalogue.
type bookmark struct {
	List      string   `json:"l"` // hash of the list that it belongs to
	Search    search   `json:"q,omitzero"`
	Corrected string   `json:"c,omitempty"`
	Position  position `json:"p"`
}

// hash names a list: the same for each of its pages.
func (r request) hash() string {
	r.After = nil
	r.Limit = 0
	return hashOf(r)
}

func hashOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("products: hash: " + err.Error()) // only strings and numbers get here
	}
	sum := sha256.Sum256(data)
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// listed is a page as it is shared between instances.
type listed struct {
	Rows      []summaryRow
	Next      *bookmark
	Facets    *Facets
	Corrected string
}

// list answers one page of a list.
func (c *catalogue) list(ctx context.Context, r request) (answer, error) {
	version, err := c.version.Get(ctx, struct{}{}, otter.LoaderFunc[struct{}, int64](func(ctx context.Context, _ struct{}) (int64, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadLimit)
		defer cancel()
		return catalogueVersion(ctx, c.db)
	}))
	if err != nil {
		return answer{}, err
	}
	key := fmt.Sprintf("listed:%d:%s", version, hashOf(r)) // "list:" was kept by versions of before, with less in it
	return c.once(ctx, key, func(ctx context.Context) (answer, error) {
		var l listed
		if !c.recall(ctx, key, &l) {
			if l, err = c.makeList(ctx, version, r); err != nil {
				return answer{}, err
			}
			c.remember(ctx, key, l)
		}
		return c.renderList(ctx, l)
	})
}

// once returns what is kept under key, or lets one caller make it.
func (c *catalogue) once(ctx context.Context, key string, load func(context.Context) (answer, error)) (answer, error) {
	return c.hot.Get(ctx, key, otter.LoaderFunc[string, answer](func(ctx context.Context, _ string) (answer, error) {
		// Many may wait for this; it does not end with the one who came first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadLimit)
		defer cancel()
		return load(ctx)
	}))
}

// recall reads what is shared under key. A state store that is away costs nothing but the work.
func (c *catalogue) recall(ctx context.Context, key string, into any) bool {
	if c.state.on() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, stateLimit)
	defer cancel()
	data, _, err := c.dapr.GetState(ctx, serve.State, key)
	if err != nil {
		c.state.begin()
		c.log.WarnContext(ctx, "lists are not shared", "error", err.Error())
		return false
	}
	return len(data) > 0 && json.Unmarshal(data, into) == nil
}

func (c *catalogue) remember(ctx context.Context, key string, v any) {
	if c.state.on() {
		return
	}
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stateLimit)
	defer cancel()
	if err := c.dapr.PutState(ctx, serve.State, key, data, listLife); err != nil {
		c.state.begin()
		c.log.WarnContext(ctx, "lists are not shared", "error", err.Error())
	}
}

// makeList reads a page from the database. A search that finds nothing is made again with the words that
// the shopper may have meant.
func (c *catalogue) makeList(ctx context.Context, version int64, r request) (listed, error) {
	var (
		l       listed
		f       = r.Filter
		after   *position
		groups  [][]string
		faceted = r.Typed.Words != "" || f.Category != ""
	)
	if r.Vain {
		l.Facets = (&facetRows{}).public()
		return l, nil
	}
	for w := range strings.FieldsSeq(r.Typed.Words) {
		groups = append(groups, []string{w})
	}
	var known synonyms
	if r.After != nil {
		after, f.Search, l.Corrected = &r.After.Position, r.After.Search, r.After.Corrected
	} else if len(groups) > 0 {
		load := func(ctx context.Context, _ int64) (synonyms, error) { return loadSynonyms(ctx, c.db) }
		var err error
		if known, err = c.same.Get(ctx, version, otter.LoaderFunc[int64, synonyms](load)); err != nil {
			return l, err
		}
		f.Search = searchFor(groups, r.Typed.Also, known)
	}
	rows, facets, err := loadPage(ctx, c.db, f, r.Sort, after, r.Limit+1, faceted)
	if err != nil {
		return l, err
	}
	if len(rows) == 0 && after == nil && len(groups) > 0 {
		corrected, err := c.correct(ctx, groups)
		if err != nil {
			return l, err
		}
		if corrected != "" {
			f.Search = searchFor(groups, r.Typed.Also, known)
			if rows, facets, err = loadPage(ctx, c.db, f, r.Sort, nil, r.Limit+1, faceted); err != nil {
				return l, err
			}
			if len(rows) > 0 {
				l.Corrected = corrected
			}
		}
	}
	if len(rows) > r.Limit {
		rows = rows[:r.Limit]
		l.Next = &bookmark{List: r.hash(), Search: f.Search, Corrected: l.Corrected, Position: rows[r.Limit-1].position()}
	}
	l.Rows = rows
	if facets != nil {
		l.Facets = facets.public()
	}
	return l, nil
}

// correct adds to each word that begins none of the catalogue what it may have meant; the search as it was meant is empty when
// there is nothing to correct.
func (c *catalogue) correct(ctx context.Context, groups [][]string) (string, error) {
	meant := make([]string, len(groups))
	any := false
	for i, g := range groups {
		w := g[0]
		meant[i] = w
		if unspaced(w) {
			continue
		}
		candidates, err := similarWords(ctx, c.db, w)
		if err != nil {
			return "", err
		}
		if found, ok := nearest(w, candidates); !ok && len(found) > 0 {
			groups[i] = append(g, found...)
			meant[i], any = found[0], true
		}
	}
	if !any {
		return "", nil
	}
	return strings.Join(meant, " "), nil
}

func (f *facetRows) public() *Facets {
	out := &Facets{Categories: []CategoryFacet{}, Price: PriceFacet{f.min, f.max}, Options: []OptionFacet{}}
	for _, r := range f.categories {
		out.Categories = append(out.Categories, CategoryFacet{Slug: r.Value, Name: r.Name, Count: r.Count})
	}
	for _, r := range f.options {
		last := len(out.Options) - 1
		if last < 0 || out.Options[last].Name != r.Name {
			out.Options = append(out.Options, OptionFacet{Name: r.Name, Values: []OptionCount{}})
			last++
		}
		out.Options[last].Values = append(out.Options[last].Values, OptionCount{r.Value, r.Count})
	}
	return out
}

// cursors is what the cursors of the catalogue's lists belong to. Which of them it is the bookmark says, since lists that
// mean the same are kept as one.
const cursors = "products"

// renderList adds what changes by the second: how much is available, asked once for the whole page.
func (c *catalogue) renderList(ctx context.Context, l listed) (answer, error) {
	out := Listing{Items: make([]Summary, 0, len(l.Rows)), Facets: l.Facets}
	if l.Corrected != "" {
		out.Corrected = &l.Corrected
	}
	skus := make([]string, 0, len(l.Rows))
	for _, r := range l.Rows {
		skus = append(skus, r.SKU)
	}
	said := c.inventory.availability(ctx, skus)
	var wrong []stockWord
	for _, r := range l.Rows {
		s := Summary{
			ID: r.ID, Slug: r.Slug, SKU: r.SKU, Name: r.Name, Price: money.New(r.FirstPrice, c.currency),
			PriceFrom: money.New(r.Price, c.currency), PriceTo: money.New(r.Highest, c.currency),
			ImageURL: r.ImageURL, Category: r.Category, InStock: r.InStock, VariantCount: r.Variants,
		}
		if a, ok := said[r.SKU]; ok {
			s.Available = &a.Available
			has := a.Available > 0
			if has || r.Variants == 1 {
				s.InStock = has
			}
			if has != r.FirstInStock {
				wrong = append(wrong, stockWord{SKU: r.SKU, InStock: has, At: a.AsOf})
			}
		}
		out.Items = append(out.Items, s)
	}
	c.putRight(ctx, wrong)
	// The cursor says until when it is good, so it is not the same twice: it stays out of the tag.
	tag := hashOf(out)
	if l.Next != nil {
		next := rest.EncodeCursor(cursors, l.Next)
		out.NextCursor = &next
	}
	return encode(out, tag)
}

// putRight keeps what inventory answered where the catalogue believed otherwise.
func (c *catalogue) putRight(ctx context.Context, wrong []stockWord) {
	if len(wrong) == 0 {
		return
	}
	err := pg.InTx(ctx, c.db, func(tx pgx.Tx) error { return applyStock(ctx, tx, wrong, c.now()) })
	if err != nil {
		c.log.WarnContext(ctx, "stock was not put right", "error", err.Error())
	}
}

// PublicProduct is a product as shoppers see it.
type PublicProduct struct {
	Summary
	Description string            `json:"description" doc:"Sanitised HTML"`
	Vendor      string            `json:"vendor"`
	Tags        []string          `json:"tags" nullable:"false"`
	Options     []string          `json:"options" nullable:"false" doc:"What the variants differ in, in this order"`
	Images      []PublicImage     `json:"images" nullable:"false"`
	Attributes  map[string]string `json:"attributes"`
	Version     int               `json:"version"`
	Variants    []PublicVariant   `json:"variants" nullable:"false"`
	SizeGuide   *SizeGuide        `json:"size_guide" doc:"The page of the shop about its sizes; null when there is none"`
}

// PublicImage is a picture of a product.
type PublicImage struct {
	URL string `json:"url"`
	Alt string `json:"alt"`
}

// PublicVariant is a variant as shoppers see it.
type PublicVariant struct {
	SKU           string            `json:"sku"`
	Name          string            `json:"name" doc:"Which variant it is, such as 'M / Blue'; empty when there is but one"`
	Options       map[string]string `json:"options"`
	Price         money.Money       `json:"price"`
	Available     *int64            `json:"available" doc:"As in a list"`
	InStock       bool              `json:"in_stock"`
	MaxPerShopper int               `json:"max_per_shopper"`
	ImageURL      *string           `json:"image_url" doc:"Its own, if it has one"`
}

// page answers a product's page, or ErrProductNotFound.
func (c *catalogue) page(ctx context.Context, slug string) (answer, error) {
	a, err := c.once(ctx, "page:"+slug, func(ctx context.Context) (answer, error) { return c.pages.Do(ctx, slug) })
	if err == nil && a.body == nil {
		err = ErrProductNotFound.FreshFor(time.Second)
	}
	return a, err
}

// makePages makes the pages that are asked for at the same time: they are read together, and inventory is asked once.
func (c *catalogue) makePages(ctx context.Context, slugs []string) ([]gather.Answer[answer], error) {
	products, err := loadProducts(ctx, c.db, byPublishedSlug, slugs)
	if err != nil {
		return nil, err
	}
	beside, err := c.shelves(ctx)
	if err != nil {
		return nil, err
	}
	var skus []string
	found := make(map[string]*Product, len(products))
	for _, p := range products {
		found[p.Slug] = p
		for _, v := range p.Variants {
			skus = append(skus, v.SKU)
		}
	}
	said := c.inventory.availability(ctx, skus)
	answers := make([]gather.Answer[answer], len(slugs)) // without a body: that there is none is kept too
	var wrong []stockWord
	for i, slug := range slugs {
		if p := found[slug]; p != nil {
			a, not, err := c.renderPage(p, beside, said)
			answers[i] = gather.Answer[answer]{Value: a, Err: err}
			wrong = append(wrong, not...)
		}
	}
	c.putRight(ctx, wrong)
	return answers, nil
}

// renderPage makes one page, and tells where the catalogue believed otherwise than inventory said.
func (c *catalogue) renderPage(p *Product, beside shelf, said map[string]availability) (a answer, wrong []stockWord, err error) {
	out := PublicProduct{
		Summary:     Summary{ID: p.ID, Slug: p.Slug, Name: p.Name, Category: beside.tree.slug(p.CategoryID), VariantCount: len(p.Variants)},
		Description: p.Description, Vendor: p.Vendor, Tags: orEmpty(p.Tags), Options: orEmpty(p.OptionNames),
		Images: []PublicImage{}, Attributes: orEmptyMap(p.Attributes), Version: p.Version, Variants: []PublicVariant{},
		SizeGuide: beside.guides.of(p.Slug, p.CategoryID, beside.tree),
	}
	for _, img := range p.Images {
		out.Images = append(out.Images, PublicImage{img.URL, img.Alt})
	}
	if len(p.Images) > 0 {
		out.ImageURL = &p.Images[0].URL
	}
	for _, v := range p.Variants {
		pv := PublicVariant{
			SKU: v.SKU, Name: v.name(), Options: v.named(p.OptionNames), Price: money.New(v.Price, c.currency), InStock: v.InStock,
			MaxPerShopper: v.max(),
		}
		if v.Image != "" {
			pv.ImageURL = &v.Image
		}
		if a, ok := said[v.SKU]; ok {
			pv.Available, pv.InStock = &a.Available, a.Available > 0
			if pv.InStock != v.InStock {
				wrong = append(wrong, stockWord{SKU: v.SKU, InStock: pv.InStock, At: a.AsOf})
			}
		}
		out.InStock = out.InStock || pv.InStock
		out.Variants = append(out.Variants, pv)
	}
	if len(out.Variants) > 0 {
		first := out.Variants[0]
		out.SKU, out.Price, out.Available = first.SKU, first.Price, first.Available
		out.PriceFrom, out.PriceTo = first.Price, first.Price
		for _, v := range out.Variants {
			out.PriceFrom.Amount, out.PriceTo.Amount = min(out.PriceFrom.Amount, v.Price.Amount), max(out.PriceTo.Amount, v.Price.Amount)
		}
	}
	a, err = encode(out, hashOf(out))
	return a, wrong, err
}

// CategoryItem is a category with how many products are published in it and below.
type CategoryItem struct {
	Slug   string  `json:"slug"`
	Name   string  `json:"name"`
	Parent *string `json:"parent" doc:"The slug of the category that it is in"`
	Count  int     `json:"product_count"`
}

// CategoryList is all categories, sorted by name.
type CategoryList struct {
	Items []CategoryItem `json:"items" nullable:"false"`
}

func (c *catalogue) categories(ctx context.Context) (answer, error) {
	return c.once(ctx, "categories", func(ctx context.Context) (answer, error) {
		out, err := categoriesNow(ctx, c.db)
		if err != nil {
			return answer{}, err
		}
		return encode(out, hashOf(out))
	})
}

func categoriesNow(ctx context.Context, q pg.Querier) (CategoryList, error) {
	counts, err := countCategories(ctx, q)
	if err != nil {
		return CategoryList{}, err
	}
	out := CategoryList{Items: make([]CategoryItem, 0, len(counts))}
	for _, r := range counts {
		out.Items = append(out.Items, CategoryItem(r))
	}
	return out, nil
}

func encode(v any, tag string) (answer, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return answer{}, fmt.Errorf("encode: %w", err)
	}
	return answer{body: body, etag: `W/"` + tag + `"`}, nil
}
