package picture

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSrcset(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0a", 16)
	name := Name(hash, 1200, 900, ".jpg")
	require.Equal(t, hash+"-1200x900.jpg", name)
	copies := strings.ReplaceAll("/media/HASH-1200x900-400.webp 400w, /media/HASH-1200x900-800.webp 800w, ", "HASH", hash)
	require.Equal(t, copies+"/media/"+name+" 1200w", Srcset("/media/"+name))
	require.Equal(t, "/media/"+CopyName(name, 400), Small("/media/"+name))
	for _, none := range []string{
		"", "/media/" + hash + ".jpg", "/media/" + Name(hash, 400, 400, ".png"), "/media/" + hash + "-1x1.svg",
		"https://cdn.example.com/media/" + name,
		"/media/" + name + ", /media/x.jpg 9w",
	} {
		require.Empty(t, Srcset(none), none)
		require.Equal(t, none, Small(none))
	}
}
