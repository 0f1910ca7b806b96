package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// setSuspended notes whether an account is suspended, unless something later is known, or the account is gone.
func setSuspended(ctx context.Context, tx pgx.Tx, account uuid.UUID, suspended bool, at time.Time) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO standings (account_id, suspended, told_at) VALUES ($1, $2, $3)
		ON CONFLICT (account_id) DO UPDATE SET suspended = excluded.suspended, told_at = excluded.told_at
		WHERE standings.told_at < excluded.told_at AND standings.removed_at IS NULL`, account, suspended, at)
	if err != nil {
		return fmt.Errorf("standing: %w", err)
	}
	return nil
}
