package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	kitauth "github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/pricing"
)

// What somebody who places an order may be told.
var (
	ErrCartEmpty          = problem.New(problem.Conflict, "cart-empty", "There is nothing in the cart")
	ErrPriceChanged       = problem.New(problem.Conflict, "price-changed", "The total is not the expected one")
	ErrOutOfStock         = problem.New(problem.Conflict, "out-of-stock", "Not enough stock")
	ErrLimitReached       = problem.New(problem.Conflict, "limit-reached", "No shopper may have so many")
	ErrClaimRequired      = problem.New(problem.Forbidden, "claim-required", "It is in a drop and has to be claimed there first")
	ErrProductUnavailable = problem.New(problem.Conflict, "product-unavailable", "A product is no longer sold")
	ErrAlreadyOrdered     = problem.New(problem.Conflict, "already-ordered", "This cart was ordered already")
	ErrAccountSuspended   = problem.New(problem.Forbidden, "account-suspended", "The account is suspended")
	ErrAddressNotFound    = problem.New(problem.NotFound, "address-not-found", "There is no such address")
)

var (
	// errCheckoutBusy means that another key's attempt holds the checkout and is at work.
	errCheckoutBusy = errors.New("the checkout is being ordered")
	// errVoid means that the order id was made void while the attempt was at work.
	errVoid = errors.New("the order id is void")
)

const (
	placeLimit    = 5 * time.Second         // of POST /orders
	refuseLimit   = 2 * time.Second         // of cleaning up after it
	lease         = 30 * time.Second        // of an attempt; longer than both limits together
	keepKeys      = 24 * time.Hour          // answers of 2xx
	instead       = time.Hour               // after a decline: what was held for that order is on its way back to the cart, if not there yet
	claimPatience = 1500 * time.Millisecond // for another attempt at the same checkout to end
	claimEvery    = 50 * time.Millisecond
)

// attempt is one try to place an order under an idempotency key. Its order id stays the same when another instance
// takes the attempt over.
type attempt struct {
	Account   uuid.UUID
	Key       string
	BodyHMAC  []byte // of what was asked for, under a key that nobody has used
	OrderID   uuid.UUID
	Holder    int  // tells this holder of the lease from those before and after
	Held      bool // inventory holds something for OrderID, or may do so
	Unwritten bool // the key has no row yet: the claim writes it

	InsteadOf *uuid.UUID // the order that was declined a while ago
}

// bought is the error that an order bought what is in the cart to this moment.
type bought struct {
	order   uuid.UUID
	whole   bool // the cart has not changed since; else only some of it was bought
	pending bool // the order may still be declined; else it was confirmed
}

// Error implements error.
func (e bought) Error() string { return "in the cart is what was bought by order " + e.order.String() }

// basket is what an attempt is for. Orders of the checkouts from Since to before CheckoutID, those in Ended excepted,
// bought lines that have not left the cart yet.
type basket struct {
	CheckoutID uuid.UUID    `json:"checkout_id"`
	Since      uuid.UUID    `json:"since"`
	Ended      []uuid.UUID  `json:"ended"`
	Lines      []basketLine `json:"lines"`
}

type basketLine struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// placeRequest is the body of POST /orders.
type placeRequest struct {
	Address       *Address    `json:"address,omitempty" doc:"Where to deliver; or address_id"`
	AddressID     *string     `json:"address_id,omitempty" format:"uuid" doc:"One of the account's addresses; or address"`
	PaymentMethod string      `json:"payment_method" enum:"pm_card_visa,pm_card_chargeDeclined,pm_card_chargeDeclinedInsufficientFunds,pm_sandbox_slow,pm_sandbox_timeout,pm_sandbox_error"`
	ExpectedTotal money.Money `json:"expected_total" doc:"What the customer was shown"`
}

