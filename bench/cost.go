package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pause"
)

// cost is what a measurement took of the machine, over all of the stack's
// processes; the bench itself is not among them.
type cost struct {
	Operations   int
	Processor    map[string]time.Duration // by process
	Transactions int64                    // all that PostgreSQL ended, those that only read too
	Writes       int64                    // of these, those that changed something
	Log          int64                    // bytes of write-ahead log
	Statements   []statement              // the most frequent first; none unless PostgreSQL counts them
	Legs         map[string]float64       // by kind
}

// statement is what PostgreSQL counted of one.
type statement struct {
	Database string
	Text     string
	Calls    int64
	Took     time.Duration
}

// total is the time on a processor of one operation.
func (c *cost) total() time.Duration {
	var sum time.Duration
	for _, d := range c.Processor {
		sum += d
	}
	return sum / time.Duration(max(c.Operations, 1))
}

// per is so much of one operation.
func (c *cost) per(n float64) float64 { return n / float64(max(c.Operations, 1)) }

// statements is how many there were of one operation.
func (c *cost) statements() float64 {
	var n int64
	for _, s := range c.Statements {
		n += s.Calls
	}
	return c.per(float64(n))
}

// legs is how many calls there were of one operation.
func (c *cost) legs() float64 {
	var n float64
	for _, k := range c.Legs {
		n += k
	}
	return c.per(n)
}

// reading is what the counters stand at.
type reading struct {
	processor    map[string]time.Duration
	transactions int64
	writes       int64
	log          int64
	statements   map[string]statement
	legs         map[string]float64
}

// flushed is how long PostgreSQL may keep to itself what a connection that
// rests has counted.
const flushed = 10_500 * time.Millisecond

// measured does something and adds what it cost, but for the transactions. The
// stack is at rest before, and what was begun is at its end before the counters
// are read again.
func (b *bench) measured(ctx context.Context, do func(ctx context.Context) (*result, error)) (*result, error) {
	r, _, _, err := b.between(ctx, do)
	return r, err
}

// counted is measured with the transactions, which PostgreSQL tells late.
func (b *bench) counted(ctx context.Context, do func(ctx context.Context) (*result, error)) (*result, error) {
	r, before, after, err := b.between(ctx, do)
	if err != nil {
		return nil, err
	}
	pause.For(ctx, flushed)
	late, err := b.read(ctx)
	if err != nil {
		return nil, err
	}
	// What came after the end is what a stack at rest does, unless it is what was told late.
	since := min(late.transactions-after.transactions, int64(b.atRest*flushed.Seconds()))
	r.Cost.Transactions = late.transactions - before.transactions - since
	return r, nil
}

func (b *bench) between(ctx context.Context, do func(context.Context) (*result, error)) (r *result, before, after reading, err error) {
	if err = b.rest(ctx); err != nil {
		return
	}
	if before, err = b.read(ctx); err != nil {
		return
	}
	if r, err = do(ctx); err != nil {
		return
	}
	if err = b.rest(ctx); err != nil {
		return
	}
	if after, err = b.read(ctx); err != nil {
		return
	}
	r.Cost = after.since(before)
	r.Cost.Transactions, r.Cost.Operations = 0, r.done()
	return
}

