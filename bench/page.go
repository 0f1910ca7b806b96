package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
)

// titles are those of the page's parts, by the measurement's name.
var titles = map[string]string{
	"order":     "An order, from the cart to confirmed and paid",
	"hot":       "Everybody wants the same thing",
	"holds":     "Holds of one SKU",
	"overload":  "Four times as many as it can serve",
	"drop":      "A drop",
	"browse":    "Looking round",
	"cart":      "Into the cart",
	"login":     "Logging in",
	"growth":    "Ten thousand rows against a million",
	"instances": "More instances on the same processors",
	"reference": "What the parts can do alone",
}

// columns are those of the tables.
var columns = []string{
	"what", "clients", "done", "a second", "p50 ms", "p95 ms", "p99 ms", "sold out", "told to wait", "errors",
	"CPU ms each", "statements", "transactions", "that write", "log kB", "legs",
}

// cells are a result's in these columns.
func cells(r *result) []string {
	list := []string{
		r.Name, strconv.Itoa(r.Clients), strconv.Itoa(len(r.Times)), number(r.rate()),
		milliseconds(percentile(r.Times, 50)), milliseconds(percentile(r.Times, 95)), milliseconds(percentile(r.Times, 99)),
		strconv.Itoa(len(r.SoldOut)), strconv.Itoa(len(r.Refused)), strconv.Itoa(r.failed()),
	}
	c := r.Cost
	if c == nil {
		return append(list, "", "", "", "", "", "")
	}
	statements, transactions := "", ""
	if len(c.Statements) > 0 {
		statements = number(c.statements())
	}
	if c.Transactions > 0 {
		transactions = number(c.per(float64(c.Transactions)))
	}
	return append(list, number(c.total().Seconds()*1000), statements, transactions,
		number(c.per(float64(c.Writes))), number(c.per(float64(c.Log)/1000)), number(c.legs()))
}

