package infra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
)

// What servers are told when a password takes another's place, so that both are good until everybody has the new one.

// superuser connects to PostgreSQL as such.
func (s Servers) superuser(ctx context.Context) (*pgx.Conn, error) {
	return connect(ctx, s.Settings.Get("POSTGRES_SUPERUSER_URL"))
}

// AddLogin makes a second login with a new password for the database of a setting, and returns its address. End takes the
// first away; what it has open goes on.
func (s Servers) AddLogin(ctx context.Context, setting string) (address string, end func(context.Context) error, err error) {
	u, err := url.Parse(s.Settings.Get(setting))
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", setting, err)
	}
	db, err := s.superuser(ctx)
	if err != nil {
		return "", nil, err
	}
	defer db.Close(ctx)
	before, password := u.User.Username(), stack.Secret()
	u.User = url.UserPassword(other(before), password)
	if err := makeDatabase(ctx, db, strings.TrimPrefix(u.Path, "/"), other(before), password); err != nil {
		return "", nil, err
	}
	return u.String(), func(ctx context.Context) error {
		db, err := s.superuser(ctx)
		if err != nil {
			return err
		}
		defer db.Close(ctx)
		_, err = db.Exec(ctx, "ALTER ROLE "+pgx.Identifier{before}.Sanitize()+" NOLOGIN PASSWORD NULL")
		return err
	}, nil
}

// ChangePassword gives the role of a setting another password at once, and calls then when the setting is changed, before
// the password counts. What is open goes on.
func (s Servers) ChangePassword(ctx context.Context, setting string, then func() error) error {
	u, err := url.Parse(s.Settings.Get(setting))
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	db, err := s.superuser(ctx)
	if err != nil {
		return err
	}
	defer db.Close(ctx)
	before, password := u.String(), stack.Secret()
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		role := u.User.Username()
		if _, err := tx.Exec(ctx, "ALTER ROLE "+pgx.Identifier{role}.Sanitize()+login(password)); err != nil {
			return err
		}
		u.User = url.UserPassword(role, password)
		return errors.Join(s.Settings.Put(setting, u.String()), then())
	})
	if err != nil {
		err = errors.Join(err, s.Settings.Put(setting, before), then())
	}
	return err
}

// ChangeKeycloakPassword is ChangePassword for Keycloak's database.
func (s Servers) ChangeKeycloakPassword(ctx context.Context) error {
	return s.ChangePassword(ctx, "KEYCLOAK_DATABASE_URL", s.writeKeycloakPass)
}

// AddBrokerUser makes a second user with a new password at RabbitMQ, and returns its address. End, once the setting is that,
// removes the first.
func (s Servers) AddBrokerUser(ctx context.Context) (address string, end func(context.Context) error, err error) {
	u, err := url.Parse(s.Settings.Get("RABBITMQ_URL"))
	if err != nil {
		return "", nil, fmt.Errorf("RABBITMQ_URL: %w", err)
	}
	before, password := u.User.Username(), stack.Secret()
	user := "/users/" + url.PathEscape(other(before))
	if err := s.askRabbitMQ(ctx, http.MethodPut, user, map[string]string{"password": password, "tags": "administrator"}); err != nil {
		return "", nil, err
	}
	rights := map[string]string{"configure": ".*", "write": ".*", "read": ".*"}
	if err := s.askRabbitMQ(ctx, http.MethodPut, "/permissions/%2F/"+url.PathEscape(other(before)), rights); err != nil {
		return "", nil, err
	}
	u.User = url.UserPassword(other(before), password)
	return u.String(), func(ctx context.Context) error {
		return s.askRabbitMQ(ctx, http.MethodDelete, "/users/"+url.PathEscape(before), nil)
	}, nil
}

func (s Servers) askRabbitMQ(ctx context.Context, method, path string, body any) error {
	u, err := url.Parse(s.Settings.Get("RABBITMQ_URL"))
	if err != nil {
		return fmt.Errorf("RABBITMQ_URL: %w", err)
	}
	password, _ := u.User.Password()
	_, err = ask(ctx, method, "http://"+s.At(stack.PortRabbitMQPage)+"/api"+path, body, func(r *http.Request) {
		r.SetBasicAuth(u.User.Username(), password)
	})
	return err
}

