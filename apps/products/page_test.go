package main

import (
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestPageHTML: Markdown gives structure and links; whatever could run, load or restyle something is left out.
func TestPageHTML(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"# Sizes\n\nAs **worn**.":              "<h2>Sizes</h2>\n<p>As <strong>worn</strong>.</p>",
		"## Sizes":                             "<h2>Sizes</h2>",
		"[how](/delivery) [who](mailto:a@b.c)": `<p><a href="/delivery">how</a> <a href="mailto:a@b.c">who</a></p>`,
		"[x](javascript:alert(1))":             "<p>x</p>",
		"[x](data:text/html;base64,AAAA)":      "<p>x</p>",
		"a <script>alert(1)</script> b":        "<p>a alert(1) b</p>",
		"<img src=x onerror=alert(1)>":         "",
		"![x](https://else.example/p.png)":     "<p></p>",
		"<p style='position:fixed'>x</p>":      "",
		"- one\n- two":                         "<ul>\n<li>one</li>\n<li>two</li>\n</ul>",
		"":                                     "",
	} {
		got, err := ShopPage{Body: body}.html()
		require.NoError(t, err)
		require.Equal(t, want, got, body)
	}
	got, err := ShopPage{Body: "| Size | Chest |\n|---|--:|\n| M | 96 |"}.html()
	require.NoError(t, err)
	require.Contains(t, got, "<th>Size</th>")
	require.NotContains(t, got, "style")
}

func (b *bench) links() (slugs []string) {
	b.t.Helper()
	var out PageLinks
	b.do("GET", "/api/v1/pages", "", nil, 200).JSON(b.t, &out)
	for _, l := range out.Items {
		slugs = append(slugs, l.Slug)
	}
	return slugs
}

// TestPages: a draft is read by nobody; pages are changed by version, stand in the foot in their order, and go when deleted.
func TestPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const at = adminPath + "/pages"
	var p ShopPage
	draft := object{"title": " Sending back ", "body": "# How\r\n\r\n**Write** to us.", "published": false, "foot": 2}
	b.do("POST", at, b.admin, draft, 201).JSON(t, &p)
	require.Equal(t, ShopPage{
		Slug: "sending-back", Title: "Sending back", Body: "# How\n\n**Write** to us.", Foot: 2, Version: 1, ChangedAt: p.ChangedAt,
		Categories: []string{}, Products: []string{},
	}, p)
	require.Equal(t, "page-not-found", b.do("GET", "/api/v1/pages/sending-back", "", nil, 404).Slug())
	require.Empty(t, b.links())
	require.Equal(t, "slug-taken", b.do("POST", at, b.admin, object{"title": "Sending back", "body": "x", "published": true}, 409).Slug())

	change := object{"title": "Sending back", "body": "# How\n\n**Write** to us.", "published": true, "foot": 2, "version": 1}
	b.do("PUT", at+"/sending-back", b.admin, change, 200).JSON(t, &p)
	require.Equal(t, 2, p.Version)
	require.Equal(t, "version-conflict", b.do("PUT", at+"/sending-back", b.admin, change, 409).Slug())
	change["version"] = int64(math.MaxInt64)
	require.Equal(t, "version-conflict", b.do("PUT", at+"/sending-back", b.admin, change, 409).Slug())
	require.Equal(t, "page-not-found", b.do("PUT", at+"/none", b.admin, change, 404).Slug())
	var shown PublicPage
	b.do("GET", "/api/v1/pages/sending-back", "", nil, 200).JSON(t, &shown)
	require.Equal(t, "<h2>How</h2>\n<p><strong>Write</strong> to us.</p>", shown.HTML)
	b.do("POST", at, b.admin, object{"title": "Contact", "body": "x", "published": true, "foot": 1}, 201)
	b.do("POST", at, b.admin, object{"title": "Hidden", "body": "x", "published": true}, 201)
	require.Equal(t, []string{"contact", "sending-back"}, b.links())
	require.JSONEq(t, `{"html": "<p>x</p>"}`, string(b.do("POST", at+"/preview", b.admin, object{"body": "x"}, 200).Body))

	for why, bad := range map[string]object{
		"nothing to read": {"title": " \u00a0", "body": "x", "published": true},
		"too long":        {"title": "x", "body": strings.Repeat("x", maxPageText+1), "published": true},
		"no address":      {"title": "x", "body": "x", "published": true, "slug": "Sending Back"},
		"no category":     {"title": "x", "body": "x", "published": true, "categories": []string{"Not a slug"}},
		"below the foot":  {"title": "x", "body": "x", "published": true, "foot": -1},
	} {
		require.Equal(t, "invalid", b.do("POST", at, b.admin, bad, 422).Slug(), why)
	}
	for _, path := range []string{at, at + "/contact"} {
		require.Equal(t, "forbidden", b.do("GET", path, b.user, nil, 403).Slug())
	}
	b.do("DELETE", at+"/contact", b.admin, nil, 204)
	require.Equal(t, "page-not-found", b.do("DELETE", at+"/contact", b.admin, nil, 404).Slug())
	require.Equal(t, []string{"sending-back"}, b.links())
}

