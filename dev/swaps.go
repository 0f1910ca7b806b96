package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
)

// The brokers and state stores whose pairs `make swaps` runs, by the names
// that SWAP knows; the first of each is what components/ has.
var (
	brokers     = []string{"default", "jetstream", "kafka", "redis-streams"}
	stateStores = []string{"default", "state-postgres"}
)

// ciSwaps is what `make test` runs besides the defaults: of everything that
// can be plugged in here another one, and of the brokers the one that needs
// the least.
const ciSwaps = "jetstream,state-postgres,media-s3,secrets-file"

// figures are what tests/swaps measured.
type figures struct {
	Broker        string        `json:"broker"`
	State         string        `json:"state"`
	Confirmed     time.Duration `json:"confirmed"`
	OrdersASecond float64       `json:"orders_a_second"`
	RaceAnswered  time.Duration `json:"race_answered"`
	RaceConfirmed time.Duration `json:"race_confirmed"`
	BrokerKilled  time.Duration `json:"broker_killed"`
	ConsumerAway  time.Duration `json:"consumer_away"`
	Total         time.Duration `json:"total"`
}

// change is what tests/swaps measured of a broker that changed under load.
type change struct {
	From    string        `json:"from"`
	To      string        `json:"to"`
	Took    time.Duration `json:"took"`
	Longest time.Duration `json:"longest"`
	Orders  int           `json:"orders"`
}

// swaps runs tests/swaps over every pair of broker and state store, on one
// stack that is switched from pair to pair, and writes the table in
// docs/swaps.md. ONLY=kafka runs the pairs whose name has that in it and
// writes no table.
func (s *shop) swaps(ctx context.Context) (err error) {
	only := os.Getenv("ONLY")
	defer func() { err = errors.Join(err, s.down(context.WithoutCancel(ctx))) }()
	var rows []figures
	for _, broker := range brokers {
		for _, store := range stateStores {
			var chosen []string
			for _, name := range []string{broker, store} {
				if name != "default" {
					chosen = append(chosen, name)
				}
			}
			pair := strings.Join(chosen, ",")
			if !strings.Contains(pair, only) {
				continue
			}
			if err := s.upWith(ctx, pair); err != nil {
				return err
			}
			var row figures
			if err := s.swapTest(ctx, "TestSuite", &row); err != nil {
				return fmt.Errorf("%s with %s: %w", broker, store, err)
			}
			rows = append(rows, row)
		}
	}
	if only != "" {
		return nil
	}
	var changes []change
	if err := s.upWith(ctx, "default"); err != nil {
		return err
	}
	for _, to := range append(brokers[1:], brokers[0]) {
		var c change
		if err := s.swapTest(ctx, "TestSwitch", &c, "SWITCH_TO="+to); err != nil {
			return fmt.Errorf("switching to %s: %w", to, err)
		}
		changes = append(changes, c)
	}
	page := filepath.Join(s.Root, "docs", "swaps.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	changed, err := withTable(string(text), swapTable(rows, changes, time.Now()))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	s.Out.Say("swaps", "all %d pairs passed; %s is written", len(rows), page)
	return stack.WriteFile(page, changed, 0o644)
}

// upWith brings the stack up with these swaps plugged in.
func (s *shop) upWith(ctx context.Context, swaps string) error {
	if err := os.Setenv("SWAP", swaps); err != nil {
		return err
	}
	return s.up(ctx, false)
}

// swapTest runs one test of tests/swaps and reads what it measured.
func (s *shop) swapTest(ctx context.Context, test string, measured any, env ...string) error {
	report := filepath.Join(s.Run, "swaps.json")
	env = append(env, "GOWORK=off", "RUN_DIR="+s.Run, "SWAPS_REPORT="+report)
	if err := s.goTest(ctx, filepath.Join(s.Root, "tests"), env, "-timeout=15m", "-v", "-run="+test+"$", "./swaps"); err != nil {
		return err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, measured)
}

// swapTable is the table of docs/swaps.md; the first row is what the others'
// ratios are of.
func swapTable(rows []figures, changes []change, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s by `make swaps`, all pairs in one run on one machine. × is the ratio to the first row.\n\n", now.UTC().Format(time.DateOnly))
	b.WriteString("| broker | state store | one order confirmed | orders a second | × | race: 80 answered, 20 confirmed | broker killed: last of 30 ended | payments away 20 s: last of 30 ended | suite |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %d ms | %.1f | %.2f | %s, %s | %s | %s | %s |\n",
			strings.TrimPrefix(r.Broker, "pubsub."), strings.TrimPrefix(r.State, "state."), r.Confirmed.Milliseconds(),
			r.OrdersASecond, r.OrdersASecond/rows[0].OrdersASecond, seconds(r.RaceAnswered), seconds(r.RaceConfirmed),
			seconds(r.BrokerKilled), seconds(r.ConsumerAway), r.Total.Round(time.Second))
	}
	b.WriteString("\nThe broker changed by `make up` while four shoppers ordered again and again; nothing was lost, and stock, money and orders added up after each:\n\n")
	b.WriteString("| from | to | `make up` took | the longest that an order took | orders meanwhile |\n|---|---|---|---|---|\n")
	for _, c := range changes {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d |\n", strings.TrimPrefix(c.From, "pubsub."), strings.TrimPrefix(c.To, "pubsub."), seconds(c.Took), seconds(c.Longest), c.Orders)
	}
	return b.String()
}

// withTable replaces what stands between the page's two marks.
func withTable(page, table string) (string, error) {
	const begin, end = "<!-- make swaps writes from here -->\n", "<!-- to here -->"
	before, rest, ok := strings.Cut(page, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", errors.New("the marks that the table goes between are gone")
	}
	return before + begin + table + end + after, nil
}
