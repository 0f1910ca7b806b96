package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// dropRoutes are the pages of drops.
func (s *service) dropRoutes(r chi.Router) {
	page := s.pages.Handle
	r.Get("/drops", page(s.getDrops))
	r.Get("/drops/{slug}", page(s.getDrop))
	r.Get("/drops/{slug}/body", page(s.getDropBody))
	r.Get("/drops/{slug}/calendar.ics", page(s.getDropCalendar))
	r.Get("/drops/{slug}/verify", page(s.getDropProof))
	r.Group(func(r chi.Router) {
		r.Use(s.loggedIn)
		r.Post("/drops/{slug}/entry", page(s.postEntry))
		r.Post("/drops/{slug}/leave", page(s.postLeave))
		r.Post("/drops/{slug}/claim", page(s.postClaim))
		r.Post("/drops/{slug}/more-time", page(s.postMoreTime))
	})
}

// dropsView is the Data of the page "drops".
type dropsView struct {
	Coming, Past []drop
}

// getDrops lists the drops: those that come or are on, the next one first, and those that are over, the last one first.
func (s *service) getDrops(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	var v dropsView
	for _, d := range s.allDrops(r.Context()) {
		if d.Over() {
			v.Past = append(v.Past, d)
		} else {
			v.Coming = append(v.Coming, d)
		}
	}
	slices.SortFunc(v.Coming, func(a, b drop) int { return a.OpensAt.Compare(b.OpensAt) })
	slices.SortFunc(v.Past, func(a, b drop) int { return b.OpensAt.Compare(a.OpensAt) })
	shared(w, r, anonymous)
	f := s.forAll(r, "/drops", "What comes out next at Stampede, and when.")
	return page.Show("drops", page.View{Title: "Drops", Meta: f, Data: v}), nil
}

// lookAt is what somebody sees of a drop: their entry belongs to the account, so it is the same on each device.
func (s *service) lookAt(ctx context.Context, slug string) (v dropView, err error) {
	who := shopperOf(ctx)
	if who.failed != nil {
		return v, who.failed
	}
	d, old, err := s.seeDrop(ctx, slug)
	if err != nil {
		return v, err
	}
	var mine *entry
	if who.session != nil && d.Status.State != "scheduled" {
		e, err := get[entry](ctx, s, "drops", dropAPI(slug)+"/entry", nil)
		switch {
		case err == nil:
			mine = &e
		case unavailable(err):
			old = true
		case slugOf(err) != "entry-not-found":
			return v, err
		}
	}
	v = s.dropView(ctx, d, mine)
	v.Old = old
	return v, nil
}

func (s *service) dropPage(r *http.Request, v dropView, status int) page.Answer {
	f := s.forAll(r, "/drops/"+v.Drop.Slug, v.Drop.Title+": a drop at Stampede. Everybody who is there in time has the same chance.")
	f.Refresh, f.Script = v.Refresh(), "drop.js"
	for _, row := range v.Rows {
		if f.Image == "" && row.Product.ImageURL != "" {
			f.Image = s.public + row.Product.ImageURL
		}
	}
	return page.Show("drop", page.View{Status: status, Title: v.Drop.Title, Meta: f, Data: v})
}

// getDrop shows a drop, with ?still=1 without renewing itself.
func (s *service) getDrop(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	v, err := s.lookAt(r.Context(), chi.URLParam(r, "slug"))
	if err != nil {
		return nil, err
	}
	v.Still = r.URL.Query().Has("still")
	shared(w, r, anonymous)
	return s.dropPage(r, v, 0), nil
}

// getDropBody is what of the page is somebody's own, for its script. With ?since= it waits for news of the entry, as far as
// there are places: a page that is answered without news asks again after a pause.
func (s *service) getDropBody(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx, slug := r.Context(), chi.URLParam(r, "slug")
	if since := r.URL.Query().Get("since"); since != "" {
		if waiting, leave, ok := s.waits(ctx, s.nearby); ok {
			_, err := get[entry](waiting, s, "drops", dropAPI(slug)+"/entry", news(since), longAnswer)
			leave()
			if err != nil && unavailable(err) {
				return nil, err
			}
		}
	}
	v, err := s.lookAt(ctx, slug) // how it stands now, not as it did before the wait
	if err != nil {
		return nil, err
	}
	return page.Part("drop-body", 0, v), nil
}

// refusedDrop shows a drop's page with why something was not done; err itself where the page can say nothing better.
func (s *service) refusedDrop(r *http.Request, err error, chosen []string, quantity int) (page.Answer, error) {
	said := dropProblem(err)
	if said == "" {
		return nil, err
	}
	v, seen := s.lookAt(r.Context(), chi.URLParam(r, "slug"))
	if seen != nil {
		return nil, err
	}
	v.Problem = said
	if slugOf(err) == "not-eligible" {
		v.Stage = "excluded"
	}
	if chosen != nil {
		v.Chosen, v.Quantity, v.Tell = chosen, quantity, field(r, "tell") != ""
	}
	return s.dropPage(r, v, statusOf(err)), nil
}

