package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
	"github.com/stampede-shop/stampede/kit/skus"
)

func (s *service) routes(api huma.API) {
	outbox.Feed(api, s.store.db, rest.Neighbours("products"))
	rest.Handle(api, rest.Op("GET", "/api/v1/availability/{sku}", "Read how much of a SKU is available", rest.Anyone,
		rest.Problems(ErrSKUNotFound)), s.getAvailability)

	rest.Handle(api, rest.Op("GET", "/api/v1/admin/inventory", "List the stock of all SKUs", rest.Admin), s.listStock)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/inventory/{sku}", "Read the stock of a SKU", rest.Admin,
		rest.Problems(ErrSKUNotFound)), s.getStock)
	rest.Handle(api, rest.Op("POST", "/api/v1/admin/inventory/{sku}/movements", "Bring units in or take free ones out", rest.Admin,
		rest.Status(http.StatusCreated), rest.Problems(ErrSKUNotFound, ErrStockHeld), idempotency.Problems), s.postMovement)
	rest.Handle(api, rest.Op("PUT", "/api/v1/admin/inventory/{sku}/low-at", "Say when a SKU runs out", rest.Admin,
		rest.Problems(ErrSKUNotFound)), s.putLowAt)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/inventory/{sku}/ledger", "List what came in and went out", rest.Admin,
		rest.Problems(ErrSKUNotFound)), s.listLedger)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/inventory/figures", "Sum up the stock of all SKUs", rest.Admin), s.getFigures)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/inventory/{sku}/holds", "List who holds a SKU", rest.Admin,
		rest.Problems(ErrSKUNotFound)), s.listHolds)
	rest.Handle(api, rest.Op("DELETE", "/api/v1/admin/inventory/{sku}/holds/{holder}", "Give back what a cart holds of a SKU", rest.Admin,
		rest.Status(http.StatusNoContent), rest.Problems(ErrHoldNotFound, ErrOrdersHold)), s.deleteHold)
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/inventory/order-holds/{order_id}", "Read what an order holds, took and gave back", rest.Admin,
		rest.Problems(ErrHoldNotFound)), s.getOrderHold)

	rest.Handle(api, rest.Op("POST", "/internal/availability", "Read many SKUs", rest.Neighbours("products", "carts", "orders")), s.postAvailability)
	rest.Handle(api, rest.Op("PUT", "/internal/holds", "Set holds of several carts", rest.Neighbours("carts")), s.putHolds)
	rest.Handle(api, rest.Op("PUT", "/internal/holds/{shopper}/{sku}", "Set a cart's hold", rest.Neighbours("carts"),
		rest.Problems(ErrOutOfStock, ErrLimitReached, ErrClaimRequired)), s.putHold)
	rest.Handle(api, rest.Op("GET", "/internal/holds/{shopper}", "List a cart's holds", rest.Neighbours("carts")), s.listCartHolds)
	rest.Handle(api, rest.Op("DELETE", "/internal/holds/{shopper}", "Give a cart's holds back", rest.Neighbours("carts"),
		rest.Status(http.StatusNoContent)), s.deleteHolds)
	rest.Handle(api, rest.Op("POST", "/internal/holds/{shopper}/transfer", "Make a guest's holds an account's", rest.Neighbours("carts")), s.transferHolds)
	rest.Handle(api, rest.Op("PUT", "/internal/orders/{id}/hold", "Hold an order's lines", rest.Neighbours("orders"),
		rest.Problems(ErrOutOfStock, ErrLimitReached, ErrClaimRequired, ErrHoldReleased, ErrHoldDiffers)), s.putOrderHold)
	rest.Handle(api, rest.Op("PUT", "/internal/order-holds", "Hold the lines of several orders", rest.Neighbours("orders")), s.putOrderHolds)
	rest.Handle(api, rest.Op("DELETE", "/internal/orders/{id}/hold", "Give an order's units back for good", rest.Neighbours("orders"),
		rest.Status(http.StatusNoContent)), s.deleteOrderHold)
	rest.Handle(api, rest.Op("PUT", "/internal/stock/{sku}", "Set the units on hand", rest.Neighbours("products"),
		rest.Problems(ErrSKUNotFound, ErrStockHeld), idempotency.Problems), s.putStock)

	rest.Handle(api, rest.Op("GET", "/internal/lots/{drop}", "Read how a drop's lots stand", rest.Neighbours("drops"),
		rest.Problems(ErrLotNotFound)), s.getLots)
	rest.Handle(api, rest.Op("PUT", "/internal/lots/{drop}", "Set units aside for a drop", rest.Neighbours("drops"),
		rest.Problems(ErrSKUNotFound, ErrOutOfStock, ErrLotOverlaps, ErrLotDiffers, ErrLotClosed)), s.putLots)
	rest.Handle(api, rest.Op("DELETE", "/internal/lots/{drop}", "Give back what nobody has of a drop's lots", rest.Neighbours("drops"),
		rest.Status(http.StatusNoContent)), s.deleteLots)
	rest.Handle(api, rest.Op("PUT", "/internal/lots/{drop}/claims", "Hold what accounts claim of a drop", rest.Neighbours("drops"),
		rest.Describe("Those that come together are served by their position, the lowest first. Each has an answer of its own."),
		rest.Problems(ErrOutOfStock, ErrLimitReached, ErrClaimLapsed, ErrLotClosed)), s.putClaims)
	rest.Handle(api, rest.Op("POST", "/internal/lots/{drop}/claimed", "Read what accounts have of a drop", rest.Neighbours("drops"),
		rest.Describe("In the order in which they are asked about, also of lots that are closed.")), s.postClaimed)
}

