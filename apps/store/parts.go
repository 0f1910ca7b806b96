package main

import (
	"html/template"

	"github.com/stampede-shop/stampede/kit/postal"
)

// This file is what the templates hand on to the parts that several pages
// share. A part has one type, so that a test can check it (kit/page/pagetest).

// parts are the functions that make it.
var parts = template.FuncMap{
	"addressFields": func(a address, wrong map[string]string, countries []country, chosen bool) addressFields {
		return addressFields{Address: a, Wrong: wrong, Countries: countries, Chosen: chosen}
	},
	"regions": func(f addressFields) regionChoice {
		return regionChoice{f.Of(), f.Address.Region, f.Wrong["region"], f.Chosen}
	},
	"card":      func(p summary, eager bool) card { return card{p, eager} },
	"cartCount": func(n int, oob bool) cartCount { return cartCount{n, oob} },
	"failure":   func(problem string) trouble { return trouble{Problem: problem} },
	"notify":    func(f notifyForm, loggedIn bool, token string) notifyPart { return notifyPart{f, loggedIn, token} },
	"payment":   func(all []payMethod, on string, wrong map[string]string) payment { return payment{all, on, wrong} },
	"personal":  func(loggedIn bool) headerView { return headerView{LoggedIn: loggedIn} },

	// A field, and what is told of it, one after the other:
	// {{template "field" input "email" "E-mail address" .Email | ofType "email" | wrong .Wrong}}
	"input": func(name, label, value string) input {
		return input{Name: name, Label: label, Value: value, Type: "text"}
	},
	"ofType":   func(t string, i input) input { i.Type = t; return i },
	"auto":     func(autocomplete string, i input) input { i.Auto = autocomplete; return i },
	"least":    func(characters int, i input) input { i.Min = characters; return i },
	"most":     func(characters int, i input) input { i.Max = characters; return i },
	"digits":   func(i input) input { i.Mode, i.Class = "numeric", "code"; return i },
	"hint":     func(text string, i input) input { i.Hint = text; return i },
	"unless":   func(wanted bool, i input) input { i.Optional = !wanted; return i },
	"optional": func(i input) input { i.Optional = true; return i },
	"later":    func(later bool, i input) input { i.Later = later; return i },
	"wrong":    func(all map[string]string, i input) input { i.Wrong = all[i.Name]; return i },
}

// input is a field of a form.
type input struct {
	Name, Label, Value string
	Type               string
	Auto               string // autocomplete
	Mode               string // inputmode
	Class              string
	Min, Max           int // characters; 0: any
	Optional           bool
	Later              bool // required only once the script unfolds it
	Hint               string
	Wrong              string // what is wrong with it
}

// addressFields are the fields of an address. Chosen tells that another one of
// the address book may be taken instead.
type addressFields struct {
	Address   address
	Wrong     map[string]string
	Countries []country
	Chosen    bool
}

// Of is how the address's country writes addresses; as most do when there is no such country.
func (f addressFields) Of() postal.Country {
	if c, ok := postal.Of(f.Address.Country); ok {
		return c
	}
	return postal.Country{
		City: postal.Field{Label: "Town or city", Shown: true}, Region: postal.Field{Label: "Region", Shown: true},
		PostalCode: postal.Field{Label: "Postcode", Shown: true},
	}
}

// regionChoice is the list of a country's regions, with the one that an address has.
type regionChoice struct {
	Country postal.Country
	Region  string
	Wrong   string
	Chosen  bool
}

// card is a product in a list. Eager pictures do not wait to be scrolled to.
type card struct {
	Product summary
	Eager   bool
}

// cartCount is the number beside the cart. OOB puts it in its place although
// the answer is for another part of the page.
type cartCount struct {
	Count int
	OOB   bool
}

// notifyPart is the form of who wants to hear that something is back.
type notifyPart struct {
	Form     notifyForm
	LoggedIn bool
	Token    string
}

// payment is the choice of a card.
type payment struct {
	Methods []payMethod
	Method  string
	Wrong   map[string]string
}