// number shows three digits, or whole ones.
func number(f float64) string {
	switch {
	case f < 10:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case f < 100:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// table is one in Markdown, without the columns that are empty in all rows.
func table(head []string, rows [][]string) string {
	var text strings.Builder
	line := func(cells []string) {
		text.WriteString("|")
		for i, cell := range cells {
			for _, row := range rows {
				if row[i] != "" && row[i] != "0" {
					text.WriteString(" " + cell + " |")
					break
				}
			}
		}
		text.WriteString("\n")
	}
	line(head)
	rules := make([]string, len(head))
	for i := range rules {
		rules[i] = "---"
	}
	line(rules)
	for _, row := range rows {
		line(row)
	}
	return text.String()
}

const howToRead = `
*CPU ms each* is the time that one operation took of a processor, over all processes of the stack and to the end of all that
it set off (mails too); the bench itself is not in it. *Statements* is what PostgreSQL counted in the services' databases,
BEGIN and COMMIT among them; *transactions* all that it ended, *that write* those that changed something; *legs* what the
sidecars counted as coming in and going out. What the stack does at rest is in all of these. Clients wait for their answer
before they ask again, but where it says that they arrive.
`

// write writes the page and its charts into the folder. Where one thing alone was measured the page keeps the others.
func (b *bench) write(folder string) error {
	name := filepath.Join(folder, "RESULTS.md")
	if len(b.only) == 1 {
		page, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		part, err := b.part(folder, b.only[0], "\nMeasured by itself:\n\n"+b.machine()+"\n")
		if err != nil || part == "" {
			return err
		}
		return stack.WriteFile(name, put(string(page), part), 0o644)
	}
	var page strings.Builder
	page.WriteString("# What the shop does, measured\n<!-- written by make bench; its end is TRIED.md -->\n" + b.machine() + howToRead)
	for _, m := range measurements {
		part, err := b.part(folder, m.name, "")
		if err != nil {
			return err
		}
		if part != "" {
			page.WriteString("\n" + part)
		}
	}
	tried, err := os.ReadFile(filepath.Join(folder, "TRIED.md"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(tried) > 0 {
		page.WriteString("\n" + string(tried))
	}
	return stack.WriteFile(name, page.String(), 0o644)
}

// part is what a page says of a measurement, after some words about it; its charts are written. It is empty when nothing was
// measured.
func (b *bench) part(folder, name, words string) (string, error) {
	s := b.sections[name]
	if s == nil {
		return "", nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "## %s\n%s", titles[name], words)
	if len(s.marks) > 0 {
		text.WriteString(table([]string{"promise", "mark", "measured"}, s.marks) + "\n")
	}
	var rows [][]string
	for _, r := range s.rows {
		rows = append(rows, cells(r))
	}
	if len(rows) > 0 {
		text.WriteString(table(columns, rows))
	}
	for _, note := range s.notes {
		text.WriteString("\n" + note + "\n")
	}
	for _, c := range b.charts(name, s.rows) {
		if err := stack.WriteFile(filepath.Join(folder, "charts", c.file), c.svg, 0o644); err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "\n![%s](charts/%s)\n", c.title, c.file)
	}
	return text.String(), nil
}

// put gives a page a part, in the place of its part of that title, or before what is written by hand.
func put(page, part string) string {
	title, _, _ := strings.Cut(part, "\n")
	before, after, found := strings.Cut(page, title+"\n")
	if !found {
		before, after, _ = strings.Cut(page, byHand)
		return before + part + "\n" + byHand + after
	}
	_, next, more := strings.Cut(after, "\n## ")
	if !more {
		return before + part
	}
	return before + part + "\n## " + next
}

// byHand is how TRIED.md begins.
const byHand = "## What was tried\n"

// drawing is a chart and where it goes.
type drawing struct{ title, file, svg string }

// charts are those of a part of the page.
func (b *bench) charts(name string, rows []*result) []drawing {
	var costly []*result
	for _, r := range rows {
		if r.Cost != nil && r.done() > 0 {
			costly = append(costly, r)
		}
	}
	if len(costly) == 0 {
		return nil
	}
	label := func(r *result) string { return fmt.Sprintf("%.30s", r.Name) }
	if name == "order" || name == "cart" || name == "reference" || name == "holds" {
		label = func(r *result) string { return fmt.Sprintf("%.24s, %d", r.Name, r.Clients) }
	}
	list := []drawing{{
		"CPU of one operation by process: " + titles[name], name + "-cpu.svg",
		chart(titles[name], "ms of a processor each", processorBars(costly, label)),
	}}
	if name != "order" {
		return list
	}
	var rates, waits []bar
	for _, r := range rows {
		rates = append(rates, bar{label(r), []piece{{"a second", r.rate()}}})
		p50, p99 := percentile(r.Times, 50).Seconds()*1000, percentile(r.Times, 99).Seconds()*1000
		waits = append(waits, bar{label(r), []piece{{"p50", p50}, {"and to p99", p99 - p50}}})
	}
	return append(list,
		drawing{"Orders a second", "order-rate.svg", chart("Orders", "a second", rates)},
		drawing{"How long an order takes", "order-time.svg", chart("How long an order takes", "ms", waits)})
}

// machine says what was measured, where, how and when.
func (b *bench) machine() string {
	say := func(name string, args ...string) string {
		cmd := exec.Command(name, args...)
		cmd.Dir = b.shop.Root
		out, err := cmd.Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	model := "unknown"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := "unknown"
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			kb, _ := strconv.Atoi(fields[1])
			memory = strconv.Itoa(kb>>20) + " GB"
		}
	}
	commit := say("git", "log", "-1", "--format=%h, %cs")
	if say("git", "status", "--porcelain", "--untracked-files=no") != "" {
		commit += ", and changes"
	}
	load, _ := os.ReadFile("/proc/loadavg")
	return table([]string{"", ""}, [][]string{
		{"machine", fmt.Sprintf("%s, %d processors, %s, %s", model, runtime.NumCPU(), memory, say("uname", "-sr"))},
		{"parts", say("psql", "--version") + "; " + runtime.Version()},
		{"commit", commit},
		{"command", "`" + b.command + "`"},
		{"when", fmt.Sprintf("%s, %s long; load of the machine at the end %s", b.begun.UTC().Format("2006-01-02 15:04 UTC"),
			time.Since(b.begun).Round(time.Second), firstWord(string(load)))},
		{"rows", b.rows},
		{"at rest", b.resting},
	})
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}
