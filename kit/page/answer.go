package page

import "net/http"

// Answer is how a request is answered: [Show], [Part], [Redirect] or [Moved].
// Nothing is written before the handler has returned it.
type Answer func(p *Pages, w http.ResponseWriter, r *http.Request)

// Handler finds the answer to a request. It sets headers and cookies on w, if
// need be, and writes nothing else. An error becomes the page "error" with the
// problem's status.
type Handler func(w http.ResponseWriter, r *http.Request) (Answer, error)

// Show answers with a page.
func Show(name string, v View) Answer {
	return func(p *Pages, w http.ResponseWriter, r *http.Request) { p.show(w, r, name, v) }
}

// Part answers with a part of a page: a template that pages/_*.html define. A
// status of 0 means 200.
func Part(name string, status int, data any) Answer {
	return func(p *Pages, w http.ResponseWriter, r *http.Request) { p.part(w, r, name, status, data) }
}

// Redirect sends the browser on to another address by GET (303).
func Redirect(to string) Answer {
	return func(_ *Pages, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusSeeOther) }
}

// Moved tells the browser that the page is at another address for good (301).
func Moved(to string) Answer {
	return func(_ *Pages, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusMovedPermanently)
	}
}

// Handle makes an HTTP handler of fn.
func (p *Pages) Handle(fn Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := fn(w, r)
		if err != nil {
			p.Problem(w, r, err)
			return
		}
		answer(p, w, r)
	}
}
