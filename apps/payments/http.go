package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

func (s *service) routes(api huma.API) {
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/payments/webhooks/{provider}", "Take a provider's webhook", rest.Anyone,
		rest.Describe("For payment providers. The body is signed in the header Stripe-Signature; an event that came before has no effect."),
		func(op *huma.Operation) { op.SkipValidateBody = true }, rest.Problems(problem.ErrNotFound, ErrWebhookRefused)), s.takeWebhook) // the provider's adapter reads it, once it is known to be the provider's
	rest.Handle(api, rest.Op(http.MethodPost, "/internal/charges/void", "Give up on charges", rest.Neighbours("orders")), s.voidCharges)
	rest.Handle(api, rest.Op(http.MethodGet, "/internal/refunds/made", "Tell what was given back", rest.Neighbours("orders", "mail")), s.listMadeRefunds)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/payments", "List payments", rest.Admin), s.listPayments)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/payments/figures", "Count payments", rest.Admin), s.getFigures)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/payments/{order_id}", "Read one payment", rest.Admin,
		rest.Problems(ErrPaymentNotFound)), s.getPayment)
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/admin/payments/{order_id}/refunds", "Refund a payment, all of it or some", rest.Admin,
		rest.Status(http.StatusCreated),
		rest.Problems(ErrPaymentNotFound, ErrNotCaptured, ErrRefundTooLarge), idempotency.Problems), s.postRefund)
}

type webhookInput struct {
	Provider  string `path:"provider" maxLength:"40"`
	Signature string `header:"Stripe-Signature" maxLength:"2000"`
	RawBody   []byte `contentType:"application/json"`
}

type webhookOutput struct {
	Body struct {
		Received bool `json:"received"`
	}
}

func (s *service) takeWebhook(ctx context.Context, in *webhookInput) (*webhookOutput, error) {
	provider, ok := s.providers[in.Provider]
	if !ok {
		return nil, problem.ErrNotFound.Detail("no such provider")
	}
	w, err := provider.Verify(in.Signature, in.RawBody, s.now())
	if err != nil {
		return nil, err
	}
	if err := s.webhook(ctx, in.Provider, w); err != nil {
		return nil, err
	}
	out := &webhookOutput{}
	out.Body.Received = true
	return out, nil
}

type orderInput struct {
	OrderID uuid.UUID `path:"order_id"`
}

type voidInput struct {
	Body struct {
		IDs []uuid.UUID `json:"ids" minItems:"1" maxItems:"200" nullable:"false"`
	}
}

type voidAnswer struct {
	OrderID uuid.UUID    `json:"order_id"`
	Status  State        `json:"status" enum:"captured,failed,voided,unknown"`
	Amount  *money.Money `json:"amount,omitempty" doc:"What was captured"`
	Reason  string       `json:"reason" doc:"Why it failed"`
}

type voidOutput struct {
	Body struct {
		Items []voidAnswer `json:"items" nullable:"false"`
	}
}

func (s *service) voidCharges(ctx context.Context, in *voidInput) (*voidOutput, error) {
	answers, err := s.void(ctx, in.Body.IDs)
	if err != nil {
		return nil, err
	}
	out := &voidOutput{}
	for _, id := range in.Body.IDs {
		a := answers[id]
		answer := voidAnswer{OrderID: id, Status: a.Status, Reason: a.Reason}
		if a.Status == Captured {
			answer.Amount = &a.Amount
		}
		out.Body.Items = append(out.Body.Items, answer)
	}
	return out, nil
}

type madeOutput struct {
	Body feed.Page[events.PaymentRefunded]
}

