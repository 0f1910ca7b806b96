package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/money"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func gbp(minor int64) money.Money { return money.New(minor, "GBP") }

// placement is an order of 2 x 19.99, to be posted for 3.99 within the United Kingdom.
func placement() Placement {
	return Placement{
		ID: uuid.Must(uuid.NewV7()), AccountID: uuid.Must(uuid.NewV7()), CheckoutID: uuid.Must(uuid.NewV7()),
		Email: "ada@stampede.test", FirstName: "Ada",
		Lines: []Line{{
			SKU: "TEE-M", Slug: "tee", Name: "Tee", Variant: "M", ImageURL: "/media/tee.svg", Quantity: 2,
			UnitPrice: gbp(1999), Discount: gbp(0), Tax: gbp(666), LineTotal: gbp(3998),
		}},
		Totals:        Totals{Subtotal: gbp(3998), Discount: gbp(0), Tax: gbp(733), Shipping: gbp(399), Total: gbp(4397)},
		Address:       Address{Name: "Ada Lovelace", Line1: "12 St James's Square", City: "London", PostalCode: "SW1Y 4JH", Country: "GB"},
		PaymentMethod: "pm_card_visa",
	}
}

func captured(o *Order, now time.Time) Event {
	event, err := o.Captured(o.Total, now)
	if err != nil {
		panic(err)
	}
	return event
}

// ways leads to every state in which an order can be, by status and payment.
var ways = map[string]func(o *Order){
	"pending":   func(*Order) {},
	"confirmed": func(o *Order) { captured(o, noon) },
	"shipped": func(o *Order) {
		captured(o, noon)
		_, _ = o.Ship(Shipment{Carrier: "Royal Mail", TrackingNumber: "RM1"}, true, noon)
	},
	"delivered": func(o *Order) {
		captured(o, noon)
		_, _ = o.Ship(Shipment{Carrier: "Royal Mail", TrackingNumber: "RM1"}, true, noon)
		_, _ = o.Deliver(noon)
	},
	"cancelled, not paid":      func(o *Order) { _, _ = o.Cancel(ByCustomer, "", noon) },
	"cancelled, declined":      func(o *Order) { o.Declined(noon) },
	"cancelled, paid":          func(o *Order) { captured(o, noon); _, _ = o.Cancel(ByShop, "", noon) },
	"cancelled, refunded":      func(o *Order) { captured(o, noon); _, _ = o.Cancel(ByShop, "", noon); o.Refunded(gbp(4397)) },
	"pending, refunded before": func(o *Order) { o.Refunded(gbp(4397)) },
}

var actions = map[string]func(o *Order, now time.Time) (Event, error){
	"captured":  func(o *Order, now time.Time) (Event, error) { return o.Captured(o.Total, now) },
	"declined":  func(o *Order, now time.Time) (Event, error) { return o.Declined(now), nil },
	"timed out": func(o *Order, now time.Time) (Event, error) { return o.TimedOut(now), nil },
	"remind":    func(o *Order, _ time.Time) (Event, error) { return o.Remind(), nil },
	"some back": func(o *Order, _ time.Time) (Event, error) { o.Refunded(gbp(1000)); return nil, nil },
	"all back":  func(o *Order, _ time.Time) (Event, error) { o.Refunded(gbp(4397)); return nil, nil },
	"cancel":    func(o *Order, now time.Time) (Event, error) { return o.Cancel(ByCustomer, "too late", now) },
	"ship": func(o *Order, now time.Time) (Event, error) {
		return o.Ship(Shipment{Carrier: "DHL", TrackingNumber: "D1"}, true, now)
	},
	"ship as before": func(o *Order, now time.Time) (Event, error) {
		return o.Ship(Shipment{Carrier: "Royal Mail", TrackingNumber: "RM1"}, true, now)
	},
	"deliver": func(o *Order, now time.Time) (Event, error) { return o.Deliver(now) },
}

