package main

import (
	"context"
	"encoding/csv"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/money"
)

// This file writes the catalogue as the CSV that the import reads: what comes out may be brought in again,
// here without a change, elsewhere as the same catalogue.

// exportBatch is how many products are in memory.
const exportBatch = 100

// exportColumns come before those of the attributes.
var exportColumns = []string{
	"Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published",
	"Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Option3 Name", "Option3 Value",
	"Variant SKU", "Variant Grams", "Variant Inventory Qty", "Variant Price", "Image Src", "Image Position", "Image Alt Text",
	exportLimit, "Variant Image", "Status",
}

const exportLimit = "Max per shopper (product.metafields.custom.max_per_shopper)"

type exportOutput struct {
	ContentType string `header:"Content-Type"`
	Body        func(huma.Context)
}

// exportFile writes products while they are read. A failure in the middle breaks the answer off, so that
// nobody takes a part for the whole.
func (s *service) exportFile(ctx context.Context, in *AdminFilter) (*exportOutput, error) {
	attributes, err := attributeNames(ctx, s.store.db)
	if err != nil {
		return nil, err
	}
	tree, err := loadCategories(ctx, s.store.db)
	if err != nil {
		return nil, err
	}
	return &exportOutput{ContentType: "text/csv; charset=utf-8", Body: func(hctx huma.Context) {
		_, _ = io.WriteString(hctx.BodyWriter(), byteOrderMark) // Flush tells
		out := csv.NewWriter(hctx.BodyWriter())
		head := slices.Clone(exportColumns)
		for i, name := range attributes {
			head = append(head, harmless(name+" (product.metafields.custom.attribute_"+strconv.Itoa(i+1)+")"))
		}
		_ = out.Write(head) // Flush tells
		for after := uuid.Nil; ; {
			var a arguments
			where := in.filter().where(&a) + " AND p.id > " + a.add(after) + " ORDER BY p.id LIMIT " + a.add(exportBatch)
			products, err := loadProducts(ctx, s.store.db, where, a...)
			if err != nil {
				s.log.ErrorContext(ctx, "export broken off", "error", err)
				panic(http.ErrAbortHandler)
			}
			var skus []string
			for _, p := range products {
				for _, v := range p.Variants {
					skus = append(skus, v.SKU)
				}
			}
			free := s.inventory.availability(ctx, skus)
			for _, p := range products {
				for _, record := range exportRows(p, tree.path(p.CategoryID), attributes, free, s.settings.Currency) {
					_ = out.Write(record)
				}
				after = p.ID
			}
			out.Flush()
			if len(products) < exportBatch || out.Error() != nil {
				return
			}
		}
	}}, nil
}

// exportRows are a product's rows: the first with its details, each with a variant, a picture, or both.
func exportRows(p *Product, category string, attributes []string, free map[string]availability, currency string) [][]string {
	cover := map[Status]string{Published: "active", Unlisted: "draft", Draft: "draft"} // elsewhere it never was on sale
	var out [][]string
	for i := range max(1, len(p.Variants), len(p.Images)) {
		cells := map[string]string{"Handle": p.Slug}
		if i == 0 {
			maps.Copy(cells, map[string]string{
				"Title": p.Name, "Body (HTML)": p.Description, "Vendor": p.Vendor, "Type": category, "Tags": strings.Join(p.Tags, ", "),
				"Published": strings.ToUpper(strconv.FormatBool(p.Status == Published)), "Status": cover[p.Status],
			})
			for n, name := range p.OptionNames {
				cells["Option"+strconv.Itoa(n+1)+" Name"] = name
			}
			if len(p.OptionNames) == 0 && len(p.Variants) > 0 { // Shopify's way to say so
				cells["Option1 Name"] = "Title"
			}
		}
		if i < len(p.Variants) {
			v := p.Variants[i]
			cells["Variant SKU"], cells["Variant Price"], cells["Variant Image"] = v.SKU, plainPrice(v.Price, currency), v.Image
			for n, value := range v.Options {
				cells["Option"+strconv.Itoa(n+1)+" Value"] = value
			}
			if len(v.Options) == 0 {
				cells["Option1 Value"] = "Default Title"
			}
			if v.Weight > 0 {
				cells["Variant Grams"] = strconv.Itoa(v.Weight)
			}
			if v.MaxPerShopper != nil {
				cells[exportLimit] = strconv.Itoa(*v.MaxPerShopper)
			}
			if stock, ok := free[v.SKU]; ok {
				cells["Variant Inventory Qty"] = strconv.FormatInt(stock.Available, 10)
			} else if p.PublishedAt == nil {
				cells["Variant Inventory Qty"] = strconv.Itoa(v.InitialStock)
			}
		}
		if i < len(p.Images) {
			cells["Image Src"], cells["Image Alt Text"], cells["Image Position"] = p.Images[i].URL, p.Images[i].Alt, strconv.Itoa(i+1)
		}
		record := make([]string, 0, len(exportColumns)+len(attributes))
		for _, name := range exportColumns {
			if name == "Variant SKU" {
				record = append(record, harmlessSKU(cells[name]))
				continue
			}
			record = append(record, harmless(cells[name]))
		}
		for _, name := range attributes {
			value := ""
			if i == 0 {
				value = p.Attributes[name]
			}
			record = append(record, harmless(value))
		}
		out = append(out, record)
	}
	return out
}

// plainPrice writes minor units without a currency: "19.99".
func plainPrice(minor int64, currency string) string {
	text := money.New(minor, currency).String()
	return text[strings.IndexAny(text, "0123456789"):]
}

// byteOrderMark begins a file that spreadsheets are to take for UTF-8.
const byteOrderMark = "\ufeff"

// harmless marks what looks like a formula as text, the way spreadsheets do; csvfile.Text takes the mark off.
func harmless(cell string) string {
	if csvfile.Formula(cell) {
		return "'" + cell
	}
	return cell
}

// harmlessSKU is harmless for a SKU, of which the import takes any apostrophe off.
func harmlessSKU(sku string) string {
	if csvfile.Formula(sku) || strings.HasPrefix(sku, "'") {
		return "'" + sku
	}
	return sku
}
