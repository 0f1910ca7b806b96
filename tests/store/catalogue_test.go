package store

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/browser"
	"github.com/stampede-shop/stampede/tests/shop"
)

// TestSizes: a shopper who looks for what is in stock in a size is not offered what is sold out, and finds that size chosen;
// who looked for nothing chooses for oneself.
func TestSizes(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	variant := func(size string, pence int64, stock int) map[string]any {
		return map[string]any{
			"sku": size + "-" + id, "price": shop.Pounds(pence), "initial_stock": stock, "options": map[string]string{"Size": size},
		}
	}
	p := shop.Read[shop.Product](t, s.Admin(t).Do(t, "POST", "/api/v1/admin/products", map[string]any{
		"name": "حذاء " + id, "options": []string{"Size"},
		"variants": []any{variant("41", 1_000, 0), variant("42", 1_200, 5), variant("43", 1_100, 5)},
	}).OK(t, 201))
	s.Admin(t).Do(t, "POST", "/api/v1/admin/products/"+p.ID+"/publication", nil).OK(t, 200)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return s.Nobody().Do(t, "GET", "/api/v1/availability/42-"+id, nil).Status == 200, "no stock yet"
	})
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/search?q=" + id).There(`a.card[href="/products/` + p.Slug + `"]`).Sees("from £10.00").Sees("41")
	v.Until("from the right", `getComputedStyle(document.querySelector("a.card .name")).direction === "rtl"`)
	v.Open("/search?q="+id+"&in_stock=1").Until("no size that is sold out",
		`![...document.querySelectorAll(".filters .pill bdi")].some(b => b.textContent === "41")`)
	v.Open("/search?q=" + id + "&in_stock=1&option=Size:42").Click(`a.card`).At("/products/" + p.Slug)
	v.Until("42 is chosen", `document.querySelector("input[name=sku]:checked")?.value === "42-`+id+`"`).Sees("£12.00")
	v.Click("#add").There("dialog[open] .line")

	v.Open("/products/"+p.Slug).Sees("from £10.00").Until("none is chosen",
		`!document.querySelector("input[name=sku]:checked") && !document.querySelector("#add").disabled`)
	v.Click("#add").Until("the browser asks for one",
		`document.querySelector("input[name=sku]:invalid") && !document.querySelector("dialog[open]")`)
	v.Click(`label[for="v-43-` + id + `"]`).Sees("£11.00").Click("#add").There("dialog[open] .line")
	v.Accessible("/products/"+p.Slug, "/search?q="+id+"&option=Size:42")
}

// TestLargePicture: lists load a small copy, and the large picture opens in the shop, with and without scripts.
func TestLargePicture(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_250, 3)
	for i, c := range []color.Color{color.RGBA{200, 60, 40, 255}, color.RGBA{40, 90, 200, 255}} {
		p := image.NewRGBA(image.Rect(0, 0, 1_000, 1_000))
		for x := range 1_000 {
			for y := range 1_000 {
				p.Set(x, y, c)
			}
		}
		var data bytes.Buffer
		require.NoError(t, jpeg.Encode(&data, p, nil))
		alt := []string{"?alt=In+red", ""}[i]
		s.Admin(t).Do(t, "POST", "/api/v1/admin/products/"+lamp.ID+"/images"+alt,
			shop.Raw{Type: "image/jpeg", Body: data.Bytes()}).OK(t, 201)
	}
	v := browser.Visit(t, s, 1280, 900)
	v.Open("/search?q="+lamp.SKU).Until("a copy is loaded",
		`document.querySelector("a.card img")?.currentSrc.endsWith("-1000x1000-400.webp")`)
	v.Open(page(lamp)).Click(".strip li:nth-child(2) a").Until("the second is shown",
		`document.querySelector(".stage").getAttribute("href").endsWith("/pictures/2")`)
	v.Click(".stage").At(page(lamp) + "/pictures/2").Sees("Picture 2 of 2")
	v.Until("it is there", `document.querySelector("figure img").naturalWidth >= 800`)
	v.Until("it has a name", `document.querySelector("figure img").alt.endsWith(", picture 2")`)
	v.Click(`a[rel=prev]`).At(page(lamp) + "/pictures/1").There(`figure img[alt="In red"]`)
	v.Click(`.large-nav a[href="` + page(lamp) + `"]`).At(page(lamp))
	v.Accessible(page(lamp), page(lamp)+"/pictures/1")
	browser.Visit(t, s, 1280, 900).WithoutScripts().Open(page(lamp)).Click(".strip li:nth-child(2) a").At(page(lamp) + "/pictures/2")
}
