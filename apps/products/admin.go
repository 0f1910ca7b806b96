package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/skus"
)

const adminPath = "/api/v1/admin/products"

func (s *service) adminRoutes(api huma.API) {
	rest.Handle(api, rest.Op("GET", adminPath, "List products, drafts and unlisted ones too", rest.Admin), s.adminList)
	rest.Handle(api, rest.Op("POST", adminPath, "Create a product", rest.Admin, rest.Status(http.StatusCreated),
		rest.Problems(ErrSlugTaken, ErrSKUTaken)), s.create)
	rest.Handle(api, rest.Op("GET", adminPath+"/{id}", "Read a product, whatever its status", rest.Admin,
		rest.Problems(ErrProductNotFound)), s.adminGet)
	rest.Handle(api, rest.Op("PATCH", adminPath+"/{id}", "Change a product", rest.Admin,
		rest.Describe("Parts that are not named stay. Variants are added, or changed by their SKU; none is removed. "+
			"version is the one that was read; if the product has changed since, the answer is version-conflict."),
		rest.Problems(ErrProductNotFound, ErrVersionConflict, ErrSKUTaken)), s.update)
	rest.Handle(api, rest.Op("DELETE", adminPath+"/{id}/variants/{sku}", "Remove a variant of a product that was never published", rest.Admin,
		rest.Problems(ErrProductNotFound, ErrVariantNotFound, ErrVariantPublished)), s.removeVariant)
	rest.Handle(api, rest.Op("POST", adminPath+"/{id}/publication", "Publish a product", rest.Admin,
		rest.Problems(ErrProductNotFound, ErrIncomplete)), s.publish)
	rest.Handle(api, rest.Op("DELETE", adminPath+"/{id}/publication", "Unlist a product", rest.Admin,
		rest.Problems(ErrProductNotFound)), s.unlist)
	rest.Handle(api, rest.Op("POST", adminPath+"/{id}/images", "Upload an image of a product", rest.Admin,
		rest.Status(http.StatusCreated), rest.Uploads("image/png", "image/jpeg", "image/webp", "image/svg+xml"),
		rest.Describe("The picture as the body, or as the file of a form. PNG, JPEG, WebP, or an SVG that only draws; up to 10 MiB and "+
			"24 million pixels. It is written anew: upright, without what a camera wrote beside it, at most 2,400 pixels wide or high."),
		rest.Problems(ErrProductNotFound, ErrPictureRefused)), s.addImage)
	rest.Handle(api, rest.Op("PUT", adminPath+"/{id}/images", "Arrange the images of a product", rest.Admin,
		rest.Describe("All of them, in the order shown, each with what it shows and the variants whose own picture it is. "+
			"version is the one that was read; if the product has changed since, the answer is version-conflict."),
		rest.Problems(ErrProductNotFound, ErrImageNotFound, ErrVariantNotFound, ErrVersionConflict)), s.arrangeImages)
	rest.Handle(api, rest.Op("DELETE", adminPath+"/{id}/images/{image_id}", "Remove an image of a product", rest.Admin,
		rest.Problems(ErrProductNotFound, ErrImageNotFound)), s.removeImage)
	rest.Handle(api, rest.Op("POST", adminPath+"/pictures", "Upload a picture for a product file to name", rest.Admin,
		rest.Status(http.StatusCreated), rest.Uploads("image/png", "image/jpeg", "image/webp", "image/svg+xml"),
		rest.Describe("Rows of an import whose Image Src is this name get the picture. A name uploaded again means the new picture."),
		rest.Problems(ErrPictureRefused)), s.addPicture)
	rest.Handle(api, rest.Op("POST", adminPath+"/import", "Import a product file", rest.Admin, rest.Uploads("text/csv"),
		answers[ImportReport](api), rest.Describe("The CSV that Shopify or WooCommerce exports, as the body or as the file of a form, up to 64 MiB. A variant is taken "+
			"whole or refused with its reason; the same file again changes nothing. Quantities begin the stock of new SKUs; with set_stock "+
			"they also set that of known ones."),
		rest.Problems(ErrImportRunning)), s.importFile)
	rest.Handle(api, rest.Op("GET", adminPath+"/export", "Export products", rest.Admin, rest.Answers("text/csv"), rest.Describe("As a file that the import takes again: "+
		"those that the list with these filters has, or all. Quantities are what is available now.")), s.exportFile)
	rest.Handle(api, rest.Op("GET", adminPath+"/synonyms", "List the words that mean the same in a search", rest.Admin), s.listSynonyms)
	rest.Handle(api, rest.Op("PUT", adminPath+"/synonyms", "Replace the words that mean the same in a search", rest.Admin,
		rest.Describe("Whoever looks for one of a group finds what has another one. A synonym may be several words.")), s.putSynonyms)
	rest.Handle(api, rest.Op("GET", adminPath+"/categories", "List the categories as they are now", rest.Admin), s.adminCategories)
	rest.Handle(api, rest.Op("POST", adminPath+"/categories", "Create a category", rest.Admin, rest.Status(http.StatusCreated),
		rest.Problems(ErrSlugTaken)), s.createCategory)
	rest.Handle(api, rest.Op("PATCH", adminPath+"/categories/{slug}", "Rename or move a category", rest.Admin,
		rest.Problems(ErrCategoryNotFound, ErrSlugTaken)), s.updateCategory)
	rest.Handle(api, rest.Op("DELETE", adminPath+"/categories/{slug}", "Delete an empty category", rest.Admin, rest.Status(http.StatusNoContent),
		rest.Problems(ErrCategoryNotFound, ErrCategoryInUse)), s.deleteCategory)
}

