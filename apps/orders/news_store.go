package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	tellEvery = 20 * time.Millisecond
	tellLimit = 2 * time.Second
	mostTold  = 200 // ids in one notification, which has room for 8,000 bytes (PostgreSQL 15, NOTIFY)
)

// news are the orders that this instance has changed, until it has told the other instances. A NOTIFY within the
// transaction of the change would hold up all other commits of the cluster.
type news struct {
	db *pgxpool.Pool

	mu    sync.Mutex
	ids   []uuid.UUID
	fresh chan struct{} // has room for one
}

func newNews(db *pgxpool.Pool) *news { return &news{db: db, fresh: make(chan struct{}, 1)} }

func (n *news) add(ids ...uuid.UUID) {
	n.mu.Lock()
	n.ids = append(n.ids, ids...)
	n.mu.Unlock()
	select {
	case n.fresh <- struct{}{}:
	default:
	}
}

// tell tells the other instances, every tellEvery at most, until ctx ends; then what was changed last.
func (n *news) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return n.tellNow(ctx)
		case <-n.fresh:
		}
		if err := n.tellNow(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(tellEvery):
		}
	}
}

// tellNow tells what is to be told, also while the service is stopping.
func (n *news) tellNow(ctx context.Context) error {
	n.mu.Lock()
	ids := n.ids
	n.ids = nil
	n.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	payload := "" // everybody look: more than can be named
	if len(ids) <= mostTold {
		names := make([]string, 0, len(ids))
		for _, id := range ids {
			names = append(names, id.String())
		}
		payload = strings.Join(names, ",")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellLimit)
	defer cancel()
	if _, err := n.db.Exec(ctx, `SELECT pg_notify($1, $2)`, changed, payload); err != nil {
		n.add(ids...)
		return fmt.Errorf("tell of changed orders: %w", err)
	}
	return nil
}
