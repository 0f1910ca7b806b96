package main

import (
	"fmt"
	"strings"
)

// kind is a category: what its products are called, cost and come in.
type kind struct {
	name    string
	code    string // begins its SKUs
	vendors []string
	price   int // pence, of the cheapest
	step    int
	options []option
	tags    []string
	intro   []string // one is the first sentence of a description
	facts   []string // two or three are in its list
	items   []item
}

type option struct {
	name   string
	values []string
}

// item is what makes one product differ from the others of its kind.
type item struct {
	name    string
	tag     string
	colours string
}

const (
	red, coral, orange, amber, yellow = "#c8423b", "#e8705a", "#e58a3a", "#e3a63b", "#efc94c"
	lime, green, forest, teal, aqua   = "#9dbb4a", "#5f9a5b", "#2f6b4f", "#2f8f88", "#5fb8b5"
	sky, blue, navy, violet, plum     = "#6fa8dc", "#3d6fb6", "#27406f", "#7a64b0", "#6b3f68"
	pink, rose, sand, brown, cocoa    = "#e59ab0", "#c9607e", "#d9c09a", "#8a6345", "#5a4034"
	white, cream, grey, slate, black  = "#f4f3ef", "#efe4cd", "#a3a8ad", "#566270", "#2b2f36"
)