// AdminProduct is a product as the back office sees it.
type AdminProduct struct {
	ID          uuid.UUID         `json:"id"`
	Slug        string            `json:"slug"`
	Name        string            `json:"name"`
	Description string            `json:"description" doc:"Sanitised HTML"`
	Vendor      string            `json:"vendor"`
	Category    *string           `json:"category" doc:"Its slug"`
	Tags        []string          `json:"tags" nullable:"false"`
	Options     []string          `json:"options" nullable:"false"`
	Attributes  map[string]string `json:"attributes"`
	Status      Status            `json:"status" enum:"draft,published,unlisted"`
	Version     int               `json:"version"`
	PublishedAt *time.Time        `json:"published_at" doc:"For the first time"`
	Images      []AdminImage      `json:"images" nullable:"false"`
	Variants    []AdminVariant    `json:"variants" nullable:"false"`
}

// AdminImage is an image as the back office sees it.
type AdminImage struct {
	ID  uuid.UUID `json:"id"`
	URL string    `json:"url"`
	Alt string    `json:"alt"`
}

// AdminVariant is a variant as the back office sees it.
type AdminVariant struct {
	SKU           string            `json:"sku"`
	Options       map[string]string `json:"options"`
	Price         money.Money       `json:"price"`
	MaxPerShopper *int              `json:"max_per_shopper" doc:"null: 20"`
	InitialStock  int               `json:"initial_stock" doc:"What the stock began with"`
	InStock       bool              `json:"in_stock"`
	ImageURL      *string           `json:"image_url"`
	Weight        int               `json:"weight_grams" doc:"0: not known"`
}

func (s *service) adminView(p *Product, tree categoryTree) AdminProduct {
	out := AdminProduct{
		ID: p.ID, Slug: p.Slug, Name: p.Name, Description: p.Description, Vendor: p.Vendor, Category: tree.slug(p.CategoryID),
		Tags: orEmpty(p.Tags), Options: orEmpty(p.OptionNames), Attributes: orEmptyMap(p.Attributes), Status: p.Status, Version: p.Version,
		PublishedAt: p.PublishedAt, Images: []AdminImage{}, Variants: []AdminVariant{},
	}
	for _, img := range p.Images {
		out.Images = append(out.Images, AdminImage(img))
	}
	for _, v := range p.Variants {
		av := AdminVariant{
			SKU: v.SKU, Options: v.named(p.OptionNames), Price: money.New(v.Price, s.settings.Currency),
			MaxPerShopper: v.MaxPerShopper, InitialStock: v.InitialStock, InStock: v.InStock, Weight: v.Weight,
		}
		if v.Image != "" {
			av.ImageURL = &v.Image
		}
		out.Variants = append(out.Variants, av)
	}
	return out
}

