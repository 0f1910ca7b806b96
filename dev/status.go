package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// status prints a line a process and a total. The error names what is not well.
func (s *shop) status(ctx context.Context, w io.Writer) error {
	st, found, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	if !found {
		fmt.Fprintln(w, "nothing runs; make up starts it")
		return nil
	}
	rows := st.Status(ctx)
	printStatus(w, rows)
	fmt.Fprintf(w, "supervisor pid %d · %s · logs in %s\n", st.PID, s.Settings.Get("PUBLIC_URL"), filepath.Join(s.Run, "logs"))
	var ill []string
	for _, r := range rows {
		if r.Health != "ok" {
			ill = append(ill, r.Name)
		}
	}
	if !st.Supervised() {
		return fmt.Errorf("the supervisor (pid %d) is gone, so nothing is started again: run make up", st.PID)
	}
	if len(ill) > 0 {
		return fmt.Errorf("not well: %s", progress.List(ill))
	}
	return nil
}

func printStatus(w io.Writer, rows []supervise.Status) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROCESS\tPID\tHEALTH\tMEMORY\tRESTARTS\tUP")
	var bytes int64
	well, restarts := 0, 0
	for _, r := range rows {
		pid := "-"
		if r.PID != 0 {
			pid = strconv.Itoa(r.PID)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d MB\t%d\t%s\n", r.Name, pid, r.Health, r.Bytes>>20, r.Restarts, r.Up.Round(time.Second))
		bytes += r.Bytes
		restarts += r.Restarts
		if r.Health == "ok" {
			well++
		}
	}
	fmt.Fprintf(t, "%d processes\t\t%d ok\t%d MB\t%d\t\n", len(rows), well, bytes>>20, restarts)
	t.Flush()
}

// logs follows the log of one process and of its sidecar, with those of all
// instances where an app is meant, or all logs.
func (s *shop) logs(ctx context.Context, name string) error {
	pattern := s.LogFile("*")
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	var pick, names []string
	its := regexp.MustCompile("^" + regexp.QuoteMeta(name) + `(-[0-9]+)?(-daprd)?$`)
	for _, file := range files {
		base := strings.TrimSuffix(filepath.Base(file), ".log")
		names = append(names, base)
		if name == "" && !strings.HasPrefix(base, "install-") || its.MatchString(base) {
			pick = append(pick, file)
		}
	}
	if len(pick) == 0 {
		return fmt.Errorf("there is no log of %q; there are: %s", name, progress.List(names))
	}
	cmd := exec.CommandContext(ctx, "tail", append([]string{"-n", "50", "-F"}, pick...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}
