package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// profile is what users keeps of a shopper.
type profile struct {
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	Phone     string    `json:"phone"`
	Addresses []address `json:"addresses"`
}

func (s *service) profile(ctx context.Context) (profile, error) {
	return get[profile](ctx, s, "users", "/api/v1/users/me", nil)
}

// accountView is the Data of the account's pages.
type accountView struct {
	Profile profile
	Token   string
	Problem string
	Wrong   map[string]string
	Saved   bool

	// Of the page "addresses".
	Form      address
	Editing   bool
	Countries []country

	// Of the page "security".
	Logins []loginLine
	Away   bool
}

// loginLine is a line of the login history.
type loginLine struct {
	At        time.Time `json:"at"`
	Address   string    `json:"address"`
	UserAgent string    `json:"user_agent"`
	Outcome   string    `json:"outcome"`
	Through   string    `json:"through"`
}

// Browser is the user agent in words that people know.
func (l loginLine) Browser() string {
	agent := l.UserAgent
	if agent == "" && l.Through == "page" {
		return "The login page" // Keycloak does not keep the browser
	}
	name := "Unknown browser"
	for _, b := range [][2]string{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if strings.Contains(agent, b[0]) {
			name = b[1]
			break
		}
	}
	for _, o := range [][2]string{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "Mac"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, o[0]) {
			return name + " on " + o[1]
		}
	}
	return name
}

func (s *service) accountPage(w http.ResponseWriter, r *http.Request, name, title string, v accountView) (page.Answer, error) {
	f := s.private(r)
	v.Token = f.Token
	v.Saved = r.Method == http.MethodGet && r.URL.Query().Has("saved")
	status := 0
	if v.Problem != "" || len(v.Wrong) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return page.Show(name, page.View{Status: status, Title: title, Meta: f, Data: v}), nil
}

// getAccount shows the profile.
func (s *service) getAccount(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	p, err := s.profile(r.Context())
	if err != nil {
		return nil, err
	}
	return s.accountPage(w, r, "account", "Your account", accountView{Profile: p})
}

func (s *service) postProfile(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	in := map[string]string{"first_name": field(r, "first_name"), "last_name": field(r, "last_name"), "phone": field(r, "phone")}
	err := s.call(r.Context(), "users", http.MethodPatch, "/api/v1/users/me", in, nil)
	if err == nil {
		return page.Redirect("/account?saved"), nil
	}
	v := accountView{Wrong: fieldErrors(err)}
	if v.Wrong == nil {
		return nil, err
	}
	if v.Profile, err = s.profile(r.Context()); err != nil {
		return nil, err
	}
	v.Profile.FirstName, v.Profile.LastName, v.Profile.Phone = in["first_name"], in["last_name"], in["phone"]
	return s.accountPage(w, r, "account", "Your account", v)
}

// getAddresses shows the address book, and a form for another address.
func (s *service) getAddresses(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	v := accountView{}
	v.Form.Country = s.settings.Country
	return s.addressPage(w, r, v)
}

func (s *service) addressPage(w http.ResponseWriter, r *http.Request, v accountView) (page.Answer, error) {
	p, err := s.profile(r.Context())
	if err != nil {
		return nil, err
	}
	v.Profile, v.Countries = p, s.countries()
	if v.Form.Name == "" && len(v.Wrong) == 0 {
		v.Form.Name = strings.TrimSpace(p.FirstName + " " + p.LastName)
	}
	return s.accountPage(w, r, "addresses", "Addresses", v)
}

// addressFields are the fields of an address for another country, as a part of a page.
func (s *service) addressFields(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	a := readAddress(r)
	a.Region = "" // another country's
	return page.Part("address-fields", 0, addressFields{Address: a, Countries: s.countries(), Chosen: r.PostForm.Has("address_id")}), nil
}

func (s *service) postAddress(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return s.saveAddress(w, r, http.MethodPost, "/api/v1/users/me/addresses", readAddress(r))
}

// getAddress shows the form with one of the addresses in it.
func (s *service) getAddress(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	p, err := s.profile(r.Context())
	if err != nil {
		return nil, err
	}
	for _, a := range p.Addresses {
		if a.ID == chi.URLParam(r, "id") {
			return s.addressPage(w, r, accountView{Form: a, Editing: true})
		}
	}
	return nil, problem.ErrNotFound.Detail("This address is not in your address book.")
}

func (s *service) putAddress(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	a := readAddress(r)
	a.ID = chi.URLParam(r, "id")
	return s.saveAddress(w, r, http.MethodPut, "/api/v1/users/me/addresses/"+url.PathEscape(a.ID), a)
}

func (s *service) saveAddress(w http.ResponseWriter, r *http.Request, method, path string, a address) (page.Answer, error) {
	v := accountView{Form: a, Editing: a.ID != "", Wrong: a.wrong()}
	if len(v.Wrong) > 0 {
		return s.addressPage(w, r, v)
	}
	a.ID = ""
	err := s.call(r.Context(), "users", method, path, a, nil)
	if err == nil {
		return page.Redirect("/account/addresses?saved"), nil
	}
	switch v.Wrong = fieldErrors(err); {
	case slugOf(err) == "limit-reached":
		v.Problem = "The address book is full. Remove an address first."
	case v.Wrong == nil:
		return nil, err
	}
	return s.addressPage(w, r, v)
}

func (s *service) deleteAddress(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	err := s.call(r.Context(), "users", http.MethodDelete, "/api/v1/users/me/addresses/"+url.PathEscape(chi.URLParam(r, "id")), nil, nil)
	if err != nil && slugOf(err) != "address-not-found" { // another tab was faster
		return nil, err
	}
	return page.Redirect("/account/addresses?saved"), nil
}

// getSecurity shows the login history, and a form for another password.
func (s *service) getSecurity(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return s.securityPage(w, r, accountView{})
}

func (s *service) securityPage(w http.ResponseWriter, r *http.Request, v accountView) (page.Answer, error) {
	out, err := get[items[loginLine]](r.Context(), s, "auth", "/api/v1/auth/login-history", url.Values{"limit": {"20"}})
	if err != nil {
		if !unavailable(err) {
			return nil, err
		}
		v.Away = true
	}
	v.Logins = out.Items
	v.Profile.Email = shopperOf(r.Context()).session.Email
	return s.accountPage(w, r, "security", "Password and logins", v)
}

func (s *service) postPassword(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	in := map[string]string{"password": r.PostForm.Get("password"), "new_password": r.PostForm.Get("new_password")}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/password/change", in, nil)
	if err == nil {
		return page.Redirect("/account/security?saved"), nil
	}
	v := accountView{Wrong: fieldErrors(err)}
	switch slugOf(err) {
	case "credentials-invalid":
		v.Wrong = map[string]string{"password": "That is not your present password."}
	case "too-many-requests":
		v.Problem = "That was wrong too often. Please wait a few minutes."
	default:
		if v.Wrong == nil {
			return nil, err
		}
	}
	return s.securityPage(w, r, v)
}
