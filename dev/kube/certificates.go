package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
)

// certified is a certificate with its key.
type certified struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certify makes a certificate, signed by an authority or, where there is none, by itself as one. It holds for a year.
func certify(by *certified, c x509.Certificate) (*certified, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128)); err != nil {
		return nil, err
	}
	now := time.Now()
	c.NotBefore, c.NotAfter, c.BasicConstraintsValid = now.Add(-time.Hour), now.AddDate(1, 0, 0), true
	c.KeyUsage = x509.KeyUsageDigitalSignature
	if by == nil {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
		by = &certified{&c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, by.cert, key.Public(), by.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &certified{cert, key}, err
}

func (c *certified) pem() (cert, key []byte, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return nil, nil, err
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return block("CERTIFICATE", c.cert.Raw), block("PRIVATE KEY", der), nil
}

// certificates makes what the parts of Kubernetes know each other by, in a folder, unless it is there: an authority with the
// API server's certificate and an administrator's, another one for what the API server passes on, and a key for accounts of
// services. outside is where this machine reaches the API server. kubeconfig in that folder is for here, node.kubeconfig for
// the node.
func certificates(dir, outside string) error {
	if install.Exists(filepath.Join(dir, "kubeconfig")) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	named := func(name string, organization ...string) x509.Certificate {
		return x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: organization}}
	}
	client := func(name string, organization ...string) x509.Certificate {
		c := named(name, organization...)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		return c
	}
	server := named("kube-apiserver")
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(nodeAddress), net.ParseIP(apiService)}
	server.DNSNames = []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain,
	}
	made := map[string]*certified{}
	for _, m := range []struct {
		name, by string
		cert     x509.Certificate
	}{
		{"ca", "", named("kubernetes")},
		{"apiserver", "ca", server},
		{"admin", "ca", client("admin", "system:masters")},
		{"front-proxy-ca", "", named("front-proxy")},
		{"front-proxy", "front-proxy-ca", client("front-proxy")},
		{"accounts", "", named("service-accounts")},
	} {
		c, err := certify(made[m.by], m.cert)
		if err != nil {
			return fmt.Errorf("certificate %s: %w", m.name, err)
		}
		made[m.name] = c
		cert, key, err := c.pem()
		if err != nil {
			return err
		}
		for suffix, text := range map[string][]byte{".crt": cert, ".key": key} {
			if err := os.WriteFile(filepath.Join(dir, m.name+suffix), text, 0o600); err != nil {
				return err
			}
		}
	}
	ca, _, err := made["ca"].pem()
	if err != nil {
		return err
	}
	cert, key, err := made["admin"].pem()
	if err != nil {
		return err
	}
	// kubeconfig last: what is half-made is made again.
	for _, f := range [][2]string{{"node.kubeconfig", nodeAddress + ":6443"}, {"kubeconfig", outside}} {
		text := fmt.Sprintf(kubeconfig, f[1], base64.StdEncoding.EncodeToString(ca),
			base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key))
		if err := os.WriteFile(filepath.Join(dir, f[0]), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: stampede
clusters: [{name: stampede, cluster: {server: "https://%s", certificate-authority-data: %s}}]
users: [{name: admin, user: {client-certificate-data: %s, client-key-data: %s}}]
contexts: [{name: stampede, context: {cluster: stampede, user: admin}}]
`
