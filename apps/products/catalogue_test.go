package main

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// sized are variants of these sizes, each with its price and what it begins with.
func sized(sku string, sizes ...object) object {
	variants := []object{}
	for _, s := range sizes {
		variants = append(variants, object{
			"sku": sku + "-" + s["size"].(string), "options": object{"Size": s["size"]}, "initial_stock": s["stock"],
			"price": object{"amount_minor": s["price"], "currency": "GBP"},
		})
	}
	return object{"options": []string{"Size"}, "variants": variants}
}

// TestSearchInAllWords: names made of words that say little, words typed beyond their stem, letters that no accent is taken
// from, and the inside of text without spaces.
func TestSearchInAllWords(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file, err := os.ReadFile("testdata/search.csv")
	require.NoError(t, err)
	require.Zero(t, b.importFile("", string(file)).Refused)
	b.published("Cotton tee", "TEE", 900)
	b.published("Wholesale theatre kit", "KIT", 900)
	for q, want := range map[string][]string{
		"The Who":         {"The Who Tee"},
		"who":             {"The Who Tee", "Wholesale theatre kit"},
		"the who tee":     {"The Who Tee", "Cotton tee"},
		"at&t":            {"AT&T phone case"},
		"AT&T phone":      {"AT&T phone case"},
		"hfzwaterproof":   {"Hfzwaterproofing spray"},
		"hfzwaterproofi":  {"Hfzwaterproofing spray"},
		"hfzwaterproofin": {"Hfzwaterproofing spray"},
		"hfzgross":        {"Hfzgroß Tasche"},
		"hfzgroß":         {"Hfzgroß Tasche"},
		"coeur":           {"Hfz-cœur bijou"},
		"cœur":            {"Hfz-cœur bijou"},
		"ドレス":             {"赤いドレス"},
		"赤い":              {"赤いドレス"},
		"ス":               {"赤いドレス"},
		"レド":              {},
	} {
		require.Equal(t, want, names(b.list("?q="+url.QueryEscape(q))), q)
	}
	var found adminListOutput
	b.do("GET", adminPath+"?q="+url.QueryEscape("ドレ"), b.admin, nil, 200).JSON(t, &found.Body)
	require.Len(t, found.Body.Items, 1, "in the back office too")
}

// TestOddNames: nothing is corrected to a brand's odd word when nothing is close to what was typed.
func TestOddNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Ruckracks bike rack", "RACK", 4900, object{"vendor": "Ruckracks"})
	require.Empty(t, b.list("?q=rucksack").Items)
	require.Nil(t, b.list("?q=rucksack").Corrected)
	require.Equal(t, "ruckracks", *b.list("?q=rukracks").Corrected)
}

func TestSynonyms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Linen sofa", "SOFA", 90_000)
	b.published("Trainers", "TRAIN", 6_000)
	require.Empty(t, b.list("?q=couch").Items)
	var now Synonyms
	groups := [][]string{{"sofa", "Couch ", "settee", "COUCH"}, {"running shoes", "trainers"}}
	b.do("PUT", adminPath+"/synonyms", b.admin, object{"groups": groups}, 200).JSON(t, &now)
	require.Equal(t, [][]string{{"sofa", "Couch", "settee"}, {"running shoes", "trainers"}}, now.Groups)
	b.do("GET", adminPath+"/synonyms", b.admin, nil, 200).JSON(t, &now)
	require.Len(t, now.Groups, 2)
	for q, want := range map[string][]string{
		"couch": {"Linen sofa"}, "linen couches": {"Linen sofa"}, "settee": {"Linen sofa"}, "sofa": {"Linen sofa"},
		"running shoe": {"Trainers"}, "running": {},
	} {
		require.Equal(t, want, names(b.list("?q="+url.QueryEscape(q))), q)
	}
	for _, bad := range []any{
		[][]string{{"sofa"}}, [][]string{{"sofa", "Sofa"}}, [][]string{{"sofa", "!!"}},
		[][]string{{"sofa", strings.Repeat("x", 101)}}, nil,
	} {
		b.do("PUT", adminPath+"/synonyms", b.admin, object{"groups": bad}, 422)
	}
	b.do("PUT", adminPath+"/synonyms", b.user, object{"groups": [][]string{}}, 403)
	b.do("PUT", adminPath+"/synonyms", b.admin, object{"groups": [][]string{}}, 200)
	require.Empty(t, b.list("?q=couch").Items)
}

