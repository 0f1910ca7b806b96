package main

// exceptions are the statements that may read more than the ordinary bound; the first that fits counts.
var exceptions = []exception{
	{
		"apps/inventory/views_store.go", "AS cart_held FROM stock", 1_000_000,
		"all SKUs: grows with the catalogue; an index on counters would cost each hold its update in place. Figures are kept for 2 s",
	},
	{"apps/orders/figures_store.go", "date_trunc", 1_100_000,
		"the orders of the hours that are shown: grows with how many come, not with how many there are (the tests' clock is before " +
			"all of them). Figures are kept for 2 s"},
	{"apps/inventory/lot_store.go", "FROM lots l", 20_000,
		"what was claimed of a drop that is over, counted: grows with its units. Those that are open are read off their SKUs' rows"},
	{"apps/inventory/labels_store.go", "l.sku IS NULL", 500_000, "all SKUs, every ten minutes: grows with the catalogue"},
	{"apps/inventory/store.go", "FROM unnest", 10_000, "200 shoppers at once, in a table of one page"},
	{"apps/orders/figures_store.go", "LIMIT ?) f", 60_000, "counted up to 10,000 in each status, in the index alone"},
	{"apps/payments/store.go", "LIMIT ?) f", 70_000, "counted up to 10,000 in each state, in the index alone"},
	{"apps/mail/store.go", "LIMIT ?) f", 50_000, "counted up to 10,000 in each status"},
	{"apps/products/list_store.go", "", 500_000, "all that a search or a filter matches: grows with the catalogue; kept under its version"},
	{"apps/products/category_store.go", "", 200_000, "counts the catalogue, once a second at most"},
	{"apps/products/store.go", "SELECT DISTINCT", 200_000, "the head of an export of the whole catalogue"},
	{"apps/products/store.go", "p.id > ? ORDER BY p.id LIMIT ?", 300_000, "a page of an export of what a filter lets through"},
	{"apps/orders/store.go", "FROM order_words WHERE words", 1_100_000,
		"all that have words that most orders have, in the index of words: it tells them in one piece or not at all"},
	{"apps/orders/store.go", "JOIN order_words", 60_000, "words that one order in a hundred has, walked in the order of another index"},
	{"apps/orders/pending_store.go", "SET settle_at", 4_000, "a batch of 200 orders, each of which stands in sixteen indexes"},
	{"apps/users/store.go", "AS list_key", 250_000,
		"what a name holds, in an order that goes with it, in index and table: grows with the shoppers, not with orders"},
	{"kit/outbox/feed.go", "AS noted_at", 25_000, "topics of which there is nothing, in some 20,000 events"},
	{"apps/payments/store.go", "IN (SELECT r.order_id", 120_000, "two conditions that hold together for few: what was refunded, of addresses that begin so"},
	{"", "AS list_key", 30_000, "a page of 100 of what four rows in a thousand are, in an order that another index has"},
	{"apps/drops/entry_store.go", "SET account_id = NULL, salt = NULL, email = NULL WHERE id IN", 25_000, "a batch of at most 5,000"},
	{"", "DELETE FROM", 25_000, "a batch of at most 5,000"},
}
