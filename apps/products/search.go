package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"

	"github.com/stampede-shop/stampede/kit/problem"
)

// What a product is found by is made here, not by a text search configuration of PostgreSQL: one language's configuration
// drops the words that stop it (The Who), forgets what a word was before its stem, and takes a Japanese name for one word.
// README.md says how it searches.

// stopWords say little about a product. Descriptions are not found by them, and a search may do without them.
var stopWords = func() map[string]bool {
	all := map[string]bool{}
	for _, w := range strings.Fields(`a an and are as at be by for from in into is it its of on or our that the their this to who with
		you your am auf aus bei das dem den der des die ein eine einem einen einer fur im ist mit nach oder und vom von zu zum zur
		au aux avec ce ces dans de du elle en est et il la le les ou par pour sans sur un une`) {
		all[w] = true
	}
	return all
}()

var stemmers = []func(*snowballstem.Env) bool{english.Stem, french.Stem, german.Stem}

// stems are what a word may be a form of, without the word itself. Which language it is of is not known.
func stems(w string) []string {
	if len(w) < 3 || strings.ContainsFunc(w, func(r rune) bool { return r < 'a' || r > 'z' }) {
		return nil
	}
	var out []string
	for _, stem := range stemmers {
		env := snowballstem.NewEnv(w)
		stem(env)
		if s := env.Current(); s != w && s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// grams takes a word of a script without spaces apart into pairs of letters, since what is looked for may stand anywhere
// inside. The last letter is alone, so that every letter begins a gram.
func grams(w string) []string {
	runes := []rune(w)
	out := make([]string, len(runes))
	for i := range runes {
		out[i] = string(runes[i:min(i+2, len(runes))])
	}
	return out
}

func unspaced(w string) bool {
	r, _ := utf8.DecodeRuneInString(w)
	return isUnspaced(r)
}

// spelledOut are letters as those write them whose keyboard lacks them.
var spelledOut = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "å", "aa", "ø", "oe",
	"Ä", "Ae", "Ö", "Oe", "Ü", "Ue", "Å", "Aa", "Ø", "Oe")

// PostgreSQL's limits of a tsvector are a megabyte and positions up to 16,383, beyond which all words have that one.
const maxDocument = 500_000 // bytes of lexemes

// indexed is in every document: it tells which version of the rules here wrote it. Another rule needs another one, here and
// in a migration's index (00005_search.sql), and all documents are written again.
const indexed = "~2"

// document is what a product is found by, as PostgreSQL writes a tsvector.
type document struct {
	text     strings.Builder
	position int
	size     int
}

// add makes the texts findable. Weight is A, for what counts most, to D.
func (d *document) add(weight byte, texts ...string) {
	for _, text := range texts {
		tail := "" // the last letter, when what comes next may be written together with it
		for part := range strings.FieldsSeq(text) {
			if d.size > maxDocument {
				return
			}
			folded := words(part)
			spelled := folded
			if other := spelledOut.Replace(part); other != part {
				spelled = words(other)
			}
			for i, w := range folded {
				if unspaced(w) {
					all := grams(w)
					if first, _ := utf8.DecodeRuneInString(w); tail != "" {
						d.lexeme(tail+string(first), weight)
					}
					for _, g := range all {
						d.position++
						d.lexeme(g, weight)
					}
					tail = all[len(all)-1]
					continue
				}
				tail = ""
				d.position++
				if weight == 'D' && stopWords[w] {
					continue
				}
				d.lexeme(w, weight)
				for _, s := range stems(w) {
					d.lexeme(s, weight)
				}
				if len(spelled) == len(folded) && spelled[i] != w {
					d.lexeme(spelled[i], weight)
				}
			}
			if whole := strings.Join(folded, ""); len(folded) > 1 && len(whole) <= maxWord && !strings.ContainsFunc(whole, isUnspaced) {
				d.lexeme(whole, weight) // T-Shirt is also looked for as tshirt
			}
		}
		d.position += 10 // what stands in two texts is far from each other
	}
}

func (d *document) lexeme(w string, weight byte) {
	if d.size += len(w); d.size > maxDocument {
		return
	}
	d.text.WriteString("'" + w + "':" + strconv.Itoa(min(max(d.position, 1), 16_383)) + string(weight) + " ")
}

// String is the document as a tsvector.
func (d *document) String() string { return d.text.String() + "'" + indexed + "'" }

// documentOf is what p is found by.
func documentOf(p *Product, tree categoryTree) string {
	var d document
	d.add('A', p.Name)
	d.add('B', p.Vendor, tree.names(p.CategoryID))
	for _, v := range p.Variants {
		d.add('C', v.Options...)
		d.add('C', v.SKU)
	}
	d.add('C', p.Tags...)
	for _, name := range slices.Sorted(maps.Keys(p.Attributes)) {
		d.add('D', p.Attributes[name])
	}
	d.add('D', plain(p.Description))
	return d.String()
}

// typed is what somebody looks for.
type typed struct {
	Words string `json:"w,omitempty"` // that a product must have, with spaces between
	Also  string `json:"a,omitempty"` // that it may do without
}

// maxTyped is how many words of a search count.
const maxTyped = 10

// read takes a search apart. Words that say little must be there only when nothing else is, or when they stand together with
// others, as in AT&T.
func read(query string) typed {
	var must, also []string
	for part := range strings.FieldsSeq(query) {
		if found := words(part); len(found) == 1 && stopWords[found[0]] {
			also = append(also, found[0])
		} else {
			must = append(must, found...)
		}
	}
	if len(must) == 0 {
		must, also = also, nil
	}
	return typed{strings.Join(must[:min(len(must), maxTyped)], " "), strings.Join(also[:min(len(also), maxTyped)], " ")}
}

// search is what the database is asked for, as tsqueries: Must finds, and what is also in Exact stands further up.
type search struct {
	Must  string `json:"m,omitempty"`
	Exact string `json:"e,omitempty"`
}

// searchFor writes a search. Each group is one word of the shopper's with what it may have meant; one of a group must be there.
// Where groups have synonyms, those do as well.
func searchFor(groups [][]string, also string, known synonyms) search {
	must, exact := make([]string, 0, len(groups)), []string{}
	alone := len(groups) == 1
	meant := false // by a synonym
	for i := 0; i < len(groups); i++ {
		var or []string
		for _, w := range groups[i] {
			or = append(or, find(w, alone))
			exact = append(exact, is(w))
		}
		group := strings.Join(or, "|")
		if n, others := known.at(groups[i:]); n > 0 {
			meant = true
			and := []string{"(" + group + ")"}
			for _, g := range groups[i+1 : i+n] {
				and = append(and, find(g[0], false))
				exact = append(exact, is(g[0]))
			}
			or = []string{"(" + strings.Join(and, "&") + ")"}
			for _, o := range others {
				and = nil
				for w := range strings.FieldsSeq(o) {
					and = append(and, find(w, false))
				}
				or = append(or, "("+strings.Join(and, "&")+")")
			}
			group = strings.Join(or, "|")
			i += n - 1
		}
		must = append(must, "("+group+")")
	}
	for w := range strings.FieldsSeq(also) {
		exact = append(exact, is(w))
	}
	all := strings.Join(must, "&")
	for i := 1; i < len(groups) && len(groups) <= maxJoined && !meant; i++ {
		whole := groups[i-1][0] + groups[i][0] // arm chair is an armchair
		if strings.ContainsFunc(whole, isUnspaced) || len(whole) > maxWord {
			continue
		}
		joined := slices.Concat(must[:i-1], []string{"'" + whole + "':*"}, must[i+1:])
		all += "|" + strings.Join(joined, "&")
		exact = append(exact, is(whole))
	}
	return search{all, strings.Join(exact, "|")}
}

const maxJoined = 4 // words of a search of which two may be one

// find writes a word as a tsquery: whatever it begins, or is a form of. A word that says little is meant as it stands, unless
// it is all that was typed so far. Only letters, digits and marks get in, so there is nothing to escape.
func find(w string, alone bool) string {
	switch {
	case unspaced(w) && utf8.RuneCountInString(w) == 1:
		return "'" + w + "':*"
	case unspaced(w):
		pairs := grams(w)
		return "('" + strings.Join(pairs[:len(pairs)-1], "'<->'") + "')"
	case len(w) == 1 || stopWords[w] && !alone:
		return "'" + w + "'"
	}
	out := "'" + w + "':*"
	for _, s := range stems(w) {
		out += "|'" + s + "'"
	}
	return "(" + out + ")"
}

// is writes a word as a tsquery of just that.
func is(w string) string {
	if unspaced(w) {
		return find(w, false)
	}
	return "'" + w + "'"
}

// synonyms are groups of words that mean the same to the shop, as search compares them; one of them may be several words.
type synonyms [][]string

// at tells how many of the first words of a search are a synonym, the most that there are, and what means the same.
func (s synonyms) at(groups [][]string) (n int, others []string) {
	first := make([]string, 0, len(groups))
	for _, g := range groups {
		first = append(first, g[0])
	}
	for _, group := range s {
		for _, one := range group {
			if parts := strings.Fields(one); len(parts) > n && len(parts) <= len(first) && sameWords(parts, first[:len(parts)]) {
				n, others = len(parts), nil
			} else if len(parts) != n || n == 0 || !sameWords(parts, first[:n]) {
				continue
			}
			for _, o := range group {
				if o != one && !slices.Contains(others, o) {
					others = append(others, o)
				}
			}
		}
	}
	return n, others
}

// The limits of the shop's synonyms.
const (
	maxSynonymGroups = 500
	maxSynonyms      = 20
	maxSynonym       = 100
)

// tidySynonyms checks the groups, and drops words of a group that search takes for the same.
func tidySynonyms(in [][]string) ([][]string, error) {
	out := make([][]string, 0, len(in))
	for i, group := range in {
		at := fmt.Sprintf("groups[%d]", i)
		var tidy, seen []string
		for _, w := range group {
			w, err := line(at, w, maxSynonym)
			if err != nil {
				return nil, err
			}
			folded := searchable(w)
			if folded == "" && w != "" {
				return nil, problem.InvalidField("body."+at, problem.CodeWrongFormat, "must be words")
			}
			if folded != "" && !slices.Contains(seen, folded) {
				tidy, seen = append(tidy, w), append(seen, folded)
			}
		}
		if len(tidy) < 2 {
			return nil, problem.InvalidField("body."+at, problem.CodeTooFew, "must be at least two different words")
		}
		if len(tidy) > maxSynonyms {
			return nil, problem.InvalidField("body."+at, problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxSynonyms))
		}
		out = append(out, tidy)
	}
	if len(out) > maxSynonymGroups {
		return nil, problem.InvalidField("body.groups", problem.CodeTooMany, fmt.Sprintf("must be at most %d", maxSynonymGroups))
	}
	return out, nil
}

