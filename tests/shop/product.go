package shop

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/skus"
)

// Product is a product that a test has made.
type Product struct {
	ID      string `json:"id"`
	Slug    string `json:"slug"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Version int    `json:"version"`

	SKU   string // the first variant's
	Price Money
	shop  *Shop
}

// NewProduct publishes a product with one variant and so many units, and waits until they can be had.
func (s *Shop) NewProduct(t testing.TB, pence int64, stock int) *Product {
	t.Helper()
	p := s.Draft(t, pence, stock)
	p.Publish(t)
	Eventually(t, Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", "/api/v1/availability/"+skus.Segment(p.SKU), nil)
		if a.Status == 404 {
			return false, p.SKU + " has no stock yet"
		}
		require.Equal(t, stock, Read[Availability](t, a.OK(t, 200)).Available)
		return true, ""
	})
	return p
}

// NewVariant publishes a product that comes in one size, so called, and waits until it can be had.
func (s *Shop) NewVariant(t testing.TB, size string) *Product {
	t.Helper()
	return s.NewSKU(t, "Z-"+Random(), size)
}

// NewSKU is NewVariant with a SKU, which nothing else may have.
func (s *Shop) NewSKU(t testing.TB, sku, size string) *Product {
	t.Helper()
	id := Random()
	p := Read[Product](t, s.Admin(t).Do(t, "POST", "/api/v1/admin/products", map[string]any{
		"name": "Sized " + id, "slug": "sized-" + id, "options": []string{"Size"},
		"variants": []any{map[string]any{"sku": sku, "price": Pounds(1_500), "initial_stock": 5, "options": map[string]string{"Size": size}}},
	}).OK(t, 201))
	p.SKU, p.Price, p.shop = sku, Pounds(1_500), s
	p.Publish(t)
	Eventually(t, Patience, func() (bool, string) {
		return s.Nobody().Do(t, "GET", "/api/v1/availability/"+skus.Segment(p.SKU), nil).Status == 200, p.SKU + " has no stock yet"
	})
	return &p
}

// Draft creates a product and does not publish it.
func (s *Shop) Draft(t testing.TB, pence int64, stock int) *Product {
	t.Helper()
	id := Random()
	p := Read[Product](t, s.Admin(t).Do(t, "POST", "/api/v1/admin/products", map[string]any{
		"name": "Lamp " + id, "slug": "lamp-" + id, "description": "<p>A lamp.</p>",
		"variants": []any{map[string]any{"sku": "T-" + id, "price": Pounds(pence), "initial_stock": stock}},
	}).OK(t, 201))
	require.Equal(t, "draft", p.Status)
	p.SKU, p.Price, p.shop = "T-"+id, Pounds(pence), s
	return &p
}

// Publish lets shoppers see the product.
func (p *Product) Publish(t testing.TB) {
	t.Helper()
	p.changed(t, p.shop.Admin(t).Do(t, "POST", "/api/v1/admin/products/"+p.ID+"/publication", nil), "published")
}

// Unlist hides the product.
func (p *Product) Unlist(t testing.TB) {
	t.Helper()
	p.changed(t, p.shop.Admin(t).Do(t, "DELETE", "/api/v1/admin/products/"+p.ID+"/publication", nil), "unlisted")
}

// Reprice changes the price.
func (p *Product) Reprice(t testing.TB, pence int64) {
	t.Helper()
	p.changed(t, p.shop.Admin(t).Do(t, "PATCH", "/api/v1/admin/products/"+p.ID, map[string]any{
		"version": p.Version, "variants": []any{map[string]any{"sku": p.SKU, "price": Pounds(pence)}},
	}), p.Status)
	p.Price = Pounds(pence)
}

// Rename changes the name.
func (p *Product) Rename(t testing.TB, name string) {
	t.Helper()
	p.changed(t, p.shop.Admin(t).Do(t, "PATCH", "/api/v1/admin/products/"+p.ID, map[string]any{"version": p.Version, "name": name}), p.Status)
	p.Name = name
}

func (p *Product) changed(t testing.TB, a *Answer, status string) {
	t.Helper()
	now := Read[Product](t, a.OK(t, 200))
	require.Equal(t, status, now.Status)
	require.GreaterOrEqual(t, now.Version, p.Version)
	p.Status, p.Version = now.Status, now.Version
}

// Stock is what inventory knows of a SKU.
type Stock struct {
	OnHand    int `json:"on_hand"`
	CartHeld  int `json:"cart_held"`
	OrderHeld int `json:"order_held"`
	Sold      int `json:"sold"`
	Available int `json:"available"`
}

// Entry is a line of a SKU's ledger.
type Entry struct {
	Number int    `json:"number"`
	Kind   string `json:"kind"`
	Delta  int    `json:"delta"`
	Before int    `json:"before"`
	After  int    `json:"after"`
	Reason string `json:"reason"`
}

// Stock reads the product's stock.
func (p *Product) Stock(t testing.TB) Stock {
	t.Helper()
	return Get[Stock](t, p.shop.Admin(t), "/api/v1/admin/inventory/"+skus.Segment(p.SKU))
}

// AwaitStock waits until so many units are available and sold.
func (p *Product) AwaitStock(t testing.TB, available, sold int) Stock {
	t.Helper()
	var s Stock
	Eventually(t, Patience, func() (bool, string) {
		s = p.Stock(t)
		return s.Available == available && s.Sold == sold, fmt.Sprintf("want %d available, %d sold; stock is %+v", available, sold, s)
	})
	return s
}

// Ledger lists the SKU's movements, the newest first, and holds them to their own arithmetic.
func (p *Product) Ledger(t testing.TB) []Entry {
	t.Helper()
	all := All[Entry](t, p.shop.Admin(t), "/api/v1/admin/inventory/"+skus.Segment(p.SKU)+"/ledger")
	for i, e := range all {
		require.Equal(t, e.Before+e.Delta, e.After, "entry %d", e.Number)
		require.Equal(t, len(all)-i, e.Number)
		if i+1 < len(all) {
			require.Equal(t, all[i+1].After, e.Before, "entry %d does not begin where the one before it ends", e.Number)
		}
	}
	return all
}

// Limit sets how many of the product one shopper may have.
func (p *Product) Limit(t testing.TB, most int) {
	t.Helper()
	p.changed(t, p.shop.Admin(t).Do(t, "PATCH", "/api/v1/admin/products/"+p.ID, map[string]any{
		"version": p.Version, "variants": []any{map[string]any{"sku": p.SKU, "price": p.Price, "max_per_shopper": most}},
	}), p.Status)
}
