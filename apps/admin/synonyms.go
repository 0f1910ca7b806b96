package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

const synonymsAPI = "/api/v1/admin/products/synonyms"

// synonyms are groups of words that mean the same in a search.
type synonyms struct {
	Groups [][]string `json:"groups"`
}

func (s *service) synonymRoutes(r chi.Router) {
	s.form(r, "/admin/synonyms", s.showSynonyms, s.saveSynonyms)
}

func synonymForm(groups [][]string) form {
	lines := make([]string, len(groups))
	for i, group := range groups {
		lines[i] = strings.Join(group, ", ")
	}
	return form{
		Heading: "Words that mean the same", Button: "Save", Action: "/admin/synonyms",
		Back: "/admin/products", BackTo: "Back to the products",
		Crumbs: []crumb{{"Products", "/admin/products"}},
		Text:   []string{"Whoever looks for one of them finds what has another one. Shoppers' searches know a change within seconds."},
		Fields: []field{{
			Name: "groups", Label: "Groups", Type: "textarea", Value: strings.Join(lines, "\n"), Max: 100_000,
			Hint: "One group a line, with commas between: sofa, couch, settee.",
		}},
	}
}

func (s *service) showSynonyms(r *http.Request) (page.Answer, error) {
	known, err := get[synonyms](r.Context(), s, "products", synonymsAPI, nil)
	if err != nil {
		return nil, err
	}
	return synonymForm(known.Groups).show(), nil
}

func (s *service) saveSynonyms(r *http.Request) (page.Answer, error) {
	groups, lines := synonymGroups(r.PostForm)
	err := s.call(r.Context(), "products", http.MethodPut, synonymsAPI, synonyms{groups}, nil)
	if err != nil {
		return synonymForm(nil).answer(r.PostForm, ofLine(err, lines))
	}
	return to("/admin/synonyms", "saved"), nil
}

// synonymGroups reads the groups of a form, and in which line each stands.
func synonymGroups(sent url.Values) (groups [][]string, lines []int) {
	groups = [][]string{}
	n := 0
	for line := range strings.Lines(sent.Get("groups")) {
		n++
		if group := commas(line); len(group) > 0 {
			groups, lines = append(groups, group), append(lines, n)
		}
	}
	return groups, lines
}

// ofLine tells of a group that breaks a rule in which line it stands.
func ofLine(err error, lines []int) error {
	var known *problem.Error
	if !errors.As(err, &known) {
		return err
	}
	for _, f := range known.Fields() {
		var i int
		if n, _ := fmt.Sscanf(f.Location, "body.groups[%d]", &i); n == 1 && i < len(lines) {
			why := "these words are too long, or cannot be looked for"
			if f.Code == problem.CodeTooFew {
				why = "a group needs two different words or more"
			} else if f.Code == problem.CodeTooMany {
				why = "a group has at most 20 words"
			}
			return problem.InvalidField("body.groups", ownWords, fmt.Sprintf("line %d: %s", lines[i], why))
		}
	}
	return err
}
