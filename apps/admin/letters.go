package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// letter is an event that a service could not handle.
type letter struct {
	App     string          `json:"-"`
	EventID string          `json:"event_id"`
	Topic   string          `json:"topic"`
	Error   string          `json:"error"`
	Tries   int             `json:"tries"`
	DiedAt  time.Time       `json:"died_at"`
	Data    json.RawMessage `json:"data"`
}

// Shown is what the event carries, for reading.
func (l letter) Shown() string {
	var v any
	if json.Unmarshal(l.Data, &v) != nil || v == nil {
		return ""
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(out)
}

func (l letter) at(act string) string {
	return "/admin/letters/" + act + "?" + url.Values{"service": {l.App}, "event": {l.EventID}}.Encode()
}

// Address is the letter's own page.
func (l letter) Address() string { return l.at("letter") }

// Drop is where it is dropped.
func (l letter) Drop() string { return l.at("drop") }

// consumers are the services that keep dead letters.
var consumers = []string{"orders", "payments", "inventory", "products", "users", "mail"}

func lettersAPI(app string) string { return "/api/v1/admin/" + app + "/dead-letters" }

func letterList(app string) list[letter] {
	l := list[letter]{
		App: app, API: lettersAPI(app), At: "/admin/letters", Title: "Dead letters",
		Lead:    "Events that a service could not handle, however often it tried. Handle them again once the cause is repaired, or drop them.",
		Filters: []filter{{Name: "service", Type: "tabs", Label: "Service", Options: []option{{Value: "", Label: "All"}}}},
		Columns: []column[letter]{
			{Name: "Event", Class: "wide", Cell: func(l letter) cell { return cell{Kind: "code", Text: l.Topic, Href: l.Address(), Note: l.EventID} }},
			{Name: "Event id", Hidden: true, Cell: func(l letter) cell { return text(l.EventID) }},
			{Name: "Service", Cell: func(l letter) cell { return text(l.App) }},
			{Name: "Error", Class: "wide", Cell: func(l letter) cell { return text(l.Error) }},
			{Name: "Tries", Class: "number", Cell: func(l letter) cell { return number(l.Tries) }},
			{Name: "Given up", Cell: func(l letter) cell { return moment(l.DiedAt) }},
			{Name: "Data", Hidden: true, Cell: func(l letter) cell { return text(string(l.Data)) }},
		},
		Empty: empty{Title: "No dead letters", Text: "Every event was handled. Nothing to do here."},
	}
	for _, name := range consumers {
		l.Filters[0].Options = append(l.Filters[0].Options, option{Value: name, Label: name})
	}
	return l
}

func (s *service) letterRoutes(r chi.Router) {
	r.Get("/admin/letters", s.shown(s.letters))
	r.Get("/admin/letters.csv", s.lettersFile)
	r.Get("/admin/letters/letter", s.shown(s.showLetter))
	s.form(r, "/admin/letters/redrive", s.showLetter, s.redrive)
	s.form(r, "/admin/letters/drop", s.showDrop, s.drop)
}

// asked is the service that a request names; "" all.
func asked(r *http.Request) (string, error) {
	app := r.URL.Query().Get("service")
	if app != "" && !slices.Contains(consumers, app) {
		return "", problem.ErrNotFound
	}
	return app, nil
}

// letters lists those of one service, or the newest of all.
func (s *service) letters(r *http.Request) (string, page.View, error) {
	app, err := asked(r)
	if err != nil {
		return "", page.View{}, err
	}
	if app != "" {
		l := letterList(app)
		l.Columns[0].Cell = of(app, l.Columns[0].Cell)
		l.Columns[2].Cell = of(app, l.Columns[2].Cell)
		v, status, err := l.view(s, r)
		return "list", page.View{Title: l.Title, Status: status, Data: v}, err
	}
	found, away, more := s.allLetters(r)
	l := letterList("")
	v := listView{Title: l.Title, Lead: l.Lead, At: l.At, Empty: l.Empty, CSV: l.At + ".csv"}
	filters, _, _ := l.asked(r)
	v.Tabs = &filters[0]
	for i := range v.Tabs.Options {
		o := &v.Tabs.Options[i]
		o.Value = address(l.At, map[bool]url.Values{true: {"service": {o.Value}}}[o.Value != ""])
	}
	for _, c := range l.Columns {
		if !c.Hidden {
			v.Head = append(v.Head, header{c.Name, c.Class})
		}
	}
	for _, one := range found {
		v.Rows = append(v.Rows, l.row(one, false))
	}
	if more {
		v.Detail = "There are more: choose a service to see all of its dead letters."
	}
	for _, name := range away {
		v.Problem += name + " did not answer; its dead letters are missing here. "
	}
	return "list", page.View{Title: l.Title, Data: v}, nil
}

// of gives letters the name of their service, which its list leaves out.
func of(app string, fn func(letter) cell) func(letter) cell {
	return func(l letter) cell { l.App = app; return fn(l) }
}

func (s *service) allLetters(r *http.Request) (all []letter, away []string, more bool) {
	parts := make([]part[items[letter]], len(consumers))
	var wait sync.WaitGroup
	for i, app := range consumers {
		load(&wait, &parts[i], func() (items[letter], error) {
			return get[items[letter]](r.Context(), s, app, lettersAPI(app), url.Values{"limit": {"25"}})
		})
	}
	wait.Wait()
	for i, p := range parts {
		if p.Err != nil {
			away = append(away, consumers[i])
			continue
		}
		more = more || p.Data.NextCursor != nil
		for _, l := range p.Data.Items {
			l.App = consumers[i]
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b letter) int { return b.DiedAt.Compare(a.DiedAt) })
	return all, away, more
}

// lettersFile writes the dead letters of one service, or of all.
func (s *service) lettersFile(w http.ResponseWriter, r *http.Request) {
	app, err := asked(r)
	if err != nil {
		s.pages.Problem(w, r, err)
		return
	}
	apps := consumers
	if app != "" {
		apps = []string{app}
	}
	l := letterList("")
	var out *sheet
	for i, app := range apps {
		found, err := whole[letter](r.Context(), s, app, lettersAPI(app), nil, 100_000)
		if err != nil && i == 0 {
			s.pages.Problem(w, r, err)
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // nobody shall take a part for the whole
		}
		if out == nil {
			out = s.newFile(w, "dead-letters", l.names())
		}
		for _, one := range found {
			one.App = app
			out.row(l.row(one, true))
		}
	}
	out.flush()
}

// letter finds one. Services list them, but do not read one by one.
func (s *service) letter(r *http.Request) (letter, error) {
	app, err := asked(r)
	if err != nil || app == "" {
		return letter{}, problem.ErrNotFound
	}
	found, err := whole[letter](r.Context(), s, app, lettersAPI(app), nil, 2000)
	if err != nil {
		return letter{}, err
	}
	for _, one := range found {
		if one.EventID == r.URL.Query().Get("event") {
			one.App = app
			return one, nil
		}
	}
	return letter{}, problem.ErrNotFound.Detail("There is no such dead letter any more: it was handled or dropped.")
}

// letterView is the Data of the page "letter".
type letterView struct {
	Letter  letter
	Redrive form
}

func (s *service) showLetter(r *http.Request) (string, page.View, error) {
	l, err := s.letter(r)
	if err != nil {
		return "", page.View{}, err
	}
	return "letter", page.View{Title: "Dead letter " + l.Topic, Data: letterView{Letter: l, Redrive: form{Action: l.at("redrive")}}}, nil
}

func (s *service) redrive(r *http.Request) (string, string, page.View, error) {
	l, err := s.letter(r)
	if err != nil {
		return failed(err)
	}
	err = s.act(r.Context(), l.App, http.MethodPost, lettersAPI(l.App)+"/"+url.PathEscape(l.EventID)+"/redrive", nil)
	if err == nil {
		return to(address("/admin/letters", url.Values{"service": {l.App}}), "redriven")
	}
	if now, again := s.letter(r); again == nil {
		l = now // with the error of this time
	}
	v := letterView{Letter: l, Redrive: form{Action: l.at("redrive")}}
	if !v.Redrive.refuse(err) {
		return failed(err)
	}
	return "", "letter", page.View{Status: v.Redrive.Status, Title: "Dead letter " + l.Topic, Data: v}, nil
}

func (s *service) dropForm(r *http.Request) (form, letter, error) {
	l, err := s.letter(r)
	if err != nil {
		return form{}, l, err
	}
	return form{
		Heading: "Drop this event for good?", Danger: true, Button: "Drop it", Action: l.Drop(), Back: l.Address(), BackTo: "Keep it",
		Crumbs: []crumb{{"Dead letters", "/admin/letters"}, {l.Topic, l.Address()}},
		Text:   []string{"What it tells will never reach " + l.App + ". That is right when it was handled in another way, or was wrong. It cannot be undone."},
		Facts:  []fact{{"Event", l.Topic}, {"Id", l.EventID}, {"Service", l.App}, {"Error", l.Error}},
	}, l, nil
}

func (s *service) showDrop(r *http.Request) (string, page.View, error) {
	f, _, err := s.dropForm(r)
	if err != nil {
		return "", page.View{}, err
	}
	return f.show()
}

func (s *service) drop(r *http.Request) (string, string, page.View, error) {
	f, l, err := s.dropForm(r)
	if err != nil {
		return failed(err)
	}
	err = s.act(r.Context(), l.App, http.MethodDelete, lettersAPI(l.App)+"/"+url.PathEscape(l.EventID), nil)
	if err != nil && !missing(err) {
		return f.answer(r.PostForm, err)
	}
	return to(address("/admin/letters", url.Values{"service": {l.App}}), "dropped")
}
