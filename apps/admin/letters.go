package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
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

func lettersAPI(app string) string { return "/api/v1/admin/" + app + "/dead-letters" }

// letterList is the dead letters of one service, or of all.
func letterList(r *http.Request) (list[letter], error) {
	app, err := asked(r)
	apps := []string{app}
	if app == "" {
		apps = consumers
	}
	l := list[letter]{
		At: "/admin/letters", Title: "Dead letters", Read: lettersOf(apps),
		Lead: "Events that a service could not handle, however often it tried. Handle them again once the cause is repaired, or drop them.",
		Filters: []filter{
			{Name: "service", Type: "tabs", Label: "Service", Options: []option{{Value: "", Label: "All"}}},
			{Name: "q", Type: "search", Label: "Event, id or error", Hint: "order.placed or a part of the error"},
		},
		Sorts: []option{
			{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}, {Value: "topic", Label: "By event"}, {Value: "-tries", Label: "Most tries first"},
		},
		Columns: []column[letter]{
			{Name: "Event", Class: "wide", Up: "topic", Cell: func(l letter) cell { return cell{Kind: "code", Text: l.Topic, Href: l.Address(), Note: l.EventID} }},
			{Name: "Event id", Hidden: true, Cell: func(l letter) cell { return text(l.EventID) }},
			{Name: "Service", Cell: func(l letter) cell { return text(l.App) }},
			{Name: "Error", Class: "wide", Cell: func(l letter) cell { return text(l.Error) }},
			{Name: "Tries", Class: "number", Down: "-tries", Cell: func(l letter) cell { return number(l.Tries) }},
			{Name: "Given up", Up: "oldest", Down: "newest", Cell: func(l letter) cell { return moment(l.DiedAt) }},
			{Name: "Data", Hidden: true, Cell: func(l letter) cell { return text(string(l.Data)) }},
		},
		Empty: empty{Title: "No dead letters", Text: "Every event was handled. Nothing to do here."},
	}
	for _, name := range consumers {
		l.Filters[0].Options = append(l.Filters[0].Options, option{Value: name, Label: name})
	}
	return l, err
}

// lettersOrder is how dead letters of several services go together, by the
// names of the sorts.
var lettersOrder = map[string]func(a, b letter) int{
	"newest": func(a, b letter) int { return b.DiedAt.Compare(a.DiedAt) },
	"oldest": func(a, b letter) int { return a.DiedAt.Compare(b.DiedAt) },
	"topic":  func(a, b letter) int { return strings.Compare(a.Topic, b.Topic) },
	"-topic": func(a, b letter) int { return strings.Compare(b.Topic, a.Topic) },
	"tries":  func(a, b letter) int { return a.Tries - b.Tries },
	"-tries": func(a, b letter) int { return b.Tries - a.Tries },
}

