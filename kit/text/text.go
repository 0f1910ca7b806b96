// Package text holds the one rule of what people write into a line: a name, a street, a town.
package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Line brings a line of text to the form in which it is kept: composed (NFC, UAX 15), every space of Unicode and every
// tab an ordinary space, one between words and none at the ends. It is "" when nothing visible is left. ok is false when
// it holds a line end or another control character, which no line has.
func Line(s string) (line string, ok bool) {
	s = norm.NFC.String(strings.TrimFunc(s, blank))
	line = strings.Join(strings.FieldsFunc(s, space), " ")
	if !strings.ContainsFunc(line, visible) {
		line = ""
	}
	return line, !strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) })
}

// space tells what separates words within a line: the separators of Unicode but for line ends, and tabs.
func space(r rune) bool { return r == '\t' || unicode.Is(unicode.Zs, r) }

// blank tells what is taken off the ends: white space, and what shows nothing at an end wherever it was copied from, such
// as a byte order mark.
func blank(r rune) bool {
	return unicode.IsSpace(r) || r == '\u200b' || r == '\u2060' || r == '\ufeff'
}

// visible tells what a reader sees: neither spaces, nor controls and formats, nor what Unicode lets fonts leave out
// (Default_Ignorable_Code_Point, UAX 44), nor Braille's blank.
func visible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != '\u2800' &&
		!unicode.In(r, unicode.Zs, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
