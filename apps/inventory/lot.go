package main

import (
	"time"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/problem"
)

// What a caller may be told about the lots of drops.
var (
	ErrClaimRequired = problem.New(problem.Forbidden, "claim-required", "It is in a drop and has to be claimed there first")
	ErrClaimLapsed   = problem.New(problem.Conflict, "claim-lapsed", "The claim's time is over")
	ErrLotNotFound   = problem.New(problem.NotFound, "lot-not-found", "The drop has no lot")
	ErrLotClosed     = problem.New(problem.Conflict, "lot-closed", "The drop has no open lot of it")
	ErrLotDiffers    = problem.New(problem.Conflict, "lot-differs", "The lot has more units, or another limit")
	ErrLotOverlaps   = problem.New(problem.Conflict, "lot-overlaps", "It is in the open lot of another drop")
)

// maxClaim is how far ahead a claim may end.
const maxClaim = 7 * 24 * time.Hour

// claim is what a drop wants to be held for an account: how many of the lot it is to have, what its orders have of it
// included, so that the same claim again changes nothing, wherever its units are by then.
type claim struct {
	drop         uuid.UUID
	shopper, sku string
	quantity     int64
	position     int64 // in the drop: those that come together are served by it
	until        time.Time
}

// Claimed is what an account has by a claim.
type Claimed struct {
	SKU       string     `json:"sku"`
	Held      int64      `json:"held" doc:"Units of the lot that the account's cart holds"`
	HeldUntil *time.Time `json:"held_until" nullable:"true" doc:"Null where the cart holds none: its orders have all of the claim"`
	Ordered   int64      `json:"ordered" doc:"Units of the lot that its orders have, pending and paid"`
}

// ordered is what a shopper's orders, pending and paid, have of a SKU.
type ordered struct {
	all   int64
	ofLot int64 // of those: of the open lot that the SKU is in
}

// claimed tells whether a hold's units are of the open lot that the SKU is in. What was claimed of a lot that was closed is
// like any other unit.
func (s *Stock) claimed(h CartHold) bool { return h.Drop != uuid.Nil && h.Drop == s.Drop }

// lotOf is the open lot that the SKU is in if it is that drop's; else one that nobody keeps, so that nothing comes of what
// is done to it.
func (s *Stock) lotOf(of uuid.UUID) *drop.Lot {
	if of != uuid.Nil && of == s.Drop {
		return &s.Lot
	}
	return &drop.Lot{}
}

// NeedsClaim refuses more than a shopper's cart holds of a SKU that is in a lot. What it held before the lot was opened
// stays its own. Errors: ErrClaimRequired, with what this shopper may have in "available".
func (s *Stock) NeedsClaim(current CartHold, quantity int64) error {
	if s.Drop == uuid.Nil || quantity <= current.Quantity {
		return nil
	}
	return ErrClaimRequired.With("sku", s.SKU).With("available", current.Quantity)
}

// OpenLot sets units aside for a drop, from those that are promised to nobody, or adds as many as the drop's lot is to have
// now. The same again changes nothing. Errors: ErrOutOfStock, with what the lot could have in "available"; ErrLotOverlaps;
// ErrLotDiffers when it has more, or another limit.
func (s *Stock) OpenLot(of uuid.UUID, units, limit int64) error {
	has := s.Lot.Units()
	switch {
	case s.Drop != uuid.Nil && s.Drop != of:
		return ErrLotOverlaps.With("sku", s.SKU)
	case s.Drop == of && (units < has || limit != s.Lot.Limit):
		return ErrLotDiffers.With("sku", s.SKU).With("units", has).With("limit", s.Lot.Limit)
	case units-has > s.Unpromised():
		return ErrOutOfStock.With("sku", s.SKU).With("available", has+s.Unpromised())
	}
	s.Drop, s.Lot.Limit = of, limit
	s.Lot.Free += units - has
	return nil
}

// CloseLot gives back what nobody has of a drop's lot. What is held stays its holders', and is like any other unit from now
// on. Of a lot that is not open nothing changes.
func (s *Stock) CloseLot(of uuid.UUID) {
	if s.Drop == of {
		s.Drop, s.Lot = uuid.Nil, drop.Lot{}
	}
}

// Claim makes the shopper's hold what it is to be by a claim. What the cart held before the lot was opened gives way to it. A
// claim lowers nothing, and takes no time away from an earlier one. Errors: ErrLotClosed; ErrClaimLapsed when units would
// have to be taken for a claim whose time is over; ErrLimitReached, by the lot's limit or the SKU's, and ErrOutOfStock, both
// with what the cart may hold in "available"; ErrInvalid for an end that is too far away.
func (s *Stock) Claim(c claim, current CartHold, has ordered, now time.Time) (CartHold, error) {
	held, want := CartHold{}, c.quantity-has.ofLot
	if s.claimed(current) {
		held = current
	}
	left := s.Lot.Limit - has.ofLot
	if s.MaxPerShopper != nil {
		left = min(left, *s.MaxPerShopper-has.all)
	}
	refused := func(p *problem.Error) (CartHold, error) {
		return current, p.With("sku", s.SKU).With("available", max(0, min(left, held.Quantity+s.Lot.Free)))
	}
	more := want > held.Quantity && c.until.After(now)
	switch {
	case s.Drop == uuid.Nil || s.Drop != c.drop:
		return current, ErrLotClosed.With("sku", s.SKU)
	case c.until.After(now.Add(maxClaim)):
		return current, problem.InvalidField("body.until", problem.CodeTooLarge, "must be within a week")
	case more && s.MaxPerShopper != nil && want > *s.MaxPerShopper-has.all:
		return refused(ErrLimitReached.With("limit", *s.MaxPerShopper))
	}
	got, refusal := s.Lot.Hold(c.quantity, c.until, now, drop.Has{Held: held.Quantity, Until: &held.ExpiresAt, Ordered: has.ofLot})
	switch {
	case refusal == drop.TooLate:
		return current, ErrClaimLapsed.With("sku", s.SKU)
	case refusal == drop.OverLimit:
		return refused(ErrLimitReached.With("limit", s.Lot.Limit))
	case refusal == drop.NoneFree:
		return refused(ErrOutOfStock)
	case want <= 0:
		return current, nil
	}
	if got.Held > held.Quantity {
		s.CartHeld += got.Held - current.Quantity
		current = CartHold{Quantity: got.Held, Retries: held.Retries, Drop: s.Drop}
	}
	current.ExpiresAt = *got.Until
	return current, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
