package main

import (
	"net/http"

	"github.com/go-chi/chi/v5"
)

func (s *service) dashboardRoutes(r chi.Router) {
	r.Get("/admin", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/admin/orders", http.StatusFound) })
}
