package main

import (
	"cmp"
	"fmt"
	"slices"
)

// listStatements shows the most frequent and the dearest.
func (b *bench) listStatements(r *result) {
	list := func(title string) {
		fmt.Printf("\n%s, of one %s by %d clients: calls, ms in all\n", title, r.Name, r.Clients)
		for _, s := range r.Cost.Statements[:min(b.top, len(r.Cost.Statements))] {
			fmt.Printf("%6.2f %7.3f  %-9s %.150s\n", r.Cost.per(float64(s.Calls)), r.Cost.per(s.Took.Seconds()*1000), s.Database, s.Text)
		}
	}
	list("the most frequent statements")
	slices.SortFunc(r.Cost.Statements, func(a, b statement) int { return cmp.Compare(b.Took, a.Took) })
	list("the dearest statements")
	fmt.Println()
}
