package csvfile_test

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/csvfile"
	"github.com/stampede-shop/stampede/kit/problem"
)

var columns = map[string][]string{"who": {"email", "e-mail"}, "note": {"note"}}

func knows(header []string) bool { return csvfile.Find(header, columns).Has("who") }

var errWrong = problem.InvalidField("body", problem.CodeWrongFormat, "is another file")

// read reads the lines of a file's column "who".
func read(t *testing.T, in io.Reader) (lines []string, notes []string, stopped string, err error) {
	t.Helper()
	table, err := csvfile.Open(in, knows, errWrong)
	if err != nil {
		return nil, nil, "", err
	}
	at := csvfile.Find(table.Header, columns)
	var out csvfile.Row
	stopped, err = table.Each(func(rec csvfile.Record) error {
		lines = append(lines, at.Line(rec, "who", 10, &out))
		require.Empty(t, at.Line(rec, "missing", 10, &out))
		return nil
	})
	return lines, out.Notes, stopped, err
}

func TestLines(t *testing.T) {
	t.Parallel()
	lines, notes, stopped, err := read(t, strings.NewReader("E-Mail;Note\r\n a  b ;x\r\n'+1;\r\n'90210;\r\n12345678901;\r\n\"a\nb\";\r\n"))
	require.NoError(t, err)
	require.Empty(t, stopped)
	require.Equal(t, []string{"a b", "+1", "90210", "", ""}, lines)
	require.Equal(t, []string{"who is not one line of at most 10 characters", "who is not one line of at most 10 characters"}, notes)
	require.True(t, csvfile.Find([]string{"EMAIL", "E-mail"}, columns).Has("who"))
	require.Equal(t, csvfile.Columns{"who": 1}, csvfile.Find([]string{"e-mail", "email", "Email"}, columns),
		"the first name, and the first column of it")
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"", "Name\nx\n", "\"", "\n\n"} {
		_, _, _, err := read(t, strings.NewReader(other))
		require.Equal(t, errWrong, err, "%q", other)
	}
	_, _, _, err := read(t, strings.NewReader("email\xc3\xa9\x81,\n"))
	require.ErrorContains(t, err, "invalid")
	lines, _, stopped, err := read(t, strings.NewReader("email\na\n\""+strings.Repeat("x", 2<<20)))
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, lines)
	require.Contains(t, stopped, "a quote is not closed")

	cut := io.MultiReader(strings.NewReader("email\na\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
	_, _, _, err = read(t, cut)
	require.ErrorIs(t, err, problem.ErrMalformed)
	large := io.MultiReader(strings.NewReader("email\na\n"), iotest.ErrReader(problem.ErrTooLarge))
	_, _, _, err = read(t, large)
	require.ErrorIs(t, err, problem.ErrTooLarge)
	mine := errors.New("mine")
	table, err := csvfile.Open(strings.NewReader("email\na\nb\n"), knows, errWrong)
	require.NoError(t, err)
	_, err = table.Each(func(csvfile.Record) error { return mine })
	require.Equal(t, mine, err)
}

// TestReport: however long the file, a report lists so many rows, and counts all.
func TestReport(t *testing.T) {
	t.Parallel()
	r := csvfile.Report{}
	for i := range 10_000 {
		r.Add(csvfile.Row{Line: i, Name: strconv.Itoa(i), Outcome: csvfile.Unchanged})
	}
	require.Len(t, r.Rows, 1_000)
	noted := csvfile.Row{Outcome: csvfile.Created}
	noted.Note("line %d", 7)
	r.Add(noted)
	r.Add(csvfile.Row{Outcome: csvfile.Changed})
	require.Len(t, r.Rows, 1_001)
	require.Equal(t, []string{"line 7"}, r.Rows[1_000].Notes)
	for range 10_000 {
		r.Add(csvfile.Row{Outcome: csvfile.Refused})
	}
	require.Len(t, r.Rows, 6_000)
	require.Equal(t, []int{1, 1, 10_000, 10_000}, []int{r.Created, r.Changed, r.Unchanged, r.Refused})
}
