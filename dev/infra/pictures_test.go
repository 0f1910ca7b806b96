package infra

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// withMedia is a stack whose pictures are in a folder, or in a bucket. Lines
// are further settings, KEY=value.
func withMedia(t *testing.T, swap string, lines ...string) Servers {
	t.Helper()
	data := t.TempDir()
	lines = append(lines, "SWAP="+swap, "S3_BUCKET=shots", "MEDIA_DIR="+filepath.Join(data, "media"))
	set, err := stack.ParseSettings(strings.Join(lines, "\n"))
	require.NoError(t, err)
	set.File = filepath.Join(t.TempDir(), "settings.env") // PlugIn adds to it
	s := &stack.Stack{Root: "../..", Data: data, Settings: set, Out: progress.New(io.Discard)}
	require.NoError(t, s.PlugIn())
	return Servers{s}
}

func files(t *testing.T, dir string, texts map[string]string) {
	t.Helper()
	for name, text := range texts {
		require.NoError(t, stack.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
}

func TestMedia(t *testing.T) {
	t.Parallel()
	kind, _, err := withMedia(t, "").media()
	require.NoError(t, err)
	require.Equal(t, "folder", kind)
	for endpoint, want := range map[string]map[string]string{
		"http://127.0.0.1:19100":     {"S3_SCHEME": "http", "S3_SERVER": "127.0.0.1:19100", "S3_HOST": "127.0.0.1", "S3_BUCKET": "shots"},
		"https://s3.example.com":     {"S3_SCHEME": "https", "S3_SERVER": "s3.example.com:443", "S3_HOST": "s3.example.com", "S3_BUCKET": "shots"},
		"http://minio.internal:9000": {"S3_SCHEME": "http", "S3_SERVER": "minio.internal:9000", "S3_HOST": "minio.internal", "S3_BUCKET": "shots"},
	} {
		kind, values, err := withMedia(t, "media-s3", "S3_ENDPOINT="+endpoint).media()
		require.NoError(t, err)
		require.Equal(t, "s3", kind)
		require.Equal(t, want, values)
	}
	for _, endpoint := range []string{"", "127.0.0.1:19100", "s3.example.com", "ftp://s3.example.com"} {
		_, _, err := withMedia(t, "media-s3", "S3_ENDPOINT="+endpoint).media()
		require.ErrorContains(t, err, "S3_ENDPOINT must be", endpoint)
	}
}

// TestFromBucket: what the S3 server kept comes back into the folder, once.
func TestFromBucket(t *testing.T) {
	t.Parallel()
	s := withMedia(t, "")
	require.NoError(t, s.CollectPictures(t.Context()), "there never was a bucket")
	folder := s.Settings.Get("MEDIA_DIR")
	files(t, filepath.Join(s.s3Dir(), "shots"), map[string]string{"a.svg": "a", "b.png": "whole", ".sgwtmp/x": "x", "sub/c.png": "c"})
	files(t, folder, map[string]string{"b.png": "wh", "d.png": "d"})
	n, err := s.fromBucket()
	require.NoError(t, err)
	require.Equal(t, 2, n)
	n, err = s.fromBucket()
	require.NoError(t, err)
	require.Zero(t, n)
	for name, want := range map[string]string{"a.svg": "a", "b.png": "whole", "d.png": "d"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
	have, err := pictureFiles(folder)
	require.NoError(t, err)
	require.Len(t, have, 3)
}

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
