package drop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// TestAsk: when inventory is asked for a claim, and what the claim is by then.
func TestAsk(t *testing.T) {
	t.Parallel()
	const hold = 10 * time.Minute
	end, past, more := noon.Add(time.Minute), noon.Add(-time.Minute), noon.Add(hold)
	ahead, behind := &Rank{0, 3}, &Rank{0, 9}
	for name, tc := range map[string]struct {
		claim Claim
		first *Rank
		ask   bool
		state ClaimState
		until *time.Time
	}{
		"a new one":                            {Claim{}, nil, true, Asked, &more},
		"a new one, behind who stands by":      {Claim{}, ahead, false, Standby, nil},
		"a new one, before who stands by":      {Claim{}, behind, true, Asked, &more},
		"one that lapsed, before nobody":       {Claim{State: Lapsed, Lapses: 1}, nil, true, Asked, &more},
		"one that lapsed, after who stands by": {Claim{State: Lapsed, Lapses: 1}, behind, false, Standby, nil},
		"after a refusal":                      {Claim{State: Declined}, nil, true, Asked, &more},
		"held: nothing more":                   {Claim{State: Held, Until: &end}, ahead, true, Held, &end},
		"asked, and not heard of":              {Claim{State: Asked, Until: &end}, ahead, true, Asked, &end},
		"held, and over":                       {Claim{State: Held, Until: &past}, nil, true, Held, &past},
		"bought":                               {Claim{State: Bought, Until: &past}, nil, true, Bought, &past},
		"offered: accepts":                     {Claim{State: Offered, Until: &end}, ahead, true, Asked, &more},
		"offered, and over":                    {Claim{State: Offered, Until: &past}, nil, true, Offered, &past},
		"stands by":                            {Claim{State: Standby}, nil, false, Standby, nil},
	} {
		c := tc.claim
		c.Position, c.Quantity = 5, 1
		asked, ask := c.Ask(1, noon, hold, tc.first)
		require.Equal(t, tc.ask, ask, name)
		require.Equal(t, c, asked, name)
		require.Equal(t, tc.state, c.State, name)
		require.Equal(t, tc.until, c.Until, name)
	}
}

// TestAnswered: what a claim is after inventory's answer, also when somebody has asked for something else meanwhile.
func TestAnswered(t *testing.T) {
	t.Parallel()
	end, other := noon.Add(time.Minute), noon.Add(time.Hour)
	asked := Claim{Quantity: 2, State: Asked, Until: &end}
	newer := Claim{Quantity: 2, State: Asked, Until: &other}
	offered := Claim{Quantity: 2, State: Offered, Until: &end}
	held := Claim{Quantity: 2, State: Held, Until: &end}
	for name, tc := range map[string]struct {
		claim   Claim
		has     Has
		refusal Refusal
		state   ClaimState
		refused bool
	}{
		"held":                              {asked, Has{Held: 2, Until: &end}, "", Held, false},
		"an order has it":                   {held, Has{Ordered: 2}, "", Bought, false},
		"an order has more than was noted":  {Claim{Quantity: 1, State: Held, Until: &end}, Has{Ordered: 2}, "", Bought, false},
		"an order has a part, and it ended": {held, Has{Ordered: 1}, "", Bought, false},
		"still held, for who was offered":   {offered, Has{Held: 2, Until: &end}, "", Offered, false},
		"nothing is free":                   {asked, Has{}, NoneFree, Standby, false},
		"its time is over":                  {held, Has{}, TooLate, Lapsed, true},
		"beyond the limit":                  {asked, Has{}, OverLimit, Declined, true},
		"the lot is closed":                 {asked, Has{}, NoLot, Declined, true},
		"an answer to an earlier question":  {newer, Has{}, NoneFree, Asked, false},
	} {
		c := tc.claim
		require.Equal(t, tc.refused, c.Answered(asked, tc.has, tc.refusal, noon), name)
		require.Equal(t, tc.state, c.State, name)
		require.Equal(t, tc.state == Standby, c.MadeAt.Equal(noon), name)
		require.Equal(t, int64(2)-tc.has.Ordered%2, c.Quantity, name)
	}
}

// TestAskForMore: who holds one, or has bought one, and asks for two, loses nothing when there is no second.
func TestAskForMore(t *testing.T) {
	t.Parallel()
	const hold = 10 * time.Minute
	end, later := noon.Add(time.Minute), noon.Add(hold)
	held, bought := Claim{Quantity: 1, Position: 5, State: Held, Until: &end}, Claim{Quantity: 1, Position: 5, State: Bought, Until: &end}
	with := func(c Claim, state ClaimState, quantity int64, until *time.Time) Claim {
		c.State, c.Quantity, c.Until = state, quantity, until
		return c
	}
	for name, tc := range map[string]struct {
		claim   Claim
		has     Has
		refusal Refusal
		becomes Claim
		refused bool
	}{
		"one more is held":              {held, Has{Held: 2, Until: &end}, "", with(held, Held, 2, &end), false},
		"nothing more is free":          {held, Has{}, NoneFree, held, false},
		"beyond the limit":              {held, Has{}, OverLimit, held, true},
		"the lot is closed":             {held, Has{}, NoLot, held, true},
		"its end has come":              {held, Has{}, TooLate, held, true},
		"bought meanwhile":              {held, Has{Ordered: 1, Held: 1, Until: &end}, "", with(held, Held, 2, &end), false},
		"beside what is bought":         {bought, Has{Ordered: 1, Held: 1, Until: &later}, "", with(bought, Held, 2, &later), false},
		"bought, and nothing more free": {bought, Has{}, NoneFree, bought, false},
		"bought, beyond the limit":      {bought, Has{}, OverLimit, bought, true},
	} {
		c := tc.claim
		asked, ask := c.Ask(2, noon, hold, nil)
		require.True(t, ask, name)
		require.Equal(t, tc.claim, c, "%s: it is what it was until inventory says yes", name)
		require.Equal(t, int64(2), asked.Quantity, name)
		require.True(t, asked.Until.After(noon), name)
		require.Equal(t, tc.refused, c.Answered(asked, tc.has, tc.refusal, noon), name)
		require.Equal(t, tc.becomes, c, name)
	}
	for _, c := range []Claim{held, bought} {
		asked, ask := c.Ask(2, noon, hold, &Rank{0, 3})
		require.True(t, ask)
		require.Equal(t, c, asked, "nobody takes more before who stands by and comes first")
		require.False(t, c.Answered(with(c, Asked, 1, &later), Has{}, OverLimit, noon), "a refusal of what it asked before")
	}
}

