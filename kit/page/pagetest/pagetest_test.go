package pagetest

import (
	"html/template"
	"testing"

	"github.com/stretchr/testify/require"
)

type frame struct{ Token string }

type view struct {
	Items []struct{ Name string }
}

// TestCheck: what a view does not have is found, wherever it is asked for.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		main string
		says string
	}{
		"good":              {`{{range .Data.Items}}{{template "part" .}}{{end}}{{.Meta.Token}}`, ""},
		"in the page":       {`{{.Data.Thing}}`, "can't use field Thing"},
		"in a loop":         {`{{range .Data.Items}}{{.Number}}{{end}}`, "can't use field Number"},
		"in a branch":       {`{{if .Title}}{{else}}{{$.Meta.Nothing}}{{end}}`, "can't use field Nothing"},
		"in a part":         {`{{template "part" .Data}}`, "can't use field Name"},
		"two kinds of part": {`{{range .Data.Items}}{{template "part" .}}{{end}}{{template "part" .Meta}}`, "inconsistent types"},
		"a function":        {`{{double .Title}}`, "wrong type"},
	} {
		all := template.Must(template.New("layout").Funcs(template.FuncMap{"double": func(n int) int { return 2 * n }}).
			Parse(`{{template "main" .}}{{define "part"}}{{.Name}}{{end}}{{define "main"}}` + c.main + `{{end}}`))
		err := check(all, viewOf(&frame{}, view{}))
		if c.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.says, name)
	}
}
