package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSettings(t *testing.T) {
	t.Parallel()
	compose := "a: ${ONE:?run}\nb: ${TWO:?run}\nc: ${ONE:?run}\nd: ${THREE:-3}\ne: ${DAPR_TRUST_ANCHORS:?run}\n"
	text, added := settings("", compose, "-----BEGIN\nolder\n")
	require.Equal(t, 2, added)
	require.Regexp(t, `(?m)^ONE=[0-9a-f]{40}$`, text)
	require.Equal(t, 1, strings.Count(text, "ONE="))
	require.NotContains(t, text, "THREE")
	require.True(t, strings.HasSuffix(text, "DAPR_TRUST_ANCHORS='-----BEGIN\nolder'\n"), text)

	again, added := settings(text, compose, "-----BEGIN\nolder\n")
	require.Zero(t, added)
	require.Equal(t, text, again, "what is there stays")

	changed, _ := settings(strings.Replace(text, "TWO=", "HOLD_AT=checkout\nTWO=", 1), compose+"f: ${FOUR:?run}", "-----BEGIN\nnewer\n")
	require.Contains(t, changed, "HOLD_AT=checkout\n")
	require.Contains(t, changed, "FOUR=")
	require.NotContains(t, changed, "older")
	require.Equal(t, 1, strings.Count(changed, "DAPR_TRUST_ANCHORS"))
}

func TestAuthority(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sentry")
	now := time.Now()
	ca, renewed, err := authority(dir, now)
	require.NoError(t, err)
	require.True(t, renewed)

	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(ca)))
	text, err := os.ReadFile(filepath.Join(dir, "issuer.crt"))
	require.NoError(t, err)
	block, _ := pem.Decode(text)
	issuer, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	_, err = issuer.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	require.NoError(t, err)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	same, renewed, err := authority(dir, now)
	require.NoError(t, err)
	require.False(t, renewed)
	require.Equal(t, ca, same)

	_, renewed, err = authority(dir, now.Add(364*24*time.Hour))
	require.NoError(t, err)
	require.True(t, renewed, "renewed before it ends")
}
