package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"slices"
	"strings"
	"testing"

	webpwriter "github.com/gen2brain/webp"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/webp"

	"github.com/stampede-shop/stampede/kit/picture"
)

// pixels is a picture of so many, none like its neighbours.
func pixels(width, height int) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			p.Set(x, y, color.NRGBA{uint8(x), uint8(y), uint8(x * y), 255})
		}
	}
	return p
}

func TestPreparePicture(t *testing.T) {
	t.Parallel()
	var p, j, w bytes.Buffer
	require.NoError(t, png.Encode(&p, pixels(2, 3)))
	require.NoError(t, jpeg.Encode(&j, pixels(2, 3), nil))
	require.NoError(t, webpwriter.Encode(&w, pixels(2, 3)))
	good := map[string]string{
		p.String(): "-2x3.png", j.String(): "-2x3.jpg", w.String(): "-2x3.webp",
		`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><defs><linearGradient id="g"/></defs>` +
			`<rect fill="url(#g)" width="1" height="1"/></svg>`: ".svg",
	}
	for data, ending := range good {
		files, err := preparePicture([]byte(data))
		require.NoError(t, err)
		require.Len(t, files, 1)
		require.True(t, strings.HasSuffix(files[0].name, ending), files[0].name)
		require.Len(t, files[0].name, 32+len(ending))
		require.True(t, ownPicture.MatchString(mediaPath+files[0].name), "an export may name it")
		again, err := preparePicture([]byte(data))
		require.NoError(t, err)
		require.Equal(t, files, again, "the same picture is kept once")
	}
	t.Log("a large one has copies, which are told by its name")
	var large bytes.Buffer
	require.NoError(t, jpeg.Encode(&large, pixels(3_000, 300), nil))
	files, err := preparePicture(large.Bytes())
	require.NoError(t, err)
	require.Len(t, files, 4)
	own := files[3].name
	require.True(t, strings.HasSuffix(own, "-2400x240.jpg"), own)
	for i, width := range picture.Widths {
		require.Equal(t, picture.CopyName(own, width), files[i].name)
		size, err := webp.DecodeConfig(bytes.NewReader(files[i].data))
		require.NoError(t, err)
		require.Equal(t, width, size.Width)
		require.InDelta(t, width/10, size.Height, 1)
		require.Contains(t, picture.Srcset(mediaPath+own), files[i].name)
	}
}

// TestPicturesTellNothing: where and with what a picture was taken is not in what is kept, and it is upright.
func TestPicturesTellNothing(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/exif-gps.jpg")
	require.NoError(t, err)
	files, err := preparePicture(data)
	require.NoError(t, err)
	require.NotContains(t, string(files[0].data), "Exif")

	// The same, of a picture that lies on its side: a camera's note says that the right edge is up.
	var lying bytes.Buffer
	wide := pixels(30, 20)
	draw.Draw(wide, image.Rect(0, 0, 15, 20), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.Draw(wide, image.Rect(15, 0, 30, 20), image.NewUniform(color.Black), image.Point{}, draw.Src)
	require.NoError(t, jpeg.Encode(&lying, wide, nil))
	note := data[2 : 4+int(data[4])<<8+int(data[5])]
	files, err = preparePicture(slices.Concat(lying.Bytes()[:2], note, lying.Bytes()[2:]))
	require.NoError(t, err)
	require.NotContains(t, string(files[0].data), "Exif")
	require.True(t, strings.HasSuffix(files[0].name, "-20x30.jpg"), files[0].name)
	upright, err := jpeg.Decode(bytes.NewReader(files[0].data))
	require.NoError(t, err)
	light, _, _, _ := upright.At(10, 3).RGBA()
	dark, _, _, _ := upright.At(10, 27).RGBA()
	require.Greater(t, light, uint32(0xe000))
	require.Less(t, dark, uint32(0x2000))

	// A note that is damaged does not make the picture so.
	broken := slices.Clone(note)
	copy(broken[10:], bytes.Repeat([]byte{0xff}, 40))
	_, err = preparePicture(slices.Concat(lying.Bytes()[:2], broken, lying.Bytes()[2:]))
	require.NoError(t, err)
}

// TestCMYK: a picture for print is kept as one for screens.
func TestCMYK(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/cmyk.jpg")
	require.NoError(t, err)
	was, err := jpeg.DecodeConfig(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, color.CMYKModel, was.ColorModel)
	files, err := preparePicture(data)
	require.NoError(t, err)
	p, err := jpeg.Decode(bytes.NewReader(files[0].data))
	require.NoError(t, err)
	require.IsType(t, &image.YCbCr{}, p)
	r, g, b, _ := p.At(5, 5).RGBA()
	require.Greater(t, r, uint32(0xc000), "red")
	require.Less(t, max(g, b), uint32(0x6000))
}

func TestDamagedPictures(t *testing.T) {
	t.Parallel()
	truncated, err := os.ReadFile("testdata/truncated.png")
	require.NoError(t, err)
	var p, j, w, huge bytes.Buffer
	require.NoError(t, png.Encode(&p, pixels(60, 60)))
	require.NoError(t, jpeg.Encode(&j, pixels(60, 60), nil))
	require.NoError(t, webpwriter.Encode(&w, pixels(60, 60)))
	require.NoError(t, png.Encode(&huge, image.NewPaletted(image.Rect(0, 0, 6_000, 5_000), color.Palette{color.White})))
	for name, data := range map[string][]byte{
		"15c":        truncated,
		"a PNG":      p.Bytes()[:p.Len()/2],
		"no end":     p.Bytes()[:12],
		"a JPEG":     j.Bytes()[:j.Len()/2],
		"a WebP":     w.Bytes()[:w.Len()/2],
		"no picture": []byte("RIFF\x1a\x00\x00\x00WEBPVP8 "),
		"too large":  huge.Bytes(),
	} {
		_, err := preparePicture(data)
		require.ErrorIs(t, err, ErrPictureRefused, name)
	}
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
		"a laugh":               svg(laugh("#")),
		"a spaced laugh":        svg(laugh(" \n#")),
		"an encoded laugh":      svg(strings.ReplaceAll(laugh("#"), "#a", "#%61")),
		"a circle":              svg(`<g id="a"><use href="#a"/></g>`),
		"circling paint":        svg(`<pattern id="a"><rect fill="url(#b)"/></pattern><pattern id="b"><rect fill="url(#a)"/></pattern>`),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := preparePicture([]byte(data))
			require.ErrorIs(t, err, ErrPictureRefused)
		})
	}
}

// laugh is a picture of few elements in which each uses the one before it ten times.
func laugh(begin string) string {
	out := `<g id="a0"><rect/></g>`
	for i := range 9 {
		out += fmt.Sprintf(`<g id="a%d">`, i+1) + strings.Repeat(fmt.Sprintf(`<use href="%sa%d"/>`, begin, i), 10) + `</g>`
	}
	return out
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
