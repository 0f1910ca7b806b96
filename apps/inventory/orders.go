package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
)

// outcome is what orders says about an order, in its feed of outcomes or when it is asked to void an id.
type outcome struct {
	OrderID uuid.UUID `json:"order_id"`
	Status  string    `json:"status"` // an order's, or void: there will never be such an order
	Reason  string    `json:"reason"` // of a cancelled order
}

// orders is the neighbour that knows what became of an order.
type orders struct{ dapr *dapr.Client }

// void asks for order ids, at most a page of a feed, to be given up where they are no orders yet. It answers what became
// of each.
func (o orders) void(ctx context.Context, ids []uuid.UUID) ([]outcome, error) {
	var out struct {
		Items []outcome `json:"items"`
	}
	err := o.dapr.Call(ctx, "orders", http.MethodPost, "/internal/orders/void", map[string]any{"ids": ids}, &out, dapr.Timeout(workLimit))
	return out.Items, err
}

// outcomes reads what orders decided, by cursor.
func (o orders) outcomes() feed.Source {
	return feed.From(o.dapr, "orders", "/internal/orders/outcomes")
}

// pullOutcomes applies what orders decided, in case its event was lost or is dead.
func (s *service) pullOutcomes() feed.Pull[outcome] {
	return feed.Pull[outcome]{
		Name: "orders.outcomes", DB: s.store.db, Log: s.log, Source: s.orders.outcomes(), Behind: s.settings.PullBehind,
		Alone: true, Apply: s.apply,
	}
}

// askOrders settles old holds that wait for their order: a crash between the hold and the order leaves such a hold
// behind, and no event will ever come. Holds are asked about from the oldest on, and again from the first when the last
// has been reached.
func (s *service) askOrders() feed.Pull[outcome] {
	return feed.Pull[outcome]{Name: "orders.void", DB: s.store.db, Log: s.log, Source: s.oldHolds, Alone: true, Apply: s.apply}
}

// oldHolds is the source of askOrders: a page of old holds, and what orders answers about them.
func (s *service) oldHolds(ctx context.Context, ask feed.Ask) (page feed.Page[json.RawMessage], err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*workLimit)
	defer cancel()
	var after heldSince
	if text, err := base64.RawURLEncoding.DecodeString(ask.Cursor); err == nil && len(text) > 0 {
		if err := json.Unmarshal(text, &after); err != nil {
			return page, fmt.Errorf("place among old holds: %w", err)
		}
	}
	before := s.store.now().Add(-s.settings.AskAfter)
	old, err := s.store.oldHolds(ctx, after, before, ask.Limit)
	if err == nil && len(old) == 0 && ask.Cursor != "" { // those behind the place are gone: begin again
		old, err = s.store.oldHolds(ctx, heldSince{}, before, ask.Limit)
	}
	if err != nil || len(old) == 0 {
		return page, err
	}
	if page.More = len(old) == ask.Limit; page.More {
		text, err := json.Marshal(old[len(old)-1])
		if err != nil {
			return page, fmt.Errorf("place among old holds: %w", err)
		}
		page.Cursor = base64.RawURLEncoding.EncodeToString(text)
	}
	ids := make([]uuid.UUID, 0, len(old))
	for _, hold := range old {
		ids = append(ids, hold.OrderID)
	}
	answers, err := s.ask(ctx, ids)
	if err != nil && len(answers) == 0 {
		return page, err
	}
	if err != nil {
		s.log.ErrorContext(ctx, "orders does not say what became of some orders", "error", err)
	}
	for _, a := range answers {
		raw, err := json.Marshal(a)
		if err != nil {
			return page, fmt.Errorf("answer about order %s: %w", a.OrderID, err)
		}
		page.Items = append(page.Items, raw)
	}
	return page, nil
}

// ask asks about ids at once, or, when that fails, in halves: one that always fails leaves the others their answer. It
// gives up when not even the first has one.
func (s *service) ask(ctx context.Context, ids []uuid.UUID) ([]outcome, error) {
	answers, err := s.orders.void(ctx, ids)
	if err == nil || len(ids) == 1 || ctx.Err() != nil {
		return answers, err
	}
	half := len(ids) / 2
	first, firstErr := s.ask(ctx, ids[:half])
	if len(first) == 0 && half > 1 {
		return nil, firstErr
	}
	second, secondErr := s.ask(ctx, ids[half:])
	return append(first, second...), errors.Join(firstErr, secondErr)
}

// apply does what an outcome means for the order's hold. Most of them have been told by an event.
func (s *service) apply(ctx context.Context, tx pgx.Tx, o outcome) error {
	switch o.Status {
	case "pending":
		return nil
	case "confirmed", "shipped", "delivered":
		if done, err := s.store.settled(ctx, tx, o.OrderID, false); err != nil || done {
			return err
		}
		return s.store.sell(ctx, tx, o.OrderID)
	case "cancelled":
		if done, err := s.store.settled(ctx, tx, o.OrderID, true); err != nil || done {
			return err
		}
		return s.store.release(ctx, tx, ending{o.OrderID, whyCancelled(o.Reason)})
	case "void":
		return s.store.release(ctx, tx, ending{o.OrderID, ByVoid})
	}
	return fmt.Errorf("order %s: unknown status %q", o.OrderID, o.Status)
}
