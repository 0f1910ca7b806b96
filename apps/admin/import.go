package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// report is what a service says about a file.
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

// readReport reads a report as it comes, and of its rows keeps those that a page lists: a long file's are not in memory.
func readReport(in io.Reader, offset int) (report, error) {
	out, telling, rows := report{}, 0, 0
	read := json.NewDecoder(in)
	if _, err := read.Token(); err != nil { // {
		return out, err
	}
	rest := map[string]json.RawMessage{}
	for read.More() {
		name, err := read.Token()
		if err != nil {
			return out, err
		}
		if name != "rows" {
			var value json.RawMessage
			if err := read.Decode(&value); err != nil {
				return out, err
			}
			rest[fmt.Sprint(name)] = value
			continue
		}
		if _, err := read.Token(); err != nil { // [
			return out, err
		}
		for ; read.More(); rows++ {
			var row reportRow
			if err := read.Decode(&row); err != nil {
				return out, err
			}
			row.Line += offset
			tells := row.Outcome == "refused" || len(row.Notes) > 0
			if rows < maxRows || tells && telling < maxTellingRow {
				out.Rows = append(out.Rows, row)
			}
			if tells {
				telling++
			}
		}
		if _, err := read.Token(); err != nil { // ]
			return out, err
		}
	}
	if _, err := read.Token(); err != nil { // }
		return out, err
	}
	totals, err := json.Marshal(rest)
	if err == nil {
		err = json.Unmarshal(totals, &out)
	}
	out.Left = rows - len(out.Rows)
	return out, err
}

// reportRow is what came of a row. What it is about is its Handle and SKU, or its Name.
type reportRow struct {
	Line    int      `json:"line"`
	Handle  string   `json:"handle"`
	SKU     string   `json:"sku"`
	Name    string   `json:"name"`
	Outcome string   `json:"outcome"`
	Reason  string   `json:"reason"`
	Notes   []string `json:"notes"`
}

// importKind is a kind of file that can be imported.
type importKind struct {
	App, API    string
	At          string // the page's address
	Title       string
	Back        crumb
	Label, Hint string   // of the field
	Group       string   // names of the column whose equal neighbours belong together, with commas
	Names       []string // of what a row is about: handle and SKU, or name
	Wrong       string   // what is said of a file of another kind
	How         []string // it works, a paragraph each
	Export      string   // where such a file is had from
	Choice      field    // a checkbox, which the service knows by the same name
	Accounts    bool     // are made of it in the background
}

var productImport = importKind{
	App: "products", API: "/api/v1/admin/products/import", At: "/admin/products/import", Title: "Import products",
	Back: crumb{"Products", "/admin/products"}, Label: "Product file",
	Hint:  "The CSV of products that Shopify or WooCommerce exports, or the one exported here. Up to 64 MB.",
	Group: "handle,url handle", Names: []string{"Product", "SKU"}, Export: "/admin/products.csv",
	Wrong: "It must be a CSV file with the columns that Shopify or WooCommerce exports: Handle is missing.",
	How: []string{
		"Each variant is taken whole, or refused with its reason; the rest goes on. The same file again changes nothing, so " +
			"after repairing a file you can simply import all of it once more.",
		"Prices and texts of known SKUs are changed. Products that are not in the file stay as they are.",
	},
	Choice: field{
		Name: "set_stock", Label: "Also set the stock of known SKUs to the file's quantities", Type: "checkbox",
		Hint: "Without it, quantities only begin the stock of new SKUs.",
	},
}

var customerImport = importKind{
	App: "auth", API: "/api/v1/admin/auth/accounts/import", At: "/admin/customers/import", Title: "Import customers",
	Back: crumb{"Customers", "/admin/customers"}, Label: "Customer file",
	Hint:  "The CSV of customers that Shopify exports. Up to 16 MB.",
	Group: "email", Names: []string{"Customer"}, Accounts: true,
	Wrong: "It must be a CSV file with the columns that Shopify exports of customers: Email or First Name is missing.",
	How: []string{
		"Who has an account keeps it as it is, so the same file can be imported once more. New customers have no password and are not " +
			"verified: with the code of “Forgotten your password?” they choose one. Who does not come within a year is forgotten.",
		"An address that its country’s rules refuse is left out and noted; the customer is taken all the same.",
	},
	Choice: field{
		Name: "invite", Label: "Send invitations", Type: "checkbox",
		Hint: "Each new customer gets a mail that asks to choose a password.",
	},
}

