package outbox

import "github.com/prometheus/client_golang/prometheus"

// Counted is implemented by events of which more is counted than how many there were: why (one of few words, "" for
// none), and about how much money, in minor units of a currency ("" for none). No basic types of kit's, so that events
// know nothing of it.
type Counted interface {
	Counted() (reason string, minor int64, currency string)
}

var (
	saved = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "events_saved_total", Help: "Events that were saved with the change that they tell, by topic and reason.",
	}, []string{"topic", "reason"})
	worth = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "events_worth_total", Help: "The money that they are about, in minor units, by topic and currency.",
	}, []string{"topic", "currency"})
)

// Metrics are what this process counts of the events that it saves.
func Metrics() []prometheus.Collector { return []prometheus.Collector{saved, worth} }

// count notes an event that is committed.
func count(e Event) {
	reason := ""
	if c, ok := e.(Counted); ok {
		why, minor, currency := c.Counted()
		if reason = why; currency != "" {
			worth.WithLabelValues(e.Topic(), currency).Add(float64(max(0, minor)))
		}
	}
	saved.WithLabelValues(e.Topic(), reason).Inc()
}
