package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// list is a service's list as a page and as a CSV file. T is an item.
type list[T any] struct {
	App, API string // the service, and the list's path there
	At       string // the page's address
	Whole    string // the list's address without filters, when that is not At
	Title    string
	Lead     string
	Filters  []filter
	Sorts    []option // by their names in the API, the usual one first
	Columns  []column[T]
	Empty    empty
	Acts     []link // over the list
	Crumbs   []crumb

	// Read reads a page when that takes more than asking the one service.
	Read func(ctx context.Context, s *service, query url.Values) (found[T], error)
}

// found is a page of a list. Lacks says, for people, what is not in it though
// the rest was found.
type found[T any] struct {
	items[T]
	Lacks string
}

// filter is a query parameter of the list.
type filter struct {
	Name    string // in the page's address; never "state", which is the login's
	API     string // the service's name for it, when that is another
	Label   string
	Type    string // "search", "select", "date", "until" (a date, that day included), "moment" (from a link alone; it can be taken away), "tabs", "hidden"
	Options []option
	Hint    string
	Usual   string // what the service is asked for when nothing is chosen
	Value   string
	Clear   string // the list without this filter
}

// Moment is the value as a time; the zero time when it is none.
func (f filter) Moment() time.Time {
	at, _ := time.Parse(time.RFC3339, f.Value)
	return at
}

// column of a list.
type column[T any] struct {
	Name     string
	Class    string
	Hidden   bool   // only in the CSV file, not on the page
	Act      bool   // holds buttons: only on the page, not in the CSV file
	Up, Down string // the ways to sort by it, upwards and downwards
	Cell     func(T) cell
}

// cell of a list. Text is what the CSV file gets; of a moment, At.
type cell struct {
	Text  string
	Kind  string // "money", "status", "moment", "code", "picture", "bar"; "" is text
	Href  string
	Note  string // quieter, below
	Money money.Money
	At    time.Time
	Depth int // how far it is set in
}

// empty is what a list says when there is nothing in it.
type empty struct {
	Title, Text string
	Link        link
}

func text(s string) cell            { return cell{Text: s} }
func number(n int) cell             { return cell{Text: fmt.Sprint(n)} }
func amount(m money.Money) cell     { return cell{Kind: "money", Text: decimal(m), Money: m} }
func status(s string) cell          { return cell{Kind: "status", Text: s} }
func linked(c cell, at string) cell { c.Href = at; return c }

func moment(t time.Time) cell {
	if t.IsZero() {
		return cell{}
	}
	return cell{Kind: "moment", At: t}
}

func optional(t *time.Time) cell {
	if t == nil {
		return cell{}
	}
	return moment(*t)
}

// decimal writes an amount for spreadsheets: "1999.50", without a currency.
func decimal(m money.Money) string {
	return strings.TrimLeft(m.String(), "£€$¥ABCDEFGHIJKLMNOPQRSTUVWXYZ ")
}

// listView is the Data of the page "list", and what other pages show of one.
type listView struct {
	Title, Lead, At string
	Whole           string // without filters
	Tabs            *filter
	Filters         []filter
	Moment          string // the name of the filter of that type
	Filtered        bool
	Head            []header
	Rows            []row
	Empty           empty
	Acts            []link
	CSV, Next       string
	First           string // the list's beginning, when this is not it
	Problem         string
	Detail          string
	Away            bool
	Crumbs          []crumb
}

// header of a column. Href sorts by it; Sorted tells which way that is now, in
// words of ARIA.
type header struct {
	Name, Class, Href, Sorted string
	Act                       bool
}

type row struct {
	Cells []cell
}

// routes puts the list at its address, and its file beside it.
func (l list[T]) routes(s *service, r chi.Router) {
	listRoutes(s, r, l.At, func(*http.Request) (list[T], error) { return l, nil })
}

// listRoutes is routes for a list that depends on the request.
func listRoutes[T any](s *service, r chi.Router, at string, of func(*http.Request) (list[T], error)) {
	r.Get(at, s.page(func(r *http.Request) (page.Answer, error) {
		l, err := of(r)
		if err != nil {
			return nil, err
		}
		return l.page(s, r)
	}))
	r.Get(at+".csv", func(w http.ResponseWriter, r *http.Request) {
		l, err := of(r)
		if err != nil {
			s.pages.Problem(w, r, err)
			return
		}
		l.file(s, w, r)
	})
}