// rest waits until the stack has ended what it was at: until next to nothing is
// written.
func (b *bench) rest(ctx context.Context) error {
	const quiet = 4 // transactions that write in half a second, which a stack at rest has too
	last, still := int64(0), 0
	for deadline := time.Now().Add(2 * time.Minute); ; {
		var now int64
		if err := b.db.QueryRow(ctx, `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).Scan(&now); err != nil {
			return err
		}
		if now-last <= quiet {
			still++
		} else {
			still = 0
		}
		if still == 2 {
			return nil
		}
		if last = now; time.Now().After(deadline) {
			return fmt.Errorf("the stack does not come to rest: %d transactions wrote in half a second", now-last)
		}
		if !pause.For(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// read reads all counters.
func (b *bench) read(ctx context.Context) (reading, error) {
	kept, _, err := b.shop.Supervisor().State()
	if err != nil {
		return reading{}, err
	}
	r := reading{processor: kept.Processor()}
	err = b.db.QueryRow(ctx, `
		SELECT (SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database WHERE datname = ANY($1)),
		       pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint`, b.databases).
		Scan(&r.transactions, &r.writes, &r.log)
	if err != nil {
		return r, err
	}
	if r.statements, err = b.readStatements(ctx); err != nil {
		return r, err
	}
	r.legs, err = b.readLegs(ctx)
	return r, err
}

func (b *bench) readStatements(ctx context.Context) (map[string]statement, error) {
	if !b.shop.Bench {
		return nil, nil
	}
	rows, err := b.db.Query(ctx, `
		SELECT datname, regexp_replace(query, '\s+', ' ', 'g'), calls, total_exec_time, s.queryid
		FROM pg_stat_statements(true) s JOIN pg_database d ON d.oid = s.dbid
		WHERE datname = ANY($1) AND userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user)`, b.databases)
	if err != nil {
		return nil, err
	}
	all := map[string]statement{}
	for rows.Next() {
		var s statement
		var ms float64
		var id int64
		if err := rows.Scan(&s.Database, &s.Text, &s.Calls, &ms, &id); err != nil {
			return nil, err
		}
		s.Took = time.Duration(ms * float64(time.Millisecond))
		all[s.Database+" "+strconv.FormatInt(id, 10)] = s
	}
	return all, rows.Err()
}

// since is what came between an earlier reading and this one.
func (r reading) since(before reading) *cost {
	c := &cost{Processor: map[string]time.Duration{}, Legs: map[string]float64{}}
	for name, used := range r.processor {
		c.Processor[name] = max(used-before.processor[name], 0) // less: it was started again
	}
	c.Transactions, c.Writes, c.Log = r.transactions-before.transactions, r.writes-before.writes, r.log-before.log
	for id, s := range r.statements {
		s.Calls -= before.statements[id].Calls
		s.Took -= before.statements[id].Took
		if s.Calls > 0 {
			c.Statements = append(c.Statements, s)
		}
	}
	slices.SortFunc(c.Statements, func(a, b statement) int { return int(b.Calls - a.Calls) })
	for kind, n := range r.legs {
		if n -= before.legs[kind]; n > 0 {
			c.Legs[kind] = n
		}
	}
	return c
}

// legKinds are the sidecars' counters of what passes a network, in the order in
// which they are shown. An event from the broker goes on to the app.
var legKinds = []struct {
	metric, name string
	legs         float64
}{
	{"dapr_http_server_request_count", "to a sidecar by HTTP", 1},
	{"dapr_grpc_io_server_completed_rpcs", "to a sidecar by gRPC", 1},
	{"dapr_runtime_service_invocation_req_sent_total", "between sidecars", 1},
	{"dapr_http_client_completed_count", "to an app", 1},
	{"dapr_component_state_count", "to the state store", 1},
	{"dapr_component_output_binding_count", "to a binding", 1},
	{"dapr_component_pubsub_egress_count", "to the broker", 1},
	{"dapr_component_pubsub_ingress_count", "from the broker, to an app", 2},
}

// readLegs adds up the counters of all sidecars.
func (b *bench) readLegs(ctx context.Context) (map[string]float64, error) {
	legs := map[string]float64{}
	for _, port := range b.metrics {
		err := scrape(ctx, port, func(metric, labels string, n float64) {
			for _, kind := range legKinds {
				if metric == kind.metric && !strings.Contains(labels, "/GetMetadata") { // whether it is alive
					legs[kind.name] += n * kind.legs
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return legs, nil
}

// scrape reads the metrics at a port of this machine that have labels.
func scrape(ctx context.Context, port int, found func(metric, labels string, value float64)) error {
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if metric, labels, ok := strings.Cut(lines.Text(), "{"); ok {
			value, _ := strconv.ParseFloat(labels[strings.LastIndexByte(labels, ' ')+1:], 64)
			found(metric, labels, value)
		}
	}
	return lines.Err()
}

// processes are the names of those that took the most, the dearest first.
func (c *cost) processes() []string {
	return slices.SortedFunc(maps.Keys(c.Processor), func(a, b string) int {
		if c.Processor[a] != c.Processor[b] {
			return int(c.Processor[b] - c.Processor[a])
		}
		return strings.Compare(a, b)
	})
}

// connect opens PostgreSQL as the one who may see all databases.
func connect(ctx context.Context, s *shop) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.Settings.Get("POSTGRES_SUPERUSER_URL"))
}
