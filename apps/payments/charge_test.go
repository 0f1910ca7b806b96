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
	c := NewCharge(uuid.Must(uuid.NewV7()), "S-1", "ada@example.com", money.New(2000, "GBP"), methodVisa, "sandbox", noon.Add(-time.Hour))
	c.State, c.Tries = state, 1
	if state != Requested && state != Voided {
		c.AttemptedAt = at(noon.Add(-time.Minute))
	}
	if state == Attempted {
		c.LeasedUntil = at(noon.Add(time.Second))
	}
	if state == Captured {
		c.CapturedAt = at(noon.Add(-time.Minute))
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
func takenLate(c *Charge) { c.CapturedAt = at(noon.Add(-time.Second)) }
func capturedFor(d time.Duration) func(*Charge) {
	return func(c *Charge) { c.CapturedAt = at(noon.Add(-d)) }
}

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
			change := tt.from.Settle(Result{Outcome: tt.answer, Ref: "pi_1", Reason: "card-declined"}, noon)
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

func TestChecked(t *testing.T) {
	t.Parallel()
	const (
		soon  = 10 * time.Minute
		later = time.Hour
		never = 0
	)
	for name, tt := range map[string]struct {
		from   *Charge
		status string
		kept   int64
		next   time.Duration
		change Change
	}{
		"confirmed":               {in(Captured, capturedFor(10*time.Minute)), "confirmed", 2000, soon, Change{}},
		"confirmed long ago":      {in(Captured, capturedFor(48*time.Hour)), "confirmed", 2000, later, Change{}},
		"still pending":           {in(Captured, capturedFor(10*time.Minute)), "pending", 2000, soon, Change{}},
		"not known":               {in(Captured, capturedFor(10*time.Minute)), "", 2000, soon, Change{}},
		"shipped":                 {in(Captured), "shipped", 2000, never, Change{}},
		"delivered":               {in(Captured), "delivered", 2000, never, Change{}},
		"cancelled":               {in(Captured), "cancelled", 2000, soon, Change{Refund: true}},
		"cancelled, all returned": {in(Captured), "cancelled", 0, never, Change{Refund: true}},
		"blocked for ever":        {in(Captured), "void", 2000, soon, Change{Refund: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.change, tt.from.Checked(tt.status, money.New(tt.kept, "GBP"), noon))
			if tt.next == never {
				require.Nil(t, tt.from.NextCheckAt)
			} else {
				require.Equal(t, noon.Add(tt.next), *tt.from.NextCheckAt)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for tries, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 7: time.Minute, 1000: time.Minute} {
		require.Equal(t, want, Backoff(tries), "%d tries", tries)
	}
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := NewRefund(tt.charge, tt.refunds, tt.amount, "broken", nil, noon)
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
		methodVisa:         {Outcome: Succeeded},
		methodTimeout:      {Outcome: Succeeded},
		methodSlow:         {Outcome: Processing},
		methodError:        {Outcome: Missing},
		methodDeclined:     {Outcome: Declined, Reason: "card-declined"},
		methodInsufficient: {Outcome: Declined, Reason: "insufficient-funds"},
		"pm_nobody_knows":  {Outcome: Declined, Reason: "method-unknown"},
		"":                 {Outcome: Declined, Reason: "method-unknown"},
	} {
		c := &sandboxCharge{Method: method, Calls: 1}
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
