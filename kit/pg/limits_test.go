package pg_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/pgtest"
)

// wire is a way to a database that can be made to swallow what is sent: the
// connection stays open, and nothing comes back.
type wire struct {
	net.Listener
	mu     sync.Mutex
	silent bool
	change *sync.Cond
}

// newWire returns the wire and the address of db behind it.
func newWire(t *testing.T, db *pgxpool.Pool) (*wire, string) {
	t.Helper()
	cfg := db.Config().ConnConfig
	network, address := "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	if strings.HasPrefix(cfg.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{Listener: l}
	w.change = sync.NewCond(&w.mu)
	t.Cleanup(func() { w.say(true); l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial(network, address)
			if err != nil {
				near.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				go w.carry(way[0], way[1])
			}
		}
	}()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: l.Addr().String(), Path: "/" + cfg.Database, RawQuery: "sslmode=disable"}
	return w, u.String()
}

func (w *wire) carry(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		w.mu.Lock()
		for w.silent {
			w.change.Wait()
		}
		w.mu.Unlock()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// say makes the wire carry everything, or nothing.
func (w *wire) say(carries bool) {
	w.mu.Lock()
	w.silent = !carries
	w.mu.Unlock()
	w.change.Broadcast()
}

// TestSilentDatabase: a connection that is open and dead ends a statement that
// has no deadline, and the pool works again when the database is back.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	w, address := newWire(t, pgtest.New(t, nil))
	db, err := pg.OpenWithin(t.Context(), address, 300*time.Millisecond)
	require.NoError(t, err)
	defer db.Close()
	w.say(false)
	failed := make(chan error, 1)
	go func() {
		_, err := db.Exec(context.Background(), `SELECT 1`)
		failed <- err
	}()
	select {
	case err := <-failed:
		require.Error(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("the statement still waits")
	}
	w.say(true)
	var n int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT 2`).Scan(&n))
	require.Equal(t, 2, n)
}

// TestFullPool: who waits for a connection gets an error in the end, also
// without a deadline, when those who have them wait, too.
func TestFullPool(t *testing.T) {
	t.Parallel()
	_, address := newWire(t, pgtest.New(t, nil))
	db, err := pg.OpenWithin(t.Context(), address, 300*time.Millisecond)
	require.NoError(t, err)
	defer db.Close()
	for range db.Config().MaxConns {
		held, err := db.Acquire(context.Background())
		require.NoError(t, err)
		defer held.Release()
	}
	_, err = db.Exec(context.Background(), `SELECT 1`)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestContextsEndFirst: a caller's own deadline is kept to the moment.
func TestContextsEndFirst(t *testing.T) {
	t.Parallel()
	w, address := newWire(t, pgtest.New(t, nil))
	db, err := pg.OpenWithin(t.Context(), address, time.Hour)
	require.NoError(t, err)
	defer db.Close()
	w.say(false)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = db.Exec(ctx, `SELECT 1`)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	w.say(true)
}

// TestServerLimits: the server ends what takes too long itself.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	_, address := newWire(t, pgtest.New(t, nil))
	db, err := pg.Open(t.Context(), address, pg.Connections)
	require.NoError(t, err)
	defer db.Close()
	for setting, want := range map[string]string{"statement_timeout": "15s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "30s"} {
		var value string
		require.NoError(t, db.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&value))
		require.Equal(t, want, value, setting)
	}
}

// TestListenGoesOn: who listens notices a connection that died without a word,
// connects again, and is told that something may have been missed.
func TestListenGoesOn(t *testing.T) {
	t.Parallel()
	straight := pgtest.New(t, nil)
	w, address := newWire(t, straight)
	db, err := pg.OpenWithin(t.Context(), address, 300*time.Millisecond)
	require.NoError(t, err)
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 16)
	var listening sync.WaitGroup
	listening.Go(func() { pg.Listen(ctx, db, "news", func(payload string) { heard <- payload }) })
	next := func() string {
		select {
		case payload := <-heard:
			return payload
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is heard")
			return ""
		}
	}
	require.Empty(t, next(), "connected")
	w.say(false)
	w.say(true)
	require.Empty(t, next(), "connected again")
	for payload := ""; payload != "hello"; payload = next() {
		_, err = straight.Exec(ctx, `SELECT pg_notify('news', 'hello')`)
		require.NoError(t, err)
	}
	cancel()
	listening.Wait()
}
