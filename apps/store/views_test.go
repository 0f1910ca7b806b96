package main

import (
	"testing"

	"github.com/stampede-shop/stampede/kit/page/pagetest"
)

func TestViews(t *testing.T) {
	t.Parallel()
	_, s := newTest(t)
	pagetest.Check(t, s.pages, &frame{})
}
