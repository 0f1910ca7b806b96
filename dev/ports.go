package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The ports of the infrastructure; PORT_OFFSET is added to each. The apps' are
// in dapr/dapr.yaml. None equals another plus 1000, so that a second stack at
// +1000 fits beside the first.
const (
	portFront              = 8000
	portGateway            = 8011
	portKeys               = 8012
	portKeycloak           = 8180
	portKeycloakManagement = 8190
	portSMTP               = 1025
	portMaildev            = 1080
	portPostgres           = 15432
	portRedis              = 16379
	portRabbitMQ           = 5673
	portRabbitMQPage       = 15673
	portRabbitMQDist       = 25673
	portEpmd               = 24369
	portSentry             = 50001 // where the dapr CLI looks for it
	portSentryHealth       = 15002 // below the ports of outgoing connections, which may take one above at any time

	// publicPort is how far above its HTTP port an edge sidecar answers its
	// health, since a pipeline stands before the HTTP port.
	publicPort = 400
)

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

// checkPorts returns an error with a line for each port that processes not yet
// running would find taken.
func checkPorts(list []process) error {
	taken := listeners()
	var detail []string
	for _, p := range list {
		for _, port := range p.Ports {
			if inode, ok := taken[port]; ok {
				detail = append(detail, fmt.Sprintf("port %d, which %s needs, is taken by %s", port, p.Name, holder(inode)))
			}
		}
	}
	switch len(detail) {
	case 0:
		return nil
	case 1:
		return &problem{line: detail[0], detail: []string{"stop that program, or run beside it: PORT_OFFSET=1000 make up"}}
	}
	return &problem{
		line:   fmt.Sprintf("%s, and %d more ports are taken", detail[0], len(detail)-1),
		detail: append(detail[1:], "stop those programs, or run beside them: PORT_OFFSET=1000 make up"),
	}
}
