package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/money"
	"github.com/stampede-shop/stampede/kit/problem"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// in is a placed charge of £20 in a state; one that is being attempted was sent a minute ago.
func in(state State, more ...func(*Charge)) *Charge {
	c := NewCharge(uuid.Must(uuid.NewV7()), "S-1", "ada@example.com", money.New(2000, "GBP"), methodVisa, "sandbox", noon.Add(-time.Hour), noon.Add(-time.Hour))
	c.State, c.Tries = state, 1
	if state != Requested && state != Voided {
		c.AttemptedAt = at(noon.Add(-time.Minute))
	}
	if state == Attempted {
		c.LeasedUntil = at(noon.Add(time.Second))
	}
	if state == Captured {
		takenLate(c)
	}
	for _, m := range more {
		m(c)
	}
	return c
}

func cancelled(c *Charge) { c.CancelledAt = at(noon.Add(-time.Second)) }
func voidAsked(c *Charge) { c.VoidAskedAt = at(noon.Add(-time.Second)) }
func justSent(c *Charge)  { c.AttemptedAt = at(noon.Add(-time.Second)) }
func unplaced(c *Charge)  { *c = *Tombstone(c.OrderID, noon) }
func takenLate(c *Charge) {
	c.CapturedAt, c.CapturedAmount, c.CapturedCurrency = at(noon.Add(-time.Second)), 2000, "GBP"
}
func wrongly(minor int64, currency string) func(*Charge) {
	return func(c *Charge) {
		takenLate(c)
		c.Reason, c.CapturedAmount, c.CapturedCurrency = amountDiffers, minor, currency
	}
}

func at(t time.Time) *time.Time { return &t }

func TestSettle(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from   *Charge
		answer Outcome
		state  State
		change Change
		taken  bool
	}{
		"attempted, taken":                        {in(Attempted), Succeeded, Captured, Change{Captured: true}, true},
		"unknown, taken":                          {in(Unknown), Succeeded, Captured, Change{Captured: true}, true},
		"webhook before the lease":                {in(Requested), Succeeded, Captured, Change{Captured: true}, true},
		"taken after the cancel":                  {in(Attempted, cancelled), Succeeded, Captured, Change{Captured: true, Refund: true}, true},
		"taken after orders asked for a void":     {in(Unknown, voidAsked), Succeeded, Captured, Change{Captured: true}, true},
		"taken, said twice":                       {in(Captured), Succeeded, Captured, Change{}, true},
		"taken after it was voided":               {in(Voided), Succeeded, Voided, Change{Refund: true}, true},
		"taken after it failed":                   {in(Failed), Succeeded, Failed, Change{Refund: true}, true},
		"taken after it was voided, said twice":   {in(Voided, takenLate), Succeeded, Voided, Change{}, true},
		"taken for a tombstone":                   {in(Voided, unplaced), Succeeded, Voided, Change{Refund: true}, true},
		"attempted, declined":                     {in(Attempted), Declined, Failed, Change{Failed: true}, false},
		"unknown, declined":                       {in(Unknown), Declined, Failed, Change{Failed: true}, false},
		"declined after the cancel":               {in(Unknown, cancelled), Declined, Failed, Change{Failed: true}, false},
		"declined, said twice":                    {in(Failed), Declined, Failed, Change{}, false},
		"declined after it was taken":             {in(Captured), Declined, Captured, Change{}, true},
		"declined after it was voided":            {in(Voided), Declined, Voided, Change{}, false},
		"still at it":                             {in(Attempted), Processing, Unknown, Change{}, false},
		"still at it after it was voided":         {in(Voided), Processing, Voided, Change{}, false},
		"not there":                               {in(Unknown), Missing, Requested, Change{}, false},
		"not there, but it may be on its way":     {in(Unknown, justSent), Missing, Unknown, Change{}, false},
		"not there after the cancel":              {in(Unknown, cancelled), Missing, Voided, Change{}, false},
		"not there after orders asked for a void": {in(Unknown, voidAsked), Missing, Voided, Change{}, false},
		"not there after it was taken":            {in(Captured), Missing, Captured, Change{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := tt.from.Settle(Result{Outcome: tt.answer, Ref: "pi_1", Reason: "card-declined", Amount: money.New(2000, "GBP")}, 30*time.Second, noon)
			require.Equal(t, tt.state, tt.from.State)
			require.Equal(t, tt.change, change)
			require.Equal(t, tt.taken, tt.from.CapturedAt != nil)
			require.True(t, tt.from.LeasedUntil == nil, "the lease ends")
			if !tt.from.State.Ended() {
				require.Equal(t, noon.Add(time.Second), tt.from.NextTryAt)
			}
			if change.Failed {
				require.Equal(t, "card-declined", tt.from.Reason)
			}
		})
	}
}