type adminOutput struct {
	Location string `header:"Location"`
	Body     AdminProduct
}

// AdminSummary is a product in the back office's list.
type AdminSummary struct {
	ID       uuid.UUID   `json:"id"`
	Slug     string      `json:"slug"`
	Name     string      `json:"name"`
	SKU      string      `json:"sku"`
	Price    money.Money `json:"price"`
	ImageURL *string     `json:"image_url"`
	Category *string     `json:"category"`
	Status   Status      `json:"status" enum:"draft,published,unlisted"`
	Version  int         `json:"version"`
	Variants int         `json:"variants"`
	InStock  bool        `json:"in_stock"`
	At       time.Time   `json:"at" doc:"When it was published; when it was last changed, if it never was"`
}

// AdminFilter narrows the back office's list and the export; empty members do not. It is exported for huma.
type AdminFilter struct {
	Query    string `query:"q" maxLength:"200"`
	Category string `query:"category" maxLength:"255"`
	Status   Status `query:"status" enum:"draft,published,unlisted"`
}

func (in AdminFilter) filter() filter {
	f := filter{Category: in.Category, Statuses: []Status{Draft, Published, Unlisted}}
	if in.Status != "" {
		f.Statuses = []Status{in.Status}
	}
	looked := read(in.Query)
	var groups [][]string
	for w := range strings.FieldsSeq(looked.Words) {
		groups = append(groups, []string{w})
	}
	f.Search = searchFor(groups, looked.Also, nil)
	return f
}

type adminListInput struct {
	rest.Page
	AdminFilter
	Sort string `query:"sort" enum:"newest,oldest,name,-name,price,-price" default:"newest" doc:"newest, oldest: by at"`
}

type adminListOutput struct{ Body rest.List[AdminSummary] }

func (s *service) adminList(ctx context.Context, in *adminListInput) (*adminListOutput, error) {
	after := &position{}
	given, err := in.After(after)
	if err != nil {
		return nil, err
	}
	if !given {
		after = nil
	}
	rows, _, err := loadPage(ctx, s.store.db, in.filter(), in.Sort, after, in.Limit+1, false)
	if err != nil {
		return nil, err
	}
	out := &adminListOutput{}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Body.NextCursor = in.Next(rows[in.Limit-1].position())
	}
	out.Body.Items = make([]AdminSummary, 0, len(rows))
	for _, r := range rows {
		out.Body.Items = append(out.Body.Items, AdminSummary{
			ID: r.ID, Slug: r.Slug, Name: r.Name, SKU: r.SKU, Price: money.New(r.Price, s.settings.Currency), ImageURL: r.ImageURL,
			Category: r.Category, Status: r.Status, Version: r.Version, Variants: r.Variants, InStock: r.InStock, At: r.PublishedAt.UTC(),
		})
	}
	return out, nil
}

// ProductPath is the part of a path that names a product. It is exported for huma, which passes over others.
type ProductPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (s *service) adminGet(ctx context.Context, in *ProductPath) (*adminOutput, error) {
	p, err := one(loadProducts(ctx, s.store.db, byID, []uuid.UUID{in.ID}))
	if err != nil {
		return nil, err
	}
	tree, err := loadCategories(ctx, s.store.db)
	if err != nil {
		return nil, err
	}
	return &adminOutput{Body: s.adminView(p, tree)}, nil
}

