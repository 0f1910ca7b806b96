package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// customer is an account as auth knows it, or a profile as users knows it.
type customer struct {
	AccountID   uuid.UUID  `json:"account_id"`
	Email       string     `json:"email"`
	FirstName   string     `json:"first_name"`
	LastName    string     `json:"last_name"`
	Phone       *string    `json:"phone"`     // users
	Suspended   bool       `json:"suspended"` // users
	Status      string     `json:"status"`    // auth
	CreatedAt   time.Time  `json:"created_at"`
	ActivatedAt *time.Time `json:"activated_at"`
	Suspension  *struct {
		At     time.Time `json:"at"`
		Reason string    `json:"reason"`
	} `json:"suspension"`
	Addresses []struct {
		Name       string `json:"name"`
		Line1      string `json:"line1"`
		Line2      string `json:"line2"`
		City       string `json:"city"`
		PostalCode string `json:"postal_code"`
		Country    string `json:"country"`
	} `json:"addresses"`
}

// Name is what to call them.
func (c customer) Name() string {
	if name := strings.TrimSpace(c.FirstName + " " + c.LastName); name != "" {
		return name
	}
	return c.Email
}

func customerAt(id uuid.UUID) string { return "/admin/customers/" + id.String() }

type login struct {
	At        time.Time `json:"at"`
	Address   string    `json:"address"`
	UserAgent string    `json:"user_agent"`
	Outcome   string    `json:"outcome"`
	Through   string    `json:"through"`
}

// customerList lists accounts, newest first. A search without a status asks
// users instead, which finds parts of names and addresses.
func customerList(r *http.Request) list[customer] {
	l := list[customer]{
		App: "auth", API: "/api/v1/admin/auth/accounts", At: "/admin/customers", Title: "Customers",
		Filters: []filter{
			{Name: "status", Type: "tabs", Label: "Status", Options: []option{
				{Value: "", Label: "Everyone"}, {Value: "active", Label: "Active"}, {Value: "pending", Label: "Not verified"}, {Value: "suspended", Label: "Suspended"},
			}},
			{Name: "q", API: "email", Type: "search", Label: "Name or e-mail", Hint: "Lovelace or ann@…"},
		},
		Columns: []column[customer]{
			{Name: "Name", Class: "wide", Cell: func(c customer) cell { return cell{Text: c.Name(), Href: customerAt(c.AccountID)} }},
			{Name: "E-mail", Cell: func(c customer) cell { return text(c.Email) }},
			{Name: "Status", Cell: func(c customer) cell {
				if c.Status == "" && c.Suspended {
					return status("suspended")
				}
				return status(c.Status)
			}},
			{Name: "Registered", Cell: func(c customer) cell { return moment(c.CreatedAt) }},
			{Name: "Account", Hidden: true, Cell: func(c customer) cell { return text(c.AccountID.String()) }},
		},
		Empty: empty{Title: "Nobody here", Text: "Try a part of the name or of the e-mail address, without a status."},
	}
	q := r.URL.Query()
	switch {
	case q.Get("q") != "" && q.Get("status") == "":
		l.App, l.API, l.Filters[1].API = "users", "/api/v1/admin/users", ""
		l.Columns[3] = column[customer]{Name: "Phone", Cell: func(c customer) cell {
			if c.Phone == nil {
				return cell{}
			}
			return text(*c.Phone)
		}}
	case q.Get("status") != "":
		l.Filters[1].Label, l.Filters[1].Hint = "E-mail begins with", "ann@…"
	}
	return l
}

func (s *service) customerRoutes(r chi.Router) {
	r.Get("/admin/customers", s.shown(func(r *http.Request) (string, page.View, error) {
		l := customerList(r)
		v, status, err := l.view(s, r)
		return "list", page.View{Title: l.Title, Status: status, Data: v}, err
	}))
	r.Get("/admin/customers.csv", func(w http.ResponseWriter, r *http.Request) { customerList(r).file(s, w, r) })
	r.Get("/admin/customers/{id}", s.shown(s.showCustomer))
	s.form(r, "/admin/customers/{id}/suspend", s.showSuspend, s.suspend)
	s.press(r, "/admin/customers/{id}/activate", s.activate)
}

// customerView is the Data of the page "customer".
type customerView struct {
	Account customer
	Profile part[customer]
	Orders  listView
	Logins  listView
	Self    bool // it is the caller
}

