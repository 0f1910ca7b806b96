// Package authority makes the certificates of Dapr's sentry, by which sidecars know each other, where sentry does not make
// them itself: for containers, and when one authority takes another's place.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

const (
	// The control plane's trust domain and namespace, as sentry and every daprd have
	// them by default and as natively (dapr/README.md).
	trustDomain = "localhost"
	sentryID    = "spiffe://localhost/ns/default/dapr-sentry"

	lifetime = 365 * 24 * time.Hour
)

// Authority is what sentry reads, in PEM, by the names of its files. The root's key is not kept.
type Authority struct {
	Root   string // ca.crt: what sidecars trust
	Issuer string // issuer.crt: what sentry signs with
	Key    string // issuer.key: its key
}

// New makes an authority that begins now.
func New(now time.Time) (a Authority, err error) {
	root, rootKey, err := certificate(&x509.Certificate{
		Subject:  pkix.Name{Organization: []string{trustDomain}},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}, nil, nil, now)
	if err != nil {
		return a, err
	}
	issuer, issuerKey, err := certificate(&x509.Certificate{
		Subject:  pkix.Name{Organization: []string{sentryID}},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, root, rootKey, now)
	if err != nil {
		return a, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(issuerKey)
	if err != nil {
		return a, err
	}
	return Authority{Root: encode("CERTIFICATE", root.Raw), Issuer: encode("CERTIFICATE", issuer.Raw), Key: encode("PRIVATE KEY", key)}, nil
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
