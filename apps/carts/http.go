package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/skus"
	"github.com/stampede-shop/stampede/pricing"
)

func (s *service) routes(api huma.API) {
	rest.Handle(api, rest.Op("GET", "/api/v1/cart", "Read the cart", rest.Anyone,
		rest.Problems(ErrSessionRequired, problem.ErrForbidden)), s.getCart)
	rest.Handle(api, rest.Op("PUT", "/api/v1/cart/items/{sku}", "Set how many of a SKU", rest.Anyone,
		rest.Problems(ErrSessionRequired, problem.ErrForbidden, ErrProductNotFound, ErrOutOfStock, ErrLimitReached,
			ErrClaimRequired)), s.putItem)
	rest.Handle(api, rest.Op("DELETE", "/api/v1/cart", "Empty the cart", rest.Anyone, rest.Status(http.StatusNoContent),
		rest.Problems(ErrSessionRequired, problem.ErrForbidden)), s.deleteCart)
	rest.Handle(api, rest.Op("POST", "/api/v1/cart/merge", "Take over the guest's cart", rest.User,
		rest.Problems(ErrSessionRequired)), s.mergeCart)
	rest.Handle(api, rest.Op("GET", "/internal/carts/{account_id}", "Read an account's cart", rest.Neighbours("orders")), s.getAccountCart)
	rest.Handle(api, rest.Op("PUT", "/internal/carts", "Read the carts of several accounts", rest.Neighbours("orders")), s.putCarts)
	rest.Handle(api, rest.Op("PUT", "/internal/carts/{account_id}/orders/{order_id}", "Take what a confirmed order bought out of an account's cart", rest.Neighbours("orders"), rest.Status(http.StatusNoContent)), s.putOrder)
}

// Shopper is embedded where a cart is meant: the account's with a token, else
// the guest's.
type Shopper struct {
	Session string `header:"X-Cart-Session" minLength:"16" maxLength:"128" doc:"A guest's session, chosen by the client"`
}

func (h Shopper) key(ctx context.Context) (string, error) {
	if c, ok := auth.From(ctx); ok {
		if !c.Has(auth.RoleUser) && !c.Has(auth.RoleAdmin) {
			return "", problem.ErrForbidden
		}
		return accountKey(c.ID), nil
	}
	if h.Session == "" {
		return "", ErrSessionRequired
	}
	return guestKey(h.Session), nil
}

func accountKey(id uuid.UUID) string { return "account:" + id.String() }

// guestKey keeps a session only hashed: who can read the store cannot take a
// guest's cart.
func guestKey(session string) string {
	sum := sha256.Sum256([]byte(session))
	return "guest:" + hex.EncodeToString(sum[:])
}

// View is a cart with everything that a shopper wants to know.
type View struct {
	CheckoutID uuid.UUID   `json:"checkout_id" doc:"New with every change of the lines; one checkout is one order"`
	Country    string      `json:"country"`
	Lines      []ViewLine  `json:"lines" nullable:"false"`
	Removed    []Removed   `json:"removed" nullable:"false"`
	PromoCode  *string     `json:"promo_code"`
	Subtotal   money.Money `json:"subtotal"`
	Discount   money.Money `json:"discount"`
	Tax        money.Money `json:"tax"`
	Shipping   money.Money `json:"shipping"`
	Total      money.Money `json:"total"`
	ExpiresAt  time.Time   `json:"expires_at"`
}

// ViewLine is a line as a shopper sees it. HoldExpiresAt is null while the
// line is not held.
type ViewLine struct {
	SKU           string      `json:"sku"`
	Slug          string      `json:"slug"`
	Name          string      `json:"name"`
	Variant       string      `json:"variant" doc:"Which of the product's variants, such as 'M / Blue'; empty when there is but one"`
	ImageURL      string      `json:"image_url"`
	Quantity      int         `json:"quantity"`
	UnitPrice     money.Money `json:"unit_price"`
	LineTotal     money.Money `json:"line_total"`
	HoldExpiresAt *time.Time  `json:"hold_expires_at"`
	Available     *int64      `json:"available" doc:"How many the cart may have, what it holds included; null: nobody knows"`
	Free          *int64      `json:"free" doc:"How many there are besides, for anybody; null likewise"`
}

type viewOutput struct{ Body View }

type getCartInput struct {
	Shopper
	Country string `query:"country" pattern:"^[A-Z]{2}$" doc:"ISO 3166-1 alpha-2, for tax and shipping; the shop's own by default"`
}

