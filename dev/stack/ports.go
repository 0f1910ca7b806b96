package stack

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/stampede-shop/stampede/dev/supervise"
)

// The ports of the infrastructure; PORT_OFFSET is added to each. The apps' are
// in dapr/dapr.yaml. No two are whole thousands apart, so that stacks at 0,
// 1000, 2000 … fit beside each other.
const (
	PortFront              = 8000
	PortGateway            = 8011
	PortKeys               = 8012
	PortKeycloak           = 8180
	PortKeycloakManagement = 8190
	PortSMTP               = 1025
	PortMaildev            = 1080
	PortPostgres           = 15432
	PortRedis              = 16379
	PortRabbitMQ           = 5673
	PortRabbitMQPage       = 15673
	PortRabbitMQDist       = 25673
	PortEpmd               = 24369
	PortNATS               = 14222
	PortKafka              = 19092
	PortKafkaController    = 19093
	PortS3                 = 19100
	PortSentry             = 50001 // where the dapr CLI looks for it
	PortProxies            = 8474  // where the proxies of make chaos are told what to do
	PortProxyPostgres      = 8475
	PortProxyRedis         = 8476
	PortProxyRabbitMQ      = 8477
	PortProxySMTP          = 8478
	PortBenchKeys          = 8013  // where the bench's stack has its keys, see infra.ServeKeys
	PortSentryHealth       = 15002 // below the ports of outgoing connections, which may take one above at any time
	PortSentryMetrics      = 15003
	PortRabbitMQMetrics    = 15692

	// Of make observe.
	PortPrometheus       = 9090
	PortAlertmanager     = 9093
	PortRedisExporter    = 9121
	PortZipkin           = 9411
	PortNodeExporter     = 9131
	PortPostgresExporter = 9187

	// maxOffset keeps the highest port of a stack below 65536.
	maxOffset = 5000

	// publicPort is how far its public port is above an edge sidecar's HTTP port.
	publicPort = 400

	// firstInstance is where the ports of further instances begin, so many for
	// each app of dapr/dapr.yaml (instances.go).
	firstInstance = 26700

	// profilePort is how far above its own port an app of the bench's stack
	// serves profiles.
	profilePort = 100
)

// ProfilePort is where the app serves profiles, in the bench's stack.
func (a App) ProfilePort() int { return a.Port + profilePort }

// Port is one of the Port constants in this stack.
func (s *Stack) Port(base int) int { return base + s.Offset }

// At is the address of a port of this stack.
func (s *Stack) At(base int) string { return "127.0.0.1:" + strconv.Itoa(s.Port(base)) }

// ProxyPorts are the ports that services and sidecars are told instead of the
// infrastructure's own, where PROXIES is true: a proxy listens on each, which
// tests/chaos tells to cut, delay and swallow.
var ProxyPorts = map[int]int{
	PortPostgres: PortProxyPostgres,
	PortRedis:    PortProxyRedis,
	PortRabbitMQ: PortProxyRabbitMQ,
	PortSMTP:     PortProxySMTP,
}

// infraPorts are the ports of each infrastructure process, before the offset.
var infraPorts = map[string][]int{
	"nginx":    {PortFront, PortGateway, PortKeys},
	"keycloak": {PortKeycloak, PortKeycloakManagement},
	"maildev":  {PortSMTP, PortMaildev},
	"postgres": {PortPostgres},
	"redis":    {PortRedis},
	"epmd":     {PortEpmd},
	"rabbitmq": {PortRabbitMQ, PortRabbitMQPage, PortRabbitMQDist, PortRabbitMQMetrics},
	"nats":     {PortNATS},
	"kafka":    {PortKafka, PortKafkaController},
	"s3":       {PortS3},
	"sentry":   {PortSentry, PortSentryHealth, PortSentryMetrics},
	"keys":     {PortBenchKeys},
	"proxies":  {PortProxies, PortProxyPostgres, PortProxyRedis, PortProxyRabbitMQ, PortProxySMTP},

	"prometheus":        {PortPrometheus},
	"alertmanager":      {PortAlertmanager},
	"node-exporter":     {PortNodeExporter},
	"postgres-exporter": {PortPostgresExporter},
	"redis-exporter":    {PortRedisExporter},
	"zipkin":            {PortZipkin},
}

// ports returns which process listens on each port of the stack.
func (s *Stack) ports(apps []App) map[int]string {
	ports := map[int]string{}
	for name, bases := range infraPorts {
		if !s.Needs(name) {
			continue
		}
		for _, base := range bases {
			ports[s.Port(base)] = name
		}
	}
	for _, a := range apps {
		for _, port := range []int{a.HTTPPort, a.GRPCPort, a.MetricsPort} {
			ports[port] = a.sidecarName()
		}
		if a.Edge() {
			ports[a.InternalPort] = a.sidecarName()
			ports[a.PublicPort] = a.Name()
		} else {
			ports[a.Port] = a.Name()
			if s.Bench && a.Instance == 1 {
				ports[a.ProfilePort()] = a.ID
			}
		}
	}
	return ports
}

// listeners returns the sockets that listen on each TCP port of this machine.
func listeners() map[int]string {
	inodes := map[int]string{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(file)
		if err != nil {
			continue
		}
		for scan := bufio.NewScanner(f); scan.Scan(); {
			if port, inode, ok := listener(scan.Text()); ok {
				inodes[port] = inode
			}
		}
		f.Close()
	}
	return inodes
}

// listener reads a line of /proc/net/tcp; ok when it is a listening socket.
func listener(line string) (port int, inode string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != "0A" {
		return 0, "", false
	}
	_, hex, found := strings.Cut(fields[1], ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	return int(n), fields[9], found && err == nil
}

// holder names the process that has a socket open, when that can be told.
func holder(inode string) string {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == "socket:["+inode+"]" {
			pid := strings.Split(fd, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return "another program"
}

// CheckPorts returns an error that names each port which a process that does
// not run yet would find taken.
func (s *Stack) CheckPorts(apps []App) error {
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	running := map[string]bool{}
	for _, r := range st.Processes {
		running[r.Name] = r.Alive()
	}
	taken := listeners()
	ports := s.ports(apps)
	var lines []string
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		if inode, ok := taken[port]; ok && !running[ports[port]] {
			lines = append(lines, fmt.Sprintf("port %d, which %s needs, is taken by %s", port, ports[port], holder(inode)))
		}
	}
	if len(lines) == 0 {
		return nil
	}
	advice := "stop what holds it"
	if offset := freeOffset(slices.Sorted(maps.Keys(ports)), s.Offset, taken); offset != 0 {
		advice += fmt.Sprintf(", or run beside it: PORT_OFFSET=%d make up", offset)
	}
	e := &supervise.Failure{Line: lines[0]}
	if more := lines[1:]; len(more) > 0 {
		e.Line += fmt.Sprintf(", and %d more ports are taken", len(more))
		e.Lines = more[:min(len(more), 5)]
	}
	e.Lines = append(e.Lines, advice)
	return e
}

// freeOffset returns the first PORT_OFFSET in thousands at which all ports are
// free, or 0.
func freeOffset(ports []int, offset int, taken map[int]string) int {
	for candidate := 1000; candidate <= maxOffset; candidate += 1000 {
		free := !slices.ContainsFunc(ports, func(port int) bool {
			_, held := taken[port-offset+candidate]
			return held
		})
		if free {
			return candidate
		}
	}
	return 0
}
