package events

// What the metrics of the outbox tell of an event besides that there was one: why, and about how much money.

// Counted implements kit/outbox.Counted: what an order brings in.
func (e OrderConfirmed) Counted() (reason string, minor int64, currency string) {
	return "", e.Total.Amount, e.Total.Currency
}

// Counted implements kit/outbox.Counted: why an order has ended, and what it would have brought in.
func (e OrderCancelled) Counted() (reason string, minor int64, currency string) {
	return e.Reason, e.Total.Amount, e.Total.Currency
}

// Counted implements kit/outbox.Counted: what was taken.
func (e PaymentCaptured) Counted() (reason string, minor int64, currency string) {
	return "", e.Amount.Amount, e.Amount.Currency
}

// Counted implements kit/outbox.Counted: why nothing was taken, and how much was to be.
func (e PaymentFailed) Counted() (reason string, minor int64, currency string) {
	return e.Reason, e.Amount.Amount, e.Amount.Currency
}

// Counted implements kit/outbox.Counted: what was given back. Why is what staff wrote.
func (e PaymentRefunded) Counted() (reason string, minor int64, currency string) {
	return "", e.Amount.Amount, e.Amount.Currency
}
