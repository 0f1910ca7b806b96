package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/problem"
)

// This file reads the CSV that Shopify exports. A product is a run of rows with one Handle: the row with a
// Title carries its details, every row may carry a variant and a picture.

const (
	maxRowBytes = 1 << 20
	// A longer run is read as several; the later ones only add variants and pictures.
	maxGroupRows  = 500
	maxGroupBytes = 4 << 20
)

// What may come of a row.
const (
	outcomeCreated   = "created"
	outcomeChanged   = "changed"
	outcomeUnchanged = "unchanged"
	outcomeRefused   = "refused"
)

// row is one row of the file. Of its columns it has those that the catalogue uses.
type row struct {
	line    int
	cells   map[column]string // only columns that the file has
	extra   map[string]string // metafields by name, without empty ones
	refused string            // why it cannot be read at all
	bytes   int
}

type column int

const (
	colHandle column = iota
	colTitle
	colBody
	colVendor
	colProductCategory
	colType
	colTags
	colPublished
	colStatus
	colOptionName1
	colOptionName2
	colOptionName3
	colOptionValue1
	colOptionValue2
	colOptionValue3
	colSKU
	colQuantity
	colPrice
	colImage
	colImageAlt
	colVariantImage
	colMaxPerShopper
)

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
}

// groupReader reads a file product by product, with one product in memory.
type groupReader struct {
	csv    *csv.Reader
	budget *budget
	header []string
	next   *row // read, but of the next group
	done   error
}

// errNotAnExport: the file has no column that names the products.
var errNotAnExport = problem.InvalidField("body", problem.CodeWrongFormat, "must be a CSV file with the columns that Shopify exports; Handle is missing")

func newGroupReader(r io.Reader) (*groupReader, error) {
	b := &budget{r: r}
	b.reset()
	buffered := bufio.NewReaderSize(b, 64<<10)
	if mark, _ := buffered.Peek(3); string(mark) == "\xef\xbb\xbf" {
		_, _ = buffered.Discard(3)
	}
	g := &groupReader{csv: csv.NewReader(buffered), budget: b}
	g.csv.FieldsPerRecord = -1
	g.csv.ReuseRecord = true
	header, err := g.csv.Read()
	if err != nil {
		var parse *csv.ParseError
		if errors.Is(err, io.EOF) || errors.As(err, &parse) {
			return nil, errNotAnExport
		}
		return nil, err
	}
	for _, name := range header {
		g.header = append(g.header, strings.TrimSpace(name))
	}
	if !slices.ContainsFunc(g.header, func(n string) bool { return columns[strings.ToLower(n)] == colHandle && n != "" && isColumn(n) }) {
		return nil, errNotAnExport
	}
	return g, nil
}

func isColumn(name string) bool { _, ok := columns[strings.ToLower(name)]; return ok }

// Next returns the next run of rows with one handle; io.EOF at the end. A row that cannot be read is in
// the run where it was found, with its reason. Another error means that the rest cannot be read.
func (g *groupReader) Next() ([]row, error) {
	var group []row
	bytes := 0
	for {
		r, err := g.row()
		if err != nil {
			if len(group) > 0 {
				g.done = err
				return group, nil
			}
			return nil, err
		}
		if len(group) > 0 && (r.refused == "" && r.cells[colHandle] != handleOf(group) && handleOf(group) != "" || len(group) == maxGroupRows || bytes > maxGroupBytes) {
			g.next = &r
			return group, nil
		}
		group = append(group, r)
		bytes += r.bytes
	}
}

// handleOf is the handle of a run, empty while only unreadable rows are in it.
func handleOf(group []row) string {
	for _, r := range group {
		if r.refused == "" {
			return r.cells[colHandle]
		}
	}
	return ""
}

func (g *groupReader) row() (row, error) {
	if g.next != nil {
		r := *g.next
		g.next = nil
		return r, nil
	}
	if g.done != nil {
		return row{}, g.done
	}
	g.budget.reset()
	start := g.csv.InputOffset()
	record, err := g.csv.Read()
	var parse *csv.ParseError
	if errors.As(err, &parse) && !errors.Is(err, errRowTooLong) {
		return row{line: parse.StartLine, refused: "the row is not valid CSV: " + parse.Err.Error()}, nil
	}
	if err != nil {
		return row{}, err
	}
	lineNumber, _ := g.csv.FieldPos(0)
	r := row{line: lineNumber, cells: map[column]string{}, extra: map[string]string{}, bytes: int(g.csv.InputOffset() - start)}
	if len(record) != len(g.header) {
		r.refused = fmt.Sprintf("the row has %d columns, the header has %d", len(record), len(g.header))
		return r, nil
	}
	for i, cell := range record {
		if !utf8.ValidString(cell) || strings.ContainsRune(cell, 0) {
			r.refused = "the row is not UTF-8 text"
			return r, nil
		}
		cell = plainText(strings.TrimSpace(strings.Clone(cell)))
		name := g.header[i]
		if c, ok := columns[strings.ToLower(name)]; ok {
			if _, twice := r.cells[c]; !twice || cell != "" {
				r.cells[c] = cell
			}
			continue
		}
		// A metafield's column is called "Name (product.metafields.namespace.key)".
		if name, key, ok := strings.Cut(name, " (product.metafields."); ok && cell != "" {
			if strings.HasSuffix(key, ".max_per_shopper)") {
				r.cells[colMaxPerShopper] = cell
			} else {
				r.extra[name] = cell
			}
		}
	}
	r.cells[colHandle] = slugOf(r.cells[colHandle])
	if r.cells[colHandle] == "" {
		r.refused = "the row has no Handle"
	}
	return r, nil
}

