package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop"
	"github.com/stampede-shop/stampede/kit/problem"
)

var noon = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func slug(err error) string {
	var p *problem.Error
	if !errors.As(err, &p) {
		return ""
	}
	return p.Slug()
}

func TestMayEnter(t *testing.T) {
	t.Parallel()
	early := noon.Add(-time.Minute)
	for _, tc := range []struct {
		preset Preset
		state  State
		now    time.Time
		want   string
	}{
		{Queue, Draft, early, "drop-not-found"},
		{Queue, Scheduled, early, "drop-not-open"},
		{FirstCome, Scheduled, early, "drop-not-open"},
		{Queue, Prequeue, early, ""},
		{Queue, Prequeue, noon, "drop-drawing"},
		{Queue, Drawing, noon, ""},
		{Queue, Open, noon, ""},
		{Queue, Paused, noon, ""},
		{Queue, AllHeld, noon, ""},
		{FirstCome, Open, noon, ""},
		{Draw, Prequeue, early, ""},
		{Draw, Prequeue, noon, "entry-closed"},
		{Draw, Drawing, noon, "entry-closed"},
		{Draw, Open, noon, "entry-closed"},
		{Queue, SoldOut, noon, "drop-ended"},
		{Draw, Closed, noon, "drop-ended"},
	} {
		begins := noon.Add(-time.Hour)
		d := Drop{Preset: tc.preset, State: tc.state, PrequeueAt: &begins, OpensAt: noon}
		require.Equal(t, tc.want, slug(d.MayEnter(tc.now)), "%s %s", tc.preset, tc.state)
	}
}

func TestMayClaim(t *testing.T) {
	t.Parallel()
	for state, want := range map[State]string{
		Draft: "drop-not-open", Scheduled: "drop-not-open", Prequeue: "drop-not-open", Drawing: "drop-not-open", Open: "", AllHeld: "",
		Paused: "drop-paused", SoldOut: "sold-out", Closed: "drop-ended",
	} {
		d := Drop{State: state, OpensAt: noon}
		require.Equal(t, want, slug(d.MayClaim()), state)
	}
}

func TestGive(t *testing.T) {
	t.Parallel()
	open := Drop{State: Open}
	require.Equal(t, Open, open.Give([]Lot{{Units: 1, Held: 1}, {Units: 1, Free: 1}}))
	require.Equal(t, AllHeld, open.Give([]Lot{{Units: 5, Held: 1, Sold: 4}, {Units: 2, Sold: 2}}))
	require.Equal(t, AllHeld, open.Give([]Lot{{Units: 5, Sold: 4}}), "one is on its way")
	require.Equal(t, SoldOut, open.Give([]Lot{{Units: 4, Sold: 4}, {Units: 2, Sold: 2}}))
	all := Drop{State: AllHeld}
	require.Equal(t, Open, all.Give([]Lot{{Units: 1, Free: 1}}), "something came back")
}

func TestEnters(t *testing.T) {
	t.Parallel()
	lots := []Lot{{SKU: "TEE", Most: 2}, {SKU: "CAP", Most: 1}}
	require.NoError(t, Enters([]string{"TEE"}, 2, lots))
	require.NoError(t, Enters([]string{"TEE", "CAP"}, 1, lots))
	for _, tc := range []struct {
		skus     []string
		quantity int64
	}{{[]string{"TEE", "CAP"}, 2}, {[]string{"HAT"}, 1}, {[]string{"TEE", "TEE"}, 1}} {
		require.Equal(t, "invalid", slug(Enters(tc.skus, tc.quantity, lots)), "%v", tc)
	}
}

// TestMoreTime: a hold is prolonged twice, from its end, and as long as it is one.
func TestMoreTime(t *testing.T) {
	t.Parallel()
	end, past := noon.Add(time.Minute), noon
	for name, tc := range map[string]struct {
		claim Claim
		want  string
		times int64
	}{
		"held":              {Claim{Claim: drop.Claim{State: Held, Until: &end}}, "", 2},
		"prolonged once":    {Claim{Claim: drop.Claim{State: Held, Until: &end, Extended: 1}}, "", 1},
		"prolonged twice":   {Claim{Claim: drop.Claim{State: Held, Until: &end, Extended: 2}}, "no-more-time", 0},
		"over":              {Claim{Claim: drop.Claim{State: Held, Until: &past}}, "claim-lapsed", 2},
		"lapsed":            {Claim{Claim: drop.Claim{State: Lapsed, Until: &past}}, "claim-lapsed", 0},
		"offered":           {Claim{Claim: drop.Claim{State: Offered, Until: &end}}, "not-held", 0},
		"stands by":         {Claim{Claim: drop.Claim{State: Standby}}, "not-held", 0},
		"asked":             {Claim{Claim: drop.Claim{State: Asked, Until: &end}}, "not-held", 0},
		"bought, and early": {Claim{Claim: drop.Claim{State: Bought, Until: &end}}, "not-held", 0},
	} {
		until, err := tc.claim.MoreTime(noon, 5*time.Minute)
		require.Equal(t, tc.want, slug(err), name)
		require.Equal(t, tc.times, tc.claim.MoreTimes(), name)
		if err == nil {
			require.Equal(t, end.Add(5*time.Minute), until, name)
		}
	}
	c := Claim{Claim: drop.Claim{State: Lapsed, Until: &past, Extended: 2, Position: 5}}
	_, ask := c.Ask(1, noon, time.Minute, nil)
	require.True(t, ask)
	require.Zero(t, c.Extended, "another hold")
}

// TestDaylightSaving: a time that is written with an offset which the zone does not have then is an hour off, and refused.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	// In London clocks go from 01:00 to 02:00 on 28 March 2027, and from 02:00 to 01:00 on 31 October.
	for at, right := range map[string]bool{
		"2027-03-28T00:59:00Z": true, "2027-03-28T00:59:00+00:00": true, "2027-03-28T02:00:00+01:00": true, "2027-03-28T01:30:00Z": true,
		"2027-03-28T01:30:00+00:00": false, "2027-03-28T12:00:00+00:00": false, "2027-03-28T00:30:00+01:00": false,
		"2027-10-31T01:30:00+01:00": true, "2027-10-31T01:30:00+00:00": true, "2027-10-31T03:00:00+01:00": false,
	} {
		var opens time.Time
		require.NoError(t, opens.UnmarshalText([]byte(at)))
		d := Drop{State: Draft}
		err := d.apply(DropInput{
			Title: "T", Preset: FirstCome, Zone: "Europe/London", OpensAt: opens, ClosesAt: opens.UTC().Add(time.Hour),
			Lots: []LotWanted{{"TEE", 1, 1}},
		})
		require.Equal(t, right, err == nil, "%s: %v", at, err)
		if right {
			require.True(t, d.OpensAt.Equal(opens))
		}
	}
	for _, zone := range []string{"", "Local", "Europe/Nowhere", "BST", "../etc/passwd"} {
		d := Drop{State: Draft}
		require.Equal(t, "invalid", slug(d.apply(DropInput{Preset: FirstCome, Zone: zone, OpensAt: noon, ClosesAt: noon.Add(1)})), zone)
	}
}
