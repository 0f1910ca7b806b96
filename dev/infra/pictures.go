package infra

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stampede-shop/stampede/dev/stack"
)

// media is the folder of deploy/media with Nginx's part of what is plugged in,
// and the values for its templates.
func (s Servers) media() (kind string, values map[string]string, err error) {
	if !s.Plugged.Uses("bindings.aws.s3") {
		return "folder", nil, nil
	}
	u, err := url.Parse(s.Settings.Get("S3_ENDPOINT"))
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", nil, fmt.Errorf("S3_ENDPOINT must be http://… or https://…, not %q", s.Settings.Get("S3_ENDPOINT"))
	}
	server := u.Host
	if u.Port() == "" {
		server += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	}
	return "s3", map[string]string{"S3_SCHEME": u.Scheme, "S3_SERVER": server, "S3_HOST": u.Hostname(), "S3_BUCKET": s.Settings.Get("S3_BUCKET")}, nil
}

// CollectPictures brings pictures to where they are served from now: what lies in the
// folder alone into the bucket, or what the S3 server keeps back into the
// folder. A picture's name is the hash of its content, so what is there is not
// copied again, unless the copy is not whole.
func (s Servers) CollectPictures(ctx context.Context) error {
	kind, _, err := s.media()
	if err != nil {
		return err
	}
	var n int
	from, to := "the folder", "the bucket"
	if kind == "s3" {
		n, err = s.bucket().fill(ctx, s.Settings.Get("MEDIA_DIR"))
	} else {
		from, to = to, from
		n, err = s.fromBucket()
	}
	if n > 0 {
		s.Out.Say("pictures", "copied %d from %s into %s, which is where they are read from now", n, from, to)
	}
	if err != nil {
		return fmt.Errorf("pictures: %w", err)
	}
	return nil
}

// pictureFiles are the files of a folder that may be shown, by name.
func pictureFiles(dir string) (map[string]int64, error) {
	sizes := map[string]int64{}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return sizes, nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() && !strings.HasPrefix(e.Name(), ".") {
			sizes[e.Name()] = info.Size()
		}
	}
	return sizes, err
}

// fromBucket copies the S3 server's files into the folder; the server need
// not run.
func (s Servers) fromBucket() (copied int, err error) {
	bucket, folder := filepath.Join(s.s3Dir(), s.Settings.Get("S3_BUCKET")), s.Settings.Get("MEDIA_DIR")
	if s.Settings.Get("S3_BUCKET") == "" {
		return 0, nil // there never was one
	}
	have, err := pictureFiles(folder)
	if err != nil {
		return 0, err
	}
	kept, err := pictureFiles(bucket)
	if err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if size, ok := have[name]; ok && size == kept[name] {
			continue
		}
		data, err := os.ReadFile(filepath.Join(bucket, name))
		if err != nil {
			return copied, err
		}
		if err := stack.WriteFile(filepath.Join(folder, name), string(data), 0o644); err != nil {
			return copied, err
		}
		copied++
	}
	return copied, nil
}