// page is the list as a page.
func (l list[T]) page(s *service, r *http.Request) (page.Answer, error) {
	v, status, err := l.view(s, r)
	if err != nil {
		return nil, err
	}
	return page.Show("list", page.View{Title: l.Title, Status: status, Data: v}), nil
}

// read reads a page.
func (l list[T]) read(ctx context.Context, s *service, query url.Values) (found[T], error) {
	if l.Read != nil {
		return l.Read(ctx, s, query)
	}
	page, err := get[items[T]](ctx, s, l.App, l.API, query)
	return found[T]{items: page}, err
}

// asked reads the filters of a request: for the page, and for the service. Days are those of the zone.
func (l list[T]) asked(r *http.Request, zone *time.Location) (filters []filter, own, query url.Values) {
	given := r.URL.Query()
	own, query = url.Values{}, url.Values{}
	for _, f := range l.Filters {
		f.Value = strings.TrimSpace(given.Get(f.Name))
		if f.Type == "moment" && given.Get(f.API) != "" {
			f.Value = "" // what people set themselves counts
		}
		f.Options = chosen(f.Options, f.Value)
		filters = append(filters, f)
		name, value := cmp.Or(f.API, f.Name), f.Value
		if value == "" {
			if f.Usual != "" {
				query.Set(name, f.Usual)
			}
			continue
		}
		own.Set(f.Name, f.Value)
		switch f.Type {
		case "date":
			value = dayBegins(value, 0, zone)
		case "until":
			value = dayBegins(value, 1, zone)
		}
		query.Set(name, value)
	}
	if len(l.Sorts) > 0 {
		sort := filter{Name: "sort", Type: "select", Label: "Sort", Value: given.Get("sort")}
		switch sort.Value {
		case "", l.Sorts[0].Value:
			sort.Value = l.Sorts[0].Value
		default:
			own.Set("sort", sort.Value)
		}
		query.Set("sort", sort.Value)
		sort.Options = chosen(l.Sorts, sort.Value)
		filters = append(filters, sort)
	}
	return filters, own, query
}

// dayBegins is when a day begins, or one some days later. What is no day is left for the service to refuse.
func dayBegins(day string, later int, zone *time.Location) string {
	if date, err := time.Parse(time.DateOnly, day); err == nil {
		day = date.AddDate(0, 0, later).Format(time.DateOnly)
	}
	at, err := page.DayBegins(day, zone)
	if err != nil {
		return day
	}
	return at.UTC().Format(time.RFC3339)
}

// head is the columns' headers, with what sorts by them when sort is not empty.
func (l list[T]) head(own url.Values, sort string) (out []header) {
	for _, c := range l.Columns {
		if c.Hidden {
			continue
		}
		h, to := header{Name: c.Name, Class: c.Class, Act: c.Act}, ""
		switch {
		case sort == "":
		case sort == c.Up:
			h.Sorted, to = "ascending", c.Down
		case sort == c.Down:
			h.Sorted, to = "descending", c.Up
		case c.Up == "", c.Class == "number" && c.Down != "", c.Down == "newest": // numbers and times begin with the greatest
			to = c.Down
		default:
			to = c.Up
		}
		if to != "" {
			q := clone(own)
			q.Set("sort", to)
			if to == l.Sorts[0].Value {
				q.Del("sort")
			}
			h.Href = address(l.At, q)
		}
		out = append(out, h)
	}
	return out
}

