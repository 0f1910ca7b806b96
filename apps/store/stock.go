package main

// stock is what the shop says about how much there is: one statement, made here alone, of which pages, lists, scripts and
// the cart show one part or another.
type stock struct {
	State string `json:"state"` // in, low or out
	Text  string `json:"text"`  // "Only 2 left"
	Note  string `json:"note"`  // the same beside a size: "2 left"; empty when there is enough
	Most  int    `json:"most"`  // how many can be chosen at a time; 0 when it is sold out
}

const (
	lowStock   = 5  // from where on a shopper is told how many are left
	mostAtOnce = 10 // that a list of quantities offers
)

// stockOf says what is known: whether there is something, and how much when available is not nil.
func stockOf(inStock bool, available *int64) stock {
	switch {
	case !inStock:
		return stock{State: "out", Text: "Sold out", Note: "Sold out"}
	case available == nil:
		return stock{State: "in", Text: "In stock", Most: mostAtOnce}
	case *available <= lowStock:
		n := max(int(*available), 1) // of two answers, one older, the one that it is in stock is believed
		return stock{State: "low", Text: "Only " + itoa(n) + " left", Note: itoa(n) + " left", Most: n}
	}
	return stock{State: "in", Text: "In stock", Most: int(min(*available, mostAtOnce))}
}
