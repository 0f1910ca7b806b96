package main

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/microcosm-cc/bluemonday"
	"github.com/mozillazg/go-unidecode"

	"github.com/stampede-shop/stampede/kit/text"
)

// What a description may have: text with structure and links, nothing that loads, runs or restyles.
var (
	descriptionPolicy = func() *bluemonday.Policy {
		p := structure()
		p.AllowRelativeURLs(false)
		p.RequireNoFollowOnLinks(true)
		p.RequireNoReferrerOnLinks(true)
		return p
	}()
	// Pages that the shop writes itself may lead into the shop.
	pagePolicy = structure().AllowRelativeURLs(true)
	textPolicy = bluemonday.StrictPolicy().AddSpaceWhenStrippingTag(true)
)

// structure allows elements that give a text its structure, and links.
func structure() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements("p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote",
		"strong", "b", "em", "i", "u", "s", "small", "sub", "sup", "code", "pre",
		"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td")
	p.AllowAttrs("href").OnElements("a")
	p.AllowURLSchemes("http", "https", "mailto")
	p.RequireParseableURLs(true)
	return p
}

// sanitise makes any HTML safe to show inside a page, as a description. It is the same when done twice.
func sanitise(s string) string { return sanitiseBy(descriptionPolicy, s) }

func sanitiseBy(policy *bluemonday.Policy, s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(policy.Sanitize(apart(s)))
}

// plain is the text of HTML.
func plain(s string) string {
	return html.UnescapeString(textPolicy.Sanitize(s))
}

// isUnspaced tells letters of scripts that are written without spaces between words, and of Korean, whose words stand together.
func isUnspaced(r rune) bool {
	return r == 'ー' || r >= 0xe00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai,
		unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// words splits a text into what search compares: small letters and digits without accents. Both sides of a search go through
// here, so "T-Shirt", "t shirt" and "T‑SHIRT" are the same. A word ends where a script without spaces begins or ends.
func words(s string) []string {
	var out []string
	between := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }
	for _, w := range strings.FieldsFunc(text.Fold(s), between) {
		for w != "" {
			first, _ := utf8.DecodeRuneInString(w)
			end := strings.IndexFunc(w, func(r rune) bool { return !unicode.IsMark(r) && isUnspaced(r) != isUnspaced(first) })
			if end < 0 {
				end = len(w)
			}
			if one := w[:end]; !isUnspaced(first) && len(one) > maxWord {
				out = append(out, strings.ToValidUTF8(one[:maxWord], ""))
			} else if strings.ContainsFunc(one, func(r rune) bool { return !unicode.IsMark(r) }) {
				out = append(out, one)
			}
			w = w[end:]
		}
	}
	return out
}

const maxWord = 64 // bytes

// searchable is a text as search compares it.
func searchable(parts ...string) string {
	return strings.Join(words(strings.Join(parts, " ")), " ")
}

// slugify makes a name for addresses out of a text in any script, as it may be read aloud; empty when nothing is left.
func slugify(s string) string {
	var b strings.Builder
	for _, w := range words(s) {
		for _, part := range words(unidecode.Unidecode(w)) {
			part = strings.Map(func(r rune) rune {
				if r < 'a' && (r < '0' || r > '9') || r > 'z' {
					return -1
				}
				return r
			}, part)
			if part == "" {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('-')
			}
			b.WriteString(part)
		}
	}
	slug := b.String()
	if len(slug) > maxName {
		slug = strings.TrimRight(slug[:maxName], "-")
	}
	return slug
}

// slugsFor are the slugs that something named so may get, the first that is free: name, name-2, and so on. The last one holds
// the end of its id, and nothing else has it. Kind stands for a name of which nothing can be read.
func slugsFor(name, kind string, id uuid.UUID) []string {
	base := slugify(name)
	if base == "" {
		base = kind
	}
	out := []string{base}
	base = strings.TrimRight(base[:min(len(base), maxName-13)], "-")
	for n := 2; n <= 20; n++ {
		out = append(out, base+"-"+strconv.Itoa(n))
	}
	return append(out, base+"-"+id.String()[24:])
}
