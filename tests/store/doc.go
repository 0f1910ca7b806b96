// Package store shops in the running storefront with a real browser, as people do: with scripts and without, with cards
// that are declined, with pages that were open for too long.
//
// It needs Chromium, which make test installs. Every test has a browser profile, products and shoppers of its own.
package store
