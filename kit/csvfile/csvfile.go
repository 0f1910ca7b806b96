// Package csvfile reads tables as spreadsheets save them: UTF-8, UTF-16 or
// Windows-1252; lines that end in CR, LF or both; cells apart by commas,
// semicolons or tabs.
package csvfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// MaxHead is how many bytes of a file are looked at to recognise it.
const MaxHead = 64 << 10

const maxRowBytes = 1 << 20

// Why the rest of a file cannot be read.
var (
	ErrRowTooLong = fmt.Errorf("a row is longer than %d bytes; perhaps a quote is not closed", maxRowBytes)
	ErrEncoding   = errors.New("the file is neither UTF-8, UTF-16 nor Windows-1252; save it as “CSV UTF-8”")
)

// Table is a CSV file that is read row by row.
type Table struct {
	Header []string // trimmed
	Comma  rune     // what stands between cells

	csv    *csv.Reader
	budget *budget
}

// New reads a file's header. knows tells whether a header is one that is looked for; by it the character is chosen
// that stands between cells. Errors: io.EOF, *csv.ParseError, ErrEncoding, and those of r.
func New(r io.Reader, knows func(header []string) bool) (*Table, error) {
	t := &Table{Comma: ',', budget: &budget{r: r}}
	t.budget.reset()
	in := newlines(bufio.NewReaderSize(decoded(bufio.NewReaderSize(t.budget, MaxHead)), MaxHead))
	head, err := in.Peek(MaxHead)
	if len(head) == 0 && err != nil {
		return nil, err
	}
	for _, c := range ",;\t" {
		if header, err := readHeader(head, c); err == nil && knows(header) {
			t.Comma = c
			break
		}
	}
	t.csv = newCSV(in, t.Comma)
	t.csv.ReuseRecord = true
	header, err := t.csv.Read()
	if err != nil {
		return nil, err
	}
	t.Header = tidyHeader(header)
	return t, nil
}

func newCSV(r io.Reader, comma rune) *csv.Reader {
	c := csv.NewReader(r)
	c.Comma, c.FieldsPerRecord = comma, -1
	return c
}

func readHeader(head []byte, comma rune) ([]string, error) {
	header, err := newCSV(bytes.NewReader(head), comma).Read()
	return tidyHeader(header), err
}

func tidyHeader(header []string) []string {
	out := make([]string, len(header))
	for i, name := range header {
		out[i] = Text(strings.TrimSpace(name))
	}
	return out
}

// Record is a row of a table.
type Record struct {
	Line    int      // where it begins
	Cells   []string // trimmed; as many as the header has
	Bytes   int
	Refused string // why it cannot be read
}

// Read returns the next row. An error other than io.EOF means that the rest cannot be read.
func (t *Table) Read() (Record, error) {
	t.budget.reset()
	start := t.csv.InputOffset()
	cells, err := t.csv.Read()
	var parse *csv.ParseError
	if errors.As(err, &parse) && !errors.Is(err, ErrRowTooLong) && !errors.Is(err, ErrEncoding) {
		return Record{Line: parse.StartLine, Refused: "the row is not valid CSV: " + parse.Err.Error()}, nil
	}
	if err != nil {
		return Record{}, err
	}
	line, _ := t.csv.FieldPos(0)
	out := Record{Line: line, Cells: make([]string, len(t.Header)), Bytes: int(t.csv.InputOffset() - start)}
	for i, cell := range cells {
		if !utf8.ValidString(cell) || strings.ContainsRune(cell, 0) {
			out.Refused = "the row is not UTF-8 text"
			return out, nil
		}
		cell = strings.TrimSpace(strings.Clone(cell))
		if i < len(out.Cells) {
			out.Cells[i] = cell
		} else if cell != "" {
			out.Refused = fmt.Sprintf("the row has %d columns, the header has %d", len(cells), len(t.Header))
			return out, nil
		}
	}
	return out, nil
}

