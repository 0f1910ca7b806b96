package main

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/stampede-shop/stampede/dev/stack"
)

// writeStatic puts what Nginx serves by itself into STATIC_DIR: the shop's
// OpenAPI document and the page that shows it. What is there already as it
// should be is left alone.
func (s *shop) writeStatic() error {
	dir := s.Settings.Get("STATIC_DIR")
	page := filepath.Join(s.Root, "deploy", "nginx", "docs")
	for to, from := range map[string]string{
		"api/openapi.json":        filepath.Join(s.Root, "docs", "openapi.json"),
		"api/docs.html":           filepath.Join(page, "docs.html"),
		"static/docs/docs.js":     filepath.Join(page, "docs.js"),
		"static/docs/docs.css":    filepath.Join(page, "docs.css"),
		"static/docs/problems.md": filepath.Join(s.Root, "docs", "problems.md"),
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		to = filepath.Join(dir, to)
		if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, text) {
			continue
		}
		if err := stack.WriteFile(to, string(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
