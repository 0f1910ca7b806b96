package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/stampede-shop/stampede/kit/csvfile"
)

// This file reads the CSV that WooCommerce exports into Shopify's columns. A product is one row, of the type simple, or one
// of the type variable with a row of the type variation for each variant, which name it as their Parent.

// Its columns, in small letters.
const (
	wooID         = "id"
	wooType       = "type"
	wooSKU        = "sku"
	wooName       = "name"
	wooPublished  = "published"
	wooVisibility = "visibility in catalog"
	wooShort      = "short description"
	wooText       = "description"
	wooStock      = "stock"
	wooSale       = "sale price"
	wooPrice      = "regular price"
	wooCategories = "categories"
	wooTags       = "tags"
	wooBrands     = "brands"
	wooImages     = "images"
	wooParent     = "parent"
)

// wooWeights are the columns of the weight, of which a file has one, and how many grams their unit is.
var wooWeights = map[string]float64{"weight (kg)": 1_000, "weight (g)": 1, "weight (lbs)": 453.59237, "weight (oz)": 28.349523125}

// attribute is what WooCommerce tells about a product, or lets shoppers choose.
type attribute struct {
	name   string
	values []string
}

// wooProduct is a product of the file that may have variations.
type wooProduct struct {
	handle  string
	options []string // what they differ in
	grams   string   // what one weighs that does not say
	shown   bool     // it wants to be published
}

// woo reads the rows of WooCommerce's files.
type woo struct {
	at       map[string]int         // columns by name
	parents  map[string]*wooProduct // by "id:" and ID, and by SKU
	byHandle map[string]*wooProduct
}

func isWoo(header []string) bool {
	for _, wanted := range []string{wooType, wooSKU, wooName, wooPrice} {
		if !slices.ContainsFunc(header, func(n string) bool { return strings.EqualFold(n, wanted) }) {
			return false
		}
	}
	return true
}

func newWoo(t *csvfile.Table) *woo {
	w := &woo{at: map[string]int{}, parents: map[string]*wooProduct{}, byHandle: map[string]*wooProduct{}}
	for i, name := range t.Header {
		w.at[strings.ToLower(name)] = i
	}
	return w
}

func (w *woo) row(rec csvfile.Record) row {
	cell := func(name string) string {
		if i, ok := w.at[name]; ok {
			return csvfile.Text(rec.Cells[i])
		}
		return ""
	}
	r := row{cells: map[column]string{}, extra: map[string]string{}, attributes: w.attributes(cell)}
	r.cells[colSKU] = strings.TrimPrefix(cell(wooSKU), "'")
	kind, _, _ := strings.Cut(cell(wooType), ",") // "simple, virtual"
	r.cells[colPrice] = strings.Replace(cell(wooPrice), ",", ".", 1)
	if stock := cell(wooStock); !strings.EqualFold(stock, "parent") {
		r.cells[colQuantity] = strings.Replace(stock, ",", ".", 1)
	}
	for unit, grams := range wooWeights {
		if n, err := strconv.ParseFloat(strings.Replace(cell(unit), ",", ".", 1), 64); err == nil {
			r.cells[colGrams] = strconv.FormatFloat(n*grams, 'f', 0, 64)
		}
	}
	if cell(wooSale) != "" {
		r.notes = append(r.notes, "the sale price was not taken")
	}
	images := commas(cell(wooImages))
	switch kind {
	case "variation":
		parent := w.parents[cell(wooParent)]
		if parent == nil {
			r.refused = "the product " + cell(wooParent) + ", its Parent, is not above it in the file"
			return r
		}
		r.cells[colHandle], r.shows = parent.handle, parent.shown
		if r.cells[colGrams] == "" {
			r.cells[colGrams] = parent.grams
		}
		if len(images) > 0 {
			r.cells[colVariantImage] = images[0]
		}
		return r
	case "simple":
		r.cells[colOptionName1], r.cells[colOptionValue1] = "Title", "Default Title"
		r.describe()
		if r.cells[colPrice] == "" { // it cannot be bought there either
			r.cells[colPrice] = "0"
		}
	case "variable":
		delete(r.cells, colPrice) // its variations' lowest
		delete(r.cells, colQuantity)
		r.waits = true
	default:
		r.refused = "a product of the type " + kind + " cannot be taken"
		return r
	}
	if r.cells[colTitle] = cell(wooName); r.cells[colTitle] == "" {
		r.refused = "the row has no Name"
		return r
	}
	id := cell(wooID)
	r.cells[colHandle] = wooHandle(r.cells[colTitle], id, r.cells[colSKU])
	shown := cell(wooPublished) == "1" && !strings.EqualFold(cell(wooVisibility), "hidden")
	if kind == "variable" {
		p := &wooProduct{handle: r.cells[colHandle], grams: r.cells[colGrams], shown: shown}
		w.parents["id:"+id], w.byHandle[p.handle] = p, p
		if sku := r.cells[colSKU]; sku != "" {
			w.parents[sku] = p
		}
		delete(r.cells, colSKU)
	}
	r.cells[colBody] = paragraphs(cell(wooShort)) + paragraphs(cell(wooText))
	r.cells[colVendor], _, _ = strings.Cut(cell(wooBrands), ",")
	tags := commas(cell(wooTags))
	if categories := commas(cell(wooCategories)); len(categories) > 0 {
		r.cells[colType] = categories[0]
		for _, c := range categories[1:] { // a product has one here
			tags = append(tags, strings.TrimSpace(c[strings.LastIndexByte(c, '>')+1:]))
		}
	}
	r.cells[colTags] = strings.Join(tags, ",")
	r.cells[colPublished] = strings.ToUpper(strconv.FormatBool(shown))
	if len(images) > 0 {
		r.cells[colImage], r.more = images[0], images[1:]
	}
	return r
}

