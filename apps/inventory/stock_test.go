package main

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/kit/problem"
)

var (
	noon  = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	later = noon.Add(5 * time.Minute)
)

const (
	ttl   = 15 * time.Minute
	retry = 3 * time.Minute
)

// inCart is a hold that was claimed of no lot.
func inCart(quantity int64, until time.Time, retries int) CartHold {
	return CartHold{Quantity: quantity, ExpiresAt: until, Retries: retries}
}

func TestSetCart(t *testing.T) {
	t.Parallel()
	// 10 on hand, 3 held by orders, 4 by carts: 3 available.
	tests := map[string]struct {
		current  CartHold
		quantity int64
		want     CartHold
		held     int64 // by all carts, after
		mayHave  int64 // when refused
	}{
		"first":                  {CartHold{}, 2, inCart(2, later.Add(ttl), 0), 6, 0},
		"all that is free":       {CartHold{}, 3, inCart(3, later.Add(ttl), 0), 7, 0},
		"one too many":           {CartHold{}, 4, CartHold{}, 4, 3},
		"more":                   {inCart(2, noon.Add(ttl), 0), 5, inCart(5, noon.Add(ttl), 0), 7, 0},
		"more than there is":     {inCart(2, noon.Add(ttl), 0), 6, inCart(2, noon.Add(ttl), 0), 4, 5},
		"less":                   {inCart(2, noon.Add(ttl), 0), 1, inCart(1, noon.Add(ttl), 0), 3, 0},
		"the same":               {inCart(2, noon.Add(ttl), 0), 2, inCart(2, noon.Add(ttl), 0), 4, 0},
		"nothing any more":       {inCart(2, noon.Add(ttl), 0), 0, CartHold{}, 2, 0},
		"nothing where there is": {CartHold{}, 0, CartHold{}, 4, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Stock{OnHand: 10, OrderHeld: 3, CartHeld: 4}
			got, err := s.SetCart(tt.current, 0, tt.quantity, later, ttl)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.held, s.CartHeld)
			if tt.mayHave == 0 {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrOutOfStock)
			var p *problem.Error
			require.ErrorAs(t, err, &p)
			require.Equal(t, tt.mayHave, p.Member("available"))
		})
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	guest, account := noon.Add(10*time.Minute), noon.Add(7*time.Minute)
	// 10 on hand; others hold what leaves `free` beside the two.
	tests := map[string]struct {
		guest, account CartHold
		free, quantity int64
		want           CartHold
		held           bool
	}{
		"guest's":                      {inCart(2, guest, 0), CartHold{}, 0, 2, inCart(2, guest, 0), true},
		"account's":                    {CartHold{}, inCart(2, account, 0), 0, 2, inCart(2, account, 0), true},
		"both, the earlier end":        {inCart(3, guest, 0), inCart(1, account, 0), 0, 3, inCart(3, account, 0), true},
		"both, some given back":        {inCart(3, guest, 0), inCart(3, account, 0), 0, 3, inCart(3, account, 0), true},
		"neither, free":                {CartHold{}, CartHold{}, 2, 2, inCart(2, later.Add(ttl), 0), true},
		"neither, short":               {CartHold{}, CartHold{}, 1, 2, CartHold{}, false},
		"larger than held, free":       {inCart(1, guest, 0), CartHold{}, 4, 5, inCart(5, guest, 0), true},
		"larger than held, short":      {inCart(2, guest, 0), CartHold{}, 2, 5, inCart(2, guest, 0), false},
		"larger than both held, short": {inCart(2, guest, 0), inCart(1, account, 0), 1, 5, inCart(3, account, 0), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			had := tt.guest.Quantity + tt.account.Quantity
			others := 10 - tt.free - had
			s := Stock{OnHand: 10, CartHeld: had + others}
			got, held := s.Merge(tt.guest, tt.account, 0, tt.quantity, later, ttl)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.held, held)
			require.Equal(t, others+got.Quantity, s.CartHeld)
		})
	}
}

