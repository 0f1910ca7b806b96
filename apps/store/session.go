package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
)

const (
	sessionIdle = 7 * 24 * time.Hour  // as Keycloak's: every renewal of the tokens starts it anew
	sessionLife = 30 * 24 * time.Hour // as Keycloak's
	cartLife    = 30 * 24 * time.Hour // as the carts'
	renewBefore = 30 * time.Second    // of the access token's end
	renewLife   = 10 * time.Second    // how long a renewal may take; longer than any request for it
	renewEvery  = 50 * time.Millisecond
)

// session is a shopper who has logged in. The cookie is its id; what is kept
// under the id's hash is sealed with a key made of the id. So who can read the
// state store can neither take a session over nor read a token.
type session struct {
	id   string
	etag string

	Account    uuid.UUID `json:"account"`
	Email      string    `json:"email"`
	FirstName  string    `json:"first_name"`
	Access     string    `json:"access"`
	Refresh    string    `json:"refresh"`
	AccessEnds time.Time `json:"access_ends"`
	Begun      time.Time `json:"begun"`
	Renewing   time.Time `json:"renewing,omitzero"` // until then a request renews the tokens
	Direct     bool      `json:"direct,omitempty"`  // auth gave the tokens, for a password, and not Keycloak's page
}

// token is what a form of this session carries.
func (s *session) token() string { return page.FormToken(s.id) }

// random returns a new id that nobody can guess.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// keyOf is where something is kept that a browser knows by an id.
func keyOf(kind, id string) string {
	sum := sha256.Sum256([]byte(id))
	return kind + ":" + hex.EncodeToString(sum[:])
}

func sealer(id string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(id), nil, "stampede store", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal makes a JSON string of v that only who has the id can read.
func seal(id string, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	aead, err := sealer(id)
	if err != nil {
		return nil, err
	}
	return json.Marshal(aead.Seal(nil, nil, plain, nil))
}

// unseal reads what seal made.
func unseal(id string, data []byte, v any) error {
	var sealed []byte
	if err := json.Unmarshal(data, &sealed); err != nil {
		return err
	}
	aead, err := sealer(id)
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

// sessions keeps what belongs to one browser in Dapr's state.
type sessions struct{ dapr *dapr.Client }

// keep saves v for the browser that has the id.
func (s sessions) keep(ctx context.Context, kind, id, etag string, v any, life time.Duration) error {
	data, err := seal(id, v)
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if err := s.dapr.SaveState(ctx, serve.State, keyOf(kind, id), data, etag, life); err != nil {
		if errors.Is(err, dapr.ErrConflict) {
			return err
		}
		return problem.ErrUnavailable.Because(err)
	}
	return nil
}

// find reads into v; found is false when there is nothing (any more), or
// nothing that the id opens.
func (s sessions) find(ctx context.Context, kind, id string, v any) (etag string, found bool, err error) {
	if len(id) < 20 || len(id) > 100 {
		return "", false, nil
	}
	data, etag, err := s.dapr.GetState(ctx, serve.State, keyOf(kind, id))
	if err != nil {
		return "", false, problem.ErrUnavailable.Because(err)
	}
	if data == nil || unseal(id, data, v) != nil {
		//lint:ignore nilerr what cannot be read, under another key, is no session
		return "", false, nil
	}
	return etag, true, nil
}

func (s sessions) drop(ctx context.Context, kind, id string) error {
	return s.dapr.DeleteState(ctx, serve.State, keyOf(kind, id), "")
}

// begin opens a session under a new id.
func (s sessions) begin(ctx context.Context, n session) (*session, error) {
	n.id = random()
	if err := s.keep(ctx, "session", n.id, "", n, sessionIdle); err != nil {
		return nil, err
	}
	return &n, s.note(ctx, n.Account, func(keys []string) []string { return append(keys, keyOf("session", n.id)) })
}

// end closes a session.
func (s sessions) end(ctx context.Context, n *session) error {
	if err := s.bury(ctx, keyOf("session", n.id)); err != nil {
		return err
	}
	return s.note(ctx, n.Account, func(keys []string) []string {
		return slices.DeleteFunc(keys, func(k string) bool { return k == keyOf("session", n.id) })
	})
}

// expire has the next request of a session renew its tokens, because what they tell has changed.
func (s sessions) expire(ctx context.Context, n *session, now time.Time) error {
	n.AccessEnds = now
	err := s.keep(ctx, "session", n.id, n.etag, n, sessionIdle)
	if errors.Is(err, dapr.ErrConflict) { // another request is renewing them, or has
		return nil
	}
	return err
}

// bury puts something in the place of a session that is no session, for as long as a request may still be renewing its
// tokens: what that saves afterwards is of another etag. Over nothing at all a state store takes any etag.
func (s sessions) bury(ctx context.Context, key string) error {
	for range 5 {
		there, etag, err := s.dapr.GetState(ctx, serve.State, key)
		if err != nil || there == nil {
			return err
		}
		err = s.dapr.SaveState(ctx, serve.State, key, []byte(`""`), etag, 2*renewLife)
		if !errors.Is(err, dapr.ErrConflict) {
			return err
		}
	}
	return dapr.ErrConflict
}

// maxNoted bounds the list of an account's sessions; the oldest is forgotten,
// and then ends with its tokens.
const maxNoted = 50

// note changes the list of an account's sessions, by which all of them can be
// ended.
func (s sessions) note(ctx context.Context, account uuid.UUID, change func([]string) []string) error {
	key := "account:" + account.String()
	for range 5 {
		data, etag, err := s.dapr.GetState(ctx, serve.State, key)
		if err != nil {
			return err
		}
		var keys []string
		_ = json.Unmarshal(data, &keys) // nothing there: none
		keys = change(keys)
		if len(keys) > maxNoted {
			keys = keys[len(keys)-maxNoted:]
		}
		if data, err = json.Marshal(keys); err != nil {
			return err
		}
		if err = s.dapr.SaveState(ctx, serve.State, key, data, etag, sessionLife); !errors.Is(err, dapr.ErrConflict) {
			return err
		}
	}
	return dapr.ErrConflict
}

// forget deletes the list of an account's sessions.
func (s sessions) forget(ctx context.Context, account uuid.UUID) error {
	return s.dapr.DeleteState(ctx, serve.State, "account:"+account.String(), "")
}

// endAll closes every session of an account.
func (s sessions) endAll(ctx context.Context, account uuid.UUID) error {
	data, _, err := s.dapr.GetState(ctx, serve.State, "account:"+account.String())
	if err != nil {
		return err
	}
	var keys []string
	_ = json.Unmarshal(data, &keys)
	for _, key := range keys {
		if err := s.bury(ctx, key); err != nil {
			return err
		}
	}
	return s.note(ctx, account, func(all []string) []string {
		return slices.DeleteFunc(all, func(k string) bool { return slices.Contains(keys, k) })
	})
}

// The cookies. Over https they carry the prefix that ties them to this host.
const (
	sessionCookie = "session"
	cartCookie    = "cart"   // a guest's X-Cart-Session
	browserCookie = "login"  // ties a login to the browser that began it
	draftCookie   = "draft"  // a checkout form that waits for a login
	returnCookie  = "return" // where to go after a login by way of other pages

	registrationCookie = "registration" // of an account whose address has still to be verified
)

func (s *service) cookieName(name, path string) string {
	switch {
	case !strings.HasPrefix(s.public, "https:"):
		return name
	case path == "/":
		return "__Host-" + name
	}
	return "__Secure-" + name
}

func (s *service) setCookie(w http.ResponseWriter, name, path, value string, life time.Duration) {
	age := int(life.Seconds())
	if value == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(name, path), Value: value, Path: path, MaxAge: age,
		HttpOnly: true, Secure: strings.HasPrefix(s.public, "https:"), SameSite: http.SameSiteLaxMode,
	})
}

