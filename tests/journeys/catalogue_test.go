package journeys

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/skus"
	"github.com/stampede-shop/stampede/tests/shop"
)

type object = map[string]any

// report is what an import answers.
type report struct {
	Rows []struct {
		Line    int    `json:"line"`
		Handle  string `json:"handle"`
		SKU     string `json:"sku"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
	} `json:"rows"`
	Created   int  `json:"created"`
	Changed   int  `json:"changed"`
	Unchanged int  `json:"unchanged"`
	Refused   int  `json:"refused"`
	Complete  bool `json:"complete"`
}

const header = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Price,Variant Inventory Qty,Image Src,Status\n"

// file is a product file as Shopify exports it: two good products, one of them with three variants, a draft, and rows
// that cannot be taken.
func file(id string) string {
	return header + strings.ReplaceAll(`mug-ID,Blue Mug ID,"<p>Holds <b>tea</b><script>alert(1)</script></p>",Potters,Mugs ID,"blue,tea",true,Title,Default Title,,,MUG-ID,12.50,7,,active
shirt-ID,Shirt ID,<p>Cotton</p>,Weavers,Shirts ID,cotton,true,Size,S,Colour,Red,SHIRT-S-ID,20.00,3,,active
shirt-ID,,,,,,,,M,,Red,SHIRT-M-ID,20.00,0,,
shirt-ID,,,,,,,,L,,Blue,SHIRT-L-ID,22.00,5,,
draft-ID,Draft ID,,Potters,Mugs ID,,true,Title,Default Title,,,DRAFT-ID,5.00,5,,draft
bad-price-ID,Bad price,,Potters,Mugs ID,,true,Title,Default Title,,,BADPRICE-ID,free,5,,active
bad-stock-ID,Bad stock,,Potters,Mugs ID,,true,Title,Default Title,,,BADSTOCK-ID,5.00,many,,active
,No handle,,Potters,Mugs ID,,true,Title,Default Title,,,NOHANDLE-ID,5.00,5,,active
twice-ID,Twice,,Potters,Mugs ID,,true,Title,Default Title,,,MUG-ID,5.00,5,,active
`, "ID", id)
}

func importFile(t *testing.T, s *shop.Shop, text, query string) report {
	t.Helper()
	var got report
	// Only one import runs at a time, and other tests import too.
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := s.Admin(t).Do(t, "POST", "/api/v1/admin/products/import"+query, shop.Raw{Type: "text/csv", Body: []byte(text)})
		if a.Status == 409 && a.Problem().Slug() == "import-running" {
			return false, "another import is running"
		}
		got = shop.Read[report](t, a.OK(t, 200))
		return true, ""
	})
	require.True(t, got.Complete)
	return got
}

func TestImport(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	first := importFile(t, s, file(id), "")
	outcomes := map[string]string{}
	for _, r := range first.Rows {
		outcomes[r.Handle+" "+r.SKU] = r.Outcome
		require.Equal(t, r.Outcome == "refused", r.Reason != "", "%+v", r)
	}
	require.Equal(t, map[string]string{
		"mug-" + id + " MUG-" + id: "created", "shirt-" + id + " SHIRT-S-" + id: "created", "shirt-" + id + " SHIRT-M-" + id: "created",
		"shirt-" + id + " SHIRT-L-" + id: "created", "draft-" + id + " DRAFT-" + id: "created",
		"bad-price-" + id + " BADPRICE-" + id: "refused", "bad-stock-" + id + " BADSTOCK-" + id: "refused",
		" NOHANDLE-" + id: "refused", "twice-" + id + " MUG-" + id: "refused",
	}, outcomes)
	require.Equal(t, 5, first.Created)
	require.Equal(t, 4, first.Refused)

	// It is on sale.
	guest := s.Guest()
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := guest.Do(t, "GET", "/api/v1/availability/SHIRT-L-"+id, nil)
		return a.Status == 200 && shop.Read[shop.Availability](t, a).Available == 5, fmt.Sprintf("%d %s", a.Status, a.Body)
	})
	var page shop.Page
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		page = shop.Get[shop.Page](t, guest, "/api/v1/products/shirt-"+id)
		return page.Variants[0].Available == 3 && page.Variants[2].Available == 5, fmt.Sprintf("%+v", page.Variants)
	})
	require.Len(t, page.Variants, 3)
	require.Equal(t, map[string]string{"Size": "L", "Colour": "Blue"}, page.Variants[2].Options)
	require.Equal(t, shop.Pounds(2_200), page.Variants[2].Price)
	mug := shop.Get[shop.Page](t, guest, "/api/v1/products/mug-"+id)
	require.Contains(t, mug.Description, "<b>tea</b>")
	require.NotContains(t, mug.Description, "script")
	guest.Do(t, "GET", "/api/v1/products/draft-"+id, nil).Refused(t, 404, "product-not-found")

	// Again: nothing twice; a stock that was sold from is left alone, unless it is asked for.
	a := guest.PutAny(t, "MUG-"+id, 2)
	a.OK(t, 200)
	again := importFile(t, s, file(id), "")
	require.Equal(t, 0, again.Created, "%+v", again)
	require.Equal(t, 0, again.Changed, "%+v", again)
	require.Equal(t, 5, again.Unchanged)
	dearer := strings.ReplaceAll(strings.ReplaceAll(file(id), "12.50,7", "13.50,9"), "20.00,3", "20.00,3")
	changed := importFile(t, s, dearer, "")
	require.Equal(t, 1, changed.Changed)
	stock := func() shop.Stock {
		return shop.Get[shop.Stock](t, s.Admin(t), "/api/v1/admin/inventory/MUG-"+id)
	}
	require.Equal(t, 7, stock().OnHand)
	importFile(t, s, dearer, "?set_stock=true")
	require.Equal(t, 9, stock().OnHand)
	ledger := shop.All[shop.Entry](t, s.Admin(t), "/api/v1/admin/inventory/MUG-"+id+"/ledger")
	require.Equal(t, 2, ledger[0].Delta)
	importFile(t, s, dearer, "?set_stock=true")
	require.Len(t, shop.All[shop.Entry](t, s.Admin(t), "/api/v1/admin/inventory/MUG-"+id+"/ledger"), 2)
}

// TestSKUOfAnySign buys one that no path can hold as it is.
func TestSKUOfAnySign(t *testing.T) {
	t.Parallel()
	s, id := shop.Open(t), shop.Random()
	sku := "Any / +ü% " + id
	text := header + "any-" + id + ",Any " + id + ",,Potters,,,true,Title,Default Title,,," + sku + ",12.50,7,,active\n"
	require.Equal(t, 1, importFile(t, s, text, "").Created)
	at := "/api/v1/availability/" + skus.Segment(sku)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		return s.Nobody().Do(t, "GET", at, nil).Status == 200, sku + " has no stock yet"
	})
	order := s.Register(t).Bought(t, &shop.Product{SKU: sku, Price: shop.Pounds(1_250)}, 2)
	require.Equal(t, sku, order.Lines[0].SKU)
	require.Equal(t, 5, shop.Get[shop.Stock](t, s.Admin(t), "/api/v1/admin/inventory/"+skus.Segment(sku)).Available)
	importFile(t, s, text, "?set_stock=true")
	require.NotEmpty(t, shop.All[shop.Entry](t, s.Admin(t), "/api/v1/admin/inventory/"+skus.Segment(sku)+"/ledger?kind=import"))
}

// TestImportRefused is about files that are none.
func TestImportRefused(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops := s.Admin(t)
	for what, text := range map[string]string{
		"empty": "", "no export": "a,b,c\n1,2,3\n", "binary": string([]byte{0x89, 'P', 'N', 'G', 0, 1, 2, 0xff}), "json": `{"products": []}`,
	} {
		a := ops.Do(t, "POST", "/api/v1/admin/products/import", shop.Raw{Type: "text/csv", Body: []byte(text)})
		require.Contains(t, []int{400, 409, 422}, a.Status, "%s: %s", what, a.Body)
	}
	// As a form, as browsers send files.
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "products.csv")
	require.NoError(t, err)
	id := shop.Random()
	_, err = io.WriteString(part, header+"form-"+id+",Form,,V,T,,true,Title,Default Title,,,FORM-"+id+",1.00,1,,draft\n")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := ops.Do(t, "POST", "/api/v1/admin/products/import", shop.Raw{Type: w.FormDataContentType(), Body: form.Bytes()})
		if a.Status == 409 {
			return false, "another import is running"
		}
		require.Equal(t, 1, shop.Read[report](t, a.OK(t, 200)).Created)
		return true, ""
	})
}

// TestBigImport takes ten thousand rows.
func TestBigImport(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	const products, variants = 1_000, 10
	var b strings.Builder
	b.WriteString(header)
	for p := range products {
		for v := range variants {
			title, name := "", ""
			if v == 0 {
				title, name = fmt.Sprintf("Bulk %s %d", id, p), "Size"
			}
			fmt.Fprintf(&b, "bulk-%s-%d,%s,,Bulk,,,true,%s,%d,,,B-%s-%d-%d,1.00,1,,draft\n", id, p, title, name, v, id, p, v)
		}
	}
	got := importFile(t, s, b.String(), "")
	require.Equal(t, products*variants, got.Created)
	require.Len(t, got.Rows, products*variants)
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops, guest, id := s.Admin(t), s.Guest(), shop.Random()
	category := "hats-" + id
	ops.Do(t, "POST", "/api/v1/admin/products/categories", object{"name": "Hats " + id, "slug": category}).OK(t, 201)
	word := "trilby" + letters(id) // words with digits are names of things: nobody means another one
	for i, price := range []int64{900, 500, 700, 500, 300} {
		stock := 3
		if i == 4 {
			stock = 0
		}
		size := []string{"S", "M"}[i%2]
		p := shop.Read[shop.Product](t, ops.Do(t, "POST", "/api/v1/admin/products", object{
			"name": fmt.Sprintf("%s %c", word, 'A'+i), "slug": fmt.Sprintf("hat-%s-%d", id, i), "category": category, "options": []string{"Size"},
			"attributes": object{"Material": "Felt"},
			"variants":   []any{object{"sku": fmt.Sprintf("HAT-%s-%d", id, i), "price": shop.Pounds(price), "initial_stock": stock, "options": object{"Size": size}}},
		}).OK(t, 201))
		ops.Do(t, "POST", "/api/v1/admin/products/"+p.ID+"/publication", nil).OK(t, 200)
	}
	at := "/api/v1/products?category=" + category
	var list shop.Listing
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		list = shop.Get[shop.Listing](t, guest, at)
		in := 0
		for _, i := range list.Items {
			if i.InStock {
				in++
			}
		}
		return len(list.Items) == 5 && in == 4, fmt.Sprintf("%d products, %d in stock", len(list.Items), in)
	})
	require.NotNil(t, list.Facets)
	require.EqualValues(t, 300, list.Facets.Price.Min)
	require.EqualValues(t, 900, list.Facets.Price.Max)
	sizes := map[string]int{}
	for _, v := range list.Facets.Options[0].Values {
		sizes[v.Value] = v.Count
	}
	require.Equal(t, map[string]int{"S": 3, "M": 2}, sizes)

	names := func(query string) string {
		t.Helper()
		var letters []string
		for _, i := range shop.Get[shop.Listing](t, guest, at+query).Items {
			letters = append(letters, i.Name[len(i.Name)-1:])
		}
		return strings.Join(letters, "")
	}
	require.Equal(t, "EDCBA", names("&sort=newest"))
	require.Equal(t, "ABCDE", names("&sort=name"))
	require.Equal(t, "E", names("&sort=price")[:1])
	require.Equal(t, "A", names("&sort=-price")[:1])
	require.Equal(t, "AC", names("&sort=name&min_price=600"))
	require.Equal(t, "BDE", names("&sort=name&max_price=500"))
	require.Equal(t, "ABCD", names("&sort=name&in_stock=true"))
	require.Equal(t, "BD", names("&sort=name&option=Size:M"))
	guest.Do(t, "GET", at+"&min_price=5&max_price=4", nil).Refused(t, 422, "invalid")
	guest.Do(t, "GET", at+"&sort=cheapest", nil).Refused(t, 422, "invalid")

	// Search, also mistyped, and pages that fit together whatever the order.
	require.Len(t, shop.Get[shop.Listing](t, guest, "/api/v1/products?q="+word).Items, 5)
	mistyped := strings.Replace(word, "trilby", "trilbi", 1)
	require.NotEmpty(t, shop.Get[shop.Listing](t, guest, "/api/v1/products?q="+mistyped).Items)
	require.Empty(t, shop.Get[shop.Listing](t, guest, "/api/v1/products?q="+url.QueryEscape("zzqxw"+shop.Random())).Items)
	for _, sort := range []string{"newest", "price", "-price", "name", "relevance"} {
		seen := map[string]bool{}
		for _, i := range shop.All[shop.Item](t, guest, "/api/v1/products?limit=2&q="+word+"&sort="+sort) {
			require.False(t, seen[i.ID], "twice, sorted by %s", sort)
			seen[i.ID] = true
		}
		require.Len(t, seen, 5, "sorted by %s", sort)
	}
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		count := 0
		for _, c := range shop.Get[shop.List[struct {
			Slug         string  `json:"slug"`
			Name         string  `json:"name"`
			Parent       *string `json:"parent"`
			ProductCount int     `json:"product_count"`
		}]](t, guest, "/api/v1/categories").Items {
			if c.Slug == category {
				count = c.ProductCount
			}
		}
		return count == 5, fmt.Sprintf("the category has %d products", count)
	})
	page := shop.Get[shop.Page](t, guest, "/api/v1/products/hat-"+id+"-0")
	require.Equal(t, map[string]string{"Material": "Felt"}, page.Attributes)
	require.GreaterOrEqual(t, page.Version, 1)

	// Anonymous reads may be kept for a moment, and are not sent twice to who has them.
	a := guest.Shop.Nobody().Do(t, "GET", "/api/v1/products/hat-"+id+"-0", nil)
	require.Contains(t, a.Header.Get("Cache-Control"), "max-age=1")
	guest.Shop.Nobody().Do(t, "GET", "/api/v1/products/hat-"+id+"-0", nil, "If-None-Match", a.Header.Get("ETag")).OK(t, 304)
	ops.Do(t, "DELETE", "/api/v1/admin/products/categories/"+category, nil).Refused(t, 409, "category-in-use")
}

// letters writes hexadecimal digits as letters.
func letters(hex string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r - '0' + 'g'
		}
		return r
	}, hex)
}

// TestChanges is about two people who change a product at once, and names that are taken.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops, lamp := s.Admin(t), s.NewProduct(t, 1_000, 2)
	at := "/api/v1/admin/products/" + lamp.ID
	ops.Do(t, "PATCH", at, object{"version": lamp.Version, "name": "One"}).OK(t, 200)
	ops.Do(t, "PATCH", at, object{"version": lamp.Version, "name": "Two"}).Refused(t, 409, "version-conflict")
	ops.Do(t, "POST", "/api/v1/admin/products", object{"name": "Other", "slug": lamp.Slug}).Refused(t, 409, "slug-taken")
	ops.Do(t, "POST", "/api/v1/admin/products", object{
		"name": "Other", "slug": "other-" + shop.Random(), "variants": []any{object{"sku": strings.ToLower(lamp.SKU), "price": shop.Pounds(1)}},
	}).Refused(t, 409, "sku-taken")
	p := ops.Do(t, "POST", "/api/v1/admin/products", object{
		"name": "Euro", "slug": "euro-" + shop.Random(), "variants": []any{object{"sku": "E-" + shop.Random(), "price": shop.Money{Amount: 1, Currency: "EUR"}}},
	}).Refused(t, 422, "invalid")
	require.Equal(t, "body.variants[0].price.currency", p.Errors[0].Location)
	empty := shop.Read[shop.Product](t, ops.Do(t, "POST", "/api/v1/admin/products", object{"name": "Empty", "slug": "empty-" + shop.Random()}).OK(t, 201))
	ops.Do(t, "POST", "/api/v1/admin/products/"+empty.ID+"/publication", nil).Refused(t, 409, "product-incomplete")
}

// TestPicture uploads a picture and loads it as browsers do.
func TestPicture(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	ops, lamp := s.Admin(t), s.NewProduct(t, 1_000, 2)
	svg := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><rect width="4" height="4" fill="#c0ffee"/><title>` + shop.Random() + `</title></svg>`
	ops.Do(t, "POST", "/api/v1/admin/products/"+lamp.ID+"/images?alt=A+lamp", shop.Raw{Type: "image/svg+xml", Body: []byte(svg)}).OK(t, 201)
	for what, bad := range map[string]string{
		"script": `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "text": "a lamp", "empty": "",
		"event": `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
	} {
		a := ops.Do(t, "POST", "/api/v1/admin/products/"+lamp.ID+"/images", shop.Raw{Type: "image/svg+xml", Body: []byte(bad)})
		require.Contains(t, []int{400, 422}, a.Status, "%s: %s", what, a.Body)
	}
	var image string
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		page := shop.Get[shop.Page](t, s.Nobody(), "/api/v1/products/"+lamp.Slug)
		if page.ImageURL == nil || *page.ImageURL == "" {
			return false, "the page shows no picture"
		}
		image = *page.ImageURL
		return true, ""
	})
	require.True(t, strings.HasPrefix(image, "/media/"), image)
	a, err := s.Nobody().Send(t.Context(), "GET", image, nil)
	require.NoError(t, err)
	require.Equal(t, 200, a.Status)
	require.Contains(t, a.Header.Get("Content-Type"), "image/svg+xml")
	require.Contains(t, string(a.Body), "#c0ffee")
}