func TestNotSent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from  *Charge
		state State
	}{
		"again":                  {in(Attempted), Requested},
		"cancelled meanwhile":    {in(Attempted, cancelled), Voided},
		"given up meanwhile":     {in(Attempted, voidAsked), Voided},
		"the webhook was faster": {in(Captured), Captured},
		"voided":                 {in(Voided), Voided},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Zero(t, tt.from.NotSent(noon))
			require.Equal(t, tt.state, tt.from.State)
		})
	}
}

func TestVoid(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from          *Charge
		answer, state State
		asked         bool
	}{
		"requested":            {in(Requested), Voided, Voided, false},
		"attempted":            {in(Attempted), Unknown, Attempted, true},
		"unknown":              {in(Unknown), Unknown, Unknown, true},
		"captured":             {in(Captured), Captured, Captured, false},
		"failed":               {in(Failed), Failed, Failed, false},
		"voided":               {in(Voided), Voided, Voided, false},
		"a tombstone":          {in(Voided, unplaced), Voided, Voided, false},
		"voided, taken late":   {in(Voided, takenLate), Voided, Voided, false},
		"captured, cancelled":  {in(Captured, cancelled), Captured, Captured, false},
		"attempted, cancelled": {in(Attempted, cancelled), Unknown, Attempted, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.answer, tt.from.Void(noon))
			require.Equal(t, tt.state, tt.from.State)
			require.Equal(t, tt.asked, tt.from.VoidAskedAt != nil)
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from   *Charge
		state  State
		refund bool
	}{
		"requested":          {in(Requested), Voided, false},
		"attempted":          {in(Attempted), Attempted, false},
		"unknown":            {in(Unknown), Unknown, false},
		"captured":           {in(Captured), Captured, true},
		"failed":             {in(Failed), Failed, false},
		"voided":             {in(Voided), Voided, false},
		"voided, taken late": {in(Voided, takenLate), Voided, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, Change{Refund: tt.refund}, tt.from.Cancel(noon))
			require.Equal(t, tt.state, tt.from.State)
			require.Equal(t, noon, *tt.from.CancelledAt)
		})
	}
}

func TestPlaceAgain(t *testing.T) {
	t.Parallel()
	placed := in(Requested)
	for name, tt := range map[string]struct {
		from   *Charge
		state  State
		change Change
	}{
		"waiting":                   {in(Requested), Requested, Change{}},
		"under way":                 {in(Attempted), Attempted, Change{}},
		"captured: said again":      {in(Captured), Captured, Change{Captured: true}},
		"failed: said again":        {in(Failed), Failed, Change{Failed: true}},
		"voided":                    {in(Voided), Voided, Change{}},
		"after the cancel, or void": {in(Voided, unplaced), Voided, Change{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.change, tt.from.Place(placed, noon))
			require.Equal(t, tt.state, tt.from.State)
			require.Equal(t, placed.Total(), tt.from.Total())
		})
	}
}

