package office

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestPictures adds several pictures at once, describes them, puts them into another order and gives one to a variant.
func TestPictures(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	p := s.NewVariant(t, "M")
	c := work(t, s, "/admin/products")
	dot := func(name string, grey uint8) string {
		var data bytes.Buffer
		one := image.NewGray(image.Rect(0, 0, 8, 8))
		one.SetGray(1, 1, color.Gray{grey})
		require.NoError(t, png.Encode(&data, one))
		return write(t, name, data.Bytes())
	}
	c.Open("/admin/products/"+p.ID).Upload("#picture", dot("a.png", 50), dot("b.png", 100)).There("#preview img:nth-child(2)")
	c.Click("form[enctype] .button").There(".shots li:nth-child(2)").Sees("Please say what it shows")
	c.Fill("#f-i-0-alt", "From the side").Fill("#f-i-1-alt", "From above").Fill("#f-i-1-place", "1").Choose("#f-i-1-for", "sku:"+p.SKU)
	c.Click("#pictures .button").Sees("Saved.").Holds("#f-i-0-alt", "From above").Holds("#f-i-1-alt", "From the side")
	c.Holds("#f-i-0-for", "sku:"+p.SKU)

	// One that is broken is refused by its name, and those before it stay.
	c.Upload("#picture", dot("c.png", 150), write(t, "broken.png", []byte("\x89PNG\r\n\x1a\n"))).Click("form[enctype] .button")
	c.Sees("broken.png (the 1 before it were added)").There(".shots li:nth-child(3)").Accessible("/admin/products/" + p.ID)
}

// TestSearchWords: words that the shop lists as meaning the same find each other.
func TestSearchWords(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, word := s.NewProduct(t, 1_250, 3), "w"+shop.Random()
	c := work(t, s, "/admin/products")
	c.Click("a[href='/admin/synonyms']").Fill("#f-groups", word).Click("main form .button")
	c.Sees("line 1: a group needs two different words or more")
	c.Fill("#f-groups", lamp.SKU+", "+word).Click("main form .button").Sees("Saved.")
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		found := shop.Get[shop.List[shop.Product]](t, s.Nobody(), "/api/v1/products?q="+word)
		return len(found.Items) == 1 && found.Items[0].Slug == lamp.Slug, "not found yet"
	})
	c.Accessible("/admin/synonyms")
}
