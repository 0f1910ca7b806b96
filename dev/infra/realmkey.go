package infra

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The realm's key, with which Keycloak signs tokens, becomes another one in three steps with waits between that nobody can
// shorten, so each is a command of its own. When the last step was is in the name of the provider.

const (
	keyRead   = 15 * time.Minute // how often sidecars read the keys; services read them more often
	tokenLife = 8 * time.Hour    // of the longest tokens, the back office's

	isPublished = "published " // what names begin with, before the time
	isSigning   = "signs since "
	stepFormat  = time.RFC3339
)

// keyProvider is a provider of keys, as Keycloak's REST has it.
type keyProvider struct {
	ID         string              `json:"id,omitempty"`
	Name       string              `json:"name"`
	ProviderID string              `json:"providerId"`
	Type       string              `json:"providerType"`
	ParentID   string              `json:"parentId"`
	Config     map[string][]string `json:"config"`
}

func (p keyProvider) priority() int {
	n, _ := strconv.Atoi(strings.Join(p.Config["priority"], "")) // 0 where there is none, as for Keycloak
	return n
}

// since is when the step was that the name begins with.
func (p keyProvider) since(step string) (at time.Time, is bool) {
	rest, is := strings.CutPrefix(p.Name, step)
	if is {
		var err error
		at, err = time.Parse(stepFormat, rest)
		is = err == nil
	}
	return at, is
}

// RotateRealmKey takes the step that is next, if its time has come at now, and says what is next then: a new key is
// published; it signs; the one before is removed. With hurry nothing is waited for: tokens are refused for a while.
func (s Servers) RotateRealmKey(ctx context.Context, now time.Time, hurry bool) (next string, err error) {
	k, err := s.keycloakAdmin(ctx)
	if err != nil {
		return "", err
	}
	at := url.PathEscape(s.Settings.Get("KEYCLOAK_REALM")) + "/components"
	const kind = "org.keycloak.keys.KeyProvider"
	var all []keyProvider
	if err := k.ask(ctx, http.MethodGet, at+"?type="+kind, nil, &all); err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(p keyProvider) bool { return p.ProviderID != "rsa-generated" })
	if len(all) == 0 {
		return "", errors.New("the realm's keys are not Keycloak's own: see deploy/keycloak")
	}
	last := slices.MaxFunc(all, func(a, b keyProvider) int { return a.priority() - b.priority() })
	early := func(since time.Time, wait time.Duration) error {
		if due := since.Add(wait); now.Before(due) && !hurry {
			return fmt.Errorf("the next step is due at %s", due.Format(stepFormat))
		}
		return nil
	}
	if since, is := last.since(isPublished); is {
		if err := early(since, keyRead); err != nil {
			return "", err
		}
		last.Name, last.Config["active"] = isSigning+now.UTC().Format(stepFormat), []string{"true"}
		return fmt.Sprintf("the new key signs; again in %.0f hours removes the old one", tokenLife.Hours()),
			k.ask(ctx, http.MethodPut, at+"/"+url.PathEscape(last.ID), last, nil)
	}
	if since, is := last.since(isSigning); is && len(all) > 1 {
		if err := early(since, tokenLife); err != nil {
			return "", err
		}
		for _, p := range all {
			if p.ID == last.ID {
				continue
			}
			if err := k.ask(ctx, http.MethodDelete, at+"/"+url.PathEscape(p.ID), nil, nil); err != nil {
				return "", err
			}
		}
		return "the old key is removed", nil
	}
	fresh := keyProvider{
		Name: isPublished + now.UTC().Format(stepFormat), ProviderID: last.ProviderID, Type: kind, ParentID: last.ParentID,
		Config: map[string][]string{
			"priority": {strconv.Itoa(last.priority() + 1)}, "enabled": {"true"}, "active": {"false"},
			"algorithm": {"RS256"}, "keySize": {"2048"},
		},
	}
	next = fmt.Sprintf("a new key is published; again in %.0f minutes has it sign", keyRead.Minutes())
	return next, k.ask(ctx, http.MethodPost, at, fresh, nil)
}