func (s *service) getCart(ctx context.Context, in *getCartInput) (*viewOutput, error) {
	key, err := in.key(ctx)
	if err != nil {
		return nil, err
	}
	c, _, err := s.store.read(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.view(ctx, key, c, nil, in.Country)
}

// view prices a cart, of which inventory holds what is given; nil asks for it.
// Lines that are not for sale any more move into `removed`, and their holds end.
func (s *service) view(ctx context.Context, key string, c Cart, holds map[string]held, country string) (*viewOutput, error) {
	if country == "" {
		country = s.settings.Country
	}
	variants, err := s.products.read(ctx, c.skus())
	if err != nil {
		return nil, err
	}
	var gone []Removed
	for _, l := range c.Lines {
		if v, ok := variants[l.SKU]; !ok || !v.forSale() {
			gone = append(gone, Removed{l.SKU, v.Name, "unavailable"})
		}
	}
	if gone != nil {
		if c, err = s.store.change(ctx, key, s.now(), func(c *Cart, fresh uuid.UUID) (bool, error) { return c.remove(gone, fresh), nil }); err != nil {
			return nil, err
		}
		for _, g := range gone {
			if holds, err = s.inventory.hold(ctx, key, g.SKU, 0); err != nil {
				return nil, err
			}
		}
	}
	if holds == nil && len(c.Lines) > 0 {
		if holds, err = s.inventory.list(ctx, key); err != nil {
			return nil, err
		}
	}

	free := s.inventory.free(ctx, untold(c, holds))

	v := View{
		CheckoutID: c.CheckoutID, Country: country, Lines: make([]ViewLine, 0, len(c.Lines)),
		Removed: append([]Removed{}, c.Removed...), ExpiresAt: c.ExpiresAt,
	}
	if v.ExpiresAt.IsZero() {
		v.ExpiresAt = s.now().Add(life)
	}
	lines := make([]pricing.Line, 0, len(c.Lines))
	for _, l := range c.Lines {
		p, ok := variants[l.SKU]
		if !ok { // put in by another request since we read; the next one shows it
			continue
		}
		line := ViewLine{SKU: l.SKU, Slug: p.Slug, Name: p.Name, Variant: p.Variant, ImageURL: p.ImageURL, Quantity: l.Quantity, UnitPrice: p.UnitPrice}
		if h, ok := holds[l.SKU]; ok && h.Quantity >= l.Quantity {
			line.HoldExpiresAt = h.ExpiresAt
		}
		line.Available, line.Free = p.mayHave(holds[l.SKU], free)
		v.Lines = append(v.Lines, line)
		lines = append(lines, pricing.Line{SKU: l.SKU, Quantity: l.Quantity, UnitPrice: p.UnitPrice})
	}
	quote, err := pricing.Quote(lines, country, s.rates)
	if errors.Is(err, pricing.ErrUnknownCountry) {
		return nil, problem.InvalidField("query.country", problem.CodeNotAllowed, "the shop does not deliver there")
	}
	if err != nil {
		return nil, err
	}
	for i := range v.Lines {
		v.Lines[i].LineTotal = quote.Lines[i].Total
	}
	v.Subtotal, v.Discount, v.Tax, v.Shipping, v.Total = quote.Subtotal, quote.Discount, quote.Tax, quote.Shipping, quote.Total
	return &viewOutput{v}, nil
}

// untold are the SKUs of a cart of which nothing is held: only holds are told with what there is besides.
func untold(c Cart, holds map[string]held) (skus []string) {
	for _, l := range c.Lines {
		if holds[l.SKU].Free == nil {
			skus = append(skus, l.SKU)
		}
	}
	return skus
}

type putItemInput struct {
	Shopper
	SKU  skus.InPath `path:"sku"`
	Body struct {
		Quantity int `json:"quantity" minimum:"0" maximum:"20" doc:"0 takes the line out"`
	}
}

func (s *service) putItem(ctx context.Context, in *putItemInput) (*viewOutput, error) {
	key, err := in.key(ctx)
	if err != nil {
		return nil, err
	}
	_, account := auth.From(ctx)
	sku := in.SKU.String()
	// The hold is set inside the change, so that after a conflict the last
	// writer of the cart is also the last to have held.
	var holds map[string]held
	c, err := s.store.change(ctx, key, s.now(), func(c *Cart, fresh uuid.UUID) (bool, error) {
		limit := maxQuantity
		if in.Body.Quantity > 0 {
			variants, err := s.products.read(ctx, append(c.skus(), sku)) // all that will be shown, at once
			if err != nil {
				return false, err
			}
			v, ok := variants[sku]
			if !ok || !v.forSale() {
				return false, ErrProductNotFound
			}
			// What an account may have depends on its orders, which inventory
			// counts; a guest has a cart and nothing else.
			if !account {
				limit = v.limit()
			}
		}
		save, err := c.set(sku, in.Body.Quantity, limit, fresh)
		if err != nil {
			return false, err
		}
		holds, err = s.inventory.hold(ctx, key, sku, in.Body.Quantity)
		return save, err
	})
	if err != nil {
		return nil, err
	}
	return s.view(ctx, key, c, holds, "")
}

type deleteCartInput struct{ Shopper }

func (s *service) deleteCart(ctx context.Context, in *deleteCartInput) (*struct{}, error) {
	key, err := in.key(ctx)
	if err != nil {
		return nil, err
	}
	_, err = s.store.change(ctx, key, s.now(), func(c *Cart, fresh uuid.UUID) (bool, error) {
		return c.clear(fresh), s.inventory.giveBack(ctx, key)
	})
	return nil, err
}

type mergeInput struct {
	Session string `header:"X-Cart-Session" minLength:"16" maxLength:"128" doc:"The guest's session"`
}

// mergeCart makes the guest's lines the account's. Every step can be repeated,
// so a crash between them is cured by asking again, and so is a change of the
// guest's cart meanwhile: what was put in then is merged as well.
func (s *service) mergeCart(ctx context.Context, in *mergeInput) (*viewOutput, error) {
	if in.Session == "" {
		return nil, ErrSessionRequired
	}
	account, guest := accountKey(auth.Must(ctx).ID), guestKey(in.Session)
	for range maxConflicts {
		theirs, etag, err := s.store.read(ctx, guest)
		if err != nil {
			return nil, err
		}
		if len(theirs.Lines) == 0 {
			c, _, err := s.store.read(ctx, account)
			if err != nil {
				return nil, err
			}
			return s.view(ctx, account, c, nil, "")
		}
		c, err := s.store.change(ctx, account, s.now(), func(c *Cart, fresh uuid.UUID) (bool, error) {
			c.merge(theirs.Lines, fresh)
			var moved []Line
			for _, l := range c.Lines {
				if slices.ContainsFunc(theirs.Lines, func(g Line) bool { return g.SKU == l.SKU }) {
					moved = append(moved, l)
				}
			}
			return true, s.inventory.transfer(ctx, guest, account, moved)
		})
		if err != nil {
			return nil, err
		}
		err = s.store.drop(ctx, guest, etag)
		if errors.Is(err, dapr.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return s.view(ctx, account, c, nil, "")
	}
	return nil, errTooOften
}

// Basket is what orders wants to know of a cart. A confirmed order of a checkout
// from Since to before CheckoutID that is not in Ended has lines that are still
// in the cart: orders says so with PUT before it sells them again.
type Basket struct {
	CheckoutID uuid.UUID   `json:"checkout_id"`
	Since      uuid.UUID   `json:"since" doc:"The first checkout whose lines may still be in the cart"`
	Ended      []uuid.UUID `json:"ended" nullable:"false" doc:"Confirmed orders since then whose lines were taken out"`
	Version    int         `json:"version"`
	Country    string      `json:"country"`
	Lines      []Line      `json:"lines" nullable:"false"`
}

type basketOutput struct{ Body Basket }

// AccountPath names the account whose cart is meant; huma reads exported fields only.
type AccountPath struct {
	AccountID uuid.UUID `path:"account_id" format:"uuid"`
}

func (s *service) getAccountCart(ctx context.Context, in *AccountPath) (*basketOutput, error) {
	b, err := s.basket(ctx, in.AccountID)
	return &basketOutput{b}, err
}

// putCarts only reads: it is a PUT since that may be sent again, and has a body.
func (s *service) putCarts(ctx context.Context, in *struct {
	Body struct {
		Items []uuid.UUID `json:"items" minItems:"1" maxItems:"100" nullable:"false" format:"uuid"`
	}
}) (*struct{ Body rest.Each[Basket] }, error) {
	return &struct{ Body rest.Each[Basket] }{rest.DoEach(ctx, "/internal/carts", in.Body.Items, s.basket)}, nil
}

func (s *service) basket(ctx context.Context, account uuid.UUID) (Basket, error) {
	c, _, err := s.store.read(ctx, accountKey(account))
	if err != nil {
		return Basket{}, err
	}
	return Basket{
		CheckoutID: c.CheckoutID, Since: c.since(), Ended: append([]uuid.UUID{}, c.Ended...),
		Version: c.Version, Country: s.settings.Country, Lines: append([]Line{}, c.Lines...),
	}, nil
}

func (s *service) putOrder(ctx context.Context, in *struct {
	AccountPath
	OrderID uuid.UUID `path:"order_id" format:"uuid"`
	Body    struct {
		CheckoutID uuid.UUID `json:"checkout_id" format:"uuid"`
		Lines      []Line    `json:"lines" minItems:"1" maxItems:"50"`
	}
}) (*struct{}, error) {
	return nil, s.bought(ctx, in.AccountID, in.OrderID, in.Body.CheckoutID, in.Body.Lines)
}
