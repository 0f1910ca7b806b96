package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// refusal is a problem as a line of docs/problems.md.
type refusal struct{ slug, status, title string }

// answer is what is read of a response of an OpenAPI document.
type answer struct {
	Problems map[string]string `json:"x-problems"` // title by slug
	Content  map[string]struct {
		Schema struct {
			Properties struct {
				Status struct {
					Enum []int `json:"enum"`
				} `json:"status"`
			} `json:"properties"`
		} `json:"schema"`
	} `json:"content"`
}

// status is the one of a response that every operation may give.
func (a answer) status() string {
	if codes := a.Content["application/problem+json"].Schema.Properties.Status.Enum; len(codes) > 0 {
		return strconv.Itoa(codes[0])
	}
	return ""
}

// problems writes docs/problems.md: every problem that the documents declare.
func (s *shop) problems(g *generated) error {
	told := map[refusal][]string{} // by whom
	note := func(by, status string, a answer) {
		for slug, title := range a.Problems {
			r := refusal{slug, status, title}
			if !slices.Contains(told[r], by) {
				told[r] = append(told[r], by)
			}
		}
	}
	for _, a := range s.services() {
		var doc struct {
			Paths map[string]map[string]struct {
				Responses map[string]answer `json:"responses"`
			} `json:"paths"`
			Components struct {
				Responses map[string]answer `json:"responses"`
			} `json:"components"`
		}
		if err := json.Unmarshal(a.text, &doc); err != nil {
			return fmt.Errorf("%s: %w", a.ID, err)
		}
		if a.face() {
			continue
		}
		for _, operations := range doc.Paths {
			for _, o := range operations {
				for status, r := range o.Responses {
					note(a.ID, status, r)
				}
			}
		}
		for _, r := range doc.Components.Responses { // those of every operation
			note("any", r.status(), r)
		}
	}
	list := slices.SortedFunc(maps.Keys(told), func(a, b refusal) int {
		return strings.Compare(a.slug+a.status+a.title, b.slug+b.status+b.title)
	})
	var page strings.Builder
	page.WriteString("# Problems\nEvery refusal is a document of type `application/problem+json` (RFC 9457): `type` is `urn:stampede:problem:` and the slug. " +
		"Which operation tells of which is in its OpenAPI document. Made from those documents by `make generate`.\n\n" +
		"| slug | status | title | told by |\n|---|---|---|---|\n")
	for _, r := range list {
		by := told[r]
		if slices.Contains(by, "any") {
			by = []string{"any"}
		}
		slices.Sort(by)
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", r.slug, r.status, r.title, strings.Join(by, ", "))
	}
	g.put("docs/problems.md", page.String())
	return nil
}