func (s *service) listMadeRefunds(ctx context.Context, in *feed.Ask) (*madeOutput, error) {
	rows, cursor, more, err := madeRefunds(ctx, s.store.db, *in)
	if err != nil {
		return nil, err
	}
	out := &madeOutput{feed.Page[events.PaymentRefunded]{Items: []events.PaymentRefunded{}, Cursor: cursor, More: more}}
	for _, r := range rows {
		in := func(minor int64) events.Money { return events.Money{Amount: minor, Currency: r.Currency} }
		out.Body.Items = append(out.Body.Items, events.PaymentRefunded{
			OrderID: r.OrderID, RefundID: r.ID, Number: r.Number, Email: r.Email, Amount: in(r.Amount), Refunded: in(r.Refunded),
			Captured: in(r.Captured), Reason: r.Reason, RefundedAt: r.EndedAt,
		})
	}
	return out, nil
}

// Payment is a charge as administrators see it.
type Payment struct {
	OrderID     uuid.UUID   `json:"order_id"`
	Number      string      `json:"number" doc:"The order's number"`
	Email       string      `json:"email"`
	State       State       `json:"state" enum:"requested,attempted,unknown,captured,failed,voided"`
	Reason      string      `json:"reason" doc:"Why it failed"`
	Amount      money.Money `json:"amount"`
	Captured    money.Money `json:"captured" doc:"What the provider took, also when that is not the amount"`
	Refunded    money.Money `json:"refunded" doc:"What was given back"`
	Method      string      `json:"method"`
	Provider    string      `json:"provider"`
	ProviderRef string      `json:"provider_ref" doc:"The provider's own id"`
	Tries       int         `json:"tries" doc:"How often the provider was called"`
	CreatedAt   time.Time   `json:"created_at"`
	CapturedAt  *time.Time  `json:"captured_at"`
	CancelledAt *time.Time  `json:"cancelled_at" doc:"When the order was cancelled"`
}

func newPayment(c *Charge, refunded money.Money) Payment {
	return Payment{
		OrderID: c.OrderID, Number: c.Number, Email: c.Email, State: c.State, Reason: c.Reason,
		Amount: c.Total(), Captured: c.Taken(), Refunded: refunded,
		Method: c.Method, Provider: c.Provider, ProviderRef: c.ProviderRef, Tries: c.Tries,
		CreatedAt: c.CreatedAt, CapturedAt: c.CapturedAt, CancelledAt: c.CancelledAt,
	}
}

type refund struct {
	ID          uuid.UUID   `json:"id"`
	OrderID     uuid.UUID   `json:"order_id"`
	Amount      money.Money `json:"amount"`
	Reason      string      `json:"reason"`
	State       RefundState `json:"state" enum:"requested,done,failed"`
	Error       string      `json:"error" doc:"Why it failed, or what the last try met"`
	Origin      Origin      `json:"origin" enum:"automatic,staff,provider" doc:"automatic: the order was cancelled, or the wrong amount was taken; provider: made in the provider's own pages"`
	RequestedBy *uuid.UUID  `json:"requested_by" format:"uuid" nullable:"true" doc:"The administrator; null when there was none"`
	CreatedAt   time.Time   `json:"created_at"`
	EndedAt     *time.Time  `json:"ended_at"`
}

func newRefund(c *Charge, r *Refund) refund {
	return refund{
		ID: r.ID, OrderID: r.OrderID, Amount: money.New(r.Amount, c.Taken().Currency), Reason: r.Reason, State: r.State, Error: r.Error,
		Origin: r.Origin, RequestedBy: r.RequestedBy, CreatedAt: r.CreatedAt, EndedAt: r.EndedAt,
	}
}

type listInput struct {
	rest.Page
	State  State       `query:"state" enum:"requested,attempted,unknown,captured,failed,voided"`
	Refund RefundState `query:"refund" enum:"requested,done,failed" doc:"Only payments with a refund in this state"`
	Query  string      `query:"q" maxLength:"254" doc:"How the order's number or the e-mail address begins, or the provider's own id"`
	Sort   string      `query:"sort" enum:"newest,oldest,amount,-amount,email,-email" default:"newest"`
}

type listOutput struct{ Body rest.List[Payment] }

