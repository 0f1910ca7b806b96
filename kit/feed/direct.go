package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// PullDirect is Pull for a service without a database: its position is kept in
// the state store, whose ETag is the lease. Apply is idempotent by what it
// writes.
type PullDirect[T any] struct {
	Name   string
	Dapr   *dapr.Client
	Store  string // the state component's name
	Log    *slog.Logger
	Source Source
	Behind time.Duration
	Apply  func(ctx context.Context, item T) error
}

type directPosition struct {
	Since       time.Time `json:"since"`
	Cursor      string    `json:"cursor"`
	LeasedUntil time.Time `json:"leased_until"`
	Failures    int       `json:"failures"` // runs that ended at an item of this page, in a row
}

// directTries is how many runs may fail at a page before it is passed over.
const directTries = 20

// Run reads until nothing more is there, unless another instance does. It
// stops at an item that fails, and the next run begins with its page; one that
// fails run after run is logged and passed over.
func (p PullDirect[T]) Run(ctx context.Context) error {
	key := "feed:" + p.Name
	value, etag, err := p.Dapr.GetState(ctx, p.Store, key)
	if err != nil {
		return fmt.Errorf("feed %s: %w", p.Name, err)
	}
	at := directPosition{Since: time.Now().Add(-beginsWith)}
	if value != nil {
		if err := json.Unmarshal(value, &at); err != nil {
			return fmt.Errorf("feed %s: %w", p.Name, err)
		}
	}
	if at.LeasedUntil.After(time.Now()) {
		return nil
	}
	// save writes the position and takes, renews or ends the lease; false when another has it.
	save := func(lease time.Duration) (bool, error) {
		at.LeasedUntil = time.Now().Add(lease)
		value, err := json.Marshal(at)
		if err != nil {
			return false, err
		}
		err = p.Dapr.SaveState(ctx, p.Store, key, value, etag, 0)
		if errors.Is(err, dapr.ErrConflict) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("feed %s: %w", p.Name, err)
		}
		_, etag, err = p.Dapr.GetState(ctx, p.Store, key)
		return err == nil, err
	}
	if mine, err := save(lease); err != nil || !mine {
		return err
	}
	for ctx.Err() == nil {
		page, err := p.Source(ctx, Ask{Cursor: at.Cursor, Since: at.Since, Behind: int(p.Behind.Seconds()), Limit: pageSize})
		if err != nil {
			_, saveErr := save(0)
			return errors.Join(err, saveErr)
		}
		if err := p.page(ctx, page.Items); err != nil {
			if at.Failures++; at.Failures < directTries {
				_, saveErr := save(0)
				return errors.Join(err, saveErr)
			}
			p.Log.ErrorContext(ctx, "what a neighbour tells cannot be applied and is passed over", "feed", p.Name, "error", err)
		}
		at.Cursor, at.Failures = page.Cursor, 0
		hold := lease
		if !page.More {
			hold = 0
		}
		if mine, err := save(hold); err != nil || !mine || !page.More {
			return err
		}
	}
	return nil
}

// page applies every item that it can and returns the errors of the others.
func (p PullDirect[T]) page(ctx context.Context, items []json.RawMessage) error {
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	var failed []error
	for _, raw := range items {
		var item T
		err := json.Unmarshal(raw, &item)
		if err == nil {
			err = p.Apply(ctx, item)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
