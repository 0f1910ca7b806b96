package infra

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
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
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// s3Dir holds a folder for each bucket of the S3 server and in it a file for
// each object, under the object's own name.
func (s Servers) s3Dir() string { return filepath.Join(s.Data, "s3") }

// s3 returns the S3 server.
func (s Servers) s3() (supervise.Process, error) {
	dir := s.s3Dir()
	return supervise.Process{
		// No log of requests: Nginx and the sidecar have theirs.
		Args: []string{s.Installer().S3Server(), "--port", s.At(stack.PortS3), "--region", s.Settings.Get("S3_REGION"), "--keep-alive", "--quiet", "posix", dir},
		Dir:  dir, Env: append(stack.Environment(), "ROOT_ACCESS_KEY="+s.Settings.Get("S3_ACCESS_KEY"), "ROOT_SECRET_KEY="+s.Settings.Get("S3_SECRET_KEY")),
		Patience: 5 * time.Second, Stage: stack.StageStore,
		Health: "tcp:" + s.At(stack.PortS3),
	}, os.MkdirAll(dir, 0o700)
}

// bucket is the one that the settings name.
func (s Servers) bucket() bucket {
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
