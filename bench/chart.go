package main

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// bar is one bar of a chart, of pieces put end to end.
type bar struct {
	label  string
	pieces []piece
}

// piece is a part of a bar; pieces of one name have one colour.
type piece struct {
	name  string
	value float64
}

func (b bar) total() float64 {
	var sum float64
	for _, p := range b.pieces {
		sum += p.value
	}
	return sum
}

// palette can be told apart by those who see no red or green (Okabe and Ito's,
// after Paul Tol's for what comes after these).
var palette = []string{
	"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442",
	"#332288", "#88ccee", "#44aa99", "#999933", "#882255", "#aa4499", "#bbbbbb",
}

// chart draws bars that lie below each other, with what they are made of in a
// legend, as SVG. unit is what the numbers are.
func chart(title, unit string, bars []bar) string {
	const (
		width, left, right = 860, 220, 80
		top, height, gap   = 44, 22, 10
		perRow             = 5
	)
	var names []string
	most := 0.0
	for _, b := range bars {
		most = max(most, b.total())
		for _, p := range b.pieces {
			if !slices.Contains(names, p.name) {
				names = append(names, p.name)
			}
		}
	}
	legend := 0
	if len(names) > 1 {
		legend = (len(names)+perRow-1)/perRow*20 + 10
	}
	tall := top + len(bars)*(height+gap) + legend + 10
	var svg strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&svg, format+"\n", args...) }
	say(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" role="img">`, width, tall)
	say(`<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`, html.EscapeString(title))
	say(`<text x="12" y="24" font-size="15" font-weight="bold">%s, %s</text>`, html.EscapeString(title), html.EscapeString(unit))
	for i, b := range bars {
		y := top + i*(height+gap)
		say(`<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+16, html.EscapeString(b.label))
		x := float64(left)
		for _, p := range b.pieces {
			long := p.value / max(most, 1e-9) * (width - left - right)
			say(`<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"><title>%s %s</title></rect>`,
				x, y, long, height, palette[slices.Index(names, p.name)%len(palette)], html.EscapeString(p.name), number(p.value))
			x += long
		}
		say(`<text x="%.1f" y="%d">%s</text>`, x+6, y+16, number(b.total()))
	}
	if len(names) > 1 {
		for i, name := range names {
			x, y := 12+i%perRow*(width-24)/perRow, top+len(bars)*(height+gap)+10+i/perRow*20
			say(`<rect x="%d" y="%d" width="12" height="12" fill="%s"/><text x="%d" y="%d">%s</text>`,
				x, y, palette[i%len(palette)], x+18, y+11, html.EscapeString(name))
		}
	}
	return svg.String() + "</svg>\n"
}

// processorBars are what results cost by process, the dearest processes by
// name and the others together.
func processorBars(results []*result, label func(*result) string) []bar {
	const named = 12
	sum := map[string]float64{}
	for _, r := range results {
		for name, used := range r.Cost.Processor {
			sum[name] += r.Cost.per(used.Seconds() * 1000)
		}
	}
	var names []string
	for name := range sum {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(sum[b], sum[a]), strings.Compare(a, b)) })
	var bars []bar
	for _, r := range results {
		one := bar{label: label(r)}
		others := 0.0
		for i, name := range names {
			ms := r.Cost.per(r.Cost.Processor[name].Seconds() * 1000)
			if i < named {
				one.pieces = append(one.pieces, piece{name, ms})
			} else {
				others += ms
			}
		}
		bars = append(bars, bar{one.label, append(one.pieces, piece{"others", others})})
	}
	return bars
}
