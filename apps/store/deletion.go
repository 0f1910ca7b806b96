package main

import (
	"net/http"

	"github.com/stampede-shop/stampede/kit/page"
)

// deletionForm is the Data of the page "deletion".
type deletionForm struct {
	Token   string
	Email   string
	Problem string
	Wrong   map[string]string
}

func (s *service) deletionPage(r *http.Request, form deletionForm) page.Answer {
	f := s.private(r)
	form.Token, form.Email = f.Token, shopperOf(r.Context()).session.Email
	status := 0
	if form.Problem != "" || len(form.Wrong) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return page.Show("deletion", page.View{Status: status, Title: "Delete your account", Meta: f, Data: form})
}

// getDeletion tells what goes with an account and what stays.
func (s *service) getDeletion(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return s.deletionPage(r, deletionForm{}), nil
}

// postDeletion deletes the account.
func (s *service) postDeletion(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	in := map[string]string{"password": r.PostForm.Get("password")}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/deletion", in, nil)
	if err == nil {
		_ = s.sessions.end(r.Context(), shopperOf(r.Context()).session) // the event ends it otherwise
		s.setCookie(w, sessionCookie, "/", "", 0)
		return page.Redirect("/account-deleted"), nil
	}
	form := deletionForm{Wrong: fieldErrors(err)}
	switch slugOf(err) {
	case "credentials-invalid":
		form.Wrong = map[string]string{"password": "That is not your password."}
	case "too-many-requests":
		form.Problem = "That was wrong too often. Please wait a few minutes."
	default:
		if form.Wrong == nil {
			return nil, err
		}
	}
	return s.deletionPage(r, form), nil
}

// getDeleted is shown to who has deleted the account.
func (s *service) getDeleted(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return page.Show("deleted", page.View{Title: "Your account is deleted", Meta: s.private(r)}), nil
}