// What was taken is what the provider says; anything but the total is no payment.
func TestSettleAmount(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from   *Charge
		taken  money.Money
		state  State
		reason string
		change Change
	}{
		"the total":                       {in(Attempted), money.New(2000, "GBP"), Captured, "", Change{Captured: true}},
		"less":                            {in(Attempted), money.New(1999, "GBP"), Failed, amountDiffers, Change{Failed: true, Refund: true}},
		"more":                            {in(Unknown), money.New(2001, "GBP"), Failed, amountDiffers, Change{Failed: true, Refund: true}},
		"another currency":                {in(Requested), money.New(2000, "EUR"), Failed, amountDiffers, Change{Failed: true, Refund: true}},
		"less, of an order cancelled now": {in(Attempted, cancelled), money.New(1, "GBP"), Failed, amountDiffers, Change{Failed: true, Refund: true}},
		"less, after it was voided":       {in(Voided), money.New(1, "GBP"), Voided, "", Change{Refund: true}},
		"for a tombstone":                 {in(Voided, unplaced), money.New(700, "EUR"), Voided, "", Change{Refund: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.change, tt.from.Settle(Result{Outcome: Succeeded, Amount: tt.taken}, time.Minute, noon))
			require.Equal(t, tt.state, tt.from.State)
			require.Equal(t, tt.reason, tt.from.Reason)
			require.Equal(t, tt.taken, tt.from.Taken())
			require.Equal(t, tt.state != Captured, tt.from.Owed(), "all of it must go back")
		})
	}
}

func TestTooLate(t *testing.T) {
	t.Parallel()
	require.Less(t, tooLate, keepTombstones)
	for age, state := range map[time.Duration]State{0: Requested, -time.Hour: Requested, tooLate: Requested, tooLate + time.Second: Voided, 10 * keepTombstones: Voided} {
		c := NewCharge(uuid.New(), "S-1", "", money.New(1, "GBP"), methodVisa, "sandbox", noon.Add(-age), noon)
		require.Equal(t, state, c.State, age)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for tries, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 7: time.Minute, 1000: time.Minute} {
		require.Equal(t, want, Backoff(tries), "%d tries", tries)
	}
}

func TestRefundBackoff(t *testing.T) {
	t.Parallel()
	for tries, want := range map[int]time.Duration{0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 11: 2048 * time.Second, 12: time.Hour, 1000: time.Hour} {
		require.Equal(t, want, RefundBackoff(tries), "%d tries", tries)
	}
	var all time.Duration
	for tries := 1; tries < maxRefundTries; tries++ {
		all += RefundBackoff(tries)
	}
	require.InDelta(t, 24, all.Hours(), 6, "about a day")
}

func TestNewRefund(t *testing.T) {
	t.Parallel()
	gbp := func(minor int64) *money.Money { m := money.New(minor, "GBP"); return &m }
	euro := money.New(100, "EUR")
	had := func(state RefundState, minor int64) Refund { return Refund{State: state, Amount: minor} }
	for name, tt := range map[string]struct {
		charge  *Charge
		refunds []Refund
		amount  *money.Money
		want    int64
		err     error
	}{
		"all":                         {in(Captured), nil, nil, 2000, nil},
		"some":                        {in(Captured), nil, gbp(500), 500, nil},
		"exactly all":                 {in(Captured), nil, gbp(2000), 2000, nil},
		"a penny too much":            {in(Captured), nil, gbp(2001), 0, ErrRefundTooLarge},
		"far too much":                {in(Captured), nil, gbp(1<<62 + 1<<61), 0, ErrRefundTooLarge},
		"the rest":                    {in(Captured), []Refund{had(RefundDone, 500), had(RefundRequested, 300)}, nil, 1200, nil},
		"more than the rest":          {in(Captured), []Refund{had(RefundDone, 500), had(RefundRequested, 300)}, gbp(1201), 0, ErrRefundTooLarge},
		"a failed one does not count": {in(Captured), []Refund{had(RefundFailed, 2000)}, nil, 2000, nil},
		"nothing left":                {in(Captured), []Refund{had(RefundDone, 2000)}, nil, 0, ErrRefundTooLarge},
		"nothing":                     {in(Captured), nil, gbp(0), 0, problem.ErrInvalid},
		"less than nothing":           {in(Captured), nil, gbp(-5), 0, problem.ErrInvalid},
		"another currency":            {in(Captured), nil, &euro, 0, problem.ErrInvalid},
		"not taken":                   {in(Unknown), nil, gbp(1), 0, ErrNotCaptured},
		"declined":                    {in(Failed), nil, nil, 0, ErrNotCaptured},
		"taken after it was voided":   {in(Voided, takenLate), nil, nil, 2000, nil},
		"what was taken":              {in(Failed, wrongly(1500, "GBP")), nil, nil, 1500, nil},
		"more than was taken":         {in(Failed, wrongly(1500, "GBP")), nil, gbp(1501), 0, ErrRefundTooLarge},
		"in the currency taken":       {in(Failed, wrongly(1500, "EUR")), nil, &euro, 100, nil},
		"not in the order's":          {in(Failed, wrongly(1500, "EUR")), nil, gbp(100), 0, problem.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := NewRefund(tt.charge, tt.refunds, tt.amount, "broken", uuid.New(), noon)
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, r.Amount)
			require.Equal(t, RefundRequested, r.State)
		})
	}
}

