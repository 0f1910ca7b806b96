package main

import (
	"net/http"
	"net/url"
	"slices"
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
	Phone       *string    `json:"phone"` // users
	Status      string     `json:"status"`
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

var customerList = list[customer]{
	App: "users", API: "/api/v1/admin/users", At: "/admin/customers", Title: "Customers",
	Filters: []filter{
		{Name: "status", Type: "tabs", Label: "Status", Options: []option{
			{Value: "", Label: "Everyone"}, {Value: "active", Label: "Active"}, {Value: "pending", Label: "Not verified"}, {Value: "suspended", Label: "Suspended"},
		}},
		{Name: "q", Type: "search", Label: "Name or e-mail", Hint: "Lovelace or ann@…"},
	},
	Sorts: []option{
		{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}, {Value: "name", Label: "By last name"}, {Value: "-name", Label: "By last name, Z first"},
		{Value: "email", Label: "By e-mail"}, {Value: "-email", Label: "By e-mail, Z first"},
	},
	Columns: []column[customer]{
		{Name: "Name", Class: "wide", Up: "name", Down: "-name", Cell: func(c customer) cell { return cell{Text: c.Name(), Href: customerAt(c.AccountID)} }},
		{Name: "E-mail", Class: "full", Up: "email", Down: "-email", Cell: func(c customer) cell { return text(c.Email) }},
		{Name: "Status", Cell: func(c customer) cell { return status(c.Status) }},
		{Name: "Phone", Hidden: true, Cell: func(c customer) cell {
			if c.Phone == nil {
				return cell{}
			}
			return text(*c.Phone)
		}},
		{Name: "Registered", Up: "oldest", Down: "newest", Cell: func(c customer) cell { return moment(c.CreatedAt) }},
		{Name: "Account", Hidden: true, Cell: func(c customer) cell { return text(c.AccountID.String()) }},
	},
	Acts:  []link{{Name: "Import", Href: "/admin/customers/import"}},
	Empty: empty{Title: "Nobody here", Text: "Who registers in the shop is listed."},
}

func (s *service) customerRoutes(r chi.Router) {
	customerList.routes(s, r)
	listRoutes(s, r, "/admin/customers/logins", s.loginList)
	s.importRoutes(r, customerImport)
	r.Get("/admin/customers/{id}", s.page(s.showCustomer))
	s.form(r, "/admin/customers/{id}/suspend", s.showSuspend, s.suspend)
	s.action(r, "/admin/customers/{id}/activate", s.activate)
}

// customerView is the Data of the page "customer".
type customerView struct {
	Account customer
	Profile part[customer]
	Orders  listView
	Logins  listView
	Self    bool // it is the caller
}

func loginsAt(id uuid.UUID) string { return "/admin/customers/logins?account=" + id.String() }

func accountAPI(id uuid.UUID) string { return "/api/v1/admin/auth/accounts/" + id.String() }

func loginsAPI(id uuid.UUID) string {
	return accountAPI(id) + "/login-history"
}

func loginsOf(c customer) list[login] {
	return list[login]{
		App: "auth", API: loginsAPI(c.AccountID), At: "/admin/customers/logins", Whole: loginsAt(c.AccountID), Title: "Logins of " + c.Name(),
		Filters: []filter{
			{Name: "account", Type: "hidden"},
			{Name: "outcome", Type: "select", Label: "Outcome", Options: []option{{Value: "", Label: "All"}, {Value: "success", Label: "Success"}, {Value: "failed", Label: "Failed"}}},
		},
		Sorts: []option{{Value: "newest", Label: "Newest first"}, {Value: "oldest", Label: "Oldest first"}},
		Columns: []column[login]{
			{Name: "When", Up: "oldest", Down: "newest", Cell: func(l login) cell { return moment(l.At) }},
			{Name: "Outcome", Cell: func(l login) cell { return status(l.Outcome) }},
			{Name: "Through", Cell: func(l login) cell { return text(l.Through) }},
			{Name: "Address", Cell: func(l login) cell { return cell{Kind: "code", Text: l.Address} }},
			{Name: "Browser", Class: "wide", Cell: func(l login) cell { return text(l.UserAgent) }},
		},
		Empty:  empty{Title: "Never logged in", Text: "Attempts to log in appear here, successful or not."},
		Crumbs: []crumb{{"Customers", "/admin/customers"}, {c.Name(), customerAt(c.AccountID)}},
	}
}

func (s *service) loginList(r *http.Request) (list[login], error) {
	id, err := uuid.Parse(r.URL.Query().Get("account"))
	if err != nil {
		return list[login]{}, problem.ErrNotFound
	}
	c, err := get[customer](r.Context(), s, "auth", accountAPI(id), nil)
	return loginsOf(c), err
}

func (s *service) account(r *http.Request) (customer, error) {
	id, err := id(r)
	if err != nil {
		return customer{}, err
	}
	return get[customer](r.Context(), s, "auth", accountAPI(id), nil)
}

func (s *service) showCustomer(r *http.Request) (page.Answer, error) {
	id, err := id(r)
	if err != nil {
		return nil, err
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
	load(&wait, &v.Profile, func() (customer, error) {
		return get[customer](ctx, s, "users", "/api/v1/admin/users/"+id.String(), nil)
	})
	load(&wait, &orders, func() (items[order], error) {
		return get[items[order]](ctx, s, "orders", "/api/v1/admin/orders", url.Values{"account_id": {id.String()}, "declined": {"false"}, "limit": {"20"}})
	})
	load(&wait, &seen, func() (items[login], error) {
		return get[items[login]](ctx, s, "auth", loginsAPI(id), url.Values{"limit": {"20"}})
	})
	wait.Wait()
	if account.Err != nil {
		return nil, account.Err
	}
	v.Account = account.Data
	v.Self = auth.Must(ctx).ID == id
	own := orderList
	own.Columns = slices.DeleteFunc(slices.Clone(orderColumns), func(c column[order]) bool { return c.Name == "Customer" })
	own.Empty = empty{Title: "No orders yet"}
	v.Orders = own.part(orders, "Orders")
	v.Logins = loginsOf(account.Data).part(seen, "Logins")
	return page.Show("customer", page.View{Title: v.Account.Name(), Data: v}), nil
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

func (s *service) showSuspend(r *http.Request) (page.Answer, error) {
	c, err := s.account(r)
	if err == nil && c.Status != "active" {
		err = errTooLate.Detail("The account is %s.", words(c.Status))
	}
	if err != nil {
		return nil, err
	}
	return suspendForm(c).show(), nil
}

func (s *service) suspend(r *http.Request) (page.Answer, error) {
	c, err := s.account(r)
	if err == nil && c.Status == "suspended" {
		return to(customerAt(c.AccountID), "was-suspended"), nil
	}
	if err != nil {
		return nil, err
	}
	reason := strings.TrimSpace(r.PostForm.Get("reason"))
	if reason == "" {
		return suspendForm(c).answer(r.PostForm, problem.InvalidField("body.reason", ownWords, "say why, so that your colleagues know"))
	}
	err = s.call(r.Context(), "auth", http.MethodPost, accountAPI(c.AccountID)+"/suspension", map[string]string{"reason": reason}, nil)
	if err != nil {
		return suspendForm(c).answer(r.PostForm, err)
	}
	return to(customerAt(c.AccountID), "suspended"), nil
}

func (s *service) activate(r *http.Request) (page.Answer, error) {
	id, err := id(r)
	if err != nil {
		return nil, err
	}
	if err := s.call(r.Context(), "auth", http.MethodDelete, accountAPI(id)+"/suspension", nil, nil); err != nil {
		return nil, err
	}
	return to(customerAt(id), "activated"), nil
}