// ProductInput is what a product may be created with, and changed to.
type ProductInput struct {
	Name        *string           `json:"name,omitempty" text:"line" minLength:"1" maxLength:"255"`
	Description *string           `json:"description,omitempty" maxLength:"200000" doc:"HTML; it is sanitised"`
	Vendor      *string           `json:"vendor,omitempty" maxLength:"255"`
	Category    *string           `json:"category,omitempty" maxLength:"255" doc:"A category's slug; empty: none"`
	Tags        []string          `json:"tags,omitempty" maxItems:"100"`
	Options     []string          `json:"options,omitempty" maxItems:"3" doc:"What the variants differ in, such as Size"`
	Attributes  map[string]string `json:"attributes,omitempty"`
	Variants    []VariantInput    `json:"variants,omitempty" maxItems:"250"`
}

// VariantInput is a variant to add, or to change by its SKU.
type VariantInput struct {
	SKU           string            `json:"sku" minLength:"1" maxLength:"255"`
	Options       map[string]string `json:"options,omitempty" doc:"A value for each of the product's options; a known variant keeps its own when not given"`
	Price         money.Money       `json:"price"`
	MaxPerShopper *int              `json:"max_per_shopper,omitempty" minimum:"1" maximum:"20"`
	InitialStock  *int              `json:"initial_stock,omitempty" minimum:"0" maximum:"1000000" doc:"What the stock begins with; without effect once the product was published"`
	Weight        *int              `json:"weight_grams,omitempty" minimum:"0" maximum:"1000000" doc:"What one weighs; 0: not known"`
}

// apply puts what was sent into the product.
func (in ProductInput) apply(p *Product, tree categoryTree, currency string) error {
	d := Details{Name: in.Name, Description: in.Description, Vendor: in.Vendor}
	if in.Tags != nil {
		d.Tags = &in.Tags
	}
	if in.Options != nil {
		d.OptionNames = &in.Options
	}
	if in.Attributes != nil {
		d.Attributes = &in.Attributes
	}
	if in.Category != nil {
		id := uuid.Nil
		if *in.Category != "" {
			c, ok := tree.bySlug(*in.Category)
			if !ok {
				return problem.InvalidField("body.category", problem.CodeNotFound, "there is no such category")
			}
			id = c.ID
		}
		d.Category = &id
	}
	if err := p.Set(d); err != nil {
		return err
	}
	for i, v := range in.Variants {
		v.SKU = strings.TrimSpace(v.SKU) // as SetVariant does, so that both mean the same variant
		if slices.ContainsFunc(in.Variants[:i], func(o VariantInput) bool { return strings.EqualFold(strings.TrimSpace(o.SKU), v.SKU) }) {
			return problem.InvalidField(fmt.Sprintf("body.variants[%d].sku", i), problem.CodeDuplicate, "is there twice") // else the later would overwrite the earlier
		}
		if v.Price.Currency != currency {
			return problem.InvalidField(fmt.Sprintf("body.variants[%d].price.currency", i), problem.CodeNotAllowed, "the shop sells in "+currency)
		}
		old, known := p.Variant(v.SKU)
		if v.Price.Amount == 0 && (!known || old.Price != 0) { // only a product file leaves a price open
			return problem.InvalidField(fmt.Sprintf("body.variants[%d].price", i), problem.CodeOutOfRange, "must be more than nothing")
		}
		variant := Variant{
			SKU: v.SKU, Price: v.Price.Amount, MaxPerShopper: v.MaxPerShopper, InitialStock: old.InitialStock,
			Image: old.Image, Weight: old.Weight,
		}
		if v.Weight != nil {
			variant.Weight = *v.Weight
		}
		if v.InitialStock != nil {
			variant.InitialStock = *v.InitialStock
		}
		if v.MaxPerShopper == nil {
			variant.MaxPerShopper = old.MaxPerShopper
		}
		for _, name := range p.OptionNames {
			variant.Options = append(variant.Options, v.Options[name])
		}
		if known && v.Options == nil {
			variant.Options = old.Options
		}
		if len(v.Options) > len(p.OptionNames) {
			return problem.InvalidField(fmt.Sprintf("body.variants[%d].options", i), problem.CodeNotOneOf, "has a name that is not among the product's options")
		}
		if err := p.SetVariant(variant); err != nil {
			return ofVariant(i, err)
		}
	}
	for i, v := range p.Variants {
		if slices.Contains(v.Options, "") {
			return problem.InvalidField("body.options", problem.CodeRequired, "leave the variant "+v.SKU+" without a value")
		}
		if slices.ContainsFunc(p.Variants[:i], func(o Variant) bool { return slices.Equal(o.Options, v.Options) }) {
			return problem.InvalidField("body.options", problem.CodeDuplicate, "make two variants the same")
		}
	}
	return nil
}

