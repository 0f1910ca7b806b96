package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/trace"
)

// Requests to hear that a SKU is back. Whoever asks or confirms locks the product before looking whether the SKU is in
// stock, and applyStock locks it before it looks who waits: one of the two sees the other.

// lockAddress lets one at a time add requests to an address, so that neither the mails nor the requests become too many.
const lockAddress = `SELECT pg_advisory_xact_lock(hashtextextended('stock request of ' || $1, 0))`

// ask keeps a request, once for a SKU and an address. One that was answered begins anew. A guest's address is asked by mail
// whether it wants this. Errors: ErrProductNotFound, ErrInStock, ErrManyRequests.
func (s store) ask(ctx context.Context, r stockRequest) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockAddress, r.Email); err != nil {
			return fmt.Errorf("ask for stock: %w", err)
		}
		if err := lockProducts(ctx, tx, r.SKU); err != nil {
			return err
		}
		found, err := loadVariants(ctx, tx, []string{r.SKU})
		switch {
		case err != nil:
			return err
		case len(found) == 0 || found[0].Status != Published:
			return ErrProductNotFound
		case found[0].InStock:
			return ErrInStock
		}
		var waits bool
		var others int
		err = tx.QueryRow(ctx, `
			SELECT COALESCE(bool_or(sku = $2), false), count(*) FILTER (WHERE sku <> $2)
			FROM stock_requests WHERE email = $1 AND told_at IS NULL`, r.Email, r.SKU).Scan(&waits, &others)
		switch {
		case err != nil:
			return fmt.Errorf("ask for stock: %w", err)
		case !waits && others >= maxRequests && r.AccountID == nil:
			return nil // a stranger learns nothing about an address
		case !waits && others >= maxRequests:
			return ErrManyRequests
		}
		err = tx.QueryRow(ctx, `
			INSERT INTO stock_requests AS r (id, sku, email, account_id, asked_at, confirmed_at) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (sku, email) DO UPDATE SET
				id = CASE WHEN r.told_at IS NULL THEN r.id ELSE EXCLUDED.id END,
				account_id = COALESCE(EXCLUDED.account_id, r.account_id),
				asked_at = CASE WHEN r.told_at IS NULL THEN r.asked_at ELSE EXCLUDED.asked_at END,
				confirmed_at = COALESCE(CASE WHEN r.told_at IS NULL THEN r.confirmed_at END, EXCLUDED.confirmed_at),
				told_at = NULL
			RETURNING id, confirmed_at`, r.ID, r.SKU, r.Email, r.AccountID, r.AskedAt, r.ConfirmedAt).Scan(&r.ID, &r.ConfirmedAt)
		if err != nil || r.ConfirmedAt != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE stock_requests SET mailed_at = $3
			WHERE id = $1 AND NOT EXISTS (SELECT FROM stock_requests WHERE email = $2 AND mailed_at > $4)`,
			r.ID, r.Email, r.AskedAt, r.AskedAt.Add(-mailAgain))
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return outbox.Put(ctx, tx, events.StockRequested{StockRequest: r.about(found[0], r.AskedAt)})
	})
}

// lockProducts keeps the stock of SKUs as it is until tx ends.
func lockProducts(ctx context.Context, tx pgx.Tx, skus ...string) error {
	_, err := tx.Exec(ctx, `
		SELECT FROM products WHERE id IN (SELECT product_id FROM variants WHERE sku = ANY($1)) ORDER BY id FOR SHARE`, skus)
	if err != nil {
		return fmt.Errorf("lock products: %w", err)
	}
	return nil
}

// confirm notes that the owner of an address wants to hear, of a request and of the address's others. Done again it changes
// nothing. Errors: ErrRequestNotFound.
func (s store) confirm(ctx context.Context, id uuid.UUID, now time.Time) error {
	return pg.InTx(ctx, s.db, func(tx pgx.Tx) error {
		var email string
		err := tx.QueryRow(ctx, `SELECT email FROM stock_requests WHERE id = $1`, id).Scan(&email)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrRequestNotFound
		}
		if err != nil {
			return fmt.Errorf("confirm request: %w", err)
		}
		rows, err := tx.Query(ctx, `
			UPDATE stock_requests SET confirmed_at = $2 WHERE email = $1 AND confirmed_at IS NULL RETURNING sku`, email, now)
		if err != nil {
			return fmt.Errorf("confirm request: %w", err)
		}
		skus, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(skus) == 0 {
			return err
		}
		if err := lockProducts(ctx, tx, skus...); err != nil {
			return err
		}
		var batch pgx.Batch
		markReturns(ctx, &batch, skus, now)
		return tx.SendBatch(ctx, &batch).Close()
	})
}

// markReturns notes those of the SKUs that are in stock while somebody waits for them. It waits for who tells them at this
// moment, so that nobody is overlooked. They are told in the trace of ctx.
func markReturns(ctx context.Context, batch *pgx.Batch, skus []string, now time.Time) {
	batch.Queue(`
		INSERT INTO stock_returns (sku, at, traceparent)
		SELECT v.sku, $2, $3 FROM variants v WHERE v.sku = ANY($1) AND v.in_stock AND EXISTS (
			SELECT FROM stock_requests r WHERE r.sku = v.sku AND r.confirmed_at IS NOT NULL AND r.told_at IS NULL)
		ORDER BY v.sku
		ON CONFLICT (sku) DO UPDATE SET at = stock_returns.at`, skus, now, trace.Of(ctx))
}

// tellReturned tells those who wait for SKUs that are back, of each SKU so many at a time, in the order of their asking. When
// it is gone again before all were told, the others go on waiting.
func tellReturned(ctx context.Context, db *pgxpool.Pool, now time.Time) error {
	for after := ""; ctx.Err() == nil; {
		err := pg.InTx(ctx, db, func(tx pgx.Tx) error {
			var traceparent string
			err := tx.QueryRow(ctx, `
				SELECT s.sku, s.traceparent FROM stock_returns s WHERE s.sku > $1 AND NOT EXISTS (
					SELECT FROM variants v JOIN products p ON p.id = v.product_id
					WHERE v.sku = s.sku AND v.in_stock AND p.status <> 'published')
				ORDER BY s.sku LIMIT 1 FOR UPDATE SKIP LOCKED`, after).Scan(&after, &traceparent)
			if err != nil {
				return err
			}
			return tellOne(trace.Resume(ctx, traceparent), tx, after, now)
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tell that stock is back: %w", err)
		}
	}
	return ctx.Err()
}

// tellOne tells the next who wait for a SKU whose mark is locked, and takes the mark away when nobody is left to tell.
func tellOne(ctx context.Context, tx pgx.Tx, sku string, now time.Time) error {
	found, err := loadVariants(ctx, tx, []string{sku})
	if err != nil {
		return err
	}
	var told []stockRequest
	if len(found) > 0 && found[0].InStock {
		rows, err := tx.Query(ctx, `
			UPDATE stock_requests SET told_at = $2 WHERE id IN (
				SELECT id FROM stock_requests WHERE sku = $1 AND confirmed_at IS NOT NULL AND told_at IS NULL
				ORDER BY confirmed_at LIMIT $3 FOR UPDATE)
			RETURNING `+requestColumns, sku, now, tellAtOnce)
		if err != nil {
			return err
		}
		if told, err = pgx.CollectRows(rows, pgx.RowToStructByName[stockRequest]); err != nil {
			return err
		}
	}
	slices.SortFunc(told, func(a, b stockRequest) int { return a.ConfirmedAt.Compare(*b.ConfirmedAt) })
	news := make([]outbox.Event, 0, len(told))
	for _, r := range told {
		news = append(news, events.StockReturned{StockRequest: r.about(found[0], now)})
	}
	if err := outbox.Put(ctx, tx, news...); err != nil || len(told) == tellAtOnce {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM stock_returns WHERE sku = $1`, sku)
	return err
}

