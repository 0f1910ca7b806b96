package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stampede-shop/stampede/drop"
)

// metrics tell Prometheus how the drops stand that are not over. Every instance tells the same, but for its own rounds.
type metrics struct{ s *service }

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("drop_"+name, help, append([]string{"drop"}, labels...), nil)
}

var (
	roundSeconds  = metric("round_seconds", "Since this instance has moved it on; the one at work is the lowest, every second.")
	lateSeconds   = metric("late_seconds", "For how long it should have been open, and is not.")
	beaconSeconds = metric("beacon_late_seconds", "For how long the beacon should have told what it waits for.")
	dropWaiting   = metric("waiting", "Who entered and is not called yet; some of them may have left.", "sku")
	dropCalled    = metric("called", "Who has a position below it was called. It never falls.", "sku")
	dropUnits     = metric("units", "The lot's units: free, held, sold.", "sku", "state")
	dropShowing   = metric("show_rate", "Which part of the called is expected to come, 0 to 1.", "sku")
	dropIdle      = metric("idle_seconds", "For how long the next should have been called.", "sku")
	dropClaims    = metric("claims", "Claims by what has become of them.", "sku", "state")
)

// Describe implements prometheus.Collector.
func (m metrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		roundSeconds, lateSeconds, beaconSeconds, dropWaiting, dropCalled, dropUnits, dropShowing, dropIdle, dropClaims,
	} {
		to <- desc
	}
}

// Collect implements prometheus.Collector. A database that does not answer leaves the metrics out.
func (m metrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	now := m.s.now()
	drops, err := m.s.store.live(ctx)
	if err != nil || len(drops) == 0 {
		return
	}
	tell := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for _, d := range drops {
		tell(roundSeconds, now.Sub(m.s.movedAt(d.ID)).Seconds(), d.Slug)
		tell(lateSeconds, d.Late(now).Seconds(), d.Slug)
		tell(beaconSeconds, d.BeaconLate(now).Seconds(), d.Slug)
	}
	lots, err := m.s.store.lotFigures(ctx, now)
	if err != nil {
		return
	}
	for _, l := range lots {
		tell(dropWaiting, float64(l.Waiting), l.Slug, l.SKU)
		tell(dropCalled, float64(l.Called), l.Slug, l.SKU)
		for state, n := range map[string]int64{"free": l.Free, "held": l.Held, "sold": l.Sold} {
			tell(dropUnits, float64(n), l.Slug, l.SKU, state)
		}
		tell(dropShowing, drop.Showing{Came: int(l.Came), Stayed: int(l.Stayed)}.Rate(), l.Slug, l.SKU)
		tell(dropIdle, l.IdleS, l.Slug, l.SKU)
	}
	claims, err := m.s.store.claimFigures(ctx)
	if err != nil {
		return
	}
	for _, c := range claims {
		tell(dropClaims, float64(c.Claims), c.Slug, c.SKU, string(c.State))
	}
}
