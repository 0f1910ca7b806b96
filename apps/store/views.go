package main

import "github.com/stampede-shop/stampede/kit/page"

// views are the pages, and the parts that are answered alone, each with its
// Data. A test checks the templates against them.
var views = map[string]any{
	"account":   accountView{},
	"addresses": accountView{},
	"again":     againView{},
	"cart":      cartView{},
	"checkout":  checkoutView{},
	"delivery":  nil,
	"error":     page.Problem{},
	"forgot":    resetForm{},
	"home":      homeView{},
	"order":     orderView{},
	"orders":    ordersView{},
	"picture":   pictureView{},
	"privacy":   nil,
	"product":   productView{},
	"register":  registerForm{},
	"reset":     resetForm{},
	"retry":     "", // where to log in
	"search":    searchView{},
	"security":  accountView{},
	"suspended": nil,
	"verify":    verifyForm{},

	"cards":            searchView{},
	"cart-body":        cartView{},
	"checkout-summary": checkoutView{},
	"drawer":           cartView{},
	"header":           headerView{},
	"order-body":       orderView{},
	"suggestions":      suggestView{},
}
