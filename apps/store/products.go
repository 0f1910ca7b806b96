package main

import (
	"context"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/microcosm-cc/bluemonday"
	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/kit/money"
)

type category struct {
	Slug         string  `json:"slug"`
	Name         string  `json:"name"`
	Parent       *string `json:"parent"`
	ProductCount int     `json:"product_count"`
}

type summary struct {
	Slug      string      `json:"slug"`
	SKU       string      `json:"sku"`
	Name      string      `json:"name"`
	Price     money.Money `json:"price"`
	PriceFrom money.Money `json:"price_from"` // of its variants
	PriceTo   money.Money `json:"price_to"`
	ImageURL  string      `json:"image_url"`
	Category  string      `json:"category"`
	Available *int64      `json:"available"`
	InStock   bool        `json:"in_stock"`

	VariantCount int `json:"variant_count"`

	// Chosen is the query that names the options it was found by.
	Chosen template.URL `json:"-"`
}

// Cheapest is the lowest price of the variants.
func (p summary) Cheapest() money.Money {
	if p.PriceFrom.Currency == "" { // an older instance does not tell it
		return p.Price
	}
	return p.PriceFrom
}

// Varies tells whether the variants have several prices.
func (p summary) Varies() bool { return p.PriceFrom != p.PriceTo }

// Stock is what is said about it. Of several variants a list knows the number of the first alone, so it tells none.
func (p summary) Stock() stock {
	if p.VariantCount != 1 {
		return stockOf(p.InStock, nil)
	}
	return stockOf(p.InStock, p.Available)
}

type facets struct {
	Categories []struct {
		Slug  string `json:"slug"`
		Name  string `json:"name"`
		Count int    `json:"count"`
	} `json:"categories"`
	Price struct {
		Min *int64 `json:"min"`
		Max *int64 `json:"max"`
	} `json:"price"`
	Options []struct {
		Name   string `json:"name"`
		Values []struct {
			Value string `json:"value"`
			Count int    `json:"count"`
		} `json:"values"`
	} `json:"options"`
}

type listing struct {
	Items      []summary `json:"items"`
	NextCursor *string   `json:"next_cursor"`
	Facets     *facets   `json:"facets"`
	Corrected  *string   `json:"corrected_query"`
}

type variant struct {
	SKU           string            `json:"sku"`
	Name          string            `json:"name"` // such as "M / Blue"
	Options       map[string]string `json:"options"`
	Price         money.Money       `json:"price"`
	Available     *int64            `json:"available"`
	InStock       bool              `json:"in_stock"`
	MaxPerShopper int               `json:"max_per_shopper"`
	ImageURL      string            `json:"image_url"`
}

// Stock is what is said about it.
func (v variant) Stock() stock {
	said := stockOf(v.InStock, v.Available)
	if v.MaxPerShopper > 0 {
		said.Most = min(said.Most, v.MaxPerShopper)
	}
	return said
}

type image struct {
	URL string `json:"url"`
	Alt string `json:"alt"`
}

type product struct {
	summary
	Vendor     string            `json:"vendor"`
	HTML       string            `json:"description"`
	Tags       []string          `json:"tags"`
	Option     []string          `json:"options"`
	Images     []image           `json:"images"`
	Attributes map[string]string `json:"attributes"`
	Variant    []variant         `json:"variants"`
	SizeGuide  *pageLink         `json:"size_guide"`
}

// described are the images, each with a text: what nobody has described is called by the product's name.
func (p product) described() []image {
	out := slices.Clone(p.Images)
	for i := range out {
		if strings.TrimSpace(out[i].Alt) != "" {
			continue
		}
		out[i].Alt = p.Name
		if len(out) > 1 {
			out[i].Alt += ", picture " + itoa(i+1)
		}
	}
	return out
}

var (
	policy = bluemonday.UGCPolicy()
	words  = bluemonday.StrictPolicy()
)

// Description is the product's own HTML. It was sanitised at import; it is
// again here, at the border where it becomes part of a page.
func (p product) Description() template.HTML {
	return template.HTML(policy.Sanitize(p.HTML))
}

// Summary is the description in at most 160 characters, for search engines.
func (p product) Summary() string {
	text := strings.Join(strings.Fields(words.Sanitize(strings.ReplaceAll(p.HTML, "<", " <"))), " ")
	text = strings.NewReplacer("&#39;", "’", "&amp;", "&", "&#34;", "”", " .", ".", " ,", ",").Replace(text)
	if letters := []rune(text); len(letters) > 160 {
		cut := string(letters[:157])
		if i := strings.LastIndex(cut, " "); i > 80 {
			cut = cut[:i]
		}
		return cut + "…"
	}
	return text
}

// fitting tells which variant is selected when the page opens: the only one, or the only one that has the options that a
// list was narrowed by, such as "Size:M". Where they differ otherwise, the shopper chooses.
func (p product) fitting(options []string) (one variant) {
	if len(p.Variant) == 1 {
		return p.Variant[0]
	}
	wanted := map[string][]string{}
	for _, o := range options {
		if name, value, ok := strings.Cut(o, ":"); ok && slices.Contains(p.Option, name) {
			wanted[name] = append(wanted[name], value)
		}
	}
	var fit []variant
	for _, v := range p.Variant {
		fits := len(wanted) > 0
		for name, values := range wanted {
			fits = fits && slices.Contains(values, v.Options[name])
		}
		if fits {
			fit = append(fit, v)
		}
	}
	if len(fit) == 1 && fit[0].InStock {
		return fit[0]
	}
	return variant{}
}

func (s *service) products(ctx context.Context, query url.Values) (listing, error) {
	return get[listing](asNobody(ctx), s, "products", "/api/v1/products", query)
}

func (s *service) productBySlug(ctx context.Context, slug string) (product, error) {
	return get[product](asNobody(ctx), s, "products", "/api/v1/products/"+url.PathEscape(slug), nil)
}

// catalogueCache keeps the categories and their pictures, so that not every
// page asks for them. While products is away the last known ones are shown.
type catalogueCache struct {
	s          *service
	categories lastKnown[[]category]
	tiles      lastKnown[map[string]string] // picture of a category
}

const (
	categoriesFresh = 5 * time.Second
	tilesFresh      = 5 * time.Minute
)

// all lists the categories; the last known ones while products is away.
func (h *catalogueCache) all(ctx context.Context) []category {
	return h.categories.get(h.s.now(), categoriesFresh, func() ([]category, error) {
		out, err := get[items[category]](asNobody(ctx), h.s, "products", "/api/v1/categories", nil)
		return out.Items, err
	}, func(known []category) bool { return known == nil })
}

// pictures gives each category that has products a picture: its newest
// product's.
func (h *catalogueCache) pictures(ctx context.Context, categories []category) map[string]string {
	return h.tiles.get(h.s.now(), tilesFresh, func() (map[string]string, error) { return h.s.tiles(ctx, categories) },
		func(map[string]string) bool { return true })
}

// tiles asks for the pictures of categories.
func (s *service) tiles(ctx context.Context, categories []category) (map[string]string, error) {
	found := make([]string, len(categories))
	g, asking := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, c := range categories {
		g.Go(func() error {
			l, err := s.products(asking, url.Values{"category": {c.Slug}, "limit": {"1"}, "sort": {"name"}})
			if err == nil && len(l.Items) > 0 {
				found[i] = l.Items[0].ImageURL
			}
			return err
		})
	}
	err := g.Wait()
	tiles := map[string]string{}
	for i, c := range categories {
		tiles[c.Slug] = found[i]
	}
	return tiles, err
}