func TestHoldForOrder(t *testing.T) {
	t.Parallel()
	// 10 on hand, 3 held by orders, 4 by carts: 3 available.
	tests := map[string]struct {
		cart, quantity, mayHave int64
		ok                      bool
		cartHeld, orderHeld     int64
	}{
		"all from the cart":     {2, 2, 5, true, 2, 5},
		"part from free units":  {2, 5, 5, true, 2, 8},
		"one too many":          {2, 6, 5, false, 4, 3},
		"all from free units":   {0, 3, 3, true, 4, 6},
		"nothing held, short":   {0, 4, 3, false, 4, 3},
		"less than cart's hold": {4, 1, 7, true, 0, 4},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Stock{OnHand: 10, OrderHeld: 3, CartHeld: 4}
			mayHave, ok := s.HoldForOrder(CartHold{Quantity: tt.cart}, tt.quantity)
			require.Equal(t, tt.ok, ok)
			require.Equal(t, tt.mayHave, mayHave)
			require.Equal(t, [2]int64{tt.cartHeld, tt.orderHeld}, [2]int64{s.CartHeld, s.OrderHeld})
		})
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	limit := int64(3)
	// 10 on hand, 3 held by orders, 4 by carts: 3 available. The shopper's cart holds some, its orders have others.
	tests := map[string]struct {
		cart, ordered, quantity int64
		err                     error
		mayHave                 int64
	}{
		"all of it":                 {0, 0, 3, nil, 0},
		"one too many":              {0, 0, 4, ErrLimitReached, 3},
		"with what orders have":     {1, 1, 2, nil, 0},
		"too many with orders":      {1, 1, 3, ErrLimitReached, 2},
		"orders have all":           {0, 3, 1, ErrLimitReached, 0},
		"orders have more than all": {0, 5, 1, ErrLimitReached, 0},
		"nothing":                   {1, 5, 0, nil, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Stock{OnHand: 10, OrderHeld: 3, CartHeld: 4, MaxPerShopper: &limit}
			_, err := s.SetCart(CartHold{Quantity: tt.cart, ExpiresAt: noon}, tt.ordered, tt.quantity, later, ttl)
			require.ErrorIs(t, err, tt.err)
			if tt.err != nil {
				var p *problem.Error
				require.ErrorAs(t, err, &p)
				require.Equal(t, tt.mayHave, p.Member("available"))
				require.Equal(t, limit, p.Member("limit"))
				require.Equal(t, int64(4), s.CartHeld)
			}
			none := Stock{OnHand: 10, OrderHeld: 3, CartHeld: 4}
			require.NotErrorIs(t, none.Within(CartHold{}, 100, 100), ErrLimitReached)
		})
	}
	t.Run("merge", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			guest, account, ordered, quantity, want int64
			held                                    bool
		}{
			{2, 1, 0, 3, 3, true},
			{2, 2, 0, 4, 3, false},
			{2, 0, 2, 2, 1, false},
			{2, 0, 3, 2, 0, false},
			{0, 0, 1, 3, 2, false},
		} {
			s := Stock{OnHand: 10, CartHeld: tt.guest + tt.account, MaxPerShopper: &limit}
			hold, held := s.Merge(CartHold{Quantity: tt.guest, ExpiresAt: later}, CartHold{Quantity: tt.account, ExpiresAt: later}, tt.ordered, tt.quantity, noon, ttl)
			require.Equal(t, tt.want, hold.Quantity)
			require.Equal(t, tt.held, held)
			require.Equal(t, tt.want, s.CartHeld)
		}
	})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	soon, long := later.Add(time.Second), later.Add(14*time.Minute)
	tests := map[string]struct {
		from, cart, want CartHold
	}{
		"the time that was left":    {inCart(0, long, 0), CartHold{}, inCart(2, long, 1)},
		"little time was left":      {inCart(0, soon, 0), CartHold{}, inCart(2, later.Add(retry), 1)},
		"the cart held nothing":     {CartHold{}, CartHold{}, inCart(2, later.Add(retry), 1)},
		"the second time":           {inCart(0, noon, 1), CartHold{}, inCart(2, later.Add(retry), 2)},
		"the third time":            {inCart(0, long, 2), CartHold{}, CartHold{}},
		"the cart holds less now":   {inCart(0, long, 0), inCart(1, soon, 0), inCart(1, soon, 0)},
		"the cart holds as much":    {inCart(0, long, 0), inCart(2, soon, 0), inCart(2, soon, 0)},
		"third time, cart has some": {inCart(0, long, 2), inCart(1, soon, 1), inCart(1, soon, 1)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Stock{OnHand: 10, OrderHeld: 3, CartHeld: 4}
			require.Equal(t, tt.want, s.Retry(2, tt.from, tt.cart, later, retry))
			require.Equal(t, int64(1), s.OrderHeld)
			require.Equal(t, 4+tt.want.Quantity-tt.cart.Quantity, s.CartHeld)
		})
	}
	t.Run("a changed hold keeps the count, so does a merged one", func(t *testing.T) {
		t.Parallel()
		s := Stock{OnHand: 10, CartHeld: 3}
		hold, err := s.SetCart(inCart(1, later, 2), 0, 2, noon, ttl)
		require.NoError(t, err)
		require.Equal(t, inCart(2, later, 2), hold)
		hold, _ = s.Merge(inCart(1, later, 0), hold, 0, 3, noon, ttl)
		require.Equal(t, inCart(3, later, 2), hold)
	})
}

