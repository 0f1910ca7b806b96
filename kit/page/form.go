package page

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/stampede-shop/stampede/kit/problem"
)

// ErrForeignForm is the answer to a form that did not come from a page of the
// shop.
var ErrForeignForm = problem.New(problem.Forbidden, "foreign-form", "This form did not come from one of our pages")

// SameOrigin tells whether a browser sent the request from a page of public
// (scheme and host). It believes Sec-Fetch-Site, which pages cannot set, else
// Origin, else Referer; a request with none of them is not from a page.
func SameOrigin(r *http.Request, public string) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	from := r.Header.Get("Origin")
	if from == "" {
		from = r.Header.Get("Referer")
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme+"://"+u.Host == public
}

// FormToken is what the forms of a session carry. It follows from the
// session's secret id, which a foreign page does not know, and does not tell
// it.
func FormToken(session string) string {
	m := hmac.New(sha256.New, []byte(session))
	m.Write([]byte("form token"))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:18])
}

// CheckFormToken tells whether a form carries the session's token.
func CheckFormToken(session, token string) bool {
	return session != "" && hmac.Equal([]byte(FormToken(session)), []byte(token))
}