// TestTransitions tries every action in every state. "=" means that nothing changes and nothing is told, "= topic"
// that something is told without a change, "!slug" a refusal that changes nothing; else status, payment and topic.
func TestTransitions(t *testing.T) {
	t.Parallel()
	table := map[string]map[string]string{
		"pending": {
			"captured":       "confirmed captured order.confirmed.v1",
			"declined":       "cancelled failed order.cancelled.v1",
			"timed out":      "cancelled failed order.cancelled.v1",
			"remind":         "= order.placed.v1",
			"some back":      "pending partially_refunded",
			"all back":       "pending refunded",
			"cancel":         "cancelled pending order.cancelled.v1",
			"ship":           "!order-not-shippable",
			"ship as before": "!order-not-shippable",
			"deliver":        "!order-not-deliverable",
		},
		"confirmed": {
			"captured":       "=",
			"declined":       "=",
			"timed out":      "=",
			"remind":         "=",
			"some back":      "confirmed partially_refunded",
			"all back":       "confirmed refunded",
			"cancel":         "cancelled refund_pending order.cancelled.v1",
			"ship":           "shipped captured order.shipped.v1",
			"ship as before": "shipped captured order.shipped.v1",
			"deliver":        "!order-not-deliverable",
		},
		"shipped": {
			"captured":       "=",
			"declined":       "=",
			"timed out":      "=",
			"remind":         "=",
			"some back":      "shipped partially_refunded",
			"all back":       "shipped refunded",
			"cancel":         "!order-not-cancellable",
			"ship":           "!order-not-shippable",
			"ship as before": "=",
			"deliver":        "delivered captured order.delivered.v1",
		},
		"delivered": {
			"captured":       "=",
			"declined":       "=",
			"timed out":      "=",
			"remind":         "=",
			"some back":      "delivered partially_refunded",
			"all back":       "delivered refunded",
			"cancel":         "!order-not-cancellable",
			"ship":           "!order-not-shippable",
			"ship as before": "=",
			"deliver":        "=",
		},
		"cancelled, not paid": {
			"captured":       "cancelled refund_pending order.cancelled.v1", // again, so that the money goes back
			"declined":       "cancelled failed",
			"timed out":      "cancelled failed",
			"remind":         "=",
			"some back":      "cancelled partially_refunded",
			"all back":       "cancelled refunded",
			"cancel":         "=",
			"ship":           "!order-not-shippable",
			"ship as before": "!order-not-shippable",
			"deliver":        "!order-not-deliverable",
		},
		"cancelled, declined": {
			"captured":       "cancelled refund_pending order.cancelled.v1",
			"declined":       "=",
			"timed out":      "=",
			"remind":         "=",
			"some back":      "cancelled partially_refunded",
			"all back":       "cancelled refunded",
			"cancel":         "=",
			"ship":           "!order-not-shippable",
			"ship as before": "!order-not-shippable",
			"deliver":        "!order-not-deliverable",
		},
		"cancelled, paid": {
			"captured":       "=",
			"declined":       "=",
			"timed out":      "=",
			"remind":         "=",
			"some back":      "cancelled partially_refunded",
			"all back":       "cancelled refunded",
			"cancel":         "=",
			"ship":           "!order-not-shippable",
			"ship as before": "!order-not-shippable",
			"deliver":        "!order-not-deliverable",
		},
		"cancelled, refunded": {
			"captured":       "=",
			"declined":       "=",
			"timed out":      "=",
			"remind":         "=",
			"some back":      "=",
			"all back":       "=",
			"cancel":         "=",
			"ship":           "!order-not-shippable",
			"ship as before": "!order-not-shippable",
			"deliver":        "!order-not-deliverable",
		},
		// payment.refunded overtook payment.captured: the order's status stays what the capture makes it.
		"pending, refunded before": {
			"captured":       "confirmed refunded order.confirmed.v1",
			"declined":       "=",
			"timed out":      "=",
			"remind":         "= order.placed.v1",
			"some back":      "=",
			"all back":       "=",
			"cancel":         "cancelled refunded order.cancelled.v1",
			"ship":           "!order-not-shippable",
			"ship as before": "!order-not-shippable",
			"deliver":        "!order-not-deliverable",
		},
	}
	require.Len(t, table, len(ways))
	for state, row := range table {
		require.Len(t, row, len(actions), state)
		for action, want := range row {
			t.Run(state+"/"+action, func(t *testing.T) {
				t.Parallel()
				o, _ := Place(placement(), noon)
				ways[state](o)
				before := *o
				event, err := actions[action](o, noon.Add(time.Hour))
				switch {
				case strings.HasPrefix(want, "!"):
					require.ErrorContains(t, err, want[1:])
					require.Nil(t, event)
					require.Equal(t, before, *o)
				case strings.HasPrefix(want, "="):
					require.NoError(t, err)
					require.Equal(t, strings.TrimSpace(want[1:]), topic(event))
					require.Equal(t, before, *o)
				default:
					require.NoError(t, err)
					got := strings.TrimSpace(string(o.Status) + " " + string(o.Payment.Status) + " " + topic(event))
					require.Equal(t, want, got)
					require.Equal(t, before.Version+1, o.Version)
				}
				require.Equal(t, o.Status == Cancelled, o.CancelReason != nil)
				require.Equal(t, o.Status == Shipped || o.Status == Delivered, o.Shipment != nil)
				require.Equal(t, o.Status, o.History[len(o.History)-1].Status)
				require.GreaterOrEqual(t, paymentRank[o.Payment.Status], paymentRank[before.Payment.Status], "the payment only moves forward")
			})
		}
	}
}

