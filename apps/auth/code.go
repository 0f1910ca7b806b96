package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/problem"
)

// ErrCodeInvalid is the one answer to a code that does not fit: unknown address, wrong, used, expired, or
// tried too often. Which of them it was is nobody's business.
var ErrCodeInvalid = problem.New(problem.BadRequest, "code-invalid", "The code is wrong or no longer valid")

// Purpose is what a code is good for.
type Purpose string

// The purposes.
const (
	VerifyEmail   Purpose = events.PurposeVerifyEmail
	PasswordReset Purpose = events.PurposePasswordReset
	ChangeEmail   Purpose = events.PurposeChangeEmail
)

// maxTries is how often a code may be entered, the right time included.
const maxTries = 5

// lifetime is how long a code is valid. Who shows a new address may have to look for the mail; who resets a password
// waits for it.
func (p Purpose) lifetime() time.Duration {
	if p == PasswordReset {
		return 15 * time.Minute
	}
	return 30 * time.Minute
}

// needs are the statuses of the accounts that may have such a code. A new password is for pending ones, too: who has
// the code has proved to own the address.
func (p Purpose) needs() []string {
	switch p {
	case VerifyEmail:
		return []string{string(Pending)}
	case ChangeEmail:
		return []string{string(Active)}
	case PasswordReset:
	}
	return []string{string(Active), string(Pending)}
}

// newCode draws six digits.
func newCode() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%06d", n), nil
}

var codePattern = regexp.MustCompile(`^[0-9]{6}$`)

// hashCode is what is kept of a code. Six digits are soon tried through, so the hash needs a key, and it
// binds the code to one account and purpose, and to the new address that it was sent to, if it is about one.
func hashCode(key []byte, account uuid.UUID, p Purpose, email, code string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(account[:])
	mac.Write([]byte(p))
	mac.Write([]byte(email))
	mac.Write([]byte(code))
	return mac.Sum(nil)
}

// hashCodes are what may be kept of a code that is out, by the keys that are believed.
func (s *service) hashCodes(account uuid.UUID, p Purpose, email, code string) [][]byte {
	hashes := make([][]byte, 0, len(s.keys))
	for _, key := range s.keys {
		hashes = append(hashes, hashCode([]byte(key), account, p, email, code))
	}
	return hashes
}

// Limits are how often something may be done before a caller has to wait.
type Limits struct {
	LoginFailures        int           `env:"LOGIN_FAILURES" envDefault:"10" doc:"Failed logins for one e-mail address within LOGIN_WINDOW"`
	LoginFailuresAddress int           `env:"LOGIN_FAILURES_ADDRESS" envDefault:"100" doc:"Failed logins from one network address within LOGIN_WINDOW"`
	LoginWindow          time.Duration `env:"LOGIN_WINDOW" envDefault:"15m" doc:"Until failed logins are forgotten"`
	Codes                int           `env:"CODES" envDefault:"5" doc:"Codes asked for with one e-mail address and purpose within CODES_WINDOW"`
	CodesAddress         int           `env:"CODES_ADDRESS" envDefault:"30" doc:"Codes asked for from one network address within CODES_WINDOW, for all purposes"`
	CodesWindow          time.Duration `env:"CODES_WINDOW" envDefault:"1h" doc:"Until codes asked for are forgotten"`
}

// maxTrying is how many logins for one e-mail address may be under way at once: they are not failures yet,
// but a thousand guesses sent together must not all be tried.
const maxTrying = 16

// tryingTime is when a login that did not end counts as failed: its process is gone.
const tryingTime = 30 * time.Second

// Recent is what the limits look at: how many events there are, at most as many as the limit, and the
// oldest of them.
type Recent struct {
	Count  int
	Oldest *time.Time
}

// wait is how long a caller has to wait: until the oldest of so many events has left the window.
func (r Recent) wait(limit int, window time.Duration, now time.Time) time.Duration {
	if r.Count < limit || r.Oldest == nil {
		return 0
	}
	return max(r.Oldest.Add(window).Sub(now), time.Second)
}
