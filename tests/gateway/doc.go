// Package gateway holds whatever gateway stands in front of the sidecars to one contract: which paths get in and to
// whom, what is refused and how, what is removed on the way. Nginx's gateway block and Kong must both pass it.
//
// Without any setting it starts Nginx itself on spare ports, configured from deploy/nginx, before sidecars of its own
// that write down what reaches them. Settings point it elsewhere:
//
//	GATEWAY=127.0.0.1:8010 UPSTREAM=127.0.0.1:3511,127.0.0.1:3512,127.0.0.1:3513 go test ./gateway
//
// checks a running gateway (Kong): the suite listens at UPSTREAM in place of edge, edge-auth and edge-admin. That gateway
// must trust X-Real-IP from 127.0.0.1, use the limits of [rates] and the origins of [origins], send [apiToken] and
// check tickets by [dropsKey].
//
//	BASE=http://localhost:8000 go test ./gateway
//
// checks a running shop from outside, by the rules that can be seen from there.
package gateway
