// Command products is the shop's catalogue: products with their variants, categories and pictures, search,
// and the import of a shop's own product file.
package main

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
	"github.com/stampede-shop/stampede/kit/text"
)

// The limits of a product. They bound what one product costs to read, send and index.
const (
	maxName        = 255
	maxDescription = 65_536 // of the sanitised HTML
	maxTags        = 100
	maxTag         = 100
	maxAttributes  = 50
	maxAttribute   = 1_000
	maxOptions     = 3 // as in Shopify
	maxOption      = 100
	maxVariants    = 250
	maxImages      = 250
	maxPrice       = 1_000_000_000 // minor units; keeps every sum of a cart far from overflow
	maxStock       = 1_000_000
	maxWeight      = 1_000_000 // a ton, in grams
	defaultMaxEach = 20        // how many of a SKU one shopper may have, where the product does not say
)

// What the catalogue answers when it says no.
var (
	ErrProductNotFound  = problem.New(problem.NotFound, "product-not-found", "There is no such product")
	ErrCategoryNotFound = problem.New(problem.NotFound, "category-not-found", "There is no such category")
	ErrImageNotFound    = problem.New(problem.NotFound, "image-not-found", "The product has no such image")
	ErrVariantNotFound  = problem.New(problem.NotFound, "variant-not-found", "The product has no such variant")
	ErrVariantPublished = problem.New(problem.Conflict, "variant-published", "The product was published: orders may have this variant")
	ErrVersionConflict  = problem.New(problem.Conflict, "version-conflict", "Somebody else changed this in the meantime")
	ErrSlugTaken        = problem.New(problem.Conflict, "slug-taken", "Another one has this slug")
	ErrSKUTaken         = problem.New(problem.Conflict, "sku-taken", "Another product has this SKU")
	ErrIncomplete       = problem.New(problem.Conflict, "product-incomplete", "The product has no variant to sell, or one without a price")
	ErrCategoryInUse    = problem.New(problem.Conflict, "category-in-use", "The category has products or categories in it")
	ErrImportRunning    = problem.New(problem.Conflict, "import-running", "Another import is running")
	ErrPictureRefused   = problem.New(problem.Invalid, "picture-refused", "The picture cannot be taken")
)

// Status says who can see a product.
type Status string

// Only Published products exist for shoppers; an unlisted one was published before. No product is deleted.
const (
	Draft     Status = "draft"
	Published Status = "published"
	Unlisted  Status = "unlisted"
)

// Product is one entry of the catalogue, with everything that belongs to it.
type Product struct {
	ID          uuid.UUID
	Slug        string // its name in addresses, Shopify's handle; never changes
	Name        string
	Description string // sanitised HTML
	Vendor      string
	CategoryID  *uuid.UUID
	Tags        []string
	OptionNames []string // what its variants differ in, such as Size and Colour
	Attributes  map[string]string
	Status      Status
	Version     int        // grows with each change by a person or an import
	PublishedAt *time.Time // for the first time; nil when never
	Variants    []Variant  // in the order shown; the first stands for the product in lists
	Images      []Image
}

// Variant is one thing that can be bought.
type Variant struct {
	SKU           string
	Options       []string // one value for each of the product's OptionNames
	Price         int64    // minor units of the shop's currency; 0: not for sale yet
	MaxPerShopper *int     // nil: defaultMaxEach
	InitialStock  int      // what inventory starts with when it does not know the SKU
	InStock       bool     // what inventory said last
	Image         string   // its own picture; empty: the product's first
	Weight        int      // in grams; 0: not known
}

// Image is a picture: a path under /media, or an address that the shop allows.
type Image struct {
	ID  uuid.UUID
	URL string
	Alt string
}

// Details are the parts of a product that a change may set; nil leaves a part as it is.
type Details struct {
	Name        *string
	Description *string // any HTML; it is sanitised
	Vendor      *string
	Category    *uuid.UUID // uuid.Nil: none
	Tags        *[]string
	OptionNames *[]string
	Attributes  *map[string]string
}

// Set changes what d names. The error is an `invalid` problem that names the field.
func (p *Product) Set(d Details) error {
	if d.Name != nil {
		name, err := line("name", *d.Name, maxName)
		if err != nil {
			return err
		}
		if name == "" {
			return problem.InvalidField("body.name", problem.CodeRequired, "must not be empty")
		}
		p.Name = name
	}
	if d.Description != nil {
		html := sanitise(*d.Description)
		if utf8.RuneCountInString(html) > maxDescription {
			return problem.InvalidField("body.description", problem.CodeTooLong, fmt.Sprintf("must have at most %d characters", maxDescription))
		}
		p.Description = html
	}
	if d.Vendor != nil {
		vendor, err := line("vendor", *d.Vendor, maxName)
		if err != nil {
			return err
		}
		p.Vendor = vendor
	}
	if d.Category != nil {
		p.CategoryID = nil
		if *d.Category != uuid.Nil {
			p.CategoryID = d.Category
		}
	}
	if d.Tags != nil {
		tags, err := tidyTags(*d.Tags)
		if err != nil {
			return err
		}
		p.Tags = tags
	}
	if d.Attributes != nil {
		attributes, err := tidyAttributes(*d.Attributes)
		if err != nil {
			return err
		}
		p.Attributes = attributes
	}
	if d.OptionNames != nil {
		return p.setOptionNames(*d.OptionNames)
	}
	return nil
}

