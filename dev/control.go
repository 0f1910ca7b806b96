package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readState reads the state file; ok is false when there is none.
func (s *stack) readState() (st state, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(s.run, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, err
	}
	if err := json.Unmarshal(text, &st); err != nil {
		return state{}, false, fmt.Errorf("state.json: %w", err)
	}
	return st, true, nil
}

// supervised reports whether the supervisor of this stack runs.
func (st state) supervised() bool { return st.PID != 0 && birth(st.PID) == st.Birth }

func (s *stack) socket() string { return filepath.Join(s.data, "supervisor.sock") }

// ask sends one request to the supervisor.
func (s *stack) ask(ctx context.Context, method, path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket())
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("%s", bytes.TrimSpace(text))
	}
	return resp, nil
}

// startSupervisor starts the supervisor in the background, unless it runs, and
// reports whether it was this call that started it.
func (s *stack) startSupervisor(ctx context.Context) (started bool, err error) {
	st, found, err := s.readState()
	if err != nil {
		return false, err
	}
	if st.supervised() {
		return false, nil
	}
	if found {
		s.stopLeftovers(st)
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	log, err := os.OpenFile(s.logFile("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	defer log.Close()
	cmd := exec.Command(self, "supervise", s.run, s.socket())
	cmd.Dir = s.root
	cmd.Env = basicEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // outlives this terminal
	if err := cmd.Start(); err != nil {
		return false, err
	}
	go cmd.Wait()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if st, ok, _ := s.readState(); ok && st.PID == cmd.Process.Pid {
			return true, nil
		}
		if !pause(ctx, 20*time.Millisecond) {
			return true, ctx.Err()
		}
	}
	return true, &problem{line: "the supervisor does not come up", detail: tail(s.logFile("supervisor"), 10)}
}

// ensure makes a process run as described; see supervisor.ensure.
func (s *stack) ensure(ctx context.Context, p process) (answer string, err error) {
	resp, err := s.ask(ctx, http.MethodPut, "/processes/"+p.Name, p)
	if err != nil {
		return "", fmt.Errorf("%s cannot be started: %w", p.Name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// down stops everything that runs for this stack; its data stays.
func (s *stack) down(ctx context.Context) error {
	st, found, err := s.readState()
	if err != nil {
		return err
	}
	switch {
	case !found:
		s.out.say("down", "nothing runs")
		return nil
	case !st.supervised():
		s.stopLeftovers(st)
		return nil
	}
	resp, err := s.ask(ctx, http.MethodPost, "/down", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		s.out.say("down", "%s", scan.Text())
	}
	for st.supervised() {
		if !pause(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
		if st, _, err = s.readState(); err != nil {
			return err
		}
	}
	return nil
}

// stopLeftovers stops what a supervisor that was killed left running.
func (s *stack) stopLeftovers(st state) {
	for stage := stagesCount - 1; stage >= 0; stage-- {
		var all sync.WaitGroup
		for _, r := range st.Processes {
			if r.Stage != stage || r.PID == 0 || birth(r.PID) != r.Birth {
				continue
			}
			s.out.say("down", "stopping %s (pid %d), left behind by a supervisor that was killed", r.Name, r.PID)
			all.Go(func() {
				syscall.Kill(r.PID, syscall.SIGTERM)
				for deadline := time.Now().Add(time.Duration(r.Patience) * time.Second); time.Now().Before(deadline); {
					if birth(r.PID) != r.Birth {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
				syscall.Kill(-r.PID, syscall.SIGKILL)
			})
		}
		all.Wait()
	}
	os.Remove(filepath.Join(s.run, "state.json"))
}

// healthy asks a process for its health once; the answer is "" when it is well.
func healthy(ctx context.Context, health string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if address, ok := strings.CutPrefix(health, "tcp:"); ok {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return "does not listen yet"
		}
		conn.Close()
		return ""
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, health, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "does not answer"
	case err != nil:
		return "does not listen yet"
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	if resp.StatusCode/100 != 2 {
		return strings.TrimSpace(fmt.Sprintf("answers %d %s", resp.StatusCode, strings.Join(strings.Fields(string(body)), " ")))
	}
	return ""
}

// tries is how often a process may exit while make up waits for it.
const tries = 6

// await waits until the processes are well, and fails on the first that exits
// again and again or is not well within the limit. It says which became well.
func (s *stack) await(ctx context.Context, list []process, limit time.Duration, step string) error {
	begun := time.Now()
	before := map[string]int{}
	if st, _, err := s.readState(); err == nil {
		for _, r := range st.Processes {
			before[r.Name] = r.Restarts
		}
	}
	waiting := slices.Clone(list)
	why := map[string]string{}
	said := time.Now()
	for {
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, p := range waiting {
			all.Go(func() {
				answer := healthy(ctx, p.Health)
				mu.Lock()
				defer mu.Unlock()
				why[p.Name] = answer
			})
		}
		all.Wait()
		waiting = slices.DeleteFunc(waiting, func(p process) bool { return why[p.Name] == "" })
		if len(waiting) == 0 {
			return nil
		}
		st, _, err := s.readState()
		if err != nil {
			return err
		}
		if !st.supervised() {
			return &problem{line: "the supervisor is gone", detail: tail(s.logFile("supervisor"), 10)}
		}
		for _, p := range waiting {
			i := slices.IndexFunc(st.Processes, func(r record) bool { return r.Name == p.Name })
			if i < 0 {
				continue
			}
			if n := st.Processes[i].Restarts - before[p.Name]; n >= tries {
				return s.notUp(p, fmt.Sprintf("exited %d times, the last time with %s", n, st.Processes[i].Exit))
			}
		}
		if time.Since(begun) > limit {
			return s.notUp(waiting[0], fmt.Sprintf("%s after %.0f s", why[waiting[0].Name], limit.Seconds()))
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			var names []string
			for _, p := range waiting {
				names = append(names, p.Name)
			}
			s.out.say(step, "… waiting for %s (%s: %s)", join(names), waiting[0].Name, why[waiting[0].Name])
		}
		if !pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// notUp is the error for a process that does not come up.
func (s *stack) notUp(p process, why string) error {
	return &problem{
		line:   fmt.Sprintf("%s does not come up: %s; its log is %s", p.Name, why, s.logFile(p.Name)),
		detail: tail(s.logFile(p.Name), 15),
	}
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// join writes names as a list: "a, b and c".
func join(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// basicEnv is what every process gets besides its settings. It is the same
// from whichever shell make up is called, or every process would be another.
func basicEnv() []string {
	return []string{"PATH=" + path(), "HOME=" + home(), "LANG=C.UTF-8", "TZ=UTC"}
}

// path is the system's, after the folder of the java that is in use here.
func path() string {
	const system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	java, err := exec.LookPath("java")
	if err != nil || slices.Contains(filepath.SplitList(system), filepath.Dir(java)) {
		return system
	}
	return filepath.Dir(java) + ":" + system
}

func home() string {
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return "/"
}
