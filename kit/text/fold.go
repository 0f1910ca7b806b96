package text

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// letters are those of Latin script that no normal form takes apart, as people write them without.
var letters = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ð", "d", "ħ", "h", "ı", "i", "ł", "l", "ŋ", "n",
	"þ", "th", "ŧ", "t", "'", "", "’", "", "\u00ad", "")

// isAccent tells accents, and the points and vowel marks of Hebrew and Arabic, from marks that make another letter, as those
// of Japanese, Thai and the scripts of India do.
func isAccent(r rune) bool {
	return r >= 0x300 && r <= 0x36f || r >= 0x591 && r <= 0x5c7 || r >= 0x64b && r <= 0x65f || r == 0x670
}

// Fold writes a text in small letters without accents, each letter in its plainest form, so that jose finds José.
func Fold(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf || r == '\'' }) {
		return strings.ToLower(s) // most words, and this is the dearest step of an import
	}
	s = norm.NFC.String(strings.Map(func(r rune) rune {
		if isAccent(r) {
			return -1
		}
		return r
	}, norm.NFKD.String(s)))
	return letters.Replace(elided.ReplaceAllString(strings.ToLower(s), "$1 "))
}

// elided are the little words that French, Italian and Catalan join to the next one: d'été, l'eau.
var elided = regexp.MustCompile(`\b([cdjlmnst]|qu|dell|all|un)['’]`)

// Words are what a text is found by, folded, each once and in order: what stands between spaces, and its parts where signs
// stand within. "Jean-Luc Müller" has jean, jean-luc, luc and muller.
func Words(s string) []string {
	var found []string
	for _, word := range Asked(s) {
		found = append(found, word)
		found = append(found, strings.FieldsFunc(word, isSign)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Asked are the words of a text as somebody asks for them: what stands between spaces, folded, without signs at its ends.
// Each is one of the text's Words, or how one of them begins.
func Asked(s string) []string {
	var asked []string
	for _, word := range strings.Fields(Fold(s)) {
		if word = strings.TrimFunc(word, isSign); word != "" {
			asked = append(asked, word)
		}
	}
	return asked
}

// isSign tells what is part of no word by itself.
func isSign(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }
