package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// loginLife is how long a login may take on Keycloak's page.
const loginLife = 30 * time.Minute

// login is a login that has begun: what the callback needs to end it. It is
// sealed with its state and with the browser's cookie, so that neither another
// browser nor another login can use it.
type login struct {
	Verifier string `json:"verifier"` // PKCE, RFC 7636
	Nonce    string `json:"nonce"`
	Next     string `json:"next"`
}

// local returns an address of our own that a parameter names, or fallback:
// whatever leads elsewhere, or back into the login, is not followed.
func local(next, fallback string) string {
	if len(next) > 1_000 || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\t\r\n") {
		return fallback
	}
	u, err := url.Parse(next)
	if err != nil || u.Host != "" || u.Scheme != "" || u.Opaque != "" || strings.HasPrefix(u.Path, "//") {
		return fallback
	}
	for _, closed := range []string{"/login", "/logout", "/my/", "/realms", "/api"} {
		if strings.HasPrefix(u.Path, closed) {
			return fallback
		}
	}
	return u.RequestURI()
}

// loginURL is where a shopper logs in who wants to get to next.
func loginURL(next string) string { return "/login?next=" + url.QueryEscape(next) }

// getLogin sends the browser to Keycloak's page.
func (s *service) getLogin(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	next := local(r.URL.Query().Get("next"), s.returnTo(r))
	who := shopperOf(r.Context())
	if who.failed != nil {
		return nil, who.failed
	}
	if who.session != nil {
		return page.Redirect(next), nil
	}
	browser := s.cookie(r, browserCookie, "/login")
	if len(browser) != len(random()) {
		browser = random()
	}
	state, l := random(), login{Verifier: oauth2.GenerateVerifier(), Nonce: random(), Next: next}
	if err := s.sessions.keep(r.Context(), "login", state+browser, "", l, loginLife); err != nil {
		return nil, err
	}
	s.setCookie(w, browserCookie, "/login", browser, loginLife)
	s.rememberReturn(w, next)
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(l.Verifier), oauth2.SetAuthURLParam("nonce", l.Nonce)}
	if hint := r.URL.Query().Get("hint"); hint != "" && len(hint) < 255 {
		options = append(options, oauth2.SetAuthURLParam("login_hint", hint))
	}
	return page.Redirect(s.oauth.AuthCodeURL(state, options...)), nil
}

// getCallback is where Keycloak sends the browser back to.
func (s *service) getCallback(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx, q := r.Context(), r.URL.Query()
	fail := func(next string) (page.Answer, error) {
		return page.Show("retry", page.View{
			Status: http.StatusBadRequest, Title: "Let’s try that again", Meta: s.private(r), Data: loginURL(next),
		}), nil
	}
	state, browser := q.Get("state"), s.cookie(r, browserCookie, "/login")
	var l login
	_, found, err := s.sessions.find(ctx, "login", state+browser, &l)
	if err != nil {
		return nil, err
	}
	if !found {
		// Used already (the back button), too old, or begun by another browser.
		if shopperOf(ctx).session != nil {
			return page.Redirect("/account"), nil
		}
		return fail("/account")
	}
	if err := s.sessions.drop(ctx, "login", state+browser); err != nil { // once only
		return nil, problem.ErrUnavailable.Because(err)
	}
	if q.Get("error") != "" || q.Get("code") == "" {
		return fail(l.Next)
	}
	exchange, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tokens, err := s.oauth.Exchange(s.asClient(exchange), q.Get("code"), oauth2.VerifierOption(l.Verifier))
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == "invalid_grant":
		return fail(l.Next)
	case err != nil:
		return nil, problem.ErrUnavailable.Because(err)
	}
	identity := identityOf(tokens)
	if identity.Nonce != l.Nonce {
		return fail(l.Next)
	}
	caller, err := s.verifier.Verify(tokens.AccessToken)
	if errors.Is(err, auth.ErrNoKeys) {
		return nil, problem.ErrUnavailable.Because(err)
	}
	if err != nil {
		return nil, err
	}
	if !caller.Has(auth.RoleUser) && !caller.Has(auth.RoleAdmin) {
		// The password was right, but the account is not open (yet).
		s.endAtKeycloak(ctx, &session{Refresh: tokens.RefreshToken})
		if identity.Verified {
			return page.Show("suspended", page.View{Status: http.StatusForbidden, Title: "Your account is suspended", Meta: s.private(r)}), nil
		}
		return page.Show("verify", page.View{
			Status: http.StatusForbidden, Title: "Confirm your e-mail address", Meta: s.private(r),
			Data: verifyForm{Email: caller.Email, Next: l.Next, Pending: true},
		}), nil
	}
	if err := s.enter(w, r, caller, tokens, false); err != nil {
		return nil, err
	}
	s.setCookie(w, returnCookie, "/login", "", 0)
	return page.Redirect(l.Next), nil
}

