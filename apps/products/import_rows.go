package main

import (
	"fmt"
	"hash/maphash"
	"io"
	"slices"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/problem"
)

// This file reads product files as runs of rows, in Shopify's columns. A product is a run of rows with one Handle: the row
// with a Title carries its details, every row may carry a variant and a picture.

const (
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
	more    []string          // pictures after the one of its cells
	notes   []string          // what of it was not taken as it stood
	refused string            // why it cannot be read at all

	// Of WooCommerce, whose variants may stand anywhere below their product.
	attributes []attribute // until it is known which of them are options
	waits      bool        // for its variants
	shows      bool        // a product that waited, which wants to be published
	bytes      int
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
	colGrams
)

// groupReader reads a file product by product, with one product in memory.
type groupReader struct {
	table  *csvfile.Table
	decode func(csvfile.Record) row // into Shopify's columns
	finish func(run []row)          // once a run is whole; nil: there is nothing to do
	next   *row                     // read, but of the next group
	done   error
	seed   maphash.Seed
	titles map[uint64]title // by the handle's hash
	stray  string           // the handle whose rows belong to a title that was refused
}

// title is what a file calls the product of a handle.
type title struct {
	hash uint64
	line int
}

// errNotAnExport: the file has no column that names the products.
var errNotAnExport = problem.InvalidField("body", problem.CodeWrongFormat,
	"must be a CSV file with the columns that Shopify or WooCommerce exports; Handle is missing")

func newGroupReader(r io.Reader) (*groupReader, error) {
	t, err := csvfile.Open(r, func(header []string) bool { return isShopify(header) || isWoo(header) }, errNotAnExport)
	if err != nil {
		return nil, err
	}
	g := &groupReader{table: t, seed: maphash.MakeSeed(), titles: map[uint64]title{}}
	if isShopify(t.Header) {
		g.decode = newShopify(t).row
	} else {
		woo := newWoo(t)
		g.decode, g.finish = woo.row, woo.finish
	}
	return g, nil
}

// Next returns the next run of rows with one handle; io.EOF at the end. A row that cannot be read is in
// the run where it was found, with its reason. Another error means that the rest cannot be read.
func (g *groupReader) Next() ([]row, error) {
	group, err := g.run()
	if err == nil && g.finish != nil {
		g.finish(group)
	}
	return group, err
}

func (g *groupReader) run() ([]row, error) {
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
		other := r.refused == "" && r.cells[colHandle] != handleOf(group) && handleOf(group) != ""
		if len(group) > 0 && (other || len(group) == maxGroupRows || bytes > maxGroupBytes) {
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
	rec, err := g.table.Read()
	if err != nil {
		return row{}, err
	}
	if rec.Refused != "" {
		return row{line: rec.Line, bytes: rec.Bytes, refused: rec.Refused}, nil
	}
	r := g.decode(rec)
	r.line, r.bytes = rec.Line, rec.Bytes
	g.tellTitles(&r)
	return r, nil
}

// tellTitles refuses a row whose handle has another title already, and the rows without a title that follow it: they are
// of another product, which would overwrite the first one's.
func (g *groupReader) tellTitles(r *row) {
	if r.refused != "" {
		return
	}
	handle, name := r.cells[colHandle], r.cells[colTitle]
	if name == "" {
		if handle == g.stray {
			r.refused = "the row of this product with the Title was refused"
		}
		return
	}
	g.stray = ""
	at, is := maphash.String(g.seed, handle), maphash.String(g.seed, name)
	if had, ok := g.titles[at]; ok && had.hash != is {
		r.refused = fmt.Sprintf("the handle has another Title already, in line %d", had.line)
		g.stray = handle
	} else if !ok {
		g.titles[at] = title{is, r.line}
	}
}

// has reports whether any of the cells is filled.
func (r row) has(cs ...column) bool {
	return slices.ContainsFunc(cs, func(c column) bool { return r.cells[c] != "" })
}

// hasVariant reports whether the row has a variant in it.
func (r row) hasVariant() bool { return r.has(colSKU, colPrice, colQuantity, colOptionValue1) }

// options are the row's values of so many options.
func (r row) options(n int) []string {
	var out []string
	for i := range n {
		out = append(out, r.cells[colOptionValue1+column(i)])
	}
	return out
}
