package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"regexp"
)

// tokens are the colours, sizes and shapes of the shop. Every face serves them
// as the asset tokens.css; deploy/Dockerfile and dev put the same file into
// Keycloak's login theme.
//
//go:embed style/tokens.css
var tokens []byte

var colour = regexp.MustCompile(`(?m)^\s*--([\w-]+): light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\);`)

// colours are template functions for where CSS does not reach: {{day "paper"}}
// and {{night "paper"}}.
func colours() template.FuncMap {
	day, night := map[string]string{}, map[string]string{}
	for _, m := range colour.FindAllStringSubmatch(string(tokens), -1) {
		day[m[1]], night[m[1]] = m[2], m[3]
	}
	of := func(all map[string]string) func(string) (string, error) {
		return func(name string) (string, error) {
			if all[name] == "" {
				return "", fmt.Errorf("no colour %s", name)
			}
			return all[name], nil
		}
	}
	return template.FuncMap{"day": of(day), "night": of(night)}
}
