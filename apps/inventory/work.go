package main

import (
	"time"

	"github.com/stampede-shop/stampede/kit/feed"
	"github.com/stampede-shop/stampede/kit/serve"
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Alone("sweep lapsed holds", time.Second, s.store.sweep)
	rt.Go("pull outcomes of orders", feed.Every(s.settings.PullBehind), s.pullOutcomes().Run)
	rt.Go("ask orders about old holds", max(time.Second, min(time.Minute, s.settings.AskAfter/2)), s.askOrders().Run)
	rt.Go("forget tombstones", 10*time.Minute, s.store.prune)
	rt.Alone("labels of old SKUs", 10*time.Minute, s.labelOld)
	rt.Missed("products")
}