// sameWords reports whether two searches are of the same words, or of forms of them.
func sameWords(a, b []string) bool {
	return slices.EqualFunc(a, b, func(v, w string) bool {
		if v == w {
			return true
		}
		forms := append(stems(w), w)
		return slices.ContainsFunc(append(stems(v), v), func(f string) bool { return slices.Contains(forms, f) })
	})
}

// nearest returns the words among candidates that a typing error could have turned into w: by one wrong,
// missing, added or swapped letter, two from 9 letters on: the nearest of them. What is further away is another word, and an odd one
// at that: the shop has nothing of what was asked for. ok tells that w needs no correction: it begins a candidate. Numbers
// are never corrected.
func nearest(w string, candidates []string) (found []string, ok bool) {
	n := len([]rune(w))
	limit := 0
	switch {
	case strings.ContainsFunc(w, unicode.IsDigit):
	case n >= 9:
		limit = 2
	case n >= 3:
		limit = 1
	}
	byDistance := make([][]string, limit+1)
	for _, c := range candidates {
		if strings.HasPrefix(c, w) {
			return nil, true
		}
		d := distance(w, c)
		// A plural's letter is no error, but together with a wrong letter it makes another word: only a letter too many or
		// too few is forgiven besides.
		if one, plural := strings.CutSuffix(c, "s"); plural && d > limit && len([]rune(one)) != n && distance(w, one) <= limit {
			d = limit
		}
		if d <= limit {
			byDistance[d] = append(byDistance[d], c)
		}
	}
	for _, found = range byDistance {
		if len(found) > 0 {
			break
		}
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
