package pgtest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// Counter counts what goes over a pool: what cannot be timed can be counted.
type Counter struct {
	mu   sync.Mutex
	inTx map[*pgx.Conn]bool
	sent []statement
}

type statement struct {
	sql     string
	commits bool // or stands alone
}

// Count opens the database of db once more, over connections that are counted.
func Count(t testing.TB, db *pgxpool.Pool) (*pgxpool.Pool, *Counter) {
	t.Helper()
	c := &Counter{inTx: map[*pgx.Conn]bool{}}
	cfg := db.Config()
	cfg.ConnConfig.Tracer = c
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool, c
}

// Reset begins to count anew.
func (c *Counter) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = nil
}

// Statements lists what was sent since, except what begins with one of skip;
// begin and commit are among it. Blanks are made one.
func (c *Counter) Statements(skip ...string) []string {
	var list []string
	for _, s := range c.since(skip) {
		list = append(list, s.sql)
	}
	return list
}

// Commits is in how many transactions that was; a statement outside of any is
// one.
func (c *Counter) Commits(skip ...string) (n int) {
	for _, s := range c.since(skip) {
		if s.commits {
			n++
		}
	}
	return n
}

func (c *Counter) since(skip []string) []statement {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.sent), func(s statement) bool {
		return slices.ContainsFunc(skip, func(begin string) bool { return strings.HasPrefix(s.sql, begin) })
	})
}

// TraceQueryStart implements pgx.QueryTracer.
func (c *Counter) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	c.add(conn, data.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (c *Counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (c *Counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (c *Counter) TraceBatchQuery(_ context.Context, conn *pgx.Conn, data pgx.TraceBatchQueryData) {
	c.add(conn, data.SQL)
}

// TraceBatchEnd implements pgx.BatchTracer.
func (c *Counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (c *Counter) add(conn *pgx.Conn, sql string) {
	sql = strings.Join(strings.Fields(sql), " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	commits := false
	switch word, _, _ := strings.Cut(strings.ToLower(sql), " "); word {
	case "begin":
		c.inTx[conn] = true
	case "commit":
		c.inTx[conn], commits = false, true
	case "rollback":
		c.inTx[conn] = strings.Contains(strings.ToLower(sql), "savepoint")
	default:
		commits = !c.inTx[conn]
	}
	c.sent = append(c.sent, statement{sql, commits})
}
