package main

import (
	"encoding/csv"
	"io"
	"net/http"
	"strings"
	"time"
)

// sheet is a CSV file on its way to the browser.
type sheet struct {
	out  *csv.Writer
	zone *time.Location // of its times
}

// today is the shop's date.
func (s *service) today() string { return s.now().In(s.zone).Format(time.DateOnly) }

func (s *service) newFile(w http.ResponseWriter, name string, head []string) *sheet {
	fileHeaders(w, name+"-"+s.today()+".csv")
	_, _ = io.WriteString(w, "\ufeff") // spreadsheets take it for UTF-8 then; flush tells
	f := &sheet{csv.NewWriter(w), s.zone}
	f.line(head)
	return f
}

func fileHeaders(w http.ResponseWriter, name string) {
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
}

func (f *sheet) row(r row) {
	line := make([]string, 0, len(r.Cells))
	for _, c := range r.Cells {
		if c.Kind == "moment" {
			c.Text = c.At.In(f.zone).Format(time.RFC3339)
		}
		line = append(line, c.Text)
	}
	f.line(line)
}

// line writes cells of the caller's, which are not its own any more.
func (f *sheet) line(cells []string) {
	for i := range cells {
		cells[i] = harmless(cells[i])
	}
	_ = f.out.Write(cells) // told by flush
}

// flush reports whether somebody still reads.
func (f *sheet) flush() bool {
	f.out.Flush()
	return f.out.Error() == nil
}

// harmless keeps spreadsheets from taking a cell for a formula (OWASP, CSV
// injection). Plain numbers stay numbers.
func harmless(s string) string {
	if s == "" || !strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(s)[0]) {
		return s
	}
	if len(s) > 1 && (s[0] == '-' || s[0] == '+') && strings.Trim(s[1:], "0123456789.") == "" {
		return s
	}
	return "'" + s
}
