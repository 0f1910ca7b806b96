package main

import "github.com/stampede-shop/stampede/kit/page"

// views are the pages, and the parts that are answered alone, each with its
// Data. A test checks the templates against them.
var views = map[string]any{
	"account":       accountView{},
	"addresses":     accountView{},
	"again":         againView{},
	"cart":          cartView{},
	"categories":    categoriesView{},
	"checkout":      checkoutView{},
	"deleted":       nil,
	"deletion":      deletionForm{},
	"delivery":      nil,
	"drop":          dropView{},
	"drop-verify":   proofView{},
	"drops":         dropsView{},
	"email":         emailForm{},
	"error":         page.Problem{},
	"forgot":        resetForm{},
	"home":          homeView{},
	"notify":        notifyForm{},
	"order":         orderView{},
	"order-address": orderAddressView{},
	"orders":        ordersView{},
	"page":          shopPage{},
	"picture":       pictureView{},
	"privacy":       nil,
	"product":       productView{},
	"register":      registerForm{},
	"request":       requestView{},
	"reset":         resetForm{},
	"retry":         "", // where to log in
	"search":        searchView{},
	"security":      accountView{},
	"suspended":     nil,
	"verify":        verifyForm{},

	"email-code": emailForm{},

	"cards":            searchView{},
	"cart-body":        cartView{},
	"checkout-summary": checkoutView{},
	"drawer":           cartView{},
	"drop-body":        dropView{},
	"header":           headerView{},
	"order-body":       orderView{},
	"suggestions":      suggestView{},
}
