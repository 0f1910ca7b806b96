package infra

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// proxyNames are how tests/chaos calls them.
var proxyNames = map[int]string{stack.PortPostgres: "postgres", stack.PortRedis: "redis", stack.PortRabbitMQ: "rabbitmq", stack.PortSMTP: "maildev"}

// proxies returns the process that passes everything on. Its state is in
// memory: started again, it passes everything on again.
func (s Servers) proxies() (supervise.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return supervise.Process{}, err
	}
	args := []string{self, "proxies", s.At(stack.PortProxies)}
	for _, port := range slices.Sorted(maps.Keys(stack.ProxyPorts)) {
		args = append(args, proxyNames[port]+"="+s.At(stack.ProxyPorts[port])+"="+s.At(port))
	}
	return supervise.Process{
		Args: args, Dir: s.Data, Env: stack.Environment(),
		Patience: time.Second, Stage: stack.StageStore, Health: "http://" + s.At(stack.PortProxies) + "/version",
	}, nil
}

// ServeProxies is that process. It is told what to do at api, as toxiproxy's
// HTTP API defines; list has name=listen=upstream. It returns when ctx ends.
func ServeProxies(ctx context.Context, api string, list []string) error {
	log := zerolog.New(os.Stdout).Level(zerolog.WarnLevel).With().Timestamp().Logger()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), log)
	for _, one := range list {
		fields := strings.Split(one, "=")
		if len(fields) != 3 {
			return fmt.Errorf("a proxy is name=listen=upstream, not %q", one)
		}
		p := toxiproxy.NewProxy(server, fields[0], fields[1], fields[2])
		if err := server.Collection.Add(p, true); err != nil {
			return fmt.Errorf("proxy %s: %w", one, err)
		}
	}
	u, err := url.Parse("http://" + api)
	if err != nil {
		return err
	}
	go server.Listen(u.Hostname(), u.Port()) // has no end of its own
	<-ctx.Done()
	return nil
}