// AddRedisPassword has Redis take a second password. End takes the first away, once the setting is the second.
func (s Servers) AddRedisPassword(ctx context.Context) (password string, end func(context.Context) error, err error) {
	before, password := s.Settings.Get("REDIS_PASSWORD"), stack.Secret()
	return password, func(ctx context.Context) error { return s.redisSay(ctx, "ACL SETUSER default <"+before+"\n") },
		s.redisSay(ctx, "ACL SETUSER default >"+password+"\n")
}

// Told has the supervisor take a server for what the settings now say, since it was told.
func (s Servers) Told(ctx context.Context, apps []stack.App, name string) error {
	parts, err := s.Describe(ctx, apps)
	if err != nil {
		return err
	}
	return s.Supervisor().Adopt(ctx, parts[name])
}

// Renew starts those parts again that nobody waits for and that would run differently by the settings as they are now.
func (s Servers) Renew(ctx context.Context, apps []stack.App) error {
	parts, err := s.Describe(ctx, apps)
	if err != nil {
		return err
	}
	for _, name := range append([]string{stack.WALReceiver}, stack.Watchers...) {
		p, needed := parts[name]
		if !needed {
			continue
		}
		if _, err := s.Supervisor().Ensure(ctx, p); err != nil {
			return err
		}
		if err := s.Supervisor().Await(ctx, []supervise.Process{p}, 60*time.Second, name); err != nil {
			return err
		}
	}
	return nil
}

// ask sends a request with JSON and returns the answer, which has to be good.
func ask(ctx context.Context, method, address string, body any, prepare func(*http.Request)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, reader)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	prepare(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %d %s", method, req.URL.Path, resp.StatusCode, text)
	}
	return text, err
}

// keycloakAdmin is Keycloak's REST for its administrator.
type keycloakAdmin struct{ base, token string }

func (s Servers) keycloakAdmin(ctx context.Context) (k keycloakAdmin, err error) {
	k.base = "http://" + s.At(stack.PortKeycloak)
	form := url.Values{
		"client_id": {"admin-cli"}, "grant_type": {"password"},
		"username": {"admin"}, "password": {s.Settings.Get("KEYCLOAK_ADMIN_PASSWORD")},
	}.Encode()
	text, err := ask(ctx, http.MethodPost, k.base+"/realms/master/protocol/openid-connect/token", nil, func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Content-Length", strconv.Itoa(len(form)))
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(form)), int64(len(form))
	})
	if err != nil {
		return k, err
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	err = json.Unmarshal(text, &answer)
	k.token = answer.Token
	return k, err
}

func (k keycloakAdmin) ask(ctx context.Context, method, path string, in, out any) error {
	text, err := ask(ctx, method, k.base+"/admin/realms/"+path, in, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+k.token)
	})
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// SetClientSecret gives a client of the realm another secret. The one before is refused from then on.
func (s Servers) SetClientSecret(ctx context.Context, client, secret string) error {
	k, err := s.keycloakAdmin(ctx)
	if err != nil {
		return err
	}
	realm := url.PathEscape(s.Settings.Get("KEYCLOAK_REALM"))
	var found []map[string]any
	if err := k.ask(ctx, http.MethodGet, realm+"/clients?clientId="+url.QueryEscape(client), nil, &found); err != nil {
		return err
	}
	if len(found) != 1 {
		return fmt.Errorf("the realm has no client %s", client)
	}
	found[0]["secret"] = secret
	return k.ask(ctx, http.MethodPut, realm+"/clients/"+url.PathEscape(fmt.Sprint(found[0]["id"])), found[0], nil)
}

// SetAdminPassword gives Keycloak's administrator another password.
func (s Servers) SetAdminPassword(ctx context.Context, password string) error {
	k, err := s.keycloakAdmin(ctx)
	if err != nil {
		return err
	}
	var found []struct{ ID string }
	if err := k.ask(ctx, http.MethodGet, "master/users?username=admin&exact=true", nil, &found); err != nil {
		return err
	}
	if len(found) != 1 {
		return errors.New("there is no user admin at Keycloak")
	}
	return k.ask(ctx, http.MethodPut, "master/users/"+url.PathEscape(found[0].ID)+"/reset-password",
		map[string]any{"type": "password", "value": password, "temporary": false}, nil)
}