// SKUPath is a path parameter. A SKU that inventory has never heard of is not an error of form.
type SKUPath struct {
	SKU skus.InPath `path:"sku"`
}

type body[T any] struct{ Body T }

type availabilityOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Availability
}

func (s *service) getAvailability(ctx context.Context, in *SKUPath) (*availabilityOutput, error) {
	found, err := s.store.availability(ctx, []string{in.SKU.String()})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || !found[0].Listed {
		return nil, ErrSKUNotFound
	}
	return &availabilityOutput{"public, max-age=1", found[0]}, nil
}

type availabilityInput struct {
	Body struct {
		SKUs []string `json:"skus" maxItems:"10000" nullable:"false"`
	}
}

type items[T any] struct {
	Items []T `json:"items" nullable:"false"`
}

func (s *service) postAvailability(ctx context.Context, in *availabilityInput) (*body[items[Availability]], error) {
	found, err := s.store.availability(ctx, in.Body.SKUs)
	return &body[items[Availability]]{items[Availability]{found}}, err
}

type putHoldInput struct {
	Shopper string `path:"shopper" pattern:"^(account|guest):[A-Za-z0-9_-]{8,128}$"`
	SKUPath
	Body struct {
		Quantity int64 `json:"quantity" minimum:"0" maximum:"1000"`
	}
}

// cartHeld is a cart's hold of a SKU, and what the cart holds in all.
type cartHeld struct {
	HeldLine
	Held []HeldLine `json:"held" nullable:"false" doc:"All that the shopper's cart holds now, by SKU"`
}

func (s *service) putHold(ctx context.Context, in *putHoldInput) (*body[cartHeld], error) {
	held, err := s.setHold(ctx, cartHold{in.Shopper, in.SKU.String(), in.Body.Quantity})
	return &body[cartHeld]{held}, err
}

// cartHold is what a cart wants to hold of a SKU.
type cartHold struct {
	Shopper  string `json:"shopper" pattern:"^(account|guest):[A-Za-z0-9_-]{8,128}$"`
	SKU      string `json:"sku" minLength:"1" maxLength:"255"`
	Quantity int64  `json:"quantity" minimum:"0" maximum:"1000"`
}

type putHoldsInput struct {
	Body struct {
		Items []cartHold `json:"items" minItems:"1" maxItems:"100" nullable:"false"`
	}
}

func (s *service) putHolds(ctx context.Context, in *putHoldsInput) (*body[rest.Each[cartHeld]], error) {
	return &body[rest.Each[cartHeld]]{rest.DoEach(ctx, "/internal/holds", in.Body.Items, s.setHold)}, nil
}

