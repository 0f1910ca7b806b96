package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// What is said about the shop's own pages when it is no.
var (
	ErrPageNotFound = problem.New(problem.NotFound, "page-not-found", "There is no such page")
	ErrTooManyPages = problem.New(problem.Conflict, "too-many-pages", "The shop has no room for another page")
)

const (
	maxPages    = 200
	maxPageText = 65_536
	maxGuided   = 500 // categories, and products, of one size guide
)

// ShopPage is a page that the shop has written itself, such as how to send something back.
type ShopPage struct {
	Slug       string    `json:"slug"`
	Title      string    `json:"title"`
	Body       string    `json:"body" doc:"Markdown (CommonMark, with tables). HTML in it is left out"`
	Published  bool      `json:"published"`
	Foot       int       `json:"foot" doc:"Its place among the links in the foot of each page; 0: it is not there"`
	Categories []string  `json:"categories" nullable:"false" doc:"Slugs of those that it is the size guide of, what is below them included"`
	Products   []string  `json:"products" nullable:"false" doc:"Slugs of products likewise, whatever their category"`
	Version    int       `json:"version"`
	ChangedAt  time.Time `json:"changed_at"`
}

// markdown knows tables; links that could run something are left without an address, and HTML is left out.
var markdown = goldmark.New(goldmark.WithExtensions(
	extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)), extension.Linkify,
))

// html is the page's text as a part of a page, whose first heading is the title. It is sanitised like a description.
func (p ShopPage) html() (string, error) {
	var out bytes.Buffer
	if err := markdown.Convert([]byte(p.Body), &out); err != nil {
		return "", fmt.Errorf("page %s: %w", p.Slug, err)
	}
	return sanitiseBy(pagePolicy, out.String()), nil
}

// check tidies a page, or tells what is wrong with it.
func (p *ShopPage) check() error {
	title, err := line("title", p.Title, maxName)
	if err != nil {
		return err
	}
	if title == "" {
		return problem.InvalidField("body.title", problem.CodeRequired, "must not be empty")
	}
	p.Title, p.Body = title, strings.ReplaceAll(p.Body, "\r\n", "\n")
	if utf8.RuneCountInString(p.Body) > maxPageText || strings.ContainsRune(p.Body, 0) {
		return problem.InvalidField("body.body", problem.CodeTooLong, fmt.Sprintf("must be text of at most %d characters", maxPageText))
	}
	for name, slugs := range map[string]*[]string{"categories": &p.Categories, "products": &p.Products} {
		if len(*slugs) > maxGuided {
			return problem.InvalidField("body."+name, problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxGuided))
		}
		for _, slug := range *slugs {
			if checkSlug(slug) != nil {
				return problem.InvalidField("body."+name, problem.CodeWrongFormat, "must be the addresses of "+name)
			}
		}
		*slugs = slices.Compact(slices.Sorted(slices.Values(*slugs)))
		*slugs = append([]string{}, *slugs...)
	}
	return nil
}

// PageLink leads to a page.
type PageLink struct {
	Slug  string `json:"slug"`
	Title string `json:"title"`
}

// SizeGuide leads to the page of the shop about a product's sizes.
type SizeGuide struct {
	_     struct{} `nullable:"true"` // null where there is none
	Slug  string   `json:"slug"`
	Title string   `json:"title"`
}

// guides tells which published page is the size guide of what.
type guides struct{ category, product map[string]PageLink }

// of is a product's: its own, or that of the nearest category that has one.
func (g guides) of(slug string, category *uuid.UUID, tree categoryTree) *SizeGuide {
	if link, ok := g.product[slug]; ok {
		return &SizeGuide{Slug: link.Slug, Title: link.Title}
	}
	for n := 0; category != nil && n < 20; n++ { // a tree has no circle; this ends even if one did
		c := tree[*category]
		if link, ok := g.category[c.Slug]; ok {
			return &SizeGuide{Slug: link.Slug, Title: link.Title}
		}
		category = c.ParentID
	}
	return nil
}

// shelf is what the catalogue keeps for a second of what is beside the products: their categories and size guides.
type shelf struct {
	tree   categoryTree
	guides guides
}

// shelves reads it, at most once a second however many pages are made.
func (c *catalogue) shelves(ctx context.Context) (shelf, error) {
	return c.shelf.Get(ctx, struct{}{}, otter.LoaderFunc[struct{}, shelf](func(ctx context.Context, _ struct{}) (out shelf, err error) {
		if out.tree, err = loadCategories(ctx, c.db); err != nil {
			return out, err
		}
		out.guides, err = loadGuides(ctx, c.db)
		return out, err
	}))
}

func (s *service) pageRoutes(api huma.API) {
	const public, admin = "/api/v1/pages", adminPath + "/pages"
	rest.Handle(api, rest.Op("GET", public, "List the shop's pages that are linked in the foot", rest.Anyone,
		answers[PageLinks](api), notModified), s.listPages)
	rest.Handle(api, rest.Op("GET", public+"/{slug}", "Read a page of the shop", rest.Anyone, answers[PublicPage](api), notModified,
		rest.Problems(ErrPageNotFound)), s.getPage)

	rest.Handle(api, rest.Op("GET", admin, "List the shop's pages, drafts too", rest.Admin), s.adminPages)
	rest.Handle(api, rest.Op("POST", admin, "Write a page", rest.Admin, rest.Status(http.StatusCreated),
		rest.Problems(ErrSlugTaken, ErrTooManyPages)), s.createPage)
	rest.Handle(api, rest.Op("POST", admin+"/preview", "Show a text as a page would, and keep nothing", rest.Admin), s.previewPage)
	rest.Handle(api, rest.Op("GET", admin+"/{slug}", "Read a page, whether or not it is published", rest.Admin,
		rest.Problems(ErrPageNotFound)), s.adminPage)
	rest.Handle(api, rest.Op("PUT", admin+"/{slug}", "Change a page", rest.Admin,
		rest.Describe("version is the one that was read; if the page has changed since, the answer is version-conflict."),
		rest.Problems(ErrPageNotFound, ErrVersionConflict)), s.changePage)
	rest.Handle(api, rest.Op("DELETE", admin+"/{slug}", "Delete a page", rest.Admin, rest.Status(http.StatusNoContent),
		rest.Problems(ErrPageNotFound)), s.deletePage)
}