func (p *Product) setOptionNames(in []string) error {
	if len(in) > maxOptions {
		return problem.InvalidField("body.options", problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxOptions))
	}
	names := make([]string, 0, len(in))
	for _, n := range in {
		n, err := line("options", n, maxOption)
		if err != nil {
			return err
		}
		if n == "" {
			return problem.InvalidField("body.options", problem.CodeRequired, "must not be empty")
		}
		if slices.ContainsFunc(names, func(o string) bool { return strings.EqualFold(o, n) }) {
			return problem.InvalidField("body.options", problem.CodeDuplicate, "must differ from each other")
		}
		names = append(names, n)
	}
	p.OptionNames = names
	for i, v := range p.Variants {
		values := slices.Clone(v.Options)
		for len(values) < len(names) {
			values = append(values, "")
		}
		p.Variants[i].Options = values[:len(names)]
	}
	return nil
}

// SetVariant adds v, or changes the variant that has its SKU. Stock that inventory already keeps is not
// touched: InitialStock counts while the variant is new, or the product was never published, and InStock
// only while it is new.
// A price of 0 is only for a product that is not on sale.
func (p *Product) SetVariant(v Variant) error { return p.putVariant(v, nil) }

// putVariant is SetVariant, while other variants, by SKU, are leaving the options that they have.
func (p *Product) putVariant(v Variant, leaving map[string]bool) error {
	v.SKU = strings.TrimSpace(v.SKU) // else kept to the letter: others know the thing by it
	switch tidy, err := line("variants.sku", v.SKU, skus.Max); {
	case err != nil:
		return err
	case tidy == "":
		return problem.InvalidField("body.variants.sku", problem.CodeRequired, "must not be empty")
	case strings.Contains(v.SKU, "\t"):
		return problem.InvalidField("body.variants.sku", problem.CodeWrongFormat, "must not have control characters")
	case utf8.RuneCountInString(v.SKU) > skus.Max:
		return problem.InvalidField("body.variants.sku", problem.CodeTooLong, fmt.Sprintf("must have at most %d characters", skus.Max))
	}
	if v.Price < 0 || v.Price == 0 && p.Status == Published || v.Price > maxPrice {
		return problem.InvalidField("body.variants.price", problem.CodeOutOfRange, fmt.Sprintf("must be from 1 to %d minor units", int64(maxPrice)))
	}
	if v.MaxPerShopper != nil && (*v.MaxPerShopper < 1 || *v.MaxPerShopper > defaultMaxEach) {
		return problem.InvalidField("body.variants.max_per_shopper", problem.CodeOutOfRange, fmt.Sprintf("must be from 1 to %d", defaultMaxEach))
	}
	if v.InitialStock < 0 || v.InitialStock > maxStock {
		return problem.InvalidField("body.variants.initial_stock", problem.CodeOutOfRange, fmt.Sprintf("must be from 0 to %d", maxStock))
	}
	if v.Weight < 0 || v.Weight > maxWeight {
		return problem.InvalidField("body.variants.weight_grams", problem.CodeOutOfRange, fmt.Sprintf("must be from 0 to %d", maxWeight))
	}
	if len(v.Options) != len(p.OptionNames) {
		return problem.InvalidField("body.variants.options", problem.CodeRequired, fmt.Sprintf("must have a value for each of the %d options", len(p.OptionNames)))
	}
	options := make([]string, len(v.Options))
	for i, o := range v.Options {
		at := "variants.options." + p.OptionNames[i]
		o, err := line(at, o, maxOption)
		if err != nil {
			return err
		}
		if o == "" {
			return problem.InvalidField("body."+at, problem.CodeRequired, "must not be empty")
		}
		options[i] = o
	}
	v.Options = options
	for _, o := range p.Variants {
		if o.SKU != v.SKU && (strings.EqualFold(o.SKU, v.SKU) || slices.Equal(o.Options, v.Options) && !leaving[o.SKU]) {
			return problem.InvalidField("body.variants", problem.CodeDuplicate, "must differ from each other in SKU and options")
		}
	}
	i := slices.IndexFunc(p.Variants, func(o Variant) bool { return o.SKU == v.SKU })
	if i < 0 {
		if len(p.Variants) == maxVariants {
			return problem.InvalidField("body.variants", problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxVariants))
		}
		v.InStock = v.InitialStock > 0
		p.Variants = append(p.Variants, v)
		return nil
	}
	old := p.Variants[i]
	if p.PublishedAt != nil {
		v.InitialStock = old.InitialStock
		v.InStock = old.InStock
	} else {
		v.InStock = v.InitialStock > 0
	}
	p.Variants[i] = v
	return nil
}

