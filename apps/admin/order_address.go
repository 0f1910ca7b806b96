package main

import (
	"net/http"

	"github.com/stampede-shop/stampede/kit/page"
)

// readdressForm sends an order that is not on its way yet somewhere else in its country.
func readdressForm(o order) form {
	a := o.Address
	return form{
		Heading: "Another address for order " + o.Number, Button: "Send it there", Action: orderAt(o.ID) + "/address",
		Back: orderAt(o.ID), BackTo: "Leave it as it was",
		Crumbs: []crumb{{"Orders", "/admin/orders"}, {o.Number, orderAt(o.ID)}},
		Text:   []string{"It can go anywhere in " + page.Country(a.Country) + ": in another country it would cost something else."},
		Fields: []field{
			{Name: "name", Label: "Full name", Value: a.Name, Required: true, Max: 120},
			{Name: "line1", Label: "Address", Value: a.Line1, Required: true, Max: 200},
			{Name: "line2", Label: "Flat, floor, company", Value: a.Line2, Max: 200},
			{Name: "postal_code", Label: "Postcode", Value: a.PostalCode, Max: 20},
			{Name: "city", Label: "Town or city", Value: a.City, Max: 120},
			{Name: "region", Label: "Region", Value: a.Region, Max: 120,
				Hint: "State or province, its code or its name, where parcels need it."},
			{Name: "phone", Label: "Telephone", Value: a.Phone, Max: 40},
		},
	}
}

func (s *service) showReaddress(r *http.Request) (page.Answer, error) {
	o, err := s.order(r)
	if err != nil {
		return nil, err
	}
	return readdressForm(o).show(), nil
}

func (s *service) readdress(r *http.Request) (page.Answer, error) {
	o, err := s.order(r)
	if err != nil {
		return nil, err
	}
	f := readdressForm(o)
	in := map[string]string{"country": o.Address.Country}
	for _, one := range f.Fields {
		in[one.Name] = r.PostForm.Get(one.Name)
	}
	err = s.call(r.Context(), "orders", http.MethodPut, "/api/v1/admin/orders/"+o.ID.String()+"/address", in, nil)
	if err != nil {
		return f.answer(r.PostForm, err)
	}
	return to(orderAt(o.ID), "readdressed"), nil
}
