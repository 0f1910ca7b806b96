package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	webpwriter "github.com/gen2brain/webp"
	"github.com/kovidgoyal/imaging"
	"github.com/kovidgoyal/imaging/prism/meta/autometa"
	"golang.org/x/image/webp"

	"github.com/stampede-shop/stampede/kit/picture"
)

const (
	maxPictureBytes = 10 << 20
	maxPixels       = 24_000_000 // decoded, these are a hundred megabytes
	maxSide         = 2_400      // of a picture as it is kept
	maxDrawn        = 50_000     // elements of an SVG, each as often as it is used
	jpegQuality     = 88
	webpQuality     = 80 // of copies
	mediaPath       = "/media/"
	keepLimit       = 30 * time.Second // for the binding: a store elsewhere may not answer at all
)

// file is a picture or a copy of it, as it is kept.
type file struct {
	name string
	data []byte
}

// preparePicture makes of an uploaded picture what is kept: smaller copies first, itself last. It goes by what is in it,
// whatever it is called. All of it is decoded and written anew, turned upright and in sRGB, so that nothing comes along that
// a camera or a program wrote beside it, such as where it was taken. A picture is called by the hash of its bytes: the same
// one is kept once, and a name never changes its meaning.
func preparePicture(data []byte) ([]file, error) {
	kind := http.DetectContentType(data)
	header, ok := map[string]func(io.Reader) (image.Config, error){
		"image/png": png.DecodeConfig, "image/jpeg": jpeg.DecodeConfig, "image/webp": webp.DecodeConfig,
	}[kind]
	if !ok {
		if err := checkSVG(data); err != nil {
			return nil, ErrPictureRefused.Detail("it is not a PNG, JPEG, WebP or plain SVG picture: %s", err)
		}
		return []file{{hashed(data) + ".svg", data}}, nil
	}
	size, err := header(bytes.NewReader(data))
	if err != nil {
		return nil, ErrPictureRefused.Detail("the picture is damaged, or of a kind that is not taken")
	}
	if size.Width < 1 || size.Height < 1 || size.Width > maxPixels/size.Height {
		return nil, ErrPictureRefused.Detail("the picture has more than %d million pixels", maxPixels/1_000_000)
	}
	p, err := decodePicture(data)
	if err != nil {
		return nil, err
	}
	return encodePicture(p, kind)
}

// decodePicture reads all of a picture whose size is known to be bearable.
func decodePicture(data []byte) (*image.NRGBA, error) {
	about, _, err := autometa.Load(bytes.NewReader(data))
	if err == nil && about != nil && about.HasFrames {
		return nil, ErrPictureRefused.Detail("the picture moves: send one that does not")
	}
	decoded, err := imaging.Decode(bytes.NewReader(data), imaging.Backends(imaging.GO_IMAGE))
	if err != nil { // perhaps only for what is beside the picture
		decoded, err = imaging.Decode(bytes.NewReader(data), imaging.Backends(imaging.GO_IMAGE), imaging.AutoOrientation(false),
			imaging.ColorSpace(imaging.NO_CHANGE_OF_COLORSPACE))
	}
	if err != nil || decoded == nil {
		return nil, ErrPictureRefused.Detail("the picture is damaged: it cannot be read to its end")
	}
	if b := decoded.Bounds(); b.Dx() > maxSide || b.Dy() > maxSide {
		decoded = imaging.Fit(decoded, maxSide, maxSide, imaging.Lanczos)
	}
	out := image.NewNRGBA(image.Rect(0, 0, decoded.Bounds().Dx(), decoded.Bounds().Dy()))
	draw.Draw(out, out.Bounds(), decoded, decoded.Bounds().Min, draw.Src)
	return out, nil
}

// encodePicture writes a picture as the kind that it came as, and its copies.
func encodePicture(p *image.NRGBA, kind string) ([]file, error) {
	var own bytes.Buffer
	var ending string
	var err error
	switch kind {
	case "image/png":
		ending, err = ".png", png.Encode(&own, p)
	case "image/jpeg":
		ending, err = ".jpg", jpeg.Encode(&own, p, &jpeg.Options{Quality: jpegQuality})
	default:
		ending, err = ".webp", webpwriter.Encode(&own, p, webpwriter.Options{Quality: jpegQuality})
	}
	if err != nil {
		return nil, fmt.Errorf("encode picture: %w", err)
	}
	width, height := p.Bounds().Dx(), p.Bounds().Dy()
	name := picture.Name(hashed(own.Bytes()), width, height, ending)
	var files []file
	for _, w := range picture.Widths {
		if w >= width {
			break
		}
		var b bytes.Buffer
		small := imaging.Resize(p, w, 0, imaging.Lanczos)
		if err := webpwriter.Encode(&b, small, webpwriter.Options{Quality: webpQuality}); err != nil {
			return nil, fmt.Errorf("encode copy: %w", err)
		}
		files = append(files, file{picture.CopyName(name, w), b.Bytes()})
	}
	return append(files, file{name, own.Bytes()}), nil
}

func hashed(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
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
	uses := newUses()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !seen {
				return errors.New("there is no picture in it")
			}
			if uses.drawn() > maxDrawn {
				return fmt.Errorf("it draws more than %d elements", maxDrawn)
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
			uses.begin(t)
		case xml.EndElement:
			depth--
			uses.end()
		}
	}
}

// uses counts what an SVG draws. A few lines can draw billions of elements, when each uses the one before it ten times.
type uses struct {
	open []string            // the nearest id above, one for each element that is open
	own  map[string]int      // elements by that id
	of   map[string][]string // what is used there
}

func newUses() *uses { return &uses{own: map[string]int{}, of: map[string][]string{}} }

var painted = regexp.MustCompile(`(?i)url\(#([^)]*)`)

func (u *uses) begin(t xml.StartElement) {
	id := ""
	if len(u.open) > 0 {
		id = u.open[len(u.open)-1]
	}
	for _, a := range t.Attr {
		if a.Name.Local == "id" && a.Value != "" {
			u.of[id] = append(u.of[id], a.Value) // what is inside is drawn with it
			id = a.Value
		}
	}
	u.own[id]++
	for _, a := range t.Attr {
		value := strings.Join(strings.Fields(a.Value), "")
		if plain, err := url.PathUnescape(value); err == nil { // as a browser reads it
			value = plain
		}
		if target, ok := strings.CutPrefix(value, "#"); ok && a.Name.Local == "href" {
			u.of[id] = append(u.of[id], target)
		}
		for _, m := range painted.FindAllStringSubmatch(value, -1) {
			u.of[id] = append(u.of[id], m[1])
		}
	}
	u.open = append(u.open, id)
}

func (u *uses) end() { u.open = u.open[:len(u.open)-1] }

// drawn is how many elements are drawn, more than maxDrawn for all that is more, and for what uses itself.
func (u *uses) drawn() int {
	known := map[string]int{}
	var count func(id string) int
	count = func(id string) int {
		if n, ok := known[id]; ok {
			return n
		}
		known[id] = maxDrawn + 1 // until it is known: it is asked for from within itself
		n := u.own[id]
		for _, other := range u.of[id] {
			n = min(n+count(other), maxDrawn+1)
		}
		known[id] = n
		return n
	}
	return count("")
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