func (s *service) cookie(r *http.Request, name, path string) string {
	c, err := r.Cookie(s.cookieName(name, path))
	if err != nil {
		return ""
	}
	return c.Value
}

// shopper is who makes a request.
type shopper struct {
	session *session // nil: a guest
	guest   string   // the guest's cart session, also kept until it could be merged
	ended   bool     // the cookie names a session that is over
	failed  error    // the session could not be looked at
}

type shopperKey struct{}

func withShopper(ctx context.Context, who *shopper) context.Context {
	return context.WithValue(ctx, shopperKey{}, who)
}

func shopperOf(ctx context.Context) *shopper {
	if who, ok := ctx.Value(shopperKey{}).(*shopper); ok {
		return who
	}
	return &shopper{}
}

// identify finds out who makes a request, and renews the tokens when they are
// about to end.
func (s *service) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "private, no-store")
		who := &shopper{}
		if guest := s.cookie(r, cartCookie, "/"); len(guest) >= 16 && len(guest) <= 128 {
			who.guest = guest
		}
		if id := s.cookie(r, sessionCookie, "/"); id != "" {
			who.session, who.failed = s.resume(r.Context(), w, id)
			if who.failed == nil && who.session == nil {
				who.ended = true
				s.setCookie(w, sessionCookie, "/", "", 0)
			}
		}
		next.ServeHTTP(w, r.WithContext(withShopper(r.Context(), who)))
	})
}

