package stampede_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// columns is how long a line of a template may be.
const columns = 140

// templateFiles are the files that people read as pages, mails or Keycloak's
// pages before a machine does.
var templateFiles = []string{
	"apps/*/pages/*.html",
	"apps/*/templates/*.html",
	"apps/*/templates/*.txt",
	"deploy/keycloak/themes/*/*/*.ftl",
}

// TestTemplateLines: a template has one element a line, so no long ones.
func TestTemplateLines(t *testing.T) {
	t.Parallel()
	for _, pattern := range templateFiles {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for i, line := range strings.Split(string(text), "\n") {
				if n := utf8.RuneCountInString(line); n > columns {
					t.Errorf("%s:%d has %d columns; %d at most, one element a line", file, i+1, n, columns)
				}
			}
		}
	}
}

// look is the one file of the shop's design tokens.
const look = "kit/page/style/tokens.css"

// styleSheets are the style sheets that use them.
var styleSheets = []string{"apps/*/assets/*.css", "deploy/keycloak/themes/*/*/resources/css/*.css"}

var (
	tokenSet   = regexp.MustCompile(`(?m)(?:^|[{;])\s*(--[\w-]+):`)
	tokenUsed  = regexp.MustCompile(`var\((--[\w-]+)`)
	ownColour  = regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b[^{]*[;}]|\b(?:rgba?|hsla?|oklch|light-dark)\(`)
	cssComment = regexp.MustCompile(`(?s)/\*.*?\*/`)
)

// TestTokens: colours, and whatever else has a name in the look, stand in one
// file, and what is used of it is there.
func TestTokens(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(look)
	require.NoError(t, err)
	known := map[string]bool{}
	for _, m := range tokenSet.FindAllStringSubmatch(string(text), -1) {
		known[m[1]] = true
	}
	require.NotEmpty(t, known)
	for _, pattern := range styleSheets {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			css := cssComment.ReplaceAllString(string(text), "")
			for _, m := range tokenSet.FindAllStringSubmatch(css, -1) {
				t.Errorf("%s defines %s: tokens belong into %s", file, m[1], look)
			}
			for _, m := range tokenUsed.FindAllStringSubmatch(css, -1) {
				if !known[m[1]] {
					t.Errorf("%s uses %s, which is not in %s", file, m[1], look)
				}
			}
			for _, line := range strings.Split(css, "\n") {
				if found := ownColour.FindString(line); found != "" {
					t.Errorf("%s has a colour of its own, which belongs into %s: %s", file, look, strings.TrimSpace(line))
				}
			}
		}
	}
}
