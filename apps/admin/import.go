package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// report is what products says about a file.
type report struct {
	Rows      []reportRow `json:"rows"`
	Created   int         `json:"created"`
	Changed   int         `json:"changed"`
	Unchanged int         `json:"unchanged"`
	Refused   int         `json:"refused"`
	Complete  bool        `json:"complete"`
	Stopped   string      `json:"stopped"`
	Left      int         `json:"-"` // rows that are not listed
}

// What a page lists of a long report.
const (
	maxRows       = 1_000 // of all, the first
	maxTellingRow = 5_000 // of those that were refused or have a note
)

// shorten leaves out what nobody reads.
func (r *report) shorten() {
	var kept []reportRow
	telling := 0
	for i, row := range r.Rows {
		tells := row.Outcome == "refused" || len(row.Notes) > 0
		if i < maxRows || tells && telling < maxTellingRow {
			kept = append(kept, row)
		}
		if tells {
			telling++
		}
	}
	r.Left = len(r.Rows) - len(kept)
	r.Rows = kept
}

type reportRow struct {
	Line    int      `json:"line"`
	Handle  string   `json:"handle"`
	SKU     string   `json:"sku"`
	Outcome string   `json:"outcome"`
	Reason  string   `json:"reason"`
	Notes   []string `json:"notes"`
}

// importView is the Data of the page "import".
type importView struct {
	Form   form
	Report *report
	File   string
}

// importTime is how long a file may take. The edge waits five minutes.
const importTime = 290 * time.Second

func importForm() form {
	return form{Action: "/admin/products/import", Button: "Import", Fields: []field{
		{Name: "set_stock", Label: "Also set the stock of known SKUs to the file's quantities", Type: "checkbox",
			Hint: "Without it, quantities only begin the stock of new SKUs."},
	}}
}

func (s *service) showImport(*http.Request) (page.Answer, error) {
	return page.Show("import", page.View{Title: "Import products", Data: importView{Form: importForm()}}), nil
}

// importFile hands a file on to products. With a script the page sends it in
// parts, one after the other, each of whole products and with the file's
// head, so that it can show how far it is; offset is then the number of lines
// before the part.
func (s *service) importFile(r *http.Request) (page.Answer, error) {
	v := importView{Form: importForm()}
	found, name, err := s.sendFile(r)
	if err != nil {
		v.Form.fill(r.PostForm)
		if !v.Form.refuse(err) {
			return nil, err
		}
		return page.Show("import", page.View{Title: "Import products", Status: v.Form.Status, Data: v}), nil
	}
	offset, _ := strconv.Atoi(r.PostForm.Get("offset"))
	for i := range found.Rows {
		found.Rows[i].Line += offset
	}
	found.shorten()
	v.Report, v.File = &found, name
	return page.Show("import", page.View{Title: "Import products", Data: v}), nil
}

func (s *service) sendFile(r *http.Request) (report, string, error) {
	file, head, err := r.FormFile("file")
	if err != nil {
		return report{}, "", problem.ErrInvalid.Detail("Choose a CSV file first.")
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return report{}, "", fmt.Errorf("product file: %w", err)
	}
	if len(data) == 0 {
		return report{}, "", problem.ErrInvalid.Detail("The file is empty.")
	}
	path := "/api/v1/admin/products/import"
	if r.PostForm.Get("set_stock") != "" {
		path += "?set_stock=true"
	}
	var found report
	err = s.call(r.Context(), "products", http.MethodPost, path, dapr.Raw{Type: "text/csv", Data: data}, &found, dapr.Timeout(importTime))
	return found, head.Filename, err
}

// exportProducts hands on the file that products writes of what the list
// shows, and which the import takes again.
func (s *service) exportProducts(w http.ResponseWriter, r *http.Request) {
	_, _, query := productList(nil).asked(r)
	query.Del("sort") // the file is in its own order
	file := &late{w: w, name: "products-" + s.now().Format(time.DateOnly) + ".csv"}
	path := address("/api/v1/admin/products/export", query)
	err := s.call(r.Context(), "products", http.MethodGet, path, nil, file, dapr.Timeout(importTime))
	var known *problem.Error
	switch {
	case errors.As(err, &known):
		s.pages.Problem(w, r, err)
	case err != nil:
		panic(http.ErrAbortHandler) // nobody shall take a part for the whole
	}
}

// late is a file whose headers are sent with its first bytes: until then a
// page can tell what went wrong.
type late struct {
	w     http.ResponseWriter
	name  string
	begun bool
}

func (l *late) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		fileHeaders(l.w, l.name)
	}
	return l.w.Write(p)
}
