package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/kit/pause"
)

// accounts is how many people log in, as many as do so at once: of two logins of
// one account at the same moment Keycloak refuses the second.
const accounts = 4

var code = regexp.MustCompile(`(?s)>\s*([0-9]{6})\s*<`)

// register opens an account as people do, by the code in the mail.
func (s *shop) register(ctx context.Context) (shopper, error) {
	who := shopper{email: "bench-" + strings.ToLower(rand.Text()[:12]) + "@example.test", password: "correct-horse-" + rand.Text()}
	err := s.send(ctx, "POST", "/api/v1/auth/register", "", map[string]string{
		"email": who.email, "password": who.password, "first_name": "Ann", "last_name": "Lee",
	}, nil)
	if err != nil {
		return who, err
	}
	inbox := fmt.Sprintf("http://%s/api/email?to.address=%s", s.At(stack.PortMaildev), url.QueryEscape(who.email))
	for ctx, cancel := context.WithTimeout(ctx, time.Minute); ; {
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", inbox, nil)
		if err != nil {
			return who, err
		}
		text, err := ask(req)
		if err != nil {
			return who, err
		}
		var mails []struct {
			HTML string `json:"html"`
		}
		if err := json.Unmarshal(text, &mails); err != nil {
			return who, err
		}
		for _, m := range mails {
			if found := code.FindStringSubmatch(m.HTML); found != nil {
				verify := map[string]string{"email": who.email, "code": found[1]}
				return who, s.send(ctx, "POST", "/api/v1/auth/verify-email", "", verify, nil)
			}
		}
		if !pause.For(ctx, 100*time.Millisecond) {
			return who, fmt.Errorf("no mail came to %s", who.email)
		}
	}
}

// login gets a new token by the password.
func (s *shop) login(ctx context.Context, who shopper) (shopper, error) {
	var answer struct {
		Token string `json:"access_token"`
	}
	err := s.send(ctx, "POST", "/api/v1/auth/login", "", map[string]string{"email": who.email, "password": who.password}, &answer)
	who.token = answer.Token
	return who, err
}

// logins measures logins, and orders of people who log in first: what the
// other measurements spare by making tokens themselves.
func (b *bench) logins(ctx context.Context) error {
	people := make(chan shopper, accounts)
	for range accounts {
		who, err := b.shop.register(ctx)
		if err != nil {
			return err
		}
		people <- who
	}
	for _, what := range []struct {
		name string
		then func(ctx context.Context, n int, who shopper) error
	}{
		{"login", func(context.Context, int, shopper) error { return nil }},
		{"order after a login", func(ctx context.Context, n int, who shopper) error { return b.shop.order(ctx, who, b.lamp(n).SKU) }},
	} {
		err := b.row(ctx, "login", what.name, func(ctx context.Context) (*result, error) {
			return closed(ctx, accounts, b.limit/2, b.most, func(ctx context.Context, n int) error {
				who := <-people
				defer func() { people <- who }()
				now, err := b.shop.login(ctx, who)
				if err == nil {
					err = what.then(ctx, n, now)
				}
				return err
			}), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