// importView is the Data of the page "import".
type importView struct {
	importKind
	Form    form
	Report  *report
	File    string
	Waiting part[waiting]
}

// waiting is who is imported and has no account yet.
type waiting struct {
	Waiting int `json:"waiting"`
	Failed  []struct {
		Email string `json:"email"`
		Error string `json:"error"`
		Again bool   `json:"again"`
	} `json:"failed"`
}

// importTime is how long a file may take. The edge waits five minutes.
const importTime = 290 * time.Second

// importRoutes put a page at its address that takes files of a kind.
func (s *service) importRoutes(r chi.Router, kind importKind) {
	s.form(r, kind.At, func(r *http.Request) (page.Answer, error) {
		return s.importPage(r, kind.view()), nil
	}, func(r *http.Request) (page.Answer, error) {
		return s.importFile(r, kind.view())
	})
}

func (k importKind) view() importView {
	return importView{importKind: k, Form: form{Action: k.At, Button: "Import", Fields: k.choices()}}
}

// choices are the fields beside that of the file.
func (k importKind) choices() []field {
	if k.Choice.Name == "" {
		return nil
	}
	return []field{k.Choice}
}

func (s *service) importPage(r *http.Request, v importView) page.Answer {
	if v.Accounts {
		v.Waiting.Data, v.Waiting.Err = get[waiting](r.Context(), s, "auth", "/api/v1/admin/auth/accounts/arrivals", nil)
	}
	return page.Show("import", page.View{Title: v.Title, Status: v.Form.Status, Data: v})
}

// importFile hands a file on to its service. With a script the page sends it in
// parts, one after the other, each of whole products and with the file's
// head, so that it can show how far it is; offset is then the number of lines
// before the part.
func (s *service) importFile(r *http.Request, v importView) (page.Answer, error) {
	found, name, err := s.sendFile(r, v.importKind)
	if err != nil {
		v.Form.fill(r.PostForm)
		if !v.Form.refuse(err) {
			return nil, err
		}
		var known *problem.Error
		if errors.As(err, &known) && len(known.Fields()) == 1 && known.Fields()[0].Code == problem.CodeWrongFormat {
			v.Form.Detail = v.Wrong
		}
		return s.importPage(r, v), nil
	}
	v.Report, v.File = &found, name
	return s.importPage(r, v), nil
}

func (s *service) sendFile(r *http.Request, kind importKind) (report, string, error) {
	file, head, err := r.FormFile("file")
	if err != nil {
		return report{}, "", problem.ErrInvalid.Detail("Choose a CSV file first.")
	}
	defer file.Close()
	if head.Size == 0 {
		return report{}, "", problem.ErrInvalid.Detail("The file is empty.")
	}
	path := kind.API
	if kind.Choice.Name != "" && r.PostForm.Get(kind.Choice.Name) != "" {
		path += "?" + kind.Choice.Name + "=true"
	}
	// The report is read while it comes: neither that nor the file is in memory as a whole.
	answer, into := io.Pipe()
	asked := make(chan error, 1)
	go func() {
		in := dapr.Raw{Type: "text/csv", File: file}
		err := s.call(r.Context(), kind.App, http.MethodPost, path, in, into, dapr.Timeout(importTime))
		into.CloseWithError(err)
		asked <- err
	}()
	offset, _ := strconv.Atoi(r.PostForm.Get("offset"))
	found, unread := readReport(answer, offset)
	if unread == nil {
		_, unread = io.Copy(io.Discard, answer)
	}
	answer.CloseWithError(unread)
	if err := <-asked; err != nil {
		return report{}, "", err
	}
	if unread != nil {
		return report{}, "", problem.ErrUnavailable.Because(fmt.Errorf("report: %w", unread))
	}
	return found, head.Filename, nil
}

// exportProducts hands on the file that products writes of what the list
// shows, and which the import takes again.
func (s *service) exportProducts(w http.ResponseWriter, r *http.Request) {
	_, _, query := productList(nil).asked(r, s.zone)
	query.Del("sort") // the file is in its own order
	file := &late{w: w, name: "products-" + s.today() + ".csv"}
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