func TestAutomaticRefund(t *testing.T) {
	t.Parallel()
	had := func(o Origin, state RefundState, minor int64) Refund {
		return Refund{Origin: o, State: state, Amount: minor}
	}
	for name, tt := range map[string]struct {
		charge  *Charge
		refunds []Refund
		want    int64
		reason  string
	}{
		"nothing owed":                          {in(Captured), nil, 0, ""},
		"nothing taken":                         {in(Failed, cancelled), nil, 0, ""},
		"cancelled":                             {in(Captured, cancelled), nil, 2000, orderCancelled},
		"taken late":                            {in(Voided, takenLate), nil, 2000, orderCancelled},
		"taken wrongly":                         {in(Failed, wrongly(1500, "EUR")), nil, 1500, amountDiffers},
		"some went back":                        {in(Captured, cancelled), []Refund{had(Staff, RefundDone, 500), had(AtProvider, RefundDone, 100)}, 1400, orderCancelled},
		"some is about to":                      {in(Captured, cancelled), []Refund{had(Staff, RefundRequested, 500)}, 1500, orderCancelled},
		"all is about to":                       {in(Captured, cancelled), []Refund{had(Staff, RefundRequested, 2000)}, 0, ""},
		"more went back than was taken":         {in(Captured, cancelled), []Refund{had(AtProvider, RefundDone, 2500)}, 0, ""},
		"staff's failed":                        {in(Captured, cancelled), []Refund{had(Staff, RefundFailed, 2000)}, 2000, orderCancelled},
		"there is one":                          {in(Captured, cancelled), []Refund{had(Automatic, RefundRequested, 1500)}, 0, ""},
		"there was one, and staff's failed":     {in(Captured, cancelled), []Refund{had(Automatic, RefundDone, 1500), had(Staff, RefundFailed, 500)}, 500, orderCancelled},
		"it failed: that is for people":         {in(Captured, cancelled), []Refund{had(Automatic, RefundFailed, 2000)}, 0, ""},
		"it failed, and so did what staff want": {in(Captured, cancelled), []Refund{had(Automatic, RefundFailed, 2000), had(Staff, RefundFailed, 2000)}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := 0
			r, err := AutomaticRefund(tt.charge, tt.refunds, func() (string, error) { keys++; return automaticKey(tt.charge.OrderID, 7), nil }, noon)
			require.NoError(t, err)
			if tt.want == 0 {
				require.Nil(t, r)
				require.Zero(t, keys, "no key is used up")
				return
			}
			require.Equal(t, tt.want, r.Amount)
			require.Equal(t, tt.reason, r.Reason)
			require.Equal(t, Automatic, r.Origin)
			require.Equal(t, "refund:"+tt.charge.OrderID.String()+":7", r.Key)
			require.Nil(t, r.RequestedBy)
		})
	}
}