// resume reads a session; nil when it is over. Its tokens are renewed when the access token is about to end. A refresh
// token is good once, so that one request does it, of all tabs and instances; the others go on with the access token as
// long as it is good, then wait.
func (s *service) resume(ctx context.Context, w http.ResponseWriter, id string) (*session, error) {
	for patience := time.After(renewLife); ; {
		n := &session{}
		etag, found, err := s.sessions.find(ctx, "session", id, n)
		if err != nil || !found {
			return nil, err
		}
		n.id, n.etag = id, etag
		now := s.now()
		good, alone := now.Before(n.AccessEnds), now.After(n.Renewing)
		if now.Before(n.AccessEnds.Add(-renewBefore)) || (good && !alone) {
			return n, nil
		}
		if alone {
			n.Renewing = now.Add(renewLife)
			err := s.sessions.keep(ctx, "session", id, n.etag, n, sessionIdle)
			if err == nil {
				return s.renew(ctx, w, id)
			}
			if !errors.Is(err, dapr.ErrConflict) { // another was faster
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, problem.ErrUnavailable.Because(ctx.Err())
		case <-patience:
			return nil, problem.ErrUnavailable
		case <-time.After(renewEvery):
		}
	}
}

// renew gets a session new tokens. What it began it ends, also when the browser goes away: a refresh token that was used
// and whose successor is lost ends the session when it is used again.
func (s *service) renew(ctx context.Context, w http.ResponseWriter, id string) (*session, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewLife)
	defer cancel()
	n := &session{}
	etag, found, err := s.sessions.find(ctx, "session", id, n) // for the etag
	if err != nil || !found {
		return nil, err
	}
	n.id, n.etag, n.Renewing = id, etag, time.Time{}
	t, err := s.refresh(ctx, n)
	switch {
	case errors.Is(err, problem.ErrUnauthenticated):
		return nil, s.sessions.end(ctx, n) // ended at Keycloak: another password, suspended, too old
	case err != nil:
		if kept := s.sessions.keep(ctx, "session", id, n.etag, n, sessionIdle); kept != nil && !errors.Is(kept, dapr.ErrConflict) {
			return nil, kept
		}
		if s.now().Before(n.AccessEnds) {
			return n, nil // Keycloak is away; this one is good for a moment
		}
		return nil, err
	}
	n.Access, n.AccessEnds = t.AccessToken, t.Expiry.UTC()
	if caller, err := s.verifier.Verify(n.Access); err == nil {
		n.Email = caller.Email
	}
	if t.RefreshToken != "" {
		n.Refresh = t.RefreshToken
	}
	life := min(sessionIdle, n.Begun.Add(sessionLife).Sub(s.now()))
	if life < time.Minute {
		return nil, s.sessions.end(ctx, n)
	}
	err = s.sessions.keep(ctx, "session", id, n.etag, n, life)
	if errors.Is(err, dapr.ErrConflict) { // logged out meanwhile
		s.endAtKeycloak(ctx, n)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.setCookie(w, sessionCookie, "/", id, life)
	return n, nil
}

// refresh uses a session's refresh token. Errors: problem.ErrUnauthenticated when it is no longer good.
func (s *service) refresh(ctx context.Context, n *session) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, dapr.CallTimeout)
	defer cancel()
	if n.Direct {
		return s.tokens(ctx, "/api/v1/auth/refresh", map[string]string{"refresh_token": n.Refresh})
	}
	t, err := s.oauth.TokenSource(s.asClient(ctx), &oauth2.Token{RefreshToken: n.Refresh}).Token()
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == "invalid_grant":
		return nil, problem.ErrUnauthenticated.Because(err)
	case err != nil:
		return nil, problem.ErrUnavailable.Because(err)
	}
	return t, nil
}

// tokens asks auth for tokens, as nobody.
func (s *service) tokens(ctx context.Context, path string, in any) (*oauth2.Token, error) {
	var t oauth2.Token
	if err := s.call(asNobody(ctx), "auth", http.MethodPost, path, in, &t); err != nil {
		return nil, err
	}
	t.Expiry = s.now().Add(time.Duration(t.ExpiresIn) * time.Second)
	return &t, nil
}

// ownForms lets a form in only from one of our pages, and with a session only
// with its token. A form without the token, such as one of a page that was
// open before the shopper logged in, is shown again with a button.
func (s *service) ownForms(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if err := r.ParseForm(); err != nil {
			s.pages.Problem(w, r, problem.ErrMalformed.Because(err))
			return
		}
		if !page.SameOrigin(r, s.public) {
			s.pages.Problem(w, r, page.ErrForeignForm)
			return
		}
		for _, values := range r.PostForm {
			for _, v := range values {
				if !cleanText(v) {
					s.pages.Problem(w, r, problem.ErrMalformed.Detail("Something in the form is not text."))
					return
				}
			}
		}
		who := shopperOf(r.Context())
		if who.session != nil && !page.CheckFormToken(who.session.id, r.PostForm.Get("token")) {
			s.again(r)(s.pages, w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