// view asks the service. When it refuses or is away, the view says so instead
// of showing rows.
func (l list[T]) view(s *service, r *http.Request) (listView, int, error) {
	filters, own, query := l.asked(r, s.zone)
	v := listView{Title: l.Title, Lead: l.Lead, At: l.At, Whole: cmp.Or(l.Whole, l.At), Empty: l.Empty, Acts: l.Acts, Crumbs: l.Crumbs, CSV: l.At + ".csv"}
	for _, f := range filters {
		v.Filtered = v.Filtered || f.Value != "" && f.Type != "hidden" && f.Type != "tabs" && f.Name != "sort"
		if f.Type == "moment" {
			q := clone(own)
			q.Del(f.Name)
			f.Clear = address(l.At, q)
			v.Moment = f.Name
		}
		if f.Type == "tabs" {
			tabs := f
			v.Tabs = &tabs
			for i := range tabs.Options {
				q := clone(own)
				q.Set(f.Name, tabs.Options[i].Value)
				if tabs.Options[i].Value == "" {
					q.Del(f.Name)
				}
				tabs.Options[i].Value = address(l.At, q)
			}
			f.Type = "hidden"
			if f.Value == "" {
				continue
			}
		}
		v.Filters = append(v.Filters, f)
	}
	if len(own) > 0 {
		v.CSV += "?" + own.Encode()
	}
	v.Head = l.head(own, query.Get("sort"))
	query.Set("limit", "50")
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		query.Set("cursor", cursor)
		v.First = address(l.At, own)
	}
	found, err := l.read(r.Context(), s, query)
	if err != nil {
		return l.trouble(v, err)
	}
	v.Problem = found.Lacks
	for _, item := range found.Items {
		v.Rows = append(v.Rows, l.row(item, false))
	}
	if found.NextCursor != nil {
		own.Set("cursor", *found.NextCursor)
		v.Next = address(l.At, own)
	}
	return v, 0, nil
}

// trouble shows why there is no list.
func (l list[T]) trouble(v listView, err error) (listView, int, error) {
	var known *problem.Error
	if !errors.As(err, &known) {
		return v, 0, err
	}
	switch known.Kind() {
	case problem.Unavailable:
		v.Away = true
	case problem.Invalid:
		v.Problem, v.Detail = plain(known)
		for _, f := range known.Fields() {
			v.Detail += sentence(strings.TrimPrefix(f.Location, "query.")+": "+wordsAbout(f, nil)) + " "
		}
	default:
		return v, 0, err
	}
	return v, rest.StatusOf(known), nil
}

// row shows an item: on a page, or all of it in a file.
func (l list[T]) row(item T, all bool) row {
	var out row
	for _, c := range l.Columns {
		if all && !c.Act || !all && !c.Hidden {
			out.Cells = append(out.Cells, c.Cell(item))
		}
	}
	return out
}

func clone(q url.Values) url.Values {
	out := url.Values{}
	for k, v := range q {
		out[k] = v
	}
	return out
}

func address(at string, q url.Values) string {
	if len(q) == 0 {
		return at
	}
	return at + "?" + q.Encode()
}

// part is the list as a section of another page.
func (l list[T]) part(found part[items[T]], title string) listView {
	v := listView{Title: title, Head: l.head(nil, ""), Empty: l.Empty, Away: found.Err != nil}
	for _, item := range found.Data.Items {
		v.Rows = append(v.Rows, l.row(item, false))
	}
	if found.Data.NextCursor != nil {
		v.Next = "more"
	}
	return v
}

// names are the columns of the list's file.
func (l list[T]) names() (out []string) {
	for _, c := range l.Columns {
		if !c.Act {
			out = append(out, c.Name)
		}
	}
	return out
}

// file writes all pages of the list as CSV, while they come. A failure in the
// middle breaks the answer off, so that nobody takes a part for the whole.
func (l list[T]) file(s *service, w http.ResponseWriter, r *http.Request) {
	_, _, query := l.asked(r, s.zone)
	query.Set("limit", "100")
	var out *sheet
	for {
		found, err := l.read(r.Context(), s, query)
		if err == nil && found.Lacks != "" {
			err = problem.ErrUnavailable.Detail("%s", found.Lacks)
		}
		if err != nil && out == nil {
			s.pages.Problem(w, r, err)
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if out == nil {
			out = s.newFile(w, l.At[strings.LastIndexByte(l.At, '/')+1:], l.names())
		}
		for _, item := range found.Items {
			out.row(l.row(item, true))
		}
		if !out.flush() || found.NextCursor == nil {
			return
		}
		query.Set("cursor", *found.NextCursor)
	}
}
