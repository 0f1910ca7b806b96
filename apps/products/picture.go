package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // pictures are checked by reading their headers
	_ "image/png"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	maxPictureBytes  = 10 << 20
	maxPicturePixels = 12_000 // of one side
	mediaPath        = "/media/"
	keepLimit        = 30 * time.Second // for the binding: a store elsewhere may not answer at all
)

// pictureName checks a picture by what is in it, whatever it is called, and returns the name that it is
// kept under: the hash of its bytes, so the same picture is kept once and a name never changes its meaning.
func pictureName(data []byte) (string, error) {
	ending, err := pictureKind(data)
	if err != nil {
		return "", ErrPictureRefused.Detail("%s", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]) + ending, nil
}

// pictureMetadata tells the media binding what a picture is called, in the words of every binding that
// may be plugged in; each leaves out what it does not know.
func pictureMetadata(name string) map[string]string {
	return map[string]string{
		"fileName": name, // a folder's
		"key":      name, // a bucket's, which would make one up
		// A bucket's, for a CDN that reads from it; our own front goes by the name.
		"Content-Type": mime.TypeByExtension(path.Ext(name)),
	}
}

func pictureKind(data []byte) (ending string, err error) {
	switch http.DetectContentType(data) {
	case "image/png":
		ending = ".png"
	case "image/jpeg":
		ending = ".jpg"
	case "image/webp":
		// Its size stands in one of three places, and nothing here decodes it; browsers bound it themselves.
		return ".webp", nil
	default:
		if err := checkSVG(data); err != nil {
			return "", fmt.Errorf("it is not a PNG, JPEG, WebP or plain SVG picture: %w", err)
		}
		return ".svg", nil
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return "", errors.New("the picture is damaged")
	}
	if config.Width > maxPicturePixels || config.Height > maxPicturePixels {
		return "", fmt.Errorf("the picture has more than %d pixels on a side", maxPicturePixels)
	}
	return ending, nil
}

// What an SVG may be made of: shapes, paint and text. Scripts, styles, links, embedded documents and
// animation are not in the list, so they are refused by not being known.
var (
	svgElements = strings.Fields(`svg g defs title desc symbol use path rect circle ellipse line polyline polygon text tspan
		linearGradient radialGradient stop clipPath mask pattern marker
		filter feGaussianBlur feOffset feMerge feMergeNode feFlood feComposite feBlend feColorMatrix feDropShadow feTurbulence`)
	svgAttributes = strings.Fields(`id class x y x1 y1 x2 y2 cx cy r rx ry fx fy d points width height viewBox version preserveAspectRatio
		transform gradientTransform gradientUnits patternTransform patternUnits patternContentUnits clipPathUnits maskUnits maskContentUnits
		markerWidth markerHeight refX refY orient markerUnits spreadMethod offset
		fill fill-opacity fill-rule clip-rule stroke stroke-width stroke-opacity stroke-linecap stroke-linejoin stroke-dasharray
		stroke-dashoffset stroke-miterlimit opacity color stop-color stop-opacity clip-path mask filter
		font-family font-size font-weight font-style text-anchor dominant-baseline letter-spacing dx dy rotate textLength lengthAdjust
		filterUnits primitiveUnits in in2 result stdDeviation mode operator type values k1 k2 k3 k4 flood-color flood-opacity
		baseFrequency numOctaves seed stitchTiles color-interpolation-filters shape-rendering vector-effect mix-blend-mode
		role aria-label aria-hidden xmlns href`)
)

// checkSVG refuses an SVG that could do more than be looked at. It changes nothing: what is refused has to
// be exported again without it.
func checkSVG(data []byte) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	depth, seen := 0, false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !seen {
				return errors.New("there is no picture in it")
			}
			return nil
		}
		if err != nil {
			return errors.New("it is not XML")
		}
		switch t := token.(type) {
		case xml.Directive:
			return errors.New("a document type or entity is not allowed")
		case xml.ProcInst:
			if t.Target != "xml" {
				return errors.New("processing instructions are not allowed")
			}
		case xml.StartElement:
			if depth++; depth > 64 {
				return errors.New("it is nested too deep")
			}
			if !seen && t.Name.Local != "svg" {
				return errors.New("it does not begin with an svg element")
			}
			seen = true
			if err := checkElement(t); err != nil {
				return err
			}
		case xml.EndElement:
			depth--
		}
	}
}

func checkElement(t xml.StartElement) error {
	const svgSpace, linkSpace = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
	if t.Name.Space != svgSpace || !slices.Contains(svgElements, t.Name.Local) {
		return fmt.Errorf("the element %.20q is not allowed", t.Name.Local)
	}
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" && a.Value == linkSpace {
			continue
		}
		if a.Name.Space != "" && a.Name.Space != linkSpace || !slices.Contains(svgAttributes, a.Name.Local) {
			return fmt.Errorf("the attribute %.20q is not allowed", a.Name.Local)
		}
		value := strings.ToLower(strings.Join(strings.Fields(a.Value), ""))
		if a.Name.Local == "href" && !strings.HasPrefix(value, "#") {
			return errors.New("references to anything outside of the picture are not allowed")
		}
		// Paint may name a gradient of the same picture, nothing else. A backslash could spell url otherwise.
		if strings.Contains(value, `\`) || strings.Count(value, "url(") != strings.Count(value, "url(#") {
			return errors.New("references to anything outside of the picture are not allowed")
		}
	}
	return nil
}

// ownPicture is the address of a picture of the shop's own.
var ownPicture = regexp.MustCompile(`^/media/[0-9A-Za-z_-]{1,100}\.[a-z]{3,4}$`)

// pictureSource tells what an address of a picture in a product file means: a picture uploaded before by
// its own name, or an address elsewhere, which is kept as it is when the shop allows its host. Nothing is
// ever fetched.
func pictureSource(src string, uploaded map[string]string, hosts []string) (address, why string) {
	if u, err := url.Parse(src); err == nil && u.Host != "" {
		if (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || len(src) > 2_000 {
			return "", "it is not a plain http or https address"
		}
		if !slices.Contains(hosts, strings.ToLower(u.Hostname())) {
			return "", "pictures from this host are not allowed (setting IMAGE_HOSTS)"
		}
		return u.String(), ""
	}
	if ownPicture.MatchString(src) { // as an export of this shop names it
		return src, ""
	}
	if name, ok := uploaded[src]; ok {
		return mediaPath + name, ""
	}
	return "", "no picture of this name was uploaded"
}
