package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// settings writes what the services read from their environment: with its
// meaning into docs/operations.md, and into a README what not every service
// reads.
func (s *shop) settings(g *generated) error {
	type row struct{ name, value, doc string }
	services := s.services()
	readBy := map[row][]string{}
	everywhere := func(set setting) bool {
		return !slices.ContainsFunc(services, func(a app) bool {
			return !slices.ContainsFunc(a.doc.Settings, func(other setting) bool { return other.Name == set.Name })
		})
	}
	for _, a := range services {
		var own []string
		for _, set := range a.doc.Settings {
			if !everywhere(set) {
				own = append(own, fmt.Sprintf("`%s` (%s)", set.Name, set.value()))
			}
			if set.Name == strings.ToUpper(a.ID)+"_DATABASE_URL" {
				set.Name = "<SERVICE>_DATABASE_URL"
			}
			r := row{set.Name, set.value(), set.Doc}
			readBy[r] = append(readBy[r], a.ID)
		}
		text := "[those of every service](../../docs/operations.md#settings)"
		if len(own) > 0 {
			text = strings.Join(own, ", ") + " and " + text
		}
		if err := g.part("apps/"+a.ID+"/README.md", "settings", text); err != nil {
			return err
		}
	}
	table := []string{"| setting | default | read by | meaning |", "|---|---|---|---|"}
	rows := slices.SortedFunc(maps.Keys(readBy), func(a, b row) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value+a.doc, b.value+b.doc))
	})
	for _, r := range rows {
		by := strings.Join(readBy[r], ", ")
		if len(readBy[r]) == len(services) {
			by = "all"
		}
		table = append(table, fmt.Sprintf("| `%s` | %s | %s | %s |", r.name, r.value, by, r.doc))
	}
	return g.part("docs/operations.md", "settings", lines(table...))
}

// value says what holds when the setting is not given, and what may be given.
func (s setting) value() string {
	text := "none"
	switch {
	case s.Required:
		text = "must be given"
	case s.Default != "":
		text = "`" + s.Default + "`"
	}
	if len(s.Enum) > 0 {
		text += "; one of " + strings.Join(s.Enum, ", ")
	}
	if s.Secret {
		text += "; secret"
	}
	return text
}
