package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// The S3 server that components/swaps/media-s3 asks for, its bucket, and how
// pictures come from the folder into the bucket and back.

// s3Dir holds a folder for each bucket of the S3 server and in it a file for
// each object, under the object's own name.
func (s *shop) s3Dir() string { return filepath.Join(s.Data, "s3") }

// s3 returns the S3 server.
func (s *shop) s3() (supervise.Process, error) {
	dir := s.s3Dir()
	return supervise.Process{
		// No log of requests: Nginx and the sidecar have theirs.
		Args: []string{s.Installer().S3Server(), "--port", s.At(stack.PortS3), "--region", s.Settings.Get("S3_REGION"), "--keep-alive", "--quiet", "posix", dir},
		Dir:  dir, Env: append(stack.Environment(), "ROOT_ACCESS_KEY="+s.Settings.Get("S3_ACCESS_KEY"), "ROOT_SECRET_KEY="+s.Settings.Get("S3_SECRET_KEY")),
		Patience: 5 * time.Second, Stage: stack.StageStore,
		Health: "tcp:" + s.At(stack.PortS3),
	}, os.MkdirAll(dir, 0o700)
}

// media is the folder of deploy/media with Nginx's part of what is plugged in,
// and the values for its templates.
func (s *shop) media() (kind string, values map[string]string, err error) {
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

// collect brings pictures to where they are served from now: what lies in the
// folder alone into the bucket, or what the S3 server keeps back into the
// folder. A picture's name is the hash of its content, so what is there is not
// copied again, unless the copy is not whole.
func (s *shop) collect(ctx context.Context) error {
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
func (s *shop) fromBucket() (copied int, err error) {
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

// bucket is the one that the settings name.
func (s *shop) bucket() bucket {
	return bucket{
		endpoint: strings.TrimSuffix(s.Settings.Get("S3_ENDPOINT"), "/"), name: s.Settings.Get("S3_BUCKET"), region: s.Settings.Get("S3_REGION"),
		credentials: aws.Credentials{AccessKeyID: s.Settings.Get("S3_ACCESS_KEY"), SecretAccessKey: s.Settings.Get("S3_SECRET_KEY")},
	}
}

// bucket is a bucket of an S3 server, addressed by path.
type bucket struct {
	endpoint, name, region string
	credentials            aws.Credentials
}

// make makes the bucket when it is not there, and lets everybody read objects
// whose names they know: no list, nothing else.
func (b bucket) make(ctx context.Context) error {
	err := b.do(ctx, http.MethodHead, "", nil, "", nil, nil)
	if refused := new(s3Error); errors.As(err, &refused) && refused.status == http.StatusNotFound {
		var where []byte
		if b.region != "us-east-1" { // which is where it is when nothing is said, and must not be
			where = []byte(`<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>` + b.region + `</LocationConstraint></CreateBucketConfiguration>`)
		}
		err = b.do(ctx, http.MethodPut, "", nil, "application/xml", where, nil)
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", b.name, err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + b.name + `/*"}]}`
	if err := b.do(ctx, http.MethodPut, "", url.Values{"policy": {""}}, "application/json", []byte(policy), nil); err != nil {
		return fmt.Errorf("policy of the bucket %s: %w", b.name, err)
	}
	return nil
}

// objects are the sizes of the bucket's objects, by name.
func (b bucket) objects(ctx context.Context) (map[string]int64, error) {
	sizes := map[string]int64{}
	query := url.Values{"list-type": {"2"}}
	for {
		var page struct {
			Contents []struct {
				Key  string
				Size int64
			}
			Next string `xml:"NextContinuationToken"`
		}
		if err := b.do(ctx, http.MethodGet, "", query, "", nil, &page); err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			sizes[o.Key] = o.Size
		}
		if page.Next == "" {
			return sizes, nil
		}
		query.Set("continuation-token", page.Next)
	}
}

// fill copies a folder's pictures into the bucket.
func (b bucket) fill(ctx context.Context, dir string) (copied int, err error) {
	files, err := pictureFiles(dir)
	if err != nil || len(files) == 0 {
		return 0, err
	}
	have, err := b.objects(ctx)
	if err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if size, ok := have[name]; ok && size == files[name] {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return copied, err
		}
		if err := b.do(ctx, http.MethodPut, name, nil, mime.TypeByExtension(filepath.Ext(name)), data, nil); err != nil {
			return copied, fmt.Errorf("%s: %w", name, err)
		}
		copied++
	}
	return copied, nil
}

// s3Error is an S3 server's no.
type s3Error struct {
	status int
	Code   string
}

func (e *s3Error) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the S3 server answers %d %s", e.status, e.Code))
}

// do sends one signed request, about an object or (without a key) about the
// bucket, and reads the XML that answers.
func (b bucket) do(ctx context.Context, method, key string, query url.Values, kind string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	u, err := url.Parse(b.endpoint)
	if err != nil {
		return fmt.Errorf("S3_ENDPOINT: %w", err)
	}
	u = u.JoinPath(b.name, key)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	err = v4.NewSigner().SignHTTP(ctx, b.credentials, req, hash, "s3", b.region, time.Now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		refused := &s3Error{status: resp.StatusCode}
		_ = xml.Unmarshal(text, refused) // HEAD has no body
		return refused
	}
	if answer == nil {
		return nil
	}
	return xml.Unmarshal(text, answer)
}
