package csvfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/text"
)

// What may come of a row.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
	Refused   = "refused"
)

// Row is what came of a row, or of rows that are about one thing.
type Row struct {
	Line    int      `json:"line" doc:"Where it begins"`
	Name    string   `json:"name" doc:"What it is about"`
	Outcome string   `json:"outcome" enum:"created,changed,unchanged,refused"`
	Reason  string   `json:"reason"`
	Notes   []string `json:"notes" nullable:"false" doc:"What of it was not taken as it stood"`
}

// Note adds what was not taken as it stood.
func (r *Row) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// What a report lists, so that it stays small whatever the file.
const (
	maxListed  = 1_000
	maxTelling = 5_000
)

// Report is what came of a file.
type Report struct {
	Rows      []Row  `json:"rows" nullable:"false" doc:"The first 1,000, and 5,000 more that were refused or have a note"`
	Created   int    `json:"created"`
	Changed   int    `json:"changed"`
	Unchanged int    `json:"unchanged"`
	Refused   int    `json:"refused"`
	Complete  bool   `json:"complete" doc:"false: the file could not be read to its end"`
	Stopped   string `json:"stopped,omitempty" doc:"Where and why reading ended"`
}

// Add counts a row, and lists it unless there are too many.
func (r *Report) Add(row Row) {
	switch row.Outcome {
	case Created:
		r.Created++
	case Changed:
		r.Changed++
	case Unchanged:
		r.Unchanged++
	default:
		r.Refused++
	}
	telling := row.Outcome == Refused || len(row.Notes) > 0
	if len(r.Rows) < maxListed || telling && len(r.Rows) < maxListed+maxTelling {
		r.Rows = append(r.Rows, row)
	}
}

// Open is New for what a client has sent, and tells it what is wrong: wrong when the file has no header that is looked for,
// else a *problem.Error or the error of r.
func Open(r io.Reader, knows func(header []string) bool, wrong error) (*Table, error) {
	t, err := New(r, knows)
	var parse *csv.ParseError
	switch {
	case errors.Is(err, ErrEncoding):
		return nil, problem.InvalidField("body", problem.CodeNotAllowed, err.Error())
	case errors.Is(err, io.EOF), errors.As(err, &parse), err == nil && !knows(t.Header):
		return nil, wrong
	case err != nil:
		return nil, Unread(err)
	}
	return t, nil
}

// Unread is what a client is told whose file could not be read.
func Unread(err error) error {
	var p *problem.Error
	if errors.As(err, &p) {
		return p
	}
	return problem.ErrMalformed.Detail("the file did not arrive whole").Because(err)
}

// Each calls fn for every row. stopped says, for people, why the rest cannot be read; it is empty once all was. Errors: those
// of fn, and Unread.
func (t *Table) Each(fn func(Record) error) (stopped string, err error) {
	for {
		rec, err := t.Read()
		switch {
		case errors.Is(err, io.EOF):
			return "", nil
		case errors.Is(err, ErrRowTooLong), errors.Is(err, ErrEncoding):
			return err.Error(), nil
		case err != nil:
			return "", Unread(err)
		}
		if err := fn(rec); err != nil {
			return "", err
		}
	}
}

// Columns is where a table has what is looked for, by names of one's own.
type Columns map[string]int

// Find looks for columns in a header, whatever the case of their letters. known are the names that each may have there: the
// first that there is counts.
func Find(header []string, known map[string][]string) Columns {
	at := Columns{}
	for i, name := range header {
		lower := strings.ToLower(name)
		if _, twice := at[lower]; !twice {
			at[lower] = i
		}
	}
	found := Columns{}
	for name, names := range known {
		for _, n := range names {
			if i, ok := at[n]; ok {
				found[name] = i
				break
			}
		}
	}
	return found
}

// Has reports whether there are all of these columns.
func (c Columns) Has(names ...string) bool {
	for _, name := range names {
		if _, ok := c[name]; !ok {
			return false
		}
	}
	return true
}

// Line is a cell of a record as a line of text; empty when there is no such column. Of more than most characters, or of
// what is no line, a note is made in out, and it is empty as well.
func (c Columns) Line(rec Record, name string, most int, out *Row) string {
	i, ok := c[name]
	if !ok || i >= len(rec.Cells) {
		return ""
	}
	line, good := text.Line(strings.TrimPrefix(Text(rec.Cells[i]), "'")) // Shopify marks postcodes and ids so
	if !good || utf8.RuneCountInString(line) > most {
		out.Note("%s is not one line of at most %d characters", name, most)
		return ""
	}
	return line
}
