package main

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestSet(t *testing.T) {
	t.Parallel()
	c := newCart(uuid.New())
	require.NoError(t, c.set("a", 2, 20))
	require.NoError(t, c.set("b", 1, 20))
	require.NoError(t, c.set("a", 5, 20))
	require.Equal(t, []Line{{"a", 5}, {"b", 1}}, c.Lines)
	require.ErrorIs(t, c.set("a", 6, 5), ErrLimitReached)
	require.Equal(t, 5, c.Lines[0].Quantity)
	require.NoError(t, c.set("a", 0, 20))
	require.NoError(t, c.set("never there", 0, 20))
	require.Equal(t, []Line{{"b", 1}}, c.Lines)

	for i := range maxLines - 1 {
		require.NoError(t, c.set(fmt.Sprint(i), 1, 20))
	}
	require.ErrorIs(t, c.set("one more", 1, 20), ErrLimitReached)
	require.NoError(t, c.set("b", 2, 20), "a line that is there may change")
}

func TestMerge(t *testing.T) {
	t.Parallel()
	c := newCart(uuid.New())
	c.Lines = []Line{{"a", 2}, {"b", 5}}
	c.merge([]Line{{"a", 3}, {"b", 1}, {"c", 1}})
	want := []Line{{"a", 3}, {"b", 5}, {"c", 1}}
	require.Equal(t, want, c.Lines)
	c.merge([]Line{{"a", 3}, {"b", 1}, {"c", 1}})
	require.Equal(t, want, c.Lines, "again changes nothing")
}

func TestBought(t *testing.T) {
	t.Parallel()
	checkout, order, next := uuid.New(), uuid.New(), uuid.New()
	c := newCart(checkout)
	c.Lines = []Line{{"a", 3}, {"b", 1}, {"new", 1}}
	require.True(t, c.bought(order, checkout, []Line{{"a", 2}, {"b", 1}}, next))
	require.Equal(t, []Line{{"a", 1}, {"new", 1}}, c.Lines, "what was added since stays")
	require.Equal(t, next, c.CheckoutID)
	require.False(t, c.bought(order, next, []Line{{"a", 1}}, uuid.New()), "a second copy")
	require.Equal(t, []Line{{"a", 1}, {"new", 1}}, c.Lines)
	require.True(t, c.bought(uuid.New(), checkout, []Line{{"a", 1}}, uuid.New()), "an earlier checkout is only remembered")
	require.Equal(t, []Line{{"a", 1}, {"new", 1}}, c.Lines)
	require.Equal(t, next, c.CheckoutID)
	for range 2 * keepEnded {
		c.bought(uuid.New(), uuid.New(), nil, uuid.New())
	}
	require.Len(t, c.Ended, keepEnded)
}

func TestRemove(t *testing.T) {
	t.Parallel()
	c := newCart(uuid.New())
	c.Lines = []Line{{"a", 1}, {"b", 1}}
	require.True(t, c.remove([]Removed{{"a", "A", "unavailable"}, {"x", "X", "unavailable"}}))
	require.Equal(t, []Line{{"b", 1}}, c.Lines)
	require.Len(t, c.Removed, 1)
	require.False(t, c.remove([]Removed{{"a", "A", "unavailable"}}))
	require.NoError(t, c.set("b", 2, 20))
	require.Empty(t, c.Removed, "forgotten once the shopper goes on")
}

func TestGuestKeyHidesTheSession(t *testing.T) {
	t.Parallel()
	key := guestKey("0123456789abcdef")
	require.NotContains(t, key, "0123456789abcdef")
	require.Equal(t, key, guestKey("0123456789abcdef"))
	require.NotEqual(t, key, guestKey("0123456789abcdeg"))
}
