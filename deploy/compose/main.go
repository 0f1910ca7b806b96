// Command compose writes what docker-compose.yml needs and no repository may hold: .env
// with a new random value for every secret, and the certificates of Dapr's authority.
// What is there stays; what is missing is added.
//
//	go run ./deploy/compose          in the clone's root; make compose-env does it
//	docker run --rm -u "$(id -u)" -e HOME=/tmp -v "$PWD":/src -w /src golang:1.26.8-bookworm go run ./deploy/compose
package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	certificates "github.com/stampede-shop/stampede/dapr/authority"
)

const anchors = "DAPR_TRUST_ANCHORS"

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
	fresh, err := certificates.New(now)
	if err != nil {
		return "", false, err
	}
	// The folder is closed; the files are not, because the container that they are
	// mounted into has a user of its own.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", false, err
	}
	for name, text := range map[string]string{"issuer.crt": fresh.Issuer, "issuer.key": fresh.Key, "ca.crt": fresh.Root} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", false, err
		}
	}
	return fresh.Root, true, os.Chmod(dir, 0o700)
}
