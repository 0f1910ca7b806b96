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
	mu         sync.Mutex
	inTx       map[*pgx.Conn]bool
	statements []string
	commits    int
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
	c.statements, c.commits = nil, 0
}

// Statements lists what was sent since, except what begins with one of skip;
// begin and commit are among it. Blanks are made one.
func (c *Counter) Statements(skip ...string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.statements), func(sql string) bool {
		return slices.ContainsFunc(skip, func(s string) bool { return strings.HasPrefix(sql, s) })
	})
}

// Commits is how many transactions that was, statements outside of any among
// them.
func (c *Counter) Commits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commits
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
	c.statements = append(c.statements, sql)
	switch word, _, _ := strings.Cut(strings.ToLower(sql), " "); word {
	case "begin":
		c.inTx[conn] = true
	case "commit":
		c.inTx[conn] = false
		c.commits++
	case "rollback":
		c.inTx[conn] = strings.Contains(strings.ToLower(sql), "savepoint")
	default:
		if !c.inTx[conn] {
			c.commits++
		}
	}
}