// slugOf keeps a handle that is a slug already, and makes one of any other.
func slugOf(handle string) string {
	handle = strings.ToLower(handle)
	if checkSlug(handle) == nil {
		return handle
	}
	return slugify(handle)
}

// has reports whether any of the cells is filled.
func (r row) has(cs ...column) bool {
	return slices.ContainsFunc(cs, func(c column) bool { return r.cells[c] != "" })
}

var errRowTooLong = fmt.Errorf("a row is longer than %d bytes; perhaps a quote is not closed", maxRowBytes)

// budget ends reading when one row needs more than maxRowBytes, as after a quote that is never closed.
type budget struct {
	r    io.Reader
	left int
}

func (b *budget) reset() { b.left = maxRowBytes }

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errRowTooLong
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// rowResult is what came of one row.
type rowResult struct {
	Line    int      `json:"line"`
	Handle  string   `json:"handle"`
	SKU     string   `json:"sku"`
	Outcome string   `json:"outcome" enum:"created,changed,unchanged,refused"`
	Reason  string   `json:"reason,omitempty" doc:"Why the row was refused; nothing of it was taken"`
	Notes   []string `json:"notes,omitempty" doc:"What was not taken as it stood"`

	setStock  *int // the stock that inventory is to be told, of a SKU that it knows
	stockOnly bool // nothing else is new in the row
}

// intake is what taking rows into a product needs to know.
type intake struct {
	now      time.Time
	digits   int  // of the currency, after the point
	setStock bool // quantities change the stock of SKUs that are known
	category func(path []string) (uuid.UUID, error)
	picture  func(src string) (url, why string) // url empty: not taken, and why
	skuTaken func(sku string) bool              // by another product
	newID    func() uuid.UUID
}

// take puts a run of rows into p, which is the product as it is now, or only an id and a slug when it is
// new. Each row is taken whole or not at all; the results are in the order of the rows. An error is not
// about the rows: nothing may be kept.
func (in intake) take(p *Product, isNew bool, rows []row) ([]rowResult, error) {
	results := make([]rowResult, len(rows))
	details := slices.IndexFunc(rows, func(r row) bool { return r.refused == "" && r.cells[colTitle] != "" })
	was := p.Status
	ready := !isNew
	if isNew {
		p.Status, p.Version = Draft, 0
	}
	order := make([]int, 0, len(rows))
	if details >= 0 {
		order = append(order, details) // the options' names are in it
	}
	for i := range rows {
		if i != details {
			order = append(order, i)
		}
	}
	for _, i := range order {
		r, out := rows[i], &results[i]
		*out = rowResult{Line: r.line, Handle: r.cells[colHandle], SKU: r.cells[colSKU], Outcome: outcomeRefused, Reason: r.refused}
		if r.refused != "" {
			continue
		}
		if !ready && i != details {
			out.Reason = "the product is new, and its row with the Title is missing or was refused"
			continue
		}
		before := p.clone()
		added, err := in.takeRow(p, r, i == details, out)
		if err != nil {
			*p = *before
			out.setStock = nil
			if out.Reason = reasonOf(err); out.Reason == "" {
				return nil, err
			}
			continue
		}
		out.stockOnly = p.Same(before)
		switch {
		case added || !ready:
			out.Outcome = outcomeCreated
		case !out.stockOnly || out.setStock != nil:
			out.Outcome = outcomeChanged
		default:
			out.Outcome = outcomeUnchanged
		}
		ready = true
	}
	if details >= 0 && results[details].Outcome != outcomeRefused {
		out := &results[details]
		if wanted, said := visible(rows[details]); said || isNew {
			if !wanted {
				p.Unlist()
			} else if err := p.Publish(in.now); err != nil {
				out.Notes = append(out.Notes, "not published: it has no variant")
			}
			if out.Outcome == outcomeUnchanged && p.Status != was {
				out.Outcome = outcomeChanged
			}
		}
	}
	return results, nil
}

