package main

import (
	"encoding/csv"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// update writes docs/search.md: go test ./apps/products -run TestQuality -update.
var update = flag.Bool("update", false, "write what was measured into the documents")

// The least that search may reach over all queries. What it reaches is in docs/search.md.
const (
	leastRecall    = 0.97
	leastPrecision = 0.90
)

// rowsIn reads rows with tabs between.
func rowsIn(t *testing.T, name string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/quality/" + name)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows
}

// TestQuality: of the products that somebody would expect, how many are among the first ten (recall), and how many of the first
// ten are of those (precision), over queries in six languages. docs/search.md has the figures, and may not be stale.
func TestQuality(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var file strings.Builder
	w := csv.NewWriter(&file)
	rows := [][]string{
		{"Handle", "Title", "Vendor", "Type", "Tags", "Body (HTML)", "Variant SKU", "Variant Inventory Qty", "Variant Price", "Status"},
	}
	for _, p := range rowsIn(t, "products.tsv") {
		rows = append(rows, append(p, strings.ToUpper(p[0]), "1", "10.00", "active"))
	}
	require.NoError(t, w.WriteAll(rows))
	require.Zero(t, b.importFile("", file.String()).Refused)
	b.do("PUT", adminPath+"/synonyms", b.admin, object{"groups": rowsIn(t, "synonyms.tsv")}, 200)

	type figures struct{ queries, recall, precision float64 }
	names := map[string]string{"en": "English", "de": "German", "fr": "French", "ja": "Japanese", "ko": "Korean", "th": "Thai"}
	of := map[string]*figures{"": {}}
	var misses []string
	for _, q := range rowsIn(t, "queries.tsv") {
		language, query, want := q[0], q[1], strings.Fields(strings.Trim(q[2], "-"))
		var found []string
		for _, p := range b.list("?limit=10&q=" + url.QueryEscape(query)).Items {
			found = append(found, p.Slug)
		}
		hits := 0
		for _, f := range found {
			if slices.Contains(want, f) {
				hits++
			}
		}
		recall, precision := 1.0, 1.0
		if len(want) > 0 {
			recall = float64(hits) / float64(min(10, len(want)))
		}
		if len(found) > 0 {
			precision = float64(hits) / float64(len(found))
		}
		if of[language] == nil {
			of[language] = &figures{}
		}
		for _, f := range []*figures{of[language], of[""]} {
			f.queries, f.recall, f.precision = f.queries+1, f.recall+recall, f.precision+precision
		}
		if recall < 1 || precision < 1 {
			misses = append(misses, fmt.Sprintf("| %s | %s | %s |", query, strings.Join(want, " "), strings.Join(found, " ")))
		}
	}
	var doc strings.Builder
	fmt.Fprintf(&doc, "# How well search finds\n\nMeasured by `TestQuality` of `apps/products` over the catalogue, the synonyms and the "+
		"queries in [apps/products/testdata/quality](../apps/products/testdata/quality), each with the products that somebody who "+
		"types it would expect. The test fails when this page is not what it measures, and below a recall of %v or a precision of "+
		"%v. `go test ./apps/products -run TestQuality -update` writes the page.\n\nRecall at 10 is how many of the expected "+
		"products are among the first ten, precision at 10 how many of the first ten are expected.\n\n"+
		"| language | queries | recall at 10 | precision at 10 |\n|---|---|---|---|\n", leastRecall, leastPrecision)
	for _, language := range []string{"en", "de", "fr", "ja", "ko", "th", ""} {
		f := of[language]
		fmt.Fprintf(&doc, "| %s | %.0f | %.3f | %.3f |\n", max(names[language], map[bool]string{true: "all"}[language == ""]), f.queries,
			f.recall/f.queries, f.precision/f.queries)
	}
	doc.WriteString("\n## What is not as expected\n\n| query | expected | found |\n|---|---|---|\n" + strings.Join(misses, "\n") + "\n")
	all := of[""]
	require.GreaterOrEqual(t, all.queries, 200.0)
	const page = "../../docs/search.md"
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(doc.String()), 0o644))
	}
	require.GreaterOrEqual(t, all.recall/all.queries, leastRecall, "recall at 10:\n%s", doc.String())
	require.GreaterOrEqual(t, all.precision/all.queries, leastPrecision, "precision at 10:\n%s", doc.String())
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, string(text), doc.String(), "docs/search.md is stale")
}
