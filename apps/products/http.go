package main

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// publicCache lets the edge keep what it answers to everybody for a second, and show it for two more
// while one request fetches it anew.
const publicCache = "public, max-age=1, stale-while-revalidate=2"

func (s *service) routes(api huma.API) {
	outbox.Feed(api, s.store.db, rest.Neighbours("inventory", "mail"))
	rest.Handle(api, rest.Op("GET", "/api/v1/products", "List and search products", rest.Anyone, answers[Listing](api), notModified,
		rest.Describe("Only published products. q finds words in any part of a product, and what they may have meant when mistyped.")), s.listProducts)
	rest.Handle(api, rest.Op("GET", "/api/v1/products/{slug}", "Read a product", rest.Anyone, answers[PublicProduct](api), notModified,
		rest.Problems(ErrProductNotFound)), s.getProduct)
	rest.Handle(api, rest.Op("GET", "/api/v1/categories", "List the categories", rest.Anyone, answers[CategoryList](api), notModified), s.listCategories)

	rest.Handle(api, rest.Op("POST", "/internal/variants", "Read many variants", rest.Neighbours("carts", "inventory", "orders")),
		s.readVariants)

	s.requestRoutes(api)
	s.pageRoutes(api)
	s.adminRoutes(api)
}

// answers describes a body that is sent as bytes.
func answers[T any](api huma.API) func(*huma.Operation) {
	return func(op *huma.Operation) {
		schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, reflect.TypeFor[T]().Name())
		op.Responses = map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}},
		}
	}
}

// notModified adds the answer to clients that have it already.
func notModified(op *huma.Operation) {
	op.Responses["304"] = &huma.Response{Description: "Not changed since the ETag in If-None-Match"}
}

// Conditional is what clients that have an answer already send.
type Conditional struct {
	IfNoneMatch string `header:"If-None-Match"`
}

type kept struct {
	Status       int
	ContentType  string `header:"Content-Type"`
	CacheControl string `header:"Cache-Control"`
	ETag         string `header:"ETag"`
	Vary         string `header:"Vary"`
	Body         []byte
}

// send answers with what was kept, or 304 when the client has it.
func (c Conditional) send(ctx context.Context, a answer) *kept {
	out := &kept{Status: http.StatusOK, ContentType: "application/json", CacheControl: publicCache, ETag: a.etag, Vary: "Authorization", Body: a.body}
	if _, signedIn := auth.From(ctx); signedIn {
		out.CacheControl = "private, max-age=1"
	}
	for tag := range strings.SplitSeq(c.IfNoneMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == a.etag || tag == "*" {
			out.Status, out.Body = http.StatusNotModified, nil
		}
	}
	return out
}

// optional is a query parameter that may be absent, which is not the same as zero.
type optional[T any] struct {
	Value T
	IsSet bool
}

// Schema implements huma.SchemaProvider.
func (o optional[T]) Schema(r huma.Registry) *huma.Schema {
	return huma.SchemaFromType(r, reflect.TypeFor[T]())
}

// Receiver implements huma.ParamWrapper.
func (o *optional[T]) Receiver() reflect.Value { return reflect.ValueOf(o).Elem().Field(0) }

// OnParamSet implements huma.ParamReactor.
func (o *optional[T]) OnParamSet(isSet bool, _ any) { o.IsSet = isSet }

func (o optional[T]) pointer() *T {
	if !o.IsSet {
		return nil
	}
	return &o.Value
}

type listInput struct {
	Conditional
	rest.Page
	Query    string          `query:"q" maxLength:"200" doc:"Words to search for"`
	Category string          `query:"category" maxLength:"255" doc:"A category's slug; what is below it counts"`
	MinPrice optional[int64] `query:"min_price" minimum:"0" maximum:"1000000000" doc:"In minor units"`
	MaxPrice optional[int64] `query:"max_price" minimum:"0" maximum:"1000000000" doc:"In minor units"`
	InStock  optional[bool]  `query:"in_stock"`
	Options  []string        `query:"option,explode" maxItems:"10" doc:"Name:Value, such as Size:M; one name twice means either value"`
	Sort     string          `query:"sort" enum:"relevance,newest,price,-price,name" doc:"relevance with q, else newest, when not given"`
}

