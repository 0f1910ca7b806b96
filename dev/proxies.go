package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/stampede-shop/stampede/dev/supervise"
)

// proxied are the ports that services and sidecars are told instead of the
// infrastructure's own, where PROXIES is true: a proxy listens on each, which
// tests/chaos tells to cut, delay and swallow.
var proxied = map[int]int{
	portPostgres: portProxyPostgres,
	portRedis:    portProxyRedis,
	portRabbitMQ: portProxyRabbitMQ,
	portSMTP:     portProxySMTP,
}

// proxyNames are how tests/chaos calls them.
var proxyNames = map[int]string{portPostgres: "postgres", portRedis: "redis", portRabbitMQ: "rabbitmq", portSMTP: "maildev"}

// proxies returns the process that passes everything on. Its state is in
// memory: started again, it passes everything on again.
func (s *stack) proxies() (supervise.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return supervise.Process{}, err
	}
	args := []string{self, "proxies", s.at(portProxies)}
	for _, port := range sorted(proxied) {
		args = append(args, proxyNames[port]+"="+s.at(proxied[port])+"="+s.at(port))
	}
	return supervise.Process{
		Args: args, Dir: s.data, Env: basicEnv(),
		Patience: time.Second, Stage: stageStore, Health: "http://" + s.at(portProxies) + "/version",
	}, nil
}

// serveProxies is that process. It is told what to do at api, as toxiproxy's
// HTTP API defines; list has name=listen=upstream. It returns when ctx ends.
func serveProxies(ctx context.Context, api string, list []string) error {
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
