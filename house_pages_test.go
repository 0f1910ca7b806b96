package stampede_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// columns is how long a line of a template may be.
const columns = 140

// templates are the files that people read as pages, mails or Keycloak's
// pages before a machine does.
var templates = []string{
	"apps/*/pages/*.html",
	"apps/*/templates/*.html",
	"apps/*/templates/*.txt",
	"deploy/keycloak/themes/*/*/*.ftl",
}

// TestTemplateLines: a template has one element a line, so no long ones.
func TestTemplateLines(t *testing.T) {
	t.Parallel()
	for _, pattern := range templates {
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
