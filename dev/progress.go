package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// progress prints what the command is doing, one line a message, each with the
// seconds since the command began. Steps that run side by side share it.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	begun time.Time
	steps []runningStep
}

// runningStep is a step that has not ended.
type runningStep struct {
	name  string
	begun time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w: w, begun: time.Now()} }

// say prints one line of a step.
func (p *progress) say(step, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(step, fmt.Sprintf(format, args...))
}

func (p *progress) line(step, text string) {
	fmt.Fprintf(p.w, "%6.1fs  %-12s %s\n", time.Since(p.begun).Seconds(), step, text)
}

// step runs fn and says what it does and how long that took. The error that
// it returns names the step.
func (p *progress) step(ctx context.Context, name, doing string, fn func(ctx context.Context) error) error {
	me := runningStep{name, time.Now()}
	p.mu.Lock()
	p.line(name, doing)
	p.steps = append(p.steps, me)
	p.mu.Unlock()
	err := fn(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = slices.DeleteFunc(p.steps, func(s runningStep) bool { return s == me })
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	p.line(name, fmt.Sprintf("done in %.1f s", time.Since(me.begun).Seconds()))
	return nil
}

// tick says every 20 seconds which steps are still at it, until ctx ends.
func (p *progress) tick(ctx context.Context) {
	for pause(ctx, 20*time.Second) {
		p.mu.Lock()
		var still []string
		for _, s := range p.steps {
			still = append(still, fmt.Sprintf("%s (%.0f s)", s.name, time.Since(s.begun).Seconds()))
		}
		if len(still) > 0 {
			p.line("…", "still at it: "+join(still))
		}
		p.mu.Unlock()
	}
}

// problem is an error with something to read below its one line, such as the
// end of a log.
type problem struct {
	line   string
	detail []string
}

func (e *problem) Error() string { return e.line }

// report prints err as one clear line, followed by the detail that it carries.
func report(w io.Writer, err error) {
	var p *problem
	text := err.Error()
	if errors.As(err, &p) {
		text += strings.Join(p.detail, "\n")
	}
	full := ""
	if strings.Contains(strings.ToLower(text), "no space left on device") {
		full = "the disk is full: "
	}
	fmt.Fprintf(w, "\nerror: %s%v\n", full, err)
	if p != nil {
		for _, line := range p.detail {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
}

// command runs a program to its end with its output in logFile. When it fails,
// the error carries the last lines of that file.
func command(ctx context.Context, logFile string, cmd *exec.Cmd) error {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o755); err != nil {
		return err
	}
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &problem{
			line:   fmt.Sprintf("%s failed (%v); all of its output is in %s", filepath.Base(cmd.Path), err, logFile),
			detail: tail(logFile, 15),
		}
	}
	return nil
}

// tail returns the last n lines of a file, without the blank ones; nothing
// when it cannot be read.
func tail(file string, n int) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 64 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return nil
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, " \r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):]
}