// placeOrder places an order, in the steps of docs/architecture.md ("One order's life"). It works on when the client goes away: the
// order id exists, and a client that asks again with its key gets the answer.
//
// A crash between any two steps is cured by the same key (another instance takes the attempt over when the lease is
// out: same order id, and the hold is idempotent), by another key for the same checkout (which makes the old order id
// void), or by inventory, which asks for the void of an order id whose hold grows old.
func (s *service) placeOrder(ctx context.Context, who kitauth.Caller, key string, req placeRequest) (*Order, error) {
	if err := idempotency.CheckKey(key); err != nil {
		return nil, err
	}
	if err := s.check(&req); err != nil {
		return nil, err
	}
	hash, err := idempotency.Hash(req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), placeLimit)
	defer cancel()
	known, err := s.store.looks.Do(ctx, asked{who.ID, key})
	if err != nil {
		return nil, err
	}
	if known.Suspended { // the token is from before, and still valid
		return nil, ErrAccountSuspended
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("order id: %w", err)
	}
	if !known.Known {
		// Nothing is written before there is something to hold.
		a := attempt{Account: who.ID, Key: key, BodyHMAC: hash.Kept(), OrderID: id, Holder: 1, Unwritten: true}
		o, err := s.attempt(ctx, &a, who, req)
		switch {
		case err == nil:
			return o, nil
		case !a.Unwritten:
			return s.refuse(ctx, a, err)
		case !errors.Is(err, errTaken):
			return nil, err
		}
	}
	a, answer, abandoned, err := s.store.Begin(ctx, who.ID, key, id, hash, s.now())
	if err != nil {
		return nil, err
	}
	s.release(ctx, abandoned...)
	if answer != nil {
		return decodeAnswer(answer)
	}
	o, err := s.attempt(ctx, &a, who, req)
	if err != nil {
		return s.refuse(ctx, a, err)
	}
	return o, nil
}

// attempt goes through the steps from the cart to the order. It keeps a up to date, so that refuse knows what to undo.
func (s *service) attempt(ctx context.Context, a *attempt, who kitauth.Caller, req placeRequest) (*Order, error) {
	address, err := s.address(ctx, who.ID, req)
	if err != nil {
		return nil, err
	}
	b, err := s.claimCart(ctx, a)
	if err != nil {
		return nil, err
	}
	lines, totals, err := s.quote(ctx, b, address.Country)
	if err != nil {
		return nil, err
	}
	if totals.Total != req.ExpectedTotal {
		return nil, ErrPriceChanged.With("quote", totals)
	}
	if err := s.hold(ctx, a, b); err != nil {
		return nil, err
	}
	return s.place(ctx, *a, Placement{
		ID: a.OrderID, AccountID: who.ID, CheckoutID: b.CheckoutID, Email: who.Email, FirstName: who.FirstName,
		Lines: lines, Totals: totals, Address: address, PaymentMethod: req.PaymentMethod,
	})
}

// check applies the rules that need nobody else.
func (s *service) check(req *placeRequest) error {
	if (req.Address == nil) == (req.AddressID == nil) {
		return problem.InvalidField("body", problem.CodeRequired, "either address or address_id is needed")
	}
	if req.Address != nil {
		address, err := req.Address.Check("body.address")
		if err != nil {
			return err
		}
		if err := s.deliverable("body.address.country", address.Country); err != nil {
			return err
		}
		req.Address = &address
	}
	if req.ExpectedTotal.Currency != s.rates.Currency {
		return problem.InvalidField("body.expected_total.currency", problem.CodeNotAllowed, "the shop sells in "+s.rates.Currency)
	}
	if req.ExpectedTotal.Amount < 0 {
		return problem.InvalidField("body.expected_total.amount_minor", problem.CodeTooSmall, "must not be negative")
	}
	return nil
}

func (s *service) deliverable(location, country string) error {
	if _, ok := s.rates.Countries[country]; !ok {
		return problem.InvalidField(location, problem.CodeNotAllowed, "the shop does not deliver there")
	}
	return nil
}

