package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// report is what an audit counted and found.
type report struct {
	now    time.Time
	counts map[string]int64
	young  []string // what may still end by itself
	late   []string // the violations
}

func newReport(now time.Time) *report { return &report{now: now, counts: map[string]int64{}} }

// add takes what was found about one thing, such as "order" and its id; a
// finding that names its subject itself comes with "".
func (r *report) add(subject string, found ...finding) {
	for _, f := range found {
		line := f.what
		if subject != "" {
			line = subject + ": " + f.what
		}
		if f.young(r.now) {
			r.young = append(r.young, line)
		} else {
			r.late = append(r.late, line)
		}
	}
}

// print writes a line a count, then each finding: what may end by itself
// behind "in flight:", each violation behind "VIOLATION:".
func (r *report) print(w io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(r.counts)) {
		fmt.Fprintf(w, "%12d  %s\n", r.counts[name], name)
	}
	fmt.Fprintf(w, "%12d  in flight (young enough to end by itself)\n%12d  violations\n", len(r.young), len(r.late))
	for _, line := range slices.Sorted(slices.Values(r.young)) {
		fmt.Fprintln(w, "in flight:", line)
	}
	for _, line := range slices.Sorted(slices.Values(r.late)) {
		fmt.Fprintln(w, "VIOLATION:", line)
	}
}
