package main

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/servetest"
)

// TestReaddress: until it is shipped an order goes wherever its price holds; everything else of it stays.
func TestReaddress(t *testing.T) {
	t.Parallel()
	other := Address{Name: "Ada King", Line1: "1 High Street", City: "Bath", PostalCode: "BA1 1AA", Country: "GB"}
	for name, way := range ways {
		o, _ := Place(placement(), noon)
		way(o)
		before, history := *o, len(o.History)
		event, err := o.Readdress(other, noon.Add(time.Hour))
		if o.Status != Confirmed {
			require.Nil(t, event, name)
		}
		if o.Status != Pending && o.Status != Confirmed {
			require.ErrorIs(t, err, ErrAddressFixed, name)
			require.Equal(t, before, *o, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, other, o.Address)
		require.Equal(t, noon.Add(time.Hour), *o.ReaddressedAt)
		require.Equal(t, before.Version+1, o.Version)
		require.Equal(t, [2]any{before.Totals, before.Status}, [2]any{o.Totals, o.Status})
		require.Len(t, o.History, history)
		if o.Status == Confirmed {
			require.Equal(t, events.OrderReaddressed{Order: o.snapshot()}, event, name)
			require.Equal(t, "1 High Street", o.snapshot().Address.Line1)
		}
		event, err = o.Readdress(other, noon.Add(2*time.Hour))
		require.NoError(t, err)
		require.Nil(t, event)
		require.Equal(t, before.Version+1, o.Version, "the same again")
		abroad := Address{Name: "Ada", Line1: "1 Rue", City: "Paris", PostalCode: "75001", Country: "FR"}
		_, err = o.Readdress(abroad, noon)
		require.ErrorIs(t, err, ErrOtherCountry)
		require.Equal(t, other, o.Address)
	}
}

// TestPutAddress: by its shopper and by the shop; what is shipped meanwhile keeps the address that the carrier got.
func TestPutAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.order(t)
	own, all := location(o.ID)+"/address", "/api/v1/admin/orders/"+o.ID.String()+"/address"
	put := func(at, token string, body any) servetest.Response {
		return servetest.Do(t, b.rt, "PUT", at, token, body)
	}
	address := func(line string) map[string]any {
		return map[string]any{
			"name": "Ada", "line1": line, "city": "Bath", "postal_code": "ba1 1aa", "country": "GB", "phone": "01225 477000",
		}
	}
	before := len(servetest.Outbox(t, b.db))
	res := put(own, shopper(t, o.AccountID), address("1 High Street"))
	require.Equal(t, http.StatusOK, res.Status, "%s", res.Body)
	var got Order
	res.JSON(t, &got)
	require.Equal(t, "BA1 1AA", got.Address.PostalCode)
	require.Equal(t, "+441225477000", got.Address.Phone)
	require.NotNil(t, got.ReaddressedAt)
	require.Equal(t, o.Total, got.Total)
	res = servetest.Do(t, b.rt, "GET", location(o.ID), shopper(t, o.AccountID), nil)
	var read Order
	res.JSON(t, &read)
	require.Equal(t, got, read)
	require.Len(t, servetest.Outbox(t, b.db), before, "nobody is told: the confirmation will have it")

	require.Equal(t, "order-not-found", put(own, shopper(t, uuid.New()), address("x")).Slug())
	require.Equal(t, 403, put(all, shopper(t, o.AccountID), address("x")).Status)
	bad := address("1 High Street")
	bad["postal_code"] = "75001"
	require.Equal(t, "invalid", put(own, shopper(t, o.AccountID), bad).Slug())
	abroad := map[string]any{"name": "Ada", "line1": "1 Rue", "city": "Paris", "postal_code": "75001", "country": "FR"}
	require.Equal(t, "order-other-country", put(own, shopper(t, o.AccountID), abroad).Slug())
	require.Equal(t, http.StatusOK, put(all, admin(t), address("2 High Street")).Status)

	// A capture by an instance that read the order before keeps the address.
	servetest.Deliver(t, b.rt, capturedEvent(o))
	servetest.Do(t, b.rt, "GET", location(o.ID), shopper(t, o.AccountID), nil).JSON(t, &read)
	require.Equal(t, [2]any{"2 High Street", Confirmed}, [2]any{read.Address.Line1, read.Status})

	require.Equal(t, http.StatusOK, put(own, shopper(t, o.AccountID), address("5 High Street")).Status)
	told := func(topic string) (line string) {
		for _, e := range servetest.Outbox(t, b.db) {
			if e.Topic == topic {
				var order struct {
					Address struct {
						Line1 string `json:"line1"`
					} `json:"address"`
				}
				require.NoError(t, json.Unmarshal(e.Data, &order))
				line = order.Address.Line1
			}
		}
		return line
	}
	require.Equal(t, "5 High Street", told("order.readdressed.v1"), "it is paid: the shopper is told")

	var both sync.WaitGroup
	var shipped, moved servetest.Response
	both.Go(func() {
		shipped = servetest.Do(t, b.rt, "POST", "/api/v1/admin/orders/"+o.ID.String()+"/shipment", admin(t),
			map[string]string{"carrier": "DHL", "tracking_number": "1"})
	})
	both.Go(func() { moved = put(own, shopper(t, o.AccountID), address("3 High Street")) })
	both.Wait()
	require.Equal(t, http.StatusOK, shipped.Status, "%s", shipped.Body)
	servetest.Do(t, b.rt, "GET", location(o.ID), shopper(t, o.AccountID), nil).JSON(t, &read)
	require.Equal(t, read.Address.Line1, told("order.shipped.v1"))
	require.Equal(t, moved.Status == http.StatusOK, read.Address.Line1 == "3 High Street")
	require.Equal(t, "order-address-fixed", put(own, shopper(t, o.AccountID), address("4 High Street")).Slug())
}