var logins = list[login]{
	Columns: []column[login]{
		{Name: "When", Cell: func(l login) cell { return moment(l.At) }},
		{Name: "Outcome", Cell: func(l login) cell { return status(l.Outcome) }},
		{Name: "Through", Cell: func(l login) cell { return text(l.Through) }},
		{Name: "Address", Cell: func(l login) cell { return cell{Kind: "code", Text: l.Address} }},
		{Name: "Browser", Class: "wide", Cell: func(l login) cell { return text(l.UserAgent) }},
	},
	Empty: empty{Title: "Never logged in", Text: "Attempts to log in appear here, successful or not."},
}

func (s *service) account(r *http.Request) (customer, error) {
	id, err := id(r)
	if err != nil {
		return customer{}, err
	}
	return get[customer](r.Context(), s, "auth", "/api/v1/admin/auth/accounts/"+id.String())
}

func (s *service) showCustomer(r *http.Request) (string, page.View, error) {
	id, err := id(r)
	if err != nil {
		return "", page.View{}, err
	}
	var (
		v       customerView
		account part[customer]
		orders  part[items[order]]
		seen    part[items[login]]
		wait    sync.WaitGroup
		ctx     = r.Context()
	)
	load(&wait, &account, func() (customer, error) { return s.account(r) })
	load(&wait, &v.Profile, func() (customer, error) { return get[customer](ctx, s, "users", "/api/v1/admin/users/"+id.String()) })
	load(&wait, &orders, func() (items[order], error) {
		return get[items[order]](ctx, s, "orders", "/api/v1/admin/orders", url.Values{"account_id": {id.String()}, "limit": {"20"}})
	})
	load(&wait, &seen, func() (items[login], error) {
		return get[items[login]](ctx, s, "auth", "/api/v1/admin/auth/accounts/"+id.String()+"/login-history", url.Values{"limit": {"20"}})
	})
	wait.Wait()
	if account.Err != nil {
		return "", page.View{}, account.Err
	}
	v.Account = account.Data
	v.Self = auth.Must(ctx).ID == id
	own := orderList
	own.Columns = orderColumns
	own.Empty = empty{Title: "No orders yet"}
	v.Orders = own.part(orders, "Orders")
	v.Logins = logins.part(seen, "Logins")
	return "customer", page.View{Title: v.Account.Name(), Data: v}, nil
}

func suspendForm(c customer) form {
	f := form{
		Heading: "Suspend " + c.Name() + "?", Danger: true, Button: "Suspend", Action: customerAt(c.AccountID) + "/suspend",
		Back: customerAt(c.AccountID), BackTo: "Do not suspend", Crumbs: []crumb{{"Customers", "/admin/customers"}, {c.Name(), customerAt(c.AccountID)}},
		Text: []string{
			"All sessions end at once. The account can neither log in nor order until it is activated again; orders already placed go on.",
			"If it is staff, it loses the role ADMIN for good.",
		},
		Facts:  []fact{{"E-mail", c.Email}},
		Fields: []field{{Name: "reason", Label: "Reason", Type: "textarea", Max: 500, Required: true, Hint: "For your colleagues. The customer does not see it."}},
	}
	return f
}

func (s *service) showSuspend(r *http.Request) (string, page.View, error) {
	c, err := s.account(r)
	if err != nil {
		return "", page.View{}, err
	}
	return suspendForm(c).show()
}

func (s *service) suspend(r *http.Request) (string, string, page.View, error) {
	c, err := s.account(r)
	if err != nil {
		return failed(err)
	}
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	if reason == "" {
		return suspendForm(c).answer(r.PostForm, problem.Invalid422("body.reason", "say why, so that your colleagues know"))
	}
	err = s.act(r.Context(), "auth", http.MethodPost, "/api/v1/admin/auth/accounts/"+c.AccountID.String()+"/suspension", map[string]string{"reason": reason})
	if err != nil {
		return suspendForm(c).answer(r.PostForm, err)
	}
	return to(customerAt(c.AccountID), "suspended")
}

func (s *service) activate(r *http.Request) (string, string, page.View, error) {
	id, err := id(r)
	if err != nil {
		return failed(err)
	}
	if err := s.act(r.Context(), "auth", http.MethodDelete, "/api/v1/admin/auth/accounts/"+id.String()+"/suspension", nil); err != nil {
		return failed(err)
	}
	return to(customerAt(id), "activated")
}
