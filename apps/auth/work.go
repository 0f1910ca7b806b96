package main

import (
	"time"

	"github.com/stampede-shop/stampede/kit/forget"
	"github.com/stampede-shop/stampede/kit/serve"
)

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) {
	rt.Go("codes", time.Second, s.answerRequests)
	rt.Go("sweep", 15*time.Second, s.sweep)
	rt.Go("arrivals", time.Second, s.arrive)
	rt.Alone("page logins", pagesEvery, s.learnAllPageLogins)
	rt.Go("forget again", forget.Every, forget.Again(s.store.db, deletePageLogins))
	rt.Alone("prune history", time.Hour, s.prune)
	if s.settings.Demo {
		rt.Go("demo accounts", 5*time.Second, s.makeDemos([]demo{
			{"shopper@stampede.test", "Sam", "Shopper", s.settings.ShopperPassword, false},
			{"ops@stampede.test", "Olive", "Operator", s.settings.OpsPassword, true},
		}))
	}
}
