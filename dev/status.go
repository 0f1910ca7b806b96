package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// stat is the part of /proc/<pid>/stat that is used here.
type stat struct {
	state  string
	parent int
	start  uint64 // clock ticks after the machine's start
}

func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	return parseStat(string(text))
}

// parseStat reads what follows the program's name, which may itself hold
// blanks and brackets.
func parseStat(text string) (stat, bool) {
	_, after, found := cutLast(text, ")")
	fields := strings.Fields(after)
	if !found || len(fields) < 20 {
		return stat{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return stat{state: fields[0], parent: parent, start: start}, err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// children returns the children of every process of this machine.
func children() map[int][]int {
	tree := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if st, ok := readStat(pid); ok {
			tree[st.parent] = append(tree[st.parent], pid)
		}
	}
	return tree
}

// memory returns the resident bytes of a process and all below it. Pages that
// several processes share count once (proportional set size), or PostgreSQL's
// buffers and the sidecars' common program would count many times.
func memory(pid int, tree map[int][]int) int64 {
	total := pss(pid)
	for _, child := range tree[pid] {
		total += memory(child, tree)
	}
	return total
}

func pss(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// row is a line of make status.
type row struct {
	name, health string
	pid          int
	bytes        int64
	restarts     int
	up           time.Duration
}

// rows reads how every process of the stack is.
func (s *stack) rows(ctx context.Context, st state) []row {
	tree := children()
	rows := make([]row, len(st.Processes))
	var all sync.WaitGroup
	for i, r := range st.Processes {
		rows[i] = row{name: r.Name, pid: r.PID, restarts: r.Restarts, up: time.Since(r.Since)}
		if r.PID == 0 || birth(r.PID) != r.Birth {
			rows[i].pid, rows[i].health = 0, "down ("+r.Exit+")"
			continue
		}
		all.Go(func() {
			rows[i].bytes = memory(r.PID, tree)
			if rows[i].health = healthy(ctx, r.Health); rows[i].health == "" {
				rows[i].health = "ok"
			}
		})
	}
	all.Wait()
	return rows
}

// status prints a line a process and a total. The error names what is not well.
func (s *stack) status(ctx context.Context, w io.Writer) error {
	st, found, err := s.readState()
	if err != nil {
		return err
	}
	if !found {
		fmt.Fprintln(w, "nothing runs; make up starts it")
		return nil
	}
	rows := s.rows(ctx, st)
	printStatus(w, rows)
	fmt.Fprintf(w, "supervisor pid %d · %s · logs in %s\n", st.PID, s.settings.get("PUBLIC_URL"), filepath.Join(s.run, "logs"))
	var ill []string
	for _, r := range rows {
		if r.health != "ok" {
			ill = append(ill, r.name)
		}
	}
	if !st.supervised() {
		return fmt.Errorf("the supervisor (pid %d) is gone, so nothing is started again: run make up", st.PID)
	}
	if len(ill) > 0 {
		return fmt.Errorf("not well: %s", join(ill))
	}
	return nil
}

func printStatus(w io.Writer, rows []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROCESS\tPID\tHEALTH\tMEMORY\tRESTARTS\tUP")
	var bytes int64
	well, restarts := 0, 0
	for _, r := range rows {
		pid := "-"
		if r.pid != 0 {
			pid = strconv.Itoa(r.pid)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d MB\t%d\t%s\n", r.name, pid, r.health, r.bytes>>20, r.restarts, r.up.Round(time.Second))
		bytes += r.bytes
		restarts += r.restarts
		if r.health == "ok" {
			well++
		}
	}
	fmt.Fprintf(t, "%d processes\t\t%d ok\t%d MB\t%d\t\n", len(rows), well, bytes>>20, restarts)
	t.Flush()
}

// logs follows the log of one process and of its sidecar, or of all.
func (s *stack) logs(ctx context.Context, name string) error {
	pattern := s.logFile("*")
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	var pick, names []string
	for _, file := range files {
		base := strings.TrimSuffix(filepath.Base(file), ".log")
		names = append(names, base)
		if name == "" && !strings.HasPrefix(base, "install-") || base == name || base == name+"-daprd" {
			pick = append(pick, file)
		}
	}
	if len(pick) == 0 {
		return fmt.Errorf("there is no log of %q; there are: %s", name, join(names))
	}
	cmd := exec.CommandContext(ctx, "tail", append([]string{"-n", "50", "-F"}, pick...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