func (s *service) setHold(ctx context.Context, in cartHold) (out cartHeld, err error) {
	out = cartHeld{HeldLine: HeldLine{SKU: in.SKU, Quantity: in.Quantity}}
	if s.store.atCheckout() && in.Quantity > 0 {
		if err := s.store.checkCart(ctx, in.Shopper, in.SKU, in.Quantity); err != nil {
			return out, err
		}
		out.Held, err = s.store.cartHolds(ctx, in.Shopper)
		return out, err
	}
	if out.Held, err = s.holds.Do(ctx, cartWish(in.Shopper, in.SKU, in.Quantity)); err != nil {
		return out, err
	}
	for _, l := range out.Held {
		if l.SKU == in.SKU {
			out.ExpiresAt, out.Free = l.ExpiresAt, l.Free
		}
	}
	return out, nil
}

type shopperPath struct {
	Shopper string `path:"shopper" pattern:"^(account|guest):[A-Za-z0-9_-]{8,128}$"`
}

func (s *service) listCartHolds(ctx context.Context, in *shopperPath) (*body[items[HeldLine]], error) {
	held, err := s.store.cartHolds(ctx, in.Shopper)
	return &body[items[HeldLine]]{items[HeldLine]{held}}, err
}

func (s *service) deleteHolds(ctx context.Context, in *shopperPath) (*struct{}, error) {
	return nil, s.store.endCart(ctx, in.Shopper)
}