// enter opens a session for who has logged in, in place of the browser's last one, and brings the guest's cart along.
// direct: the tokens came from auth, not from Keycloak's page.
func (s *service) enter(w http.ResponseWriter, r *http.Request, caller auth.Caller, tokens *oauth2.Token, direct bool) error {
	ctx := r.Context()
	if old := shopperOf(ctx).session; old != nil {
		_ = s.sessions.end(ctx, old)
	}
	n, err := s.sessions.begin(ctx, session{
		Account: caller.ID, Email: caller.Email, FirstName: caller.FirstName,
		Access: tokens.AccessToken, Refresh: tokens.RefreshToken, AccessEnds: tokens.Expiry.UTC(), Begun: s.now(), Direct: direct,
	})
	if err != nil {
		return err
	}
	s.setCookie(w, sessionCookie, "/", n.id, sessionIdle)
	who := &shopper{session: n, guest: shopperOf(ctx).guest}
	s.merge(withShopper(ctx, who), w, who)
	return nil
}

// identity is what the ID token says besides the access token.
type identity struct {
	Nonce    string `json:"nonce"`
	Verified bool   `json:"email_verified"`
}

// identityOf reads the ID token, which came straight from Keycloak.
func identityOf(tokens *oauth2.Token) (claims identity) {
	text, _ := tokens.Extra("id_token").(string)
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return claims
	}
	if body, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
		_ = json.Unmarshal(body, &claims)
	}
	return claims
}

// returnTo is where a shopper wanted to go who was sent to log in before, and
// came by way of other pages, such as the registration.
func (s *service) returnTo(r *http.Request) string {
	text, _ := base64.RawURLEncoding.DecodeString(s.cookie(r, returnCookie, "/login"))
	return local(string(text), "/account")
}

func (s *service) rememberReturn(w http.ResponseWriter, next string) {
	s.setCookie(w, returnCookie, "/login", base64.RawURLEncoding.EncodeToString([]byte(next)), time.Hour)
}

// postLogout ends the session here and at Keycloak.
func (s *service) postLogout(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	if n := shopperOf(r.Context()).session; n != nil {
		if err := s.sessions.end(r.Context(), n); err != nil {
			return nil, problem.ErrUnavailable.Because(err)
		}
		s.endAtKeycloak(r.Context(), n)
	}
	s.setCookie(w, sessionCookie, "/", "", 0)
	return page.Redirect("/?goodbye"), nil
}

// asClient has what is asked of Keycloak asked as the storefront's client.
func (s *service) asClient(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, s.identity)
}

// endAtKeycloak ends a session's tokens, so that the next login asks for the
// password. When Keycloak is away they end by themselves.
func (s *service) endAtKeycloak(ctx context.Context, n *session) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if n.Direct {
		_ = s.call(asNobody(ctx), "auth", http.MethodPost, "/api/v1/auth/logout", map[string]string{"refresh_token": n.Refresh}, nil)
		return
	}
	form := url.Values{"refresh_token": {n.Refresh}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.keycloak+"/protocol/openid-connect/logout", strings.NewReader(form.Encode()))
	if err != nil {
		return
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(s.oauth.ClientID, url.QueryEscape(s.oauth.ClientSecret))
	if res, err := s.identity.Do(req); err == nil {
		_ = res.Body.Close()
	}
}
