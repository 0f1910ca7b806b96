package infra

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// authority returns sentry, which makes its certificates when there are none.
func (s Servers) authority() (supervise.Process, error) {
	dir := filepath.Join(s.Data, "sentry")
	if expired(filepath.Join(dir, "ca.crt")) {
		if err := os.RemoveAll(dir); err != nil {
			return supervise.Process{}, err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return supervise.Process{}, err
		}
	}
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

// expired reports whether a certificate has less than a week to live.
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
	return err == nil && time.Until(cert.NotAfter) < 7*24*time.Hour
}
