// Package progress prints what a command is doing, a line a message, and the
// error that it ends with. It imports no other room of dev.
package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Progress prints what the command is doing, one line a message, each with the
// seconds since the command began. Steps that run side by side share it.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	begun time.Time
	steps []runningStep
	took  []string // the long steps that have ended, each with its seconds
}

// runningStep is a step that has not ended.
type runningStep struct {
	name  string
	begun time.Time
}

// New begins to count seconds.
func New(w io.Writer) *Progress { return &Progress{w: w, begun: time.Now()} }

// Say prints one line of a step.
func (p *Progress) Say(step, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(step, fmt.Sprintf(format, args...))
}

func (p *Progress) line(step, text string) {
	fmt.Fprintf(p.w, "%6.1fs  %-12s %s\n", time.Since(p.begun).Seconds(), step, text)
}

// Step runs fn and says what it does and how long that took. The error that
// it returns names the step.
func (p *Progress) Step(ctx context.Context, name, doing string, fn func(ctx context.Context) error) error {
	me := runningStep{name, time.Now()}
	p.mu.Lock()
	p.line(name, doing)
	p.steps = append(p.steps, me)
	p.mu.Unlock()
	err := fn(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = slices.DeleteFunc(p.steps, func(s runningStep) bool { return s == me })
	if took := time.Since(me.begun); took >= long {
		p.took = append(p.took, fmt.Sprintf("%s %.0f s", name, took.Seconds()))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.line(name, fmt.Sprintf("done in %.1f s", time.Since(me.begun).Seconds()))
	return nil
}

// long is from when on a step is worth a word at the end.
const long = 10 * time.Second

// Took tells where the time went: the long steps in the order of their ends, those that ran side by side each with all of its
// time.
func (p *Progress) Took() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.took, ", ")
}

// Tick says every 20 seconds which steps are still at it, until ctx ends.
func (p *Progress) Tick(ctx context.Context) {
	every := time.NewTicker(20 * time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		p.mu.Lock()
		var still []string
		for _, s := range p.steps {
			still = append(still, fmt.Sprintf("%s (%.0f s)", s.name, time.Since(s.begun).Seconds()))
		}
		if len(still) > 0 {
			p.line("…", "still at it: "+List(still))
		}
		p.mu.Unlock()
	}
}

// Print prints text as it is, such as a summary.
func (p *Progress) Print(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprint(p.w, text)
}

// Elapsed is how long the command has been at it.
func (p *Progress) Elapsed() time.Duration { return time.Since(p.begun) }

// Report prints err as one clear line, followed by the detail that it carries:
// an error with a method Detail() []string, or one that wraps such an error.
func Report(w io.Writer, err error) {
	var carrier interface {
		error
		Detail() []string
	}
	var detail []string
	text := err.Error()
	if errors.As(err, &carrier) {
		detail = carrier.Detail()
		text += strings.Join(detail, "\n")
	}
	full := ""
	if strings.Contains(strings.ToLower(text), "no space left on device") {
		full = "the disk is full: "
	}
	fmt.Fprintf(w, "\nerror: %s%v\n", full, err)
	for _, line := range detail {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

// List writes names as a list: "a, b and c".
func List(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
