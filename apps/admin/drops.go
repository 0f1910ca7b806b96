package main

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/skus"
)

const dropsAPI = "/api/v1/admin/drops"

// drop is a drop as drops lists it to staff.
type drop struct {
	ID         uuid.UUID  `json:"id"`
	Slug       string     `json:"slug"`
	Title      string     `json:"title"`
	Preset     string     `json:"preset"`
	State      string     `json:"state"`
	Zone       string     `json:"zone"`
	PrequeueAt *time.Time `json:"prequeue_at"`
	OpensAt    time.Time  `json:"opens_at"`
	ClosesAt   time.Time  `json:"closes_at"`
	GraceS     int        `json:"grace_s"`
	HoldS      int        `json:"hold_s"`
	StandbyS   int        `json:"standby_s"`
	Beacon     string     `json:"beacon"`
	Message    string     `json:"message"`
	Lots       []dropLot  `json:"lots"`
}

type dropLot struct {
	SKU   string `json:"sku"`
	Units int    `json:"units"`
	Limit int    `json:"limit"`
}

// watched is one drop as staff watch it.
type watched struct {
	drop
	CallsPerS int       `json:"calls_per_s"`
	Notify    bool      `json:"notify"`
	TellEnd   bool      `json:"tell_end"`
	SetAside  string    `json:"set_aside"`
	Refused   string    `json:"refused"`
	Entered   int64     `json:"entered"`
	Watch     []lotGoes `json:"watch"`
	Silent    bool      `json:"beacon_silent"`
	Acts      []dropAct `json:"acts"`
}

// lotGoes is how a lot goes.
type lotGoes struct {
	SKU     string  `json:"sku"`
	Asked   int64   `json:"asked"`
	Waiting int64   `json:"waiting"`
	Called  int64   `json:"called"`
	Free    int64   `json:"free"`
	Held    int64   `json:"held"`
	Sold    int64   `json:"sold"`
	Came    int64   `json:"came"`
	Stayed  int64   `json:"stayed"`
	Rate    float64 `json:"show_rate"`
	Standby int64   `json:"standby"`
	Lapsed  int64   `json:"lapsed"`
	Refused int64   `json:"refused"`
}

// Shows is the show rate in per cent.
func (l lotGoes) Shows() int { return int(l.Rate*100 + .5) }