var kinds = []kind{
	{
		name: "Sneakers", code: "SNK", vendors: []string{"Gallop", "Northfoot", "Harrow Street"}, price: 6900, step: 700,
		options: []option{{"Size", []string{"UK 6", "UK 7", "UK 8", "UK 9", "UK 10", "UK 11"}}},
		tags:    []string{"shoes", "street"},
		intro:   []string{"Made to be worn every day and to look better for it.", "A quiet classic, cut again for the way people walk now.", "Built on the last of a running shoe, finished like a dress one."},
		facts:   []string{"Upper of full-grain leather", "Recycled rubber sole", "Removable cork insole", "Fits true to size", "Laces of waxed cotton in two colours", "Can be resoled"},
		items: []item{
			{"Stampede Runner", "running", red + white}, {"Court High", "high-top", white + navy}, {"Harbour Low", "canvas", navy + cream},
			{"Dune Trail", "trail", sand + cocoa}, {"Velo Sprint", "cycling", teal + yellow}, {"Old Town High", "high-top", forest + amber},
			{"Pitch Black", "leather", black + grey}, {"Signal", "running", orange + blue}, {"Meadow", "canvas", lime + white},
			{"Plum Court", "court", plum + pink}, {"Skyline High", "high-top", sky + white}, {"Cinder", "trail", slate + coral},
		},
	},
	{
		name: "T-shirts", code: "TEE", vendors: []string{"Plainfield", "Harrow Street", "Loop & Thread"}, price: 1900, step: 200,
		options: []option{{"Size", []string{"S", "M", "L", "XL"}}, {"Fit", []string{"Regular", "Relaxed"}}},
		tags:    []string{"cotton", "clothing"},
		intro:   []string{"Heavy cotton that keeps its shape, printed by hand.", "Soft from the first wash, and still the right length after the fiftieth.", "A print that we like, on a shirt that we trust."},
		facts:   []string{"100 % organic cotton, 220 g/m²", "Water-based inks", "Side seams that do not twist", "Pre-shrunk", "Machine wash at 30 °C", "Sewn in Portugal"},
		items: []item{
			{"Sunrise Tee", "print", cream + coral}, {"Sailor Stripe Tee", "stripes", white + navy}, {"Three Peaks Tee", "print", slate + aqua},
			{"Horseshoe Long Sleeve", "long-sleeve", black + amber}, {"Halftone Tee", "print", yellow + black}, {"Block Tee", "colour-block", teal + cream},
			{"High Tide Tee", "print", sky + white}, {"Deckchair Long Sleeve", "long-sleeve", red + cream}, {"Ridgeway Tee", "print", forest + sand},
			{"Lucky Tee", "print", pink + plum}, {"Graph Tee", "print", white + violet}, {"Goalkeeper Long Sleeve", "long-sleeve", orange + black},
		},
	},
	{
		name: "Headphones", code: "HPH", vendors: []string{"Auralia", "Monument Audio", "Tin Can"}, price: 5900, step: 1900,
		options: []option{{"Finish", []string{"Matte", "Gloss"}}},
		tags:    []string{"audio", "music"},
		intro:   []string{"Forty hours on one charge, and nothing between you and the record.", "Tuned by people who go to concerts, not by people who measure rooms.", "Light enough to forget, good enough to notice."},
		facts:   []string{"40 mm dynamic drivers", "Bluetooth 5.3, two devices at once", "Active noise cancelling in three steps", "Replaceable ear cushions", "USB-C, ten minutes for four hours", "Folds flat, with a case of felt", "3.5 mm cable in the box"},
		items: []item{
			{"Nocturne", "wireless", navy + amber}, {"Studio One", "wired", black + grey}, {"Open Field", "open-back", brown + sand},
			{"Parade", "wireless", red + white}, {"Call Box", "headset", slate + aqua}, {"Overture", "wireless", cream + cocoa},
			{"Lagoon", "wireless", teal + white}, {"Bandstand", "wired", plum + pink}, {"Quiet Car", "noise-cancelling", grey + black},
			{"Marigold", "wireless", amber + black}, {"Choir", "open-back", forest + cream}, {"Roadie", "headset", orange + slate},
		},
	},
	{
		name: "Backpacks", code: "BPK", vendors: []string{"Carry On Co.", "Northfoot", "Fell & Moor"}, price: 4900, step: 900,
		options: []option{{"Capacity", []string{"16 l", "22 l"}}},
		tags:    []string{"bags", "travel"},
		intro:   []string{"Holds a laptop, a jumper and the book that you mean to finish.", "Made for the train on Monday and the hill on Saturday.", "One big space, two small ones, no straps to tidy away."},
		facts:   []string{"Waxed canvas, proofed again with a cloth", "Padded sleeve for a 15-inch laptop", "Magnetic buckles", "Hidden pocket at the back", "Bottle fits upright", "Repaired free for ten years", "Reflects headlights"},
		items: []item{
			{"Fell Day Pack", "hiking", forest + amber}, {"Roll Top Messenger", "roll-top", slate + orange}, {"Campus", "school", navy + red},
			{"Moor Ranger", "hiking", brown + sand}, {"Wharf Roll Top", "roll-top", black + lime}, {"Picnic", "weekend", coral + cream},
			{"Commuter", "office", grey + navy}, {"Tide Roll Top", "roll-top", teal + white}, {"Orchard", "weekend", lime + brown},
			{"Heather", "school", violet + pink}, {"Quarry Roll Top", "roll-top", sand + black}, {"Lighthouse", "office", white + red},
		},
	},
	{
		name: "Lamps", code: "LMP", vendors: []string{"Lumen House", "Fireside", "Tin Can"}, price: 3900, step: 1100,
		options: []option{{"Plug", []string{"UK", "EU"}}},
		tags:    []string{"home", "light"},
		intro:   []string{"Light where you read, and a glow where you do not.", "Spun by hand, so that no two catch the evening in the same way.", "Warm at the lowest step, bright enough to sew by at the highest."},
		facts:   []string{"E27 socket, bulb included", "Dims to one per cent", "Cable covered in linen, two metres", "Powder-coated steel", "Switch on the cable", "Shade comes off to be washed"},
		items: []item{
			{"Angle Desk Lamp", "desk", red + grey}, {"Pear Table Lamp", "table", cream + teal}, {"Harbour Pendant", "pendant", aqua + amber},
			{"Button Mushroom Lamp", "table", coral + cream}, {"Moon Globe", "table", yellow + brown}, {"Surveyor Tripod Lamp", "floor", sand + cocoa},
			{"Architect Desk Lamp", "desk", yellow + slate}, {"Dovecote Table Lamp", "table", white + plum}, {"Workshop Pendant", "pendant", forest + sand},
			{"Field Mushroom Lamp", "table", amber + white}, {"Orbit Globe", "table", pink + amber}, {"Easel Tripod Lamp", "floor", white + brown},
		},
	},
	{
		name: "Mugs", code: "MUG", vendors: []string{"Kiln & Clay", "Fireside", "Low Table"}, price: 1100, step: 150,
		options: []option{{"Size", []string{"250 ml", "400 ml"}}},
		tags:    []string{"kitchen", "stoneware"},
		intro:   []string{"A mug with some weight to it, and a handle for the whole hand.", "Thrown, glazed and fired twice in a small pottery.", "Keeps tea warm for exactly as long as you forget about it."},
		facts:   []string{"Stoneware, fired at 1,240 °C", "Glaze without lead", "Dishwasher and microwave safe", "Every one a little different", "Stacks with its neighbours", "Unglazed foot that does not scratch"},
		items: []item{
			{"Dipped Mug", "glazed", cream + blue}, {"Hoop Mug", "stripes", white + red}, {"Dotty Mug", "dots", aqua + white},
			{"Swell Mug", "waves", sand + teal}, {"Speckled Egg Mug", "speckled", cream + cocoa}, {"Half Past Mug", "glazed", amber + white},
			{"Drip Mug", "glazed", pink + plum}, {"Bandstand Mug", "stripes", sky + cream}, {"Ladybird Mug", "dots", red + black},
			{"Ripple Mug", "waves", slate + aqua}, {"Granite Mug", "speckled", grey + black}, {"Daybreak Mug", "glazed", coral + cream},
		},
	},
	{
		name: "Plants", code: "PLT", vendors: []string{"Understory", "Glasshouse"}, price: 1400, step: 300,
		options: []option{{"Pot", []string{"12 cm", "17 cm"}}},
		tags:    []string{"home", "green"},
		intro:   []string{"Grown slowly, so that it settles in fast.", "Asks for a window and very little else.", "Sent in its pot, with a card that says when to water it."},
		facts:   []string{"Bright light, no midday sun", "Water when the top of the soil is dry", "Safe for cats and dogs", "Cleans the air of the room that it likes", "Repot every second spring", "Comes in peat-free soil"},
		items: []item{
			{"Swiss Cheese Plant", "leafy", forest + sand}, {"Saguaro Cactus", "cactus", green + coral}, {"Snake Plant", "upright", teal + white},
			{"Echeveria", "succulent", aqua + brown}, {"String of Coins", "trailing", lime + slate}, {"Little Orange Tree", "tree", green + blue},
			{"Monstera Adansonii", "leafy", green + amber}, {"Prickly Pear", "cactus", lime + plum}, {"Sword Fern", "upright", green + pink},
			{"Houseleek", "succulent", rose + sand}, {"Devil's Ivy", "trailing", green + cream}, {"Kumquat Tree", "tree", forest + red},
		},
	},
	{
		name: "Skateboards", code: "SKB", vendors: []string{"Kerb", "Gallop", "Low Table"}, price: 5500, step: 600,
		options: []option{{"Width", []string{"8.0 in", "8.25 in", "8.5 in"}}},
		tags:    []string{"street", "deck"},
		intro:   []string{"Seven plies of maple and a graphic that is worth scratching.", "Pops when it is new, and is still straight when it is not.", "For the car park, the bowl and the wall of the living room."},
		facts:   []string{"Seven plies of Canadian maple", "Pressed one at a time", "Wheels of 54 mm, 99A", "Medium concave", "Comes with grip tape", "Graphic by a guest artist"},
		items: []item{
			{"Sunburst Deck", "complete", amber + red + cream}, {"Longshore Deck", "cruiser", sky + blue + yellow}, {"Chequers Deck", "complete", white + black + red},
			{"Dusk Deck", "complete", plum + navy + coral}, {"Live Wire Deck", "park", black + yellow + aqua}, {"Bubblegum Deck", "cruiser", pink + violet + white},
			{"Compass Deck", "complete", teal + cream + orange}, {"Estuary Deck", "cruiser", sand + teal + red}, {"Grandstand Deck", "complete", yellow + blue + white},
			{"Highland Deck", "park", sky + forest + amber}, {"Thunder Deck", "park", violet + white + lime}, {"Confetti Deck", "cruiser", white + coral + teal},
		},
	},
}