// ofVariant names the variant that breaks a rule.
func ofVariant(i int, err error) error {
	var known *problem.Error
	if !errors.As(err, &known) || len(known.Fields()) == 0 {
		return err
	}
	out := problem.ErrInvalid
	for _, f := range known.Fields() {
		out = out.Field(fmt.Sprintf("body.variants[%d]%s", i, strings.TrimPrefix(f.Location, "body.variants")), f.Code, f.Message)
	}
	return out
}

type createInput struct {
	Body struct {
		ProductInput
		Slug string `json:"slug,omitempty" maxLength:"255" doc:"Its name in addresses, for ever; made of the name when not given"`
	}
}

func (s *service) create(ctx context.Context, in *createInput) (*adminOutput, error) {
	if in.Body.Name == nil {
		return nil, problem.InvalidField("body.name", problem.CodeRequired, "is required")
	}
	p := &Product{ID: newID(), Slug: in.Body.Slug, Status: Draft}
	if p.Slug != "" {
		if err := checkSlug(p.Slug); err != nil {
			return nil, err
		}
	}
	for tries := 1; ; tries++ {
		out, err := s.createAs(ctx, in, p)
		if in.Body.Slug == "" && tries < 5 && errors.Is(err, ErrSlugTaken) {
			continue // by somebody at the same moment
		}
		return out, err
	}
}

func (s *service) createAs(ctx context.Context, in *createInput, p *Product) (*adminOutput, error) {
	out := &adminOutput{Location: adminPath + "/" + p.ID.String()}
	err := pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		tree, err := loadCategories(ctx, tx)
		if err != nil {
			return err
		}
		p := p.clone()
		if p.Slug == "" {
			if p.Slug, err = freeSlug(ctx, tx, slugsFor(*in.Body.Name, "product", p.ID)); err != nil {
				return err
			}
		}
		if err := in.Body.apply(p, tree, s.settings.Currency); err != nil {
			return err
		}
		if err := s.ownSKUs(ctx, tx, p); err != nil {
			return err
		}
		if err := saveProducts(ctx, tx, []change{{after: p}}, s.settings.Currency, s.now()); err != nil {
			return err
		}
		out.Body = s.adminView(p, tree)
		return nil
	})
	if err != nil {
		return nil, taken(err)
	}
	return out, nil
}

// ownSKUs refuses SKUs that another product has, also in other letters.
func (s *service) ownSKUs(ctx context.Context, tx pgx.Tx, p *Product) error {
	skus := make([]string, len(p.Variants))
	for i, v := range p.Variants {
		skus[i] = strings.ToLower(v.SKU)
	}
	owners, err := skuOwners(ctx, tx, skus)
	if err != nil {
		return err
	}
	for i, sku := range skus {
		if owner, ok := owners[sku]; ok && owner != p.ID {
			return ErrSKUTaken.With("sku", p.Variants[i].SKU)
		}
	}
	return nil
}