// TestPageChangedTwice: of two who save what they have read at the same time, one is told.
func TestPageChangedTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const at = adminPath + "/pages"
	b.do("POST", at, b.admin, object{"title": "Contact", "body": "x", "published": true}, 201)
	var both sync.WaitGroup
	statuses := make([]int, 2)
	for i := range statuses {
		both.Go(func() {
			change := object{"title": "Contact", "body": strings.Repeat("y", i+1), "published": true, "version": 1}
			statuses[i] = servetest.Do(t, b.rt, "PUT", at+"/contact", b.admin, change).Status
		})
	}
	both.Wait()
	require.ElementsMatch(t, []int{200, 409}, statuses)
}

// TestSizeGuide: a product leads to its own guide, else to that of the nearest category that has one.
func TestSizeGuide(t *testing.T) {
	t.Parallel()
	tree := categoryTree{}
	add := func(slug string, parent *uuid.UUID) *uuid.UUID {
		c := Category{ID: uuid.New(), Slug: slug, ParentID: parent}
		tree[c.ID] = c
		return &c.ID
	}
	clothes := add("clothes", nil)
	shirts := add("shirts", clothes)
	shoes := add("shoes", clothes)
	g := guides{
		category: map[string]PageLink{"clothes": {Slug: "clothing-sizes"}, "shoes": {Slug: "shoe-sizes"}},
		product:  map[string]PageLink{"odd-boot": {Slug: "odd"}},
	}
	require.Equal(t, "clothing-sizes", g.of("tee", shirts, tree).Slug)
	require.Equal(t, "shoe-sizes", g.of("boot", shoes, tree).Slug)
	require.Equal(t, "odd", g.of("odd-boot", shoes, tree).Slug)
	require.Nil(t, g.of("mug", nil, tree))
	require.Nil(t, guides{}.of("tee", shirts, tree))

	b := setup(t)
	b.do("POST", adminPath+"/categories", b.admin, object{"name": "Tops"}, 201)
	b.published("Tee", "GUIDE-1", 1_000, object{"category": "tops"})
	guide := func() *SizeGuide {
		var p PublicProduct
		b.do("GET", "/api/v1/products/tee", "", nil, 200).JSON(t, &p)
		return p.SizeGuide
	}
	require.Nil(t, guide())
	page := object{"title": "Sizes of tops", "body": "x", "published": false, "categories": []string{"tops"}}
	b.do("POST", adminPath+"/pages", b.admin, page, 201)
	require.Nil(t, guide(), "a draft")
	page["published"], page["version"] = true, 1
	b.do("PUT", adminPath+"/pages/sizes-of-tops", b.admin, page, 200)
	require.Equal(t, SizeGuide{Slug: "sizes-of-tops", Title: "Sizes of tops"}, *guide())
}
