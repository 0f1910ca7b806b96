package main

import (
	"fmt"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/money"
)

type payment struct {
	OrderID     uuid.UUID   `json:"order_id"`
	Number      string      `json:"number"`
	Email       string      `json:"email"`
	State       string      `json:"state"`
	Amount      money.Money `json:"amount"`
	Refunded    money.Money `json:"refunded"`
	Method      string      `json:"method"`
	Provider    string      `json:"provider"`
	ProviderRef string      `json:"provider_ref"`
	Reason      string      `json:"reason"`
	Tries       int         `json:"tries"`
	CreatedAt   time.Time   `json:"created_at"`
	CapturedAt  *time.Time  `json:"captured_at"`
	CancelledAt *time.Time  `json:"cancelled_at"`
}

type paymentDetail struct {
	payment
	Left     money.Money `json:"left"`
	Refunds  []refund    `json:"refunds"`
	Webhooks []struct {
		EventID    string    `json:"event_id"`
		Provider   string    `json:"provider"`
		Type       string    `json:"type"`
		ReceivedAt time.Time `json:"received_at"`
	} `json:"webhooks"`
}

type refund struct {
	Amount      money.Money `json:"amount"`
	State       string      `json:"state"`
	Reason      string      `json:"reason"`
	Error       string      `json:"error"`
	RequestedBy string      `json:"requested_by"`
	CreatedAt   time.Time   `json:"created_at"`
	EndedAt     *time.Time  `json:"ended_at"`
}

// Owed are the refunds that failed and that no later one has made good: people
// have to see to them.
func (p paymentDetail) Owed() (out []refund) {
	for _, r := range p.Refunds {
		if r.State == "failed" && p.Left.Amount > 0 {
			out = append(out, r)
		}
	}
	return out
}

// timeline is the payment's part of an order's.
func (p paymentDetail) timeline() []timelineEntry {
	out := []timelineEntry{{At: p.CreatedAt, Icon: "card", Text: "Payment of " + p.Amount.String() + " requested", Note: p.Provider + ", " + p.Method}}
	if p.CapturedAt != nil {
		out = append(out, timelineEntry{At: *p.CapturedAt, Icon: "card", Text: "Payment captured", Note: p.ProviderRef})
	}
	for _, w := range p.Webhooks {
		out = append(out, timelineEntry{At: w.ReceivedAt, Icon: "card", Text: "The provider wrote: " + w.Type, Note: w.EventID})
	}
	for _, r := range p.Refunds {
		c := timelineEntry{At: r.CreatedAt, Icon: "card", Text: "Refund of " + r.Amount.String() + " requested", Note: r.Reason}
		out = append(out, c)
		if r.EndedAt == nil {
			continue
		}
		c = timelineEntry{At: *r.EndedAt, Icon: "card", Text: "Refund of " + r.Amount.String() + " done"}
		if r.State == "failed" {
			c.Text, c.Note, c.Bad = "Refund of "+r.Amount.String()+" failed", r.Error, true
		}
		out = append(out, c)
	}
	return out
}

var paymentList = list[payment]{
	App: "payments", API: "/api/v1/admin/payments", At: "/admin/payments", Title: "Payments",
	Filters: []filter{
		{Name: "status", API: "state", Type: "tabs", Label: "Status", Options: []option{
			{Value: "", Label: "All"}, {Value: "captured", Label: "Captured"}, {Value: "failed", Label: "Failed"}, {Value: "requested", Label: "Requested"},
			{Value: "attempted", Label: "Under way"}, {Value: "unknown", Label: "Unknown"}, {Value: "voided", Label: "Voided"},
		}},
		{Name: "q", Type: "search", Label: "Order, e-mail or provider's id", Hint: "S-1A2B…, ann@… or pi_…"},
		{Name: "refund", Type: "select", Label: "Refunds", Options: []option{
			{Value: "", Label: "Any or none"}, {Value: "requested", Label: "Under way"}, {Value: "done", Label: "Done"}, {Value: "failed", Label: "Failed"},
		}},
	},
	Sorts: []option{
		{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}, {Value: "-amount", Label: "Greatest amount first"}, {Value: "amount", Label: "Smallest amount first"},
		{Value: "email", Label: "By customer"}, {Value: "-email", Label: "By customer, Z first"},
	},
	Columns: []column[payment]{
		{Name: "Order", Cell: func(p payment) cell { return cell{Kind: "code", Text: p.Number, Href: orderAt(p.OrderID)} }},
		{Name: "Requested", Up: "oldest", Down: "newest", Cell: func(p payment) cell { return moment(p.CreatedAt) }},
		{Name: "Customer", Class: "wide", Up: "email", Down: "-email", Cell: func(p payment) cell { return text(p.Email) }},
		{Name: "Status", Cell: func(p payment) cell { c := status(p.State); c.Note = p.Reason; return c }},
		{Name: "Provider", Cell: func(p payment) cell { return text(p.Provider) }},
		{Name: "Method", Hidden: true, Cell: func(p payment) cell { return text(p.Method) }},
		{Name: "Reference", Hidden: true, Cell: func(p payment) cell { return text(p.ProviderRef) }},
		{Name: "Tries", Class: "number", Cell: func(p payment) cell { return text(fmt.Sprint(p.Tries)) }},
		{Name: "Refunded", Class: "number", Cell: func(p payment) cell {
			if p.Refunded.IsZero() {
				return cell{}
			}
			return amount(p.Refunded)
		}},
		{Name: "Amount", Class: "number", Up: "amount", Down: "-amount", Cell: func(p payment) cell { return amount(p.Amount) }},
		{Name: "Currency", Hidden: true, Cell: func(p payment) cell { return text(p.Amount.Currency) }},
	},
	Empty: empty{Title: "No payments here", Text: "Each order brings one payment. Refunds are made from the order's page."},
}

func (s *service) paymentRoutes(r chi.Router) { paymentList.routes(s, r) }
