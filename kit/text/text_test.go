package text_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/text"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ann":                                "Ann",
		"  Ann \t Lee\u00a0":                 "Ann Lee",
		"1\tHigh Street":                     "1 High Street", // pasted from a table
		"12\u00a0bis,\u2009rue de\u3000X":    "12 bis, rue de X",
		"\ufeffAnn\r\n":                      "Ann",
		"Zoe\u0308":                          "Zoë",
		"李":                                  "李",
		"":                                   "",
		" \t\n":                              "",
		"\u00a0\u00a0\u00a0":                 "",
		"\u2003\u3000\u202f":                 "",
		"\u200b\u200d\u2060":                 "", // of no width
		"\u3164\u115f\u1160\uffa0":           "", // Hangul fillers
		"\u2800\u2800":                       "", // Braille's blank
		"\u00ad\u202e\u2066":                 "", // soft hyphen, directions
		"\ufe0f":                             "",
		"\U000e0020\U000e0041":               "", // tags
		"👩\u200d🚒":                           "👩\u200d🚒",
		"\u202bשלום\u202c":                   "\u202bשלום\u202c",
		"-":                                  "-",
		"'); DROP TABLE addresses; --":       "'); DROP TABLE addresses; --",
		"<script>alert(1)</script>":          "<script>alert(1)</script>",
		"\u00a0a\u00a0\u00a0b\u00a0":         "a b",
		"क\u093c":                            "क\u093c",
		"\u1680Ogham\u1680space\u2000\u200a": "Ogham space",
	} {
		got, ok := text.Line(in)
		require.True(t, ok, "%q", in)
		require.Equal(t, want, got, "%q", in)
		again, _ := text.Line(got)
		require.Equal(t, got, again, "%q: cleaned once is clean", in)
	}
	for _, in := range []string{
		"a\r\nBcc: x@example.test", "a\nb", "a\x7fb", "a\x1bb", "a\x00b", "a\u0085b", "a\vb", "a\u2028b", "a\u2029b",
	} {
		_, ok := text.Line(in)
		require.False(t, ok, "%q", in)
	}
}