// address is the one that the request gives, or one of the account's.
func (s *service) address(ctx context.Context, account uuid.UUID, req placeRequest) (Address, error) {
	if req.Address != nil {
		return *req.Address, nil
	}
	a, err := s.users.address(ctx, account, *req.AddressID)
	if errors.Is(err, ErrAddressNotFound) {
		return Address{}, problem.InvalidField("body.address_id", problem.CodeNotFound, "not one of your addresses")
	}
	if err != nil {
		return Address{}, err
	}
	a, err = a.Check("")
	if err != nil { // saved before there was such a rule
		return Address{}, problem.InvalidField("body.address_id", problem.CodeNotAllowed,
			"something in the address is missing or wrong: change it in the address book").Because(err)
	}
	return a, s.deliverable("body.address_id", a.Country)
}

// basket is what the account's cart holds.
func (s *service) basket(ctx context.Context, account uuid.UUID) (basket, error) {
	b, err := s.carts.read(ctx, account)
	if err != nil {
		return basket{}, err
	}
	if len(b.Lines) == 0 {
		return basket{}, ErrCartEmpty
	}
	return b, nil
}

// claimCart reads the cart and takes its checkout for the attempt. What a confirmed order bought leaves the cart first,
// in case carts has not heard of that order yet. Errors: ErrAlreadyOrdered with its Location.
func (s *service) claimCart(ctx context.Context, a *attempt) (basket, error) {
	for {
		b, err := s.basket(ctx, a.Account)
		if err != nil {
			return b, err
		}
		err = s.claim(ctx, a, b)
		var earlier bought
		if !errors.As(err, &earlier) {
			return b, err
		}
		if !earlier.pending {
			err = s.takeOut(ctx, earlier.order)
		}
		if earlier.whole {
			return b, ErrAlreadyOrdered.At(location(earlier.order)).Because(err)
		}
		if err != nil {
			return b, err
		}
	}
}

// takeOut has carts take out of the account's cart what a confirmed order bought.
func (s *service) takeOut(ctx context.Context, id uuid.UUID) error {
	o, err := s.store.Get(ctx, id)
	if err != nil {
		return err
	}
	return s.carts.takeOut(ctx, o)
}

// claim takes the checkout for the attempt. When another attempt is at work on it, that one's end is awaited for a
// moment, because it decides whether this cart has been ordered; and so is the end of an order that bought some of it.
// Errors: bought.
func (s *service) claim(ctx context.Context, a *attempt, b basket) error {
	patience := time.After(claimPatience)
	for {
		var (
			claimed   attempt
			abandoned []uuid.UUID
			err       error
		)
		if a.Unwritten {
			claimed, err = s.store.ClaimNew(ctx, a, b, s.now())
		} else {
			claimed, abandoned, err = s.store.Claim(ctx, *a, b, s.now())
		}
		if err == nil {
			*a = claimed
			s.release(ctx, abandoned...)
			return nil
		}
		var earlier bought
		unpaid := errors.As(err, &earlier) && earlier.pending && !earlier.whole
		if !unpaid && !errors.Is(err, errCheckoutBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			if unpaid {
				return idempotency.ErrInProgress.Detail("an order of some of this cart is not paid yet").At(location(earlier.order))
			}
			return idempotency.ErrInProgress.Detail("another request is ordering this cart")
		case <-time.After(claimEvery):
		}
	}
}

