package pg

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"
)

// Limits of every connection that Open makes, so that nothing waits for ever
// because some caller forgot its deadline. The server ends what takes too long
// as long as it can be reached; answerLimit and the kernel's timeouts end what
// waits for a server that cannot.
const (
	statementTimeout = 15 * time.Second // the longest statement of the shop takes a few
	lockTimeout      = 10 * time.Second // what waits longer for a row is tried again by whoever asked
	idleInTx         = 30 * time.Second // a transaction whose owner has hung up gives its rows back
	dialTimeout      = 5 * time.Second
	pingTimeout      = time.Second // before an idle connection is used: a pool full of dead ones is new within seconds
	// answerLimit is how long a read may wait: longer than any statement runs.
	answerLimit = statementTimeout + 5*time.Second
	// ackLimit is how long the kernel waits for the peer to acknowledge what was
	// sent (TCP_USER_TIMEOUT, tcp(7)); by default that is a quarter of an hour.
	ackLimit = 10 * time.Second
)

// WaitsAWhile is a condition, always true, after which the rest of the transaction waits a second at most for each lock,
// for what many wait behind. As a subquery it is evaluated before any row is locked, and costs no statement.
const WaitsAWhile = `(SELECT set_config('lock_timeout', '1s', true)) IS NOT NULL`

// limit puts the limits on a pool's connections; answer is answerLimit.
func limit(cfg *pgxpool.Config, answer time.Duration) {
	for name, d := range map[string]time.Duration{
		"statement_timeout": statementTimeout, "lock_timeout": lockTimeout, "idle_in_transaction_session_timeout": idleInTx,
	} {
		cfg.ConnConfig.RuntimeParams[name] = strconv.FormatInt(d.Milliseconds(), 10)
	}
	cfg.ConnConfig.ConnectTimeout = dialTimeout
	dialer := &net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: ackLimit / 2, Interval: 2 * time.Second, Count: 3},
	}
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if err := limitAcks(conn); err != nil {
			conn.Close()
			return nil, err
		}
		return &limited{Conn: conn, answer: answer}, nil
	}
}

// tracer traces statements, and limits how long a full pool is waited for:
// pgxpool has no setting for that, but lets the tracer of Acquire replace its
// context. Longer than the longest statement means that those who hold the
// connections wait for one themselves. Acquire itself has no span: it would
// cost as much as a small statement.
type tracer struct {
	*otelpgx.Tracer
	acquire time.Duration
	full    error // what is wrong then
}

func newTracer(acquire time.Duration) tracer {
	return tracer{otelpgx.NewTracer(), acquire, fmt.Errorf("no connection to the database was free within %s", acquire)}
}

type acquireKey struct{}

// TraceAcquireStart implements pgxpool.AcquireTracer.
func (t tracer) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	ctx, cancel := context.WithTimeoutCause(ctx, t.acquire, t.full)
	return context.WithValue(ctx, acquireKey{}, cancel)
}

// TraceAcquireEnd implements pgxpool.AcquireTracer.
func (t tracer) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if cancel, ok := ctx.Value(acquireKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

func limitAcks(conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok { // a Unix socket
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("database connection: %w", err)
	}
	var setErr error
	if err := raw.Control(func(fd uintptr) {
		setErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(ackLimit.Milliseconds()))
	}); err != nil {
		return fmt.Errorf("database connection: %w", err)
	}
	return setErr
}

// limited is a connection on which a read ends after a while, unless pgx has
// set a deadline of its own, as it does when a context ends.
type limited struct {
	net.Conn
	answer time.Duration

	mu  sync.Mutex
	own bool // pgx's deadline stands
}

// Read implements net.Conn.
func (c *limited) Read(p []byte) (int, error) {
	c.mu.Lock()
	if !c.own {
		if err := c.Conn.SetReadDeadline(time.Now().Add(c.answer)); err != nil {
			c.mu.Unlock()
			return 0, err
		}
	}
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		c.mu.Lock()
		own := c.own
		c.mu.Unlock()
		if !own {
			// pgx keeps a connection after a timeout, taking it for its own; this one is out of step for good.
			return n, fmt.Errorf("no answer from the database within %s: %w", c.answer, net.ErrClosed)
		}
	}
	return n, err
}

// SetDeadline implements net.Conn.
func (c *limited) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = !t.IsZero()
	return c.Conn.SetDeadline(t)
}
