package main

import (
	"html"
	"strings"
	"unicode"

	"github.com/microcosm-cc/bluemonday"
	"github.com/mozillazg/go-unidecode"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
)

// What a description may have: text with structure and links, nothing that loads, runs or restyles.
var (
	descriptionPolicy = func() *bluemonday.Policy {
		p := bluemonday.NewPolicy()
		p.AllowElements("p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "blockquote",
			"strong", "b", "em", "i", "u", "s", "small", "sub", "sup", "code", "pre",
			"table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td")
		p.AllowAttrs("href").OnElements("a")
		p.AllowURLSchemes("http", "https", "mailto")
		p.RequireParseableURLs(true)
		p.AllowRelativeURLs(false)
		p.RequireNoFollowOnLinks(true)
		p.RequireNoReferrerOnLinks(true)
		return p
	}()
	textPolicy = bluemonday.StrictPolicy().AddSpaceWhenStrippingTag(true)
)

// sanitise makes any HTML safe to show inside a page. It is the same when done twice.
func sanitise(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(descriptionPolicy.Sanitize(apart(s)))
}

// plain is the text of HTML.
func plain(s string) string {
	return html.UnescapeString(textPolicy.Sanitize(s))
}

// words splits a text into what search compares: small letters and digits without accents. Both sides of
// a search go through here, so "T-Shirt", "t shirt" and "T‑SHIRT" are the same.
func words(s string) []string {
	s = strings.NewReplacer("'", "", "’", "").Replace(s)
	// A transformer keeps state: one for each call.
	t := transform.Chain(norm.NFKD, runes.Remove(runes.In(unicode.Mn)), norm.NFC)
	folded, _, err := transform.String(t, s)
	if err != nil {
		folded = s
	}
	out := strings.FieldsFunc(strings.ToLower(folded), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range out {
		if len(w) > maxWord {
			out[i] = strings.ToValidUTF8(w[:maxWord], "")
		}
	}
	return out
}

const maxWord = 64

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

// tsquery writes search words as a PostgreSQL tsquery. Each group is one word of the shopper's, with what
// it may have meant; the words of every group begin words of the product. Only letters and digits get in,
// so there is nothing to escape.
func tsquery(groups [][]string) string {
	and := make([]string, 0, len(groups))
	for _, g := range groups {
		or := make([]string, 0, len(g))
		for _, w := range g {
			if len(w) > 1 {
				w += ":*"
			}
			or = append(or, w)
		}
		and = append(and, "("+strings.Join(or, "|")+")")
	}
	return strings.Join(and, "&")
}

// nearest returns the words among candidates that a typing error could have turned into w: by one wrong,
// missing, added or swapped letter for short words, two from 6 letters on, three from 10. Nearest first.
// ok tells that w needs no correction: it begins a candidate. Numbers are never corrected.
func nearest(w string, candidates []string) (found []string, ok bool) {
	n := len([]rune(w))
	limit := 0
	switch {
	case strings.ContainsFunc(w, unicode.IsDigit):
	case n >= 10:
		limit = 3
	case n >= 6:
		limit = 2
	case n >= 3:
		limit = 1
	}
	byDistance := make([][]string, limit+1)
	for _, c := range candidates {
		if strings.HasPrefix(c, w) {
			return nil, true
		}
		if d := distance(w, c); d <= limit {
			byDistance[d] = append(byDistance[d], c)
		}
	}
	for _, cs := range byDistance {
		found = append(found, cs...)
	}
	return found[:min(len(found), 3)], false
}

// distance is the number of letters to change, add, drop or swap with their neighbour to turn a into b
// (optimal string alignment).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}
