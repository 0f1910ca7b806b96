package auth

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
)

// Secrets is a transport for requests to who issues tokens: it gives a client's secret with each that has one (HTTP basic),
// and the next of several where one is refused, so that the secret may be exchanged there while it is in use. The body of
// such a request must be one that can be read again (http.NewRequest sees to that).
type Secrets struct {
	Next http.RoundTripper
	Of   []string // one at least; those that are refused cost a call each, once

	taken atomic.Int64 // which of them was taken the last time
}

// RoundTrip implements http.RoundTripper.
func (s *Secrets) RoundTrip(r *http.Request) (*http.Response, error) {
	client, _, has := r.BasicAuth()
	if !has || len(s.Of) < 2 {
		return s.Next.RoundTrip(r)
	}
	if r.Body != nil {
		defer r.Body.Close()
	}
	first := s.taken.Load()
	for i := int64(0); ; i++ {
		at := (first + i) % int64(len(s.Of))
		try := r.Clone(r.Context())
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			try.Body = body
		}
		try.SetBasicAuth(client, url.QueryEscape(s.Of[at])) // RFC 6749, 2.3.1; the client has it done
		res, err := s.Next.RoundTrip(try)
		if err != nil {
			return nil, err
		}
		refused, err := refusesClient(res)
		if err != nil {
			return nil, err
		}
		if !refused {
			s.taken.Store(at)
			return res, nil
		}
		if i == int64(len(s.Of))-1 {
			return res, nil
		}
		_ = res.Body.Close()
	}
}

// refusesClient reports whether an answer says that the client, not whoever it asks for, is not let in. The answer's body can
// still be read.
func refusesClient(res *http.Response) (bool, error) {
	if res.StatusCode != http.StatusUnauthorized {
		return false, nil
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	_ = res.Body.Close()
	if err != nil {
		return false, err
	}
	res.Body = io.NopCloser(bytes.NewReader(text))
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(text, &answer)
	return answer.Error == "invalid_client" || answer.Error == "unauthorized_client", nil // RFC 6749, 5.2; Keycloak says the second
}
