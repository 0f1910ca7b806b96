package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Record is what is known about a kept process; the state file holds one for
// each, without arguments and environment, so no secrets.
type Record struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid"` // 0 while it waits to be started again
	Birth    uint64    `json:"birth"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	Exit     string    `json:"exit,omitempty"` // how it ended the last time
	Stage    int       `json:"stage"`
	Patience int       `json:"patience_seconds"`
	Health   string    `json:"health"`
	Digest   string    `json:"digest"`
}

// Alive reports whether the process runs, and not another with its pid.
func (r Record) Alive() bool { return r.PID != 0 && birth(r.PID) == r.Birth }

// State is the content of the state file, by names of processes.
type State struct {
	PID       int      `json:"pid"` // the supervisor's
	Birth     uint64   `json:"birth"`
	Processes []Record `json:"processes"`
}

// Keeps reports whether there is to be a process of that name.
func (st State) Keeps(name string) bool {
	return slices.ContainsFunc(st.Processes, func(r Record) bool { return r.Name == name })
}

// Runs reports whether a process runs as described.
func (st State) Runs(p Process) bool {
	return slices.ContainsFunc(st.Processes, func(r Record) bool { return r.Name == p.Name && r.PID != 0 && r.Digest == p.digest() })
}

// Supervised reports whether the supervisor runs that wrote this.
func (st State) Supervised() bool { return st.PID != 0 && birth(st.PID) == st.Birth }

// Memory is what all processes have in memory, in bytes; what several of them
// share counts once.
func (st State) Memory() int64 {
	var bytes int64
	tree := children()
	for _, r := range st.Processes {
		bytes += memory(r.PID, tree)
	}
	return bytes
}

// Processor is the time that each process has had on a processor, by name, with
// all that it started, be it over or not.
func (st State) Processor() map[string]time.Duration {
	used := map[string]time.Duration{}
	tree := children()
	for _, r := range st.Processes {
		if r.Alive() {
			used[r.Name] = processor(r.PID, tree)
		}
	}
	return used
}

// Status is how one process is.
type Status struct {
	Name     string
	Health   string // "ok", or what is wrong
	PID      int    // 0 when it is down
	Bytes    int64  // in memory, with what it started
	Restarts int
	Up       time.Duration
}

// Status asks every process how it is.
func (st State) Status(ctx context.Context) []Status {
	tree := children()
	list := make([]Status, len(st.Processes))
	var all sync.WaitGroup
	for i, r := range st.Processes {
		list[i] = Status{Name: r.Name, PID: r.PID, Restarts: r.Restarts, Up: time.Since(r.Since)}
		if !r.Alive() {
			list[i].PID, list[i].Health = 0, "down ("+r.Exit+")"
			continue
		}
		all.Go(func() {
			list[i].Bytes = memory(r.PID, tree)
			if list[i].Health = Check(ctx, r.Health); list[i].Health == "" {
				list[i].Health = "ok"
			}
		})
	}
	all.Wait()
	return list
}

// readState reads the state file of a run folder; ok is false when there is none.
func readState(run string) (st State, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(run, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	if err := json.Unmarshal(text, &st); err != nil {
		return State{}, false, fmt.Errorf("state.json: %w", err)
	}
	return st, true, nil
}
