package main

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/kit/page"
)

// registerForm is the Data of the page "register".
type registerForm struct {
	Email, FirstName, LastName string
	Problem                    string
	Wrong                      map[string]string
}

func (s *service) getRegister(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	if shopperOf(r.Context()).session != nil {
		return page.Redirect("/account"), nil
	}
	if next := local(r.URL.Query().Get("next"), ""); next != "" {
		s.rememberReturn(w, next)
	}
	return page.Show("register", page.View{
		Title: "Create an account", Meta: s.private(r), Data: registerForm{Email: r.URL.Query().Get("email")},
	}), nil
}

func (s *service) postRegister(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	form := registerForm{Email: field(r, "email"), FirstName: field(r, "first_name"), LastName: field(r, "last_name")}
	in := map[string]string{"email": form.Email, "password": r.PostForm.Get("password"), "first_name": form.FirstName, "last_name": form.LastName}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/register", in, nil)
	if err == nil {
		s.keepRegistration(w, r, registration{form.Email, in["password"]})
		return page.Redirect("/verify?email=" + url.QueryEscape(form.Email)), nil
	}
	status := http.StatusUnprocessableEntity
	switch form.Wrong = fieldErrors(err); {
	case slugOf(err) == "email-taken":
		status = http.StatusConflict
		form.Problem = "taken"
	case slugOf(err) == "too-many-requests" || unavailable(err) || form.Wrong == nil:
		return nil, err
	}
	return page.Show("register", page.View{Status: status, Title: "Create an account", Meta: s.private(r), Data: form}), nil
}

// registration is what the browser that registered needs once more, when the code has come: the password goes with the
// code, so that it is the account's whoever registered the address since, and nobody types it again. It is sealed with
// the browser's cookie, for as long as a code is good.
type registration struct {
	Email    string `json:"email"`
	Password string `json:"password"`
}

const registrationLife = 30 * time.Minute // as that of auth's codes

// keepRegistration keeps a registration until the code comes. Without it the shopper types the password at the login.
func (s *service) keepRegistration(w http.ResponseWriter, r *http.Request, kept registration) {
	id := random()
	if s.sessions.keep(r.Context(), "registration", id, "", kept, registrationLife) == nil {
		s.setCookie(w, registrationCookie, "/verify", id, registrationLife)
	}
}

// registrationOf is the registration of an address in this browser; empty when there is none.
func (s *service) registrationOf(r *http.Request, email string) (id string, kept registration) {
	id = s.cookie(r, registrationCookie, "/verify")
	_, found, err := s.sessions.find(r.Context(), "registration", id, &kept)
	if err != nil || !found || !strings.EqualFold(kept.Email, email) {
		return id, registration{}
	}
	return id, kept
}

// logIn opens a session with a password that the shopper has just chosen. Errors: those of auth's login.
func (s *service) logIn(w http.ResponseWriter, r *http.Request, kept registration) error {
	t, err := s.tokens(r.Context(), "/api/v1/auth/login", kept)
	if err != nil {
		return err
	}
	caller, err := s.verifier.Verify(t.AccessToken)
	if err != nil {
		return err
	}
	return s.enter(w, r, caller, t, true)
}

// verifyForm is the Data of the page "verify".
type verifyForm struct {
	Email, Next string
	Problem     string
	Sent        bool // a new code is on its way
	Pending     bool // came here by a login
}

func (s *service) getVerify(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	q := r.URL.Query()
	form := verifyForm{Email: q.Get("email"), Sent: q.Has("sent")}
	return page.Show("verify", page.View{Title: "Confirm your e-mail address", Meta: s.private(r), Data: form}), nil
}

