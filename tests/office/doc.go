// Package office uses the back office of a running shop as staff do: in a
// browser, from the login page on.
package office