// lettersOf reads the dead letters of services as one list. Its cursor holds
// those of the services, but of none that has been read to its end.
func lettersOf(apps []string) func(ctx context.Context, s *service, query url.Values) (found[letter], error) {
	return func(ctx context.Context, s *service, query url.Values) (out found[letter], err error) {
		limit, err := strconv.Atoi(query.Get("limit"))
		if err != nil {
			return out, err
		}
		cursors := map[string]string{}
		for _, app := range apps {
			cursors[app] = ""
		}
		if query.Get("cursor") != "" {
			clear(cursors)
			raw, err := base64.RawURLEncoding.DecodeString(query.Get("cursor"))
			if err != nil || json.Unmarshal(raw, &cursors) != nil {
				return out, problem.InvalidField("query.cursor", ownWords, "not a cursor of this list")
			}
		}
		// ask reads the first so many after the cursors.
		ask := func(limits map[string]int) map[string]*part[items[letter]] {
			parts := map[string]*part[items[letter]]{}
			var wait sync.WaitGroup
			for app, n := range limits {
				q := clone(query)
				q.Set("limit", strconv.Itoa(n))
				q.Set("cursor", cursors[app])
				parts[app] = &part[items[letter]]{}
				load(&wait, parts[app], func() (items[letter], error) { return get[items[letter]](ctx, s, app, lettersAPI(app), q) })
			}
			wait.Wait()
			return parts
		}
		limits := map[string]int{}
		for _, app := range apps {
			if _, more := cursors[app]; more {
				limits[app] = limit
			}
		}
		parts := ask(limits)
		for _, app := range apps {
			p := parts[app]
			switch {
			case p == nil:
			case p.Err != nil && (len(apps) == 1 || !p.Away()):
				return out, p.Err
			case p.Err != nil:
				out.Lacks += app + " did not answer; its dead letters are missing here. "
			}
			if p == nil || p.Err != nil {
				continue
			}
			for _, l := range p.Data.Items {
				l.App = app
				out.Items = append(out.Items, l)
			}
		}
		if order := lettersOrder[query.Get("sort")]; order != nil {
			slices.SortStableFunc(out.Items, order)
		}
		out.Items = out.Items[:min(limit, len(out.Items))]

		// Those of which only some are shown are asked where these end.
		shown, again := map[string]int{}, map[string]int{}
		for _, l := range out.Items {
			shown[l.App]++
		}
		for app, p := range parts {
			switch n := shown[app]; {
			case p.Err != nil:
			case n == len(p.Data.Items):
				advance(cursors, app, p.Data.NextCursor)
			case n > 0:
				again[app] = n
			}
		}
		for app, p := range ask(again) {
			if p.Err != nil {
				return out, p.Err
			}
			advance(cursors, app, p.Data.NextCursor)
		}
		if len(cursors) > 0 && len(out.Items) == limit {
			raw, err := json.Marshal(cursors)
			if err != nil {
				return out, err
			}
			next := base64.RawURLEncoding.EncodeToString(raw)
			out.NextCursor = &next
		}
		return out, nil
	}
}

func advance(cursors map[string]string, app string, next *string) {
	if next == nil {
		delete(cursors, app)
		return
	}
	cursors[app] = *next
}

func (s *service) letterRoutes(r chi.Router) {
	listRoutes(s, r, "/admin/letters", letterList)
	r.Get("/admin/letters/letter", s.page(s.showLetter))
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

// letter finds one. Services list them, but do not read one by one.
func (s *service) letter(r *http.Request) (letter, error) {
	app, err := asked(r)
	id := r.URL.Query().Get("event")
	if err != nil || app == "" || id == "" {
		return letter{}, problem.ErrNotFound
	}
	found, err := get[items[letter]](r.Context(), s, app, lettersAPI(app), url.Values{"q": {id}, "limit": {"100"}})
	if err != nil {
		return letter{}, err
	}
	for _, one := range found.Items {
		if one.EventID == id {
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

func (s *service) showLetter(r *http.Request) (page.Answer, error) {
	l, err := s.letter(r)
	if err != nil {
		return nil, err
	}
	return page.Show("letter", page.View{
		Title: "Dead letter " + l.Topic, Data: letterView{Letter: l, Redrive: form{Action: l.at("redrive")}},
	}), nil
}

func (s *service) redrive(r *http.Request) (page.Answer, error) {
	l, err := s.letter(r)
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), l.App, http.MethodPost, lettersAPI(l.App)+"/"+url.PathEscape(l.EventID)+"/redrive", nil, nil)
	if err == nil {
		return to(address("/admin/letters", url.Values{"service": {l.App}}), "redriven"), nil
	}
	if now, again := s.letter(r); again == nil {
		l = now // with the error of this time
	}
	v := letterView{Letter: l, Redrive: form{Action: l.at("redrive")}}
	if !v.Redrive.refuse(err) {
		return nil, err
	}
	return page.Show("letter", page.View{Status: v.Redrive.Status, Title: "Dead letter " + l.Topic, Data: v}), nil
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

func (s *service) showDrop(r *http.Request) (page.Answer, error) {
	f, _, err := s.dropForm(r)
	if err != nil {
		return nil, err
	}
	return f.show(), nil
}

func (s *service) drop(r *http.Request) (page.Answer, error) {
	f, l, err := s.dropForm(r)
	if err != nil {
		return nil, err
	}
	err = s.call(r.Context(), l.App, http.MethodDelete, lettersAPI(l.App)+"/"+url.PathEscape(l.EventID), nil, nil)
	if err != nil && !missing(err) {
		return f.answer(r.PostForm, err)
	}
	return to(address("/admin/letters", url.Values{"service": {l.App}}), "dropped"), nil
}
