package main

import (
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
)

// payments is the neighbour that gives money back.
type payments struct{ dapr *dapr.Client }

// refunds reads what was given back, by cursor.
func (p payments) refunds() feed.Source {
	return feed.From(p.dapr, "payments", "/internal/refunds/made")
}
