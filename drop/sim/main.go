// Command sim plays drops in virtual time, by the rules that drops and inventory have, and judges each promise of a drop that
// needs no HTTP: go run ./drop/sim [-quick] [FILE]. It prints what it measured, writes it to the file, and ends with 1 when a
// promise was not kept. make dropsim runs it.
//
// Played are shoppers who come, who do not, who come late or back, who buy, are declined, cancel and let what is held lapse; and
// owners of many accounts or many tabs, who act at once. How they are, how many units there are and how fast they are called
// differs from seed to seed (newWorld). The judge keeps books of its own and asks the shop for nothing.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	quick := flag.Bool("quick", false, "a fifth of the drops, and none of 100,000 shoppers")
	flag.Parse()
	began := time.Now()
	batches, pairs := []batch{{1000, 2000}, {10, 10_000}, {10, large}}, 50
	if *quick {
		batches, pairs = []batch{{fewest, 2000}, {2, 10_000}}, 10
	}
	r := play(theRules, batches, pairs)
	rows := verdict(r)
	text := report(r, rows, began, time.Since(began))
	fmt.Print(text)
	if flag.NArg() > 0 {
		if err := os.WriteFile(flag.Arg(0), []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if slices.ContainsFunc(rows, func(r row) bool { return !r.kept }) {
		fmt.Fprintln(os.Stderr, "a promise was not kept")
		os.Exit(1)
	}
}

// batch is so many seeds of so many shoppers.
type batch struct{ seeds, shoppers int }

// play plays batches, and the first seeds of the first batch once more with one tab for all.
func play(with rules, batches []batch, pairs int) (r runs) {
	type job struct {
		scene
		to *found
	}
	var jobs []job
	total := 0
	for _, b := range batches {
		total += b.seeds
	}
	r.drops, r.pairs = make([]found, total), make([]pair, pairs)
	for k := range pairs {
		jobs = append(jobs, job{scene{uint64(k + 1), batches[0].shoppers, 1, with}, &r.pairs[k].one})
	}
	at := 0
	for _, b := range batches {
		for k := range b.seeds {
			jobs = append(jobs, job{scene{uint64(k + 1), b.shoppers, 64, with}, &r.drops[at]})
			at++
		}
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return b.shoppers - a.shoppers }) // the long ones first
	todo := make(chan job)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for j := range todo {
				*j.to = run(j.scene)
			}
		})
	}
	for _, j := range jobs {
		todo <- j
	}
	close(todo)
	workers.Wait()
	for k := range pairs {
		r.pairs[k].many = r.drops[k]
	}
	return r
}

// report is docs/dropsim.md.
func report(r runs, rows []row, now time.Time, took time.Duration) string {
	var b strings.Builder
	sizes := map[int]int{}
	for _, f := range r.drops {
		sizes[f.shoppers]++
	}
	var played []string
	for _, n := range slices.Sorted(maps.Keys(sizes)) {
		played = append(played, fmt.Sprintf("%s of %s shoppers", number(sizes[n]), number(n)))
	}
	fmt.Fprintf(&b, `# What a drop promises, simulated
Written by `+"`make dropsim`"+` on %s: drops, %s, each with a fixed seed, in virtual time, by the rules of
[drop](../drop) that the services have. How people behave, how many units there are, how fast they are called and how long a claim
holds differs from seed to seed. It took %s on %d cores. It fails when a promise is not kept; what it plays is said in [drop/sim](../drop/sim/main.go).

| promise | mark | measured | kept |
|---|---|---|---|
`, now.UTC().Format(time.DateOnly), strings.Join(played, ", "), took.Round(time.Second), runtime.GOMAXPROCS(0))
	for _, row := range rows {
		kept := "yes"
		if !row.kept {
			kept = "**no**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", row.promise, row.mark, row.measured, kept)
	}
	count := func(of func(requests) int64) string {
		return number(sum(r.drops, func(f found) int64 { return of(f.requests) }))
	}
	fmt.Fprintf(&b, "\nIn all they entered %s times, looked %s times, claimed %s times and asked %s times for what was their own.\n",
		count(func(r requests) int64 { return r.entries }), count(func(r requests) int64 { return r.polls }),
		count(func(r requests) int64 { return r.claims }), count(func(r requests) int64 { return r.bodies }))
	b.WriteString(`
A page works its reader's position out from the place in the log and the status, and would ask where the status does not say enough; a
second device enters again and begins with nothing else. What is played is the page: that drops gives an account the entry that it has,
whichever device asks and however many at once, is held by its own tests (TestDrop and TestTogether in [apps/drops](../apps/drops)), that
the page in a browser asks for nothing of its own by TestDropFollows in [tests/browser](../tests/browser). Each promise that has a mark is
refused when the rule that keeps it is broken (TestBroken in [drop/sim](../drop/sim)).
`)
	return b.String()
}
