package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stampede-shop/stampede/dev/progress"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/kit/pause"
	"github.com/stampede-shop/stampede/kit/skus"
)

// shop is the shop that is measured.
type shop struct {
	*stack.Stack
	base string
	http *http.Client

	told *atomic.Int64 // of a patient one: how often it was told to come again later
}

// patient is the shop for those who come again when they are told to.
func (s *shop) patient() *shop {
	again := *s
	again.told = new(atomic.Int64)
	return &again
}

// openShop finds the shop of a run folder, which must be up.
func openShop(run string) (*shop, error) {
	if _, err := os.Stat(filepath.Join(run, "settings.env")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no shop in %s: make up starts one", run)
	}
	if err := os.Setenv("RUN_DIR", run); err != nil {
		return nil, err
	}
	if err := os.Unsetenv("PORT_OFFSET"); err != nil { // it is in the settings
		return nil, err
	}
	st, err := stack.Open(progress.New(os.Stdout))
	if err != nil {
		return nil, err
	}
	if kept, _, err := st.Supervisor().State(); err != nil || !kept.Supervised() {
		return nil, errors.Join(err, fmt.Errorf("the shop in %s is not up", run))
	}
	return &shop{Stack: st, base: st.Settings.Get("PUBLIC_URL"), http: &http.Client{
		Timeout:   60 * time.Second,
		Transport: &http.Transport{MaxIdleConns: 4096, MaxIdleConnsPerHost: 4096, IdleConnTimeout: time.Minute, DisableCompression: true},
	}}, nil
}

// refusal is an answer of 400 or more.
type refusal struct {
	request string
	status  int
	slug    string        // of the problem; "" when the answer is none
	after   time.Duration // Retry-After
	body    string
}

// Error tells the answer.
func (r *refusal) Error() string { return fmt.Sprintf("%s: %d %.300s", r.request, r.status, r.body) }

// later reports whether it says to come again later.
func (r *refusal) later() bool {
	return r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests || r.after > 0
}

// kind is the refusal without what differs from one to the next.
func (r *refusal) kind() string { return strings.TrimSpace(strconv.Itoa(r.status) + " " + r.slug) }

// send makes one request and reads the answer into out. path is one of the
// shop, or an address of its own. headers are names and values in turn. The error of an answer that says no is a *refusal.
func (s *shop) send(ctx context.Context, method, path, token string, body, out any, headers ...string) error {
	for {
		err := s.once(ctx, method, path, token, body, out, headers...)
		var no *refusal
		if s.told == nil || !errors.As(err, &no) || !no.later() && no.slug != "request-in-progress" {
			return err
		}
		s.told.Add(1)
		if !pause.For(ctx, max(no.after, 200*time.Millisecond)) {
			return err
		}
	}
}

// once is send for those who do not come again.
func (s *shop) once(ctx context.Context, method, path, token string, body, out any, headers ...string) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	at := path
	if strings.HasPrefix(path, "/") {
		at = s.base + path
	}
	req, err := http.NewRequestWithContext(ctx, method, at, reader)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return refused(method+" "+path, resp, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

func refused(request string, resp *http.Response, text []byte) *refusal {
	r := &refusal{request: request, status: resp.StatusCode, body: string(text)}
	var problem struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(text, &problem) == nil {
		r.slug = problem.Type[strings.LastIndexByte(problem.Type, ':')+1:]
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		r.after = time.Duration(n) * time.Second
	}
	return r
}

// money is an amount in minor units.
type money struct {
	Amount   int64  `json:"amount_minor"`
	Currency string `json:"currency"`
}

// product is one that the bench has made, of one variant.
type product struct{ Slug, SKU string }

// newProduct makes a product of which there are so many, and waits until it
// can be bought.
func (s *shop) newProduct(ctx context.Context, admin, id string, units int) (product, error) {
	p := product{Slug: "bench-" + id, SKU: "BENCH-" + id}
	var made struct {
		ID string `json:"id"`
	}
	err := s.send(ctx, "POST", "/api/v1/admin/products", admin, map[string]any{
		"name": "Bench lamp " + id, "slug": p.Slug, "description": "<p>A lamp to measure with.</p>",
		"variants": []any{map[string]any{"sku": p.SKU, "price": money{1_500, s.Settings.Get("SHOP_CURRENCY")}, "initial_stock": units}},
	}, &made)
	if err == nil {
		err = s.send(ctx, "POST", "/api/v1/admin/products/"+made.ID+"/publication", admin, nil, nil)
	}
	return p, err
}

// await waits until there is stock of a SKU: inventory hears of it by an event.
func (s *shop) await(ctx context.Context, sku string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := s.send(ctx, "GET", "/api/v1/availability/"+skus.Segment(sku), "", nil, nil)
		var no *refusal
		if err == nil || !errors.As(err, &no) || no.status != http.StatusNotFound {
			return err
		}
		if !pause.For(ctx, 50*time.Millisecond) {
			return fmt.Errorf("%s has no stock yet", sku)
		}
	}
}
