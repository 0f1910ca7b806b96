package main

import (
	"bytes"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

type mailItem struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind"`
	Status    string     `json:"status"`
	Sender    string     `json:"sender"`
	Recipient string     `json:"recipient"`
	Subject   string     `json:"subject"`
	Error     string     `json:"error"`
	Tries     int        `json:"tries"`
	OrderID   *string    `json:"order_id"`
	AgainOf   *string    `json:"again_of"`
	CreatedAt time.Time  `json:"created_at"`
	SentAt    *time.Time `json:"sent_at"`
	NextTryAt *time.Time `json:"next_try_at"`
	HTML      *string    `json:"html"`
	Source    struct {
		Event string `json:"event"`
		ID    string `json:"id"`
	} `json:"source"`
}

var mailKinds = []option{
	{Value: "", Label: "Every kind"}, {Value: "verify-email", Label: "Verify e-mail"}, {Value: "welcome", Label: "Welcome"},
	{Value: "password-reset", Label: "Password reset"}, {Value: "invitation", Label: "Invitation"},
	{Value: "email-change", Label: "New e-mail address"}, {Value: "email-change-notice", Label: "Notice of a new e-mail address"},
	{Value: "order-confirmed", Label: "Order confirmed"}, {Value: "order-shipped", Label: "Order shipped"},
	{Value: "order-readdressed", Label: "Other address"},
	{Value: "order-reshipped", Label: "Shipment corrected"},
	{Value: "order-delivered", Label: "Order delivered"}, {Value: "order-cancelled", Label: "Order cancelled"},
	{Value: "order-refunded", Label: "Order refunded"},
	{Value: "stock-confirm", Label: "Back in stock: confirm"}, {Value: "back-in-stock", Label: "Back in stock"},
	{Value: "drop-called", Label: "Drop: your turn"}, {Value: "drop-missed", Label: "Drop: nothing this time"},
}

var mailList = list[mailItem]{
	App: "mail", API: "/api/v1/admin/mail", At: "/admin/mails", Title: "Mails",
	Filters: []filter{
		{Name: "status", Type: "tabs", Label: "Status", Options: []option{
			{Value: "", Label: "All"}, {Value: "queued", Label: "Queued"}, {Value: "sent", Label: "Sent"}, {Value: "failed", Label: "Failed"}, {Value: "skipped", Label: "Skipped"},
		}},
		{Name: "recipient", Type: "search", Label: "Recipient", Hint: "ann@…"},
		{Name: "kind", Type: "select", Label: "Kind", Options: mailKinds},
	},
	Sorts: []option{
		{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}, {Value: "recipient", Label: "By recipient"}, {Value: "-recipient", Label: "By recipient, Z first"},
	},
	Columns: []column[mailItem]{
		{Name: "Subject", Class: "wide", Cell: func(m mailItem) cell { return cell{Text: m.Subject, Href: "/admin/mails/" + m.ID, Note: m.Error} }},
		{Name: "Recipient", Class: "full", Up: "recipient", Down: "-recipient", Cell: func(m mailItem) cell { return text(m.Recipient) }},
		{Name: "Kind", Cell: func(m mailItem) cell { return text(m.Kind) }},
		{Name: "Status", Cell: func(m mailItem) cell { return status(m.Status) }},
		{Name: "Because of", Hidden: true, Cell: func(m mailItem) cell { return text(m.Source.Event) }},
		{Name: "Written", Up: "oldest", Down: "newest", Cell: func(m mailItem) cell { return moment(m.CreatedAt) }},
		{Name: "Sent", Cell: func(m mailItem) cell { return optional(m.SentAt) }},
		{Name: "Sender", Hidden: true, Cell: func(m mailItem) cell { return text(m.Sender) }},
		{Name: "Error", Hidden: true, Cell: func(m mailItem) cell { return text(m.Error) }},
	},
	Acts:  []link{{Name: "Templates", Href: "/admin/mails/templates"}},
	Empty: empty{Title: "No mails here", Text: "Every mail that the shop writes is listed, also those that could not be sent."},
}

