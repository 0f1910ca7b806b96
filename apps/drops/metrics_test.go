package main

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/stampede-shop/stampede/drop/proof"
)

// tells demands that the service tells these of the drop, each the name of a metric with the labels that it has besides, and
// what it is.
func (b *bundle) tells(when string, lines map[string]float64) {
	b.t.Helper()
	page := httptest.NewRecorder()
	promhttp.HandlerFor(b.rt.Metrics, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	for name, value := range lines {
		require.Contains(b.t, page.Body.String(), fmt.Sprintf("\ndrop_%s %v\n", name, value), when)
	}
	if len(lines) == 0 {
		require.NotContains(b.t, page.Body.String(), "\ndrop_", when)
	}
}

const (
	spring = `{drop="spring"}`
	tee    = `{drop="spring",sku="TEE"}`
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.tells("no drop", nil)
	w := b.made()
	b.at(*w.PrequeueAt)
	b.tick()
	for n := range 4 {
		b.entered(n)
	}
	b.tells("before the opening", map[string]float64{
		"waiting" + tee: 4, "called" + tee: 0, "late_seconds" + spring: 0, "beacon_late_seconds" + spring: 0, "round_seconds" + spring: 0,
	})
	require.Equal(t, int64(4), b.watched(w.ID).Watch[0].Waiting, "staff are told the same")
	b.at(w.OpensAt.Add(90 * time.Second))
	b.tells("nobody has opened it", map[string]float64{"late_seconds" + spring: 90, "round_seconds" + spring: 3690})

	b.tick()
	units := func(state string) string { return `units{drop="spring",sku="TEE",state="` + state + `"}` }
	b.tells("open", map[string]float64{
		"waiting" + tee: 2, "called" + tee: 2, "show_rate" + tee: 0.8, "idle_seconds" + tee: 0, units("free"): 2, units("held"): 0,
		units("sold"): 0, "late_seconds" + spring: 0, "round_seconds" + spring: 0,
	})
	for n := range 4 {
		if *b.entry(n).Position == 0 {
			require.Equal(t, 201, b.claim(n).Status)
		}
	}
	b.later(time.Second)
	b.tells("one came", map[string]float64{
		units("free"): 1, units("held"): 1, "idle_seconds" + tee: 0, `claims{drop="spring",sku="TEE",state="held"}`: 1,
	})
	b.at(b.clock().Add(74 * time.Second))
	b.tells("the other's 45 s are over, and nobody calls the next", map[string]float64{"idle_seconds" + tee: 30})
	pause := "/admin/drops/" + w.ID.String() + "/pause"
	require.Equal(t, 200, b.do(b.staff(), "PUT", pause, nil).Status)
	b.tells("on purpose", map[string]float64{"idle_seconds" + tee: 0})
	require.Equal(t, 200, b.do(b.staff(), "DELETE", pause, nil).Status)
	b.later(time.Minute)
	b.tells("called", map[string]float64{"called" + tee: 3, "waiting" + tee: 1, "idle_seconds" + tee: 0})

	require.Equal(t, 200, b.do(b.staff(), "POST", "/admin/drops/"+w.ID.String()+"/end", nil).Status)
	b.tells("over", nil)
}

func TestMetricsOfTheBeacon(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.s.beacon = rounds{}
	w := b.made("beacon", proof.BeaconDrand)
	b.at(*w.PrequeueAt)
	b.tick()
	b.entered(1)
	b.at(w.OpensAt)
	b.tick()
	b.at(w.OpensAt.Add(time.Minute))
	require.Error(t, b.s.moveAll(t.Context()))
	d, _, err := b.s.store.byID(t.Context(), w.ID)
	require.NoError(t, err)
	b.tells("not told", map[string]float64{
		"late_seconds" + spring: 60, "round_seconds" + spring: 60,
		"beacon_late_seconds" + spring: b.clock().Sub(proof.Quicknet.TimeOf(uint64(*d.BeaconRound))).Seconds(),
	})
}
