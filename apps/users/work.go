package main

import "github.com/stampede-shop/stampede/kit/serve"

// work begins what nobody asks for.
func (s *service) work(rt *serve.Runtime) { rt.Missed("auth") }
