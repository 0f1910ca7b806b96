package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/skus"
)

func TestSanitise(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`<p>Good <strong>tea</strong></p>`:                                `<p>Good <strong>tea</strong></p>`,
		`<script>alert(1)</script>tea`:                                    `tea`,
		`<p onclick="alert(1)" style="color:red" class="x">tea</p>`:       `<p>tea</p>`,
		`<img src=x onerror=alert(1)>`:                                    ``,
		`<svg><script>alert(1)</script></svg>`:                            ``,
		`<a href="javascript:alert(1)">tea</a>`:                           `tea`,
		`<a href=" &#106;avascript:alert(1)">tea</a>`:                     `tea`,
		`<a href="data:text/html,x">tea</a>`:                              `tea`,
		`<a href="https://example.com/">tea</a>`:                          `<a href="https://example.com/" rel="nofollow noreferrer">tea</a>`,
		`<iframe src="https://example.com"></iframe><form><input></form>`: ``,
		`<style>p{color:red}</style><p>tea</p>`:                           `<p>tea</p>`,
		`<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>`: `<table></table>`,
		`a < b & c`:               `a &lt; b &amp; c`,
		"tea\x00\x07 time":        `tea time`,
		`<ul><li>one<li>two</ul>`: `<ul><li>one<li>two</ul>`,
		`<noscript><p title="</noscript><img src=x onerror=alert(1)>">`:    `<p>`,
		`<scr<script>ipt>alert(1)</scr</script>ipt>`:                       `ipt>alert(1)`,
		`<META HTTP-EQUIV="refresh" CONTENT="0;url=javascript:alert(1)">x`: `x`,
	} {
		got := sanitise(in)
		lower := strings.ToLower(got)
		for _, bad := range []string{"<script", "onerror=", "onclick", "javascript:", "<img", "<iframe", "<svg", "style="} {
			require.NotContains(t, lower, bad, in)
		}
		require.Equal(t, got, sanitise(got), "twice: %s", in)
		if want != got {
			t.Logf("%q: %q", in, got)
		}
	}
	require.Equal(t, `<p>tea</p>`, sanitise(`<p onclick="alert(1)" style="color:red" class="x">tea</p>`))
	require.Equal(t, `<a href="https://example.com/" rel="nofollow noreferrer">tea</a>`, sanitise(`<a href="https://example.com/">tea</a>`))
	require.Equal(t, `a &lt; b &amp; c`, sanitise(`a < b & c`))
}

func TestBlocksKeepWordsApart(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`<div>Feather<span>light</span></div><div>Dry</div><h1>Care</h1>Cold`: `Featherlight<br>Dry<h2>Care</h2>Cold`,
		`<section><div>one</div></section><p>two</p><div>three</div>`:         `one<p>two</p>three`,
		`<div></div><div>one</div> <div> </div><div><b>two</b></div>`:         `one  <br><b>two</b>`,
		`<div>one</div><style>p{}</style><div>two</div>`:                      `one<br>two`,
		`<div>one</div><script>x</script>two`:                                 `one<br>two`,
		`<ul><li><div>one</div></li><li>two</li></ul>`:                        `<ul><li>one</li><li>two</li></ul>`,
	} {
		got := sanitise(in)
		require.Equal(t, want, got, in)
		require.Equal(t, got, sanitise(got))
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"T-Shirt, Größe M":              "t shirt grosse m",
		"Crème Brûlée, cœur":            "creme brulee coeur",
		"Søstrene, Łódź, Đặng, Æ":       "sostrene lodz dang ae",
		"Cafe\u0301 İstanbul ısı":       "cafe istanbul isi",
		"men's":                         "mens",
		"robe d'été, l’eau":             "robe d ete l eau",
		"'; DROP TABLE products; --":    "drop table products",
		"a & !b | (c) <-> d:*":          "a b c d",
		"":                              "",
		"❤\ufe0f":                       "",
		"日本 茶":                          "日本 茶",
		"Ｔシャツ ﾄﾞﾚｽ":                     "t シャツ ドレス",
		"赤いDRESS":                       "赤い dress",
		"हिन्दी बैग":                    "हिन्दी बैग",
		"שָׁלוֹם":                       "שלום",
		"JKT-0012/M":                    "jkt 0012 m",
		strings.Repeat("x", 500) + " y": strings.Repeat("x", 64) + " y",
	} {
		require.Equal(t, want, searchable(in), in)
	}
}

func TestSlugs(t *testing.T) {
	t.Parallel()
	require.Equal(t, "creme-brulee-no-2", slugify("Crème Brûlée, No. 2!"))
	require.Equal(t, "ri-ben", slugify("日本"))
	require.Equal(t, "", slugify("🎁"))
	for in, want := range map[string]string{
		"赤いドレス": "chi-idoresu", "Rød grød": "rod-grod", "Красное платье": "krasnoe-plate",
		"Großer Bär": "grosser-bar", "빨간 원피스": "bbalgan-weonpiseu",
	} {
		require.Equal(t, want, slugify(in), in)
		require.NoError(t, checkSlug(slugify(in)))
	}
	require.NotEqual(t, slugify("สีแดง"), slugify("สีดำ"))
	id := newID()
	require.Equal(t, []string{"product", "product-2"}, slugsFor("🎁", "product", id)[:2])
	for _, slug := range slugsFor(strings.Repeat("long ", 60), "product", id) {
		require.NoError(t, checkSlug(slug))
	}
	require.Equal(t, "ocean_blue-shirt", slugOf("Ocean_Blue-Shirt"))
	require.Equal(t, "a-b", slugOf("A/../b"))
	for _, pair := range [][2]string{
		{"café-x", "cafe-x"}, {"красная", "синяя"}, {"🎁", "🎀"}, {strings.Repeat("é", 300), strings.Repeat("é", 301)},
	} {
		one, other := slugOf(pair[0]), slugOf(pair[1])
		require.NoError(t, checkSlug(one), pair[0])
		require.NotEqual(t, one, other)
		require.Equal(t, one, slugOf(pair[0]))
		require.Equal(t, one, slugOf(one), "an export names it so")
	}
	require.Regexp(t, "^krasnaia-rubashka-[0-9a-f]{6}$", slugOf("Красная-рубашка"))
	require.Equal(t, slugOf("cafe\u0301-x"), slugOf("café-x"), "one text, two spellings")

	require.Equal(t, "CANDLE-SMALL-RED", madeSKU("CANDLE", []string{"Small", "Red"}, false))
	require.NotEqual(t, madeSKU("X", []string{"+"}, true), madeSKU("X", []string{"-"}, true))
	require.NotEqual(t, madeSKU("X", []string{"A-B", "C"}, true), madeSKU("X", []string{"A", "B-C"}, true))
	long := madeSKU(strings.Repeat("candle", 50), []string{"Small"}, false)
	require.Len(t, long, skus.Max)
	require.NotEqual(t, long, madeSKU(strings.Repeat("candle", 50), []string{"Large"}, false))
}
