package infra

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
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
