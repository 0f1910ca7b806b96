package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/trace"
)

func (s *service) routes(api huma.API) {
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/mail", "List mails", rest.Admin), s.listMails)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/mail/figures", "Count mails", rest.Admin), s.getFigures)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/mail/{id}", "Read one mail", rest.Admin,
		rest.Problems(ErrMailNotFound)), s.getMail)
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/admin/mail/{id}/resend", "Send a mail again", rest.Admin, rest.Status(http.StatusCreated),
		rest.Problems(ErrMailNotFound, ErrNotResendable), idempotency.Problems), s.postResend)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/mail/templates", "List the templates", rest.Admin), s.listTemplates)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/mail/templates/{kind}/preview", "Show a template with made-up content", rest.Admin,
		rest.Answers("text/html"), rest.Problems(ErrTemplateNotFound)), s.getPreview)
}

type figuresOutput struct {
	Body struct {
		Statuses map[string]int `json:"statuses" doc:"How many mails are in each status, counted up to 10,000"`
	}
}

func (s *service) getFigures(ctx context.Context, _ *struct{}) (*figuresOutput, error) {
	out := &figuresOutput{}
	var err error
	out.Body.Statuses, err = countMails(ctx, s.store.db)
	return out, err
}

// Logged is a mail as administrators see it.
type Logged struct {
	ID        uuid.UUID  `json:"id"`
	Kind      Kind       `json:"kind"`
	Status    Status     `json:"status" enum:"queued,sent,failed,skipped"`
	Sender    string     `json:"sender"`
	Recipient string     `json:"recipient"`
	Subject   string     `json:"subject"`
	Source    cause      `json:"source"`
	OrderID   *uuid.UUID `json:"order_id" format:"uuid" nullable:"true"`
	Tries     int        `json:"tries"`
	CutOff    int        `json:"cut_off" doc:"Tries whose end nobody saw: each may have brought the mail once more"`
	Error     string     `json:"error" doc:"Why it failed or was skipped, or what the last try met"`
	AgainOf   *uuid.UUID `json:"again_of" format:"uuid" nullable:"true" doc:"The mail that an administrator sent again"`
	CreatedAt time.Time  `json:"created_at"`
	NextTryAt *time.Time `json:"next_try_at" doc:"While it is queued"`
	SentAt    *time.Time `json:"sent_at"`
}

type cause struct {
	Event string `json:"event" doc:"The event's topic; empty for a mail whose event was lost, or that was sent again"`
	ID    string `json:"id" doc:"The event's id"`
}

func newLogged(m *Mail) Logged {
	l := Logged{
		ID: m.ID, Kind: m.Kind, Status: m.Status, Sender: m.Sender, Recipient: m.Recipient, Subject: m.Subject,
		Source: cause{m.Topic, m.EventID}, OrderID: m.OrderID, Tries: m.Tries, CutOff: m.CutOff, Error: m.Error,
		AgainOf: m.AgainOf, CreatedAt: m.CreatedAt, SentAt: m.SentAt,
	}
	if m.Status == Queued {
		l.NextTryAt = &m.NextTryAt
	}
	return l
}

// Schema is the kinds, all of them, in the service's OpenAPI document.
func (Kind) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, k := range Kinds {
		s.Enum = append(s.Enum, string(k))
	}
	return s
}

type listInput struct {
	rest.Page
	Status    Status `query:"status" enum:"queued,sent,failed,skipped"`
	Kind      Kind   `query:"kind"`
	Recipient string `query:"recipient" maxLength:"254" doc:"How the recipient's address begins"`
	OrderID   string `query:"order_id" format:"uuid"`
	Sort      string `query:"sort" enum:"newest,oldest,recipient,-recipient" default:"newest"`
}

type listOutput struct{ Body rest.List[Logged] }

