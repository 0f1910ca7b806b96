package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/stampede-shop/stampede/events"
	kitauth "github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/idempotency"
	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

func (s *service) routes(api huma.API) {
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/orders", "Order what is in the cart", rest.User, rest.Status(http.StatusCreated),
		rest.Problems(ErrCartEmpty, ErrPriceChanged, ErrOutOfStock, ErrLimitReached, ErrClaimRequired, ErrProductUnavailable,
			ErrAlreadyOrdered, ErrAccountSuspended), idempotency.Problems), s.postOrder)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/orders", "List one's orders, newest first", rest.User), s.listOrders)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/orders/{id}", "Read an order, or wait for it to change", rest.User,
		rest.Problems(ErrOrderNotFound)), s.getOrder)
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/orders/{id}/cancellation", "Cancel an order", rest.User, rest.Status(http.StatusAccepted),
		rest.Problems(ErrOrderNotFound, ErrNotCancellable)), s.postCancellation)
	rest.Handle(api, rest.Op(http.MethodPut, "/api/v1/orders/{id}/address", "Send an order somewhere else", rest.User,
		rest.Describe("Until it is shipped, and within the country that its price is for."),
		rest.Problems(ErrOrderNotFound, ErrAddressFixed, ErrOtherCountry)), s.putAddress)

	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/orders", "List all orders", rest.Admin), s.adminListOrders)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/orders/figures", "Count orders and what they brought in", rest.Admin), s.adminFigures)
	rest.Handle(api, rest.Op(http.MethodGet, "/api/v1/admin/orders/{id}", "Read any order", rest.Admin,
		rest.Problems(ErrOrderNotFound)), s.adminGetOrder)
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/admin/orders/{id}/shipment", "Ship an order", rest.Admin,
		rest.Problems(ErrOrderNotFound, ErrNotShippable, ErrOrderRefunded)), s.adminPostShipment)
	rest.Handle(api, rest.Op(http.MethodPut, "/api/v1/admin/orders/{id}/shipment", "Correct what was said of a parcel", rest.Admin,
		rest.Problems(ErrOrderNotFound, ErrNotShipped)), s.adminPutShipment)
	rest.Handle(api, rest.Op(http.MethodPut, "/api/v1/admin/orders/{id}/address", "Send any order somewhere else", rest.Admin,
		rest.Problems(ErrOrderNotFound, ErrAddressFixed, ErrOtherCountry)), s.adminPutAddress)
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/admin/orders/{id}/delivery", "Note that an order was delivered", rest.Admin,
		rest.Problems(ErrOrderNotFound, ErrNotDeliverable)), s.adminPostDelivery)
	rest.Handle(api, rest.Op(http.MethodPost, "/api/v1/admin/orders/{id}/cancellation", "Cancel any order", rest.Admin, rest.Status(http.StatusAccepted),
		rest.Problems(ErrOrderNotFound, ErrNotCancellable)), s.adminPostCancellation)

	s.importRoutes(api)
	rest.Handle(api, rest.Op(http.MethodPost, "/internal/orders/void", "Tell what became of order ids, or block them", rest.Neighbours("inventory")), s.postVoid)
	rest.Handle(api, rest.Op(http.MethodGet, "/internal/orders/outcomes", "List which orders were confirmed or cancelled", rest.Neighbours("inventory", "payments")), s.getOutcomes)
	rest.Handle(api, rest.Op(http.MethodGet, "/internal/orders/forgotten", "List orders of which nobody is to keep who placed them",
		rest.Neighbours("payments", "mail")), s.getForgotten)
	rest.Handle(api, rest.Op(http.MethodGet, "/internal/orders/ended", "List what the events of orders told", rest.Neighbours("mail", "carts")), s.getEnded)
}

// location is where an order can be read.
func location(id uuid.UUID) string { return "/api/v1/orders/" + id.String() }

// OrderPath is embedded in the input of operations on one order; huma reads exported fields only.
type OrderPath struct {
	ID string `path:"id" doc:"The order's id"`
}

// id parses the path. What is no UUID is no order.
func (p OrderPath) id() (uuid.UUID, error) {
	id, err := uuid.Parse(p.ID)
	if err != nil {
		return uuid.UUID{}, ErrOrderNotFound
	}
	return id, nil
}

type orderOutput struct{ Body *Order }

type placedOutput struct {
	Location string `header:"Location" doc:"Where to read the order"`
	Body     *Order
}

