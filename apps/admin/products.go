package main

import (
	"cmp"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
)

// product is a product as products' administration answers it, whole or in a
// list.
type product struct {
	ID          uuid.UUID         `json:"id"`
	Slug        string            `json:"slug"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Vendor      string            `json:"vendor"`
	Category    *string           `json:"category"`
	Tags        []string          `json:"tags"`
	Options     []string          `json:"options"`
	Attributes  map[string]string `json:"attributes"`
	Status      string            `json:"status"`
	Version     int               `json:"version"`
	PublishedAt *time.Time        `json:"published_at"`
	Images      []struct {
		ID  uuid.UUID `json:"id"`
		URL string    `json:"url"`
		Alt string    `json:"alt"`
	} `json:"images"`
	Variants []variant `json:"variants"`
}

type variant struct {
	SKU           string            `json:"sku"`
	Options       map[string]string `json:"options"`
	Price         money.Money       `json:"price"`
	MaxPerShopper *int              `json:"max_per_shopper"`
	InitialStock  int               `json:"initial_stock"`
	Weight        int               `json:"weight_grams"`
	InStock       bool              `json:"in_stock"`
	ImageURL      *string           `json:"image_url"`
}

type productItem struct {
	ID       uuid.UUID   `json:"id"`
	Name     string      `json:"name"`
	SKU      string      `json:"sku"`
	Price    money.Money `json:"price"`
	ImageURL *string     `json:"image_url"`
	Category *string     `json:"category"`
	Status   string      `json:"status"`
	Variants int         `json:"variants"`
	InStock  bool        `json:"in_stock"`
	At       time.Time   `json:"at"`
}

func productAt(id uuid.UUID) string { return "/admin/products/" + id.String() }

func (s *service) productAPI(r *http.Request) (uuid.UUID, string, error) {
	id, err := id(r)
	return id, "/api/v1/admin/products/" + id.String(), err
}

func productList(categories []option) list[productItem] {
	return list[productItem]{
		App: "products", API: "/api/v1/admin/products", At: "/admin/products", Title: "Products",
		Filters: []filter{
			{Name: "status", Type: "tabs", Label: "Status", Options: []option{
				{Value: "", Label: "All"}, {Value: "published", Label: "Published"}, {Value: "draft", Label: "Drafts"}, {Value: "unlisted", Label: "Unlisted"},
			}},
			{Name: "q", Type: "search", Label: "Name or SKU"},
			{Name: "category", Type: "select", Label: "Category", Options: categories},
		},
		Sorts: []option{
			{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}, {Value: "name", Label: "By name"}, {Value: "-name", Label: "By name, Z first"},
			{Value: "price", Label: "Cheapest first"}, {Value: "-price", Label: "Dearest first"},
		},
		Columns: []column[productItem]{
			{Name: "Picture", Class: "picture", Cell: func(p productItem) cell {
				c := cell{Kind: "picture"}
				if p.ImageURL != nil {
					c.Text = *p.ImageURL
				}
				return c
			}},
			{Name: "Product", Class: "wide", Up: "name", Down: "-name", Cell: func(p productItem) cell { return cell{Text: p.Name, Href: productAt(p.ID), Note: p.SKU} }},
			{Name: "Status", Cell: func(p productItem) cell { return status(p.Status) }},
			{Name: "Category", Class: "breaks", Cell: func(p productItem) cell {
				if p.Category == nil {
					return cell{}
				}
				return text(*p.Category)
			}},
			{Name: "Variants", Class: "number", Cell: func(p productItem) cell { return number(p.Variants) }},
			{Name: "Stock", Cell: func(p productItem) cell {
				return status(map[bool]string{true: "in stock", false: "none"}[p.InStock])
			}},
			{Name: "Since", Up: "oldest", Down: "newest", Cell: func(p productItem) cell { return moment(p.At) }},
			{Name: "Price", Class: "number", Up: "price", Down: "-price", Cell: func(p productItem) cell {
				if p.Variants == 0 {
					return cell{}
				}
				return amount(p.Price)
			}},
		},
		Acts: []link{
			{Name: "Search words", Href: "/admin/synonyms"}, {Name: "Import", Href: "/admin/products/import"},
			{Name: "New product", Href: "/admin/products/new", On: true},
		},
		Empty: empty{Title: "No products here", Text: "Create one, or bring in a whole catalogue from a CSV file.",
			Link: link{Name: "New product", Href: "/admin/products/new"}},
	}
}

func (s *service) productRoutes(r chi.Router) {
	r.Get("/admin/products", s.page(func(r *http.Request) (page.Answer, error) {
		categories, _ := s.categories(r.Context()) // without them the list is there all the same
		return productList(append([]option{{Value: "", Label: "Every category"}}, choices(categories)...)).page(s, r)
	}))
	r.Get("/admin/products.csv", s.exportProducts)
	s.importRoutes(r, productImport)
	s.form(r, "/admin/products/new", s.newProduct, s.createProduct)
	s.form(r, "/admin/products/{id}", s.showProduct, s.saveProduct)
	s.action(r, "/admin/products/{id}/publish", s.publish)
	s.form(r, "/admin/products/{id}/unlist", s.showUnlist, s.unlist)
	s.action(r, "/admin/products/{id}/images", s.addImages)
	s.action(r, "/admin/products/{id}/arrangement", s.arrangeImages)
	s.form(r, "/admin/products/{id}/image-removal", s.showImageRemoval, s.removeImage)
	s.form(r, "/admin/products/{id}/variant-removal", s.showVariantRemoval, s.removeVariant)
	s.categoryRoutes(r)
	s.synonymRoutes(r)
}

// productView is the Data of the page "product".
type productView struct {
	Product product
	New     bool
	Form    form
	Options []string // the names, one a column of the variants
	Rows    []variantRow
	Picture form // a new one
	Images  form // those that there are
	Shots   []shotRow
	Version string
	Unsaved bool // the form has what is not saved yet
}

// variantRow is a variant in the form.
type variantRow struct {
	N                                int
	Known                            bool
	SKU, Price, Max, Initial, Weight field
	Options                          []field
	InStock                          bool
	Remove                           string // where it is removed; empty when it cannot be
	StockHref, Available             string
}

// shotRow is a picture in the form.
type shotRow struct {
	ID, URL         string
	Place, Alt, For field
	Remove          string
	Name            string // what a link to it is called by
}

// everyVariant is what a picture is for that is no variant's own; severalVariants what stays as it is.
const (
	everyVariant    = ""
	severalVariants = "several"
)

// shots are the pictures of p in the form.
func shots(p product) (out []shotRow) {
	for i, img := range p.Images {
		of, name := everyVariant, fmt.Sprintf("picture %d", i+1)
		options := []option{{Value: everyVariant, Label: "Every variant"}}
		for _, v := range p.Variants {
			label := v.SKU
			for _, o := range p.Options {
				label += ", " + v.Options[o]
			}
			options = append(options, option{Value: "sku:" + v.SKU, Label: label})
			if v.ImageURL != nil && *v.ImageURL == img.URL {
				of = map[bool]string{true: "sku:" + v.SKU, false: severalVariants}[of == everyVariant]
			}
		}
		if of == severalVariants {
			options = append(options, option{Value: severalVariants, Label: "Several variants, as now"})
		}
		at := fmt.Sprintf("i.%d.", i)
		row := shotRow{
			ID: img.ID.String(), URL: img.URL, Name: name, Remove: productAt(p.ID) + "/image-removal?image=" + img.ID.String(),
			Place: field{Name: at + "place", Label: "Place of " + name, Value: strconv.Itoa(i + 1), Mode: "numeric", Max: 3},
			Alt:   field{Name: at + "alt", Label: "What " + name + " shows", Value: img.Alt, Max: 1000},
			For:   field{Name: at + "for", Label: "Variant of " + name, Type: "select", Options: chosen(options, of)},
		}
		if img.Alt == "" {
			row.Alt.Hint = "Please say what it shows, for those who cannot see it."
		}
		out = append(out, row)
	}
	return out
}

// spare is how many empty rows wait for more variants; the button "More rows"
// brings as many again, with a column for each option.
const spare = 5

// fields are the product's own.
func (p product) fields(categories []option, isNew bool) []field {
	category := ""
	if p.Category != nil {
		category = *p.Category
	}
	options := chosen(append([]option{{Value: "", Label: "None"}}, categories...), category)
	var attributes []string
	for name, value := range p.Attributes {
		attributes = append(attributes, name+": "+strings.ReplaceAll(value, "\n", "\n  "))
	}
	slices.Sort(attributes)
	out := []field{
		{Name: "name", Label: "Name", Value: p.Name, Required: true, Max: 255},
		{Name: "slug", Label: "Address", Value: p.Slug, Max: 255, Hint: "Its name in the shop's addresses, for ever. Left empty, it is made from the name."},
		{Name: "description", Label: "Description", Value: p.Description, Type: "textarea", Max: 200000, Hint: "HTML; whatever could do harm is taken out."},
		{Name: "category", Label: "Category", Type: "select", Options: options},
		{Name: "vendor", Label: "Vendor", Value: p.Vendor, Max: 255},
		{Name: "tags", Label: "Tags", Value: strings.Join(p.Tags, ", "), Hint: "With commas between."},
		{Name: "options", Label: "Options", Value: strings.Join(p.Options, ", "), Hint: "What the variants differ in, such as Size, Colour. At most three."},
		{Name: "attributes", Label: "Details", Value: strings.Join(attributes, "\n"), Type: "textarea",
			Hint: "One a line: Material: Oak. A line that begins with a space goes on with the one above."},
	}
	if !isNew {
		out = slices.Delete(out, 1, 2)
	}
	return out
}

// rows are the variants of p in the form, and empty ones.
func (s *service) rows(p product, isNew bool) []variantRow {
	var out []variantRow
	for i, v := range p.Variants {
		row := s.row(i, p.Options)
		row.Known, row.InStock = true, v.InStock
		row.SKU.Value, row.Price.Value, row.Initial.Value = v.SKU, decimal(v.Price), strconv.Itoa(v.InitialStock)
		if v.Weight > 0 {
			row.Weight.Value = strconv.Itoa(v.Weight)
		}
		if v.MaxPerShopper != nil {
			row.Max.Value = strconv.Itoa(*v.MaxPerShopper)
		}
		for j, name := range p.Options {
			row.Options[j].Value = v.Options[name]
		}
		row.StockHref = stockAt(v.SKU)
		row.fix(p.PublishedAt != nil)
		if p.PublishedAt == nil && len(p.Variants) > 1 {
			row.Remove = productAt(p.ID) + "/variant-removal?sku=" + url.QueryEscape(v.SKU)
		}
		out = append(out, row)
	}
	return s.spareRows(out, p.Options)
}

func (s *service) spareRows(rows []variantRow, options []string) []variantRow {
	for range spare {
		rows = append(rows, s.row(len(rows), options))
	}
	return rows
}

// fix closes what cannot change any more: a variant's SKU, and the first stock
// of what has been on sale.
func (v *variantRow) fix(published bool) {
	v.SKU.Fixed, v.Initial.Fixed = v.Known, v.Known && published
}

func (s *service) row(n int, options []string) variantRow {
	at := fmt.Sprintf("v.%d.", n)
	label := fmt.Sprintf(" of variant %d", n+1)
	out := variantRow{
		N:       n,
		SKU:     field{Name: at + "sku", Label: "SKU" + label, Max: skus.Max},
		Price:   field{Name: at + "price", Label: "Price in " + s.settings.Currency + label, Mode: "decimal", Max: 14},
		Max:     field{Name: at + "max", Label: "Most per shopper" + label, Mode: "numeric", Max: 2},
		Initial: field{Name: at + "initial", Label: "First stock" + label, Mode: "numeric", Max: 7},
		Weight:  field{Name: at + "weight", Label: "Weight in grams" + label, Mode: "numeric", Max: 7},
	}
	for j, name := range options {
		out.Options = append(out.Options, field{Name: fmt.Sprintf("%so.%d", at, j), Label: name + label, Max: 100})
	}
	return out
}

func (s *service) productPage(r *http.Request, p product, isNew bool) productView {
	categories, err := s.categories(r.Context())
	v := productView{Product: p, New: isNew, Options: p.Options, Rows: s.rows(p, isNew), Version: strconv.Itoa(p.Version)}
	v.Form = form{Heading: p.Name, Fields: p.fields(choices(categories), isNew), Button: "Save", Action: "/admin/products/new", Back: "/admin/products", BackTo: "Back to the products",
		Crumbs: []crumb{{"Products", "/admin/products"}}}
	if err != nil && p.Category != nil { // keep it, though its name is not known
		c := v.Form.field("category")
		c.Options = append(c.Options, option{Value: *p.Category, Label: *p.Category, On: true})
	}
	if isNew {
		v.Form.Heading, v.Form.Button = "New product", "Create"
		return v
	}
	v.Form.Action = productAt(p.ID)
	v.Picture = form{Action: productAt(p.ID) + "/images", Button: "Add", Fields: []field{
		{Name: "alt", Label: "What it shows", Max: 1000,
			Hint: "For those who cannot see it. Of several, each can be described once it is here."},
	}}
	v.Images = form{Action: productAt(p.ID) + "/arrangement", Button: "Save the pictures"}
	v.Shots = shots(p)
	return v
}

func (s *service) newProduct(r *http.Request) (page.Answer, error) {
	return s.productPage(r, product{}, true).show(0), nil
}

func (s *service) showProduct(r *http.Request) (page.Answer, error) {
	v, err := s.productNow(r)
	if err != nil {
		return nil, err
	}
	return v.show(0), nil
}

// readProduct reads the product of the path, and tells where it was read.
func (s *service) readProduct(r *http.Request) (api string, p product, err error) {
	if _, api, err = s.productAPI(r); err == nil {
		p, err = get[product](r.Context(), s, "products", api, nil)
	}
	return api, p, err
}

// productNow is the page of a product as it is now.
func (s *service) productNow(r *http.Request) (productView, error) {
	_, p, err := s.readProduct(r)
	if err != nil {
		return productView{}, err
	}
	v := s.productPage(r, p, false)
	s.withStock(r, &v)
	return v, nil
}

func (v productView) show(status int) page.Answer {
	title := v.Product.Name
	if v.New {
		title = "New product"
	}
	return page.Show("product", page.View{Title: title, Status: status, Data: v})
}

// withStock adds what there is of each variant, as far as inventory answers: a page of its list at a time.
func (s *service) withStock(r *http.Request, v *productView) {
	if v.Product.PublishedAt == nil {
		return
	}
	available := map[string]int{}
	query := url.Values{"product_id": {v.Product.ID.String()}, "limit": {"100"}}
	for {
		found, err := get[items[stock]](r.Context(), s, "inventory", "/api/v1/admin/inventory", query)
		for _, one := range found.Items {
			available[one.SKU] = one.Available
		}
		if err != nil || found.NextCursor == nil {
			break
		}
		query.Set("cursor", *found.NextCursor)
	}
	for i, one := range v.Product.Variants {
		if n, ok := available[one.SKU]; ok {
			v.Rows[i].Available = strconv.Itoa(n)
		}
	}
}

// Wrong leads to each field that is wrong, so that one is found in a table that is larger than the window.
func (v productView) Wrong() (links []link) {
	fields := v.Form.Fields
	for _, row := range v.Rows {
		fields = append(fields[:len(fields):len(fields)], row.SKU)
		fields = append(append(fields, row.Options...), row.Price, row.Max, row.Initial, row.Weight)
	}
	for _, f := range fields {
		if f.Wrong != "" {
			links = append(links, link{Name: f.Label + ": " + f.Wrong, Href: "#" + f.At()})
		}
	}
	return links
}

// productInput is what is sent to products.
type productInput struct {
	Version     int               `json:"version,omitempty"`
	Name        string            `json:"name"`
	Slug        string            `json:"slug,omitempty"`
	Description string            `json:"description"`
	Vendor      string            `json:"vendor"`
	Category    string            `json:"category"`
	Tags        []string          `json:"tags"`
	Options     []string          `json:"options"`
	Attributes  map[string]string `json:"attributes"`
	Variants    []variantInput    `json:"variants,omitempty"`
}

type variantInput struct {
	SKU           string            `json:"sku"`
	Options       map[string]string `json:"options"`
	Price         money.Money       `json:"price"`
	MaxPerShopper *int              `json:"max_per_shopper,omitempty"`
	InitialStock  *int              `json:"initial_stock,omitempty"`
	Weight        *int              `json:"weight_grams,omitempty"`
}

// read makes of a form what is sent to products, and shows the form as it was
// filled in. places tells which row a variant came from; wrong is what cannot
// even be sent.
func (s *service) read(v *productView, sent url.Values) (in productInput, places []int, wrong *problem.Error) {
	v.Form.fill(sent)
	v.Version, v.Unsaved = sent.Get("version"), true
	wrong = problem.ErrInvalid
	in = productInput{
		Name: strings.TrimSpace(sent.Get("name")), Slug: strings.TrimSpace(sent.Get("slug")), Description: sent.Get("description"), Vendor: sent.Get("vendor"),
		Category: sent.Get("category"), Tags: commas(sent.Get("tags")), Options: commas(sent.Get("options")), Attributes: map[string]string{},
	}
	in.Version, _ = strconv.Atoi(v.Version)
	last := ""
	for line := range strings.Lines(sent.Get("attributes")) {
		goesOn := last != "" && strings.TrimLeft(line, " \t") != line
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if goesOn {
			in.Attributes[last] += "\n" + line
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			wrong = wrong.Field("body.attributes", ownWords, "each line needs a colon: Material: Oak")
			break
		}
		last = strings.TrimSpace(name)
		in.Attributes[last] = strings.TrimSpace(value)
	}
	known := v.Rows
	v.Options, v.Rows = in.Options, nil
	for n := 0; sent.Has(fmt.Sprintf("v.%d.sku", n)) && n < 250; n++ {
		row := s.row(n, in.Options)
		if n < len(known) && known[n].Known {
			row.Known, row.Remove, row.StockHref, row.Available = true, known[n].Remove, known[n].StockHref, known[n].Available
			row.fix(v.Product.PublishedAt != nil)
		}
		blank := true
		for _, f := range append([]*field{&row.SKU, &row.Price, &row.Max, &row.Initial, &row.Weight}, pointers(row.Options)...) {
			f.Value = strings.TrimSpace(sent.Get(f.Name))
			blank = blank && f.Value == ""
		}
		v.Rows = append(v.Rows, row)
		if blank && !row.Known {
			continue
		}
		at := fmt.Sprintf("body.variants[%d].", len(in.Variants))
		one := variantInput{SKU: row.SKU.Value, Options: map[string]string{}}
		for j, name := range in.Options {
			if one.Options[name] = row.Options[j].Value; one.Options[name] == "" {
				wrong = wrong.Field(at+"options."+name, ownWords, "must not be empty")
			}
		}
		price, ok := parseAmount(row.Price.Value, s.settings.Currency)
		if !ok {
			wrong = wrong.Field(at+"price", ownWords, "write an amount, such as 12.50")
		}
		if one.SKU == "" {
			wrong = wrong.Field(at+"sku", ownWords, "every variant needs one")
		}
		one.Price = price
		count := func(f field, name string) *int {
			if f.Value == "" {
				return nil
			}
			n, err := strconv.Atoi(f.Value)
			if err != nil {
				wrong = wrong.Field(at+name, ownWords, "write a number")
			}
			return &n
		}
		one.MaxPerShopper, one.InitialStock = count(row.Max, "max_per_shopper"), count(row.Initial, "initial_stock")
		one.Weight = count(row.Weight, "weight_grams")
		if one.Weight == nil && row.Known && known[n].Weight.Value != "" {
			one.Weight = new(int) // emptied: not known any more
		}
		in.Variants = append(in.Variants, one)
		places = append(places, n)
	}
	if len(wrong.Fields()) == 0 {
		wrong = nil
	}
	return in, places, wrong
}

func pointers(fields []field) (out []*field) {
	for i := range fields {
		out = append(out, &fields[i])
	}
	return out
}

func commas(s string) []string {
	out := []string{}
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

// refuseProduct tells what was wrong, in the variants' rows as well.
func refuseProduct(v *productView, places []int, err error) bool {
	if !v.Form.refuse(err) {
		return false
	}
	var rest []string
	known, ok := err.(*problem.Error)
	if !ok {
		return true
	}
	for _, f := range known.Fields() {
		at, isVariant := strings.CutPrefix(f.Location, "body.variants[")
		if !isVariant {
			if v.Form.field(strings.TrimPrefix(f.Location, "body.")) == nil {
				rest = append(rest, strings.TrimPrefix(f.Location, "body.")+": "+wordsAbout(f, nil))
			}
			continue
		}
		number, name, _ := strings.Cut(at, "]")
		n, _ := strconv.Atoi(number)
		if n >= len(places) {
			continue
		}
		row := &v.Rows[places[n]]
		switch name = strings.TrimPrefix(name, "."); {
		case strings.HasPrefix(name, "price"):
			row.Price.Wrong = sentence(wordsAbout(f, &row.Price))
		case name == "max_per_shopper":
			row.Max.Wrong = sentence(wordsAbout(f, &row.Max))
		case name == "initial_stock":
			row.Initial.Wrong = sentence(wordsAbout(f, &row.Initial))
		case name == "weight_grams":
			row.Weight.Wrong = sentence(wordsAbout(f, &row.Weight))
		case strings.HasPrefix(name, "options."):
			if j := slices.Index(v.Options, strings.TrimPrefix(name, "options.")); j >= 0 {
				row.Options[j].Wrong = sentence(wordsAbout(f, &row.Options[j]))
			}
		default:
			row.SKU.Wrong = sentence(wordsAbout(f, &row.SKU))
		}
	}
	if len(known.Fields()) > 0 {
		v.Form.Problem, v.Form.Detail = "Nothing was saved yet. Please look at what is marked below.", strings.Join(rest, "; ")
	}
	return true
}

func (s *service) createProduct(r *http.Request) (page.Answer, error) {
	v := s.productPage(r, product{}, true)
	in, places, wrong := s.read(&v, r.PostForm)
	if r.PostForm.Has("more") {
		v.Rows = s.spareRows(v.Rows, v.Options)
		return v.show(0), nil
	}
	var err error
	if wrong != nil {
		err = wrong
	} else {
		var made product
		if err = s.call(r.Context(), "products", http.MethodPost, "/api/v1/admin/products", in, &made); err == nil {
			return to(productAt(made.ID), "created"), nil
		}
	}
	if !refuseProduct(&v, places, err) {
		return nil, err
	}
	return v.show(v.Form.Status), nil
}

func (s *service) saveProduct(r *http.Request) (page.Answer, error) {
	api, now, err := s.readProduct(r)
	if err != nil {
		return nil, err
	}
	v := s.productPage(r, now, false)
	in, places, wrong := s.read(&v, r.PostForm)
	if r.PostForm.Has("more") {
		v.Rows = s.spareRows(v.Rows, v.Options)
		return v.show(0), nil
	}
	if wrong != nil {
		err = wrong
	} else if err = s.call(r.Context(), "products", http.MethodPatch, api, in, nil); err == nil {
		return to(productAt(now.ID), "saved"), nil
	}
	if !refuseProduct(&v, places, err) {
		return nil, err
	}
	if known, ok := err.(*problem.Error); ok && known.Slug() == "version-conflict" {
		v.Form.Problem = "Somebody else has changed this product since you opened it."
		v.Form.Detail = "What you typed is still here. Save again to put it over theirs, or load the page to see theirs."
		v.Version = strconv.Itoa(now.Version)
	}
	return v.show(v.Form.Status), nil
}

func (s *service) publish(r *http.Request) (page.Answer, error) {
	id, api, err := s.productAPI(r)
	if err != nil {
		return nil, err
	}
	if err := s.call(r.Context(), "products", http.MethodPost, api+"/publication", nil, nil); err != nil {
		v, failure := s.productNow(r)
		if failure != nil {
			return nil, failure
		}
		if !refuseProduct(&v, nil, err) {
			return nil, err
		}
		return v.show(v.Form.Status), nil
	}
	return to(productAt(id), "published"), nil
}

// ofProduct makes a form that asks before something is done to a product.
func (s *service) ofProduct(r *http.Request, f func(p product) form) (form, string, product, error) {
	api, p, err := s.readProduct(r)
	if err != nil {
		return form{}, "", p, err
	}
	out := f(p)
	out.Danger, out.Back, out.BackTo = true, productAt(p.ID), "Leave it as it is"
	out.Crumbs = []crumb{{"Products", "/admin/products"}, {p.Name, productAt(p.ID)}}
	return out, api, p, nil
}

func unlistForm(p product) form {
	return form{Heading: "Unlist " + p.Name + "?", Button: "Unlist", Action: productAt(p.ID) + "/unlist",
		Text: []string{"Shoppers no longer see it, and it is taken out of their carts. Orders keep it. It can be published again at any time."}}
}

func (s *service) showUnlist(r *http.Request) (page.Answer, error) {
	f, _, _, err := s.ofProduct(r, unlistForm)
	if err != nil {
		return nil, err
	}
	return f.show(), nil
}

func (s *service) unlist(r *http.Request) (page.Answer, error) {
	f, api, p, err := s.ofProduct(r, unlistForm)
	if err != nil {
		return nil, err
	}
	if err := s.call(r.Context(), "products", http.MethodDelete, api+"/publication", nil, nil); err != nil {
		return f.answer(r.PostForm, err)
	}
	return to(productAt(p.ID), "unlisted"), nil
}

// maxPicture is what products takes.
const maxPicture = 10 << 20

// addImages adds the pictures of a form in their order. Those before one that is refused stay.
func (s *service) addImages(r *http.Request) (page.Answer, error) {
	id, api, err := s.productAPI(r)
	if err != nil {
		return nil, err
	}
	var sent []*multipart.FileHeader
	if r.MultipartForm != nil {
		sent = slices.DeleteFunc(r.MultipartForm.File["file"], func(f *multipart.FileHeader) bool {
			return f.Filename == "" && f.Size == 0
		})
	}
	if len(sent) == 0 {
		err = problem.InvalidField("body.file", ownWords, "choose a picture")
	}
	var refused string
	for i, f := range sent {
		alt := r.PostForm.Get("alt")
		if len(sent) > 1 {
			alt = "" // it cannot be of each
		}
		if err = s.sendImage(r, api, f, alt); err != nil {
			refused = f.Filename
			if i > 0 {
				refused += fmt.Sprintf(" (the %d before it were added)", i)
			}
			break
		}
	}
	if err == nil {
		return to(productAt(id), "picture"), nil
	}
	v, failure := s.productNow(r)
	if failure != nil {
		return nil, failure
	}
	v.Picture.fill(r.PostForm)
	if !v.Picture.refuse(err) {
		return nil, err
	}
	if refused != "" {
		v.Picture.Detail = strings.TrimSpace(refused + ": " + v.Picture.Detail)
	}
	return v.show(v.Picture.Status), nil
}

func (s *service) sendImage(r *http.Request, api string, head *multipart.FileHeader, alt string) error {
	file, err := head.Open()
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxPicture+1))
	if err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	if len(data) > maxPicture {
		return problem.ErrTooLarge.Detail("A picture may have 10 MB.")
	}
	kind := head.Header.Get("Content-Type")
	if kind == "" || kind == "application/octet-stream" {
		kind = mime.TypeByExtension(path.Ext(head.Filename))
	}
	at := address(api+"/images", url.Values{"alt": {alt}})
	return s.call(r.Context(), "products", http.MethodPost, at, dapr.Raw{Type: kind, Data: data}, nil)
}

// placed is a picture in its new place.
type placed struct {
	ID   string   `json:"id"`
	Alt  string   `json:"alt"`
	SKUs []string `json:"skus,omitempty"`
}

// arrangement reads the pictures of a form in their new order: by place, and of two with the same place the one that was moved
// there comes first.
func arrangement(p product, sent url.Values) []placed {
	type at struct {
		place, moved int
		placed
	}
	var all []at
	for i, row := range shots(p) {
		one := at{i + 1, 1, placed{ID: row.ID, Alt: strings.TrimSpace(sent.Get(row.Alt.Name))}}
		if n, err := strconv.Atoi(strings.TrimSpace(sent.Get(row.Place.Name))); err == nil && n != one.place {
			one.place, one.moved = n, 0
			if n > i+1 {
				one.moved = 2 // down: behind the one that is there
			}
		}
		switch sku, isOne := strings.CutPrefix(sent.Get(row.For.Name), "sku:"); {
		case isOne:
			one.SKUs = []string{sku}
		case sent.Get(row.For.Name) == severalVariants:
			for _, v := range p.Variants {
				if v.ImageURL != nil && *v.ImageURL == row.URL {
					one.SKUs = append(one.SKUs, v.SKU)
				}
			}
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(a, b at) int { return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.moved, b.moved)) })
	out := make([]placed, 0, len(all))
	for _, one := range all {
		out = append(out, one.placed)
	}
	return out
}

func (s *service) arrangeImages(r *http.Request) (page.Answer, error) {
	api, now, err := s.readProduct(r)
	if err != nil {
		return nil, err
	}
	version, _ := strconv.Atoi(r.PostForm.Get("version"))
	if version != now.Version { // the pictures of the form may not be those that there are
		err = problem.New(problem.Conflict, "version-conflict", "Somebody else has changed this product since you opened it")
	} else {
		err = s.call(r.Context(), "products", http.MethodPut, api+"/images", map[string]any{
			"version": version, "images": arrangement(now, r.PostForm),
		}, nil)
	}
	if err == nil {
		return to(productAt(now.ID), "saved"), nil
	}
	v := s.productPage(r, now, false)
	s.withStock(r, &v)
	for i := range v.Shots {
		for _, f := range []*field{&v.Shots[i].Place, &v.Shots[i].Alt} {
			if version == now.Version {
				f.Value = r.PostForm.Get(f.Name)
			}
		}
	}
	if !v.Images.refuse(err) {
		return nil, err
	}
	return v.show(v.Images.Status), nil
}

func imageForm(image string) func(p product) form {
	return func(p product) form {
		return form{Heading: "Remove this picture?", Button: "Remove", Action: productAt(p.ID) + "/image-removal?image=" + url.QueryEscape(image),
			Text: []string{"It is taken from the product's page and the lists."}}
	}
}

func (s *service) showImageRemoval(r *http.Request) (page.Answer, error) {
	f, _, _, err := s.ofProduct(r, imageForm(r.URL.Query().Get("image")))
	if err != nil {
		return nil, err
	}
	return f.show(), nil
}

func (s *service) removeImage(r *http.Request) (page.Answer, error) {
	image := r.URL.Query().Get("image")
	f, api, p, err := s.ofProduct(r, imageForm(image))
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), "products", http.MethodDelete, api+"/images/"+url.PathEscape(image), nil, nil)
	if err != nil && !missing(err) {
		return f.answer(r.PostForm, err)
	}
	return to(productAt(p.ID), "picture-removed"), nil
}

func variantForm(sku string) func(p product) form {
	return func(p product) form {
		return form{Heading: "Remove the variant " + sku + "?", Button: "Remove", Action: productAt(p.ID) + "/variant-removal?sku=" + url.QueryEscape(sku),
			Text: []string{"Only a product that was never published can lose variants."}}
	}
}

func (s *service) showVariantRemoval(r *http.Request) (page.Answer, error) {
	f, _, _, err := s.ofProduct(r, variantForm(r.URL.Query().Get("sku")))
	if err != nil {
		return nil, err
	}
	return f.show(), nil
}

func (s *service) removeVariant(r *http.Request) (page.Answer, error) {
	sku := r.URL.Query().Get("sku")
	f, api, p, err := s.ofProduct(r, variantForm(sku))
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), "products", http.MethodDelete, api+"/variants/"+skus.Segment(sku), nil, nil)
	if err != nil && !missing(err) {
		return f.answer(r.PostForm, err)
	}
	return to(productAt(p.ID), "variant-removed"), nil
}
