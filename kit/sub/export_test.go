package sub

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/dapr"
)

// DeliverNow is one delivery by the broker to the first topic; waiting is cut short.
func (s *Subscriber) DeliverNow(t *testing.T, e dapr.Event) dapr.Verdict { return s.deliverNow(t, e) }
