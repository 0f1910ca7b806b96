package main

import (
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
)

// orders is the neighbour that knows what was bought.
type orders struct{ dapr *dapr.Client }

// confirmed reads which orders were confirmed, by cursor.
func (o orders) confirmed() feed.Source {
	return feed.From(o.dapr, "orders", "/internal/orders/ended?status=confirmed")
}