// TestAnotherAmount: what is not the total pays for nothing, whatever became of the order.
func TestAnotherAmount(t *testing.T) {
	t.Parallel()
	for state, way := range ways {
		for _, amount := range []money.Money{gbp(4396), gbp(4398), gbp(0), money.New(4397, "USD"), {}} {
			o, _ := Place(placement(), noon)
			way(o)
			before := *o
			event, err := o.Captured(amount, noon)
			require.ErrorIs(t, err, errAnotherAmount, "%s: %v", state, amount)
			require.Nil(t, event)
			require.Equal(t, before, *o)
		}
	}
}

func topic(e Event) string {
	if e == nil {
		return ""
	}
	return e.Topic()
}

func TestCancelReasons(t *testing.T) {
	t.Parallel()
	for want, cancel := range map[CancelReason]func(*Order){
		PaymentDeclined: func(o *Order) { o.Declined(noon) },
		TimedOut:        func(o *Order) { o.TimedOut(noon) },
		ByCustomer:      func(o *Order) { _, _ = o.Cancel(ByCustomer, "", noon) },
		ByShop:          func(o *Order) { _, _ = o.Cancel(ByShop, "", noon) },
		OutOfStock:      func(o *Order) { _, _ = o.Cancel(OutOfStock, "", noon) },
	} {
		o, _ := Place(placement(), noon)
		cancel(o)
		require.Equal(t, string(want), *o.CancelReason)
		// The first reason stays.
		_, err := o.Cancel(ByShop, "again", noon)
		require.NoError(t, err)
		o.TimedOut(noon)
		require.Equal(t, string(want), *o.CancelReason)
		require.Empty(t, o.CancelNote)
	}
}

func TestRefundsAddUpInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, told := range [][]int64{{1000, 2500, 4397}, {4397, 1000, 2500}, {2500, 4397, 4397, 1000}} {
		o, _ := Place(placement(), noon)
		captured(o, noon)
		for _, total := range told {
			o.Refunded(gbp(total))
		}
		require.Equal(t, Payment{Status: PaymentRefunded, Method: "pm_card_visa", Refunded: gbp(4397)}, o.Payment)
		require.Equal(t, Confirmed, o.Status)
	}
}