// PageLinks are the links of the foot, in their order.
type PageLinks struct {
	Items []PageLink `json:"items" nullable:"false"`
}

// PublicPage is a page as shoppers read it.
type PublicPage struct {
	Slug      string    `json:"slug"`
	Title     string    `json:"title"`
	HTML      string    `json:"html" doc:"Sanitised; its headings begin at the second level"`
	ChangedAt time.Time `json:"changed_at"`
}

func (s *service) listPages(ctx context.Context, in *Conditional) (*kept, error) {
	a, err := s.catalogue.once(ctx, "pages", func(ctx context.Context) (answer, error) {
		links, err := footLinks(ctx, s.store.db)
		if err != nil {
			return answer{}, err
		}
		return encode(PageLinks{links}, hashOf(links))
	})
	if err != nil {
		return nil, err
	}
	return in.send(ctx, a), nil
}

func (s *service) getPage(ctx context.Context, in *slugInput) (*kept, error) {
	if checkSlug(in.Slug) != nil {
		return nil, ErrPageNotFound // no page has it: not worth a question
	}
	a, err := s.catalogue.once(ctx, "shop-page:"+in.Slug, func(ctx context.Context) (answer, error) {
		p, err := loadShopPage(ctx, s.store.db, in.Slug)
		if err != nil || p == nil || !p.Published {
			return answer{}, err // that there is none is kept too
		}
		html, err := p.html()
		if err != nil {
			return answer{}, err
		}
		out := PublicPage{p.Slug, p.Title, html, p.ChangedAt.UTC()}
		return encode(out, hashOf(out))
	})
	if err == nil && a.body == nil {
		err = ErrPageNotFound.FreshFor(time.Second)
	}
	if err != nil {
		return nil, err
	}
	return in.send(ctx, a), nil
}

// PageInput is a page as it is sent.
type PageInput struct {
	Title      string   `json:"title" text:"line" minLength:"1" maxLength:"255"`
	Body       string   `json:"body" maxLength:"65536" doc:"Markdown"`
	Published  bool     `json:"published"`
	Foot       int      `json:"foot,omitempty" minimum:"0" maximum:"1000"`
	Categories []string `json:"categories,omitempty" maxItems:"500"`
	Products   []string `json:"products,omitempty" maxItems:"500"`
}

func (in PageInput) page(slug string, now time.Time) (ShopPage, error) {
	p := ShopPage{
		Slug: slug, Title: in.Title, Body: in.Body, Published: in.Published, Foot: in.Foot,
		Categories: in.Categories, Products: in.Products,
		Version: 1, ChangedAt: now.UTC(),
	}
	return p, p.check()
}

type pageOutput struct{ Body ShopPage }

type pageListOutput struct {
	Body struct {
		Items []ShopPage `json:"items" nullable:"false"`
	}
}

// adminPages lists all of them: there are no more than maxPages.
func (s *service) adminPages(ctx context.Context, _ *struct{}) (*pageListOutput, error) {
	found, err := loadPages(ctx, s.store.db)
	out := &pageListOutput{}
	out.Body.Items = found
	return out, err
}

func (s *service) adminPage(ctx context.Context, in *categoryPath) (*pageOutput, error) {
	p, err := loadShopPage(ctx, s.store.db, in.Slug)
	if err == nil && p == nil {
		err = ErrPageNotFound
	}
	if err != nil {
		return nil, err
	}
	return &pageOutput{*p}, nil
}

func (s *service) createPage(ctx context.Context, in *struct {
	Body struct {
		PageInput
		Slug string `json:"slug,omitempty" maxLength:"255" doc:"Made of the title when not given"`
	}
}) (*pageOutput, error) {
	slug := in.Body.Slug
	if slug == "" {
		slug = slugsFor(in.Body.Title, "page", uuid.Nil)[0]
	} else if err := checkSlug(slug); err != nil {
		return nil, err
	}
	p, err := in.Body.page(slug, s.now())
	if err != nil {
		return nil, err
	}
	return &pageOutput{p}, s.store.insertPage(ctx, p)
}

func (s *service) changePage(ctx context.Context, in *struct {
	Slug string `path:"slug" maxLength:"255"`
	Body struct {
		PageInput
		Version int `json:"version" minimum:"1"`
	}
}) (*pageOutput, error) {
	p, err := in.Body.page(in.Slug, s.now())
	if err != nil {
		return nil, err
	}
	p.Version = in.Body.Version
	err = s.store.updatePage(ctx, &p)
	return &pageOutput{p}, err
}

func (s *service) deletePage(ctx context.Context, in *categoryPath) (*struct{}, error) {
	return nil, s.store.deletePage(ctx, in.Slug)
}

type previewOutput struct {
	Body struct {
		HTML string `json:"html"`
	}
}

func (s *service) previewPage(_ context.Context, in *struct {
	Body struct {
		Body string `json:"body" maxLength:"65536" doc:"Markdown"`
	}
}) (*previewOutput, error) {
	html, err := ShopPage{Body: in.Body.Body}.html()
	out := &previewOutput{}
	out.Body.HTML = html
	return out, err
}
