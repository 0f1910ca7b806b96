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

// letterCursor is the place in a list of the dead letters of several services: each service's own cursor, "" at its
// beginning. A service that was read to its end is not in it.
type letterCursor map[string]string

// readLetterCursor reads what String wrote; "" is the beginning of all of these services.
func readLetterCursor(text string, apps []string) (letterCursor, error) {
	c := letterCursor{}
	if text == "" {
		for _, app := range apps {
			c[app] = ""
		}
		return c, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return nil, problem.InvalidField("query.cursor", ownWords, "not a cursor of this list")
	}
	return c, nil
}

func (c letterCursor) String() string {
	raw, _ := json.Marshal(c) // strings alone do not fail
	return base64.RawURLEncoding.EncodeToString(raw)
}

// advance goes on to where a service's answer ended; nil is its end.
func (c letterCursor) advance(app string, next *string) {
	if next == nil {
		delete(c, app)
		return
	}
	c[app] = *next
}

// letterParts is what services answered, by their names.
type letterParts map[string]*part[items[letter]]

// lettersAfter asks services for so many dead letters each, beginning at the cursor.
func (s *service) lettersAfter(ctx context.Context, query url.Values, c letterCursor, limits map[string]int) letterParts {
	parts := letterParts{}
	var wait sync.WaitGroup
	for app, n := range limits {
		q := clone(query)
		q.Set("limit", strconv.Itoa(n))
		q.Set("cursor", c[app])
		parts[app] = &part[items[letter]]{}
		load(&wait, parts[app], func() (items[letter], error) { return get[items[letter]](ctx, s, app, lettersAPI(app), q) })
	}
	wait.Wait()
	return parts
}

// lettersOf reads the dead letters of services as one list. A service that is away is told, unless it was the only one.
func lettersOf(apps []string) func(ctx context.Context, s *service, query url.Values) (found[letter], error) {
	return func(ctx context.Context, s *service, query url.Values) (out found[letter], err error) {
		limit, err := strconv.Atoi(query.Get("limit"))
		if err != nil {
			return out, err
		}
		cursor, err := readLetterCursor(query.Get("cursor"), apps)
		if err != nil {
			return out, err
		}
		limits := map[string]int{}
		for _, app := range apps {
			if _, more := cursor[app]; more {
				limits[app] = limit
			}
		}
		parts := s.lettersAfter(ctx, query, cursor, limits)
		for _, app := range apps { // in their order: equals stay as they are
			switch p := parts[app]; {
			case p == nil:
			case p.Err == nil:
				for _, l := range p.Data.Items {
					l.App = app
					out.Items = append(out.Items, l)
				}
			case len(apps) > 1 && p.Away():
				out.Lacks += app + " did not answer; its dead letters are missing here. "
			default:
				return out, p.Err
			}
		}
		if order := lettersOrder[query.Get("sort")]; order != nil {
			slices.SortStableFunc(out.Items, order)
		}
		out.Items = out.Items[:min(limit, len(out.Items))]
		if err := s.passLetters(ctx, query, cursor, parts, out.Items); err != nil {
			return out, err
		}
		if len(cursor) > 0 && len(out.Items) == limit {
			next := cursor.String()
			out.NextCursor = &next
		}
		return out, nil
	}
}

// passLetters moves the cursor behind what is shown of the parts. Those of which only some are shown are asked again
// for as many, since only a service knows its own cursors.
func (s *service) passLetters(ctx context.Context, query url.Values, c letterCursor, parts letterParts, shown []letter) error {
	count, again := map[string]int{}, map[string]int{}
	for _, l := range shown {
		count[l.App]++
	}
	for app, p := range parts {
		switch n := count[app]; {
		case p.Err != nil:
		case n == len(p.Data.Items):
			c.advance(app, p.Data.NextCursor)
		case n > 0:
			again[app] = n
		}
	}
	for app, p := range s.lettersAfter(ctx, query, c, again) {
		if p.Err != nil {
			return p.Err
		}
		c.advance(app, p.Data.NextCursor)
	}
	return nil
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
