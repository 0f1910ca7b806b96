package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/stampede-shop/stampede/kit/skus"
)

// slugOf is the slug of a file's handle: itself when it is one. Handles beyond ASCII get Latin letters and a mark of their
// own, so that café-x and cafe-x stay apart, the same mark each time.
func slugOf(handle string) string {
	handle = norm.NFC.String(strings.ToLower(handle))
	if checkSlug(handle) == nil {
		return handle
	}
	slug := slugify(handle)
	if len(handle) <= maxName && !strings.ContainsFunc(handle, func(r rune) bool { return r > unicode.MaxASCII }) {
		return slug
	}
	mark := digest(handle)
	slug = strings.TrimRight(slug[:min(len(slug), maxName-len(mark)-1)], "-")
	return strings.TrimLeft(slug+"-"+mark, "-")
}

// digest is a short mark that tells texts apart.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:3])
}

// madeSKU names a variant whose file gives it no SKU of its own, the same each time: CANDLE-SMALL-RED. Marked, it differs
// from that of any other options.
func madeSKU(base string, options []string, marked bool) string {
	sku := base
	for _, o := range options {
		if s := slugify(o); s != "" {
			sku += "-" + strings.ToUpper(s)
		}
	}
	long := utf8.RuneCountInString(sku) > skus.Max
	if !marked && !long {
		return sku
	}
	mark := "-" + strings.ToUpper(digest(strings.Join(append([]string{base}, options...), "\x00")))
	if r := []rune(sku); len(r) > skus.Max-len(mark) {
		sku = string(r[:skus.Max-len(mark)])
	}
	return sku + mark
}

// skuBase begins the SKUs that are made for a product.
func skuBase(slug string) string { return strings.ToUpper(strings.TrimLeft(slug, "_-")) }