// lineInput is a line of a cart or an order.
type lineInput struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"255"`
	Quantity int64  `json:"quantity" minimum:"1" maximum:"1000"`
}

func toLines(in []lineInput) []Line {
	lines := make([]Line, 0, len(in))
	for _, l := range in {
		lines = append(lines, Line(l))
	}
	return lines
}

type transferInput struct {
	Guest string `path:"shopper" pattern:"^guest:[A-Za-z0-9_-]{8,128}$"`
	Body  struct {
		To    string      `json:"to" pattern:"^account:[A-Za-z0-9_-]{8,128}$"`
		Lines []lineInput `json:"lines" maxItems:"100" nullable:"false"`
	}
}

func (s *service) transferHolds(ctx context.Context, in *transferInput) (*body[items[HeldLine]], error) {
	merged, err := s.store.merge(ctx, in.Guest, in.Body.To, toLines(in.Body.Lines))
	if err != nil {
		return nil, err
	}
	return &body[items[HeldLine]]{items[HeldLine]{merged}}, nil
}

// OrderWanted is what an order wants to hold.
type OrderWanted struct {
	Shopper   string      `json:"shopper" pattern:"^account:[A-Za-z0-9_-]{8,128}$"`
	Lines     []lineInput `json:"lines" minItems:"1" maxItems:"100" nullable:"false"`
	InsteadOf uuid.UUID   `json:"instead_of,omitempty" format:"uuid" doc:"A declined order of the same shopper, whose units are the cart's again first, in case its cancellation is still on its way"`
}

type orderHoldInput struct {
	ID   uuid.UUID `path:"id" format:"uuid"`
	Body OrderWanted
}

type orderHeld struct {
	Held bool `json:"held"`
}

func (s *service) putOrderHold(ctx context.Context, in *orderHoldInput) (*body[orderHeld], error) {
	held, err := s.setOrderHold(ctx, in.ID, in.Body)
	return &body[orderHeld]{held}, err
}

// orderHold is what one of several orders wants to hold.
type orderHold struct {
	OrderID uuid.UUID `json:"order_id" format:"uuid"`
	OrderWanted
}

type putOrderHoldsInput struct {
	Body struct {
		Items []orderHold `json:"items" minItems:"1" maxItems:"100" nullable:"false"`
	}
}

func (s *service) putOrderHolds(ctx context.Context, in *putOrderHoldsInput) (*body[rest.Each[orderHeld]], error) {
	return &body[rest.Each[orderHeld]]{rest.DoEach(ctx, "/internal/order-holds", in.Body.Items,
		func(ctx context.Context, o orderHold) (orderHeld, error) {
			return s.setOrderHold(ctx, o.OrderID, o.OrderWanted)
		})}, nil
}

func (s *service) setOrderHold(ctx context.Context, id uuid.UUID, in OrderWanted) (orderHeld, error) {
	if in.InsteadOf == id && id != uuid.Nil {
		return orderHeld{}, problem.InvalidField("body.instead_of", problem.CodeNotAllowed, "must be another order")
	}
	_, err := s.holds.Do(ctx, orderWish(id, in.Shopper, toLines(in.Lines), in.InsteadOf))
	return orderHeld{true}, err
}

type orderPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (s *service) deleteOrderHold(ctx context.Context, in *orderPath) (*struct{}, error) {
	_, err := s.refusals.Do(ctx, in.ID)
	return nil, err
}

type putStockInput struct {
	SKUPath
	Body struct {
		Quantity int64  `json:"quantity" minimum:"0" maximum:"1000000000"`
		Reason   string `json:"reason" text:"line" minLength:"1" maxLength:"200"`
		Key      string `json:"key" minLength:"1" maxLength:"255" pattern:"^[^\\p{Cc}]*$" doc:"The same key changes the stock once"`
	}
}

func (s *service) putStock(ctx context.Context, in *putStockInput) (*body[StockView], error) {
	sku := in.SKU.String()
	answer, err := idempotency.Do(ctx, s.store.db, "stock/"+sku, in.Body.Key, in.Body, func(tx pgx.Tx) (int, any, error) {
		if err := s.store.setOnHand(ctx, tx, sku, in.Body.Quantity, in.Body.Reason, in.Body.Key); err != nil {
			return 0, nil, err
		}
		view, err := s.store.view(ctx, tx, sku)
		return http.StatusOK, view, err
	})
	if err != nil {
		return nil, err
	}
	out := &body[StockView]{}
	return out, decode(answer, &out.Body)
}

func decode(answer idempotency.Answer, v any) error {
	if err := json.Unmarshal(answer.Body, v); err != nil {
		return fmt.Errorf("kept answer: %w", err)
	}
	return nil
}

// DropPath names a drop.
type DropPath struct {
	Drop uuid.UUID `path:"drop" format:"uuid"`
}

func (s *service) getLots(ctx context.Context, in *DropPath) (*body[items[LotView]], error) {
	lots, err := s.store.lots(ctx, s.store.db, in.Drop)
	if err == nil && len(lots) == 0 {
		err = ErrLotNotFound
	}
	return &body[items[LotView]]{items[LotView]{lots}}, err
}

// lotWanted is what a drop wants to be set aside of a SKU.
type lotWanted struct {
	SKU   string `json:"sku" minLength:"1" maxLength:"255"`
	Units int64  `json:"units" minimum:"1" maximum:"1000000000" doc:"In all: more than before adds to the lot"`
	Limit int64  `json:"limit" minimum:"1" maximum:"1000" doc:"Units that one account may have, in its cart and its orders together"`
}

type putLotsInput struct {
	DropPath
	Body struct {
		Items []lotWanted `json:"items" minItems:"1" maxItems:"100" nullable:"false"`
	}
}

func (s *service) putLots(ctx context.Context, in *putLotsInput) (*body[items[LotView]], error) {
	if in.Drop == uuid.Nil {
		return nil, problem.InvalidField("path.drop", problem.CodeNotAllowed, "is no drop")
	}
	lots, err := s.store.openLots(ctx, in.Drop, in.Body.Items)
	return &body[items[LotView]]{items[LotView]{lots}}, err
}

func (s *service) deleteLots(ctx context.Context, in *DropPath) (*struct{}, error) {
	return nil, s.store.closeLots(ctx, in.Drop)
}

// Claimant is whom a drop asks about, and of what.
type Claimant struct {
	Account uuid.UUID `json:"account" format:"uuid"`
	SKU     string    `json:"sku" minLength:"1" maxLength:"255"`
}

type claimedInput struct {
	DropPath
	Body struct {
		Items []Claimant `json:"items" minItems:"1" maxItems:"100" nullable:"false"`
	}
}

func (s *service) postClaimed(ctx context.Context, in *claimedInput) (*body[items[Claimed]], error) {
	var shoppers, skus []string
	for _, c := range in.Body.Items {
		shoppers, skus = append(shoppers, "account:"+c.Account.String()), append(skus, c.SKU)
	}
	all, err := s.store.claimed(ctx, in.Drop, shoppers, skus)
	return &body[items[Claimed]]{items[Claimed]{all}}, err
}

type putClaimsInput struct {
	DropPath
	Body struct {
		Items []struct {
			Account  uuid.UUID `json:"account" format:"uuid"`
			SKU      string    `json:"sku" minLength:"1" maxLength:"255"`
			Quantity int64     `json:"quantity" minimum:"0" maximum:"1000" doc:"Of the lot, with its orders; 0: the cart gives it back"`
			Position int64     `json:"position" minimum:"0"`
			Until    time.Time `json:"until" doc:"The hold's end, within a week. A later one prolongs it, an earlier one changes nothing"`
		} `json:"items" minItems:"1" maxItems:"100" nullable:"false"`
	}
}

func (s *service) putClaims(ctx context.Context, in *putClaimsInput) (*body[rest.Each[Claimed]], error) {
	claims, each := make([]claim, 0, len(in.Body.Items)), make([]int, 0, len(in.Body.Items))
	for i, c := range in.Body.Items {
		until := c.Until.UTC().Truncate(time.Microsecond) // as it is kept
		claims = append(claims, claim{in.Drop, "account:" + c.Account.String(), c.SKU, c.Quantity, c.Position, until})
		each = append(each, i)
	}
	answers, err := s.claims.Do(ctx, claims)
	if err != nil {
		return nil, err
	}
	path := "/internal/lots/" + in.Drop.String() + "/claims"
	return &body[rest.Each[Claimed]]{rest.DoEach(ctx, path, each, func(_ context.Context, i int) (Claimed, error) {
		return answers[i].Value, answers[i].Err
	})}, nil
}

type stockInput struct {
	rest.Page
	Query string `query:"q" maxLength:"255" doc:"Words, or parts of them, of the SKU, the product's name and the variant"`
	Of    string `query:"product_id" format:"uuid" doc:"Only the SKUs of this product"`
	Low   bool   `query:"low" doc:"Only SKUs that run out: available is at most low_at"`
	Below int64  `query:"available_below" minimum:"1" maximum:"1000000000" doc:"Only SKUs of which less is available: 1 means none"`
	Sort  string `query:"sort" enum:"sku,-sku,available,-available,sold,-sold,cart_held,-cart_held,order_held,-order_held" default:"sku" doc:"available: the scarcest first"`
}

func (s *service) listStock(ctx context.Context, in *stockInput) (*body[rest.List[StockView]], error) {
	f := stockFilter{Query: in.Query, Below: in.Below, Low: in.Low}
	if in.Of != "" {
		id, err := uuid.Parse(in.Of)
		if err != nil {
			return nil, problem.InvalidField("query.product_id", problem.CodeWrongFormat, "is not an id")
		}
		f.Product = &id
	}
	return page(s.store.views(ctx, f, in.Sort, in.Page))
}

// figuresInput knows whether low was given: 0 is not the same as none.
type figuresInput struct {
	Low int64 `query:"low" minimum:"0" maximum:"1000000" doc:"What counts as running out; without it each SKU's low_at"`

	byOwn bool
}

// Resolve implements huma.Resolver.
func (in *figuresInput) Resolve(ctx huma.Context) []error {
	in.byOwn = ctx.Query("low") == ""
	return nil
}

func (s *service) getFigures(ctx context.Context, in *figuresInput) (*body[Figures], error) {
	low := in.Low
	if in.byOwn {
		low = -1
	}
	f, err := s.figures.Get(ctx, low, otter.LoaderFunc[int64, Figures](func(ctx context.Context, low int64) (Figures, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workLimit) // others wait for it too
		defer cancel()
		return s.store.figures(ctx, low)
	}))
	return &body[Figures]{f}, err
}

func (s *service) getStock(ctx context.Context, in *SKUPath) (*body[StockView], error) {
	v, err := s.store.view(ctx, s.store.db, in.SKU.String())
	return &body[StockView]{v}, err
}

type lowAtInput struct {
	SKUPath
	Body struct {
		LowAt *int64 `json:"low_at" minimum:"0" maximum:"1000000" doc:"With so many available it runs out; null: LOW_STOCK"`
	}
}

func (s *service) putLowAt(ctx context.Context, in *lowAtInput) (*body[StockView], error) {
	v, err := s.store.setLowAt(ctx, in.SKU.String(), in.Body.LowAt)
	return &body[StockView]{v}, err
}

type movementInput struct {
	SKUPath
	Key  string `header:"Idempotency-Key"`
	Body struct {
		Delta  int64  `json:"delta" minimum:"-1000000" maximum:"1000000" doc:"Positive: came in. Negative: went out. Not 0"`
		Reason string `json:"reason" text:"line" minLength:"1" maxLength:"200"`
	}
}

// Resolve refuses a movement of nothing. It implements huma.Resolver.
func (in *movementInput) Resolve(huma.Context) []error {
	if in.Body.Delta == 0 {
		return []error{problem.InvalidField("body.delta", problem.CodeNotAllowed, "must not be 0")}
	}
	return nil
}

type movementOutput struct {
	Status int
	Body   Entry
}

func (s *service) postMovement(ctx context.Context, in *movementInput) (*movementOutput, error) {
	admin := auth.Must(ctx).ID.String()
	request := []any{in.SKU.String(), in.Body} // the same key for another SKU is another request
	answer, err := idempotency.Do(ctx, s.store.db, "movements/"+admin, in.Key, request, func(tx pgx.Tx) (int, any, error) {
		e, err := s.store.move(ctx, tx, in.SKU.String(), in.Body.Delta, in.Body.Reason, admin)
		return http.StatusCreated, e, err
	})
	if err != nil {
		return nil, err
	}
	out := &movementOutput{Status: answer.Status}
	return out, decode(answer, &out.Body)
}

func (s *service) listLedger(ctx context.Context, in *struct {
	SKUPath
	rest.Page
	Kind string `query:"kind" enum:"initial,movement,import,sale,return"`
	Sort string `query:"sort" enum:"newest,oldest" default:"newest"`
}) (*body[rest.List[Entry]], error) {
	if _, err := s.store.view(ctx, s.store.db, in.SKU.String()); err != nil {
		return nil, err
	}
	return page(s.store.ledger(ctx, in.SKU.String(), in.Kind, in.Sort, in.Page))
}

func (s *service) listHolds(ctx context.Context, in *struct {
	SKUPath
	rest.Page
	Kind string `query:"kind" enum:"cart,order"`
	Sort string `query:"sort" enum:"holder,-holder,quantity,-quantity,until,-until" default:"holder" doc:"holder: carts before orders; until: those that lapse first, orders last"`
}) (*body[rest.List[HoldView]], error) {
	if _, err := s.store.view(ctx, s.store.db, in.SKU.String()); err != nil {
		return nil, err
	}
	return page(s.store.holds(ctx, in.SKU.String(), in.Kind, in.Sort, in.Page))
}

type holdInput struct {
	SKUPath
	Holder string `path:"holder" minLength:"1" maxLength:"140" doc:"As the list of holds names it"`
}

func (s *service) deleteHold(ctx context.Context, in *holdInput) (*struct{}, error) {
	if _, err := uuid.Parse(in.Holder); err == nil {
		return nil, ErrOrdersHold
	}
	return nil, s.store.endHold(ctx, in.SKU.String(), in.Holder)
}

type orderIDInput struct {
	OrderID uuid.UUID `path:"order_id" format:"uuid"`
}

func (s *service) getOrderHold(ctx context.Context, in *orderIDInput) (*body[OrderHoldView], error) {
	v, err := s.store.orderHold(ctx, in.OrderID)
	return &body[OrderHoldView]{v}, err
}

// page is the answer with what a list read.
func page[T any](found []T, next *string, err error) (*body[rest.List[T]], error) {
	return &body[rest.List[T]]{rest.List[T]{Items: found, NextCursor: next}}, err
}
