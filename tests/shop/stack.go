package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// Port is one of the stack's ports: the number that it has without an offset, shifted.
func (s *Shop) Port(base int) string { return shift(strconv.Itoa(base), s.Settings["PORT_OFFSET"]) }

func shift(port, offset string) string {
	a, _ := strconv.Atoi(port)
	b, _ := strconv.Atoi(offset)
	return strconv.Itoa(a + b)
}

// Binary is where an app's program is.
func (s *Shop) Binary(app string) string { return filepath.Join(s.Run, "bin", app) }

// PID is the process of an app or of a part of the infrastructure, by its name in `make status`; 0 while it is down.
func (s *Shop) PID(t testing.TB, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Run, "pids", name+".pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return pid
}

// Signal sends a signal to a process of the stack.
func (s *Shop) Signal(t testing.TB, name string, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(s.PID(t, name), sig), name)
}

// Kill ends a process of the stack and what it started, as a crash does; the stack starts it again. It may be called
// beside the test.
func (s *Shop) Kill(t testing.TB, name string) {
	t.Helper()
	pid := s.PID(t, name)
	t.Logf("killing %s, %d", name, pid)
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// Away takes a part of the stack away for a while, without letting it end well, and calls happened when it is gone.
func (s *Shop) Away(t testing.TB, name string, long time.Duration, happened func()) {
	defer happened()
	if out, err := s.Dev(t, "kill", name); err != nil {
		t.Errorf("%s: %s", err, out)
		return
	}
	happened()
	select {
	case <-t.Context().Done():
	case <-time.After(long):
	}
	if out, err := s.Dev(t, "start", name); err != nil {
		t.Errorf("%s: %s", err, out)
	}
}

// Plugged is the type of the component with that name, such as pubsub.rabbitmq.
func (s *Shop) Plugged(t testing.TB, name string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.Run, "components", "*.yaml"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var c struct {
			Metadata struct{ Name string }
			Spec     struct{ Type string }
		}
		require.NoError(t, yaml.Unmarshal(text, &c), file)
		if c.Metadata.Name == name {
			return c.Spec.Type
		}
	}
	t.Fatalf("no component is called %s", name)
	return ""
}

// Broker is the process of the broker that is plugged in.
func (s *Shop) Broker(t testing.TB) string {
	t.Helper()
	kind := s.Plugged(t, "pubsub")
	name := map[string]string{"pubsub.rabbitmq": "rabbitmq", "pubsub.jetstream": "nats", "pubsub.kafka": "kafka", "pubsub.redis": "redis"}[kind]
	require.NotEmpty(t, name, kind)
	return name
}

// Dev runs a command of the program behind make for this stack, such as "audit", and returns what it printed.
func (s *Shop) Dev(t testing.TB, args ...string) (string, error) {
	t.Helper()
	return s.Make(t.Context(), args...)
}

// Make is Dev without a test.
func (s *Shop) Make(ctx context.Context, args ...string) (string, error) {
	root, err := filepath.Abs("../..") // a suite runs in its own folder
	if err != nil {
		return "", err
	}
	dev := exec.CommandContext(ctx, filepath.Join(root, ".run", "bin", "dev"), args...)
	dev.Dir = root
	dev.Env = append(os.Environ(), "RUN_DIR="+s.Run, "PORT_OFFSET="+s.Settings["PORT_OFFSET"], "GOWORK=off")
	out, err := dev.CombinedOutput()
	return string(out), err
}

// Audit checks the stack's databases against each other: no violation, and within a deadline nothing in flight.
func (s *Shop) Audit(t testing.TB) {
	t.Helper()
	Eventually(t, 3*Patience, func() (bool, string) {
		out, err := s.Dev(t, "audit")
		require.NoError(t, err, out)
		return !strings.Contains(out, "\nin flight:"), out
	})
}

// Process is a program that the stack keeps running.
type Process struct {
	Name     string `json:"name"`
	PID      int    `json:"pid"` // 0 while it waits to be started again
	Restarts int    `json:"restarts"`
}

// Processes are all that the stack keeps, as its supervisor has written them down.
func (s *Shop) Processes(t testing.TB) []Process {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Run, "state.json"))
	require.NoError(t, err)
	var state struct {
		Processes []Process `json:"processes"`
	}
	require.NoError(t, json.Unmarshal(text, &state))
	require.NotEmpty(t, state.Processes)
	return state.Processes
}

// DiskLimit says how much has to be free for RabbitMQ to take messages, as 200MB: more than there is, and it takes none.
func (s *Shop) DiskLimit(ctx context.Context, limit string) error {
	data, err := filepath.EvalSymlinks(filepath.Join(s.Run, "data"))
	if err != nil {
		return err
	}
	u, err := user.Lookup("rabbitmq")
	if err != nil {
		return err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	node := "stampede@localhost"
	if offset := s.Settings["PORT_OFFSET"]; offset != "0" {
		node = "stampede-" + offset + "@localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/usr/lib/rabbitmq/bin/rabbitmqctl", "--node", node, "set_disk_free_limit", limit)
	cmd.Dir = filepath.Join(data, "rabbitmq")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + cmd.Dir, "ERL_EPMD_PORT=" + s.Port(24369)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rabbitmqctl: %w %s", err, out)
	}
	return nil
}
