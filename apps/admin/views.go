package main

import "github.com/stampede-shop/stampede/kit/page"

// views are the pages, each with its Data. A test checks the templates against
// them.
var views = map[string]any{
	"categories": categoriesView{},
	"customer":   customerView{},
	"dashboard":  dashboardView{},
	"drop":       dropView{},
	"error":      page.Problem{},
	"form":       form{},
	"import":     importView{},
	"imported":   imported{},
	"letter":     letterView{},
	"list":       listView{},
	"mail":       mailView{},
	"order":      orderView{},
	"page":       pageView{},
	"product":    productView{},
	"stock":      stockView{},
	"templates":  templatesView{},
}
