// Package skus writes SKUs into paths, where the edge refuses encoded slashes and the like, and reads them there.
package skus

import (
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// Max is how many characters a SKU may have, as in Shopify.
const Max = 255

// maxSegment is how long a segment may be: Max characters of four bytes each, in base64url, and the mark before them.
const maxSegment = 1 + (Max*4*4+2)/3

// mark begins a segment that is base64url.
const mark = "~"

var plain = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// errSegment: a segment names no SKU that there could be.
var errSegment = errors.New("must be a SKU, or ~ and the base64url of one")

// Segment is a SKU as one segment of a path: as it is while it has only letters of ASCII, digits, dots, underscores and
// dashes, else ~ and its base64url without padding (RFC 4648, section 5). What would mean a folder, "." and "..", is
// written the second way too.
func Segment(sku string) string {
	if plain.MatchString(sku) && sku != "." && sku != ".." {
		return sku
	}
	return mark + base64.RawURLEncoding.EncodeToString([]byte(sku))
}

// Parse reads what Segment wrote.
func Parse(segment string) (string, error) {
	if code, ok := strings.CutPrefix(segment, mark); ok {
		text, err := base64.RawURLEncoding.Strict().DecodeString(code)
		if err != nil {
			return "", errSegment
		}
		segment = string(text)
	}
	if segment == "" || !utf8.ValidString(segment) || utf8.RuneCountInString(segment) > Max {
		return "", errSegment
	}
	if strings.ContainsFunc(segment, unicode.IsControl) {
		return "", errSegment
	}
	return segment, nil
}

// InPath is the parameter {sku} of an operation, read by Parse. A SKU that nobody has heard of is not an error of form.
type InPath struct{ sku string }

// String is the SKU.
func (p InPath) String() string { return p.sku }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *InPath) UnmarshalText(text []byte) (err error) {
	p.sku, err = Parse(string(text))
	return err
}

// Schema implements huma.SchemaProvider.
func (InPath) Schema(huma.Registry) *huma.Schema {
	least, most := 1, maxSegment
	return &huma.Schema{
		Type: huma.TypeString, MinLength: &least, MaxLength: &most,
		Description: "The SKU as it is when it has only A-Z a-z 0-9 . _ -; any other is ~ and its base64url (RFC 4648, section 5) " +
			"without padding: A/B is ~QS9C",
	}
}