func (s *service) postOrder(ctx context.Context, in *struct {
	Key  string `header:"Idempotency-Key" doc:"1 to 255 characters: the same key and body gives the same answer for a day"`
	Body placeRequest
}) (*placedOutput, error) {
	o, err := s.placeOrder(ctx, kitauth.Must(ctx), in.Key, in.Body)
	if err != nil {
		return nil, err
	}
	return &placedOutput{location(o.ID), o}, nil
}

type listOutput struct{ Body rest.List[*Order] }

// DeclinedFilter is embedded in the input of lists of orders; huma reads exported fields only.
type DeclinedFilter struct {
	Declined bool `query:"declined" default:"true" doc:"Also those that were cancelled because the payment was declined"`
}

func (s *service) listOrders(ctx context.Context, in *struct {
	rest.Page
	DeclinedFilter
}) (*listOutput, error) {
	account := kitauth.Must(ctx).ID
	out := &listOutput{}
	var err error
	out.Body.Items, out.Body.NextCursor, err = s.store.List(ctx, filter{Account: &account, Undeclined: !in.Declined}, "newest", in.Page)
	return out, err
}

// adminOrder is an order as administrators see it.
type adminOrder struct {
	Order
	AccountID uuid.UUID `json:"account_id"`
	Forgotten bool      `json:"forgotten" doc:"Who placed it has deleted the account: only country and state are left of the address"`
}

func toAdmin(o *Order) adminOrder { return adminOrder{*o, o.AccountID, o.Forgotten} }

type adminListOutput struct{ Body rest.List[adminOrder] }

func (s *service) adminListOrders(ctx context.Context, in *struct {
	rest.Page
	DeclinedFilter
	Status    Status    `query:"status" enum:"pending,confirmed,shipped,delivered,cancelled"`
	Query     string    `query:"q" maxLength:"254" doc:"A number, an address with its @, or words of names, products, SKUs, tracking"`
	AccountID string    `query:"account_id" format:"uuid"`
	From      time.Time `query:"from" doc:"Placed then or later"`
	Until     time.Time `query:"until" doc:"Placed before then"`
	Sort      string    `query:"sort" enum:"newest,oldest,total,-total,email,-email" default:"newest"`
}) (*adminListOutput, error) {
	f := filter{Status: in.Status, Query: strings.TrimSpace(in.Query), From: in.From, Until: in.Until, Undeclined: !in.Declined}
	if in.AccountID != "" {
		id, err := uuid.Parse(in.AccountID)
		if err != nil {
			return nil, problem.InvalidField("query.account_id", problem.CodeWrongFormat, "is not an id")
		}
		f.Account = &id
	}
	if !in.From.IsZero() && !in.Until.IsZero() && !in.From.Before(in.Until) {
		return nil, problem.InvalidField("query.until", problem.CodeTooSmall, "must be after from")
	}
	found, next, err := s.store.List(ctx, f, in.Sort, in.Page)
	if err != nil {
		return nil, err
	}
	out := &adminListOutput{rest.List[adminOrder]{Items: []adminOrder{}, NextCursor: next}}
	for _, o := range found {
		out.Body.Items = append(out.Body.Items, toAdmin(o))
	}
	return out, nil
}

// span is a stretch of time and what was ordered in it.
type span struct {
	From    time.Time   `json:"from"`
	Orders  int         `json:"orders" doc:"Placed then, whatever became of them"`
	Revenue money.Money `json:"revenue" doc:"What those were paid, less what was refunded"`
}

type figures struct {
	By       string         `json:"by" enum:"minute,hour"`
	Spans    []span         `json:"spans" nullable:"false" doc:"Oldest first; the last one is under way"`
	Statuses map[string]int `json:"statuses" doc:"How many orders are in each status, counted up to 10,000"`
}

type figuresOutput struct{ Body figures }

// stretch is how many minutes or hours figures are of.
type stretch struct {
	By   string `query:"by" enum:"minute,hour" default:"hour"`
	Last int    `query:"last" minimum:"1" maximum:"168" default:"24" doc:"How many minutes or hours, this one included"`
}

func (s *service) adminFigures(ctx context.Context, in *stretch) (*figuresOutput, error) {
	f, err := s.figures.Get(ctx, *in, otter.LoaderFunc[stretch, figures](s.sumUp))
	return &figuresOutput{f}, err
}

