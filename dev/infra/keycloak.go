package infra

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/dev/install"
	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// keycloak returns the identity server, in a home of this stack's own: links
// to the prepared one, our realm and our themes.
func (s Servers) keycloak(ctx context.Context) (supervise.Process, error) {
	home := filepath.Join(s.Data, filepath.Base(s.Installer().Keycloak()))
	if !install.Exists(home) {
		if err := s.copyTree(ctx, s.Installer().Keycloak(), home); err != nil {
			return supervise.Process{}, err
		}
	}
	deploy := filepath.Join(s.Root, "deploy", "keycloak")
	realm, err := os.ReadFile(filepath.Join(deploy, "realm.json"))
	if err != nil {
		return supervise.Process{}, err
	}
	// Keycloak fills the realm's ${NAMES} in itself, from its environment.
	imports := filepath.Join(home, "data", "import")
	if err := stack.WriteFile(filepath.Join(imports, "stampede-realm.json"), string(realm), 0o600); err != nil {
		return supervise.Process{}, err
	}
	named := map[string]bool{}
	for _, m := range stack.Variable.FindAllStringSubmatch(string(realm), -1) {
		named[m[1]] = true
	}
	if themes := filepath.Join(deploy, "themes"); install.Exists(themes) {
		if _, err := render(themes, filepath.Join(home, "themes"), nil, 0o644); err != nil {
			return supervise.Process{}, err
		}
		// Its colours and sizes are the pages' own.
		look := filepath.Join(home, "themes", "stampede", "login", "resources", "css")
		if _, err := render(filepath.Join(s.Root, "kit", "page", "style"), look, nil, 0o644); err != nil {
			return supervise.Process{}, err
		}
	}
	database, err := url.Parse(s.Settings.Get("KEYCLOAK_DATABASE_URL"))
	if err != nil {
		return supervise.Process{}, fmt.Errorf("KEYCLOAK_DATABASE_URL: %w", err)
	}
	if err := s.writeKeycloakPass(); err != nil {
		return supervise.Process{}, err
	}
	return supervise.Process{
		Dir: home,
		Args: []string{
			filepath.Join(home, "bin", "kc.sh"), "start", "--optimized", "--import-realm", "--cache=local",
			"--http-enabled=true", "--http-host=127.0.0.1", "--http-port=" + strconv.Itoa(s.Port(stack.PortKeycloak)),
			"--http-management-port=" + strconv.Itoa(s.Port(stack.PortKeycloakManagement)),
			"--hostname=" + s.Settings.Get("PUBLIC_URL"), "--hostname-admin=" + s.Settings.Get("KEYCLOAK_URL"), "--proxy-headers=xforwarded",
			"--db-url=jdbc:postgresql://" + database.Host + database.Path, "--db-username=" + database.User.Username(),
			"--db-pool-initial-size=1", "--db-pool-max-size=" + strconv.Itoa(stack.KeycloakConnections),
			// Its admin interface warns of a refused password with the account's name, which is an e-mail address.
			"--log-level=warn,org.keycloak.services.resources.admin:error",
		},
		Env: slices.Concat(stack.Environment(), s.Settings.Env(func(key string) bool { return named[key] }), []string{
			"PGPASSFILE=" + s.keycloakPass(), // read at each connection, so that the password may change
			"KC_BOOTSTRAP_ADMIN_USERNAME=admin",
			"KC_BOOTSTRAP_ADMIN_PASSWORD=" + s.Settings.Get("KEYCLOAK_ADMIN_PASSWORD"),
			"JAVA_OPTS_KC_HEAP=-Xms64m -Xmx384m",
			// The last one: without it each connection that PostgreSQL's end has broken
			// fails a login, one after the other.
			"JAVA_OPTS_APPEND=-XX:+UseSerialGC -XX:-UseG1GC -Xss512k -XX:ReservedCodeCacheSize=96m -Dquarkus.datasource.jdbc.validate-on-borrow=true",
		}),
		Patience: 10 * time.Second, Stage: stack.StageInfra,
		Health: "http://" + s.At(stack.PortKeycloakManagement) + "/health/ready", Stamp: supervise.Digest(string(realm)),
	}, nil
}

// keycloakPass is the file of the password to Keycloak's database (libpq's pgpass, which the driver reads too).
func (s Servers) keycloakPass() string { return filepath.Join(s.Data, "keycloak.pgpass") }

func (s Servers) writeKeycloakPass() error {
	u, err := url.Parse(s.Settings.Get("KEYCLOAK_DATABASE_URL"))
	if err != nil {
		return fmt.Errorf("KEYCLOAK_DATABASE_URL: %w", err)
	}
	password, _ := u.User.Password()
	line := []string{u.Hostname(), u.Port(), strings.TrimPrefix(u.Path, "/"), u.User.Username(), pgpass.Replace(password)}
	return stack.WriteFile(s.keycloakPass(), strings.Join(line, ":")+"\n", 0o600)
}

var pgpass = strings.NewReplacer(`\`, `\\`, ":", `\:`)

// copyTree copies a folder by hard links where it can, so that a stack's own
// Keycloak costs no disk.
func (s Servers) copyTree(ctx context.Context, from, to string) error {
	partial := to + ".partial"
	for _, how := range []string{"-al", "-a"} {
		if err := os.RemoveAll(partial); err != nil {
			return err
		}
		err := supervise.Run(ctx, s.LogFile("copy"), exec.CommandContext(ctx, "cp", how, from, partial))
		if err == nil {
			return os.Rename(partial, to)
		}
		if how == "-a" {
			return errors.Join(err, os.RemoveAll(partial))
		}
	}
	return nil
}

// realmAnswers waits until Keycloak answers through the front, as everybody
// but us will ask it.
func (s Servers) realmAnswers(ctx context.Context) error {
	url := s.Settings.Get("PUBLIC_URL") + "/realms/" + s.Settings.Get("KEYCLOAK_REALM")
	why := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if why = supervise.Check(ctx, url); why == "" {
			return nil
		}
		if !pause.For(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	return &supervise.Failure{Line: fmt.Sprintf("%s %s", url, why), Lines: supervise.Tail(s.LogFile("nginx"), 10)}
}