const requestColumns = `id, sku, email, account_id, asked_at, confirmed_at, told_at`

// By what requests are looked for. An account's are those that wait.
const (
	byRequestID = `SELECT ` + requestColumns + ` FROM stock_requests WHERE id = $1`
	byAccount   = `SELECT ` + requestColumns + ` FROM stock_requests WHERE account_id = $1 AND told_at IS NULL ORDER BY asked_at`
)

func loadRequests(ctx context.Context, q pg.Querier, by string, id uuid.UUID) ([]stockRequest, error) {
	rows, err := q.Query(ctx, by, id)
	if err != nil {
		return nil, fmt.Errorf("load requests: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[stockRequest])
	if err != nil {
		return nil, fmt.Errorf("load requests: %w", err)
	}
	return found, nil
}

// forget deletes all requests of an address that one of them names. Errors: ErrRequestNotFound.
func (s store) forget(ctx context.Context, id uuid.UUID) error {
	tag, err := s.db.Exec(ctx, `DELETE FROM stock_requests WHERE email = (SELECT email FROM stock_requests WHERE id = $1)`, id)
	if err != nil {
		return fmt.Errorf("forget requests: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrRequestNotFound
	}
	return nil
}

// moveRequests gives an account's requests the address that it has since at, unless they have a later one. Where that address
// waits for the same SKU already, one request stays: one that waits before one that was answered.
func moveRequests(ctx context.Context, tx pgx.Tx, account uuid.UUID, email string, at time.Time) error {
	const moved = `r.account_id = $1 AND r.email <> $2 AND COALESCE(r.email_at, r.asked_at) < $3`
	var batch pgx.Batch
	batch.Queue(lockAddress, email)
	batch.Queue(`
		DELETE FROM stock_requests r USING stock_requests o
		WHERE `+moved+` AND r.told_at IS NOT NULL AND o.sku = r.sku AND o.email = $2`, account, email, at)
	batch.Queue(`
		DELETE FROM stock_requests o USING stock_requests r
		WHERE `+moved+` AND o.sku = r.sku AND o.email = $2`, account, email, at)
	batch.Queue(`UPDATE stock_requests r SET email = $2, email_at = $3 WHERE `+moved, account, email, at)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("move an account's requests: %w", err)
	}
	return nil
}

// forgetAccount deletes all requests of an account.
func forgetAccount(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if _, err := tx.Exec(ctx, `DELETE FROM stock_requests WHERE account_id = $1`, id); err != nil {
		return fmt.Errorf("forget an account's requests: %w", err)
	}
	return nil
}

// pruneRequests deletes requests whose life is over.
func pruneRequests(ctx context.Context, db *pgxpool.Pool, now time.Time) error {
	for _, over := range []struct {
		where string
		life  time.Duration
	}{
		{"told_at < $2", toldLife}, {"confirmed_at IS NULL AND asked_at < $2", pendingLife}, {"asked_at < $2", waitingLife},
	} {
		err := pg.Prune(ctx, db, `
			DELETE FROM stock_requests WHERE id IN (SELECT id FROM stock_requests WHERE `+over.where+` LIMIT $1)`, now.Add(-over.life))
		if err != nil {
			return fmt.Errorf("requests: %w", err)
		}
	}
	return nil
}
