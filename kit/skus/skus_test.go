package skus_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/skus"
)

func TestSegment(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"LAMP-1": "LAMP-1", "a.b_c-9": "a.b_c-9", "...": "...", ".": "~Lg", "..": "~Li4", "~x": "~fng",
		"A/B": "~QS9C", "Shoes - DZR - 41": "~U2hvZXMgLSBEWlIgLSA0MQ", "Übel+": "~w5xiZWwr", "100%": "~MTAwJQ",
		strings.Repeat("語", skus.Max): "~" + strings.Repeat("6Kqe", skus.Max),
	} {
		got := skus.Segment(in)
		require.Equal(t, want, got)
		require.Regexp(t, `^~?[A-Za-z0-9._-]+$`, got, "the edge lets it through")
		back, err := skus.Parse(got)
		require.NoError(t, err, in)
		require.Equal(t, in, back)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"nothing": "", "only the mark": "~", "no base64url": "~a/b", "padded": "~QQ==", "a loose bit": "~QR", "not UTF-8": "~_w",
		"a control character": "~YQBi", "control as it is": "a\x07",
		"too long": strings.Repeat("A", skus.Max+1), "too long inside": skus.Segment(strings.Repeat("語", skus.Max+1)),
	} {
		_, err := skus.Parse(in)
		require.Error(t, err, name)
	}
	for _, in := range []string{"a b", "Ü"} { // from a client that escapes instead
		got, err := skus.Parse(in)
		require.NoError(t, err)
		require.Equal(t, in, got)
	}
}