func (s *service) postVerify(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	form := verifyForm{Email: field(r, "email")}
	id, kept := s.registrationOf(r, form.Email)
	in := map[string]string{"email": form.Email, "code": digits(field(r, "code"))}
	if kept.Password != "" {
		in["password"] = kept.Password
	}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/verify-email", in, nil)
	switch {
	case err == nil:
		if kept.Password != "" {
			_ = s.sessions.drop(r.Context(), "registration", id)
			s.setCookie(w, registrationCookie, "/verify", "", 0)
			if s.logIn(w, r, kept) == nil {
				return page.Redirect("/login"), nil // which knows where to go on
			}
		}
		return page.Redirect("/login?hint=" + url.QueryEscape(form.Email)), nil
	case slugOf(err) == "code-invalid" || slugOf(err) == "invalid":
		form.Problem = "That code is wrong or too old. Look for the newest mail, or ask for another code."
		return page.Show("verify", page.View{
			Status: http.StatusBadRequest, Title: "Confirm your e-mail address", Meta: s.private(r), Data: form,
		}), nil
	}
	return nil, err
}

func (s *service) postVerifyCode(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	email := field(r, "email")
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/verify-email/code", map[string]string{"email": email}, nil)
	if slugOf(err) == "invalid" {
		form := verifyForm{Email: email, Problem: "Please write the e-mail address that you registered with."}
		return page.Show("verify", page.View{
			Status: http.StatusUnprocessableEntity, Title: "Confirm your e-mail address", Meta: s.private(r), Data: form,
		}), nil
	}
	if err != nil {
		return nil, err
	}
	return page.Redirect("/verify?sent&email=" + url.QueryEscape(email)), nil
}

// resetForm is the Data of the pages "forgot" and "reset".
type resetForm struct {
	Email   string
	Code    string
	Problem string
	Wrong   map[string]string
}

func (s *service) getForgot(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return page.Show("forgot", page.View{
		Title: "Forgotten your password?", Meta: s.private(r), Data: resetForm{Email: r.URL.Query().Get("email")},
	}), nil
}

func (s *service) postForgot(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	form := resetForm{Email: field(r, "email")}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/password/forgot", map[string]string{"email": form.Email}, nil)
	if form.Wrong = fieldErrors(err); form.Wrong != nil {
		return page.Show("forgot", page.View{
			Status: http.StatusUnprocessableEntity, Title: "Forgotten your password?", Meta: s.private(r), Data: form,
		}), nil
	}
	if err != nil {
		return nil, err
	}
	return page.Redirect("/password/reset?email=" + url.QueryEscape(form.Email)), nil
}

func (s *service) getReset(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	return page.Show("reset", page.View{
		Title: "Choose a new password", Meta: s.private(r), Data: resetForm{Email: r.URL.Query().Get("email")},
	}), nil
}

func (s *service) postReset(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	form := resetForm{Email: field(r, "email"), Code: digits(field(r, "code"))}
	in := map[string]string{"email": form.Email, "code": form.Code, "new_password": r.PostForm.Get("new_password")}
	err := s.call(r.Context(), "auth", http.MethodPost, "/api/v1/auth/password/reset", in, nil)
	if err == nil {
		// All sessions of the account end; this browser's, too.
		if n := shopperOf(r.Context()).session; n != nil {
			_ = s.sessions.end(r.Context(), n)
			s.setCookie(w, sessionCookie, "/", "", 0)
		}
		return page.Redirect("/login?hint=" + url.QueryEscape(form.Email)), nil
	}
	form.Wrong = fieldErrors(err)
	switch {
	case slugOf(err) == "code-invalid":
		form.Problem = "That code is wrong or too old. Look for the newest mail, or ask for another code."
	case form.Wrong == nil:
		return nil, err
	}
	return page.Show("reset", page.View{
		Status: http.StatusUnprocessableEntity, Title: "Choose a new password", Meta: s.private(r), Data: form,
	}), nil
}

// digits leaves out what people type between the digits of a code.
func digits(text string) string {
	var out []rune
	for _, r := range text {
		if r != ' ' && r != '-' && r != '\u00a0' {
			out = append(out, r)
		}
	}
	return string(out)
}
