package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPictureName(t *testing.T) {
	t.Parallel()
	var p, j bytes.Buffer
	require.NoError(t, png.Encode(&p, image.NewGray(image.Rect(0, 0, 2, 2))))
	require.NoError(t, jpeg.Encode(&j, image.NewGray(image.Rect(0, 0, 2, 2)), nil))
	good := map[string]string{
		p.String(): ".png", j.String(): ".jpg", "RIFF\x1a\x00\x00\x00WEBPVP8 ": ".webp",
		`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><defs><linearGradient id="g"/></defs><rect fill="url(#g)" width="1" height="1"/></svg>`: ".svg",
	}
	for data, ending := range good {
		name, err := pictureName([]byte(data))
		require.NoError(t, err)
		require.True(t, strings.HasSuffix(name, ending), name)
		require.Len(t, name, 32+len(ending))
	}
	damaged := append([]byte{}, p.Bytes()[:12]...)
	_, err := pictureName(damaged)
	require.ErrorIs(t, err, ErrPictureRefused)
}

// TestPictureMetadata: whichever binding is plugged in finds the name that the front will ask for.
func TestPictureMetadata(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{"a.png": "image/png", "a.jpg": "image/jpeg", "a.webp": "image/webp", "a.svg": "image/svg+xml"} {
		require.Equal(t, map[string]string{"fileName": name, "key": name, "Content-Type": kind}, pictureMetadata(name))
	}
}

func TestRefusedPictures(t *testing.T) {
	t.Parallel()
	svg := func(inner string) string {
		return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">` + inner + `</svg>`
	}
	for name, data := range map[string]string{
		"nothing":               "",
		"text":                  "hello",
		"html":                  "<html><script>alert(1)</script></html>",
		"gif":                   "GIF89a\x01\x00\x01\x00\x00\x00\x00",
		"script":                svg(`<script>alert(1)</script>`),
		"handler":               svg(`<rect onload="alert(1)"/>`),
		"handler on root":       `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
		"foreign object":        svg(`<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"/></foreignObject>`),
		"link":                  svg(`<a href="javascript:alert(1)"><rect/></a>`),
		"outside reference":     svg(`<use xlink:href="https://example.com/x.svg#a"/>`),
		"data reference":        svg(`<use href="data:image/svg+xml,x"/>`),
		"outside paint":         svg(`<rect fill="url(https://example.com/)"/>`),
		"outside paint, spaced": svg(`<rect fill="url( 'https://example.com/' )"/>`),
		"escaped paint":         svg(`<rect fill="\75rl(https://example.com)"/>`),
		"style element":         svg(`<style>@import "https://example.com"</style>`),
		"style attribute":       svg(`<rect style="fill:url(https://example.com)"/>`),
		"animation":             svg(`<animate attributeName="href" to="javascript:alert(1)"/>`),
		"image":                 svg(`<image href="https://example.com/x.png"/>`),
		"doctype":               `<!DOCTYPE svg [<!ENTITY x "y">]>` + svg(``),
		"stylesheet":            `<?xml-stylesheet href="https://example.com/x.css"?>` + svg(``),
		"no namespace":          `<svg><rect/></svg>`,
		"other namespace":       svg(`<x:script xmlns:x="http://www.w3.org/1999/xhtml">alert(1)</x:script>`),
		"not closed":            `<svg xmlns="http://www.w3.org/2000/svg">`,
		"deep":                  svg(strings.Repeat("<g>", 100) + strings.Repeat("</g>", 100)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pictureName([]byte(data))
			require.ErrorIs(t, err, ErrPictureRefused)
		})
	}
}

func TestPictureSource(t *testing.T) {
	t.Parallel()
	uploaded := map[string]string{"lamp.svg": "abc.svg"}
	for src, want := range map[string]string{
		"lamp.svg":                                   "/media/abc.svg",
		"https://cdn.example.com/a.jpg?v=1":          "https://cdn.example.com/a.jpg?v=1",
		"other.svg":                                  "",
		"/media/abc.svg":                             "/media/abc.svg",
		"/media/../abc.svg":                          "",
		"https://evil.example/a.jpg":                 "",
		"https://cdn.example.com@evil.example/a.jpg": "",
		"//cdn.example.com/a.jpg":                    "",
		"javascript:alert(1)":                        "",
		"ftp://cdn.example.com/a.jpg":                "",
		"file:///etc/passwd":                         "",
		"http://169.254.169.254/latest":              "",
	} {
		got, why := pictureSource(src, uploaded, []string{"cdn.example.com"})
		require.Equal(t, want, got, src)
		require.Equal(t, want == "", why != "", src)
	}
}