// catalogue is every product of the seed. Numbers are made from places in the lists above: the same every
// time, and uneven enough to look like a shop. Some variants are few or sold out, a few products may be
// bought only once or twice by one shopper, and two are drafts.
func catalogue() []product {
	var all []product
	for k, kind := range kinds {
		for i, it := range kind.items {
			p := product{
				handle: handle(it.name), title: it.name, kind: kind.name, vendor: kind.vendors[i%len(kind.vendors)],
				tags: append([]string{it.tag}, kind.tags...), look: i, description: describe(kind, i),
			}
			for at := 0; at < len(it.colours); at += 7 {
				p.colours = append(p.colours, it.colours[at:at+7])
			}
			if i%6 == 5 {
				p.tags = append(p.tags, "new")
			}
			if i == 0 || i == 7 {
				p.tags, p.most = append(p.tags, "limited"), 1+i%3
			}
			base := kind.price + kind.step*((i*5+k)%9)
			for _, o := range kind.options {
				p.options = append(p.options, o.name)
			}
			for n, values := range combinations(kind.options) {
				p.variants = append(p.variants, variant{
					values: values, sku: fmt.Sprintf("%s-%03d-%s", kind.code, i+1, code(values)),
					price: base + 100*(n/2)*(kind.step/200)/2, stock: stock(k, i, n),
				})
			}
			all = append(all, p)
		}
	}
	for i, name := range []string{"Prototype Runner", "Prototype Lamp"} {
		kind := kinds[i*4]
		all = append(all, product{
			handle: handle(name), title: name, kind: kind.name, vendor: kind.vendors[0], tags: []string{"unreleased"}, look: i * 3,
			colours: []string{grey, black}, description: "<p>Not for sale yet.</p>", draft: true,
			options:  []string{kind.options[0].name},
			variants: []variant{{values: kind.options[0].values[:1], sku: kind.code + "-900", price: kind.price, stock: 5}},
		})
	}
	return all
}

