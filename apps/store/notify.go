package main

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/stampede-shop/stampede/kit/page"
	"github.com/stampede-shop/stampede/kit/problem"
)

// waiting is a request to hear that something is back, as products tells it.
type waiting struct {
	Slug    string `json:"slug"`
	Name    string `json:"name"`
	Variant string `json:"variant"`
	State   string `json:"state"` // pending, waiting or told
}

// asked is the answer to a new request: pending when a mail asks the address first.
type asked struct {
	State string `json:"state"`
}

// notifyForm is the Data of the page "notify": who wants to hear that something is back, and what became of it.
type notifyForm struct {
	Product product
	SKU     string
	Email   string
	Wrong   map[string]string
	Problem string
	State   string // pending or waiting, once it was taken
}

// Missing are the variants that are sold out.
func (f notifyForm) Missing() (gone []variant) {
	for _, v := range f.Product.Variant {
		if !v.InStock {
			gone = append(gone, v)
		}
	}
	return gone
}

// getNotify shows the form by itself.
func (s *service) getNotify(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	p, err := s.productBySlug(r.Context(), chi.URLParam(r, "slug"))
	if err != nil {
		return nil, err
	}
	return s.notifyPage(r, notifyForm{Product: p, SKU: r.URL.Query().Get("sku")}, 0), nil
}

func (s *service) notifyPage(r *http.Request, f notifyForm, status int) page.Answer {
	return page.Show("notify", page.View{Status: status, Title: "Tell me when it is back", Meta: s.private(r), Data: f})
}

// postNotify asks to hear: for the account that is logged in, else for the address that was typed.
func (s *service) postNotify(w http.ResponseWriter, r *http.Request) (page.Answer, error) {
	ctx, who := r.Context(), shopperOf(r.Context())
	if who.failed != nil {
		return nil, who.failed
	}
	p, err := s.productBySlug(ctx, chi.URLParam(r, "slug"))
	if err != nil {
		return nil, err
	}
	f := notifyForm{Product: p, SKU: r.PostForm.Get("sku"), Email: field(r, "email")}
	in := map[string]string{"sku": f.SKU}
	if who.session == nil {
		in["email"] = f.Email
	}
	var out asked
	err = s.call(ctx, "products", http.MethodPost, "/api/v1/stock-requests", in, &out)
	switch slugOf(err) {
	case "":
		if err != nil {
			return nil, err
		}
		f.State = out.State
		return s.notifyPage(r, f, 0), nil
	case "invalid":
		f.Wrong = fieldErrors(err)
		f.Problem = "Please look at what is marked."
		return s.notifyPage(r, f, http.StatusUnprocessableEntity), nil
	case "in-stock":
		return page.Redirect("/products/" + url.PathEscape(p.Slug)), nil
	case "too-many-stock-requests":
		f.Problem = "You wait for so many things already that no more are taken. One of the mails that we sent you ends them all."
		return s.notifyPage(r, f, http.StatusConflict), nil
	}
	return nil, err
}

// requestView is the Data of the page "request", to which the mails lead.
type requestView struct {
	Request waiting
	ID      string
	Token   string
	Stop    bool   // the link that ends it was used
	Done    string // confirmed or stopped
}

func requestAPI(r *http.Request) (id, path string) {
	id = chi.URLParam(r, "id")
	return id, "/api/v1/stock-requests/" + url.PathEscape(id)
}

// getRequest shows a request with what can be done about it. Mail programs open links by themselves, so that needs a button.
func (s *service) getRequest(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	id, path := requestAPI(r)
	found, err := get[waiting](asNobody(r.Context()), s, "products", path, nil)
	v := requestView{Request: found, ID: id, Stop: r.URL.Query().Has("stop")}
	switch slugOf(err) {
	case "":
		if err != nil {
			return nil, err
		}
	case "stock-request-not-found", "invalid":
		v.Done = "stopped"
	default:
		return nil, err
	}
	return s.requestPage(r, v), nil
}

func (s *service) requestPage(r *http.Request, v requestView) page.Answer {
	f := s.private(r)
	v.Token = f.Token
	return page.Show("request", page.View{Title: "Tell me when it is back", Meta: f, Data: v})
}

// postRequest confirms a request, or with "stop" ends all of its address.
func (s *service) postRequest(_ http.ResponseWriter, r *http.Request) (page.Answer, error) {
	id, path := requestAPI(r)
	v := requestView{ID: id, Done: "stopped"}
	nobody := asNobody(r.Context())
	if field(r, "stop") != "" {
		if err := s.call(nobody, "products", http.MethodDelete, path, nil, nil); err != nil && slugOf(err) != "stock-request-not-found" {
			return nil, err
		}
		return s.requestPage(r, v), nil
	}
	err := s.call(nobody, "products", http.MethodPut, path+"/confirmation", nil, nil)
	if slugOf(err) == "stock-request-not-found" {
		return nil, problem.ErrNotFound.Detail("It was forgotten since. Please ask once more on the page of the product.")
	}
	if err != nil {
		return nil, err
	}
	return page.Redirect("/notify/" + url.PathEscape(id)), nil
}