// sumUp sums up what was ordered in a stretch of time, for all who watch.
func (s *service) sumUp(ctx context.Context, in stretch) (figures, error) {
	length := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour}[in.By]
	from := s.now().UTC().Truncate(length).Add(-time.Duration(in.Last-1) * length)
	out := figures{By: in.By}
	spans, err := s.store.Spans(ctx, in.By, from)
	if err != nil {
		return out, err
	}
	for i := range in.Last {
		one := span{From: from.Add(time.Duration(i) * length), Revenue: money.Zero(s.settings.Currency)}
		if sum, ok := spans[one.From]; ok {
			one.Orders, one.Revenue.Amount = sum.Orders, sum.Revenue
		}
		out.Spans = append(out.Spans, one)
	}
	out.Statuses, err = s.store.CountStatuses(ctx)
	return out, err
}

// getOrderInput knows whether `since` was given: without it the wait is for any change from now on.
type getOrderInput struct {
	OrderPath
	Wait  int `query:"wait" minimum:"0" maximum:"25" doc:"Seconds to wait for a change. Answered at once in a crowd: ask a second later"`
	Since int `query:"since" minimum:"0" doc:"The version that the caller has; by default the one of now"`

	sinceNow bool
}

// Resolve implements huma.Resolver.
func (in *getOrderInput) Resolve(ctx huma.Context) []error {
	in.sinceNow = ctx.Query("since") == ""
	return nil
}

func (s *service) getOrder(ctx context.Context, in *getOrderInput) (*orderOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	account, since := kitauth.Must(ctx).ID, in.Since
	if in.sinceNow && in.Wait > 0 {
		o, err := s.own(ctx, account, id)
		if err != nil {
			return nil, err
		}
		since = o.Version
	}
	o, err := s.newer(ctx, account, id, since, time.Duration(in.Wait)*time.Second)
	if err != nil {
		return nil, err
	}
	return &orderOutput{o}, nil
}

// own reads an order of an account; somebody else's does not exist.
func (s *service) own(ctx context.Context, account, id uuid.UUID) (*Order, error) {
	o, err := s.store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if o.AccountID != account {
		return nil, ErrOrderNotFound
	}
	return o, nil
}