func statusOf(err error) int {
	switch slugOf(err) {
	case "invalid":
		return http.StatusUnprocessableEntity
	case "not-eligible", "ticket-invalid":
		return http.StatusForbidden
	}
	return http.StatusConflict
}

// dropProblem says why something about a drop was not done; "" when it is nothing that its page could say.
func dropProblem(err error) string {
	switch slugOf(err) {
	case "drop-not-open":
		return "It is not open for that yet. Nothing is lost: this page goes on by itself."
	case "drop-drawing":
		return "The order is being drawn at this moment. Please try again in a few seconds."
	case "entry-closed":
		return "Entries are closed: the order was drawn among those who were in."
	case "drop-ended":
		return "It is over."
	case "drop-paused":
		return "It is paused. Your place is safe, and so is what was held for you."
	case "not-eligible":
		switch rule, _ := member(err, "rule").(string); rule {
		case "suspended":
			return "Your account is suspended, so it cannot take part."
		case "shoppers":
			return "This account is not a shopper’s, so it cannot take part."
		}
		if reason, _ := member(err, "reason").(string); reason != "" {
			return "Your entry was shut out: " + sentence(reason)
		}
		return "Your account cannot take part."
	case "ticket-invalid":
		return "This page was another account’s, or is too old. Your place is safe: please try again from here."
	case "entry-not-found", "not-entered-for":
		return "You have not entered for that."
	case "not-called":
		return "It is not your turn yet. Your place is safe, and this page says when it is."
	case "sold-out":
		return "Nothing is left of it."
	case "limit-reached":
		return limitWords(err)
	case "claim-lapsed":
		return "Your time for it was over. You can ask for it again: who has not let one go yet comes first."
	case "not-held":
		return "It is not held for you just now."
	case "no-more-time":
		return "There is no more time to give: others wait for it."
	case "invalid":
		return "Please choose what you want, and how many."
	}
	return ""
}

// wanted reads how many are wanted of something in a drop. Errors: problem.ErrMalformed.
func wanted(r *http.Request) (int, error) {
	n, err := strconv.Atoi(field(r, "quantity"))
	if err != nil || n < 1 || n > 1000 {
		return 0, problem.ErrMalformed.Detail("Please choose how many you want.")
	}
	return n, nil
}

// postEntry enters a drop.
func (s *service) postEntry(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	slug, skus := chi.URLParam(r, "slug"), r.PostForm["sku"]
	quantity, err := wanted(r)
	if err != nil {
		return nil, err
	}
	if len(skus) == 0 {
		return s.refusedDrop(r, problem.InvalidField("body.skus", problem.CodeRequired, "choose one"), []string{}, quantity)
	}
	in := map[string]any{"skus": skus, "quantity": quantity, "tell": field(r, "tell") != ""}
	if err := s.call(r.Context(), "drops", http.MethodPost, dropAPI(slug)+"/entry", in, nil); err != nil {
		return s.refusedDrop(r, err, skus, quantity)
	}
	return page.Redirect("/drops/" + url.PathEscape(slug)), nil
}

// postLeave gives a place up. Who comes back while entries are open has it again.
func (s *service) postLeave(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	slug := chi.URLParam(r, "slug")
	if err := s.call(r.Context(), "drops", http.MethodDelete, dropAPI(slug)+"/entry", nil, nil); err != nil {
		return s.refusedDrop(r, err, nil, 0)
	}
	return page.Redirect("/drops/" + url.PathEscape(slug)), nil
}

// postClaim claims what it is somebody's turn for, and puts it into the cart. When the cart cannot take it now, it is held all
// the same: the page says so, and the same form puts it in.
func (s *service) postClaim(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx, slug, sku := r.Context(), chi.URLParam(r, "slug"), field(r, "sku")
	quantity, err := wanted(r)
	if err != nil {
		return nil, err
	}
	var got claim
	in := map[string]any{"sku": sku, "quantity": quantity}
	err = s.call(ctx, "drops", http.MethodPost, dropAPI(slug)+"/claim", in, &got, dapr.Header("Drop-Ticket", r.PostForm.Get("ticket")))
	if err != nil {
		return s.refusedDrop(r, err, nil, 0)
	}
	at := "/drops/" + url.PathEscape(slug)
	if got.State != "held" && got.State != "offered" {
		return page.Redirect(at), nil
	}
	s.merge(ctx, w, shopperOf(ctx))
	if err := s.intoCart(ctx, sku, min(quantity, got.Quantity)); err != nil { // who is drawn last may have fewer
		v, seen := s.lookAt(ctx, slug)
		if seen != nil {
			return nil, err
		}
		v.Problem = "It is held for you, but could not be put into your cart just now. Please try again: nobody can take it meanwhile."
		return s.dropPage(r, v, http.StatusServiceUnavailable), nil
	}
	return page.Redirect(at), nil
}

// postMoreTime asks for more time for what is held.
func (s *service) postMoreTime(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	slug := chi.URLParam(r, "slug")
	if err := s.askMoreTime(r.Context(), slug, field(r, "sku")); err != nil {
		return s.refusedDrop(r, err, nil, 0)
	}
	return page.Redirect("/drops/" + url.PathEscape(slug)), nil
}

