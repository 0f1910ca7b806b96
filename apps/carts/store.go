package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/serve"
)

// store keeps carts in Dapr's state under "account:<sub>" and "guest:<sha256 of
// the session>". The time to live only collects garbage.
type store struct{ dapr *dapr.Client }

// maxConflicts bounds how often one change is tried anew because another came
// first.
const maxConflicts = 10

// errTooOften is when all of these were in vain.
var errTooOften = problem.ErrUnavailable.Because(errors.New("the cart is being changed too often"))

// read returns the cart, an empty one when there is none, and its ETag.
func (s store) read(ctx context.Context, key string) (Cart, string, error) {
	value, etag, err := s.dapr.GetState(ctx, serve.State, key)
	if err != nil {
		return Cart{}, "", unavailable(err)
	}
	if value == nil {
		id, err := uuid.NewV7()
		return newCart(id), "", err
	}
	var c Cart
	if err := json.Unmarshal(value, &c); err != nil {
		return Cart{}, "", fmt.Errorf("cart %s: %w", key, err)
	}
	return c, etag, nil
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
		err = s.dapr.SaveState(ctx, serve.State, key, value, etag, life)
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
