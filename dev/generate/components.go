package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// resiliency writes the targets of dapr/resiliency.yaml: one for every callee.
func (s *shop) resiliency(g *generated) error {
	var b strings.Builder
	for _, a := range s.services() {
		fmt.Fprintf(&b, "      %s:\n        retry: none\n", a.ID)
	}
	return g.part("dapr/resiliency.yaml", "targets", b.String())
}

var scopesLine = regexp.MustCompile(`(?m)^scopes: \[.*\].*$`)

// scopes writes which sidecars load a component. Of pubsub and secrets that
// follows from the services and from the other components; which services keep
// state, send mail and so on is written in components/<role>.yaml by hand. A
// swap has the scopes of the file that it replaces.
func (s *shop) scopes(g *generated) error {
	for _, c := range s.components {
		files, err := filepath.Glob(filepath.Join(s.root, "components/swaps/*", filepath.Base(c.file)))
		if err != nil {
			return err
		}
		for i := range files {
			if files[i], err = filepath.Rel(s.root, files[i]); err != nil {
				return err
			}
		}
		if c.Metadata.Name == "pubsub" || c.Metadata.Name == "secrets" {
			files = append(files, c.file)
		}
		line := "scopes: [" + strings.Join(c.Scopes, ", ") + "] # generated"
		for _, file := range files {
			text, err := g.text(file)
			if err != nil {
				return err
			}
			if len(scopesLine.FindAllString(text, -1)) != 1 {
				return fmt.Errorf("%s needs one line scopes: [] at its end", file)
			}
			g.put(filepath.ToSlash(file), scopesLine.ReplaceAllLiteralString(text, line))
		}
	}
	return nil
}

// secrets writes what sidecars take from their environment, as Kubernetes wants
// it told and as dapr/README.md tells it.
func (s *shop) secrets(g *generated) error {
	table := []string{"| app | `dapr.io/env-from-secret` |", "|---|---|"}
	for _, a := range s.apps {
		var pairs []string
		for _, name := range s.settingsOf(a.ID) {
			pairs = append(pairs, name+"=stampede:"+name)
		}
		if len(pairs) > 0 {
			table = append(table, "| "+a.ID+" | `"+strings.Join(pairs, ", ")+"` |")
		}
	}
	if err := g.part("components/swaps/secrets-kubernetes/README.md", "table", lines(table...)); err != nil {
		return err
	}
	table = []string{"| component | takes | in the sidecars of |", "|---|---|---|"}
	for _, c := range s.components {
		if names := c.settings(); len(names) > 0 {
			table = append(table, fmt.Sprintf("| `%s` | `%s` | %s |", c.Metadata.Name, strings.Join(names, "`, `"), strings.Join(c.Scopes, ", ")))
		}
	}
	return g.part("dapr/README.md", "settings", lines(table...))
}
