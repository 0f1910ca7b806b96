package main

import (
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/microcosm-cc/bluemonday"

	"github.com/stampede-shop/stampede/kit/money"
)

type category struct {
	Slug         string `json:"slug"`
	Name         string `json:"name"`
	ProductCount int    `json:"product_count"`
}

type summary struct {
	Slug     string      `json:"slug"`
	Name     string      `json:"name"`
	Price    money.Money `json:"price"`
	ImageURL string      `json:"image_url"`
	InStock  bool        `json:"in_stock"`
}

type listing struct {
	Items      []summary `json:"items"`
	NextCursor *string   `json:"next_cursor"`
}

type variant struct {
	SKU       string            `json:"sku"`
	Options   map[string]string `json:"options"`
	Price     money.Money       `json:"price"`
	Available *int64            `json:"available"`
	InStock   bool              `json:"in_stock"`
}

// Name says which of the variants it is, such as "Blue / M".
func (v variant) Name() string {
	names := make([]string, 0, len(v.Options))
	for name := range v.Options {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = v.Options[name]
	}
	return strings.Join(names, " / ")
}

type product struct {
	summary
	Vendor  string    `json:"vendor"`
	HTML    string    `json:"description"`
	Variant []variant `json:"variants"`
}

var policy = bluemonday.UGCPolicy()

// Description is the product's own HTML. It was sanitised at import; it is
// again here, at the border where it becomes part of a page.
func (p product) Description() template.HTML {
	return template.HTML(policy.Sanitize(p.HTML))
}

func (s *service) products(ctx context.Context, query url.Values) (listing, error) {
	var out listing
	err := s.dapr.Call(ctx, "products", http.MethodGet, "/api/v1/products?"+query.Encode(), nil, &out)
	return out, err
}

func (s *service) categories(ctx context.Context) ([]category, error) {
	var out struct {
		Items []category `json:"items"`
	}
	err := s.dapr.Call(ctx, "products", http.MethodGet, "/api/v1/categories", nil, &out)
	return out.Items, err
}

func (s *service) productBySlug(ctx context.Context, slug string) (product, error) {
	var out product
	err := s.dapr.Call(ctx, "products", http.MethodGet, "/api/v1/products/"+url.PathEscape(slug), nil, &out)
	return out, err
}
