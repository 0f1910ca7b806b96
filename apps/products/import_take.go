package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/problem"
)

// This file takes a run of rows into a product.

// rowResult is what came of one row.
type rowResult struct {
	Line    int      `json:"line"`
	Handle  string   `json:"handle"`
	SKU     string   `json:"sku"`
	Outcome string   `json:"outcome" enum:"created,changed,unchanged,refused"`
	Reason  string   `json:"reason,omitempty" doc:"Why the row was refused"`
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
// new. Of each row the variant is taken whole or not at all; the results are in the order of the rows. An error is not
// about the rows: nothing may be kept.
func (in intake) take(p *Product, isNew bool, rows []row) ([]rowResult, error) {
	refused := map[int]string{}
	for {
		t := taking{
			intake: in, p: p.clone(), isNew: isNew, rows: rows, refused: refused, results: make([]rowResult, len(rows)),
			variants: map[string]int{}, options: map[string]map[string]bool{},
		}
		if err := t.run(); err != nil {
			return nil, err
		}
		if clash := t.clashes(); len(clash) > 0 {
			maps.Copy(refused, clash) // and once more without these
			continue
		}
		*p = *t.p
		return t.results, nil
	}
}

// taking is one try to take a run of rows.
type taking struct {
	intake
	p        *Product
	isNew    bool
	rows     []row
	refused  map[int]string // rows that an earlier try could not take, and why
	results  []rowResult
	variants map[string]int             // by SKU, the row that gave it
	options  map[string]map[string]bool // by SKU in small letters as the rows give it, the options that they give it for
	leaving  map[string]bool            // by SKU, variants whose options a later row changes; nil: not known yet
}

func (t *taking) run() error {
	p, was := t.p, t.p.Status
	details := slices.IndexFunc(t.rows, func(r row) bool { return r.refused == "" && r.cells[colTitle] != "" })
	if t.isNew {
		p.Status, p.Version = Draft, 0
	}
	order := make([]int, 0, len(t.rows))
	if details >= 0 {
		order = append(order, details) // the options' names are in it
	}
	for i := range t.rows {
		if i != details {
			order = append(order, i)
		}
	}
	ready, told, lost := !t.isNew, false, false // told: the row with the Title was taken, whatever became of its variant
	for _, i := range order {
		r, out := t.rows[i], &t.results[i]
		*out = rowResult{Line: r.line, Handle: r.cells[colHandle], SKU: r.cells[colSKU], Outcome: outcomeRefused, Reason: r.refused}
		if out.Reason == "" && i != details {
			out.Reason = t.refused[i]
		}
		if out.Reason != "" {
			continue
		}
		if !ready && i != details {
			out.Reason = "the product is new, and its row with the Title is missing or was refused"
			continue
		}
		before := p.clone()
		added, err := t.takeRow(i, i == details, out)
		if err != nil && reasonOf(err) == "" {
			return err
		}
		if err != nil {
			*p = *before
			out.setStock, out.Reason, out.Notes = nil, reasonOf(err), nil
			lost = lost || r.hasVariant()
			continue
		}
		created := added || !ready
		ready, told = true, told || i == details
		if out.Reason != "" { // of its variant
			lost = true
			continue
		}
		out.stockOnly = p.Same(before)
		switch {
		case created:
			out.Outcome = outcomeCreated
		case !out.stockOnly || out.setStock != nil:
			out.Outcome = outcomeChanged
		default:
			out.Outcome = outcomeUnchanged
		}
	}
	if t.isNew && lost && len(p.Variants) == 0 {
		t.dropNew()
		return nil
	}
	if told {
		t.publish(&t.results[details], t.rows[details], was)
	} else if i := slices.IndexFunc(t.rows, func(r row) bool { return r.shows }); i >= 0 && p.Status == Draft && len(p.Variants) > 0 {
		t.publish(&t.results[i], t.rows[i], was)
	}
	return nil
}

// dropNew leaves nothing of a new product of which no variant could be taken.
func (t *taking) dropNew() {
	*t.p = Product{ID: t.p.ID, Slug: t.p.Slug}
	for i := range t.results {
		out := &t.results[i]
		out.Outcome, out.Notes = outcomeRefused, nil
		if out.Reason == "" {
			out.Reason = "no variant of the product could be taken"
		}
	}
}

// publish lets shoppers see the product when the row with the Title wants that.
func (t *taking) publish(out *rowResult, r row, was Status) {
	wanted, said, _ := visible(r)
	if r.shows {
		wanted, said = true, true
	}
	if !wanted || !said && !t.isNew || r.waits && len(t.p.Variants) == 0 {
		return // hidden with the details already, left as it was, or to be published with its variants
	}
	if err := t.p.Publish(t.now); err != nil {
		why := "not published: it has no variant"
		if len(t.p.Variants) > 0 {
			why = "not published: a price of zero means that it is not for sale yet"
		}
		out.Notes = append(out.Notes, why)
	}
	if out.Outcome == outcomeUnchanged && t.p.Status != was {
		out.Outcome = outcomeChanged
	}
}

// detailsTaken is noted of a row that was taken but for its variant.
const detailsTaken = "only its variant was refused: the product itself was taken"

// takeRow takes a row, or all of it but the variant, with the reason in out. Otherwise an error is its reason.
func (t *taking) takeRow(i int, details bool, out *rowResult) (added bool, err error) {
	p, r := t.p, t.rows[i]
	if !details && !r.hasVariant() && !r.has(colImage) {
		return false, refusal("there is nothing in this row")
	}
	if details {
		if err := t.takeDetails(r, out); err != nil {
			return false, err
		}
	}
	if r.hasVariant() {
		before := p.clone()
		err := error(refusal(t.refused[i]))
		if t.refused[i] == "" {
			added, err = t.takeVariant(i, out)
		}
		if err != nil && (!details || reasonOf(err) == "") {
			return false, err
		}
		if err != nil {
			*p = *before
			out.setStock, out.Reason, out.Notes = nil, reasonOf(err), append(out.Notes, detailsTaken)
		}
	}
	for _, src := range slices.DeleteFunc(append([]string{r.cells[colImage]}, r.more...), func(s string) bool { return s == "" }) {
		known := len(p.Images)
		if url, why := t.picture(src); url == "" {
			out.Notes = append(out.Notes, "picture not taken: "+why)
		} else if err := p.SetImage(Image{ID: t.newID(), URL: url, Alt: r.cells[colImageAlt]}); err != nil {
			out.Notes = append(out.Notes, "picture not taken: "+reasonOf(err))
		} else if !r.hasVariant() && !details {
			added = added || len(p.Images) > known
		}
	}
	out.Notes = append(out.Notes, r.notes...)
	return added, nil
}

// takeDetails takes what the row with the Title tells about the product. Hiding it comes before its variants, which may
// be without a price then.
func (t *taking) takeDetails(r row, out *rowResult) error {
	d := r.details()
	for name, value := range r.extra {
		if _, err := tidyAttributes(map[string]string{name: value}); err != nil {
			delete(*d.Attributes, name) // a copy
			out.Notes = append(out.Notes, name+" not taken: "+strings.TrimPrefix(reasonOf(err), "attributes "))
		}
	}
	slices.Sort(out.Notes)
	if err := t.p.Set(d); err != nil {
		return err
	}
	if path, said := r.category(); said {
		id := uuid.Nil
		if len(path) > 0 {
			var err error
			if id, err = t.category(path); err != nil {
				return err
			}
		}
		if err := t.p.Set(Details{Category: &id}); err != nil {
			return err
		}
	}
	wanted, said, why := visible(r)
	if !wanted && (said || t.isNew) {
		if why != "" {
			out.Notes = append(out.Notes, "not published: "+why)
		}
		t.p.Unlist()
	}
	return nil
}

func (t *taking) takeVariant(i int, out *rowResult) (added bool, err error) {
	p, r := t.p, t.rows[i]
	t.learn()
	v := Variant{Options: r.options(len(p.OptionNames))}
	v.SKU = t.skuFor(r.cells[colSKU], v.Options)
	out.SKU = v.SKU
	if given := r.cells[colSKU]; given != "" && given != v.SKU {
		out.Notes = append(out.Notes, "the SKU "+given+" is on several variants: this one has the SKU "+v.SKU)
	}
	if t.skuTaken(v.SKU) {
		return false, refusal("another product has this SKU")
	}
	old, known := p.Variant(v.SKU)
	if known && !r.has(colOptionValue1, colOptionValue2, colOptionValue3) {
		v.Options = old.Options
	}
	if known {
		v.Price, v.MaxPerShopper, v.InitialStock, v.Image, v.Weight = old.Price, old.MaxPerShopper, old.InitialStock, old.Image, old.Weight
	}
	if s := r.cells[colPrice]; s != "" {
		if v.Price, err = parsePrice(s, t.digits); err != nil {
			return false, err
		}
		if v.Price == 0 && p.Status == Published {
			return false, refusal("a price of zero means that it is not for sale yet, but the product is on sale")
		}
		if v.Price == 0 {
			out.Notes = append(out.Notes, "a price of zero: not for sale yet")
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
	case said && t.setStock && p.PublishedAt == nil:
		v.InitialStock = quantity
	case said && t.setStock:
		out.setStock = &quantity
	}
	if s := r.cells[colGrams]; s != "" {
		grams, err := strconv.ParseFloat(s, 64)
		if err != nil || !(grams >= 0 && grams <= maxWeight) {
			out.Notes = append(out.Notes, fmt.Sprintf("the weight is not a number of grams up to %d", maxWeight))
		} else {
			v.Weight = int(math.Round(grams))
		}
	}
	if src := r.cells[colVariantImage]; src != "" {
		url, why := t.picture(src)
		if url == "" {
			out.Notes = append(out.Notes, "variant's picture not taken: "+why)
		} else {
			v.Image = url
		}
	}
	if known && !slices.Equal(old.Options, v.Options) && !slices.Contains(old.Options, "") {
		out.Notes = append(out.Notes, "its options were "+old.name())
	}
	delete(t.leaving, v.SKU)
	if err := p.putVariant(v, t.leaving); err != nil {
		return false, err
	}
	// What an earlier row said of a variant is not overwritten.
	if first, twice := t.variants[v.SKU]; twice {
		if now, _ := p.Variant(v.SKU); !now.same(old) || !equalPtr(out.setStock, t.results[first].setStock) {
			return false, refusal(fmt.Sprintf("line %d has this variant already, and otherwise", t.rows[first].line))
		}
		return false, nil
	}
	t.variants[v.SKU] = i
	return !known, nil
}

// learn looks through the run, once the options' names are known: which SKUs stand for several variants, and which known
// variants are about to leave their options.
func (t *taking) learn() {
	if t.leaving != nil {
		return
	}
	t.leaving = map[string]bool{}
	for i, r := range t.rows {
		sku := r.cells[colSKU]
		if sku == "" || r.refused != "" || t.refused[i] != "" {
			continue
		}
		options := r.options(len(t.p.OptionNames))
		key := strings.ToLower(sku)
		if t.options[key] == nil {
			t.options[key] = map[string]bool{}
		}
		if !r.has(colOptionValue1, colOptionValue2, colOptionValue3) {
			continue
		}
		t.options[key][strings.Join(options, "\x00")] = true
		if old, known := t.p.Variant(sku); known && !slices.Equal(old.Options, options) {
			t.leaving[sku] = true
		}
	}
	for sku := range t.leaving {
		if len(t.options[strings.ToLower(sku)]) > 1 {
			delete(t.leaving, sku) // it stays with one of them
		}
	}
}

// skuFor is the SKU of the variant with these options: the one given, unless the run gives it to several; then, and when
// none is given, the one that the variant has already, or a made one.
func (t *taking) skuFor(given string, options []string) string {
	several := len(t.options[strings.ToLower(given)]) > 1
	if given != "" && !several {
		return given
	}
	if i := slices.IndexFunc(t.p.Variants, func(o Variant) bool { return slices.Equal(o.Options, options) }); i >= 0 {
		return t.p.Variants[i].SKU
	}
	if _, known := t.p.Variant(given); given != "" && !known {
		return given
	}
	base := given
	if base == "" {
		base = skuBase(t.p.Slug)
	}
	sku := madeSKU(base, options, false)
	same := func(o Variant) bool { return strings.EqualFold(o.SKU, sku) }
	if t.options[strings.ToLower(sku)] != nil || t.skuTaken(sku) || slices.ContainsFunc(t.p.Variants, same) {
		sku = madeSKU(base, options, true)
	}
	return sku
}

// madeSKUs are those that a run may need made, for the ones that others have to be known: of rows without a SKU, and with
// one that several rows have.
func madeSKUs(run []row) (out []string) {
	rows := map[string]int{}
	for _, r := range run {
		rows[strings.ToLower(r.cells[colSKU])]++
	}
	for _, r := range run {
		base := r.cells[colSKU]
		if base != "" && rows[strings.ToLower(base)] == 1 || !r.hasVariant() {
			continue
		}
		if base == "" {
			base = skuBase(r.cells[colHandle])
		}
		for n := range maxOptions + 1 {
			out = append(out, madeSKU(base, r.options(n), false), madeSKU(base, r.options(n), true))
		}
	}
	return out
}

// clashes are the rows whose variant has the options of another that was to leave them, but whose row was refused.
func (t *taking) clashes() map[int]string {
	out := map[int]string{}
	for i, v := range t.p.Variants {
		for _, o := range t.p.Variants[:i] {
			if !slices.Equal(o.Options, v.Options) {
				continue
			}
			row, ok := t.variants[v.SKU]
			other := o.SKU
			if !ok {
				row, ok = t.variants[o.SKU]
				other = v.SKU
			}
			if ok {
				out[row] = "the variant " + other + " has these options"
			}
		}
	}
	return out
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
	whole, fraction, _ := strings.Cut(s, ".")
	n, err = strconv.Atoi(whole)
	if err != nil || n > maxStock || strings.Trim(fraction, "0") != "" {
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