func (in intake) takeRow(p *Product, r row, details bool, out *rowResult) (added bool, err error) {
	if !details && !r.has(colSKU, colPrice, colQuantity, colOptionValue1, colImage) {
		return false, refusal("there is nothing in this row")
	}
	if details {
		if err := p.Set(r.details()); err != nil {
			return false, err
		}
	}
	if r.has(colSKU, colPrice, colQuantity, colOptionValue1) {
		if added, err = in.takeVariant(p, r, out); err != nil {
			return false, err
		}
	}
	if src := r.cells[colImage]; src != "" {
		known := len(p.Images)
		if url, why := in.picture(src); url == "" {
			out.Notes = append(out.Notes, "picture not taken: "+why)
		} else if err := p.SetImage(Image{ID: in.newID(), URL: url, Alt: r.cells[colImageAlt]}); err != nil {
			out.Notes = append(out.Notes, "picture not taken: "+reasonOf(err))
		} else if !r.has(colSKU, colPrice, colQuantity, colOptionValue1) && !details {
			added = len(p.Images) > known
		}
	}
	if details {
		if path, said := r.category(); said {
			id := uuid.Nil
			if len(path) > 0 {
				if id, err = in.category(path); err != nil {
					return false, err
				}
			}
			if err := p.Set(Details{Category: &id}); err != nil {
				return false, err
			}
		}
	}
	return added, nil
}

func (in intake) takeVariant(p *Product, r row, out *rowResult) (added bool, err error) {
	v := Variant{SKU: strings.TrimPrefix(r.cells[colSKU], "'")} // spreadsheets mark text with an apostrophe
	for i := range p.OptionNames {
		v.Options = append(v.Options, r.cells[colOptionValue1+column(i)])
	}
	if v.SKU == "" {
		v.SKU = madeSKU(p.Slug, v.Options)
		if i := slices.IndexFunc(p.Variants, func(o Variant) bool { return slices.Equal(o.Options, v.Options) }); i >= 0 {
			v.SKU = p.Variants[i].SKU
		}
	}
	out.SKU = v.SKU
	if in.skuTaken(v.SKU) {
		return false, refusal("another product has this SKU")
	}
	old, known := p.Variant(v.SKU)
	if known && !r.has(colOptionValue1, colOptionValue2, colOptionValue3) {
		v.Options = old.Options
	}
	if known {
		v.Price, v.MaxPerShopper, v.InitialStock, v.Image = old.Price, old.MaxPerShopper, old.InitialStock, old.Image
	}
	if s := r.cells[colPrice]; s != "" {
		if v.Price, err = parsePrice(s, in.digits); err != nil {
			return false, err
		}
	} else if !known {
		return false, refusal("the price is missing")
	}
	if s := r.cells[colMaxPerShopper]; s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return false, refusal("the most per shopper is not a number")
		}
		v.MaxPerShopper = &n
	}
	quantity, said, err := parseQuantity(r.cells[colQuantity], out)
	if err != nil {
		return false, err
	}
	switch {
	case !known && !said:
		out.Notes = append(out.Notes, "no quantity: the stock begins at 0")
	case !known:
		v.InitialStock = quantity
	case said && in.setStock && p.PublishedAt == nil:
		v.InitialStock = quantity
	case said && in.setStock:
		out.setStock = &quantity
	}
	if src := r.cells[colVariantImage]; src != "" {
		url, why := in.picture(src)
		if url == "" {
			out.Notes = append(out.Notes, "variant's picture not taken: "+why)
		} else {
			v.Image = url
		}
	}
	return !known, p.SetVariant(v)
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
		d.Attributes = &r.extra
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

// visible reports whether the row wants its product published, and whether it says anything about it.
func visible(r row) (wanted, said bool) {
	status, hasStatus := r.cells[colStatus]
	published, hasPublished := r.cells[colPublished]
	wanted = (status == "" || strings.EqualFold(status, "active")) && !strings.EqualFold(published, "false")
	return wanted, hasStatus || hasPublished
}

// parsePrice reads "19.99" as minor units of a currency with that many digits after the point.
func parsePrice(s string, digits int) (int64, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	fraction = strings.TrimRight(fraction, "0")
	bad := refusal("the price is not an amount such as 19.99")
	if whole == "" || len(whole) > 12 || len(fraction) > digits || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, bad
	}
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return 0, bad
	}
	return minor, nil
}

func parseQuantity(s string, out *rowResult) (n int, said bool, err error) {
	if s == "" {
		return 0, false, nil
	}
	n, err = strconv.Atoi(s)
	if err != nil || n > maxStock {
		return 0, false, refusal(fmt.Sprintf("the quantity is not a number up to %d", maxStock))
	}
	if n < 0 {
		out.Notes = append(out.Notes, "negative quantity taken as 0")
		n = 0
	}
	return n, true, nil
}

// refusal is a reason to refuse a row that only a file can have.
type refusal string

func (r refusal) Error() string { return string(r) }

// reasonOf is what the report says about a refused row; empty when the error is not about the row.
func reasonOf(err error) string {
	var r refusal
	if errors.As(err, &r) {
		return string(r)
	}
	var p *problem.Error
	if errors.As(err, &p) && !p.Ours() {
		for _, f := range p.Fields() {
			return strings.TrimPrefix(f.Location, "body.") + " " + f.Message
		}
		return p.Error()
	}
	return ""
}