func (s *service) mailRoutes(r chi.Router) {
	mailList.routes(s, r)
	r.Get("/admin/mails/templates", s.page(s.mailTemplates))
	r.Get("/admin/mails/templates/{kind}/preview", s.previewTemplate)
	r.Get("/admin/mails/{id}", s.page(s.showMail))
	r.Get("/admin/mails/{id}/preview", s.previewMail)
	s.form(r, "/admin/mails/{id}/resend", s.showResend, s.resend)
}

// mailView is the Data of the page "mail".
type mailView struct {
	Mail    mailItem
	Preview string // its address; empty when what it said is not kept
	Resend  bool
}

func (s *service) mail(r *http.Request) (mailItem, error) {
	id, err := id(r)
	if err != nil {
		return mailItem{}, err
	}
	return get[mailItem](r.Context(), s, "mail", "/api/v1/admin/mail/"+id.String(), nil)
}

func (s *service) showMail(r *http.Request) (page.Answer, error) {
	m, err := s.mail(r)
	if err != nil {
		return nil, err
	}
	v := mailView{Mail: m, Resend: m.HTML != nil}
	if m.HTML != nil {
		v.Preview = "/admin/mails/" + m.ID + "/preview"
	}
	return page.Show("mail", page.View{Title: m.Subject, Data: v}), nil
}

func (s *service) previewMail(w http.ResponseWriter, r *http.Request) {
	m, err := s.mail(r)
	switch {
	case err != nil:
		s.pages.Problem(w, r, err)
	case m.HTML == nil:
		s.pages.Problem(w, r, problem.ErrNotFound.Detail("What this mail said is not kept."))
	default:
		preview(w, []byte(*m.HTML))
	}
}

func (s *service) previewTemplate(w http.ResponseWriter, r *http.Request) {
	var out bytes.Buffer
	path := "/api/v1/admin/mail/templates/" + url.PathEscape(chi.URLParam(r, "kind")) + "/preview"
	if err := s.call(r.Context(), "mail", http.MethodGet, path, nil, &out); err != nil {
		s.pages.Problem(w, r, err)
		return
	}
	preview(w, out.Bytes())
}

// preview shows a mail in a frame. Mails carry their style in themselves, so
// this document, unlike every page, may have styles of its own; it may do
// nothing else.
func preview(w http.ResponseWriter, html []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(html)
}

func resendForm(m mailItem) form {
	return form{
		Heading: "Send this mail again?", Button: "Send again", Key: newKey(), Action: "/admin/mails/" + m.ID + "/resend", Back: "/admin/mails/" + m.ID, BackTo: "Do not send",
		Crumbs: []crumb{{"Mails", "/admin/mails"}, {m.Subject, "/admin/mails/" + m.ID}},
		Text:   []string{"The same mail goes to the same address once more, and is listed as a mail of its own."},
		Facts:  []fact{{"To", m.Recipient}, {"Subject", m.Subject}},
	}
}

func (s *service) showResend(r *http.Request) (page.Answer, error) {
	m, err := s.mail(r)
	if err == nil && m.HTML == nil {
		err = errTooLate.Detail("What this mail said is not kept.")
	}
	if err != nil {
		return nil, err
	}
	return resendForm(m).show(), nil
}

func (s *service) resend(r *http.Request) (page.Answer, error) {
	m, err := s.mail(r)
	if err != nil {
		return nil, err
	}
	var again mailItem
	err = s.call(r.Context(), "mail", http.MethodPost, "/api/v1/admin/mail/"+m.ID+"/resend", nil, &again,
		dapr.Header("Idempotency-Key", r.PostForm.Get("key")))
	if err != nil {
		return resendForm(m).answer(r.PostForm, err)
	}
	return to("/admin/mails/"+again.ID, "resent"), nil
}

// templatesView is the Data of the page "templates".
type templatesView struct {
	Items []struct {
		Kind    string `json:"kind"`
		Subject string `json:"subject"`
	} `json:"items"`
	On string // the one that is shown
}

func (s *service) mailTemplates(r *http.Request) (page.Answer, error) {
	v, err := get[templatesView](r.Context(), s, "mail", "/api/v1/admin/mail/templates", nil)
	if err != nil {
		return nil, err
	}
	if v.On = r.URL.Query().Get("kind"); v.On == "" && len(v.Items) > 0 {
		v.On = v.Items[0].Kind
	}
	return page.Show("templates", page.View{Title: "Mail templates", Data: v}), nil
}
