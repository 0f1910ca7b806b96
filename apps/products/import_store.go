package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/pg"
)

// Pictures

func savePicture(ctx context.Context, q pg.Querier, name, file string) error {
	_, err := q.Exec(ctx, `INSERT INTO pictures (name, file) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET file = excluded.file`, name, file)
	if err != nil {
		return fmt.Errorf("save picture: %w", err)
	}
	return nil
}

func loadPictures(ctx context.Context, q pg.Querier, names []string) (map[string]string, error) {
	files := map[string]string{}
	rows, err := q.Query(ctx, `SELECT name, file FROM pictures WHERE name = ANY($1)`, names)
	if err != nil {
		return nil, fmt.Errorf("load pictures: %w", err)
	}
	var name, file string
	if _, err = pgx.ForEachRow(rows, []any{&name, &file}, func() error { files[name] = file; return nil }); err != nil {
		return nil, fmt.Errorf("load pictures: %w", err)
	}
	return files, nil
}

// lockImport keeps other imports out until release is called; ok is false when one is running.
func lockImport(ctx context.Context, db *pgxpool.Pool) (release func(), ok bool, err error) {
	const key = 7310972
	conn, err := db.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("lock import: %w", err)
	}
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, key).Scan(&ok); err != nil || !ok {
		conn.Release()
		return nil, false, err
	}
	return func() {
		// A connection that cannot unlock is closed, which unlocks.
		if _, err := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, key); err != nil {
			_ = conn.Conn().Close(context.WithoutCancel(ctx))
		}
		conn.Release()
	}, true, nil
}
