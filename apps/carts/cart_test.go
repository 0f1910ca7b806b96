package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// newID is what store.change gives.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func less(a, b uuid.UUID) bool { return bytes.Compare(a[:], b[:]) < 0 }

// put is set, of something that may be had.
func (c *Cart) put(t *testing.T, sku string, quantity int) uuid.UUID {
	t.Helper()
	_, err := c.set(sku, quantity, maxQuantity, newID())
	require.NoError(t, err)
	return c.CheckoutID
}

func TestSet(t *testing.T) {
	t.Parallel()
	c := newCart(newID())
	c.put(t, "a", 2)
	c.put(t, "b", 1)
	c.put(t, "a", 5)
	require.Equal(t, []Line{{"a", 5}, {"b", 1}}, c.Lines)
	_, err := c.set("a", 6, 5, newID())
	require.ErrorIs(t, err, ErrLimitReached)
	require.Equal(t, 5, c.Lines[0].Quantity)
	c.put(t, "a", 0)
	c.put(t, "never there", 0)
	require.Equal(t, []Line{{"b", 1}}, c.Lines)

	for i := range maxLines - 1 {
		c.put(t, fmt.Sprint(i), 1)
	}
	_, err = c.set("one more", 1, 20, newID())
	require.ErrorIs(t, err, ErrLimitReached)
	c.put(t, "b", 2) // a line that is there may change
}

// TestNothingToSave: what a stranger can send with a fresh session fills no
// store.
func TestNothingToSave(t *testing.T) {
	t.Parallel()
	c := newCart(newID())
	save, err := c.set("a", 0, maxQuantity, newID())
	require.NoError(t, err)
	require.False(t, save)
	require.False(t, c.clear(newID()))
	require.False(t, c.remove([]Removed{{"a", "A", "unavailable"}}, newID()))

	c.put(t, "a", 1)
	save, err = c.set("a", 1, maxQuantity, newID())
	require.NoError(t, err)
	require.True(t, save, "the same once more: it lives longer")
	require.True(t, c.clear(newID()))
	require.False(t, c.clear(newID()))
}

// TestCheckout: every change of the lines is a new checkout, whatever the
// clocks say, and nothing else is.
func TestCheckout(t *testing.T) {
	t.Parallel()
	c := newCart(newID())
	changes := []struct {
		name    string
		renewed bool
		change  func(fresh uuid.UUID)
	}{
		{"put", true, func(f uuid.UUID) { _, _ = c.set("a", 1, 20, f) }},
		{"the same", false, func(f uuid.UUID) { _, _ = c.set("a", 1, 20, f) }},
		{"more", true, func(f uuid.UUID) { _, _ = c.set("a", 3, 20, f) }},
		{"too many", false, func(f uuid.UUID) { _, _ = c.set("a", 4, 3, f) }},
		{"0 of what is not there", false, func(f uuid.UUID) { _, _ = c.set("b", 0, 20, f) }},
		{"merge", true, func(f uuid.UUID) { c.merge([]Line{{"a", 1}, {"b", 2}}, f) }},
		{"merge again", false, func(f uuid.UUID) { c.merge([]Line{{"a", 1}, {"b", 2}}, f) }},
		{"remove", true, func(f uuid.UUID) { c.remove([]Removed{{"b", "B", "unavailable"}}, f) }},
		{"remove again", false, func(f uuid.UUID) { c.remove([]Removed{{"b", "B", "unavailable"}}, f) }},
		{"out", true, func(f uuid.UUID) { _, _ = c.set("a", 0, 20, f) }},
		{"in again", true, func(f uuid.UUID) { _, _ = c.set("a", 1, 20, f) }},
		{"bought", true, func(f uuid.UUID) { c.bought(newID(), c.CheckoutID, []Line{{"a", 1}}, f) }},
		{"in once more", true, func(f uuid.UUID) { _, _ = c.set("a", 1, 20, f) }},
		{"clear", true, func(f uuid.UUID) { c.clear(f) }},
		{"clear again", false, func(f uuid.UUID) { c.clear(f) }},
	}
	early := newID() // of a clock that is behind
	for _, clock := range []func() uuid.UUID{newID, func() uuid.UUID { return early }} {
		for _, one := range changes {
			before := c.CheckoutID
			one.change(clock())
			if one.renewed {
				require.True(t, less(before, c.CheckoutID), one.name)
				require.Equal(t, uuid.Version(7), c.CheckoutID.Version())
			} else {
				require.Equal(t, before, c.CheckoutID, one.name)
			}
		}
	}
}

