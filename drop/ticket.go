package drop

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Ticket says that somebody has entered a drop. Whoever waits shows it instead of an access token. It is
// base64url(JSON) "." base64url(HMAC-SHA256 of the first part), without padding, under the drop's own key (TicketKey).
// testdata/tickets.json has examples, by which another reader of tickets, the gateway's, can be tested.
type Ticket struct {
	Drop      string `json:"drop"`  // its slug
	Subject   string `json:"sub"`   // Subject of the account
	Entry     string `json:"entry"` // id
	Idx       uint64 `json:"idx"`   // place in the log of entries, from 0
	IssuedAt  int64  `json:"iat"`   // seconds since 1970
	ExpiresAt int64  `json:"exp"`   // from this second on it is no good
}

// ErrTicket is a ticket that is none of this drop, or is over.
var ErrTicket = errors.New("not a ticket of this drop, or too old")

// TicketKey is what a drop's tickets are signed with: 32 bytes of HKDF-SHA256 (RFC 5869) of the shop's setting, without a
// salt, for "stampede ticket " and the drop's slug.
func TicketKey(setting []byte, slug string) []byte {
	return derive(setting, nil, "stampede ticket "+slug)
}

// Subject is an account as its tickets for a drop name it: nobody can tell who that is, or that two drops' are one.
func Subject(setting []byte, slug, account string) string {
	return base64.RawURLEncoding.EncodeToString(sign(derive(setting, nil, "stampede subject "+slug), account)[:16])
}

// SecretOf is the secret of a drop's shuffle. It is kept nowhere: it follows from a setting that the drops' service alone
// has and a random nonce of the drop.
func SecretOf(setting, nonce []byte, slug string) [32]byte {
	return [32]byte(derive(setting, nonce, "stampede secret "+slug))
}

// derive gives 32 bytes, of which a hash of 32 bytes has plenty: it cannot fail.
func derive(setting, salt []byte, info string) []byte {
	key, err := hkdf.Key(sha256.New, setting, salt, info, 32)
	if err != nil {
		panic("drop: " + err.Error())
	}
	return key
}

func sign(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// Sign writes the ticket.
func (t Ticket) Sign(key []byte) string {
	body, _ := json.Marshal(t) // texts and numbers: it cannot fail
	text := base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(key, text))
}

// ReadTicket reads a drop's ticket. Errors: ErrTicket.
func ReadTicket(text string, key []byte, slug string, now time.Time) (t Ticket, err error) {
	body, mac, _ := strings.Cut(text, ".")
	given, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	if err != nil || !hmac.Equal(given, sign(key, body)) {
		return Ticket{}, ErrTicket
	}
	data, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(data, &t) != nil || t.Drop != slug || now.Unix() >= t.ExpiresAt {
		return Ticket{}, ErrTicket
	}
	return t, nil
}
