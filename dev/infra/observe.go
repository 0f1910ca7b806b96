package infra

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// What make observe adds. All of it listens on loopback, and what is Debian's
// runs as the user of its packages.

// watcher is a process of make observe: a program of Debian's on a port, with a
// page that answers when it is well.
func (s Servers) watcher(program, folder string, port int, page, stamp string, env []string, args ...string) (supervise.Process, error) {
	path, err := exec.LookPath(program)
	return supervise.Process{
		Args: append([]string{path, "--web.listen-address=" + s.At(port)}, args...),
		Dir:  filepath.Join(s.Data, folder), Env: append(stack.Environment(), env...), User: "prometheus",
		Patience: 5 * time.Second, Stage: stack.StageInfra, Health: "http://" + s.At(port) + page, Stamp: stamp,
	}, err
}

// prometheus returns what reads metrics and judges them, with its configuration
// rendered from deploy/observe.
func (s Servers) prometheus(apps []stack.App) (supervise.Process, error) {
	dir := filepath.Join(s.Data, "prometheus")
	values := map[string]string{"ALERTMANAGER": s.At(stack.PortAlertmanager)}
	for key, value := range s.Settings.All() {
		values[key] = value
	}
	stamp, err := render(filepath.Join(s.Root, "deploy", "observe", "prometheus"), dir, values, 0o644)
	if err != nil {
		return supervise.Process{}, err
	}
	if err := s.ListTargets(apps); err != nil {
		return supervise.Process{}, err
	}
	return s.watcher("prometheus", "prometheus", stack.PortPrometheus, "/-/ready", stamp, nil,
		"--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--storage.tsdb.retention.time=15d", "--log.level=warn")
}

// alertmanager returns what tells people of alerts.
func (s Servers) alertmanager() (supervise.Process, error) {
	dir := filepath.Join(s.Data, "alertmanager")
	values := map[string]string{}
	for key, value := range s.Settings.All() {
		values[key] = value
	}
	stamp, err := render(filepath.Join(s.Root, "deploy", "observe", "alertmanager"), dir, values, 0o644)
	if err != nil {
		return supervise.Process{}, err
	}
	return s.watcher("prometheus-alertmanager", "alertmanager", stack.PortAlertmanager, "/-/ready", stamp, nil,
		"--config.file="+filepath.Join(dir, "alertmanager.yml"), "--storage.path="+filepath.Join(dir, "data"),
		"--cluster.listen-address=", "--log.level=warn")
}

// nodeExporter tells of the machine: disks, processors, memory.
func (s Servers) nodeExporter() (supervise.Process, error) {
	return s.watcher("prometheus-node-exporter", "prometheus", stack.PortNodeExporter, "/", "", nil,
		"--collector.disable-defaults", "--collector.cpu", "--collector.filesystem", "--collector.loadavg", "--collector.meminfo",
		"--log.level=warn")
}

func (s Servers) postgresExporter() (supervise.Process, error) {
	env := []string{"DATA_SOURCE_NAME=" + s.Settings.Get("POSTGRES_SUPERUSER_URL") + "?sslmode=disable"}
	return s.watcher("prometheus-postgres-exporter", "prometheus", stack.PortPostgresExporter, "/", "", env, "--log.level=error")
}

func (s Servers) redisExporter() (supervise.Process, error) {
	env := []string{"REDIS_ADDR=redis://" + s.At(stack.PortRedis), "REDIS_PASSWORD=" + s.Settings.Get("REDIS_PASSWORD")}
	return s.watcher("prometheus-redis-exporter", "prometheus", stack.PortRedisExporter, "/", "", env)
}

// zipkin keeps the traces of a while in memory: 100,000 spans are some two
// thousand orders.
func (s Servers) zipkin() (supervise.Process, error) {
	java, err := exec.LookPath("java")
	return supervise.Process{
		Args: []string{
			java, "-Xms32m", "-Xmx384m", "-XX:+UseSerialGC", "-jar", s.Installer().Zipkin(),
			"--armeria.ports[0].ip=127.0.0.1", "--armeria.ports[0].port=" + strconv.Itoa(s.Port(stack.PortZipkin)),
			"--armeria.ports[0].protocols[0]=http", "--logging.level.root=warn",
		},
		Dir: filepath.Join(s.Data, "zipkin"), Env: append(stack.Environment(), "MEM_MAX_SPANS=100000"),
		Patience: 5 * time.Second, Stage: stack.StageInfra, Health: "http://" + s.At(stack.PortZipkin) + "/health",
	}, err
}

// target is one address that Prometheus reads, as its file_sd_config has it.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// ListTargets tells Prometheus, where there is one, what runs: it reads that
// file again by itself.
func (s Servers) ListTargets(apps []stack.App) error {
	if !s.Watched {
		return nil
	}
	text, err := json.MarshalIndent(s.targets(apps), "", "  ")
	if err != nil {
		return err
	}
	return stack.WriteFile(filepath.Join(s.Data, "prometheus", "targets.json"), string(text)+"\n", 0o644)
}

// targets are all of them. An instance is called as its process is.
func (s Servers) targets(apps []stack.App) []target {
	var list []target
	add := func(job, app, instance string, port int, more ...string) {
		labels := map[string]string{"job": job, "app": app, "instance": instance}
		for i := 0; i+1 < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		list = append(list, target{[]string{"127.0.0.1:" + strconv.Itoa(port)}, labels})
	}
	for _, a := range apps {
		if a.Edge() {
			add("sidecar", a.ID, a.Name(), a.MetricsPort)
			continue
		}
		add("service", a.ID, a.Name(), a.Port)
		add("sidecar", a.ID, a.Name()+"-daprd", a.MetricsPort)
	}
	for _, server := range []struct {
		name string
		port int
	}{
		{"nginx", stack.PortKeys},
		{"keycloak", stack.PortKeycloakManagement},
		{"sentry", stack.PortSentryMetrics},
		{"rabbitmq", stack.PortRabbitMQMetrics},
		{"postgres", stack.PortPostgresExporter},
		{"redis", stack.PortRedisExporter},
		{"prometheus", stack.PortPrometheus},
		{"alertmanager", stack.PortAlertmanager},
		{"node-exporter", stack.PortNodeExporter},
	} {
		if s.Needs(server.name) {
			add(server.name, server.name, server.name, s.Port(server.port))
		}
	}
	if s.Needs("zipkin") {
		add("zipkin", "zipkin", "zipkin", s.Port(stack.PortZipkin), "__metrics_path__", "/prometheus")
	}
	if s.Needs("rabbitmq") { // a queue at a time
		add("queues", "rabbitmq", "rabbitmq-queues", s.Port(stack.PortRabbitMQMetrics),
			"__metrics_path__", "/metrics/detailed", "__param_family", "queue_coarse_metrics")
	}
	return list
}