// TestIndexAgain: what an older instance saved beside this one is found by today's rules a moment later, and sorted by the
// lowest price.
func TestIndexAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.published("Große Tasche", "", 0, sized("T", object{"size": "L", "price": 3000, "stock": 1},
		object{"size": "S", "price": 1000, "stock": 1}))
	b.published("Other", "OTHER", 2000)
	_, err := b.db.Exec(t.Context(), `
		UPDATE products SET search = to_tsvector('english', 'große tasche'), price = 3000 WHERE slug = 'grosse-tasche'`)
	require.NoError(t, err)
	require.Empty(t, b.list("?q=grosse").Items)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := indexAgain(t.Context(), b.db); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	require.Len(t, b.list("?q=grosse").Items, 1)
	require.Equal(t, []string{"Große Tasche", "Other"}, names(b.list("?sort=price")))
	var version int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT version FROM products WHERE slug = 'grosse-tasche'`).Scan(&version))
	require.Equal(t, 2, version, "nothing that anybody sees has changed")
}

// TestSlugsByThemselves: a name in any script, and one that is there already.
func TestSlugsByThemselves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, want := range map[string]string{"赤いドレス": "chi-idoresu", "Rød grød": "rod-grod", "🎁": "product"} {
		require.Equal(t, want, b.product(name, "S-"+want, 100).Slug)
	}
	var all sync.WaitGroup
	slugs := make([]string, 4)
	for i := range slugs {
		all.Go(func() {
			res := servetest.Do(t, b.rt, "POST", adminPath, b.admin, object{"name": "Lamp"})
			if res.Status == 201 {
				var p AdminProduct
				res.JSON(t, &p)
				slugs[i] = p.Slug
			}
		})
	}
	all.Wait()
	slices.Sort(slugs)
	require.Equal(t, []string{"lamp", "lamp-2", "lamp-3", "lamp-4"}, slugs)
	taken := b.do("POST", adminPath, b.admin, object{"name": "Lamp", "slug": "lamp"}, 409)
	require.Equal(t, "slug-taken", taken.Slug(), "one that was chosen is not changed")

	category := func(in object) (c AdminCategory) {
		b.do("POST", adminPath+"/categories", b.admin, in, 201).JSON(t, &c)
		return c
	}
	require.Equal(t, "obuv", category(object{"name": "Обувь"}).Slug)
	require.Equal(t, "sale", category(object{"name": "Sale"}).Slug)
	require.Equal(t, "sale-2", category(object{"name": "Sale", "parent": "obuv"}).Slug)
	require.Equal(t, "category", category(object{"name": "★"}).Slug)
}

// TestOneVariant: size, stock and price hold for one and the same variant, and facets offer what can be had.
func TestOneVariant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Shoes"}, 201)
	file, err := os.ReadFile("testdata/variants.csv")
	require.NoError(t, err)
	require.Zero(t, b.importFile("", string(file)).Refused)
	b.published("Boot", "", 0, object{"category": "shoes"}, sized("B",
		object{"size": "41", "price": 3000, "stock": 3}, object{"size": "42", "price": 2000, "stock": 0}))

	for query, want := range map[string][]string{
		"q=hfzshoe13":                                                {"Hfzshoe13"},
		"q=hfzshoe13&option=Size:41":                                 {"Hfzshoe13"},
		"q=hfzshoe13&option=Size:41&in_stock=true":                   {},
		"q=hfzshoe13&option=Size:42&in_stock=true":                   {"Hfzshoe13"},
		"q=hfzshoe13&max_price=1100":                                 {"Hfzshoe13"},
		"q=hfzshoe13&max_price=1100&in_stock=true":                   {},
		"q=hfzshoe13&min_price=1100":                                 {"Hfzshoe13"},
		"q=hfzshoe13&min_price=1100&max_price=1150":                  {},
		"q=hfzshoe13&min_price=1100&option=Size:41":                  {},
		"q=hfzshoe13&min_price=1100&option=Size:42":                  {"Hfzshoe13"},
		"option=Size:41&in_stock=true":                               {"Boot"},
		"option=Size:42&max_price=2000":                              {"Boot", "Hfzshoe13"},
		"option=Size:42&max_price=2000&in_stock=true":                {"Hfzshoe13"},
		"option=Size:41&option=Size:42&in_stock=true&min_price=1300": {"Boot"},
		"in_stock=false":                                             {},
	} {
		require.ElementsMatch(t, want, names(b.list("?"+query)), query)
	}
	options := func(query string) []OptionFacet { return b.list("?q=hfzshoe13&" + query).Facets.Options }
	require.Equal(t, []OptionFacet{{"Size", []OptionCount{{"41", 1}, {"42", 1}}}}, options(""))
	require.Equal(t, []OptionFacet{{"Size", []OptionCount{{"42", 1}}}}, options("in_stock=true"), "what is sold out is not offered")
	require.Equal(t, []OptionFacet{{"Size", []OptionCount{{"41", 1}}}}, options("max_price=1100"))
	price := b.list("?q=hfzshoe13&in_stock=true").Facets.Price
	require.Equal(t, []int64{1200, 1200}, []int64{*price.Min, *price.Max})
	price = b.list("?q=hfzshoe13").Facets.Price
	require.Equal(t, []int64{1000, 1200}, []int64{*price.Min, *price.Max})

	t.Log("sorted by the price that a card shows: the lowest")
	require.Equal(t, []string{"Hfzshoe13", "Boot"}, names(b.list("?sort=price")))
	require.Equal(t, []string{"Boot", "Hfzshoe13"}, names(b.list("?sort=-price")))
	boot := b.list("?sort=-price").Items[0]
	require.Equal(t, []int64{3000, 2000, 3000}, []int64{boot.Price.Amount, boot.PriceFrom.Amount, boot.PriceTo.Amount})
	var page PublicProduct
	b.do("GET", "/api/v1/products/boot", "", nil, 200).JSON(t, &page)
	require.Equal(t, []int64{3000, 2000, 3000}, []int64{page.Price.Amount, page.PriceFrom.Amount, page.PriceTo.Amount})
}

// TestFacetsOfSeveralOptions: what is counted of one option is what the choice of another leaves, in the same variant.
func TestFacetsOfSeveralOptions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := func(sku, size, colour string) object {
		return object{
			"sku": sku, "options": object{"Size": size, "Colour": colour}, "initial_stock": 1,
			"price": object{"amount_minor": 100, "currency": "GBP"},
		}
	}
	b.published("Shirt", "", 0, object{"options": []string{"Size", "Colour"},
		"variants": []object{one("A", "M", "Red"), one("B", "L", "Blue")}})
	require.Equal(t, []OptionFacet{{"Size", []OptionCount{{"L", 1}, {"M", 1}}}, {"Colour", []OptionCount{{"Red", 1}}}},
		b.list("?q=shirt&option=Size:M").Facets.Options)
	require.Empty(t, b.list("?q=shirt&option=Size:M&option=Colour:Blue").Items)
}

// TestArrangeImages: their order, what they show, and whose own they are.
func TestArrangeImages(t *testing.T) {
	t.Parallel()
	p := &Product{
		OptionNames: []string{"Size"},
		Variants: []Variant{
			{SKU: "A", Options: []string{"M"}, Price: 1}, {SKU: "B", Options: []string{"L"}, Price: 1, Image: "/media/kept.svg"},
		},
		Images: []Image{{ID: newID(), URL: "/media/one.svg"}, {ID: newID(), URL: "/media/two.svg"}},
	}
	one, two := p.Images[0].ID, p.Images[1].ID
	require.NoError(t, p.Arrange([]ImageInput{{ID: two, Alt: " From behind ", SKUs: []string{"A"}}, {ID: one}}))
	require.Equal(t, []Image{{two, "/media/two.svg", "From behind"}, {one, "/media/one.svg", ""}}, p.Images)
	require.Equal(t, []string{"/media/two.svg", "/media/kept.svg"}, []string{p.Variants[0].Image, p.Variants[1].Image})
	before := p.clone()
	for _, bad := range [][]ImageInput{
		nil, {{ID: one}}, {{ID: one}, {ID: one}}, {{ID: one}, {ID: newID()}}, {{ID: one, SKUs: []string{"C"}}, {ID: two}},
		{{ID: one, SKUs: []string{"A"}}, {ID: two, SKUs: []string{"A"}}}, {{ID: one, Alt: "a\x00"}, {ID: two}},
	} {
		require.Error(t, p.Arrange(bad))
		require.True(t, p.Same(before))
	}
	require.NoError(t, p.RemoveImage(two))
	require.Empty(t, p.Variants[0].Image)
	require.ErrorIs(t, p.RemoveImage(two), ErrImageNotFound)
	require.NoError(t, p.Arrange([]ImageInput{{ID: one, SKUs: []string{"A", "B"}}}))
	require.Equal(t, "/media/one.svg", p.Variants[1].Image)
	require.NoError(t, p.Arrange([]ImageInput{{ID: one}}))
	require.Empty(t, p.Variants[1].Image)
}
