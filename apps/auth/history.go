package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// pageClients are Keycloak's clients whose users come to its login page.
var pageClients = []string{"storefront", "backoffice"}

const (
	pageWait   = 3 * time.Second // a history is read without Keycloak, too
	eventsPage = 100
	maxEvents  = 1000 // of one user, one client and one reading

	// Keycloak keeps events for a day. They are read long before, some behind what was read last, as they are not in order.
	pagesEvery  = 10 * time.Minute
	pagesBehind = time.Minute
)

// loginEvent is an attempt on Keycloak's page, as Keycloak remembers it for a day. All of it makes the id of a login.
type loginEvent struct {
	Time      int64  `json:"time"` // milliseconds
	Type      string `json:"type"`
	ClientID  string `json:"clientId"`
	SessionID string `json:"sessionId"`
	Address   string `json:"ipAddress"`
	Error     string `json:"error"`
}

// login is the event as a line of the history. Keycloak 26.0 gives events no id, so one is made of all that they
// hold: a UUID of version 7 (RFC 9562), which sorts by time among those of the logins through the API.
func (e loginEvent) login(user uuid.UUID) login {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %+v", user, e))
	id := uuid.UUID(sum[:16])
	random := binary.BigEndian.Uint16(id[6:8])
	binary.BigEndian.PutUint64(id[:8], uint64(e.Time)<<16|0x7000|uint64(random&0x0fff))
	id[8] = id[8]&0x3f | 0x80
	l := login{ID: id, At: time.UnixMilli(e.Time).UTC(), Address: e.Address, Outcome: "success", Through: "page"}
	if e.Type != "LOGIN" {
		l.Outcome = "failed"
	}
	return l
}

// pageLogin is a login on Keycloak's page, and whose.
type pageLogin struct {
	login
	account uuid.UUID
}

// pageLogins reads the attempts on the login page since a moment, as far back as they are kept: those of a user, the last
// 1000 or so, or everybody's. Attempts under an address that nobody has are nobody's.
func (k *keycloak) pageLogins(ctx context.Context, user uuid.NullUUID, since time.Time) ([]pageLogin, error) {
	var found []pageLogin
	for _, client := range pageClients {
		query := url.Values{
			"client": {client}, "type": {"LOGIN", "LOGIN_ERROR"}, "max": {strconv.Itoa(eventsPage)},
			"dateFrom": {since.Add(-24 * time.Hour).Format(time.DateOnly)}, // whose day it is depends on Keycloak's time zone
		}
		if user.Valid {
			query.Set("user", user.UUID.String())
		}
		for first, more := 0, true; more && (!user.Valid || first < maxEvents); first += eventsPage {
			query.Set("first", strconv.Itoa(first))
			var events []struct {
				loginEvent
				User uuid.NullUUID `json:"userId"`
			}
			if _, err := k.do(ctx, http.MethodGet, "/events?"+query.Encode(), nil, &events); err != nil {
				return nil, err
			}
			more = len(events) == eventsPage
			for _, e := range events { // the newest first
				if time.UnixMilli(e.Time).Before(since) {
					more = false
				} else if e.User.Valid {
					found = append(found, pageLogin{e.login(e.User.UUID), e.User.UUID})
				}
			}
		}
	}
	return found, nil
}

// learnAllPageLogins keeps what Keycloak knows of everybody's attempts on its page, since it soon forgets them.
func (s *service) learnAllPageLogins(ctx context.Context) error {
	since, err := s.store.lastPageLogin(ctx, uuid.NullUUID{})
	if err != nil {
		return err
	}
	found, err := s.keycloak.pageLogins(ctx, uuid.NullUUID{}, since.Add(-pagesEvery-pagesBehind))
	if err != nil {
		return err
	}
	return s.store.keepPageLogins(ctx, found)
}

// learnPageLogins keeps what Keycloak knows of an account's attempts on its page since the last one that is kept. The
// history is read all the same when it does not answer.
func (s *service) learnPageLogins(ctx context.Context, accountID uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, pageWait)
	defer cancel()
	whose := uuid.NullUUID{UUID: accountID, Valid: true}
	since, err := s.store.lastPageLogin(ctx, whose)
	if err == nil {
		var found []pageLogin
		if found, err = s.keycloak.pageLogins(ctx, whose, since.Add(-pagesBehind)); err == nil {
			err = s.store.keepPageLogins(ctx, found)
		}
	}
	if err != nil {
		s.log.WarnContext(ctx, "the latest logins on Keycloak's page are not known", "account", accountID, "error", err)
	}
}
