package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stampede-shop/stampede/dapr/runfile"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// references measures in the same run what the parts can do without the shop.
func (b *bench) references(ctx context.Context) error {
	for _, one := range []func(context.Context) error{b.static, b.echoed, b.inserts} {
		if err := one(ctx); err != nil {
			return err
		}
	}
	return nil
}

// page is an answer of the catalogue; what it is compared with is as long.
func (b *bench) page(ctx context.Context) ([]byte, error) {
	slugs, err := b.catalogue(ctx, 1)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, "GET", b.shop.base+"/api/v1/products/"+slugs[0], nil)
	if err != nil {
		return nil, err
	}
	return ask(req)
}

// gets measures one address by as many clients as look round.
func (b *bench) gets(ctx context.Context, name, at string, headers ...string) error {
	return b.row(ctx, "reference", name, func(ctx context.Context) (*result, error) {
		return closed(ctx, browsers, b.limit/2, b.most, func(ctx context.Context, _ int) error {
			return b.shop.send(ctx, "GET", at, "", nil, nil, headers...)
		}), nil
	})
}

// static is a file that the front serves by itself.
func (b *bench) static(ctx context.Context) error {
	text, err := b.page(ctx)
	if err != nil {
		return err
	}
	const name = "static/bench.json"
	file := filepath.Join(b.shop.Settings.Get("STATIC_DIR"), name)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	defer os.Remove(file)
	return b.gets(ctx, fmt.Sprintf("Nginx, a file of %d bytes", len(text)), "/"+name)
}

// The ports of the echo and its sidecar, before the offset: the last of each
// row of dapr.yaml.
const (
	echoPort     = 7199
	echoHTTP     = 3599
	echoGRPC     = 5699
	echoInternal = 11799
	echoMetrics  = 13899
)

// echoed is a program that does nothing but answer, behind the two sidecars
// that every answer of the shop passes.
func (b *bench) echoed(ctx context.Context) error {
	if err := b.shop.PlugIn(); err != nil {
		return err
	}
	text, err := b.page(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	app := stack.App{App: runfile.App{
		Sidecar: b.apps[0].Sidecar, ID: "echo", Dir: b.apps[0].Dir, Port: b.shop.Port(echoPort), HTTPPort: b.shop.Port(echoHTTP),
		GRPCPort: b.shop.Port(echoGRPC), InternalPort: b.shop.Port(echoInternal), MetricsPort: b.shop.Port(echoMetrics),
	}}
	app.ResourcesPaths = nil
	app.ConfigFile = filepath.Join(b.shop.Run, "echo.yaml")
	app.Command = []string{self, "-echo", strconv.Itoa(app.Port), "-bytes", strconv.Itoa(len(text))}
	if err := stack.WriteFile(app.ConfigFile, echoConfig, 0o644); err != nil {
		return err
	}
	processes, err := b.shop.Processes(app, b.apps)
	if err != nil {
		return err
	}
	for _, p := range processes {
		if _, err := b.shop.Supervisor().Ensure(ctx, p); err != nil {
			return err
		}
	}
	err = b.echoBehind(ctx, processes, len(text))
	return errors.Join(err, b.shop.Supervisor().Stop(context.WithoutCancel(ctx), false, supervise.Names(processes)...))
}

func (b *bench) echoBehind(ctx context.Context, processes []supervise.Process, size int) error {
	if err := b.shop.Supervisor().Await(ctx, processes, time.Minute, "echo"); err != nil {
		return err
	}
	var at string
	for _, a := range b.apps {
		if a.ID == "edge" {
			at = fmt.Sprintf("http://127.0.0.1:%d/echo", a.HTTPPort)
		}
	}
	headers := []string{"dapr-app-id", "echo", "dapr-api-token", b.shop.Settings.Get("DAPR_API_TOKEN")}
	for ctx, cancel := context.WithTimeout(ctx, time.Minute); ; { // the edge finds it a moment later
		defer cancel()
		err := b.shop.send(ctx, "GET", at, "", nil, nil, headers...)
		if err == nil {
			break
		}
		if !pause.For(ctx, 200*time.Millisecond) {
			return err
		}
	}
	return b.gets(ctx, fmt.Sprintf("%d bytes behind the two sidecars, without Nginx", size), at, headers...)
}

// echoConfig lets the public edge in, as the services' own do.
const echoConfig = `apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: echo
spec:
  mtls:
    enabled: true
  nameResolution:
    component: sqlite
    version: v1
    configuration:
      connectionString: "${NAME_RESOLUTION_DB}"
  accessControl:
    defaultAction: deny
    trustDomain: public
    policies:
      - appId: edge
        namespace: default
        trustDomain: public
        defaultAction: deny
        operations:
          - name: /echo
            httpVerb: [GET]
            action: allow
  tracing:
    samplingRate: "1"
  metric:
    http:
      increasedCardinality: false
`

// serveEcho is that program.
func serveEcho(ctx context.Context, port, size int) error {
	text := bytes.Repeat([]byte("x"), size)
	server := &http.Server{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }), // a reader that is gone
	}
	go func() { <-ctx.Done(); _ = server.Close() }()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}
