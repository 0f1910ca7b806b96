package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
)

// store keeps carts in Dapr's state under "account:<sub>" and "guest:<sha256 of
// the session>". The time to live only collects garbage. What is read, or
// written, at the same time is so by one request to the sidecar.
type store struct {
	dapr  *dapr.Client
	reads *gather.Gatherer[string, dapr.State]
	saves *gather.Gatherer[dapr.State, struct{}]
}

func newStore(sidecar *dapr.Client) store {
	s := store{dapr: sidecar}
	s.reads = gather.New(gather.Settings[string]{}, s.readAll)
	s.saves = gather.New(gather.Settings[dapr.State]{Conflict: func(s dapr.State) string { return s.Key }}, s.saveAll)
	return s
}

// readAll reads each alone when not all could be read at once.
func (s store) readAll(ctx context.Context, keys []string) ([]gather.Answer[dapr.State], error) {
	answers := make([]gather.Answer[dapr.State], len(keys))
	if len(keys) > 1 {
		states, err := s.dapr.GetStates(ctx, serve.State, slices.Compact(slices.Sorted(slices.Values(keys))))
		if err == nil {
			for i, key := range keys {
				answers[i].Value = states[key]
			}
			return answers, nil
		}
	}
	var each sync.WaitGroup
	for i, key := range keys {
		each.Go(func() {
			a := &answers[i]
			a.Value.Value, a.Value.ETag, a.Err = s.dapr.GetState(ctx, serve.State, key)
		})
	}
	each.Wait()
	return answers, nil
}

// saveAll writes each alone when not all could be written at once: what was
// written with the others then appears to have been changed by somebody else,
// and every change of a cart may be done twice.
func (s store) saveAll(ctx context.Context, states []dapr.State) ([]gather.Answer[struct{}], error) {
	answers := make([]gather.Answer[struct{}], len(states))
	if len(states) > 1 && s.dapr.SaveStates(ctx, serve.State, states, life) == nil {
		return answers, nil
	}
	var each sync.WaitGroup
	for i, state := range states {
		each.Go(func() { answers[i].Err = s.dapr.SaveState(ctx, serve.State, state.Key, state.Value, state.ETag, life) })
	}
	each.Wait()
	return answers, nil
}

// maxConflicts bounds how often one change is tried anew because another came
// first.
const maxConflicts = 10

// errTooOften is when all of these were in vain.
var errTooOften = problem.ErrUnavailable.Because(errors.New("the cart is being changed too often"))

// read returns the cart, an empty one when there is none, and its ETag.
func (s store) read(ctx context.Context, key string) (Cart, string, error) {
	state, err := s.reads.Do(ctx, key)
	if err != nil {
		return Cart{}, "", unavailable(err)
	}
	if state.Value == nil {
		id, err := uuid.NewV7()
		return newCart(id), "", err
	}
	var c Cart
	if err := json.Unmarshal(state.Value, &c); err != nil {
		return Cart{}, "", fmt.Errorf("cart %s: %w", key, err)
	}
	return c, state.ETag, nil
}

// change reads the cart, lets fn change it and saves it unless it was changed
// meanwhile; then it begins again, fn included. fn gets a new id, for when the
// lines change, and returns false when there is nothing to save. The cart is
// returned as it is then.
func (s store) change(ctx context.Context, key string, now time.Time, fn func(c *Cart, fresh uuid.UUID) (bool, error)) (Cart, error) {
	for range maxConflicts {
		c, etag, err := s.read(ctx, key)
		if err != nil {
			return c, err
		}
		fresh, err := uuid.NewV7()
		if err != nil {
			return c, fmt.Errorf("cart: %w", err)
		}
		save, err := fn(&c, fresh)
		if err != nil || !save {
			return c, err
		}
		c.Version++
		c.ExpiresAt = now.Add(life)
		value, err := json.Marshal(c)
		if err != nil {
			return c, fmt.Errorf("cart: %w", err)
		}
		_, err = s.saves.Do(ctx, dapr.State{Key: key, Value: value, ETag: etag})
		if errors.Is(err, dapr.ErrConflict) {
			continue
		}
		if err != nil {
			return c, unavailable(err)
		}
		return c, nil
	}
	return Cart{}, errTooOften
}

// drop forgets a cart as it was read with etag. Errors: dapr.ErrConflict when it
// was changed since.
func (s store) drop(ctx context.Context, key, etag string) error {
	err := s.dapr.DeleteState(ctx, serve.State, key, etag)
	if err == nil || errors.Is(err, dapr.ErrConflict) {
		return err
	}
	return unavailable(err)
}

func unavailable(err error) error { return problem.ErrUnavailable.Because(err) }
