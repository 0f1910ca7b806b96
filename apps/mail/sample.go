package main

import (
	"time"

	"github.com/stampede-shop/stampede/events"
)

// sampleMail is a mail with made-up content, for the preview of its template.
func sampleMail(kind Kind) (*Mail, error) {
	const sender, email = "", "ada@example.com"
	var from Source
	placed := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	gbp := func(minor int64) events.Money { return events.Money{Amount: minor, Currency: "GBP"} }
	switch kind {
	case VerifyEmail, PasswordReset, EmailChange:
		purpose := map[Kind]string{
			VerifyEmail: events.PurposeVerifyEmail, PasswordReset: events.PurposePasswordReset, EmailChange: events.PurposeChangeEmail,
		}[kind]
		return CodeMail(events.AccountCodeIssued{Email: email, FirstName: "Ada", Purpose: purpose, Code: "493817", ExpiresAt: placed.Add(15 * time.Minute)},
			sender, from, placed, placed)
	case Invitation:
		return InvitationMail(events.AccountImported{Email: email, FirstName: "Ada", Invite: true}, sender, from, placed)
	case EmailNotice:
		return EmailNoticeMail(events.AccountEmailChangeAsked{Email: email, FirstName: "Ada", At: placed}, sender, from, placed)
	case Welcome:
		return WelcomeMail(events.AccountActivated{Email: email, FirstName: "Ada", First: true}, sender, from, placed)
	case OrderRefunded:
		return RefundMail(events.PaymentRefunded{
			Number: "S-7K3M9QX2TB", Email: email, Amount: gbp(2450), Refunded: gbp(2450), Captured: gbp(11345), Reason: "one was broken", RefundedAt: placed,
		}, sender, from, placed)
	case StockConfirm:
		return ConfirmMail(events.StockRequested{StockRequest: sampleRequest(email)}, sender, from, placed)
	case BackInStock:
		return ReturnMail(events.StockReturned{StockRequest: sampleRequest(email)}, sender, from, placed)
	case DropCalled:
		return CalledMail(events.DropCalled{
			Slug: "trail-jacket", Title: "The trail jacket", Zone: "Europe/London", Email: email, SKU: "TRAIL-JKT-M-GRN",
			Until: placed.Add(24 * time.Hour),
		}, sender, from, placed)
	case DropMissed:
		missed := events.DropMissed{Slug: "trail-jacket", Title: "The trail jacket", Email: email, SoldOut: true}
		return MissedMail(missed, sender, from, placed)
	case OrderConfirmed, OrderReaddressed, OrderCancelled, OrderShipped, OrderReshipped, OrderDelivered:
	}
	o := events.Order{
		Number: "S-7K3M9QX2TB", Version: 2, Email: email, FirstName: "Ada",
		Lines: []events.OrderLine{
			{SKU: "TRAIL-JKT-M-GRN", Slug: "trail-jacket", Name: "Trail jacket", Variant: "M / Green", Quantity: 1, UnitPrice: gbp(8900), Tax: gbp(1483), LineTotal: gbp(8900)},
			{SKU: "MUG-ENAMEL-WHT", Slug: "enamel-mug", Name: "Enamel mug", Quantity: 2, UnitPrice: gbp(1225), Discount: gbp(500), Tax: gbp(325), LineTotal: gbp(1950)},
		},
		Subtotal: gbp(11350), Discount: gbp(500), Tax: gbp(1891), Shipping: gbp(495), Total: gbp(11345),
		Address:       events.Address{Name: "Ada Lovelace", Line1: "12 St James's Square", City: "London", PostalCode: "SW1Y 4JH", Country: "GB"},
		PaymentMethod: "pm_card_visa", PlacedAt: placed, At: placed,
	}
	switch kind {
	case OrderConfirmed:
		o.Status = "confirmed"
	case OrderReaddressed:
		o.Status = "readdressed"
	case OrderCancelled:
		o.Status, o.Reason = "cancelled", "by-customer"
	case OrderShipped, OrderReshipped, OrderDelivered:
		o.Status, o.Shipment = "shipped", &events.Shipment{
			Carrier: "Royal Mail", TrackingNumber: "RM 4829 1GB",
			TrackingURL: "https://carrier.example/RM48291GB", Corrected: kind == OrderReshipped,
		}
		if kind == OrderDelivered {
			o.Status = "delivered"
		}
	default:
		return nil, ErrTemplateNotFound
	}
	return OrderMail(o, sender, from, placed)
}

func sampleRequest(email string) events.StockRequest {
	return events.StockRequest{Email: email, SKU: "TRAIL-JKT-M-GRN", Slug: "trail-jacket", Name: "Trail jacket", Variant: "M / Green"}
}
