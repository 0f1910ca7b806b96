package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/stampede-shop/stampede/kit/csvfile"
)

// This file reads the CSV that Shopify exports, and what its columns say about a product.

// Shopify renamed its columns in 2025; both generations are read. Names are compared in small letters.
var columns = map[string]column{
	"handle": colHandle, "url handle": colHandle,
	"title":       colTitle,
	"body (html)": colBody, "body html": colBody, "description": colBody,
	"vendor":           colVendor,
	"product category": colProductCategory, "standard product type": colProductCategory,
	"type": colType, "custom product type": colType,
	"tags":      colTags,
	"published": colPublished, "published on online store": colPublished,
	"status":       colStatus,
	"option1 name": colOptionName1, "option2 name": colOptionName2, "option3 name": colOptionName3,
	"option1 value": colOptionValue1, "option2 value": colOptionValue2, "option3 value": colOptionValue3,
	"variant sku": colSKU, "sku": colSKU,
	"variant inventory qty": colQuantity, "inventory quantity": colQuantity,
	"variant price": colPrice, "price": colPrice,
	"image src": colImage, "product image url": colImage,
	"image alt text": colImageAlt,
	"variant image":  colVariantImage, "variant image url": colVariantImage,
	"max per shopper": colMaxPerShopper,
	"variant grams":   colGrams, "weight value (grams)": colGrams,
}

// shopify reads the rows of Shopify's files.
type shopify struct {
	columns []column // of the header, or -1
	names   []string // of the metafields, or empty
	decimal bool     // prices have a comma, as spreadsheets write that put semicolons between cells
}

func isShopify(header []string) bool {
	return slices.ContainsFunc(header, func(n string) bool { c, ok := columns[strings.ToLower(n)]; return ok && c == colHandle })
}

func newShopify(t *csvfile.Table) *shopify {
	s := &shopify{columns: make([]column, len(t.Header)), names: make([]string, len(t.Header)), decimal: t.Comma == ';'}
	for i, name := range t.Header {
		c, ok := columns[strings.ToLower(name)]
		// A metafield's column is called "Name (product.metafields.namespace.key)".
		if field, key, is := strings.Cut(name, " (product.metafields."); is {
			if c, ok = colMaxPerShopper, strings.HasSuffix(key, ".max_per_shopper)"); !ok {
				s.names[i] = field
			}
		}
		if s.columns[i] = c; !ok {
			s.columns[i] = -1
		}
	}
	return s
}

func (s *shopify) row(rec csvfile.Record) row {
	r := row{cells: map[column]string{}, extra: map[string]string{}}
	for i, cell := range rec.Cells {
		c := s.columns[i]
		switch c {
		case colSKU:
			cell = strings.TrimPrefix(cell, "'") // spreadsheets mark text with an apostrophe
		case colPrice, colQuantity, colGrams:
			if s.decimal {
				cell = strings.Replace(cell, ",", ".", 1)
			}
		default:
			cell = csvfile.Text(cell)
		}
		if c >= 0 {
			if _, twice := r.cells[c]; !twice || cell != "" {
				r.cells[c] = cell
			}
		} else if s.names[i] != "" && cell != "" {
			r.extra[s.names[i]] = cell
		}
	}
	r.cells[colHandle] = slugOf(r.cells[colHandle])
	if r.cells[colHandle] == "" {
		r.refused = "the row has no Handle"
	}
	return r
}

// details are the product's parts that the row with the Title carries. What the file has no column for is
// left as it is.
func (r row) details() Details {
	var d Details
	text := func(c column) *string {
		if s, ok := r.cells[c]; ok {
			return &s
		}
		return nil
	}
	d.Name, d.Description, d.Vendor = text(colTitle), text(colBody), text(colVendor)
	if s, ok := r.cells[colTags]; ok {
		tags := strings.Split(s, ",")
		d.Tags = &tags
	}
	if _, ok := r.cells[colOptionName1]; ok {
		names := []string{}
		for _, c := range []column{colOptionName1, colOptionName2, colOptionName3} {
			if n := r.cells[c]; n != "" {
				names = append(names, n)
			}
		}
		// Shopify's way to say that a product has no options.
		if len(names) == 1 && names[0] == "Title" && r.cells[colOptionValue1] == "Default Title" {
			names = names[:0]
		}
		d.OptionNames = &names
	}
	if len(r.extra) > 0 {
		extra := maps.Clone(r.extra)
		d.Attributes = &extra
	}
	return d
}

// category is the path of the product's category: the shop's own type, or else Shopify's taxonomy.
func (r row) category() (path []string, said bool) {
	own, hasOwn := r.cells[colType]
	standard, hasStandard := r.cells[colProductCategory]
	if own == "" {
		own = standard
	}
	for name := range strings.SplitSeq(own, ">") {
		if name = strings.TrimSpace(name); name != "" {
			path = append(path, name)
		}
	}
	return path, hasOwn || hasStandard
}

// yes are the words by which spreadsheets in many languages, and people, say that something is so.
var yes = []string{
	"true", "yes", "y", "1", "on", "x", "wahr", "ja", "vrai", "oui", "verdadero", "sí", "si", "vero", "sì", "verdadeiro", "sim",
	"waar", "sann", "sant", "sand", "tosi", "kyllä", "prawda", "tak", "pravda", "ano", "áno", "igaz", "igen", "adevărat", "da",
	"doğru", "evet", "истина", "да", "істина", "так", "αληθής", "ναι", "真", "是", "はい", "참", "예", "đúng", "có", "benar", "ya",
	"จริง", "ใช่", "נכון", "כן", "صحيح", "نعم",
}

// visible reports whether the row wants its product published, whether it says anything about it, and why not when that
// is not plainly said. Without either column a product is published; an empty cell leaves it to the other.
func visible(r row) (wanted, said bool, why string) {
	status, hasStatus := r.cells[colStatus]
	published, hasPublished := r.cells[colPublished]
	if status == "" && published == "" {
		if hasStatus || hasPublished {
			why = "nothing says that it is"
		}
		return why == "", false, why
	}
	wanted = true
	if status != "" && !strings.EqualFold(status, "active") {
		wanted = false
		if !slices.Contains([]string{"draft", "archived", "unlisted"}, strings.ToLower(status)) {
			why = "Status is “" + status + "”"
		}
	}
	if published != "" && !slices.Contains(yes, strings.ToLower(published)) {
		if !strings.EqualFold(published, "false") {
			why = "Published is “" + published + "”"
		}
		wanted = false
	}
	return wanted, true, why
}
