// Package names lists an instance of an app in the file that sidecars find each
// other by only while the app welcomes calls.
//
// Dapr's component (nameresolution.sqlite, 1.16.5) lists a sidecar from its
// first moment, before it listens and long before its app does, and until its
// end, also while the app is being stopped or was killed. With one instance that
// makes no difference; with several, calls that another one could answer fail.
// What Kubernetes does by readiness probes is done here: the sidecar asks the
// app at /listz, which kit/serve answers, and lists it by the answer.
package names

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	auth "github.com/dapr/components-contrib/common/authentication/sqlite"
	"github.com/dapr/components-contrib/nameresolution"
	"github.com/dapr/components-contrib/nameresolution/sqlite"
	"github.com/dapr/kit/logger"
	"github.com/dapr/kit/metadata"
)

const (
	every    = 200 * time.Millisecond // between two questions to the app
	limit    = 5 * time.Second        // of one: a busy app is no dead one
	unlisted = "-"                    // begins the name of who must not be found: no app id has it
)

// resolver is Dapr's, which registers, renews and finds, under a name that
// nobody asks for until the app welcomes calls.
type resolver struct {
	nameresolution.Resolver
	log  logger.Logger
	port int // the app's; 0 when it is not asked
	end  context.CancelFunc
	done sync.WaitGroup
}

// New makes the component.
func New(log logger.Logger) nameresolution.Resolver {
	return &resolver{Resolver: sqlite.NewResolver(log), log: log, end: func() {}}
}

// Init implements nameresolution.Resolver. A sidecar without an app is listed at
// once, and so is one whose app knows nothing of /listz.
func (r *resolver) Init(ctx context.Context, meta nameresolution.Metadata) error {
	app := meta.Instance
	if app.AppPort == 0 {
		return r.Resolver.Init(ctx, meta)
	}
	meta.Instance.AppID = unlisted + app.AppID
	if err := r.Resolver.Init(ctx, meta); err != nil {
		return err
	}
	db, err := r.open(meta.Configuration)
	if err != nil {
		return errors.Join(err, r.Resolver.Close())
	}
	if err := r.succeed(ctx, db, app); err != nil {
		return errors.Join(err, db.Close(), r.Resolver.Close())
	}
	watching, stop := context.WithCancel(context.Background())
	r.port, r.end = app.AppPort, stop
	r.done.Go(func() {
		defer db.Close()
		r.watch(watching, db, app)
	})
	return nil
}

// Close implements nameresolution.Resolver.
func (r *resolver) Close() error {
	r.end()
	r.done.Wait()
	err := r.Resolver.Close()
	if r.port != 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ask(ctx, http.DefaultClient, question(r.port, false)) // it may be waiting to hear that
	}
	return err
}

// open opens the file that the configuration names, as the component does.
func (r *resolver) open(configuration any) (*sql.DB, error) {
	var file auth.SqliteAuthMetadata
	file.Reset()
	if err := metadata.DecodeMetadata(configuration, &file); err != nil {
		return nil, fmt.Errorf("name resolution: %w", err)
	}
	source, err := file.GetConnectionString(r.log, auth.GetConnectionStringOpts{})
	if err != nil {
		return nil, fmt.Errorf("name resolution: %w", err)
	}
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, fmt.Errorf("name resolution: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// succeed forgets the sidecar that the app had before, which may have crashed:
// make up lets each take a port of its own, since callers look for one at an
// address that it had before only after a pause. Who belongs to which app is kept
// in the column namespace, which the component leaves empty.
func (r *resolver) succeed(ctx context.Context, db *sql.DB, app nameresolution.Instance) error {
	beside := fmt.Sprintf("app at %d", app.AppPort)
	_, err := db.ExecContext(ctx, `
		DELETE FROM hosts WHERE namespace = ?1 AND address <> ?2;
		UPDATE hosts SET namespace = ?1 WHERE address = ?2`, beside, address(app))
	if err != nil {
		return fmt.Errorf("name resolution: %w", err)
	}
	return nil
}

func address(app nameresolution.Instance) string {
	return net.JoinHostPort(app.Address, strconv.Itoa(app.DaprInternalPort))
}

// watch asks the app and lists it by what it answers, as soon as its sidecar
// takes calls, until ctx ends. Each
// question tells the app whether it is listed, so that one that stops knows
// when nobody finds it any more.
func (r *resolver) watch(ctx context.Context, db *sql.DB, app nameresolution.Instance) {
	client := &http.Client{Timeout: limit}
	defer client.CloseIdleConnections()
	address := address(app)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for listed := false; ; {
		welcome := ask(ctx, client, question(app.AppPort, listed))
		if welcome && !listed {
			welcome = listens(ctx, address) // an app may be up sooner than its sidecar
		}
		if welcome != listed && ctx.Err() == nil {
			name := unlisted + app.AppID
			if welcome {
				name = app.AppID
			}
			if _, err := db.ExecContext(ctx, `UPDATE hosts SET app_id = ? WHERE address = ?`, name, address); err != nil {
				r.log.Errorf("the app cannot be listed as %s: %v", name, err)
			} else if listed = welcome; listed {
				continue // and tell it
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// listens reports whether the sidecar itself takes calls.
func listens(ctx context.Context, address string) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func question(port int, listed bool) string {
	return fmt.Sprintf("http://127.0.0.1:%d/listz?listed=%t", port, listed)
}

// ask reports whether the app welcomes calls; it does unless it is not there or
// says 503.
func ask(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode != http.StatusServiceUnavailable
}