func TestMove(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		delta, after int64
		err          error
	}{
		"in":                 {5, 15, nil},
		"out":                {-2, 8, nil},
		"all that is free":   {-3, 7, nil},
		"a held unit":        {-4, 10, ErrStockHeld},
		"far too many":       {-1 << 62, 10, ErrStockHeld},
		"up to the limit":    {maxOnHand - 10, maxOnHand, nil},
		"beyond the limit":   {maxOnHand - 9, 10, problem.ErrInvalid},
		"beyond all numbers": {1<<63 - 1, 10, problem.ErrInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Stock{SKU: "A", OnHand: 10, OrderHeld: 3, CartHeld: 4, Number: 6}
			e, err := s.Move("movement", tt.delta, "counted", "me", noon)
			require.Equal(t, tt.after, s.OnHand)
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, int64(6), s.Number)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Entry{SKU: "A", Number: 7, Kind: "movement", Delta: tt.delta, Before: 10, After: tt.after, Reason: "counted", Ref: "me", At: noon}, e)
			require.Equal(t, int64(7), s.Number)
		})
	}
}

func TestSellAndReturn(t *testing.T) {
	t.Parallel()
	order := uuid.New()
	s := Stock{SKU: "A", OnHand: 10, OrderHeld: 3}
	require.Equal(t, Entry{
		SKU: "A", Number: 1, Kind: "sale", Delta: -2, Before: 10, After: 8, Reason: "order confirmed", Ref: order.String(), At: noon,
	}, s.Sell(2, uuid.Nil, order, noon))
	require.Equal(t, Stock{SKU: "A", OnHand: 8, OrderHeld: 1, Sold: 2, Number: 1}, s)
	s.Unhold(1, uuid.Nil)
	require.Equal(t, int64(8), s.Available())
	require.Equal(t, Entry{
		SKU: "A", Number: 2, Kind: "return", Delta: 2, Before: 8, After: 10, Reason: "order cancelled", Ref: order.String(), At: later,
	}, s.Return(2, uuid.Nil, order, later))
	require.Equal(t, Stock{SKU: "A", OnHand: 10, Number: 2}, s)
}

func TestCross(t *testing.T) {
	t.Parallel()
	s := Stock{}
	require.False(t, s.Cross(), "a new SKU is not in stock, and nobody thought so")
	s.OnHand = 1
	require.True(t, s.Cross())
	require.True(t, s.InStock)
	require.False(t, s.Cross(), "told once")
	s.CartHeld = 1
	require.True(t, s.Cross())
	require.False(t, s.InStock)
	require.Equal(t, int64(2), s.Crossings)
}

func TestSorted(t *testing.T) {
	t.Parallel()
	in := []Line{{"B", 1}, {"A", 2}, {"B", 3}, {"a", 1}}
	require.Equal(t, []Line{{"A", 2}, {"B", 4}, {"a", 1}}, sorted(in))
	require.Equal(t, []Line{{"B", 1}, {"A", 2}, {"B", 3}, {"a", 1}}, in, "the caller's lines stay as they are")
}

func TestOrderHoldStates(t *testing.T) {
	t.Parallel()
	lines := []Line{{"A", 1}}
	hold := func(s State, r Reason) *OrderHold {
		return &OrderHold{Shopper: "account:1", State: s, Reason: r, Lines: lines}
	}
	t.Run("again", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, hold(Held, "").Again("account:1", lines))
		require.NoError(t, hold(Sold, "").Again("account:1", lines))
		require.ErrorIs(t, hold(Held, "").Again("account:2", lines), ErrHoldDiffers)
		require.ErrorIs(t, hold(Held, "").Again("account:1", []Line{{"A", 2}}), ErrHoldDiffers)
		require.ErrorIs(t, hold(Released, ByRefusal).Again("account:1", lines), ErrHoldReleased)
	})
	t.Run("sell", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			hold *OrderHold
			now  bool
			err  error
			end  State
		}{
			{hold(Held, ""), true, nil, Sold},
			{hold(Sold, ""), false, nil, Sold},
			{hold(Released, ByCancel), false, nil, Released},
			{hold(Released, ByDecline), false, nil, Released},
			{hold(Released, ByRefusal), false, ErrNotHeld, Released},
			{hold(Released, ByVoid), false, ErrNotHeld, Released},
		} {
			now, err := tt.hold.Sell()
			require.Equal(t, tt.now, now)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.end, tt.hold.State)
		}
	})
	t.Run("release", func(t *testing.T) {
		t.Parallel()
		for _, tt := range []struct {
			hold   *OrderHold
			why    Reason
			reason Reason
		}{
			{hold(Held, ""), ByVoid, ByVoid},
			{hold(Sold, ""), ByCancel, ByCancel},
			{hold(Released, ByVoid), ByCancel, ByCancel},
			{hold(Released, ByVoid), ByDecline, ByDecline},
			{hold(Released, ByDecline), ByCancel, ByDecline},
			{hold(Released, ByCancel), ByDecline, ByCancel},
			{hold(Released, ByCancel), ByVoid, ByCancel},
			{hold(Released, ByVoid), ByRefusal, ByVoid},
		} {
			was := tt.hold.State
			require.Equal(t, was, tt.hold.Release(tt.why))
			require.Equal(t, Released, tt.hold.State)
			require.Equal(t, tt.reason, tt.hold.Reason)
		}
	})
}
