package shop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Mail is a mail as it arrived.
type Mail struct {
	Subject string    `json:"subject"`
	HTML    string    `json:"html"`
	Time    time.Time `json:"time"`
	From    []struct {
		Address string `json:"address"`
		Name    string `json:"name"`
	} `json:"from"`
	To []struct {
		Address string `json:"address"`
	} `json:"to"`
}

// Mails lists what has arrived for an address, the oldest first.
func (s *Shop) Mails(t testing.TB, address string) []Mail {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.Mail+"/api/email?sort=asc&to.address="+url.QueryEscape(address), nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode, "%s", text)
	var mails []Mail
	require.NoError(t, json.Unmarshal(text, &mails))
	return mails
}

// AwaitMail waits for the nth mail of a subject to the client.
func (c *Client) AwaitMail(t testing.TB, subject string, nth int) Mail {
	t.Helper()
	var found Mail
	Eventually(t, Patience, func() (bool, string) {
		n := 0
		var subjects []string
		for _, m := range c.Shop.Mails(t, c.Email) {
			subjects = append(subjects, m.Subject)
			if m.Subject == subject {
				if n++; n == nth {
					found = m
					return true, ""
				}
			}
		}
		return false, fmt.Sprintf("no mail %q (number %d) for %s; there are %q", subject, nth, c.Email, subjects)
	})
	return found
}

// Subjects lists the subjects of what has arrived for the client, the oldest first.
func (c *Client) Subjects(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, m := range c.Shop.Mails(t, c.Email) {
		all = append(all, m.Subject)
	}
	return all
}

// Shows demands texts in the mail's HTML.
func (m Mail) Shows(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(m.HTML, text) {
			t.Fatalf("the mail %q does not show %s", m.Subject, text)
		}
	}
}
