package journeys

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/tests/shop"
)

// TestWebhook tells the shop as its payment provider does, and as somebody who says to be it.
func TestWebhook(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, ops := s.NewProduct(t, 1_000, 5), s.Register(t), s.Admin(t)
	order := ann.Bought(t, lamp, 1)
	payment := func() shop.Payment {
		return shop.Get[shop.Payment](t, ops, "/api/v1/admin/payments/"+order.ID)
	}
	shop.Eventually(t, shop.Patience, func() (bool, string) { return len(payment().Webhooks) == 1, "the provider's own webhook has not come" })

	tell := func(secret string, at time.Time, body string) *shop.Answer {
		mac := hmac.New(sha256.New, []byte(secret))
		fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
		return s.Nobody().Do(t, "POST", "/api/v1/payments/webhooks/sandbox", shop.Raw{Type: "application/json", Body: []byte(body)},
			"Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
	}
	secret := s.Settings["PAYMENTS_WEBHOOK_SECRET"]
	event, err := json.Marshal(object{
		"id": "evt_" + shop.Random(), "type": "payment_intent.payment_failed", "created": time.Now().Unix(),
		"data": object{"object": object{"id": "pi_1", "object": "payment_intent", "status": "declined", "metadata": object{"order_id": order.ID}}},
	})
	require.NoError(t, err)
	tell("another-secret", time.Now(), string(event)).OK(t, 400)
	tell(secret, time.Now().Add(-6*time.Minute), string(event)).OK(t, 400)
	tell(secret, time.Now(), "{").OK(t, 400)
	s.Nobody().Do(t, "POST", "/api/v1/payments/webhooks/sandbox", shop.Raw{Type: "application/json", Body: event}).OK(t, 400)
	s.Nobody().Do(t, "POST", "/api/v1/payments/webhooks/nobody", shop.Raw{Type: "application/json", Body: event}).OK(t, 404)
	require.Len(t, payment().Webhooks, 1)

	// Signed, known or not: 200, and what is captured stays so.
	tell(secret, time.Now(), string(event)).OK(t, 200)
	tell(secret, time.Now(), string(event)).OK(t, 200)
	require.Equal(t, "captured", payment().State)
	require.Len(t, payment().Webhooks, 2)
	require.Equal(t, "confirmed", shop.Get[shop.Order](t, ann, "/api/v1/orders/"+order.ID).Status)
}

// TestMailLog is about what the back office sees of the mails.
func TestMailLog(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp, ann, ops := s.NewProduct(t, 1_000, 5), s.Register(t), s.Admin(t)
	order := ann.Bought(t, lamp, 1)
	subject := "Your order " + order.Number + " is confirmed"
	ann.AwaitMail(t, subject, 1)
	type logged struct {
		ID        string  `json:"id"`
		Kind      string  `json:"kind"`
		Status    string  `json:"status"`
		Sender    string  `json:"sender"`
		Recipient string  `json:"recipient"`
		Subject   string  `json:"subject"`
		AgainOf   *string `json:"again_of"`
		HTML      *string `json:"html"`
		Source    struct {
			Event string `json:"event"`
		} `json:"source"`
	}
	var mails []logged
	shop.Eventually(t, shop.Patience, func() (bool, string) {
		mails = shop.All[logged](t, ops, "/api/v1/admin/mail?limit=2&recipient="+ann.Email)
		sent := 0
		for _, m := range mails {
			if m.Status == "sent" {
				sent++
			}
		}
		return sent == 3, fmt.Sprintf("%+v", mails)
	})
	byKind := map[string]logged{}
	for _, m := range mails {
		require.Equal(t, ann.Email, m.Recipient)
		require.Contains(t, m.Sender, "shop@stampede.test")
		byKind[m.Kind] = m
	}
	confirmed := byKind["order-confirmed"]
	require.Equal(t, subject, confirmed.Subject)
	require.Equal(t, "order.confirmed.v1", confirmed.Source.Event)
	require.Contains(t, *shop.Get[logged](t, ops, "/api/v1/admin/mail/"+confirmed.ID).HTML, order.Number)
	require.Nil(t, shop.Get[logged](t, ops, "/api/v1/admin/mail/"+byKind["verify-email"].ID).HTML, "codes are not shown")

	again := shop.Read[logged](t, ops.Do(t, "POST", "/api/v1/admin/mail/"+confirmed.ID+"/resend", nil).OK(t, 201))
	require.Equal(t, confirmed.ID, *again.AgainOf)
	ann.AwaitMail(t, subject, 2)
	a := ops.Do(t, "POST", "/api/v1/admin/mail/"+byKind["verify-email"].ID+"/resend", nil)
	require.Equal(t, 409, a.Status, "%s", a.Body)

	templates := shop.Get[shop.List[struct {
		Kind string `json:"kind"`
	}]](t, ops, "/api/v1/admin/mail/templates").Items
	require.Len(t, templates, 17)
	for _, k := range templates {
		a := ops.Do(t, "GET", "/api/v1/admin/mail/templates/"+k.Kind+"/preview", nil).OK(t, 200)
		require.Contains(t, a.Header.Get("Content-Type"), "text/html")
		require.Contains(t, string(a.Body), "Stampede")
	}
	ops.Do(t, "GET", "/api/v1/admin/mail/templates/nothing/preview", nil).OK(t, 404)
}

// TestPages opens the storefront's pages.
func TestPages(t *testing.T) {
	t.Parallel()
	s := shop.Open(t)
	lamp := s.NewProduct(t, 1_000, 5)
	for path, text := range map[string]string{"/": "<html", "/products/" + lamp.Slug: lamp.Name} {
		a, err := s.Nobody().Send(t.Context(), "GET", path, nil)
		require.NoError(t, err)
		require.Equal(t, 200, a.Status, "%s: %s", path, a.Body)
		require.Contains(t, string(a.Body), text)
		require.Contains(t, a.Header.Get("Content-Type"), "text/html")
	}
	a, err := s.Nobody().Send(t.Context(), "GET", "/products/nothing-"+shop.Random(), nil)
	require.NoError(t, err)
	require.Equal(t, 404, a.Status)
	require.Contains(t, a.Header.Get("Content-Type"), "text/html")

	// One document for all services, and a page to read it.
	doc := shop.Get[struct {
		OpenAPI string         `json:"openapi"`
		Paths   map[string]any `json:"paths"`
	}](t, s.Nobody(), "/api/openapi.json")
	for _, r := range s.Routes(t) {
		require.Contains(t, doc.Paths, r.Path)
	}
	for path := range doc.Paths {
		require.NotContains(t, path, "/internal")
	}
	a, err = s.Nobody().Send(t.Context(), "GET", "/api/docs", nil)
	require.NoError(t, err)
	require.Contains(t, []int{200, 301, 302}, a.Status)
}
