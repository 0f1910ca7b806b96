package supervise

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bench is a supervisor of real processes in the test's own process, and the
// client side that talks to it over its socket.
type bench struct {
	Client
	t   *testing.T
	out bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Parallel()
	dir, err := os.MkdirTemp("", "dev") // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bench{t: t}
	b.Client = Client{Run: dir, Socket: filepath.Join(dir, "supervisor.sock"), Say: func(step, format string, args ...any) {
		fmt.Fprintf(&b.out, step+": "+format+"\n", args...)
	}}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "logs"), 0o755))
	ended := make(chan error, 1)
	go func() { ended <- Serve(dir, b.Socket) }()
	b.poll("the supervisor", func() bool {
		conn, err := net.Dial("unix", b.Socket)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	t.Cleanup(func() {
		resp, err := b.ask(context.Background(), http.MethodPost, "/down", nil)
		if err == nil { // else the test has ended it
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		require.NoError(t, <-ended)
	})
	return b
}

func (b *bench) poll(what string, ok func() bool) {
	b.t.Helper()
	require.Eventually(b.t, ok, 20*time.Second, 5*time.Millisecond, what)
}

// shell is a process that runs a script.
func shell(name, script string) Process {
	return Process{Name: name, Args: []string{"/bin/sh", "-c", script}, Dir: "/", Env: []string{"PATH=/usr/bin:/bin"}, Patience: 5 * time.Second}
}

func (b *bench) record(name string) Record {
	b.t.Helper()
	st, _, err := b.State()
	require.NoError(b.t, err)
	i := slices.IndexFunc(st.Processes, func(r Record) bool { return r.Name == name })
	if i < 0 {
		return Record{}
	}
	return st.Processes[i]
}

func TestSuperviseStartsAgainWhatExits(t *testing.T) {
	b := newBench(t)
	answer, err := b.Ensure(t.Context(), shell("a", "echo hello; exec sleep 1000"))
	require.NoError(t, err)
	require.Equal(t, "started", answer)
	first := b.record("a")
	require.NotZero(t, first.PID)
	require.Equal(t, first.Birth, birth(first.PID))
	pid, err := os.ReadFile(filepath.Join(b.Run, "pids", "a.pid"))
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(first.PID)+"\n", string(pid))

	b.poll("its first words", func() bool { return len(Tail(b.LogFile("a"), 9)) == 1 })
	require.NoError(t, syscall.Kill(first.PID, syscall.SIGKILL))
	b.poll("another process", func() bool { r := b.record("a"); return r.PID != 0 && r.PID != first.PID })
	again := b.record("a")
	require.Equal(t, 1, again.Restarts)
	require.Equal(t, "signal: killed", again.Exit)
	b.poll("both in the log", func() bool { return len(Tail(b.LogFile("a"), 9)) == 2 })
}

func TestEnsureLeavesAloneWhatIsTheSame(t *testing.T) {
	b := newBench(t)
	p := shell("a", "exec sleep 1000")
	_, err := b.Ensure(t.Context(), p)
	require.NoError(t, err)
	pid := b.record("a").PID

	answer, err := b.Ensure(t.Context(), p)
	require.NoError(t, err)
	require.Empty(t, answer)
	require.Equal(t, pid, b.record("a").PID)

	p.Stamp = "what it was told"
	require.NoError(t, b.Adopt(t.Context(), p))
	st, _, err := b.State()
	require.NoError(t, err)
	require.True(t, st.Runs(p))
	answer, err = b.Ensure(t.Context(), p)
	require.NoError(t, err)
	require.Empty(t, answer)
	require.Equal(t, pid, b.record("a").PID)
	require.ErrorContains(t, b.Adopt(t.Context(), shell("b", "exec sleep 1000")), "b does not run")

	p.Stamp = "another binary"
	require.False(t, st.Runs(p))
	answer, err = b.Ensure(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, "restarted", answer)
	require.NotEqual(t, pid, b.record("a").PID)
	require.Zero(t, birth(pid), "the old one is gone")
}

func TestEnsureTellsWhatCannotStart(t *testing.T) {
	b := newBench(t)
	_, err := b.Ensure(t.Context(), Process{Name: "a", Args: []string{"/nowhere/program"}, Dir: "/"})
	require.ErrorContains(t, err, "a cannot be started")
	require.ErrorContains(t, err, "/nowhere/program")
	require.Zero(t, b.record("a"))
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	b := newBench(t)
	p := shell("a", `trap "" TERM; echo ready; while :; do sleep 1000; done`)
	p.Patience = 50 * time.Millisecond
	_, err := b.Ensure(t.Context(), p)
	require.NoError(t, err)
	b.poll("the trap", func() bool { return len(Tail(b.LogFile("a"), 1)) == 1 })
	r := b.record("a")
	require.NoError(t, b.Stop(t.Context(), false, p.Name))
	require.Zero(t, birth(r.PID))
	require.Zero(t, b.record("a"))
	require.NoFileExists(t, filepath.Join(b.Run, "pids", "a.pid"))
}

func TestKillLeavesNoTime(t *testing.T) {
	b := newBench(t)
	p := shell("a", `trap "echo asked" TERM; echo ready; while :; do sleep 0.01; done`)
	_, err := b.Ensure(t.Context(), p)
	require.NoError(t, err)
	b.poll("the trap", func() bool { return len(Tail(b.LogFile("a"), 1)) == 1 })
	require.NoError(t, b.Stop(t.Context(), true, p.Name))
	require.Equal(t, []string{"ready"}, Tail(b.LogFile("a"), 9))
}

// TestDownStopsStageByStage: the edge before the apps before the stores, and
// nothing is left.
func TestDownStopsStageByStage(t *testing.T) {
	b := newBench(t)
	order := filepath.Join(b.Run, "order")
	var pids []int
	for name, stage := range map[string]int{"store": 0, "app": 2, "front": 4} {
		p := shell(name, fmt.Sprintf(`trap "echo %s >> %s; exit" TERM; echo ready; while :; do sleep 0.01; done`, name, order))
		p.Stage = stage
		_, err := b.Ensure(t.Context(), p)
		require.NoError(t, err)
		pids = append(pids, b.record(name).PID)
		b.poll("the trap", func() bool { return len(Tail(b.LogFile(name), 1)) == 1 })
	}
	require.NoError(t, b.Down(t.Context()))
	require.Equal(t, []string{"front", "app", "store"}, Tail(order, 9))
	for _, pid := range pids {
		require.Zero(t, birth(pid))
	}
	require.NoFileExists(t, filepath.Join(b.Run, "state.json"))
}

func TestAwait(t *testing.T) {
	b := newBench(t)
	answers := make(chan int, 3)
	answers <- http.StatusServiceUnavailable
	answers <- http.StatusInternalServerError
	answers <- http.StatusNoContent
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(<-answers) }))
	t.Cleanup(server.Close)
	well := shell("well", "exec sleep 1000")
	well.Health = server.URL
	_, err := b.Ensure(t.Context(), well)
	require.NoError(t, err)
	require.NoError(t, b.Await(t.Context(), []Process{well}, 20*time.Second, "x"))

	ill := shell("ill", "echo cannot find my teeth; exit 3")
	ill.Health = "tcp:127.0.0.1:1"
	_, err = b.Ensure(t.Context(), ill)
	require.NoError(t, err)
	err = b.Await(t.Context(), []Process{ill}, 30*time.Second, "x")
	require.ErrorContains(t, err, "ill does not come up: exited")
	require.ErrorContains(t, err, "exit status 3")
	var failure *Failure
	require.ErrorAs(t, err, &failure)
	require.Contains(t, failure.Detail(), "cannot find my teeth")

	deaf := shell("deaf", "exec sleep 1000")
	deaf.Health = "tcp:127.0.0.1:1"
	_, err = b.Ensure(t.Context(), deaf)
	require.NoError(t, err)
	err = b.Await(t.Context(), []Process{deaf}, 50*time.Millisecond, "x")
	require.ErrorContains(t, err, "deaf does not come up: does not listen yet after")
}

// TestLeftovers: what a killed supervisor left running is found and stopped.
func TestLeftovers(t *testing.T) {
	b := newBench(t)
	_, err := b.Ensure(t.Context(), shell("a", "exec sleep 1000"))
	require.NoError(t, err)
	st, found, err := b.State()
	require.NoError(t, err)
	require.True(t, found)
	require.True(t, st.Supervised())

	st.Birth++ // another process has the supervisor's pid now
	require.False(t, st.Supervised())
	pid := st.Processes[0].PID
	other := Record{Name: "not ours", PID: os.Getpid(), Birth: birth(os.Getpid()) + 1}
	st.Processes = append(st.Processes, other)
	b.stopLeftovers(st)
	require.NotEqual(t, pid, b.record("a").PID)
	require.NotContains(t, b.out.String(), "not ours", "a pid that was used again")
}