// dropAct is a line of a drop's public log.
type dropAct struct {
	Act    string    `json:"act"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
}

// At is the drop's page.
func (d drop) At() string { return "/admin/drops/" + d.ID.String() }

func (d drop) api() string { return dropsAPI + "/" + d.ID.String() }

// Over tells that nothing happens any more.
func (d drop) Over() bool { return d.State == "sold_out" || d.State == "closed" }

// Gives tells that units are given out, or may be again.
func (d drop) Gives() bool { return d.State == "open" || d.State == "all_held" }

// Local writes a time with the drop's own clocks.
func (d drop) Local(at time.Time) string {
	zone, err := time.LoadLocation(d.Zone)
	if err != nil {
		zone = time.UTC
	}
	return at.In(zone).Format("Mon 2 Jan 2006, 15:04 MST")
}

// Scheduling tells that its units are being set aside.
func (w watched) Scheduling() bool { return w.State == "draft" && w.SetAside == "asked" }

// Sum counts what of all lots is free, held and sold.
func (w watched) Sum() (all lotGoes) {
	for _, l := range w.Watch {
		all.Free, all.Held, all.Sold = all.Free+l.Free, all.Held+l.Held, all.Sold+l.Sold
	}
	return all
}

var dropList = list[drop]{
	App: "drops", API: dropsAPI, At: "/admin/drops", Title: "Drops",
	Lead: "Few of a kind for many people: who is there in time is put into an order by chance, and called.",
	Columns: []column[drop]{
		{Name: "Drop", Class: "wide", Cell: func(d drop) cell { return cell{Text: d.Title, Href: d.At(), Note: "/drops/" + d.Slug} }},
		{Name: "Status", Cell: func(d drop) cell { return status(d.State) }},
		{Name: "Kind", Cell: func(d drop) cell { return text(words(d.Preset)) }},
		{Name: "Opens", Cell: func(d drop) cell { return moment(d.OpensAt) }},
		{Name: "Closes", Cell: func(d drop) cell { return moment(d.ClosesAt) }},
		{Name: "Units", Class: "number", Cell: func(d drop) cell {
			n := 0
			for _, l := range d.Lots {
				n += l.Units
			}
			return number(n)
		}},
	},
	Acts:  []link{{Name: "New drop", Href: "/admin/drops/new", On: true}},
	Empty: empty{Title: "No drops yet", Text: "Make the first one.", Link: link{Name: "New drop", Href: "/admin/drops/new"}},
}

func (s *service) dropRoutes(r chi.Router) {
	dropList.routes(s, r)
	s.form(r, "/admin/drops/new", s.newDrop, s.createDrop)
	r.Get("/admin/drops/{id}", s.page(s.watchDrop))
	s.form(r, "/admin/drops/{id}/change", s.showDropChange, s.changeDrop)
	s.action(r, "/admin/drops/{id}/pause", s.pauseDrop)
	s.action(r, "/admin/drops/{id}/resume", s.resumeDrop)
	for name, a := range dropActs {
		s.form(r, "/admin/drops/{id}/"+name, a.show(s, name), a.do(s, name))
	}
}

// dropView is the Data of the page "drop".
type dropView struct {
	Drop  watched
	Facts []fact
}

// BeaconSilent is what is said when the beacon is.
func (dropView) BeaconSilent() string { return beaconSilent }

func (s *service) readDrop(r *http.Request) (watched, error) {
	id, err := uuid.Parse(chi.URLParam(r, "id"))
	if err != nil {
		return watched{}, problem.ErrNotFound
	}
	return get[watched](r.Context(), s, "drops", dropsAPI+"/"+id.String(), nil)
}

// watchDrop is where a drop is watched and steered.
func (s *service) watchDrop(r *http.Request) (page.Answer, error) {
	d, err := s.readDrop(r)
	if err != nil {
		return nil, err
	}
	return page.Show("drop", page.View{Title: d.Title, Data: dropView{d, d.rules()}}), nil
}

// rules are what does not change from the scheduling on.
func (w watched) rules() []fact {
	all := []fact{{"Kind", words(w.Preset)}}
	if w.PrequeueAt != nil {
		all = append(all, fact{"Entries from", w.Local(*w.PrequeueAt)})
	}
	chance := "nobody’s but the shop’s: it could influence the order"
	if w.Beacon == "drand" {
		chance = "drand’s public random number"
	}
	all = append(all, fact{"Opens", w.Local(w.OpensAt)}, fact{"Closes", w.Local(w.ClosesAt)},
		fact{"Time to come when called", span(w.GraceS)}, fact{"Held while they pay", span(w.HoldS)},
		fact{"Time to take what comes back", span(w.StandbyS)}, fact{"Chance", chance},
		fact{"Called in a second at most", strconv.Itoa(w.CallsPerS)})
	for _, l := range w.Lots {
		all = append(all, fact{l.SKU, strconv.Itoa(l.Units) + " units, " + strconv.Itoa(l.Limit) + " for each shopper at most"})
	}
	return all
}

// span says seconds as people do.
func span(seconds int) string {
	switch {
	case seconds%3600 == 0:
		return strconv.Itoa(seconds/3600) + " h"
	case seconds%60 == 0:
		return strconv.Itoa(seconds/60) + " min"
	}
	return strconv.Itoa(seconds) + " s"
}

// local is how browsers write a time without a zone.
const local = "2006-01-02T15:04"

func dropForm(d watched, isNew bool) form {
	zone, err := time.LoadLocation(d.Zone)
	if err != nil {
		zone = time.UTC
	}
	at := func(t *time.Time) string {
		if t == nil || t.IsZero() {
			return ""
		}
		return t.In(zone).Format(local)
	}
	lots := make([]string, 0, len(d.Lots))
	for _, l := range d.Lots {
		lots = append(lots, l.SKU+", "+strconv.Itoa(l.Units)+", "+strconv.Itoa(l.Limit))
	}
	seconds := func(name, label, hint string, value int) field {
		f := field{Name: name, Label: label, Hint: hint, Mode: "numeric", Max: 7}
		if value > 0 {
			f.Value = strconv.Itoa(value)
		}
		return f
	}
	mails := func(name, label string, on bool) field {
		f := field{
			Name: name, Label: label, Type: "select", Hint: "Of who asked for it at entry.",
			Options: []option{{Value: "", Label: "In a draw"}, {Value: "yes", Label: "Yes"}, {Value: "no", Label: "No"}},
		}
		if !isNew {
			f.Value = map[bool]string{true: "yes", false: "no"}[on]
		}
		f.Options = chosen(f.Options, f.Value)
		return f
	}
	moment := func(name, label, hint string, t *time.Time, required bool) field {
		return field{Name: name, Label: label, Type: "datetime-local", Value: at(t), Required: required, Hint: hint}
	}
	f := form{
		Heading: d.Title, Button: "Save", Action: d.At() + "/change", Back: d.At(), BackTo: "Back to the drop",
		Text:   []string{"Nobody sees a draft. Once it is scheduled, its rules are public and do not change."},
		Crumbs: []crumb{{"Drops", "/admin/drops"}, {d.Title, d.At()}},
		Fields: []field{
			{Name: "title", Label: "Title", Value: d.Title, Required: true, Max: 200},
			{Name: "preset", Label: "Kind", Type: "select", Required: true, Options: chosen([]option{
				{Value: "queue", Label: "Queue: shuffled at the opening, who comes later stands behind"},
				{Value: "draw", Label: "Draw: entries close at the opening, who is drawn has hours"},
				{Value: "first-come", Label: "First come: nobody waits before the opening"},
			}, d.Preset), Value: d.Preset},
			{Name: "lots", Label: "What there is", Type: "textarea", Required: true, Value: strings.Join(lots, "\n"),
				Hint: "A line for each: SKU, units, units that one shopper may have. For instance: LAMP-RED, 100, 1"},
			{Name: "zone", Label: "Time zone", Value: d.Zone, Required: true, Max: 64,
				Hint: "By which the times below are meant, and told to shoppers: Europe/London, America/New_York, UTC."},
			moment("prequeue_at", "Entries from", "Some minutes before the opening. Not for “first come”.", d.PrequeueAt, false),
			moment("opens_at", "Opens", "", &d.OpensAt, true),
			moment("closes_at", "Closes", "", &d.ClosesAt, true),
			{Name: "beacon", Label: "Chance", Type: "select", Value: d.Beacon, Options: chosen([]option{
				{Value: "drand", Label: "With drand’s public random number: nobody can influence the order"},
				{Value: "commit", Label: "The shop’s alone: its page says that the shop could have influenced it"},
			}, d.Beacon)},
			seconds("grace_s", "Seconds to come when called", "Empty: 45; in a draw, a day. Afterwards others are called, too.",
				d.GraceS),
			seconds("hold_s", "Seconds that it is held while they pay", "Empty: 600.", d.HoldS),
			seconds("standby_s", "Seconds to take what comes back", "Empty: 60; in a draw, a day.", d.StandbyS),
			seconds("calls_per_s", "Called in a second at most", "Empty: 100. It can be changed while the drop is on.", d.CallsPerS),
			mails("notify", "Mail those who are called", d.Notify),
			mails("tell_end", "Mail those who got nothing, when it is over", d.TellEnd),
		},
	}
	if isNew {
		f.Heading, f.Button, f.Action = "New drop", "Make the draft", "/admin/drops/new"
		f.Back, f.BackTo = "/admin/drops", "Back to the drops"
		f.Crumbs = f.Crumbs[:1]
		slug := field{
			Name: "slug", Label: "Address", Required: true, Max: 100,
			Hint: "Its name in the shop’s addresses, for ever: small letters, digits and dashes.",
		}
		f.Fields = append(f.Fields[:1:1], append([]field{slug}, f.Fields[1:]...)...)
	}
	return f
}

// when reads a time of a form as the clocks of a zone show it. On the days when clocks change, one that there is not, or that
// there is twice, is refused: a guess would open a drop an hour off.
func when(typed string, zone *time.Location) (time.Time, string) {
	at, err := time.ParseInLocation(local, typed, zone)
	if err != nil {
		return at, "write a day and a time"
	}
	if at.Format(local) != typed {
		return at, "there is no such time on that day: the clocks go forward over it"
	}
	begins, ends := at.ZoneBounds() // zero where the clocks never change
	for _, change := range []time.Time{begins, ends} {
		if change.IsZero() {
			continue
		}
		beside := change
		if !change.After(at) {
			beside = change.Add(-time.Second)
		}
		_, here := at.Zone()
		_, there := beside.Zone()
		if other := at.Add(time.Duration(here-there) * time.Second); !other.Equal(at) && other.Format(local) == typed {
			return at, "there are two such times on that day, since the clocks go back: choose another, or the time zone UTC"
		}
	}
	return at, ""
}

// readDropForm reads what was typed. What only drops can know is left for drops to refuse.
func readDropForm(sent url.Values) (map[string]any, error) {
	in := map[string]any{"title": sent.Get("title"), "preset": sent.Get("preset"), "zone": strings.TrimSpace(sent.Get("zone"))}
	var wrong *problem.Error
	refuse := func(name, words string) {
		if wrong == nil {
			wrong = problem.ErrInvalid
		}
		wrong = wrong.Field("body."+name, ownWords, words)
	}
	zone, err := time.LoadLocation(strings.TrimSpace(sent.Get("zone")))
	if err != nil || zone == time.Local || sent.Get("zone") == "" {
		refuse("zone", "is no time zone: write one such as Europe/London")
		zone = time.UTC
	}
	for _, name := range []string{"prequeue_at", "opens_at", "closes_at"} {
		typed := sent.Get(name)
		if typed == "" && name == "prequeue_at" {
			continue
		}
		at, words := when(typed, zone)
		if words != "" {
			refuse(name, words)
		}
		in[name] = at.Format(time.RFC3339)
	}
	lots := []dropLot{}
	for line := range strings.Lines(strings.ReplaceAll(sent.Get("lots"), "\r", "")) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		lot, ok := readLot(line)
		if !ok {
			refuse("lots", "“"+strings.TrimSpace(line)+"” is not: SKU, units, units for one shopper")
			break
		}
		lots = append(lots, lot)
	}
	in["lots"] = lots
	if v := sent.Get("beacon"); v != "" {
		in["beacon"] = v
	}
	for _, name := range []string{"grace_s", "hold_s", "standby_s", "calls_per_s"} {
		typed := strings.TrimSpace(sent.Get(name))
		if typed == "" {
			continue
		}
		n, err := strconv.Atoi(typed)
		if err != nil {
			refuse(name, "write a number")
		}
		in[name] = n
	}
	for _, name := range []string{"notify", "tell_end"} {
		if v := sent.Get(name); v != "" {
			in[name] = v == "yes"
		}
	}
	if wrong != nil {
		return nil, wrong
	}
	return in, nil
}

// readLot reads "SKU, units, limit". A SKU may have commas in it.
func readLot(line string) (l dropLot, ok bool) {
	rest, limit, found := cutLast(line)
	sku, units, also := cutLast(rest)
	n, err := strconv.Atoi(units)
	most, wrong := strconv.Atoi(limit)
	return dropLot{sku, n, most}, found && also && err == nil && wrong == nil && sku != ""
}

func cutLast(line string) (before, after string, found bool) {
	i := strings.LastIndexByte(line, ',')
	if i < 0 {
		return "", "", false
	}
	return strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:]), true
}

func (s *service) newDrop(*http.Request) (page.Answer, error) {
	return dropForm(watched{drop: drop{Preset: "queue", Zone: s.zone.String(), Beacon: "drand"}}, true).show(), nil
}

func (s *service) createDrop(r *http.Request) (page.Answer, error) {
	f := dropForm(watched{}, true)
	in, err := readDropForm(r.PostForm)
	var made watched
	if err == nil {
		in["slug"] = strings.TrimSpace(r.PostForm.Get("slug"))
		err = s.call(r.Context(), "drops", http.MethodPost, dropsAPI, in, &made)
	}
	if err != nil {
		return f.answer(r.PostForm, err)
	}
	return to(made.At(), "created"), nil
}

func (s *service) showDropChange(r *http.Request) (page.Answer, error) {
	d, err := s.readDrop(r)
	if err != nil {
		return nil, err
	}
	return dropForm(d, false).show(), nil
}

func (s *service) changeDrop(r *http.Request) (page.Answer, error) {
	d, err := s.readDrop(r)
	if err != nil {
		return nil, err
	}
	in, err := readDropForm(r.PostForm)
	if err == nil {
		err = s.call(r.Context(), "drops", http.MethodPut, d.api(), in, nil)
	}
	if err != nil {
		return dropForm(d, false).answer(r.PostForm, err)
	}
	return to(d.At(), "saved"), nil
}

func (s *service) pauseDrop(r *http.Request) (page.Answer, error) {
	return s.steer(r, http.MethodPut, "drop-paused")
}

func (s *service) resumeDrop(r *http.Request) (page.Answer, error) {
	return s.steer(r, http.MethodDelete, "drop-resumed")
}

func (s *service) steer(r *http.Request, method, did string) (page.Answer, error) {
	d, err := s.readDrop(r)
	if err == nil {
		err = s.call(r.Context(), "drops", method, d.api()+"/pause", nil, nil)
	}
	if err != nil {
		return nil, err
	}
	return to(d.At(), did), nil
}

// dropForms is what staff do to a drop by a form of its own, which says what will happen.
type dropForms struct {
	form func(d watched, q url.Values) form
	call func(d watched, q, sent url.Values) (method, path string, in any, err error)
	did  string
}

func (a dropForms) of(d watched, q url.Values, name string) form {
	f := a.form(d, q)
	f.Action, f.Back = d.At()+"/"+name, d.At()
	if len(q) > 0 {
		f.Action += "?" + q.Encode()
	}
	f.Crumbs = []crumb{{"Drops", "/admin/drops"}, {d.Title, d.At()}}
	if f.BackTo == "" {
		f.BackTo = "Back to the drop"
	}
	return f
}

func (a dropForms) show(s *service, name string) handler {
	return func(r *http.Request) (page.Answer, error) {
		d, err := s.readDrop(r)
		if err != nil {
			return nil, err
		}
		return a.of(d, onlySKU(r.URL.Query()), name).show(), nil
	}
}

func (a dropForms) do(s *service, name string) handler {
	return func(r *http.Request) (page.Answer, error) {
		d, err := s.readDrop(r)
		if err != nil {
			return nil, err
		}
		q := onlySKU(r.URL.Query())
		method, path, in, err := a.call(d, q, r.PostForm)
		if err == nil {
			err = s.call(r.Context(), "drops", method, d.api()+path, in, &d)
		}
		if err != nil {
			return a.of(d, q, name).answer(r.PostForm, err)
		}
		if name == "units" && slices.ContainsFunc(d.Watch, func(l lotGoes) bool { return l.SKU == q.Get("sku") && l.Asked > 0 }) {
			return to(d.At(), "drop-units-asked"), nil
		}
		return to(d.At(), a.did), nil
	}
}

// onlySKU keeps what of an address names a lot, and says how many units of it were seen.
func onlySKU(q url.Values) url.Values {
	if sku := q.Get("sku"); sku != "" {
		return url.Values{"sku": {sku}, "seen": q["seen"]}
	}
	return nil
}

// typedNumber reads a number that was typed.
func typedNumber(sent url.Values, name string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(sent.Get(name)))
	if err != nil {
		return 0, problem.InvalidField("body."+name, ownWords, "write a number")
	}
	return n, nil
}

// beaconSilent is said of a drop whose order nobody could draw now.
const beaconSilent = "The public random number by which its order is to be drawn cannot be had just now. As long as that is so, the drop " +
	"would not open: see that the shop reaches the beacon, or choose the shop’s own chance in the draft."

var dropActs = map[string]dropForms{
	"schedule": {
		form: func(d watched, _ url.Values) form {
			f := form{
				Heading: "Schedule “" + d.Title + "”?", Button: "Schedule", Facts: d.rules(),
				Text: []string{
					"The units leave the stock that everybody can buy, and the rules below become public. They do not change from then on.",
				},
			}
			if d.Silent {
				f.Text = append(f.Text, beaconSilent)
			}
			return f
		},
		call: func(watched, url.Values, url.Values) (string, string, any, error) {
			return http.MethodPost, "/schedule", nil, nil
		},
		did: "drop-scheduled",
	},
	"rate": {
		form: func(d watched, _ url.Values) form {
			return form{
				Heading: "How fast are people called?", Button: "Save",
				Text: []string{"Never more are called than there is something for. A smaller number goes easier on the checkout."},
				Fields: []field{{
					Name: "calls_per_s", Label: "Called in a second at most", Value: strconv.Itoa(d.CallsPerS), Required: true,
					Mode: "numeric", Max: 7,
				}},
			}
		},
		call: func(_ watched, _, sent url.Values) (string, string, any, error) {
			n, err := typedNumber(sent, "calls_per_s")
			return http.MethodPut, "/rate", map[string]any{"calls_per_s": n}, err
		},
		did: "saved",
	},
	"units": {
		form: func(d watched, q url.Values) form {
			f := form{
				Heading: "Add units of " + q.Get("sku"), Button: "Add them",
				Text: []string{"They leave the stock that everybody can buy. Those who wait get them, in their order."},
			}
			for _, l := range d.Lots {
				if l.SKU == q.Get("sku") {
					f.Facts = []fact{{"Units now", strconv.Itoa(l.Units)}}
					q.Set("seen", strconv.Itoa(l.Units)) // so that who adds to another number is told so
				}
			}
			f.Fields = []field{{
				Name: "more", Label: "How many more", Required: true, Mode: "numeric", Max: 9,
			}}
			return f
		},
		call: func(d watched, q, sent url.Values) (string, string, any, error) {
			more, err := typedNumber(sent, "more")
			if err == nil && more < 1 {
				err = problem.InvalidField("body.more", ownWords, "must be 1 or more: units of a drop are never taken away")
			}
			for _, l := range d.Lots {
				if l.SKU == q.Get("sku") {
					seen, wrong := strconv.Atoi(q.Get("seen"))
					if wrong != nil {
						seen = l.Units
					}
					return http.MethodPut, "/units/" + skus.Segment(l.SKU), map[string]any{"units": seen + more, "expected": seen}, err
				}
			}
			return "", "", nil, problem.ErrNotFound
		},
		did: "drop-units",
	},
	"message": {
		form: func(d watched, _ url.Values) form {
			return form{
				Heading: "Tell all who wait", Button: "Tell them",
				Text:   []string{"It stands on the drop’s page within seconds, and in its public log for ever."},
				Fields: []field{{Name: "message", Label: "Message", Type: "textarea", Value: d.Message, Max: 500, Hint: "Empty: none."}},
			}
		},
		call: func(_ watched, _, sent url.Values) (string, string, any, error) {
			return http.MethodPut, "/message", map[string]any{"message": strings.ReplaceAll(sent.Get("message"), "\r", "")}, nil
		},
		did: "drop-message",
	},
	"end": {
		form: func(d watched, _ url.Values) form {
			return form{
				Heading: "End “" + d.Title + "” now?", Button: "End it", Danger: true, BackTo: "Do not end it",
				Text: []string{
					"Nobody is called any more, and what nobody holds goes back to the stock that everybody can buy. Who holds something " +
						"may still pay for it. It cannot be begun again.",
				},
			}
		},
		call: func(watched, url.Values, url.Values) (string, string, any, error) {
			return http.MethodPost, "/end", nil, nil
		},
		did: "drop-ended",
	},
	"exclude": {
		form: func(watched, url.Values) form {
			return form{
				Heading: "Shut an entry out?", Button: "Shut it out", Danger: true, BackTo: "Do not",
				Text: []string{"It is not let in again. Number and reason stand in the drop’s public log, without a name."},
				Fields: []field{
					{Name: "number", Label: "Entry number", Required: true, Mode: "numeric", Max: 12,
						Hint: "From 1, as its shopper sees it."},
					{Name: "reason", Label: "Reason", Required: true, Max: 200, Hint: "Everybody can read it."},
				},
			}
		},
		call: func(_ watched, _, sent url.Values) (string, string, any, error) {
			n, err := typedNumber(sent, "number")
			if err == nil && n < 1 {
				err = problem.InvalidField("body.number", ownWords, "must be 1 or more")
			}
			in := map[string]any{"reason": strings.TrimSpace(sent.Get("reason"))}
			return http.MethodPut, "/exclusions/" + strconv.Itoa(n-1), in, err
		},
		did: "drop-excluded",
	},
}
