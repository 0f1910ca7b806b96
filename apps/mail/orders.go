package main

import (
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/feed"
)

// orders is the neighbour that tells what became of orders.
type orders struct{ dapr *dapr.Client }

// forgotten reads of which orders nobody is to keep who placed them, by cursor.
func (o orders) forgotten() feed.Source {
	return feed.From(o.dapr, "orders", "/internal/orders/forgotten")
}

// ended reads what the events of orders told, by cursor.
func (o orders) ended() feed.Source { return feed.From(o.dapr, "orders", "/internal/orders/ended") }