// TestLearn: what became of a claim is noted, and that it ended when it has.
func TestLearn(t *testing.T) {
	t.Parallel()
	end, later := noon.Add(time.Minute), noon.Add(time.Hour)
	for name, tc := range map[string]struct {
		has   Has
		now   time.Time
		state ClaimState
		takes int64
	}{
		"still held":                {Has{Held: 2, Until: &later}, noon, Held, 2},
		"an order has it":           {Has{Ordered: 2}, noon, Bought, 2},
		"given back, and not ended": {Has{}, noon, Held, 2},
		"ended":                     {Has{}, end, Lapsed, 2},
		"an order has a part of it": {Has{Ordered: 1}, end, Bought, 1},
	} {
		c := Claim{Quantity: 2, State: Held, Until: &end}
		c.Learn(tc.has, tc.now)
		require.Equal(t, tc.state, c.State, name)
		require.Equal(t, tc.takes, c.Quantity, name)
	}
}

// TestGiveUp: what ends of who leaves, or is shut out, and that it is over once, whatever inventory says meanwhile.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	end, held := noon.Add(time.Minute), noon.Add(time.Hour)
	for state, ends := range map[ClaimState][2]bool{ // left, shut out
		Drawn: {true, true}, Asked: {true, true}, Offered: {true, true}, Held: {false, true},
		Standby: {}, Bought: {}, Lapsed: {}, Declined: {}, Ending: {},
	} {
		for i, shutOut := range []bool{false, true} {
			c := Claim{Quantity: 1, State: state, Until: &held}
			require.Equal(t, ends[i], c.GiveUp(shutOut, end), state)
			if !ends[i] {
				require.Equal(t, Claim{Quantity: 1, State: state, Until: &held}, c, state)
				continue
			}
			asked := c
			require.False(t, c.Answered(asked, Has{Held: 1, Until: &held}, "", noon))
			require.False(t, c.Answered(asked, Has{}, NoneFree, noon))
			_, ask := c.Ask(1, noon, time.Hour, nil)
			require.False(t, ask)
			c.Learn(Has{}, noon)
			c.Learn(Has{Held: 1, Until: &held}, end)
			require.Equal(t, Ending, c.State, state)
			c.Learn(Has{}, end)
			require.Equal(t, []any{Lapsed, int64(1)}, []any{c.State, c.Lapses}, state)
			c.State = Ending
			c.Learn(Has{Ordered: 1}, end)
			require.Equal(t, Bought, c.State, state)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	served, left := Serve(4, []int64{3, 2, 1, 1})
	require.Equal(t, []int{0, 2}, served, "who wants more than is left is passed over")
	require.Zero(t, left)
	served, left = Serve(1, []int64{2, 3})
	require.Empty(t, served)
	require.Equal(t, int64(1), left)
}

func TestInTurn(t *testing.T) {
	t.Parallel()
	claims := [][2]int64{{5, 0}, {3, 1}, {5, 2}, {1, 3}}
	InTurn(claims, func(c [2]int64) int64 { return c[0] })
	require.Equal(t, [][2]int64{{1, 3}, {3, 1}, {5, 0}, {5, 2}}, claims)
}

func TestOffer(t *testing.T) {
	t.Parallel()
	later := noon.Add(time.Minute)
	c := Claim{State: Standby, Quantity: 2}
	require.True(t, c.Offer(noon, later))
	served := Claim{State: Offered, Quantity: 2, Until: &later, OfferedAt: &noon, Offered: 2}
	require.Equal(t, served, c)
	require.False(t, c.Offer(later, later), "it is no more among those who stand by")
	_, ask := c.Ask(1, noon, time.Hour, nil)
	require.True(t, ask)
	require.Equal(t, []any{&noon, int64(2)}, []any{c.OfferedAt, c.Offered}, "accepting is not being served")
	c.Lapse()
	_, ask = c.Ask(1, later, time.Hour, nil)
	require.True(t, ask)
	require.Equal(t, []any{(*time.Time)(nil), int64(0)}, []any{c.OfferedAt, c.Offered}, "it begins anew")
	served.Wait(later)
	require.Nil(t, served.OfferedAt, "inventory had none: nobody was served")
}