// RemoveVariant takes a variant out of a product that no shopper has ever seen.
func (p *Product) RemoveVariant(sku string) error {
	i := slices.IndexFunc(p.Variants, func(v Variant) bool { return v.SKU == sku })
	if i < 0 {
		return ErrVariantNotFound
	}
	if p.PublishedAt != nil {
		return ErrVariantPublished
	}
	p.Variants = slices.Delete(p.Variants, i, i+1)
	return nil
}

// Variant returns the variant with a SKU.
func (p *Product) Variant(sku string) (Variant, bool) {
	i := slices.IndexFunc(p.Variants, func(v Variant) bool { return v.SKU == sku })
	if i < 0 {
		return Variant{}, false
	}
	return p.Variants[i], true
}

// lowest is the lowest price of p's variants, 0 without any.
func (p *Product) lowest() int64 {
	if len(p.Variants) == 0 {
		return 0
	}
	return slices.MinFunc(p.Variants, func(a, b Variant) int { return cmp.Compare(a.Price, b.Price) }).Price
}

// SetImage adds a picture, or changes the text of the one with the same address.
func (p *Product) SetImage(img Image) error {
	alt, err := line("alt", img.Alt, maxAttribute)
	if err != nil {
		return err
	}
	img.Alt = alt
	if i := slices.IndexFunc(p.Images, func(o Image) bool { return o.URL == img.URL }); i >= 0 {
		p.Images[i].Alt = img.Alt
		return nil
	}
	if len(p.Images) == maxImages {
		return problem.InvalidField("body.images", problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxImages))
	}
	p.Images = append(p.Images, img)
	return nil
}

// Arrange puts p's images into an order, with their texts and the variants whose own picture each is. It wants all of them.
func (p *Product) Arrange(in []ImageInput) error {
	if len(in) != len(p.Images) {
		return problem.InvalidField("body.images", problem.CodeRequired, "must be all the images of the product")
	}
	images := make([]Image, 0, len(in))
	own := map[string]string{}
	for i, one := range in {
		at := slices.IndexFunc(p.Images, func(img Image) bool { return img.ID == one.ID })
		if at < 0 {
			return ErrImageNotFound
		}
		img := p.Images[at]
		if slices.ContainsFunc(images, func(o Image) bool { return o.ID == img.ID }) {
			return problem.InvalidField(fmt.Sprintf("body.images[%d].id", i), problem.CodeDuplicate, "is there twice")
		}
		alt, err := line(fmt.Sprintf("images[%d].alt", i), one.Alt, maxAttribute)
		if err != nil {
			return err
		}
		img.Alt = alt
		for _, sku := range one.SKUs {
			if _, ok := p.Variant(sku); !ok {
				return ErrVariantNotFound.With("sku", sku)
			}
			if _, twice := own[sku]; twice {
				at := fmt.Sprintf("body.images[%d].skus", i)
				return problem.InvalidField(at, problem.CodeDuplicate, "a variant has one picture of its own")
			}
			own[sku] = img.URL
		}
		images = append(images, img)
	}
	for i, v := range p.Variants {
		// One that is among the images no more stays, as an import may have named it for the variant alone.
		if url, ok := own[v.SKU]; ok || slices.ContainsFunc(images, func(img Image) bool { return img.URL == v.Image }) {
			p.Variants[i].Image = url
		}
	}
	p.Images = images
	return nil
}

// RemoveImage takes an image away, from the variants too whose own it is.
func (p *Product) RemoveImage(id uuid.UUID) error {
	i := slices.IndexFunc(p.Images, func(img Image) bool { return img.ID == id })
	if i < 0 {
		return ErrImageNotFound
	}
	for j, v := range p.Variants {
		if v.Image == p.Images[i].URL {
			p.Variants[j].Image = ""
		}
	}
	p.Images = slices.Delete(p.Images, i, i+1)
	return nil
}

// Publish lets shoppers see and buy the product. Publishing a published product changes nothing.
func (p *Product) Publish(now time.Time) error {
	if len(p.Variants) == 0 || slices.ContainsFunc(p.Variants, func(v Variant) bool { return v.Price == 0 }) {
		return ErrIncomplete
	}
	p.Status = Published
	if p.PublishedAt == nil {
		p.PublishedAt = &now
	}
	return nil
}