func (s *service) postCancellation(ctx context.Context, in *struct {
	OrderPath
	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"In the customer's own words"`
	}
}) (*orderOutput, error) {
	account, note := kitauth.Must(ctx).ID, ""
	if in.Body != nil {
		note = strings.TrimSpace(in.Body.Reason)
	}
	return s.change(ctx, in.OrderPath, func(o *Order, now time.Time) (Event, error) {
		if o.AccountID != account {
			return nil, ErrOrderNotFound
		}
		return o.Cancel(ByCustomer, note, now)
	})
}

type addressInput struct {
	OrderPath
	Body Address
}

func (s *service) putAddress(ctx context.Context, in *addressInput) (*orderOutput, error) {
	a, err := in.Body.Check("body")
	if err != nil {
		return nil, err
	}
	account := kitauth.Must(ctx).ID
	return s.change(ctx, in.OrderPath, func(o *Order, now time.Time) (Event, error) {
		if o.AccountID != account {
			return nil, ErrOrderNotFound
		}
		return o.Readdress(a, now)
	})
}

func (s *service) adminPutAddress(ctx context.Context, in *addressInput) (*adminOrderOutput, error) {
	a, err := in.Body.Check("body")
	if err != nil {
		return nil, err
	}
	return s.adminChange(ctx, in.OrderPath, func(o *Order, now time.Time) (Event, error) { return o.Readdress(a, now) })
}

// change changes the order of the path.
func (s *service) change(ctx context.Context, path OrderPath, fn func(*Order, time.Time) (Event, error)) (*orderOutput, error) {
	id, err := path.id()
	if err != nil {
		return nil, err
	}
	now := s.now()
	o, err := s.store.Update(ctx, id, now, func(o *Order) (Event, error) { return fn(o, now) })
	if err != nil {
		return nil, err
	}
	return &orderOutput{o}, nil
}

type adminOrderOutput struct{ Body adminOrder }

func (s *service) adminGetOrder(ctx context.Context, in *OrderPath) (*adminOrderOutput, error) {
	id, err := in.id()
	if err != nil {
		return nil, err
	}
	o, err := s.store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &adminOrderOutput{toAdmin(o)}, nil
}

// adminChange changes the order of the path.
func (s *service) adminChange(ctx context.Context, path OrderPath, fn func(*Order, time.Time) (Event, error)) (*adminOrderOutput, error) {
	out, err := s.change(ctx, path, fn)
	if err != nil {
		return nil, err
	}
	return &adminOrderOutput{toAdmin(out.Body)}, nil
}

// Parcel is embedded in the bodies that tell of one; huma reads exported fields only.
type Parcel struct {
	Carrier        string `json:"carrier" text:"line" minLength:"1" maxLength:"80"`
	TrackingNumber string `json:"tracking_number" text:"line" minLength:"1" maxLength:"80"`
}

func (s *service) adminPostShipment(ctx context.Context, in *struct {
	OrderPath
	Body struct {
		Parcel
		AlthoughRefunded bool `json:"although_refunded,omitempty" doc:"Ship it though money of it was given back"`
	}
}) (*adminOrderOutput, error) {
	shipment := s.carriers.shipment(in.Body.Carrier, in.Body.TrackingNumber)
	return s.adminChange(ctx, in.OrderPath, func(o *Order, now time.Time) (Event, error) {
		return o.Ship(shipment, in.Body.AlthoughRefunded, now)
	})
}

func (s *service) adminPutShipment(ctx context.Context, in *struct {
	OrderPath
	Body Parcel
}) (*adminOrderOutput, error) {
	shipment := s.carriers.shipment(in.Body.Carrier, in.Body.TrackingNumber)
	return s.adminChange(ctx, in.OrderPath, func(o *Order, now time.Time) (Event, error) { return o.Reship(shipment, now) })
}

func (s *service) adminPostDelivery(ctx context.Context, in *OrderPath) (*adminOrderOutput, error) {
	return s.adminChange(ctx, *in, (*Order).Deliver)
}

func (s *service) adminPostCancellation(ctx context.Context, in *struct {
	OrderPath
	Body *struct {
		Reason     string `json:"reason,omitempty" maxLength:"500" doc:"In the shop's own words"`
		OutOfStock bool   `json:"out_of_stock,omitempty" doc:"Pieces are missing on the shelf: the customer is told so"`
	}
}) (*adminOrderOutput, error) {
	reason, note := ByShop, ""
	if in.Body != nil {
		note = strings.TrimSpace(in.Body.Reason)
		if in.Body.OutOfStock {
			reason = OutOfStock
		}
	}
	return s.adminChange(ctx, in.OrderPath, func(o *Order, now time.Time) (Event, error) { return o.Cancel(reason, note, now) })
}

type voidOutput struct {
	Body struct {
		Items []idDecision `json:"items" nullable:"false"`
	}
}

func (s *service) postVoid(ctx context.Context, in *struct {
	Body struct {
		IDs []uuid.UUID `json:"ids" minItems:"1" maxItems:"200"`
	}
}) (*voidOutput, error) {
	out := &voidOutput{}
	var err error
	out.Body.Items, err = s.store.Void(ctx, in.Body.IDs, s.now())
	return out, err
}

type outcomesOutput struct{ Body feed.Page[outcome] }

func (s *service) getOutcomes(ctx context.Context, in *feed.Ask) (*outcomesOutput, error) {
	page, err := s.store.Outcomes(ctx, *in, Confirmed, Cancelled)
	return &outcomesOutput{page}, err
}

type forgottenOutput struct {
	Body feed.Page[events.OrderForgotten]
}

func (s *service) getForgotten(ctx context.Context, in *feed.Ask) (*forgottenOutput, error) {
	page, err := s.store.Forgotten(ctx, *in)
	return &forgottenOutput{page}, err
}

type endedOutput struct{ Body feed.Page[events.Order] }

func (s *service) getEnded(ctx context.Context, in *struct {
	feed.Ask
	Status []Status `query:"status" enum:"confirmed,shipped,delivered,cancelled" doc:"Only these, with commas between; by default all four"`
}) (*endedOutput, error) {
	if len(in.Status) == 0 {
		in.Status = []Status{Confirmed, Shipped, Delivered, Cancelled}
	}
	page, err := s.store.Outcomes(ctx, in.Ask, in.Status...)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, 0, len(page.Items))
	for _, m := range page.Items {
		ids = append(ids, m.OrderID)
	}
	found, err := s.store.Orders(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := &endedOutput{feed.Page[events.Order]{Items: []events.Order{}, Cursor: page.Cursor, More: page.More}}
	for _, m := range page.Items {
		e, ok := found[m.OrderID].snapshotOf(m.Version)
		if !ok {
			return nil, fmt.Errorf("order %s has no moment of version %d", m.OrderID, m.Version)
		}
		out.Body.Items = append(out.Body.Items, e)
	}
	return out, nil
}