// change runs fn on a locked product and saves what it did.
func (s *service) change(ctx context.Context, id uuid.UUID, fn func(tx pgx.Tx, p *Product, tree categoryTree) error) (*adminOutput, error) {
	out := &adminOutput{}
	err := pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		before, err := one(loadProducts(ctx, tx, byIDLocked, []uuid.UUID{id}))
		if err != nil {
			return err
		}
		tree, err := loadCategories(ctx, tx)
		if err != nil {
			return err
		}
		after := before.clone()
		if err := fn(tx, after, tree); err != nil {
			return err
		}
		if err := saveProducts(ctx, tx, []change{{before, after}}, s.settings.Currency, s.now()); err != nil {
			return err
		}
		out.Body = s.adminView(after, tree)
		return nil
	})
	if err != nil {
		return nil, taken(err)
	}
	return out, nil
}

type updateInput struct {
	ProductPath
	Body struct {
		ProductInput
		Version int `json:"version" minimum:"1" doc:"The one that was read"`
	}
}

func (s *service) update(ctx context.Context, in *updateInput) (*adminOutput, error) {
	return s.change(ctx, in.ID, func(tx pgx.Tx, p *Product, tree categoryTree) error {
		if p.Version != in.Body.Version {
			return ErrVersionConflict.With("version", p.Version)
		}
		if err := in.Body.apply(p, tree, s.settings.Currency); err != nil {
			return err
		}
		return s.ownSKUs(ctx, tx, p)
	})
}

type variantPath struct {
	ProductPath
	SKU skus.InPath `path:"sku"`
}

func (s *service) removeVariant(ctx context.Context, in *variantPath) (*adminOutput, error) {
	return s.change(ctx, in.ID, func(tx pgx.Tx, p *Product, _ categoryTree) error {
		if err := p.RemoveVariant(in.SKU.String()); err != nil {
			return err
		}
		return deleteVariant(ctx, tx, in.SKU.String())
	})
}

func (s *service) publish(ctx context.Context, in *ProductPath) (*adminOutput, error) {
	return s.change(ctx, in.ID, func(_ pgx.Tx, p *Product, _ categoryTree) error { return p.Publish(s.now()) })
}

func (s *service) unlist(ctx context.Context, in *ProductPath) (*adminOutput, error) {
	return s.change(ctx, in.ID, func(_ pgx.Tx, p *Product, _ categoryTree) error { p.Unlist(); return nil })
}

// Uploads

// keepPicture prepares an uploaded picture and gives it and its copies to the media binding; it returns the picture's name.
// What fails half way leaves copies that nothing names.
func (s *service) keepPicture(ctx context.Context, u *rest.Upload) (string, error) {
	body, err := u.Open(maxPictureBytes)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(body)
	if errors.Is(err, problem.ErrTooLarge) {
		return "", problem.ErrTooLarge
	}
	if err != nil {
		return "", problem.ErrMalformed.Because(err)
	}
	select {
	case s.pictures <- struct{}{}:
	case <-ctx.Done():
		return "", problem.ErrUnavailable.Because(ctx.Err())
	}
	files, err := preparePicture(data)
	<-s.pictures
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, keepLimit)
	defer cancel()
	for _, f := range files {
		// The binding decodes whatever happens to be Base64, so it always is.
		encoded := []byte(base64.StdEncoding.EncodeToString(f.data))
		if _, err := s.dapr.Binding(ctx, "media", "create", encoded, pictureMetadata(f.name)); err != nil {
			return "", problem.ErrUnavailable.Because(err)
		}
	}
	return files[len(files)-1].name, nil
}

type imageInput struct {
	ProductPath
	rest.Upload
	Alt string `query:"alt" maxLength:"1000" doc:"What the picture shows, for those who cannot see it"`
}

func (s *service) addImage(ctx context.Context, in *imageInput) (*adminOutput, error) {
	if _, err := one(loadProducts(ctx, s.store.db, byID, []uuid.UUID{in.ID})); err != nil {
		return nil, err
	}
	file, err := s.keepPicture(ctx, &in.Upload)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, in.ID, func(_ pgx.Tx, p *Product, _ categoryTree) error {
		return p.SetImage(Image{ID: newID(), URL: mediaPath + file, Alt: in.Alt})
	})
}

