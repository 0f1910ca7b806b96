package text_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/text"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"José  Ångström":       {"angstrom", "jose"},
		"Jean-Luc Müller, Zoe": {"jean", "jean-luc", "luc", "muller", "zoe"},
		"O'Brien L’Été":        {"ete", "l", "obrien"},
		"Straße ŁÓDŹ":          {"lodz", "strasse"},
		"LD-07-M (new)":        {"07", "ld", "ld-07-m", "m", "new"},
		"山田 太郎":                {"太郎", "山田"},
		"a A á":                {"a"},
		" -- / ":               nil,
		"":                     nil,
	} {
		require.Equal(t, want, text.Words(in), "%q", in)
		for _, word := range text.Asked(in) {
			require.Contains(t, want, word, "%q", in)
		}
	}
	require.Equal(t, []string{"muller", "jean-luc"}, text.Asked(" (Müller) Jean-Luc. "), "in the order in which they were typed")
}
