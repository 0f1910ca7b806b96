package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// What a statement may read: a page has at most 100 rows, 200 in a feed, so twenty or ten times as many rows, and some
// blocks for each, as an index that is walked without being a bound shows in blocks alone.
const (
	maxRows   = 2_000
	maxBlocks = 10_000
)

// exception is a statement that may read more, so many rows, and why.
type exception struct {
	at, text string // the file, and what the statement holds
	rows     int64
	why      string
}

// group is what was run of one statement of the source.
type group struct {
	statement statement
	database  string
	runs      int
	worst     run
	variants  map[string]run // by text: each one's worst
}

// book keeps what was run.
type book struct {
	all    []statement
	groups map[string]*group // by database and place
	texts  map[string][]int  // the statements that a text was made of, the longest first
	seen   map[int]bool
}

func newBook(all []statement) *book {
	return &book{all: all, groups: map[string]*group{}, texts: map[string][]int{}, seen: map[int]bool{}}
}

// of finds the statements that are in a text, the longest first. Those of apps are of their own database alone.
func (b *book) of(database, text string) []int {
	key := database + "\x00" + text
	found, ok := b.texts[key]
	if ok {
		return found
	}
	flat := plain(text)
	for i, s := range b.all {
		if own, isApp := strings.CutPrefix(s.at, "apps/"); isApp && !strings.HasPrefix(own, database+"/") {
			continue
		}
		if s.pattern.MatchString(flat) {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(x, y int) int {
		return cmp.Or(cmp.Compare(len(b.all[y].text), len(b.all[x].text)), cmp.Compare(x, y))
	})
	b.texts[key] = found
	return found
}

// note writes a run down, unless it is of a test's own statement.
func (b *book) note(r run) {
	of := b.of(r.database, r.text)
	for _, i := range of {
		b.seen[i] = true
	}
	of = slices.DeleteFunc(slices.Clone(of), func(i int) bool { return strings.HasPrefix(b.all[i].text, "WHERE") })
	var s statement
	switch {
	case len(of) > 0:
		s = b.all[of[0]]
		// keyset wraps what services say: theirs is the name.
		if i := slices.IndexFunc(of, func(i int) bool { return strings.HasPrefix(b.all[i].at, "apps/") }); i >= 0 {
			s = b.all[of[i]]
		}
	case strings.HasPrefix(r.text, "SELECT 1 FROM ONLY") || strings.HasPrefix(r.text,
		"DELETE FROM ONLY") || strings.HasPrefix(r.text, "UPDATE ONLY"):
		s = statement{at: "a foreign key", text: plain(r.text)}
	default:
		return
	}
	key := r.database + " " + s.at + " " + s.text
	g := b.groups[key]
	if g == nil {
		g = &group{statement: s, database: r.database, variants: map[string]run{}}
		b.groups[key] = g
	}
	g.runs++
	if worse(r, g.worst) || g.runs == 1 {
		g.worst = r
	}
	if v, ok := g.variants[r.text]; !ok || worse(r, v) {
		g.variants[r.text] = r
	}
}

func worse(a, b run) bool {
	return cmp.Or(cmp.Compare(a.reads, b.reads), cmp.Compare(a.blocks, b.blocks), cmp.Compare(a.ms, b.ms)) > 0
}

// sorted are the groups, those that read the most first.
func (b *book) sorted() []*group {
	var all []*group
	for _, g := range b.groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(x, y *group) int {
		return cmp.Or(cmp.Compare(y.worst.reads, x.worst.reads), cmp.Compare(y.worst.blocks, x.worst.blocks),
			strings.Compare(x.statement.at, y.statement.at))
	})
	return all
}

// never are the statements of the source that nothing has run.
func (b *book) never() (names []string) {
	for i, s := range b.all {
		if !b.seen[i] {
			names = append(names, s.at+": "+short(s.text, 200))
		}
	}
	return names
}

// allowed is how many rows a statement may read; why is empty for the ordinary bound.
func allowed(s statement, text string) (rows int64, why string) {
	for _, e := range exceptions {
		if strings.HasPrefix(s.at, e.at) && strings.Contains(plain(text), e.text) {
			return e.rows, e.why
		}
	}
	return maxRows, ""
}

// offenders prints what reads too much, each with its plan, and returns how many there are.
func (b *book) offenders(w io.Writer) (n int) {
	for _, g := range b.sorted() {
		var bad []run
		for _, v := range g.variants {
			if rows, _ := allowed(g.statement, v.text); v.reads > rows || v.blocks > max(maxBlocks, 5*rows) {
				bad = append(bad, v)
			}
		}
		slices.SortFunc(bad, func(x, y run) int { return cmp.Compare(y.reads, x.reads) })
		for i, v := range bad {
			if i == 3 {
				fmt.Fprintf(w, "\n  and %d more of this\n", len(bad)-i)
				break
			}
			fmt.Fprintf(w, "\n%s, in %s: %d rows, %d blocks, %.1f ms\n  %s\n", g.statement.at, g.database, v.reads, v.blocks,
				v.ms, short(plain(v.text), 1200))
			v.plan.print(w, "    ")
		}
		n += len(bad)
	}
	return n
}

func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
