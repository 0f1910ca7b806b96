package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const backlog = 30_000 // orders

// backlogged is a service after an outage: so many pending orders past their deadline, whose order.placed was sent, and
// as many that are confirmed.
func backlogged(b *testing.B) *bundle {
	b.Helper()
	s := setup(b)
	_, err := s.db.Exec(b.Context(), fmt.Sprintf(`
		CREATE TABLE made AS SELECT gen_random_uuid() AS id, now() - i * interval '1 ms' AS at, i > %[1]d AS paid FROM generate_series(1, 2 * %[1]d) AS i;
		INSERT INTO order_ids (id, fate, decided_at) SELECT id, 'placed', at FROM made;
		INSERT INTO orders (id, number, account_id, email, first_name, checkout_id, status, version, currency, subtotal, discount, tax,
		                    shipping, total, address, payment_method, payment_status, created_at, updated_at, placed_put_at)
		SELECT id, id::text, gen_random_uuid(), 'ada@stampede.test', 'Ada', gen_random_uuid(), CASE WHEN paid THEN 'confirmed' ELSE 'pending' END,
		       1, 'GBP', 3998, 0, 733, 399, 4397,
		       '{"name": "Ada Lovelace", "line1": "12 St James''s Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"}',
		       'pm_card_visa', CASE WHEN paid THEN 'captured' ELSE 'pending' END, at, at, at FROM made;
		INSERT INTO order_lines (order_id, position, sku, slug, name, image_url, quantity, unit_price, discount, tax, line_total)
		SELECT id, n, 'TEE-' || n, 'tee', 'Tee', '/media/tee.svg', 1, 1999, 0, 333, 1999 FROM made, generate_series(0, 1) AS n;
		INSERT INTO order_history (order_id, version, status, at) SELECT id, 1, 'pending', at FROM made;
		INSERT INTO outbox (id, topic, data, sent_at)
		SELECT gen_random_uuid(), 'order.placed.v1', jsonb_build_object('order_id', id, 'lines', repeat('x', 1500)), at FROM made;
		DROP TABLE made;
		ANALYZE`, backlog))
	require.NoError(b, err)
	s.at.Add(s.settings.Deadline + time.Minute)
	return s
}

// BenchmarkBacklog is the work after an outage, without what payments needs for its part:
// go test ./apps/orders -run '^$' -bench Backlog -benchtime 1x
func BenchmarkBacklog(b *testing.B) {
	measure := func(name string, work func(s *bundle) error) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := backlogged(b)
				b.StartTimer()
				require.NoError(b, work(s))
			}
			b.ReportMetric(float64(backlog*b.N)/b.Elapsed().Seconds(), "orders/s")
		})
	}
	measure("remind", func(s *bundle) error { return s.remind(b.Context()) })
	for _, answer := range []string{"voided", "captured", "unknown"} {
		measure("settle/"+answer, func(s *bundle) error {
			s.voids(b, func(uuid.UUID) charge { return charge{Status: answer, Amount: gbp(4397)} })
			return s.settle(b.Context())
		})
	}
}
