package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pgtest"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// BenchmarkHotSKU: 64 callers who want the same SKU, by batches and, for comparison, each by an update of its own, as
// pgbench does on a hot row; and 64 who want different ones. The server of tests writes nothing through to the disk; one
// that does is given by TEST_DATABASE_URL.
func BenchmarkHotSKU(b *testing.B) {
	db := pgtest.New(b, migrations)
	cfg := db.Config()
	cfg.MaxConns = 64
	crowd, err := pgxpool.NewWithConfig(b.Context(), cfg)
	require.NoError(b, err)
	b.Cleanup(crowd.Close)
	_, err = db.Exec(b.Context(), `INSERT INTO stock (sku, on_hand) SELECT 'S' || n, 1000000000 FROM generate_series(0, 1000) n`)
	require.NoError(b, err)
	set := servetest.Settings[settings](b)
	st := &store{db: db, settings: set, now: time.Now}
	holds := gather.New(gather.Settings[wish]{Most: 200}, st.hold)
	parallel := func(name string, fn func(i int) error) {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(32)
			before := cpu(b, db)
			b.RunParallel(func(p *testing.PB) {
				for i := 0; p.Next(); i++ {
					if err := fn(i); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((cpu(b, db)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
	parallel("update", func(int) error {
		_, err := crowd.Exec(b.Context(), `UPDATE stock SET crossings = crossings + 1 WHERE sku = $1`, "S0")
		return err
	})
	parallel("hold", func(int) error {
		_, err := holds.Do(b.Context(), cartWish("guest:"+uuid.NewString(), "S1", 1))
		return err
	})
	parallel("hold others", func(i int) error {
		_, err := holds.Do(b.Context(), cartWish("guest:"+uuid.NewString(), fmt.Sprintf("S%d", i%1000), 1))
		return err
	})
}

// cpu is what this process and the server's for its database have used so far. Rates depend on what else the machine
// does; this does not.
func cpu(b *testing.B, db *pgxpool.Pool) (used time.Duration) {
	rows, err := db.Query(b.Context(), `
		SELECT pid FROM pg_stat_activity WHERE datname = current_database() UNION ALL SELECT $1`, os.Getpid())
	require.NoError(b, err)
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(b, err)
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, ticks := range fields[11:13] { // utime and stime, proc(5)
			n, err := strconv.Atoi(ticks)
			require.NoError(b, err)
			used += time.Duration(n) * time.Second / 100
		}
	}
	return used
}
