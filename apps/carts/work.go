package main

import (
	"github.com/stampede-shop/stampede/events"
	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/serve"
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Go("pull orders", feed.Every(s.settings.PullBehind), s.pullOrders().Run)
}

// pullOrders reads the confirmed orders whose event should have come long ago.
func (s *service) pullOrders() feed.PullDirect[events.Order] {
	return feed.PullDirect[events.Order]{
		Name: "carts.orders", Dapr: s.orders.dapr, Store: serve.State, Log: s.log,
		Source: s.orders.confirmed(), Behind: s.settings.PullBehind, Apply: s.pulled,
	}
}