// quote prices the basket with the products' prices of this second. Errors: ErrProductUnavailable.
func (s *service) quote(ctx context.Context, b basket, country string) ([]Line, Totals, error) {
	skus := make([]string, 0, len(b.Lines))
	for _, l := range b.Lines {
		skus = append(skus, l.SKU)
	}
	variants, err := s.products.read(ctx, skus)
	if err != nil {
		return nil, Totals{}, err
	}
	var gone []string
	priced := make([]pricing.Line, 0, len(b.Lines))
	for _, l := range b.Lines {
		v, ok := variants[l.SKU]
		if !ok || v.Status != "published" {
			gone = append(gone, l.SKU)
			continue
		}
		priced = append(priced, pricing.Line{SKU: l.SKU, Quantity: l.Quantity, UnitPrice: v.UnitPrice})
	}
	if gone != nil {
		return nil, Totals{}, ErrProductUnavailable.With("skus", gone)
	}
	q, err := pricing.Quote(priced, country, s.rates)
	if err != nil {
		return nil, Totals{}, fmt.Errorf("quote: %w", err)
	}
	lines := make([]Line, 0, len(q.Lines))
	for _, l := range q.Lines {
		v := variants[l.SKU]
		lines = append(lines, Line{
			SKU: l.SKU, Slug: v.Slug, Name: v.Name, Variant: v.Variant, ImageURL: v.ImageURL, Quantity: l.Quantity, Weight: v.Weight,
			UnitPrice: l.UnitPrice, Discount: l.Discount, Tax: l.Tax, LineTotal: l.Total,
		})
	}
	return lines, Totals{Subtotal: q.Subtotal, Discount: q.Discount, Tax: q.Tax, Shipping: q.Shipping, Total: q.Total}, nil
}

// hold asks inventory for the basket, all of it or nothing. Errors: those of inventory.hold.
func (s *service) hold(ctx context.Context, a *attempt, b basket) error {
	a.Held = true // also when no answer comes
	return a.held(s.inventory.hold(ctx, *a, b.Lines))
}

// held notes what inventory answered to a request to hold.
func (a *attempt) held(err error) error {
	if errors.Is(err, ErrOutOfStock) || errors.Is(err, ErrLimitReached) || errors.Is(err, ErrClaimRequired) {
		a.Held = false
	}
	return err
}

// place writes the order.
func (s *service) place(ctx context.Context, a attempt, p Placement) (*Order, error) {
	now := s.now()
	o, event := Place(p, now)
	answer, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	err = s.store.Place(ctx, a, o, event, answer, now)
	var earlier bought
	if errors.As(err, &earlier) {
		return nil, ErrAlreadyOrdered.At(location(earlier.order))
	}
	if errors.Is(err, errVoid) {
		return nil, problem.ErrUnavailable.Because(err) // the next try gets another order id
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// refuse ends an attempt that failed because of cause: the key is free again, and what is held for it is released
// before the caller hears of it. If the order was placed after all, that is the answer.
func (s *service) refuse(ctx context.Context, a attempt, cause error) (*Order, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refuseLimit)
	defer cancel()
	answer, err := s.store.GiveUp(ctx, a, s.now())
	switch {
	case errors.Is(err, idempotency.ErrInProgress):
		return nil, cause // another has the attempt now, and what it holds
	case err != nil:
		// The lease will be out soon; then the same key takes it up again, or inventory asks.
		s.log.ErrorContext(ctx, "attempt not given up", "order_id", a.OrderID, "error", err)
		return nil, cause
	case answer != nil:
		return decodeAnswer(answer)
	}
	if a.Held {
		s.release(ctx, a.OrderID)
	}
	return nil, cause
}

// release gives back what inventory holds for order ids that are void. A failure is left to inventory's own pull.
func (s *service) release(ctx context.Context, ids ...uuid.UUID) {
	for _, id := range ids {
		if err := s.inventory.release(ctx, id); err != nil {
			s.log.WarnContext(ctx, "hold not released", "order_id", id, "error", err)
		}
	}
}

// expect lets the problems through that a caller of ours may be told. Any other refusal of a neighbour is not the
// caller's doing.
func expect(err error, problems ...*problem.Error) error {
	var p *problem.Error
	if !errors.As(err, &p) {
		return err
	}
	for _, known := range append(problems, problem.ErrUnavailable) {
		if errors.Is(err, known) {
			return err
		}
	}
	return problem.ErrUnavailable.Because(err)
}

func decodeAnswer(answer json.RawMessage) (*Order, error) {
	o := &Order{}
	if err := json.Unmarshal(answer, o); err != nil {
		return nil, fmt.Errorf("answer of a key: %w", err)
	}
	return o, nil
}
