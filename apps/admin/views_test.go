package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/page/pagetest"
)

func TestViews(t *testing.T) {
	t.Parallel()
	pagetest.Check(t, setup(t).service.pages, frame{})
}
