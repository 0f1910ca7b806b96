package rest

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stampede-shop/stampede/kit/problem"
)

// Uploads tells the API document what the body may be; it is read as it comes, not by huma.
func Uploads(kinds ...string) func(*huma.Operation) {
	return func(op *huma.Operation) {
		binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"multipart/form-data": {}, // with a schema, huma would read the body
		}}
		for _, k := range kinds {
			op.RequestBody.Content[k] = &huma.MediaType{Schema: binary}
		}
	}
}

// Upload is the input of an operation whose body is read while it arrives.
type Upload struct {
	contentType string
	length      string
	body        io.Reader
}

// Resolve implements huma.Resolver.
func (u *Upload) Resolve(ctx huma.Context) []error {
	u.contentType, u.length, u.body = ctx.Header("Content-Type"), ctx.Header("Content-Length"), ctx.BodyReader()
	return nil
}

// Open returns the body, or the file of a form. Reading more than limit bytes is
// problem.ErrTooLarge.
func (u *Upload) Open(limit int64) (io.Reader, error) {
	if n, err := strconv.ParseInt(u.length, 10, 64); err == nil && n > limit {
		return nil, problem.ErrTooLarge
	}
	body := &limited{r: u.body, left: limit}
	kind, params, err := mime.ParseMediaType(u.contentType)
	if err != nil || kind != "multipart/form-data" {
		//lint:ignore nilerr what is no form is the file itself
		return body, nil
	}
	for form := multipart.NewReader(body, params["boundary"]); ; {
		part, err := form.NextPart()
		if errors.Is(err, problem.ErrTooLarge) {
			return nil, problem.ErrTooLarge
		}
		if err != nil {
			return nil, problem.InvalidField("body.file", problem.CodeRequired, "the form has no file")
		}
		if part.FileName() != "" || part.FormName() == "file" {
			return part, nil
		}
	}
}

// limited is a reader that fails, rather than ends, at its limit.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, problem.ErrTooLarge
	}
	return n, err
}
