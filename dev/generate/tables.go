package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tables writes the lists of services in the documents.
func (s *shop) tables(g *generated) error {
	hasAPI := s.with(func(a app) bool { return !a.face() })
	faces := s.with(app.face)
	if err := g.part("README.md", "services", strings.Join(hasAPI, ", ")+"; the faces "+strings.Join(faces, " and ")); err != nil {
		return err
	}

	asks := map[string]map[string]bool{} // whom, by who
	add := func(caller, callee string) {
		if asks[caller] == nil {
			asks[caller] = map[string]bool{}
		}
		asks[caller][callee] = true
	}
	for _, a := range s.services() {
		for _, operations := range a.doc.Paths {
			for _, o := range operations {
				for _, caller := range o.Neighbours {
					add(caller, a.ID)
				}
			}
		}
	}
	for _, r := range s.public.Routes {
		for face, begins := range s.public.Faces {
			if slices.ContainsFunc(begins, func(prefix string) bool { return below(r.Path, prefix) }) {
				add(face, r.App)
			}
		}
	}
	table := []string{"| service | what it is for | database | may call |", "|---|---|---|---|"}
	var ports []string
	for _, a := range s.services() {
		database := "–"
		if a.Database {
			database = "yes"
		}
		calls := "–"
		if names := slices.Sorted(maps.Keys(asks[a.ID])); len(names) > 0 {
			calls = strings.Join(names, ", ")
		}
		table = append(table, fmt.Sprintf("| [%s](../apps/%s/README.md) | %s | %s | %s |", a.ID, a.ID, a.Summary, database, calls))
		ports = append(ports, fmt.Sprintf("%d %s", a.Port, a.ID))
	}
	if err := g.part("docs/architecture.md", "services", lines(table...)); err != nil {
		return err
	}
	return g.part("docs/operations.md", "ports", strings.Join(ports, ", "))
}
