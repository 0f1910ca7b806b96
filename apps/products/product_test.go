package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

func shirt() *Product {
	return &Product{
		ID: uuid.MustParse("01890000-0000-7000-8000-000000000001"), Slug: "shirt", Name: "Shirt", Status: Draft, Version: 1,
		OptionNames: []string{"Size"},
		Variants: []Variant{
			{SKU: "SHIRT-S", Options: []string{"S"}, Price: 1999, InitialStock: 3, InStock: true},
			{SKU: "SHIRT-M", Options: []string{"M"}, Price: 2199},
		},
	}
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10_000)
	many := make([]string, maxTags+1)
	for i := range many {
		many[i] = strings.Repeat("t", i+1)[:min(i+1, maxTag)] + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	for name, d := range map[string]Details{
		"empty name":          {Name: ptr("  ")},
		"long name":           {Name: &long},
		"control in name":     {Name: ptr("a\x07b")},
		"newline in name":     {Name: ptr("a\nb")},
		"long vendor":         {Vendor: &long},
		"long tag":            {Tags: &[]string{long}},
		"too many tags":       {Tags: &many},
		"long description":    {Description: ptr(strings.Repeat("é", maxDescription+1))},
		"long attribute":      {Attributes: &map[string]string{"Care": long}},
		"four options":        {OptionNames: &[]string{"a", "b", "c", "d"}},
		"same option twice":   {OptionNames: &[]string{"Size", "size"}},
		"option without name": {OptionNames: &[]string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, shirt().Set(d), problem.ErrInvalid)
		})
	}
}

// TestLinesAreTidied: by the one rule of the shop, but for SKUs, by which others know the thing.
func TestLinesAreTidied(t *testing.T) {
	t.Parallel()
	p := shirt()
	require.NoError(t, p.Set(Details{
		Name: ptr("\u00a0Blue\t\u00a0 Shirt\ufeff"), Vendor: ptr("Zoe\u0308"), Tags: &[]string{"\u200b", "a\u2003b", "a b"},
		Attributes: &map[string]string{"Care": " Wash\tcold \n\u00a0\nDry  flat"},
	}))
	require.Equal(t, []string{"Blue Shirt", "Zoë"}, []string{p.Name, p.Vendor})
	require.Equal(t, []string{"a b"}, p.Tags)
	require.Equal(t, "Wash cold\nDry flat", p.Attributes["Care"])
	require.NoError(t, p.SetVariant(Variant{SKU: " A  1\u00a0B ", Options: []string{"X\tL"}, Price: 1}))
	require.Equal(t, "A  1\u00a0B", p.Variants[2].SKU)
	require.Equal(t, []string{"X L"}, p.Variants[2].Options)
}

func TestSetVariant(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]Variant{
		"tab in sku":         {SKU: "a\tb", Options: []string{"L"}, Price: 1},
		"line end in sku":    {SKU: "a\u2028b", Options: []string{"L"}, Price: 1},
		"no sku":             {Options: []string{"L"}, Price: 1},
		"control in sku":     {SKU: "a\x00b", Options: []string{"L"}, Price: 1},
		"sku of spaces":      {SKU: "\u00a0 ", Options: []string{"L"}, Price: 1},
		"long sku":           {SKU: strings.Repeat("語", skus.Max+1), Options: []string{"L"}, Price: 1},
		"negative weight":    {SKU: "L", Options: []string{"L"}, Price: 1, Weight: -1},
		"negative price":     {SKU: "L", Options: []string{"L"}, Price: -1},
		"huge price":         {SKU: "L", Options: []string{"L"}, Price: maxPrice + 1},
		"negative stock":     {SKU: "L", Options: []string{"L"}, Price: 1, InitialStock: -1},
		"huge stock":         {SKU: "L", Options: []string{"L"}, Price: 1, InitialStock: maxStock + 1},
		"none per shopper":   {SKU: "L", Options: []string{"L"}, Price: 1, MaxPerShopper: ptr(0)},
		"no option":          {SKU: "L", Price: 1},
		"empty option":       {SKU: "L", Options: []string{" "}, Price: 1},
		"options of another": {SKU: "L", Options: []string{"S"}, Price: 1},
		"sku in other case":  {SKU: "shirt-s", Options: []string{"L"}, Price: 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := shirt()
			require.ErrorIs(t, p.SetVariant(v), problem.ErrInvalid)
			require.Equal(t, shirt(), p)
		})
	}
	t.Run("new", func(t *testing.T) {
		p := shirt()
		require.NoError(t, p.SetVariant(Variant{SKU: "SHIRT-L", Options: []string{" L "}, Price: 2399, InitialStock: 1}))
		require.Equal(t, Variant{SKU: "SHIRT-L", Options: []string{"L"}, Price: 2399, InitialStock: 1, InStock: true}, p.Variants[2])
	})
	t.Run("stock of a published product is inventory's", func(t *testing.T) {
		p := shirt()
		require.NoError(t, p.Publish(noon))
		require.NoError(t, p.SetVariant(Variant{SKU: "SHIRT-S", Options: []string{"S"}, Price: 1, InitialStock: 0}))
		require.Equal(t, Variant{SKU: "SHIRT-S", Options: []string{"S"}, Price: 1, InitialStock: 3, InStock: true}, p.Variants[0])
	})
}

func TestNotForSaleYet(t *testing.T) {
	t.Parallel()
	free := Variant{SKU: "Shirt / L+", Options: []string{"L"}}
	p := shirt()
	require.NoError(t, p.SetVariant(free), "any sign, and a price that is open")
	require.ErrorIs(t, p.Publish(noon), ErrIncomplete)
	free.Price = 1
	require.NoError(t, p.SetVariant(free))
	require.NoError(t, p.Publish(noon))
	free.Price = 0
	require.ErrorIs(t, p.SetVariant(free), problem.ErrInvalid, "on sale")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	p := shirt()
	p.Unlist()
	require.Equal(t, Draft, p.Status)
	require.NoError(t, p.Publish(noon))
	require.NoError(t, p.Publish(noon.Add(time.Hour)))
	require.Equal(t, noon, *p.PublishedAt)
	require.ErrorIs(t, p.RemoveVariant("SHIRT-S"), ErrVariantPublished)
	p.Unlist()
	require.Equal(t, Unlisted, p.Status)
	require.ErrorIs(t, (&Product{}).Publish(noon), ErrIncomplete)
}

func TestOptionNamesFollowTheVariants(t *testing.T) {
	t.Parallel()
	p := shirt()
	require.NoError(t, p.Set(Details{OptionNames: &[]string{"Size", "Colour"}}))
	require.Equal(t, []string{"S", ""}, p.Variants[0].Options)
	require.Equal(t, map[string]string{"Size": "S"}, p.Variants[0].named(p.OptionNames))
}

func TestCloneIsApart(t *testing.T) {
	t.Parallel()
	p, q := shirt(), shirt()
	c := p.clone()
	require.True(t, p.Same(c))
	require.NoError(t, c.SetVariant(Variant{SKU: "SHIRT-S", Options: []string{"XS"}, Price: 5}))
	require.NoError(t, c.SetImage(Image{URL: "/media/a.png"}))
	require.NoError(t, c.Set(Details{OptionNames: &[]string{"Size", "Fit"}}))
	require.Equal(t, q, p)
	require.False(t, p.Same(c))
}
