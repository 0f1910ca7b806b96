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
	maxEvents  = 1000 // of one client and one reading
)

// loginEvent is an attempt on Keycloak's page, as Keycloak remembers it for 30 days.
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

// pageLogins reads the attempts of a user on the login page since a day.
func (k *keycloak) pageLogins(ctx context.Context, user uuid.UUID, since time.Time) ([]login, error) {
	var found []login
	for _, client := range pageClients {
		query := url.Values{
			"user": {user.String()}, "client": {client}, "type": {"LOGIN", "LOGIN_ERROR"}, "max": {strconv.Itoa(eventsPage)},
			"dateFrom": {since.Format(time.DateOnly)},
		}
		for first := 0; first < maxEvents; first += eventsPage {
			query.Set("first", strconv.Itoa(first))
			var events []loginEvent
			if _, err := k.do(ctx, http.MethodGet, "/events?"+query.Encode(), nil, &events); err != nil {
				return nil, err
			}
			for _, e := range events {
				found = append(found, e.login(user))
			}
			if len(events) < eventsPage {
				break
			}
		}
	}
	return found, nil
}

// learnPageLogins keeps what Keycloak knows of an account's attempts on its page since the last one that is kept. The
// history is read all the same when it does not answer.
func (s *service) learnPageLogins(ctx context.Context, accountID uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, pageWait)
	defer cancel()
	since, err := s.store.lastPageLogin(ctx, accountID)
	if err == nil {
		var found []login
		// The day before: whose day it is depends on Keycloak's time zone.
		if found, err = s.keycloak.pageLogins(ctx, accountID, since.Add(-24*time.Hour)); err == nil {
			err = s.store.keepPageLogins(ctx, accountID, found)
		}
	}
	if err != nil {
		s.log.WarnContext(ctx, "the latest logins on Keycloak's page are not known", "account", accountID, "error", err)
	}
}