// attributes reads "Attribute 1 name", "Attribute 1 value(s)" and so on.
func (w *woo) attributes(cell func(string) string) (out []attribute) {
	for n := 1; ; n++ {
		at := "attribute " + strconv.Itoa(n)
		if _, ok := w.at[at+" name"]; !ok {
			return out
		}
		if name, values := cell(at+" name"), commas(cell(at+" value(s)")); name != "" && len(values) > 0 {
			out = append(out, attribute{name, values})
		}
	}
}

// describe makes details of the product's attributes.
func (r *row) describe() {
	for _, a := range r.attributes {
		r.extra[a.name] = strings.Join(a.values, ", ")
	}
}

// finish tells options from details, once the variations are read that follow a product: options are what they have. When
// they stand elsewhere, options are what the product has several values of.
func (w *woo) finish(run []row) {
	for i := range run {
		r := &run[i]
		if r.refused != "" || r.cells[colTitle] == "" || r.cells[colOptionName1] != "" {
			continue
		}
		parent := w.byHandle[r.cells[colHandle]]
		for _, v := range run[i+1:] {
			if v.refused == "" && v.cells[colTitle] == "" {
				for _, a := range v.attributes {
					parent.add(a.name)
				}
			}
		}
		if len(parent.options) == 0 {
			for _, a := range r.attributes {
				if len(a.values) > 1 {
					parent.add(a.name)
				}
			}
		}
		isOption := func(a attribute) bool { return slices.Contains(parent.options, a.name) }
		r.attributes = slices.DeleteFunc(r.attributes, isOption)
		r.describe()
		for n, name := range parent.options {
			r.cells[colOptionName1+column(n)] = name
		}
	}
	for i := range run {
		r := &run[i]
		if r.refused != "" || r.cells[colTitle] != "" {
			continue
		}
		for n, name := range w.byHandle[r.cells[colHandle]].options {
			value := "Any" // as WooCommerce says that a variation fits all values
			if at := slices.IndexFunc(r.attributes, func(a attribute) bool { return a.name == name }); at >= 0 {
				value = strings.Join(r.attributes[at].values, ", ")
			}
			r.cells[colOptionValue1+column(n)] = value
		}
	}
}

// add remembers an option, of which a product has few.
func (p *wooProduct) add(name string) {
	if len(p.options) < maxOptions && !slices.Contains(p.options, name) {
		p.options = append(p.options, name)
	}
}

// wooHandle is a product's handle, which these files lack: of its name, and what tells products of one name apart.
func wooHandle(name, id, sku string) string {
	if id == "" {
		id = sku
	}
	slug := slugify(name)
	return strings.Trim(slug[:min(len(slug), 200)]+"-"+slugify(id), "-")
}

// commas splits a list, in which a comma of a value stands after a backslash.
func commas(list string) (out []string) {
	for _, s := range strings.Split(strings.ReplaceAll(list, `\,`, "\x00"), ",") {
		if s = strings.TrimSpace(strings.ReplaceAll(s, "\x00", ",")); s != "" {
			out = append(out, s)
		}
	}
	return out
}

var block = regexp.MustCompile(`(?i)<(p|div|br|ul|ol|table|h[1-6])\b`)

// paragraphs makes HTML of a text, whose lines WooCommerce writes with a backslash and an n between.
func paragraphs(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, `\n`, "\n"))
	if text == "" || block.MatchString(text) {
		return text
	}
	parts := strings.Split(text, "\n\n")
	for i, p := range parts {
		parts[i] = "<p>" + strings.ReplaceAll(strings.TrimSpace(p), "\n", "<br>") + "</p>"
	}
	return strings.Join(parts, "\n")
}