// Unlist hides the product from shoppers. A draft stays a draft.
func (p *Product) Unlist() {
	if p.Status == Published {
		p.Status = Unlisted
	}
}

// Same reports whether o has nothing that a person would see as a change from p.
func (p *Product) Same(o *Product) bool {
	return p.Name == o.Name && p.Description == o.Description && p.Vendor == o.Vendor && p.Status == o.Status &&
		equalPtr(p.CategoryID, o.CategoryID) && slices.Equal(p.Tags, o.Tags) &&
		slices.Equal(p.OptionNames, o.OptionNames) && maps.Equal(p.Attributes, o.Attributes) &&
		slices.Equal(p.Images, o.Images) && slices.EqualFunc(p.Variants, o.Variants, Variant.same)
}

func (v Variant) same(o Variant) bool {
	return v.SKU == o.SKU && slices.Equal(v.Options, o.Options) && v.Price == o.Price && v.Image == o.Image &&
		v.InitialStock == o.InitialStock && v.Weight == o.Weight && equalPtr(v.MaxPerShopper, o.MaxPerShopper)
}

func (v Variant) max() int {
	if v.MaxPerShopper == nil {
		return defaultMaxEach
	}
	return *v.MaxPerShopper
}

// named returns the variant's options by name, such as {"Size": "M"}.
func (v Variant) named(names []string) map[string]string {
	m := make(map[string]string, len(names))
	for i, n := range names {
		if i < len(v.Options) && v.Options[i] != "" {
			m[n] = v.Options[i]
		}
	}
	return m
}

// name says which of the variants it is, in the order of the product's options.
func (v Variant) name() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(v.Options), func(o string) bool { return o == "" }), " / ")
}

// clone returns a copy that can be changed without changing p.
func (p *Product) clone() *Product {
	c := *p
	c.Tags = slices.Clone(p.Tags)
	c.OptionNames = slices.Clone(p.OptionNames)
	c.Attributes = maps.Clone(p.Attributes)
	c.Variants = slices.Clone(p.Variants)
	c.Images = slices.Clone(p.Images)
	return &c
}

func equalPtr[T comparable](a, b *T) bool {
	return a == b || (a != nil && b != nil && *a == *b)
}

var slugPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

func checkSlug(slug string) error {
	if len(slug) > maxName || !slugPattern.MatchString(slug) {
		return problem.InvalidField("body.slug", problem.CodeWrongFormat, "must be small letters, digits and dashes")
	}
	return nil
}

// line is a text of one line by the one rule of the shop (text.Line), of at most limit characters. What nobody can see is
// empty.
func line(field, s string, limit int) (string, error) {
	tidy, ok := text.Line(s)
	if !ok || !utf8.ValidString(s) {
		return "", problem.InvalidField("body."+field, problem.CodeWrongFormat, "must not have control characters")
	}
	if utf8.RuneCountInString(tidy) > limit {
		return "", problem.InvalidField("body."+field, problem.CodeTooLong, fmt.Sprintf("must have at most %d characters", limit))
	}
	return tidy, nil
}

// lines is line for a text of several: each is tidied, and none is empty.
func lines(field, s string, limit int) (string, error) {
	var out []string
	for _, l := range strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }) {
		l, err := line(field, l, limit)
		if err != nil {
			return "", err
		}
		if l != "" {
			out = append(out, l)
		}
	}
	s = strings.Join(out, "\n")
	if utf8.RuneCountInString(s) > limit {
		return "", problem.InvalidField("body."+field, problem.CodeTooLong, fmt.Sprintf("must have at most %d characters", limit))
	}
	return s, nil
}

// tidyTags drops empty tags and repetitions, and sorts.
func tidyTags(in []string) ([]string, error) {
	tags := make([]string, 0, len(in))
	for _, t := range in {
		t, err := line("tags", t, maxTag)
		if err != nil {
			return nil, err
		}
		if t != "" {
			tags = append(tags, t)
		}
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	if len(tags) > maxTags {
		return nil, problem.InvalidField("body.tags", problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxTags))
	}
	return tags, nil
}

func tidyAttributes(in map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(in))
	for k, v := range in {
		k, err := line("attributes", k, maxOption)
		if err != nil {
			return nil, err
		}
		if v, err = lines("attributes", v, maxAttribute); err != nil {
			return nil, err
		}
		if k != "" && v != "" {
			out[k] = v
		}
	}
	if len(out) > maxAttributes {
		return nil, problem.InvalidField("body.attributes", problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxAttributes))
	}
	return out, nil
}
