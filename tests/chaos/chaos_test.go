package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestChaos is `make chaos`: CHAOS_SEEDS one after another, CHAOS_TIME each, on a stack whose connections go through
// proxies and whose waits are seconds.
func TestChaos(t *testing.T) {
	s := shop.Open(t)
	length, err := time.ParseDuration(os.Getenv("CHAOS_TIME"))
	require.NoError(t, err, "CHAOS_TIME: make chaos sets it")
	settle, err := time.ParseDuration(os.Getenv("CHAOS_SETTLE"))
	require.NoError(t, err, "CHAOS_SETTLE: make chaos sets it")
	require.Equal(t, "true", s.Settings["PROXIES"], "the stack has no proxies: make chaos starts one that has")
	for _, text := range strings.Split(os.Getenv("CHAOS_SEEDS"), ",") {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "CHAOS_SEEDS")
		t.Run("seed "+text, func(t *testing.T) { blow(t, s, seed, length, settle) })
	}
}

const (
	shoppers = 12
	probers  = 10
)

func blow(t *testing.T, s *shop.Shop, seed uint64, length, settle time.Duration) {
	report := new(strings.Builder)
	say := func(format string, a ...any) {
		text := fmt.Sprintf(format, a...)
		fmt.Fprintln(report, text)
		t.Log("\n" + text)
	}
	file := filepath.Join(s.Run, fmt.Sprintf("chaos-%d.txt", seed))
	defer func() { require.NoError(t, os.WriteFile(file, []byte(report.String()), 0o644)) }()

	m := &market{stack: stack{s}, counts: map[string]int{}, initial: map[string]int{}}
	all, err := m.processes()
	require.NoError(t, err)
	var names []string
	restarts := map[string]int{}
	for _, p := range all {
		restarts[p.Name] = p.Restarts
		if p.Name != "proxies" { // the harness itself
			names = append(names, p.Name)
		}
	}
	acts := Plan(seed, length, names)
	plan := fmt.Sprintf("seed %d, %s, %d acts:\n", seed, length, len(acts))
	for _, a := range acts {
		plan += a.String() + "\n"
	}
	say("%s", plan)

	require.NoError(t, m.prepare(t.Context()))
	for range 6 {
		m.plenty = append(m.plenty, s.NewProduct(t, 1_500, 100_000))
	}
	for range 2 {
		m.hot = append(m.hot, s.NewProduct(t, 9_900, 12))
	}
	m.limited = s.NewProduct(t, 4_000, 1_000)
	m.limited.Limit(t, limit)
	for _, p := range slices.Concat(m.plenty, m.hot, []*shop.Product{m.limited}) {
		m.initial[p.SKU] = p.Stock(t).OnHand
	}
	ops := m.newShopper(s.Admin(t), seed, 0)
	var crowd, probes []*shopper
	for i, c := range s.Crowd(t, shoppers) {
		b := m.newShopper(c, seed, uint64(1+i))
		b.insists = true
		crowd = append(crowd, b)
	}
	ops.insists = true
	for range probers {
		probes = append(probes, m.newShopper(s.Register(t), seed, 0))
	}
	drop := m.newSale(t, seed, length) // last: it is entered in some seconds

	// What was begun may go on for a while when nobody begins anything any more.
	ctx, cancel := context.WithTimeout(t.Context(), length+2*time.Minute)
	defer cancel()
	begin, stop := context.WithTimeout(ctx, length)
	defer stop()
	var people, acting, probing sync.WaitGroup
	for _, b := range crowd {
		people.Go(func() { b.shopping(begin, ctx, ops) })
	}
	people.Go(func() { ops.restock(begin, ctx) })
	for _, f := range drop.fans {
		people.Go(func() { f.goes(ctx) })
	}
	watched, unwatch := context.WithCancel(ctx)
	defer unwatch()
	probing.Go(func() { drop.watch(watched) })
	free := make(chan *shopper, len(probes))
	for _, b := range probes {
		free <- b
	}
	var mu sync.Mutex
	var recoveries []recovery
	probed, unprobe := context.WithTimeout(ctx, length+100*time.Second)
	defer unprobe()
	begun := time.Now()
	for _, a := range acts {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(begun.Add(a.At))):
		}
		t.Logf("%5.1fs %s", time.Since(begun).Seconds(), strings.TrimSpace(a.String()))
		acting.Add(1)
		probing.Go(func() {
			err := m.do(begin, a, crowd)
			acting.Done()
			if err != nil {
				m.breach("harness: %s: %s", a, err)
				return
			}
			who := <-free
			r := m.probe(probed, a, who, ops)
			free <- who
			mu.Lock()
			defer mu.Unlock()
			recoveries = append(recoveries, r)
		})
	}
	acting.Wait()
	over := time.Now()
	people.Wait()
	unwatch()
	probing.Wait()
	say("traffic:\n%s", m.tally())

	settling, enough := context.WithTimeout(t.Context(), settle)
	defer enough()
	took, unsettled := m.settled(settling)
	say("settled %s after the last act (%s of it after the last answer)", time.Since(over).Round(time.Second), took.Round(time.Second))
	wrong := append(unsettled, m.prove(t.Context())...)
	wrong = append(wrong, drop.proves(t.Context(), ops)...)
	for _, b := range m.breaches {
		wrong = append(wrong, "answer: "+b)
	}
	wrong = append(wrong, late(recoveries)...)
	say("recovery, from the end of what was done:\n%s", table(recoveries))
	after, err := m.processes()
	require.NoError(t, err)
	var again []string
	for _, p := range after {
		if n := p.Restarts - restarts[p.Name]; n > 0 {
			kills := 0
			for _, a := range acts {
				if a.Kind == Kill && a.Target == p.Name {
					kills++
				}
			}
			again = append(again, fmt.Sprintf("%s %d (killed %d)", p.Name, n, kills))
		}
	}
	say("started again: %s", strings.Join(again, ", "))
	if len(wrong) > 0 {
		say("WRONG, %d:\n%s", len(wrong), strings.Join(wrong, "\n"))
		t.Fail()
		return
	}
	say("seed %d: clean; %d orders; this is in %s", seed, len(m.orders), file)
}