func TestRenewBehindTheLast(t *testing.T) {
	t.Parallel()
	c := newCart(uuid.MustParse("0193ffff-ffff-7fff-bfff-ffffffffffff"))
	c.renew(uuid.MustParse("01930000-0000-7abc-8def-000000000001"))
	require.Equal(t, "01940000-0000-7abc-8def-000000000001", c.CheckoutID.String())
}

func TestMerge(t *testing.T) {
	t.Parallel()
	c := newCart(newID())
	c.Lines = []Line{{"a", 2}, {"b", 5}}
	c.merge([]Line{{"a", 3}, {"b", 1}, {"c", 1}}, newID())
	want := []Line{{"a", 3}, {"b", 5}, {"c", 1}}
	require.Equal(t, want, c.Lines)
	c.merge([]Line{{"a", 3}, {"b", 1}, {"c", 1}}, newID())
	require.Equal(t, want, c.Lines, "again changes nothing")
}

// TestBought goes through the orders of things in which the confirmation of an
// order may reach its cart.
func TestBought(t *testing.T) {
	t.Parallel()
	type moment func(t *testing.T, c *Cart)
	var placed [2]struct {
		id, checkout uuid.UUID
		lines        []Line
	}
	// What happens; orders are 0 and 1.
	put := func(sku string, quantity int) moment {
		return func(t *testing.T, c *Cart) { c.put(t, sku, quantity) }
	}
	clear := func(_ *testing.T, c *Cart) { c.clear(newID()) }
	merge := func(lines ...Line) moment { return func(_ *testing.T, c *Cart) { c.merge(lines, newID()) } }
	order := func(n int) moment {
		return func(_ *testing.T, c *Cart) {
			placed[n].id, placed[n].checkout, placed[n].lines = newID(), c.CheckoutID, append([]Line{}, c.Lines...)
		}
	}
	confirm := func(n int) moment {
		return func(_ *testing.T, c *Cart) { c.bought(placed[n].id, placed[n].checkout, placed[n].lines, newID()) }
	}
	gone := func(t *testing.T, c *Cart) { *c = newCart(newID()) } // as after its thirty days
	// A cart as it was saved before Since was kept.
	old := func(t *testing.T, c *Cart) { c.Since = uuid.Nil }

	for _, one := range []struct {
		name string
		what []moment
		want []Line
	}{
		{"at once", []moment{put("a", 2), order(0), confirm(0)}, nil},
		{"twice", []moment{put("a", 2), order(0), confirm(0), put("a", 2), confirm(0)}, []Line{{"a", 2}}},
		{"more was put in", []moment{put("a", 2), order(0), put("b", 1), confirm(0)}, []Line{{"b", 1}}},
		{"more of it was put in", []moment{put("a", 2), order(0), put("a", 3), confirm(0)}, []Line{{"a", 1}}},
		{"more was put in, twice", []moment{put("a", 2), order(0), put("a", 3), confirm(0), confirm(0)}, []Line{{"a", 1}}},
		{"merged meanwhile", []moment{put("a", 2), order(0), merge(Line{"b", 1}), confirm(0)}, []Line{{"b", 1}}},
		{"late, after a clear", []moment{put("a", 2), order(0), clear, put("a", 1), confirm(0)}, []Line{{"a", 1}}},
		{"late, after all was taken out", []moment{put("a", 2), order(0), put("a", 0), put("a", 1), confirm(0)}, []Line{{"a", 1}}},
		{"late, after the cart's life", []moment{put("a", 2), order(0), gone, confirm(0), put("a", 1), confirm(0)}, []Line{{"a", 1}}},
		{"two, in turn", []moment{put("a", 1), order(0), put("b", 1), order(1), confirm(0), confirm(1)}, nil},
		{"two, the second first", []moment{put("a", 1), order(0), put("b", 1), order(1), confirm(1), put("c", 1), confirm(0)}, []Line{{"c", 1}}},
		{"two, the first long after", []moment{put("a", 1), order(0), put("a", 0), put("b", 1), order(1), confirm(1), put("a", 1), confirm(0)}, []Line{{"a", 1}}},
		{"two, cleared between", []moment{put("a", 1), order(0), clear, put("a", 1), order(1), confirm(0), confirm(1)}, nil},
		{"saved before", []moment{put("a", 2), old, order(0), confirm(0)}, nil},
		{"saved before, more put in", []moment{put("a", 2), old, order(0), put("b", 1), confirm(0)}, []Line{{"b", 1}}},
		{"saved before, cleared", []moment{put("a", 2), old, order(0), clear, put("a", 1), confirm(0)}, []Line{{"a", 1}}},
		{"saved before, an order of before", []moment{put("a", 2), order(0), clear, put("a", 1), old, confirm(0)}, []Line{{"a", 1}}},
	} {
		c := newCart(newID())
		for _, happens := range one.what {
			happens(t, &c)
		}
		if one.want == nil {
			require.Empty(t, c.Lines, one.name)
		} else {
			require.Equal(t, one.want, c.Lines, one.name)
		}
		require.False(t, c.bought(placed[0].id, placed[0].checkout, placed[0].lines, newID()), "%s: there is nothing to save any more", one.name)
	}
}