// ImageInput is an image in its place.
type ImageInput struct {
	ID   uuid.UUID `json:"id" format:"uuid"`
	Alt  string    `json:"alt" maxLength:"1000" doc:"What the picture shows, for those who cannot see it"`
	SKUs []string  `json:"skus,omitempty" maxItems:"250" doc:"The variants whose own picture it is"`
}

type arrangeInput struct {
	ProductPath
	Body struct {
		Images  []ImageInput `json:"images" maxItems:"250" nullable:"false"`
		Version int          `json:"version" minimum:"1" doc:"The one that was read"`
	}
}

func (s *service) arrangeImages(ctx context.Context, in *arrangeInput) (*adminOutput, error) {
	return s.change(ctx, in.ID, func(_ pgx.Tx, p *Product, _ categoryTree) error {
		if p.Version != in.Body.Version {
			return ErrVersionConflict.With("version", p.Version)
		}
		return p.Arrange(in.Body.Images)
	})
}

type imagePath struct {
	ProductPath
	ImageID uuid.UUID `path:"image_id" format:"uuid"`
}

func (s *service) removeImage(ctx context.Context, in *imagePath) (*adminOutput, error) {
	return s.change(ctx, in.ID, func(_ pgx.Tx, p *Product, _ categoryTree) error {
		return p.RemoveImage(in.ImageID)
	})
}

type pictureInput struct {
	rest.Upload
	Name string `query:"name" required:"true" minLength:"1" maxLength:"255" pattern:"^[^\\p{Cc}/\\\\]+$" doc:"What product files call it, such as lamp.svg"`
}

// Picture is an uploaded picture.
type Picture struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

type pictureOutput struct{ Body Picture }

func (s *service) addPicture(ctx context.Context, in *pictureInput) (*pictureOutput, error) {
	file, err := s.keepPicture(ctx, &in.Upload)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSpace(in.Name)
	if err := savePicture(ctx, s.store.db, name, file); err != nil {
		return nil, err
	}
	return &pictureOutput{Picture{Name: name, URL: mediaPath + file}}, nil
}

// Synonyms

// Synonyms are groups of words that mean the same in a search.
type Synonyms struct {
	Groups [][]string `json:"groups" maxItems:"500" nullable:"false" doc:"Each of 2 to 20 words, such as sofa, couch, settee"`
}

type synonymsOutput struct{ Body Synonyms }

func (s *service) listSynonyms(ctx context.Context, _ *struct{}) (*synonymsOutput, error) {
	groups, err := synonymGroups(ctx, s.store.db)
	return &synonymsOutput{Synonyms{append([][]string{}, groups...)}}, err
}

func (s *service) putSynonyms(ctx context.Context, in *synonymsOutput) (*synonymsOutput, error) {
	groups, err := tidySynonyms(in.Body.Groups)
	if err != nil {
		return nil, err
	}
	err = pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error { return saveSynonyms(ctx, tx, groups) })
	return &synonymsOutput{Synonyms{groups}}, err
}

// Categories

// AdminCategory is a category as the back office sees it.
type AdminCategory struct {
	Slug   string  `json:"slug"`
	Name   string  `json:"name"`
	Parent *string `json:"parent"`
}

type categoryOutput struct{ Body AdminCategory }

type createCategoryInput struct {
	Body struct {
		Name   string `json:"name" text:"line" minLength:"1" maxLength:"100"`
		Slug   string `json:"slug,omitempty" maxLength:"255" doc:"Made of the name when not given"`
		Parent string `json:"parent,omitempty" maxLength:"255" doc:"The slug of the category that it is in"`
	}
}

type categoriesOutput struct{ Body CategoryList }

func (s *service) adminCategories(ctx context.Context, _ *struct{}) (*categoriesOutput, error) {
	found, err := categoriesNow(ctx, s.store.db)
	return &categoriesOutput{found}, err
}

