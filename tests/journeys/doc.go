// Package journeys holds what people do in the shop, from the first page to the last mail, and what they are told when
// it does not work out.
package journeys
