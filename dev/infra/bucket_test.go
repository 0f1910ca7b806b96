//go:build s3

package infra

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// TestBucket: the real server, built for it where it is missing.
func TestBucket(t *testing.T) {
	t.Parallel()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	s := withMedia(t, "media-s3", "S3_ENDPOINT=http://127.0.0.1:"+strconv.Itoa(port), "S3_REGION=eu-west-2",
		"S3_ACCESS_KEY=stampede", "S3_SECRET_KEY=secret")
	s.Run, s.Cache, s.Offset = t.TempDir(), filepath.Join(cache, "stampede"), port-stack.PortS3
	require.NoError(t, os.Mkdir(filepath.Join(s.Run, "logs"), 0o755))
	require.NoError(t, s.Installer().InstallS3(t.Context()))
	p, err := s.s3()
	require.NoError(t, err)
	server := exec.Command(p.Args[0], p.Args[1:]...)
	server.Dir, server.Env = p.Dir, p.Env
	require.NoError(t, server.Start())
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })
	require.Eventually(t, func() bool { return supervise.Check(t.Context(), p.Health) == "" }, 10*time.Second, 10*time.Millisecond)

	b := s.bucket()
	require.NoError(t, b.make(t.Context()))
	require.NoError(t, b.make(t.Context()), "again changes nothing")
	files(t, s.Settings.Get("MEDIA_DIR"), map[string]string{"a.svg": "<svg/>", "b.png": "whole"})
	require.NoError(t, b.do(t.Context(), http.MethodPut, "b.png", nil, "image/png", []byte("wh"), nil))
	n, err := b.fill(t.Context(), s.Settings.Get("MEDIA_DIR"))
	require.NoError(t, err)
	require.Equal(t, 2, n, "a copy that is not whole is made again")
	n, err = b.fill(t.Context(), s.Settings.Get("MEDIA_DIR"))
	require.NoError(t, err)
	require.Zero(t, n)
	have, err := b.objects(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"a.svg": 6, "b.png": 5}, have)

	// Everybody may read what he knows the name of, and nothing else.
	for path, want := range map[string]int{"/shots/a.svg": 200, "/shots": 403, "/shots?list-type=2": 403, "/shots?policy": 403, "/": 403, "/shots/none": 404, "/other/a.svg": 404} {
		require.Equal(t, want, status(t, http.MethodGet, b.endpoint+path), path)
	}
	require.Equal(t, 403, status(t, http.MethodPut, b.endpoint+"/shots/c.svg"))
	require.Equal(t, 403, status(t, http.MethodDelete, b.endpoint+"/shots/a.svg"))

	b.credentials.SecretAccessKey = "wrong"
	require.ErrorContains(t, b.make(context.Background()), "the S3 server answers 403")
	_, err = b.objects(t.Context())
	require.EqualError(t, err, "the S3 server answers 403 SignatureDoesNotMatch")
}

func status(t *testing.T, method, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	resp.Body.Close()
	return resp.StatusCode
}