// decoded is a file's text in UTF-8. A file that is not UTF-16 and whose first character beyond ASCII is not UTF-8 is
// Windows-1252. Reading fails with ErrEncoding when it cannot be that either.
func decoded(in *bufio.Reader) io.Reader {
	head, _ := in.Peek(MaxHead)
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = in.Discard(3)
		return in
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return transform.NewReader(in, unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder())
	case len(head) > 3 && head[0] != 0 && head[1] == 0 && head[2] != 0 && head[3] == 0:
		return transform.NewReader(in, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder())
	case len(head) > 3 && head[0] == 0 && head[1] != 0 && head[2] == 0 && head[3] != 0:
		return transform.NewReader(in, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewDecoder())
	}
	// Lines that end in CR alone are an old Macintosh's, and so is its encoding then.
	return transform.NewReader(in, &western{old: bytes.Contains(head, []byte("\r")) && !bytes.Contains(head, []byte("\n"))})
}

// western passes UTF-8 on, and turns Windows-1252 into it.
type western struct {
	transform.NopResetter

	old     bool // Windows-1252 it cannot be
	is, not bool // known to be Windows-1252, or not
	letters int  // beyond ASCII, one after the other
}

// Transform implements transform.Transformer.
func (w *western) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if w.not {
			n := copy(dst[nDst:], src[nSrc:])
			if nDst, nSrc = nDst+n, nSrc+n; nSrc < len(src) {
				return nDst, nSrc, transform.ErrShortDst
			}
			return nDst, nSrc, nil
		}
		c := src[nSrc]
		if c >= utf8.RuneSelf && !w.is {
			if !utf8.FullRune(src[nSrc:]) && !atEOF {
				return nDst, nSrc, transform.ErrShortSrc
			}
			if r, size := utf8.DecodeRune(src[nSrc:]); r != utf8.RuneError || size > 1 {
				w.not = true
				continue
			}
			w.is = true
		}
		r := rune(c)
		if c >= utf8.RuneSelf {
			// No Western word has so many such letters in a row, but every Cyrillic or Greek one has.
			if w.letters++; c < 0xC0 {
				w.letters = 0
			}
			if r = charmap.Windows1252.DecodeByte(c); r == utf8.RuneError || w.old || w.letters > 3 || isUTF8(src[nSrc:]) {
				return nDst, nSrc, ErrEncoding
			}
		} else {
			w.letters = 0
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			if c >= 0xC0 {
				w.letters--
			}
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc++
	}
	return nDst, nSrc, nil
}

// isUTF8 tells letters and quotes of UTF-8 that nobody writes in Windows-1252, where they are Ã© and â€œ.
func isUTF8(text []byte) bool {
	return len(text) > 1 && (text[0] == 0xC3 && text[1]&0xC0 == 0x80 || text[0] == 0xE2 && text[1] == 0x80)
}

// newlines lets lines that all end in CR alone end in LF.
func newlines(in *bufio.Reader) *bufio.Reader {
	head, _ := in.Peek(MaxHead)
	quoted := false
	for i, c := range head {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n', c == '\r' && i+1 < len(head) && head[i+1] == '\n':
			return in
		case c == '\r':
			return bufio.NewReaderSize(transform.NewReader(in, carriageReturns{}), MaxHead)
		}
	}
	return in
}

type carriageReturns struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (carriageReturns) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	n := copy(dst, src)
	for i, c := range dst[:n] {
		if c == '\r' {
			dst[i] = '\n'
		}
	}
	if n < len(src) {
		err = transform.ErrShortDst
	}
	return n, n, err
}

// budget ends reading when one row needs more than maxRowBytes, as after a quote that is never closed.
type budget struct {
	r    io.Reader
	left int
}

func (b *budget) reset() { b.left = maxRowBytes }

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrRowTooLong
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// formulas begin a cell that a spreadsheet would run.
const formulas = "=+-@\t\r＝＋－＠"

// Text is a cell without the apostrophe that keeps spreadsheets from taking it for a formula.
func Text(cell string) string {
	if text, marked := strings.CutPrefix(cell, "'"); marked && Formula(text) {
		return text
	}
	return cell
}

// Formula reports whether a spreadsheet would run a cell, or would if apostrophes were taken off (OWASP, CSV injection).
func Formula(cell string) bool {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, "'"))
	return first != utf8.RuneError && strings.ContainsRune(formulas, first)
}
