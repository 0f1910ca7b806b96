package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

const (
	issuer   = "http://localhost/realms/plans"
	appToken = "plans-plans-plans-plans"
)

// signer signs tokens that the services accept; its public half is served.
var signer = sync.OnceValues(func() (key struct {
	private jwk.Key
	url     string
}, err error) {
	raw, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return key, err
	}
	if key.private, err = jwk.Import(raw); err != nil {
		return key, err
	}
	_ = key.private.Set(jwk.KeyIDKey, "plans")
	_ = key.private.Set(jwk.AlgorithmKey, auth.Algorithm)
	public, err := key.private.PublicKey()
	if err != nil {
		return key, err
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		return key, err
	}
	document, err := json.Marshal(set)
	if err != nil {
		return key, err
	}
	key.url = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	})).URL
	return key, nil
})

func sign(subject string) (string, error) {
	key, err := signer()
	if err != nil {
		return "", err
	}
	made, err := jwt.NewBuilder().Issuer(issuer).Audience([]string{"stampede"}).Subject(subject).
		IssuedAt(time.Now()).Expiration(time.Now().Add(4*time.Hour)).
		Claim("typ", "Bearer").Claim("email", "plans@load.test").Claim("given_name", "Ada").Claim("family_name", "Abbott").
		Claim("roles", []string{auth.RoleUser, auth.RoleAdmin}).Build()
	if err != nil {
		return "", err
	}
	signed, err := jwt.Sign(made, jwt.WithKey(auth.Algorithm, key.private))
	return string(signed), err
}

// api starts a service's program on its database, without neighbours, asks all that it can be asked for, and stops it.
func (s *session) api(ctx context.Context, service string) (err error) {
	program := filepath.Join(s.work, service)
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./apps/"+service)
	build.Dir = s.root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", service, err, out)
	}
	key, err := signer()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	_ = listener.Close()
	_, port, _ := net.SplitHostPort(address)
	log, err := os.Create(filepath.Join(s.work, service+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	const secret = "plans-only-0123456789"
	cmd := exec.Command(program)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "APP_PORT="+port, "APP_API_TOKEN="+appToken, "ISSUER="+issuer, "JWKS_URL="+key.url,
		"CURSOR_KEY="+secret, "HASH_KEY="+secret,
		"DAPR_GRPC_PORT=1", "DAPR_HTTP_PORT=1", strings.ToUpper(service)+"_DATABASE_URL="+pgtest.WithDatabase(s.server, service),
		"KEYCLOAK_URL=http://127.0.0.1:1", "AUTH_CLIENT_SECRET="+secret, "PAYMENTS_WEBHOOK_SECRET="+secret,
		"DROPS_KEY="+secret+secret, "DROPS_HEAD_KEY="+secret+secret)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
		}
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if res, err := http.Get("http://" + address + "/healthz"); err == nil {
			res.Body.Close()
			break
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("%s does not start, see %s", service, log.Name())
		}
	}
	db, err := pgx.Connect(ctx, pgtest.WithDatabase(s.server, service))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(context.WithoutCancel(ctx))) }()
	if _, err := db.Exec(ctx, `SET auto_explain.log_min_duration = -1`); err != nil {
		return err
	}
	a := &asker{root: s.root, service: service, db: db, base: "http://" + address, appToken: appToken}
	subject, err := a.subject(ctx)
	if err != nil {
		return err
	}
	if a.token, err = sign(subject.String()); err != nil {
		return err
	}
	if res, err := http.Get(a.base + "/metrics"); err == nil {
		res.Body.Close()
	}
	return a.all(ctx)
}
