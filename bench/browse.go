package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// browsers is how many look round at once.
const browsers = 16

// catalogue reads the slugs of so many products, or of all there are.
func (b *bench) catalogue(ctx context.Context, n int) ([]string, error) {
	var slugs []string
	for cursor := ""; len(slugs) < n; {
		var page struct {
			Items []struct {
				Slug string `json:"slug"`
			} `json:"items"`
			Next *string `json:"next_cursor"`
		}
		if err := b.shop.send(ctx, "GET", "/api/v1/products?limit=100&cursor="+url.QueryEscape(cursor), b.token, nil, &page); err != nil {
			return nil, err
		}
		for _, p := range page.Items {
			slugs = append(slugs, p.Slug)
		}
		if page.Next == nil {
			break
		}
		cursor = *page.Next
	}
	if len(slugs) == 0 {
		return nil, errors.New("the catalogue is empty")
	}
	return slugs[:min(n, len(slugs))], nil
}

// browse measures what people look at before they buy: anonymous, which the
// front may keep, and with a token, which it may not.
func (b *bench) browse(ctx context.Context) error {
	slugs, err := b.catalogue(ctx, 1000)
	if err != nil {
		return err
	}
	search := func(n int) string { // other words each time
		words := strings.Split(slugs[n*31%len(slugs)], "-")
		return "/api/v1/products?limit=20&q=" + url.QueryEscape(words[n%len(words)]+" "+words[0])
	}
	list := func(int) string { return "/api/v1/products?limit=20" }
	detail := func(n int) string { return "/api/v1/products/" + slugs[n%len(slugs)] }
	for _, what := range []struct {
		name     string
		path     func(n int) string
		signedIn bool
	}{
		{"list, anonymous", list, false},
		{fmt.Sprintf("detail of %d, anonymous", len(slugs)), detail, false},
		{"search, anonymous", search, false},
		{"list, signed in", list, true},
		{fmt.Sprintf("detail of %d, signed in", len(slugs)), detail, true},
		{"search, signed in", search, true},
	} {
		err := b.row(ctx, "browse", what.name, func(ctx context.Context) (*result, error) {
			return closed(ctx, browsers, b.limit/2, b.most, func(ctx context.Context, n int) error {
				token := ""
				if what.signedIn {
					token = b.shopper(n).token
				}
				return b.shop.send(ctx, "GET", what.path(n), token, nil, nil)
			}), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// carts measures the change of a cart that holds what is put in.
func (b *bench) carts(ctx context.Context) error {
	crowd, err := b.shop.crowd(ctx, len(b.shoppers)/2) // others than those who order: these buy nothing
	if err != nil {
		return err
	}
	for _, clients := range []int{1, browsers, 64} {
		err := b.row(ctx, "cart", "cart with hold", func(ctx context.Context) (*result, error) {
			return closed(ctx, clients, b.limit/2, b.most, func(ctx context.Context, n int) error {
				quantity := 1 + (n/len(crowd)+clients)%5 // another than the last time
				path := "/api/v1/cart/items/" + b.lamp(n%len(crowd)).SKU
				return b.shop.send(ctx, "PUT", path, crowd[n%len(crowd)].token, map[string]int{"quantity": quantity}, nil)
			}), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