// TestVariant: carts, orders and mails say which variant it is, and an order goes on saying so.
func TestVariant(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	id := shop.Random()
	size := func(size string) object {
		return object{"sku": "TEE-" + size + "-" + id, "price": shop.Pounds(1_500), "initial_stock": 3, "options": object{"Size": size, "Colour": "Blue"}}
	}
	admin := s.Admin(t)
	tee := shop.Read[shop.Product](t, admin.Do(t, "POST", "/api/v1/admin/products", object{
		"name": "Tee " + id, "slug": "tee-" + id, "options": []string{"Size", "Colour"}, "variants": []any{size("S"), size("M")},
	}).OK(t, 201))
	admin.Do(t, "POST", "/api/v1/admin/products/"+tee.ID+"/publication", nil).OK(t, 200)
	tee.SKU = "TEE-M-" + id
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		a := s.Nobody().Do(t, "GET", "/api/v1/availability/"+tee.SKU, nil)
		return a.Status == 200, fmt.Sprintf("%d %s", a.Status, a.Body)
	})
	ann := s.Register(t)
	require.Equal(t, "M / Blue", ann.Put(t, &tee, 1).Line(tee.SKU).Variant)
	order := ann.Await(t, ann.Order(t, shop.Visa).ID, "confirmed")
	require.Equal(t, "M / Blue", order.Lines[0].Variant)
	require.Contains(t, ann.AwaitMail(t, "Your order "+order.Number+" is confirmed", 1).HTML, "M / Blue")

	admin.Do(t, "PATCH", "/api/v1/admin/products/"+tee.ID, object{"version": 2, "variants": []any{object{"sku": tee.SKU, "price": shop.Pounds(1_500), "options": object{"Size": "Medium", "Colour": "Blue"}}}}).OK(t, 200)
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		cart := ann.Put(t, &tee, 1)
		return cart.Line(tee.SKU).Variant == "Medium / Blue", fmt.Sprintf("%+v", cart.Lines)
	})
	require.Equal(t, "M / Blue", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID).Lines[0].Variant)

	lamp := s.NewProduct(t, 1_000, 1)
	require.Empty(t, ann.Put(t, lamp, 1).Line(lamp.SKU).Variant, "there is but one")
}