// request reads what is asked for, and where a cursor says that the list goes on.
func (in *listInput) request() (request, error) {
	r := request{
		Typed: read(in.Query), Sort: in.Sort, Limit: in.Limit,
		Filter: filter{Category: in.Category, Min: in.MinPrice.pointer(), Max: in.MaxPrice.pointer(), InStock: in.InStock.pointer()},
	}
	r.Vain = r.Typed.Words == "" && strings.TrimSpace(in.Query) != ""
	if r.Sort == "" {
		r.Sort = "newest"
		if r.Typed.Words != "" {
			r.Sort = "relevance"
		}
	}
	if f := r.Filter; f.Min != nil && f.Max != nil && *f.Min > *f.Max {
		return r, problem.InvalidField("query.max_price", problem.CodeTooSmall, "must not be below min_price")
	}
	options, err := readOptions(in.Options)
	if err != nil {
		return r, err
	}
	r.Filter.Options = options
	if in.Cursor != "" {
		r.After = &bookmark{}
		if err := rest.DecodeCursor(cursors, in.Cursor, r.After); err != nil {
			return r, err
		}
		if r.After.List != r.hash() {
			return r, problem.InvalidField("query.cursor", problem.CodeWrongFormat, "belongs to another list")
		}
	}
	return r, nil
}

// readOptions gathers "Size:M", "Size:L", "Colour:Red" as [Size M L], [Colour Red].
func readOptions(in []string) ([][]string, error) {
	var out [][]string
	for _, o := range in {
		name, value, ok := strings.Cut(o, ":")
		if !ok || name == "" || value == "" || len(o) > 2*maxOption {
			return nil, problem.InvalidField("query.option", problem.CodeWrongFormat, "must be a name and a value with a colon between")
		}
		i := slices.IndexFunc(out, func(group []string) bool { return group[0] == name })
		if i < 0 {
			out = append(out, []string{name})
			i = len(out) - 1
		}
		out[i] = append(out[i], value)
	}
	return out, nil
}

func (s *service) listProducts(ctx context.Context, in *listInput) (*kept, error) {
	r, err := in.request()
	if err != nil {
		return nil, err
	}
	a, err := s.catalogue.list(ctx, r)
	if err != nil {
		return nil, err
	}
	return in.send(ctx, a), nil
}

type slugInput struct {
	Conditional
	Slug string `path:"slug" maxLength:"255"`
}

func (s *service) getProduct(ctx context.Context, in *slugInput) (*kept, error) {
	if checkSlug(in.Slug) != nil {
		return nil, ErrProductNotFound // no product has it: not worth a question
	}
	a, err := s.catalogue.page(ctx, in.Slug)
	if err != nil {
		return nil, err
	}
	return in.send(ctx, a), nil
}

func (s *service) listCategories(ctx context.Context, in *Conditional) (*kept, error) {
	a, err := s.catalogue.categories(ctx)
	if err != nil {
		return nil, err
	}
	return in.send(ctx, a), nil
}

// VariantItem is a variant as neighbours need it. Drafts and unlisted ones are in the answer, with their
// status: a neighbour has to say why it does not sell them.
type VariantItem struct {
	SKU           string      `json:"sku"`
	Slug          string      `json:"slug"`
	Name          string      `json:"name" doc:"The product's"`
	Variant       string      `json:"variant" doc:"What it is of the options, such as 'M / Blue'; empty when there are none"`
	ImageURL      string      `json:"image_url" doc:"The variant's own or the product's first; empty when there is none"`
	UnitPrice     money.Money `json:"unit_price"`
	MaxPerShopper *int        `json:"max_per_shopper" doc:"How many one account may have; null: no limit of its own"`
	Status        Status      `json:"status" enum:"draft,published,unlisted"`
	InStock       bool        `json:"in_stock"`
	Weight        int         `json:"weight_grams" doc:"0: not known"`
}

type variantsInput struct {
	Body struct {
		SKUs []string `json:"skus" maxItems:"500" nullable:"false"`
	}
}

type variantsOutput struct {
	Body struct {
		Items []VariantItem `json:"items" nullable:"false"`
	}
}

func (s *service) readVariants(ctx context.Context, in *variantsInput) (*variantsOutput, error) {
	found, err := loadVariants(ctx, s.store.db, in.Body.SKUs)
	if err != nil {
		return nil, err
	}
	out := &variantsOutput{}
	out.Body.Items = make([]VariantItem, 0, len(found))
	for _, r := range found {
		v := Variant{Options: r.Options}
		item := VariantItem{
			SKU: r.SKU, Slug: r.Slug, Name: r.Name, Variant: v.name(), ImageURL: r.picture(),
			UnitPrice: money.New(r.Price, s.settings.Currency), MaxPerShopper: r.MaxPerShopper, Status: r.Status, InStock: r.InStock,
			Weight: r.Weight,
		}
		out.Body.Items = append(out.Body.Items, item)
	}
	return out, nil
}
