package sub

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stampede-shop/stampede/kit/pg"
)

// What becomes of a delivery.
const (
	done   = "done"
	failed = "failed" // it comes again
	dead   = "dead"   // a dead letter, or dropped where there is no database
)

var (
	handled = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "events_handled_total", Help: "Deliveries of events, by topic and outcome: done, failed (it comes again), dead.",
	}, []string{"topic", "outcome"})
	repeated = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "events_repeated_total", Help: "Deliveries of events that were handled before and changed nothing.",
	}, []string{"topic"})
)

// Metrics are what this process counts of the events that it hears.
func Metrics() []prometheus.Collector { return []prometheus.Collector{handled, repeated} }

// counted makes a topic's counts begin at zero, so that the first failure is an increase.
func counted(topic string) {
	for _, outcome := range []string{done, failed, dead} {
		handled.WithLabelValues(topic, outcome)
	}
	repeated.WithLabelValues(topic)
}

// Letters tells how many dead letters there are of each topic, up to 10,000 in all.
func (s *Subscriber) Letters(ctx context.Context) (map[string]int, error) {
	counts, err := pg.Counts(ctx, s.DB, `SELECT topic, count(*) FROM (SELECT topic FROM dead_letters LIMIT 10000) l GROUP BY topic`)
	if err != nil {
		return nil, err
	}
	for _, topic := range s.Topics() {
		counts[topic] += 0
	}
	return counts, nil
}
