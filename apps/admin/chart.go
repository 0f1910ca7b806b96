package main

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// bar is one of a chart: a stretch of time and its number.
type bar struct {
	From  time.Time // in the shop's zone
	Value int64
	Text  string // the number for people
}

// chart is a bar chart, drawn here so that it is there without a script.
type chart struct {
	Title  string
	Sum    string
	Bars   []bar
	Minute bool // else hours
	Href   string
	Second bool // in the second colour
	Scale  func(int64) string
}

// The drawing's size in its own units.
const (
	chartWidth  = 640
	chartHeight = 180
	chartLeft   = 52 // for the numbers
	chartTop    = 8
	chartBottom = 22 // for the times
)

// ceiling is the first round number that is not below the largest bar, and
// whose half is whole where it is written: 1, 2, 4, 6 or 8 and zeros.
func ceiling(largest int64) int64 {
	if largest <= 1 {
		return 1
	}
	power := int64(math.Pow10(len(fmt.Sprint(largest)) - 1))
	for _, n := range []int64{1, 2, 4, 6, 8, 10} {
		if n*power >= largest {
			return n * power
		}
	}
	return largest
}

// height is how tall a bar is when top fills the whole drawing. What is more
// than nothing can be seen.
func height(value, top int64, whole float64) float64 {
	if value <= 0 || top <= 0 {
		return 0
	}
	return max(2, whole*float64(value)/float64(top))
}

// SVG draws it. Each bar tells its number to whoever points at it; who cannot
// see it reads the summary.
func (c chart) SVG() template.HTML {
	var largest int64
	for _, b := range c.Bars {
		largest = max(largest, b.Value)
	}
	top := ceiling(largest)
	whole := float64(chartHeight - chartTop - chartBottom)
	var out strings.Builder
	fmt.Fprintf(&out, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, chartHeight, template.HTMLEscapeString(c.Summary()))
	for _, part := range []int64{0, 1, 2} {
		if top == 1 && part == 1 {
			continue
		}
		y := float64(chartTop) + whole - whole*float64(part)/2
		fmt.Fprintf(&out, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, chartLeft, chartWidth, y, y)
		fmt.Fprintf(&out, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`, chartLeft-8, y+4, template.HTMLEscapeString(c.scale(top*part/2)))
	}
	every := 6
	if c.Minute {
		every = 10
	}
	step := float64(chartWidth-chartLeft) / float64(max(1, len(c.Bars)))
	for i, b := range c.Bars {
		x, h := float64(chartLeft)+float64(i)*step, height(b.Value, top, whole)
		fmt.Fprintf(&out, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"><title>%s: %s</title></rect>`,
			x+step*.12, float64(chartTop)+whole-h, step*.76, h, b.From.Format("2 Jan 15:04 MST"), template.HTMLEscapeString(b.Text))
		if (len(c.Bars)-1-i)%every == 0 && i > 0 {
			fmt.Fprintf(&out, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, min(x+step/2, chartWidth-18), chartHeight-6,
				b.From.Format("15:04"))
		}
	}
	out.WriteString(`</svg>`)
	return template.HTML(out.String()) // numbers, times and escaped text
}

// scale writes a number beside the drawing.
func (c chart) scale(n int64) string {
	if c.Scale != nil {
		return c.Scale(n)
	}
	return fmt.Sprint(n)
}

// Summary says what the drawing shows.
func (c chart) Summary() string {
	most := bar{}
	for _, b := range c.Bars {
		if b.Value > most.Value {
			most = b
		}
	}
	if most.Value == 0 {
		return c.Title + ": nothing in all that time"
	}
	return fmt.Sprintf("%s: %s in all; the most, %s, from %s", c.Title, c.Sum, most.Text, most.From.Format("15:04 MST"))
}
