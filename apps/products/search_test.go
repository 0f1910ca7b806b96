package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]typed{
		"The Who":                   {Words: "the who"},
		"the who tee":               {Words: "tee", Also: "the who"},
		"AT&T":                      {Words: "at t"},
		"shoes for women":           {Words: "shoes women", Also: "for"},
		"  ":                        {},
		"🎁":                         {},
		strings.Repeat("word ", 20): {Words: strings.TrimSpace(strings.Repeat("word ", 10))},
	} {
		require.Equal(t, want, read(in), in)
	}
}

func TestSearchFor(t *testing.T) {
	t.Parallel()
	known := synonyms{{"sofa", "couch"}, {"running shoes", "trainers"}}
	for in, want := range map[string]search{
		"lamp m":   {"(('lamp':*))&('m')|'lampm':*", "'lamp'|'m'|'lampm'"},
		"the who":  {"('the')&('who')|'thewho':*", "'the'|'who'|'thewho'"},
		"who":      {"(('who':*))", "'who'"},
		"ドレス":      {"(('ドレ'<->'レス'))", "('ドレ'<->'レス')"},
		"茶":        {"('茶':*)", "'茶':*"},
		"couch":    {"(((('couch':*)))|(('sofa':*|'sof')))", "'couch'"},
		"trainers": {"(((('trainers':*|'trainer'|'train')))|(('running':*|'run')&('shoes':*|'shoe'|'sho')))", "'trainers'"},
		"running shoe x": {
			"(((('running':*|'run'))&('shoe':*|'sho'))|(('trainers':*|'trainer'|'train')))&('x')", "'running'|'shoe'|'x'",
		},
	} {
		var groups [][]string
		for w := range strings.FieldsSeq(in) {
			groups = append(groups, []string{w})
		}
		require.Equal(t, want, searchFor(groups, "", known), in)
	}
	require.Equal(t, "(('lamo':*)|('lamp':*))", searchFor([][]string{{"lamo", "lamp"}}, "", nil).Must)
}

func TestDocument(t *testing.T) {
	t.Parallel()
	var d document
	d.add('A', "The Who", "Größe ドレス")
	d.add('D', "the T-Shirt")
	require.Equal(t, "'the':1A 'who':2A 'grosse':13A 'gross':13A 'groesse':13A 'ドレ':14A 'レス':15A 'ス':16A "+
		"'t':28D 'shirt':29D 'tshirt':29D '~2'", d.String())
	d = document{}
	d.add('D', strings.Repeat("äußerst lange Beschreibung ", 50_000))
	require.Less(t, len(d.String()), 4*maxDocument)
	require.LessOrEqual(t, d.position, 200_000)
}

func TestNearest(t *testing.T) {
	t.Parallel()
	catalogue := []string{"headphones", "jacket", "shirt", "sneakers", "lamp", "backpacks",
		"cup", "cap", "skirt", "ruckracks", "tunichtgut"}
	for in, want := range map[string]string{
		"hedphones": "headphones", "haedphones": "headphones", "jaket": "jacket", "shrit": "shirt",
		"snekers": "sneakers", "backpak": "backpacks", "lmap": "lamp", "lampp": "lamp", "xy": "", "zzzzzz": "", "lamp2": "",
		"rucksack": "", "turnschuh": "",
	} {
		found, ok := nearest(in, catalogue)
		require.False(t, ok, in)
		if want == "" {
			require.Empty(t, found, in)
			continue
		}
		require.NotEmpty(t, found, in)
		require.Equal(t, want, found[0], in)
	}
	_, ok := nearest("head", catalogue)
	require.True(t, ok)
	require.Equal(t, 1, distance("ab", "ba"))
	require.Equal(t, 3, distance("kitten", "sitting"))
	require.Equal(t, 4, distance("", "lamp"))
}