func (s *service) listPayments(ctx context.Context, in *listInput) (*listOutput, error) {
	rows, next, err := listCharges(ctx, s.store.db, filter{State: in.State, Refund: in.Refund, Query: strings.TrimSpace(in.Query)}, in.Sort, in.Page)
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: rest.List[Payment]{Items: []Payment{}, NextCursor: next}}
	for _, r := range rows {
		out.Body.Items = append(out.Body.Items, newPayment(&r.Charge, money.New(r.Refunded, r.Taken().Currency)))
	}
	return out, nil
}

type figuresOutput struct {
	Body struct {
		States        map[string]int `json:"states" doc:"How many payments are in each state, counted up to 10,000"`
		FailedRefunds int            `json:"failed_refunds" doc:"Counted up to 10,000"`
	}
}

func (s *service) getFigures(ctx context.Context, _ *struct{}) (*figuresOutput, error) {
	out := &figuresOutput{}
	var err error
	out.Body.States, out.Body.FailedRefunds, err = countCharges(ctx, s.store.db)
	return out, err
}

type webhookSeen struct {
	Provider   string    `json:"provider"`
	EventID    string    `json:"event_id"`
	Type       string    `json:"type"`
	ReceivedAt time.Time `json:"received_at"`
}

type paymentDetail struct {
	Payment
	Left     money.Money   `json:"left" doc:"What can still be refunded"`
	Refunds  []refund      `json:"refunds" nullable:"false"`
	Webhooks []webhookSeen `json:"webhooks" nullable:"false" doc:"What the provider told on its own"`
}

type paymentOutput struct{ Body paymentDetail }

func (s *service) getPayment(ctx context.Context, in *orderInput) (*paymentOutput, error) {
	c, err := getCharge(ctx, s.store.db, in.OrderID)
	if err != nil {
		return nil, err
	}
	refunds, err := refundsOf(ctx, s.store.db, in.OrderID)
	if err != nil {
		return nil, err
	}
	keys := []string{in.OrderID.String()}
	left := Left(c, refunds)
	left.Amount = max(left.Amount, 0)
	detail := paymentDetail{
		Payment: newPayment(c, Returned(c, refunds)), Left: left, Refunds: []refund{}, Webhooks: []webhookSeen{},
	}
	for _, r := range refunds {
		keys = append(keys, r.Key)
		detail.Refunds = append(detail.Refunds, newRefund(c, &r))
	}
	seen, err := webhooksAbout(ctx, s.store.db, keys)
	if err != nil {
		return nil, err
	}
	for _, w := range seen {
		detail.Webhooks = append(detail.Webhooks, webhookSeen(w))
	}
	return &paymentOutput{detail}, nil
}

type refundInput struct {
	OrderID uuid.UUID `path:"order_id"`
	Key     string    `header:"Idempotency-Key"`
	Body    struct {
		Amount *money.Money `json:"amount,omitempty" doc:"All that is left when it is not given"`
		Reason string       `json:"reason" minLength:"1" maxLength:"200" pattern:"^[^\\x00-\\x1f\\x7f]*[^\\s\\x00-\\x1f\\x7f][^\\x00-\\x1f\\x7f]*$" patternDescription:"one line of text"`
	}
}

type refundOutput struct {
	Status int
	Body   refund
}

func (s *service) postRefund(ctx context.Context, in *refundInput) (*refundOutput, error) {
	admin := auth.Must(ctx).ID
	asked := struct {
		Order  uuid.UUID
		Amount *money.Money
		Reason string
	}{in.OrderID, in.Body.Amount, in.Body.Reason}
	answer, err := idempotency.Do(ctx, s.store.db, "refunds/"+admin.String(), in.Key, asked, func(tx pgx.Tx) (int, any, error) {
		c, r, err := s.refund(ctx, tx, in.OrderID, in.Body.Amount, in.Body.Reason, admin)
		if err != nil {
			return 0, nil, err
		}
		return http.StatusCreated, newRefund(c, r), nil
	})
	if err != nil {
		return nil, err
	}
	out := &refundOutput{Status: answer.Status}
	if err := json.Unmarshal(answer.Body, &out.Body); err != nil {
		return nil, fmt.Errorf("kept answer: %w", err)
	}
	return out, nil
}