func TestBoughtRemembersTheLast(t *testing.T) {
	t.Parallel()
	c := newCart(newID())
	for range 2 * keepEnded {
		c.bought(newID(), c.CheckoutID, nil, newID())
	}
	require.Len(t, c.Ended, keepEnded)
}

// TestStored: instances of before and after a change run beside each other, and
// read each other's carts.
func TestStored(t *testing.T) {
	t.Parallel()
	var c Cart
	require.NoError(t, json.Unmarshal([]byte(`{"checkout_id":"01930000-0000-7abc-8def-000000000001","version":3,"lines":[{"sku":"a","quantity":2}],
		"removed":null,"ended":["01930000-0000-7abc-8def-000000000002"],"expires_at":"2026-11-28T15:00:00Z"}`), &c))
	before := c.CheckoutID
	c.put(t, "b", 1)
	require.Equal(t, before, c.Since)
	text, err := json.Marshal(c)
	require.NoError(t, err)
	var known struct {
		CheckoutID uuid.UUID   `json:"checkout_id"`
		Version    int         `json:"version"`
		Lines      []Line      `json:"lines"`
		Removed    []Removed   `json:"removed"`
		Ended      []uuid.UUID `json:"ended"`
	}
	require.NoError(t, json.Unmarshal(text, &known))
	require.Equal(t, c.CheckoutID, known.CheckoutID)
	require.Equal(t, []Line{{"a", 2}, {"b", 1}}, known.Lines)
	require.Len(t, known.Ended, 1)
}

func TestRemove(t *testing.T) {
	t.Parallel()
	c := newCart(newID())
	c.Lines = []Line{{"a", 1}, {"b", 1}}
	require.True(t, c.remove([]Removed{{"a", "A", "unavailable"}, {"x", "X", "unavailable"}}, newID()))
	require.Equal(t, []Line{{"b", 1}}, c.Lines)
	require.Len(t, c.Removed, 1)
	require.False(t, c.remove([]Removed{{"a", "A", "unavailable"}}, newID()))
	c.put(t, "b", 2)
	require.Empty(t, c.Removed, "forgotten once the shopper goes on")
}

func TestGuestKeyHidesTheSession(t *testing.T) {
	t.Parallel()
	key := guestKey("0123456789abcdef")
	require.NotContains(t, key, "0123456789abcdef")
	require.Equal(t, key, guestKey("0123456789abcdef"))
	require.NotEqual(t, key, guestKey("0123456789abcdeg"))
}