func TestRefundSettle(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from   RefundState
		answer Outcome
		state  RefundState
		made   bool
	}{
		"made":               {RefundRequested, Succeeded, RefundDone, true},
		"made, said twice":   {RefundDone, Succeeded, RefundDone, false},
		"refused":            {RefundRequested, Declined, RefundFailed, false},
		"refused after made": {RefundDone, Declined, RefundDone, false},
		"made after refused": {RefundFailed, Succeeded, RefundDone, true},
		"still at it":        {RefundRequested, Processing, RefundRequested, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Refund{State: tt.from, Tries: 1}
			require.Equal(t, tt.made, r.Settle(Result{Outcome: tt.answer}, noon))
			require.Equal(t, tt.state, r.State)
		})
	}
}

func TestSandboxDecides(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]Result{
		methodVisa:         {Outcome: Succeeded, Amount: money.New(5, "GBP")},
		methodTimeout:      {Outcome: Succeeded, Amount: money.New(5, "GBP")},
		methodSlow:         {Outcome: Processing},
		methodError:        {Outcome: Missing},
		methodDeclined:     {Outcome: Declined, Reason: "card-declined"},
		methodInsufficient: {Outcome: Declined, Reason: "insufficient-funds"},
		"pm_nobody_knows":  {Outcome: Declined, Reason: "method-unknown"},
		"":                 {Outcome: Declined, Reason: "method-unknown"},
	} {
		c := &sandboxCharge{Method: method, Calls: 1, Taken: 5, TakenCurrency: "GBP"}
		c.decide(noon)
		require.Equal(t, want, c.result(noon), method)
	}
	slow := &sandboxCharge{Method: methodSlow, Calls: 1}
	slow.decide(noon)
	require.Equal(t, Succeeded, slow.result(noon.Add(3*time.Second)).Outcome)
	failing := &sandboxCharge{Method: methodError}
	for calls, want := range map[int]Outcome{1: Missing, 2: Missing, 3: Succeeded} {
		failing.Calls = calls
		failing.decide(noon)
		require.Equal(t, want, failing.result(noon).Outcome, "call %d", calls)
	}
}

func TestVerifySignature(t *testing.T) {
	t.Parallel()
	secret, body := []byte("s3cret"), []byte(`{"id":"evt_1"}`)
	good := sign(secret, body, noon)
	// The example of the scheme, computed apart: printf '%s' '1772366400.{"id":"evt_1"}' | openssl dgst -sha256 -hmac s3cret
	require.Equal(t, "t=1772366400,v1=f3f6210c0cb9f6ec7a91221e1e7296a5fe86da0f50b371f61fa8c05ca2effd6e", good)
	for name, tt := range map[string]struct {
		header string
		body   string
		after  time.Duration
		ok     bool
	}{
		"good":                     {good, string(body), 0, true},
		"five minutes old":         {good, string(body), 5 * time.Minute, true},
		"older":                    {good, string(body), 5*time.Minute + time.Second, false},
		"from the future":          {good, string(body), -5*time.Minute - time.Second, false},
		"another body":             {good, `{"id":"evt_2"}`, 0, false},
		"another secret":           {sign([]byte("other"), body, noon), string(body), 0, false},
		"a newer time":             {"t=1772366500" + good[len("t=1772366400"):], string(body), 0, false},
		"two signatures, one good": {"t=1772366400,v1=00" + good[len("t=1772366400"):], string(body), 0, true},
		"another scheme":           {"t=1772366400,v0" + good[len("t=1772366400,v1"):], string(body), 0, false},
		"no time":                  {good[len("t=1772366400,"):], string(body), 0, false},
		"not hexadecimal":          {"t=1772366400,v1=zz", string(body), 0, false},
		"empty":                    {"", string(body), 0, false},
		"nonsense":                 {",,==,t=,v1", string(body), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := verifySignature(secret, tt.header, []byte(tt.body), noon.Add(tt.after))
			require.Equal(t, tt.ok, err == nil, "%v", err)
		})
	}
}
