package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// most bounds a list.
const most = 100

// store holds every SQL statement of the service.
type store struct{ db *pgxpool.Pool }

// list gives an account's entries, newest first, 100 at most.
func (s store) list(ctx context.Context, account uuid.UUID) ([]Entry, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id, note, created_at FROM entries WHERE account_id = $1
		ORDER BY created_at DESC, id LIMIT $2`, account, most)
	if err != nil {
		return nil, fmt.Errorf("list entries: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Entry])
}
