package infra

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// erlang is what RabbitMQ and its port mapper share.
func (s Servers) erlang() (dir string, env []string) {
	dir = filepath.Join(s.Data, "rabbitmq")
	// The last HOME counts.
	return dir, append(stack.Environment(), "HOME="+dir,
		"ERL_EPMD_PORT="+strconv.Itoa(s.Port(stack.PortEpmd)), "ERL_EPMD_ADDRESS=127.0.0.1")
}

// epmd returns RabbitMQ's port mapper, one of our own on a port of our own: a
// shared one would be started by whichever stack comes first and stay behind
// when that ends.
func (s Servers) epmd() (supervise.Process, error) {
	dir, env := s.erlang()
	program, err := exec.LookPath("epmd")
	return supervise.Process{
		Args: []string{program}, Dir: dir, Env: env, User: "rabbitmq",
		Patience: 2 * time.Second, Stage: stack.StageStore, Health: "tcp:" + s.At(stack.PortEpmd),
	}, err
}

func (s Servers) rabbitmqNode() string {
	if s.Offset != 0 {
		return fmt.Sprintf("stampede-%d@localhost", s.Offset)
	}
	return "stampede@localhost"
}

func (s Servers) rabbitmq() (supervise.Process, error) {
	dir, env := s.erlang()
	u, err := url.Parse(s.Settings.Get("RABBITMQ_URL"))
	if err != nil {
		return supervise.Process{}, fmt.Errorf("RABBITMQ_URL: %w", err)
	}
	password, _ := u.User.Password()
	text := strings.Join([]string{
		"listeners.tcp.1 = " + s.At(stack.PortRabbitMQ),
		"management.tcp.ip = 127.0.0.1",
		"management.tcp.port = " + strconv.Itoa(s.Port(stack.PortRabbitMQPage)),
		"prometheus.tcp.ip = 127.0.0.1",
		"prometheus.tcp.port = " + strconv.Itoa(s.Port(stack.PortRabbitMQMetrics)),
		"default_user = " + u.User.Username(),
		"default_pass = " + password,
		"vm_memory_high_watermark.absolute = 1GB",
		"disk_free_limit.absolute = 200MB",
		"log.console.level = warning",
		"",
	}, "\n")
	if err := ownedFile(filepath.Join(dir, "rabbitmq.conf"), text, "rabbitmq"); err != nil {
		return supervise.Process{}, err
	}
	if err := ownedFile(filepath.Join(dir, "enabled_plugins"), "[rabbitmq_management,rabbitmq_prometheus].\n", "rabbitmq"); err != nil {
		return supervise.Process{}, err
	}
	return supervise.Process{
		Args: []string{"/usr/lib/rabbitmq/bin/rabbitmq-server"}, Dir: dir, User: "rabbitmq",
		Env: append(env,
			"RABBITMQ_NODENAME="+s.rabbitmqNode(),
			"RABBITMQ_DIST_PORT="+strconv.Itoa(s.Port(stack.PortRabbitMQDist)),
			"RABBITMQ_CONF_ENV_FILE="+filepath.Join(dir, "env.conf"), // not the system's
			"RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "rabbitmq.conf"),
			"RABBITMQ_ADVANCED_CONFIG_FILE="+filepath.Join(dir, "advanced.config"),
			"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "enabled_plugins"),
			"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "mnesia"),
			"RABBITMQ_GENERATED_CONFIG_DIR="+filepath.Join(dir, "config"),
			"RABBITMQ_PID_FILE="+filepath.Join(dir, "pid"),
			"RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
			"RABBITMQ_LOGS=-",
			// Idle schedulers sleep instead of spinning: others want the cores.
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}",
		),
		Patience: 20 * time.Second, Stage: stack.StageInfra,
		Health: "tcp:" + s.At(stack.PortRabbitMQ), Stamp: supervise.Digest(text),
	}, nil
}

// rabbitmqWaiting counts what lies in queues, handed out or not. The page's
// numbers are seconds old, the server's own are not.
func (s Servers) rabbitmqWaiting(ctx context.Context) (int, error) {
	dir, env := s.erlang()
	who, err := supervise.Credential("rabbitmq")
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", s.rabbitmqNode(), "-q", "list_queues", "--no-table-headers", "messages")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("rabbitmqctl: %w: %s", err, bytes.TrimSpace(out))
	}
	total := 0
	for field := range strings.FieldsSeq(string(out)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("rabbitmqctl printed %q", field)
		}
		total += n
	}
	return total, nil
}
