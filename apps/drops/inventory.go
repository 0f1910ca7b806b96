package main

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/problem"
)

// inventory is the neighbour that has the lots.
type inventory struct{ dapr *dapr.Client }

func lotsPath(of uuid.UUID) string { return "/internal/lots/" + of.String() }

// stands is how inventory says that a lot stands.
type stands struct {
	SKU   string `json:"sku"`
	Units int64  `json:"units"`
	Free  int64  `json:"free"`
	Held  int64  `json:"held"`
	Sold  int64  `json:"sold"`
}

type stand struct {
	Items []stands `json:"items"`
}

// open sets a drop's units aside, or adds to them. The same again changes nothing.
func (i inventory) open(ctx context.Context, of uuid.UUID, lots []LotWanted) ([]stands, error) {
	var out stand
	err := i.dapr.Call(ctx, "inventory", http.MethodPut, lotsPath(of), map[string]any{"items": lots}, &out)
	return out.Items, err
}

// close gives back what nobody has of them.
func (i inventory) close(ctx context.Context, of uuid.UUID) error {
	return i.dapr.Call(ctx, "inventory", http.MethodDelete, lotsPath(of), nil, nil)
}

// lots reads how they stand.
func (i inventory) lots(ctx context.Context, of uuid.UUID) ([]stands, error) {
	var out stand
	err := i.dapr.Call(ctx, "inventory", http.MethodGet, lotsPath(of), nil, &out)
	return out.Items, err
}

// wantsHeld is what inventory is to hold of a lot for an account.
type wantsHeld struct {
	Account  uuid.UUID `json:"account"`
	SKU      string    `json:"sku"`
	Quantity int64     `json:"quantity"`
	Position int64     `json:"position"`
	Until    time.Time `json:"until"`
}

// wants has a claim held until then.
func (c toClaim) wants(until time.Time) wantsHeld {
	return wantsHeld{c.AccountID, c.SKU, c.Quantity, c.Position, until}
}

// none has nothing held of a claim.
func (c toClaim) none() wantsHeld { return wantsHeld{c.AccountID, c.SKU, 0, c.Position, *c.Until} }

// isHeld is what an account has by a claim.
type isHeld struct {
	Held      int64      `json:"held"`
	HeldUntil *time.Time `json:"held_until"`
	Ordered   int64      `json:"ordered"`
}

func (h isHeld) has() drop.Has { return drop.Has{Held: h.Held, Until: h.HeldUntil, Ordered: h.Ordered} }

// claim holds what is claimed, each answered by itself.
func (i inventory) claim(ctx context.Context, of uuid.UUID, wants []wantsHeld) ([]gather.Answer[isHeld], error) {
	return dapr.CallEach[wantsHeld, isHeld](ctx, i.dapr, "inventory", lotsPath(of)+"/claims", wants)
}

// has reads what accounts have of a drop, in the order in which they are asked about, also when its lots are closed.
func (i inventory) has(ctx context.Context, of uuid.UUID, claims []toClaim) ([]isHeld, error) {
	type who struct {
		Account uuid.UUID `json:"account"`
		SKU     string    `json:"sku"`
	}
	asked := make([]who, 0, len(claims))
	for _, c := range claims {
		asked = append(asked, who{c.AccountID, c.SKU})
	}
	var out struct{ Items []isHeld }
	err := i.dapr.Call(ctx, "inventory", http.MethodPost, lotsPath(of)+"/claimed", map[string]any{"items": asked}, &out)
	if err == nil && len(out.Items) != len(asked) {
		err = problem.ErrUnavailable
	}
	return out.Items, err
}
