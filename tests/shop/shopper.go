package shop

import (
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Register opens an account as a shopper does: it registers, takes the code from the mail, verifies and logs in.
func (s *Shop) Register(t testing.TB) *Client {
	t.Helper()
	c := s.Nobody()
	c.Email, c.Password = "ann-"+Random()+"@example.test", "correct-horse-"+Random()
	answer := c.Do(t, "POST", "/api/v1/auth/register", map[string]string{
		"email": c.Email, "password": c.Password, "first_name": "Ann", "last_name": "Lee",
	}).OK(t, 201)
	account := Read[struct {
		AccountID string `json:"account_id"`
		Email     string `json:"email"`
		Status    string `json:"status"`
	}](t, answer)
	require.Equal(t, "pending", account.Status)
	require.Equal(t, c.Email, account.Email)
	c.Account = account.AccountID
	c.Do(t, "POST", "/api/v1/auth/verify-email", map[string]string{"email": c.Email, "code": c.Code(t, VerifySubject, 1)}).OK(t, 204)
	c.Login(t)
	return c
}

// Login gets new tokens for the client's password.
func (c *Client) Login(t testing.TB) Tokens {
	t.Helper()
	nobody := c.Shop.Nobody()
	tokens := Read[Tokens](t, nobody.Do(t, "POST", "/api/v1/auth/login", map[string]string{"email": c.Email, "password": c.Password}).OK(t, 200))
	require.Equal(t, "Bearer", tokens.TokenType)
	require.Positive(t, tokens.ExpiresIn)
	c.Token, c.Refresh = tokens.AccessToken, tokens.RefreshToken
	return tokens
}

// The subjects of the mails with a code.
const (
	VerifySubject = "Your confirmation code for Stampede"
	ResetSubject  = "Your code for a new Stampede password"
	EmailSubject  = "Your code for another e-mail address at Stampede"
)

var codePattern = regexp.MustCompile(`(?s)>\s*([0-9]{6})\s*<`)

// Code waits for the nth mail with a code and returns the code.
func (c *Client) Code(t testing.TB, subject string, nth int) string {
	t.Helper()
	mail := c.AwaitMail(t, subject, nth)
	found := codePattern.FindStringSubmatch(mail.HTML)
	require.NotNil(t, found, "no code in the mail:\n%s", mail.HTML)
	return found[1]
}

var admin struct {
	sync.Mutex
	client *Client
	since  time.Time
}

// Admin is ops@stampede.test, logged in. Its token is renewed before it can expire during a test.
func (s *Shop) Admin(t testing.TB) *Client {
	t.Helper()
	admin.Lock()
	defer admin.Unlock()
	if admin.client == nil || time.Since(admin.since) > 5*time.Minute {
		c := s.Nobody()
		c.Email, c.Password = "ops@stampede.test", s.Settings["OPS_PASSWORD"]
		begun := time.Now()
		s.Alone(t, func() { c.Login(t) })
		admin.client, admin.since = c, begun
	}
	return admin.client
}

// Alone logs in as ops@stampede.test while no other test does, of no package that runs beside this one either: of two logins
// of one account at the same moment Keycloak refuses the second, as it does to those who guess passwords.
func (s *Shop) Alone(t testing.TB, login func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(s.Run, "ops.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	require.NoError(t, err)
	defer f.Close() // and the lock with it
	require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	login()
}
