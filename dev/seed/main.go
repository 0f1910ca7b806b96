// Command seed writes the catalogue that a new shop starts with: products.csv, in the format that Shopify
// exports, and a drawn picture for each product. Its output is committed; run it again (go run ./dev/seed)
// after a change here.
package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	if err := write("dev/seed"); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

// write makes products.csv and the folder pictures in dir.
func write(dir string) error {
	pictures := filepath.Join(dir, "pictures")
	if err := os.RemoveAll(pictures); err != nil {
		return err
	}
	if err := os.MkdirAll(pictures, 0o755); err != nil {
		return err
	}
	var file strings.Builder
	if err := writeCSV(&file, catalogue()); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "products.csv"), []byte(file.String()), 0o644); err != nil {
		return err
	}
	for _, p := range catalogue() {
		if err := os.WriteFile(filepath.Join(pictures, p.picture()), []byte(draw(p)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// product is one product of the seed.
type product struct {
	handle, title, kind, vendor, description string
	tags                                     []string
	colours                                  []string // to draw it with
	look                                     int      // which of its kind's shapes and patterns
	options                                  []string
	variants                                 []variant
	most                                     int // per shopper; 0: the shop's default
	draft                                    bool
}

type variant struct {
	values []string
	sku    string
	price  int // pence
	stock  int
}

func (p product) picture() string { return p.handle + ".svg" }

var header = []string{
	"Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags", "Published",
	"Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Option3 Name", "Option3 Value",
	"Variant SKU", "Variant Grams", "Variant Inventory Tracker", "Variant Inventory Qty", "Variant Inventory Policy",
	"Variant Fulfillment Service", "Variant Price", "Variant Compare At Price", "Variant Requires Shipping", "Variant Taxable",
	"Variant Barcode", "Image Src", "Image Position", "Image Alt Text", "Gift Card", "SEO Title", "SEO Description",
	"Max per shopper (product.metafields.custom.max_per_shopper)", "Variant Image", "Variant Weight Unit", "Variant Tax Code",
	"Cost per item", "Status",
}

func writeCSV(w io.Writer, products []product) error {
	out := csv.NewWriter(w)
	if err := out.Write(header); err != nil {
		return err
	}
	for _, p := range products {
		for i, v := range p.variants {
			cells := map[string]string{
				"Handle": p.handle, "Variant SKU": v.sku, "Variant Grams": "0", "Variant Inventory Tracker": "shopify",
				"Variant Inventory Qty": strconv.Itoa(v.stock), "Variant Inventory Policy": "deny", "Variant Fulfillment Service": "manual",
				"Variant Price": fmt.Sprintf("%d.%02d", v.price/100, v.price%100), "Variant Requires Shipping": "true", "Variant Taxable": "true",
				"Variant Weight Unit": "g",
			}
			for n, value := range v.values {
				cells[fmt.Sprintf("Option%d Value", n+1)] = value
			}
			if i == 0 {
				cells["Title"], cells["Body (HTML)"], cells["Vendor"], cells["Type"] = p.title, p.description, p.vendor, p.kind
				cells["Tags"], cells["Published"], cells["Gift Card"], cells["Status"] = strings.Join(p.tags, ", "), "true", "false", "active"
				if p.draft {
					cells["Published"], cells["Status"] = "false", "draft"
				}
				for n, name := range p.options {
					cells[fmt.Sprintf("Option%d Name", n+1)] = name
				}
				cells["Image Src"], cells["Image Position"], cells["Image Alt Text"] = p.picture(), "1", p.title
			}
			if p.most > 0 { // Shopify repeats it in no row but the first; our reader takes it per variant
				cells["Max per shopper (product.metafields.custom.max_per_shopper)"] = strconv.Itoa(p.most)
			}
			record := make([]string, len(header))
			for n, name := range header {
				record[n] = cells[name]
			}
			if err := out.Write(record); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}