func (s *service) listMails(ctx context.Context, in *listInput) (*listOutput, error) {
	f := filter{Status: in.Status, Kind: in.Kind, Recipient: in.Recipient}
	if in.OrderID != "" {
		id, err := uuid.Parse(in.OrderID)
		if err != nil {
			return nil, problem.InvalidField("query.order_id", problem.CodeWrongFormat, "is not an id")
		}
		f.Order = &id
	}
	mails, next, err := listMails(ctx, s.store.db, f, in.Sort, in.Page)
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: rest.List[Logged]{Items: []Logged{}, NextCursor: next}}
	for _, m := range mails {
		out.Body.Items = append(out.Body.Items, newLogged(&m))
	}
	return out, nil
}

type idInput struct {
	ID uuid.UUID `path:"id"`
}

type mailOutput struct {
	Body struct {
		Logged
		HTML *string `json:"html" doc:"What it shows; null for a mail with a code"`
		Text *string `json:"text" doc:"What it shows where HTML is not shown; null for a mail with a code"`
	}
}

func (s *service) getMail(ctx context.Context, in *idInput) (*mailOutput, error) {
	m, err := getMail(ctx, s.store.db, in.ID)
	if err != nil {
		return nil, err
	}
	out := &mailOutput{}
	out.Body.Logged = newLogged(m)
	if !m.Kind.Secret() {
		shown, err := s.render.Parts(m)
		if err != nil {
			return nil, err
		}
		out.Body.HTML, out.Body.Text = &shown.HTML, &shown.Text
	}
	return out, nil
}

type resendOutput struct{ Body Logged }

func (s *service) postResend(ctx context.Context, in *struct {
	ID  uuid.UUID `path:"id"`
	Key string    `header:"Idempotency-Key" doc:"Optional: the same key gives the same answer for a day, and no further mail"`
}) (*resendOutput, error) {
	out := &resendOutput{}
	if in.Key == "" {
		err := pg.InTx(ctx, s.store.db, func(tx pgx.Tx) error {
			again, err := s.resend(ctx, tx, in.ID)
			out = again
			return err
		})
		return out, err
	}
	answer, err := idempotency.Do(ctx, s.store.db, "resend", in.Key, in.ID, func(tx pgx.Tx) (int, any, error) {
		again, err := s.resend(ctx, tx, in.ID)
		if err != nil {
			return 0, nil, err
		}
		return http.StatusCreated, again.Body, nil
	})
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(answer.Body, &out.Body)
}

// resend queues a mail once more.
func (s *service) resend(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*resendOutput, error) {
	m, err := getMail(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	again, err := m.Again(s.now())
	if err != nil {
		return nil, err
	}
	again.Traceparent = trace.Of(ctx)
	out := &resendOutput{newLogged(again)} // before a sender has it
	_, err = s.queue(ctx, tx, again)
	return out, err
}

type templateItem struct {
	Kind    Kind   `json:"kind"`
	Subject string `json:"subject" doc:"With made-up content"`
}

type templatesOutput struct {
	Body struct {
		Items []templateItem `json:"items" nullable:"false"`
	}
}

func (s *service) listTemplates(context.Context, *struct{}) (*templatesOutput, error) {
	out := &templatesOutput{}
	for _, k := range Kinds {
		m, err := sampleMail(k)
		if err != nil {
			return nil, err
		}
		out.Body.Items = append(out.Body.Items, templateItem{k, m.Subject})
	}
	return out, nil
}

type previewInput struct {
	Kind string `path:"kind" maxLength:"40"`
}

type previewOutput struct {
	ContentType string `header:"Content-Type"`
	Policy      string `header:"Content-Security-Policy"`
	Body        []byte
}

func (s *service) getPreview(_ context.Context, in *previewInput) (*previewOutput, error) {
	m, err := sampleMail(Kind(in.Kind))
	if err != nil {
		return nil, err
	}
	html, err := s.render.HTML(m)
	if err != nil {
		return nil, err
	}
	return &previewOutput{
		ContentType: "text/html; charset=utf-8",
		Policy:      "default-src 'none'; img-src http: https:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
		Body:        html,
	}, nil
}