func TestEventsCarryTheOrder(t *testing.T) {
	t.Parallel()
	p := placement()
	o, event := Place(p, noon)
	placed := event.(events.OrderPlaced)
	require.Equal(t, events.Order{
		OrderID: p.ID, Number: o.Number, Version: 1, Status: "pending", AccountID: p.AccountID, Email: "ada@stampede.test", FirstName: "Ada",
		CheckoutID: p.CheckoutID,
		Lines: []events.OrderLine{{
			SKU: "TEE-M", Slug: "tee", Name: "Tee", Variant: "M", ImageURL: "/media/tee.svg", Quantity: 2,
			UnitPrice: events.Money{Amount: 1999, Currency: "GBP"}, Discount: events.Money{Currency: "GBP"},
			Tax: events.Money{Amount: 666, Currency: "GBP"}, LineTotal: events.Money{Amount: 3998, Currency: "GBP"},
		}},
		Subtotal: events.Money{Amount: 3998, Currency: "GBP"}, Discount: events.Money{Currency: "GBP"}, Tax: events.Money{Amount: 733, Currency: "GBP"},
		Shipping: events.Money{Amount: 399, Currency: "GBP"}, Total: events.Money{Amount: 4397, Currency: "GBP"},
		Address:       events.Address{Name: "Ada Lovelace", Line1: "12 St James's Square", City: "London", PostalCode: "SW1Y 4JH", Country: "GB"},
		PaymentMethod: "pm_card_visa", PlacedAt: noon, At: noon,
	}, placed.Order)

	confirmed := captured(o, noon.Add(time.Second)).(events.OrderConfirmed)
	shippedEvent, err := o.Ship(Shipment{Carrier: "DHL", TrackingNumber: "D1"}, true, noon.Add(time.Minute))
	require.NoError(t, err)
	shipped := shippedEvent.(events.OrderShipped)
	require.Equal(t, &events.Shipment{Carrier: "DHL", TrackingNumber: "D1"}, shipped.Shipment)
	require.Equal(t, 3, shipped.Version)
	require.Equal(t, noon.Add(time.Minute), shipped.At)

	corrected, err := o.Reship(Shipment{Carrier: "DHL", TrackingNumber: "D2"}, noon.Add(2*time.Minute))
	require.NoError(t, err)
	require.Equal(t, &events.Shipment{Carrier: "DHL", TrackingNumber: "D2", Corrected: true}, corrected.(events.OrderShipped).Shipment)
	again, ok := o.snapshotOf(4)
	require.True(t, ok)
	require.Equal(t, corrected.(events.OrderShipped).Order, again)
	shipped.Shipment = &events.Shipment{Carrier: "DHL", TrackingNumber: "D2"} // all that is known of it now

	// What mail pulls is what the events said, also after the order went on.
	again, ok = o.snapshotOf(2)
	require.True(t, ok)
	require.Equal(t, confirmed.Order, again)
	again, ok = o.snapshotOf(3)
	require.True(t, ok)
	require.Equal(t, shipped.Order, again)
	_, ok = o.snapshotOf(5)
	require.False(t, ok)
}

func TestNumber(t *testing.T) {
	t.Parallel()
	require.Equal(t, "S-0000000000", Number(uuid.MustParse("01890000-0000-7000-8000-000000000000")))
	require.Equal(t, "S-ZZZZZZZZZZ", Number(uuid.MustParse("01890000-0000-7000-bfff-ffffffffffff")))
	require.Equal(t, "S-0000000001", Number(uuid.MustParse("01890000-0000-7000-8000-000000000001")))
	require.Equal(t, "S-0000000010", Number(uuid.MustParse("01890000-0000-7000-8000-000000000020")))
	seen := map[string]bool{}
	for range 10_000 {
		n := Number(uuid.Must(uuid.NewV7()))
		require.Regexp(t, `^S-[0-9A-HJKMNP-TV-Z]{10}$`, n)
		require.False(t, seen[n])
		seen[n] = true
	}
}
