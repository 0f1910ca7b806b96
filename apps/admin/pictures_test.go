package main

import (
	"errors"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
)

// TestArrangement: pictures go to the places that the form gives them, and keep whose own they are.
func TestArrangement(t *testing.T) {
	t.Parallel()
	own := "/media/b.svg"
	p := product{ID: uuid.New(), Options: []string{"Size"}, Variants: []variant{
		{SKU: "M", Options: map[string]string{"Size": "M"}, ImageURL: &own},
		{SKU: "L", Options: map[string]string{"Size": "L"}, ImageURL: &own}, {SKU: "S"},
	}}
	var ids []string
	for _, at := range []string{"/media/a.svg", own, "/media/c.svg"} {
		one := struct {
			ID  uuid.UUID `json:"id"`
			URL string    `json:"url"`
			Alt string    `json:"alt"`
		}{uuid.New(), at, "shows " + at}
		p.Images, ids = append(p.Images, one), append(ids, one.ID.String())
	}
	form := url.Values{}
	for _, row := range shots(p) {
		form.Set(row.Place.Name, row.Place.Value)
		form.Set(row.Alt.Name, row.Alt.Value)
		for _, o := range row.For.Options {
			if o.On {
				form.Set(row.For.Name, o.Value)
			}
		}
	}
	order := func() (out []int) {
		for _, one := range arrangement(p, form) {
			for i, id := range ids {
				if id == one.ID {
					out = append(out, i)
				}
			}
		}
		return out
	}
	require.Equal(t, []placed{
		{ids[0], "shows /media/a.svg", nil}, {ids[1], "shows /media/b.svg", []string{"M", "L"}}, {ids[2], "shows /media/c.svg", nil},
	}, arrangement(p, form), "nothing was changed")
	for place, want := range map[string][]int{"1": {2, 0, 1}, "2": {0, 2, 1}, "9": {0, 1, 2}, "x": {0, 1, 2}, "-1": {2, 0, 1}} {
		form.Set("i.2.place", place)
		require.Equal(t, want, order(), place)
	}
	form.Set("i.2.place", "3")
	form.Set("i.0.place", "2")
	require.Equal(t, []int{1, 0, 2}, order(), "down by one")
	form.Set("i.0.for", "sku:S")
	form.Set("i.1.for", "")
	all := arrangement(p, form)
	require.Equal(t, [][]string{nil, {"S"}}, [][]string{all[0].SKUs, all[1].SKUs})
}

// TestSynonymLines: a group that breaks a rule is told by its line.
func TestSynonymLines(t *testing.T) {
	t.Parallel()
	groups, lines := synonymGroups(url.Values{"groups": {"sofa, couch\r\n\r\n lamp \r\n"}})
	require.Equal(t, [][]string{{"sofa", "couch"}, {"lamp"}}, groups)
	var told *problem.Error
	require.ErrorAs(t, ofLine(problem.InvalidField("body.groups[1]", problem.CodeTooFew, "x"), lines), &told)
	require.Equal(t, "line 3: a group needs two different words or more", told.Fields()[0].Message)
	away := errors.New("away")
	require.Equal(t, away, ofLine(away, lines))
}
