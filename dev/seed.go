package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/kit/pause"
)

const opsAccount = "ops@stampede.test"

// seed fills an empty catalogue: the pictures in dev/seed/pictures, then
// dev/seed/products.csv through the import that every shop uses.
func (s *shop) seed(ctx context.Context) error {
	dir := filepath.Join(s.Root, "dev", "seed")
	file := filepath.Join(dir, "products.csv")
	empty, err := s.catalogueEmpty(ctx)
	if err != nil || !empty {
		return err
	}
	return s.Out.Step(ctx, "seed", "filling the catalogue", func(ctx context.Context) error {
		token, err := s.opsToken(ctx)
		if err != nil {
			return err
		}
		pictures, err := filepath.Glob(filepath.Join(dir, "pictures", "*"))
		if err != nil {
			return err
		}
		for _, picture := range pictures {
			if err := s.uploadPicture(ctx, token, picture); err != nil {
				return err
			}
		}
		return s.importFile(ctx, token, file, len(pictures))
	})
}

// importProducts imports a product file, as make import does.
func (s *shop) importProducts(ctx context.Context, file string) error {
	token, err := s.opsToken(ctx)
	if err != nil {
		return err
	}
	return s.importFile(ctx, token, file, 0)
}

func (s *shop) catalogueEmpty(ctx context.Context) (bool, error) {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	err := s.call(ctx, http.MethodGet, "/api/v1/products?limit=1", "", "", nil, &list)
	return len(list.Items) == 0, err
}

// opsToken logs the demo account ops in. auth makes that account a moment
// after it is up; a login in that moment can bring a token that is older than
// the account's role.
func (s *shop) opsToken(ctx context.Context) (string, error) {
	body, err := json.Marshal(map[string]string{"email": opsAccount, "password": s.Settings.Get("OPS_PASSWORD")})
	if err != nil {
		return "", err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	for deadline := time.Now().Add(90 * time.Second); ; {
		err := s.call(ctx, http.MethodPost, "/api/v1/auth/login", "", "application/json", bytes.NewReader(body), &answer)
		var who struct {
			Roles []string `json:"roles"`
		}
		if err == nil {
			err = s.call(ctx, http.MethodGet, "/api/v1/auth/verify-token", answer.Token, "", nil, &who)
		}
		if err == nil && slices.Contains(who.Roles, "ADMIN") {
			return answer.Token, nil
		}
		if err == nil {
			err = errors.New("it is no administrator yet")
		}
		if time.Now().After(deadline) || !pause.For(ctx, 500*time.Millisecond) {
			return "", fmt.Errorf("%s cannot log in: %w", opsAccount, err)
		}
	}
}

func (s *shop) uploadPicture(ctx context.Context, token, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	name := filepath.Base(file)
	path := "/api/v1/admin/products/pictures?name=" + url.QueryEscape(name)
	if err := s.call(ctx, http.MethodPost, path, token, http.DetectContentType(data), bytes.NewReader(data), nil); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// importReport is the part of the import's answer that is shown.
type importReport struct {
	Created   int    `json:"created"`
	Changed   int    `json:"changed"`
	Unchanged int    `json:"unchanged"`
	Refused   int    `json:"refused"`
	Complete  bool   `json:"complete"`
	Stopped   string `json:"stopped"`
	Rows      []struct {
		Line    int    `json:"line"`
		SKU     string `json:"sku"`
		Outcome string `json:"outcome"`
		Reason  string `json:"reason"`
	} `json:"rows"`
}

// importFile sends a product file and prints what came of it, the refused rows
// one by one.
func (s *shop) importFile(ctx context.Context, token, file string, pictures int) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var report importReport
	if err := s.call(ctx, http.MethodPost, "/api/v1/admin/products/import", token, "text/csv", f, &report); err != nil {
		return err
	}
	for _, r := range report.Rows {
		if r.Outcome == "refused" {
			s.Out.Say("import", "line %d, SKU %q refused: %s", r.Line, r.SKU, r.Reason)
		}
	}
	s.Out.Say("import", "%s: %d rows created, %d changed, %d unchanged, %d refused; %d pictures",
		filepath.Base(file), report.Created, report.Changed, report.Unchanged, report.Refused, pictures)
	if !report.Complete {
		return fmt.Errorf("the file was not read to its end: %s", report.Stopped)
	}
	return nil
}

// call sends one request through the front and reads the JSON answer.
func (s *shop) call(ctx context.Context, method, path, token, contentType string, body io.Reader, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.Settings.Get("PUBLIC_URL")+path, body)
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("%s %s answers %d %s", method, path, resp.StatusCode, strings.Join(strings.Fields(string(text)), " "))
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
