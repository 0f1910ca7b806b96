package supervise

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stampede-shop/stampede/kit/pause"
)

// Client talks to the supervisor of a run folder. It needs none to run: then
// there is no state, and Start starts one.
type Client struct {
	Run    string                                 // as Serve's
	Socket string                                 // as Serve's
	Say    func(step, format string, args ...any) // tells the user what is going on
}

// State reads what the supervisor has written down; ok is false when nothing
// was started, or everything was stopped.
func (c *Client) State() (st State, ok bool, err error) { return readState(c.Run) }

// LogFile is where the output of a process goes.
func (c *Client) LogFile(name string) string { return filepath.Join(c.Run, "logs", name+".log") }

// ask sends one request to the supervisor.
func (c *Client) ask(ctx context.Context, method, path string, body any) (*http.Response, error) {
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
			return new(net.Dialer).DialContext(ctx, "unix", c.Socket)
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

// Start starts the supervisor in the background, unless it runs, and reports
// whether it was this call that started it. cmd is the program that calls
// Serve with this client's folder and socket; it outlives the terminal.
func (c *Client) Start(ctx context.Context, cmd *exec.Cmd) (started bool, err error) {
	st, found, err := c.State()
	if err != nil {
		return false, err
	}
	if st.Supervised() {
		return false, nil
	}
	if found {
		c.stopLeftovers(st)
	}
	log, err := os.OpenFile(c.LogFile("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return false, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	go func() { _ = cmd.Wait() }()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if st, ok, _ := c.State(); ok && st.PID == cmd.Process.Pid {
			return true, nil
		}
		if !pause.For(ctx, 20*time.Millisecond) {
			return true, ctx.Err()
		}
	}
	return true, &Failure{Line: "the supervisor does not come up", Lines: Tail(c.LogFile("supervisor"), 10)}
}

// Ensure makes a process run as described: one that does not run is started,
// one that would run differently is started again, and the rest is left
// alone. It answers "started", "restarted" or "".
func (c *Client) Ensure(ctx context.Context, p Process) (answer string, err error) {
	resp, err := c.ask(ctx, http.MethodPut, "/processes/"+p.Name, p)
	if err != nil {
		return "", fmt.Errorf("%s cannot be started: %w", p.Name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// Adopt has a process that runs count as described: it was told otherwise what is different, so that it need not be started
// again for that.
func (c *Client) Adopt(ctx context.Context, p Process) error {
	resp, err := c.ask(ctx, http.MethodPatch, "/processes/"+p.Name, p)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Stop stops processes side by side: a sidecar that stops alone waits for its
// app. They are not started again. kill leaves them no time to end well.
func (c *Client) Stop(ctx context.Context, kill bool, names ...string) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, name := range names {
		path := "/processes/" + name
		if kill {
			path += "?kill"
		}
		g.Go(func() error {
			resp, err := c.ask(ctx, http.MethodDelete, path, nil)
			if err != nil {
				return err
			}
			return resp.Body.Close()
		})
	}
	return g.Wait()
}

// Down stops everything, the supervisor too, and says what it stopped.
func (c *Client) Down(ctx context.Context) error {
	st, found, err := c.State()
	if err != nil {
		return err
	}
	switch {
	case !found:
		c.Say("down", "nothing runs")
		return nil
	case !st.Supervised():
		c.stopLeftovers(st)
		return nil
	}
	resp, err := c.ask(ctx, http.MethodPost, "/down", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for scan := bufio.NewScanner(resp.Body); scan.Scan(); {
		c.Say("down", "%s", scan.Text())
	}
	for st.Supervised() {
		if !pause.For(ctx, 20*time.Millisecond) {
			return ctx.Err()
		}
		if st, _, err = c.State(); err != nil {
			return err
		}
	}
	return nil
}

// stopLeftovers stops what a supervisor that was killed left running.
func (c *Client) stopLeftovers(st State) {
	stages := map[int]bool{}
	for _, r := range st.Processes {
		stages[r.Stage] = true
	}
	for _, stage := range slices.Backward(slices.Sorted(maps.Keys(stages))) {
		var all sync.WaitGroup
		for _, r := range st.Processes {
			if r.Stage != stage || !r.Alive() {
				continue
			}
			c.Say("down", "stopping %s (pid %d), left behind by a supervisor that was killed", r.Name, r.PID)
			all.Go(func() {
				syscall.Kill(r.PID, syscall.SIGTERM)
				for deadline := time.Now().Add(time.Duration(r.Patience) * time.Second); time.Now().Before(deadline); {
					if !r.Alive() {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
				syscall.Kill(-r.PID, syscall.SIGKILL)
			})
		}
		all.Wait()
	}
	os.Remove(filepath.Join(c.Run, "state.json"))
}

// tries is how often a process may exit while Await waits for it.
const tries = 6

// Await waits until the processes are well, and fails on the first that exits
// again and again or is not well within the limit. The error is a *Failure
// with the end of its log. What it waits for it says as a line of step.
func (c *Client) Await(ctx context.Context, processes []Process, limit time.Duration, step string) error {
	begun := time.Now()
	before := map[string]int{}
	if st, _, err := c.State(); err == nil {
		for _, r := range st.Processes {
			before[r.Name] = r.Restarts
		}
	}
	waiting := slices.Clone(processes)
	why := map[string]string{}
	said := time.Now()
	for {
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, p := range waiting {
			all.Go(func() {
				answer := Check(ctx, p.Health)
				mu.Lock()
				defer mu.Unlock()
				why[p.Name] = answer
			})
		}
		all.Wait()
		waiting = slices.DeleteFunc(waiting, func(p Process) bool { return why[p.Name] == "" })
		if len(waiting) == 0 {
			return nil
		}
		st, _, err := c.State()
		if err != nil {
			return err
		}
		if !st.Supervised() {
			return &Failure{Line: "the supervisor is gone", Lines: Tail(c.LogFile("supervisor"), 10)}
		}
		for _, p := range waiting {
			i := slices.IndexFunc(st.Processes, func(r Record) bool { return r.Name == p.Name })
			if i < 0 {
				continue
			}
			if n := st.Processes[i].Restarts - before[p.Name]; n >= tries {
				return c.notUp(p, fmt.Sprintf("exited %d times, the last time with %s", n, st.Processes[i].Exit))
			}
		}
		if time.Since(begun) > limit {
			return c.notUp(waiting[0], fmt.Sprintf("%s after %.0f s", why[waiting[0].Name], limit.Seconds()))
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			c.Say(step, "… waiting for %s (%s: %s)", list(Names(waiting)), waiting[0].Name, why[waiting[0].Name])
		}
		if !pause.For(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// notUp is the error for a process that does not come up.
func (c *Client) notUp(p Process, why string) error {
	return &Failure{
		Line:  fmt.Sprintf("%s does not come up: %s; its log is %s", p.Name, why, c.LogFile(p.Name)),
		Lines: Tail(c.LogFile(p.Name), 15),
	}
}

// list writes names as a list: "a, b and c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
