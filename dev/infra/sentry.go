package infra

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dapr/authority"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// renewAuthority removes certificates that are about to end: sentry makes others, and until all sidecars have been started
// again some do not know each other. In time, nobody waits for that: make rotate.
func (s Servers) renewAuthority() error {
	dir := filepath.Join(s.Data, "sentry")
	if !expired(filepath.Join(dir, "ca.crt")) {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o700)
}

// authority returns sentry, which makes its certificates when there are none.
func (s Servers) authority() (supervise.Process, error) {
	dir := filepath.Join(s.Data, "sentry")
	return supervise.Process{
		Dir: dir, Env: append(stack.Environment(), "NAMESPACE="+s.Settings.Get("NAMESPACE")),
		Args: []string{
			s.Installer().Sentry(), "--config", filepath.Join(s.Root, "dapr", "sentry.yaml"), "--issuer-credentials", dir,
			"--port", strconv.Itoa(s.Port(stack.PortSentry)), "--listen-address", "127.0.0.1",
			"--healthz-port", strconv.Itoa(s.Port(stack.PortSentryHealth)), "--healthz-listen-address", "127.0.0.1",
			"--metrics-port", strconv.Itoa(s.Port(stack.PortSentryMetrics)), "--metrics-listen-address", "127.0.0.1",
			"--log-level", "warn",
		},
		Patience: 3 * time.Second, Stage: stack.StageInfra,
		Health: "http://" + s.At(stack.PortSentryHealth) + "/healthz",
	}, nil
}

// Trust makes these certificates those that sidecars trust from their next start on.
func (s Servers) Trust(roots string) error {
	if err := stack.WriteFile(filepath.Join(s.Data, "sentry", "ca.crt"), roots, 0o600); err != nil {
		return err
	}
	return s.Settings.Put("DAPR_TRUST_ANCHORS", strings.TrimSpace(roots))
}

// Reissue has sentry sign with another authority from now on, whose root is among those that sidecars trust already, and
// trust these roots.
func (s Servers) Reissue(ctx context.Context, a authority.Authority, roots string) error {
	if err := s.Supervisor().Stop(ctx, false, "sentry"); err != nil {
		return err
	}
	dir := filepath.Join(s.Data, "sentry")
	for name, text := range map[string]string{"issuer.crt": a.Issuer, "issuer.key": a.Key} {
		if err := stack.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	if err := s.Trust(roots); err != nil {
		return err
	}
	p, err := s.authority()
	if err != nil {
		return err
	}
	p.Name = "sentry"
	if _, err := s.Supervisor().Ensure(ctx, p); err != nil {
		return err
	}
	return s.Supervisor().Await(ctx, []supervise.Process{p}, 30*time.Second, p.Name)
}

// expired reports whether a certificate has less than a day to live.
func expired(file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && time.Until(cert.NotAfter) < 24*time.Hour
}
