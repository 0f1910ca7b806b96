package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
)

// leastScore is what every mark of make lighthouse must reach.
const leastScore = 95

// scores are Lighthouse's marks for a page, as tests/reports writes them.
type scores struct {
	Page          string `json:"page"`
	Performance   int    `json:"performance"`
	Accessibility int    `json:"accessibility"`
	BestPractices int    `json:"best_practices"`
	SEO           int    `json:"seo"`
}

// lighthouse marks the pages of the shop that is up, writes the table in
// docs/lighthouse.md and fails when a mark is too low.
func (s *shop) lighthouse(ctx context.Context) error {
	program, err := s.Installer().Lighthouse(ctx)
	if err != nil {
		return err
	}
	report := filepath.Join(s.Run, "lighthouse.json")
	if err := s.report(ctx, "TestLighthouse", "LIGHTHOUSE="+program, "REPORT="+report); err != nil {
		return err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return err
	}
	var all []scores
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	page, low := scoreTable(all, time.Now())
	if err := stack.WriteFile(filepath.Join(s.Root, "docs", "lighthouse.md"), page, 0o644); err != nil {
		return err
	}
	s.Out.Say("lighthouse", "docs/lighthouse.md is written")
	if len(low) > 0 {
		return fmt.Errorf("below %d: %s", leastScore, progress.List(low))
	}
	return nil
}

// scoreTable is docs/lighthouse.md, and the marks in it that are too low.
func scoreTable(all []scores, now time.Time) (page string, low []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "# How the storefront does in Lighthouse\nWritten by `make lighthouse` on %s: Lighthouse %s with Debian's Chromium on a running shop, as a phone on a slow network (its default). It fails below %d.\n\n",
		now.UTC().Format(time.DateOnly), install.LighthouseVersion, leastScore)
	b.WriteString("| page | performance | accessibility | best practices | SEO |\n|---|---|---|---|---|\n")
	for _, p := range all {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", p.Page, p.Performance, p.Accessibility, p.BestPractices, p.SEO)
		marks := map[string]int{"performance": p.Performance, "accessibility": p.Accessibility, "best practices": p.BestPractices, "SEO": p.SEO}
		for _, name := range slices.Sorted(maps.Keys(marks)) {
			if marks[name] < leastScore {
				low = append(low, fmt.Sprintf("%s's %s is %d", p.Page, name, marks[name]))
			}
		}
	}
	b.WriteString("\nEach mark is the middle one of three. What is for one shopper, and searches, ask search engines to leave them out; that is not held against them.\n")
	return b.String(), low
}

// screenshots takes the pictures of docs/screenshots from the shop that is up.
func (s *shop) screenshots(ctx context.Context) error {
	return s.report(ctx, "TestScreenshots", "SCREENSHOTS="+filepath.Join(s.Root, "docs", "screenshots"))
}

func (s *shop) report(ctx context.Context, test string, env ...string) error {
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	if !st.Supervised() {
		return errors.New("nothing runs: make up starts it")
	}
	if err := s.Installer().Browser(ctx); err != nil {
		return err
	}
	env = append(env, "GOWORK=off", "RUN_DIR="+s.Run)
	return s.goTest(ctx, filepath.Join(s.Root, "tests"), env, "-timeout=20m", "-v", "-run="+test+"$", "./reports")
}
