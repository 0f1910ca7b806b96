// Package picture is how the shop's own pictures and their smaller copies are
// named, so that who shows one needs to ask nobody which sizes there are.
package picture

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Widths are those of the copies, in pixels. A picture has those that are
// narrower than itself.
var Widths = []int{400, 800, 1600}

// Name is what a picture of so many pixels is called, by the hash of what is
// in it and the ending of its kind, such as ".jpg".
func Name(hash string, width, height int, ending string) string {
	return fmt.Sprintf("%s-%dx%d%s", hash, width, height, ending)
}

// CopyName is what the copy of a picture is called. Copies are WebP.
func CopyName(name string, width int) string {
	return strings.TrimSuffix(name, name[strings.LastIndexByte(name, '.'):]) + "-" + strconv.Itoa(width) + ".webp"
}

var sized = regexp.MustCompile(`^/media/[0-9a-f]{32}-([0-9]{1,5})x([0-9]{1,5})\.(?:jpg|png|webp)$`)

// Srcset is the HTML attribute srcset of the picture at an address: its copies
// and itself, with their widths. It is empty for a picture that has no copies:
// a drawing, one from elsewhere, or one of the days before there were any.
func Srcset(address string) string {
	m := sized.FindStringSubmatch(address)
	if m == nil {
		return ""
	}
	own, _ := strconv.Atoi(m[1])
	var out []string
	for _, w := range Widths {
		if w < own {
			out = append(out, fmt.Sprintf("%s %dw", CopyName(address, w), w))
		}
	}
	if out == nil {
		return ""
	}
	return strings.Join(append(out, fmt.Sprintf("%s %dw", address, own)), ", ")
}

// Small is the address of the smallest copy, or of the picture itself when it
// has none.
func Small(address string) string {
	if first, _, ok := strings.Cut(Srcset(address), " "); ok {
		return first
	}
	return address
}