// stock of a variant: mostly plenty, sometimes the last few, sometimes none.
func stock(kind, item, n int) int {
	switch s := (kind*31 + item*17 + n*7) % 23; {
	case s == 4:
		return 0
	case s < 3:
		return 1 + s
	default:
		return 20 + s*9
	}
}

func describe(k kind, i int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<p>%s</p>\n<ul>\n", k.intro[i%len(k.intro)])
	for n := range 3 {
		fmt.Fprintf(&b, "<li>%s</li>\n", k.facts[(i*2+n*(1+i%2))%len(k.facts)])
	}
	fmt.Fprintf(&b, "</ul>\n<p><em>%s</em> is made by %s and leaves our warehouse within a day.</p>", k.items[i].name, strings.ReplaceAll(k.vendors[i%len(k.vendors)], "&", "&amp;"))
	return b.String()
}

// combinations are the values of all options with each other.
func combinations(options []option) [][]string {
	all := [][]string{nil}
	for _, o := range options {
		var next [][]string
		for _, prefix := range all {
			for _, v := range o.values {
				next = append(next, append(append([]string{}, prefix...), v))
			}
		}
		all = next
	}
	return all
}

func handle(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ReplaceAll(strings.ToLower(name), "'", ""), func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9') }), "-")
}

// code is an option's value as a part of a SKU: "UK 8" is UK8, "8.25 in" is 825.
func code(values []string) string {
	var parts []string
	for _, v := range values {
		v = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(v, " in"), " ml"), " cm"), " l")
		v = strings.NewReplacer(" ", "", ".", "").Replace(strings.ToUpper(v))
		if len(v) > 4 { // a word
			v = v[:3]
		}
		parts = append(parts, v)
	}
	return strings.Join(parts, "-")
}