func (s *service) askMoreTime(ctx context.Context, slug, sku string) error {
	return s.call(ctx, "drops", http.MethodPost, dropAPI(slug)+"/entry/more-time", map[string]any{"sku": sku}, nil)
}

// longer asks for more time where somebody pays: named is the drop and the SKU, as moreTime.Value has them. Why there is none
// comes back in words, with the status to show them with.
func (s *service) longer(ctx context.Context, named string) (said string, status int, err error) {
	slug, sku, found := strings.Cut(named, "=") // a SKU may have one too
	if !found || slug == "" {
		return "", 0, problem.ErrMalformed
	}
	err = s.askMoreTime(ctx, slug, sku)
	switch said = dropProblem(err); {
	case err == nil:
		return "", 0, nil
	case said != "":
		return said, http.StatusConflict, nil
	case unavailable(err):
		return "We could not ask for more time just now. Please try again in a moment.", http.StatusServiceUnavailable, nil
	}
	return "", 0, err
}

// moreTime is something in the cart that a drop holds, and would hold longer.
type moreTime struct {
	Drop, SKU, Name string
	Times           int64
	Until           time.Time
	Left            int // seconds, by the server's clock
}

// Value names it in a form.
func (m moreTime) Value() string { return m.Drop + "=" + m.SKU }

// moreTimes lists what of a cart may be held longer. What cannot be read just now is left out: it is on the drop's page, too.
func (s *service) moreTimes(ctx context.Context, c cart) (all []moreTime) {
	if shopperOf(ctx).session == nil || c.FirstEnd() == nil {
		return nil
	}
	for _, d := range s.comingDrops(ctx) {
		var e *entry
		for _, l := range d.Lots {
			line := c.line(l.SKU)
			if line == nil || line.HoldExpiresAt == nil {
				continue
			}
			if e == nil {
				got, err := get[entry](ctx, s, "drops", dropAPI(d.Slug)+"/entry", nil)
				if err != nil {
					break
				}
				e = &got
			}
			if n := e.claim(l.SKU).MoreTime; n > 0 {
				until := *line.HoldExpiresAt
				all = append(all, moreTime{d.Slug, l.SKU, line.Name, n, until, int(until.Sub(s.now()).Seconds())})
			}
		}
	}
	return all
}

// intoCart puts what is claimed into the cart: as many as were claimed, less what orders have of it already.
func (s *service) intoCart(ctx context.Context, sku string, quantity int) error {
	_, err := s.setItem(ctx, sku, quantity)
	if n, ok := member(err, "available").(float64); ok && n >= 1 && int(n) < quantity {
		_, err = s.setItem(ctx, sku, int(n))
	}
	return err
}

// getDropCalendar is a drop's opening for a calendar (RFC 5545), which reminds of it ten minutes before.
func (s *service) getDropCalendar(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	d, _, err := s.seeDrop(r.Context(), chi.URLParam(r, "slug"))
	if err != nil {
		return nil, err
	}
	const layout = "20060102T150405Z"
	escape := strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\n", " ", "\r", " ")
	begins := d.Drop.Begins().UTC()
	at := s.public + "/drops/" + d.Drop.Slug
	lines := []string{
		"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Stampede//Drops//EN", "BEGIN:VEVENT", "UID:" + d.Drop.Slug + "@stampede",
		"DTSTAMP:" + s.now().UTC().Format(layout), "DTSTART:" + begins.Format(layout),
		"DTEND:" + d.Drop.OpensAt.UTC().Add(15*time.Minute).Format(layout),
		"SUMMARY:" + escape.Replace(d.Drop.Title), "URL:" + at,
		"DESCRIPTION:" + escape.Replace("Log in before it opens: "+at),
		"BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:" + escape.Replace(d.Drop.Title), "TRIGGER:-PT10M", "END:VALARM",
		"END:VEVENT", "END:VCALENDAR", "",
	}
	shared(w, r, anonymous)
	return func(_ *page.Pages, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/calendar; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="drop.ics"`)
		_, _ = w.Write([]byte(strings.Join(lines, "\r\n")))
	}, nil
}

// proofView is the Data of the page "drop-verify".
type proofView struct {
	Drop  drop
	Proof *entryProof // that the shopper's own entry is in the log
}

// getDropProof shows how a drop's order can be checked: the browser does it, from the files that drops publishes.
func (s *service) getDropProof(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx, slug := r.Context(), chi.URLParam(r, "slug")
	d, _, err := s.seeDrop(ctx, slug)
	if err != nil {
		return nil, err
	}
	v := proofView{Drop: d.Drop}
	if shopperOf(ctx).session != nil {
		p, err := get[entryProof](ctx, s, "drops", dropAPI(slug)+"/entry/proof", nil)
		if err == nil {
			v.Proof = &p
		}
	}
	shared(w, r, anonymous)
	f := s.forAll(r, "/drops/"+d.Drop.Slug+"/verify", "How the order of "+d.Drop.Title+" was drawn, for you to check.")
	f.Script = "drop.js"
	return page.Show("drop-verify", page.View{Title: "Check the order of " + d.Drop.Title, Meta: f, Data: v}), nil
}