func (s *service) createCategory(ctx context.Context, in *createCategoryInput) (*categoryOutput, error) {
	name, err := line("name", in.Body.Name, maxOption)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, problem.InvalidField("body.name", problem.CodeRequired, "must not be empty")
	}
	c := Category{ID: newID(), Slug: in.Body.Slug, Name: name}
	if c.Slug != "" {
		if err := checkSlug(c.Slug); err != nil {
			return nil, err
		}
	}
	out := &categoryOutput{}
	err = s.changeTree(ctx, func(tx pgx.Tx, tree categoryTree) error {
		if c.ParentID, err = parentOf(tree, in.Body.Parent); err != nil {
			return err
		}
		if c.Slug == "" {
			c.Slug = tree.freeSlug(name, c.ID)
		}
		out.Body = AdminCategory{c.Slug, c.Name, tree.slug(c.ParentID)}
		return insertCategory(ctx, tx, c)
	})
	return out, err
}

// changeTree runs fn while nobody else changes the categories.
func (s *service) changeTree(ctx context.Context, fn func(tx pgx.Tx, tree categoryTree) error) error {
	return taken(pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
		if err := lockCategories(ctx, tx); err != nil {
			return err
		}
		tree, err := loadCategories(ctx, tx)
		if err != nil {
			return err
		}
		if err := fn(tx, tree); err != nil {
			return err
		}
		return renewCatalogue(ctx, tx)
	}))
}

func parentOf(tree categoryTree, slug string) (*uuid.UUID, error) {
	if slug == "" {
		return nil, nil
	}
	c, ok := tree.bySlug(slug)
	if !ok {
		return nil, problem.InvalidField("body.parent", problem.CodeNotFound, "there is no such category")
	}
	return &c.ID, nil
}

type updateCategoryInput struct {
	Slug string `path:"slug" maxLength:"255"`
	Body struct {
		Name   *string `json:"name,omitempty" text:"line" minLength:"1" maxLength:"100"`
		Parent *string `json:"parent,omitempty" maxLength:"255" doc:"Empty: none"`
	}
}

func (s *service) updateCategory(ctx context.Context, in *updateCategoryInput) (*categoryOutput, error) {
	out := &categoryOutput{}
	err := s.changeTree(ctx, func(tx pgx.Tx, tree categoryTree) error {
		c, ok := tree.bySlug(in.Slug)
		if !ok {
			return ErrCategoryNotFound
		}
		if in.Body.Name != nil {
			name, err := line("name", *in.Body.Name, maxOption)
			if err != nil {
				return err
			}
			if name == "" {
				return problem.InvalidField("body.name", problem.CodeRequired, "must not be empty")
			}
			c.Name = name
		}
		if in.Body.Parent != nil {
			parent, err := parentOf(tree, *in.Body.Parent)
			if err != nil {
				return err
			}
			if parent != nil && tree.within(*parent, c.ID) {
				return problem.InvalidField("body.parent", problem.CodeNotAllowed, "must not be the category itself or below it")
			}
			c.ParentID = parent
		}
		out.Body = AdminCategory{c.Slug, c.Name, tree.slug(c.ParentID)}
		if err := updateCategory(ctx, tx, c); err != nil {
			return err
		}
		return reindexCategory(ctx, tx, c.ID, s.now())
	})
	return out, err
}

type categoryPath struct {
	Slug string `path:"slug" maxLength:"255"`
}

func (s *service) deleteCategory(ctx context.Context, in *categoryPath) (*struct{}, error) {
	return nil, s.changeTree(ctx, func(tx pgx.Tx, tree categoryTree) error {
		c, ok := tree.bySlug(in.Slug)
		if !ok {
			return ErrCategoryNotFound
		}
		empty, err := deleteCategory(ctx, tx, c.ID)
		if err == nil && !empty {
			err = ErrCategoryInUse
		}
		return err
	})
}
