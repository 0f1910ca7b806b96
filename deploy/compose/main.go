// Command compose writes what docker-compose.yml needs and no repository may hold: .env
// with a new random value for every secret, and the certificates of Dapr's authority.
// What is there stays; what is missing is added.
//
//	go run ./deploy/compose          in the clone's root; make compose-env does it
//	docker run --rm -u "$(id -u)" -e HOME=/tmp -v "$PWD":/src -w /src golang:1.26.8-bookworm go run ./deploy/compose
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	// The control plane's trust domain and namespace, as sentry and every daprd have
	// them by default and as natively (dapr/README.md).
	trustDomain = "localhost"
	sentryID    = "spiffe://localhost/ns/default/dapr-sentry"

	lifetime = 365 * 24 * time.Hour
	anchors  = "DAPR_TRUST_ANCHORS"
)

// required is how docker-compose.yml says that a value must come from .env.
var required = regexp.MustCompile(`\$\{([A-Z0-9_]+):\?`)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "compose-env:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		return fmt.Errorf("run this in the root of the clone: %w", err)
	}
	ca, renewed, err := authority(filepath.Join(root, ".run-compose", "sentry"), time.Now())
	if err != nil {
		return err
	}
	file := filepath.Join(root, ".env")
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, added := settings(string(old), string(compose), ca)
	if text != string(old) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d values added", file, added)
	if renewed {
		fmt.Print("; new certificates for sentry: docker compose up -d starts every sidecar again")
	}
	fmt.Println()
	return nil
}

const header = `# Made by make compose-env for docker-compose.yml. Passwords: keep it to yourself.
# Yours to change and to add to (deploy/compose/README.md lists what there is); a password
# of a store holds from the first start on, so change it there, too.
`

// settings returns the text of .env with every value that compose asks for and old lacks,
// and with the authority's certificate.
func settings(old, compose, ca string) (text string, added int) {
	text = old
	if text == "" {
		text = header
	}
	// Several lines, so it is cut out and written again at the end.
	text = regexp.MustCompile(`(?ms)^`+anchors+`='[^']*'\n`).ReplaceAllString(text, "")
	for _, m := range required.FindAllStringSubmatch(compose, -1) {
		name := m[1]
		if name == anchors || regexp.MustCompile(`(?m)^(export )?`+name+`=`).MatchString(text) {
			continue
		}
		text += name + "=" + secret() + "\n"
		added++
	}
	return text + anchors + "='" + strings.TrimSpace(ca) + "'\n", added
}

// secret is of letters and digits, so it fits into an address as it is.
func secret() string {
	b := make([]byte, 20)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// authority returns the certificate that sidecars trust. It makes root, issuer and key in
// dir when they are missing or have less than a month to live; the root's key is not kept.
func authority(dir string, now time.Time) (ca string, renewed bool, err error) {
	if old, err := os.ReadFile(filepath.Join(dir, "ca.crt")); err == nil {
		block, _ := pem.Decode(old)
		if block == nil {
			return "", false, fmt.Errorf("%s/ca.crt is not a certificate: remove that folder", dir)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", false, fmt.Errorf("%s/ca.crt: %w", dir, err)
		}
		if cert.NotAfter.Sub(now) > 30*24*time.Hour {
			return string(old), false, nil
		}
	}
	root, rootKey, err := certificate(&x509.Certificate{
		Subject:  pkix.Name{Organization: []string{trustDomain}},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}, nil, nil, now)
	if err != nil {
		return "", false, err
	}
	issuer, issuerKey, err := certificate(&x509.Certificate{
		Subject:  pkix.Name{Organization: []string{sentryID}},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, root, rootKey, now)
	if err != nil {
		return "", false, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(issuerKey)
	if err != nil {
		return "", false, err
	}
	// The folder is closed; the files are not, because the container that they are
	// mounted into has a user of its own.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", false, err
	}
	ca = encode("CERTIFICATE", root.Raw)
	for name, text := range map[string]string{
		"issuer.crt": encode("CERTIFICATE", issuer.Raw),
		"issuer.key": encode("PRIVATE KEY", key),
		"ca.crt":     ca,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", false, err
		}
	}
	return ca, true, os.Chmod(dir, 0o700)
}

// certificate makes a certificate of an authority, signed by parent or by itself.
func certificate(c, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if c.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128)); err != nil {
		return nil, nil, err
	}
	c.NotBefore, c.NotAfter = now.Add(-15*time.Minute), now.Add(lifetime)
	c.IsCA, c.BasicConstraintsValid = true, true
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
