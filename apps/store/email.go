package main

import (
	"net/http"
	"net/url"

	"github.com/stampede-shop/stampede/kit/page"
)

// emailForm is the Data of the pages "email" and "email-code".
type emailForm struct {
	Token   string
	Present string // the address that the account has
	Email   string // the one that it is to have
	Problem string
	Wrong   map[string]string
}

func (s *service) emailPage(r *http.Request, name string, form emailForm) page.Answer {
	f := s.private(r)
	form.Token, form.Present = f.Token, shopperOf(r.Context()).session.Email
	status := 0
	if form.Problem != "" || len(form.Wrong) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return page.Show(name, page.View{Status: status, Title: "Another e-mail address", Meta: f, Data: form})
}

// getEmail shows the form for another address.
func (s *service) getEmail(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return s.emailPage(r, "email", emailForm{}), nil
}

// postEmail has a code sent to another address.
func (s *service) postEmail(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	form := emailForm{Email: field(r, "email")}
	in := map[string]string{"email": form.Email, "password": r.PostForm.Get("password")}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/email/change", in, nil)
	if err == nil {
		return page.Redirect("/account/email/code?email=" + url.QueryEscape(form.Email)), nil
	}
	form.Wrong = fieldErrors(err)
	switch slugOf(err) {
	case "credentials-invalid":
		form.Wrong = map[string]string{"password": "That is not your password."}
	case "email-taken":
		form.Wrong = map[string]string{"email": "This address has an account of its own."}
	case "too-many-requests":
		form.Problem = "That was too often. Please wait a few minutes."
	default:
		if form.Wrong == nil {
			return nil, err
		}
	}
	return s.emailPage(r, "email", form), nil
}

// getEmailCode shows the form for the code.
func (s *service) getEmailCode(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return s.emailPage(r, "email-code", emailForm{Email: r.URL.Query().Get("email")}), nil
}

// postEmailCode changes the address with the code. The session goes on with new tokens, which name the new one.
func (s *service) postEmailCode(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	in := map[string]string{"code": digits(field(r, "code"))}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/email/verify", in, nil)
	if err == nil {
		if err := s.sessions.expire(r.Context(), shopperOf(r.Context()).session, s.now()); err != nil {
			return nil, err
		}
		return page.Redirect("/account?saved"), nil
	}
	form := emailForm{Email: field(r, "email")}
	switch slugOf(err) {
	case "code-invalid", "invalid":
		form.Problem = "That code is wrong or too old. Look for the newest mail, or ask for another code."
	case "email-taken":
		form.Problem = "By now this address has an account of its own."
	default:
		return nil, err
	}
	return s.emailPage(r, "email-code", form), nil
}
