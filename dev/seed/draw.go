package main

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// canvas is an SVG picture of 800 by 800 units that is being drawn.
type canvas struct {
	body strings.Builder
	defs strings.Builder
	ids  int
	rand *rand.Rand // the same for the same product, so that pictures do not change from run to run
}

// draw returns a product's picture.
func draw(p product) string {
	h := fnv.New64a()
	h.Write([]byte(p.handle))
	c := &canvas{rand: rand.New(rand.NewPCG(h.Sum64(), 1))}
	palette := palettes[p.kind]
	back := palette.backs[int(h.Sum64()%uint64(len(palette.backs)))]
	top, bottom := tint(back, 0.35), back
	c.rect(0, 0, 800, 800, 0, c.gradient(top, bottom, 90))
	switch p.look % 3 { // something behind the object, so that no two look alike
	case 0:
		c.circle(400, 390, 285, "#ffffff", `opacity="0.35"`)
	case 1:
		c.circle(590, 250, 190, tint(back, 0.6), `opacity="0.55"`)
		c.circle(200, 560, 130, shade(back, 0.08), `opacity="0.35"`)
	case 2:
		c.path("M0 560 C200 470 420 650 800 520 L800 800 L0 800 Z", shade(back, 0.07), `opacity="0.55"`)
	}
	drawers[p.kind](c, p)
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 800" width="800" height="800" role="img" aria-label="` + escape(p.title) + `">` +
		"<defs>" + c.defs.String() + "</defs>\n" + c.body.String() + "</svg>\n"
}

type palette struct{ backs []string }

var palettes = map[string]palette{
	"Sneakers":    {[]string{"#f6c9b7", "#f3d3a4", "#cfd9ea", "#e9c8d4"}},
	"T-shirts":    {[]string{"#cfe3df", "#dfe3c6", "#d9d4ea", "#f1d9c5"}},
	"Headphones":  {[]string{"#c9cfe8", "#bcd3e6", "#d8c9e4", "#c6ced6"}},
	"Backpacks":   {[]string{"#d7ddb9", "#e6d3b1", "#bfd6c6", "#d5cfc2"}},
	"Lamps":       {[]string{"#35405c", "#4a3b52", "#2f4a52", "#51463d"}},
	"Mugs":        {[]string{"#f0dcc3", "#e3cfc0", "#d5dfd7", "#efd0c6"}},
	"Plants":      {[]string{"#dcead0", "#e8e4cf", "#cfe5dc", "#f1e0d2"}},
	"Skateboards": {[]string{"#bfe0e8", "#f4d6a0", "#e7c6dc", "#c9d8b8"}},
}

var drawers = map[string]func(*canvas, product){
	"Sneakers": drawSneaker, "T-shirts": drawShirt, "Headphones": drawHeadphones, "Backpacks": drawBackpack,
	"Lamps": drawLamp, "Mugs": drawMug, "Plants": drawPlant, "Skateboards": drawSkateboard,
}

// Sneakers, from the side.

func drawSneaker(c *canvas, p product) {
	main, second, sole := p.colours[0], p.colours[1], "#f7f4ec"
	high := p.look%3 == 1
	c.shadow(410, 628, 300, 26)
	collar := 410.0
	if high {
		collar = 290
	}
	upper := fmt.Sprintf("M148 578 C136 520 150 470 156 %.0f C158 %.0f 190 %.0f 214 %.0f C250 %.0f 300 %.0f 330 %.0f C352 %.0f 372 %.0f 384 %.0f C420 430 490 470 560 486 C634 502 676 528 678 578 Z",
		collar+30, collar, collar-22, collar-12, collar+6, collar+8, collar-6, collar-24, collar-30, collar-8)
	clip := c.clip(upper)
	// The inside of the collar, behind.
	c.path(fmt.Sprintf("M170 %.0f C190 %.0f 330 %.0f 372 %.0f L372 %.0f L180 %.0f Z", collar+8, collar-34, collar-34, collar-22, collar+40, collar+44), shade(main, 0.45), "")
	c.path(upper, c.gradient(tint(main, 0.12), shade(main, 0.1), 60), "")
	c.open(clip)
	switch p.look % 4 {
	case 0: // a sweep
		c.path("M250 590 C330 560 470 520 560 440 C520 540 430 600 330 620 Z", second, "")
	case 1: // three bars
		for i := range 3 {
			x := 270 + float64(i)*56
			c.path(fmt.Sprintf("M%.0f 600 L%.0f 420 L%.0f 420 L%.0f 600 Z", x, x+60, x+86, x+26), second, "")
		}
	case 2: // a panel over the heel
		c.path("M120 600 L120 380 L240 380 C250 470 260 520 330 600 Z", second, "")
		c.path("M240 400 C250 470 262 520 332 600", "none", stroke(shade(second, 0.25), 4)+` stroke-dasharray="10 8"`)
	case 3: // a star
		c.path(star(300, 500, 52, 22, 5), second, "")
	}
	// Toe cap and the seam behind it.
	c.path("M560 470 C520 510 520 560 540 600 L700 600 L700 470 Z", tint(main, 0.28), "")
	c.path("M560 474 C524 512 522 560 540 592", "none", stroke(shade(main, 0.3), 4)+` stroke-dasharray="10 8"`)
	c.path("M140 560 C300 548 520 548 690 560 L690 600 L130 600 Z", shade(main, 0.16), `opacity="0.5"`)
	c.close()
	// Tongue and laces along the instep.
	c.path(fmt.Sprintf("M348 %.0f C362 %.0f 392 %.0f 402 %.0f L420 %.0f L372 %.0f Z", collar-8, collar-48, collar-46, collar-26, collar+24, collar+30), tint(second, 0.15), "")
	for i := range 5 {
		t := float64(i) / 4
		x, y := 392+t*112, (collar+18)*(1-t)+468*t
		if !high {
			y = 428 + t*42
		}
		c.path(fmt.Sprintf("M%.0f %.0f L%.0f %.0f", x-26, y+26, x+14, y-4), "none", stroke("#ffffff", 11)+` stroke-linecap="round"`)
	}
	// Sole.
	thick := 44.0
	if p.look%2 == 1 {
		thick = 60
	}
	c.path(fmt.Sprintf("M132 566 C300 556 520 556 692 566 C704 590 700 %.0f 676 %.0f L160 %.0f C132 %.0f 122 600 132 566 Z", 566+thick, 570+thick, 570+thick, 566+thick), sole, "")
	c.path(fmt.Sprintf("M128 %.0f C300 %.0f 520 %.0f 696 %.0f", 560+thick*0.62, 556+thick*0.62, 556+thick*0.62, 560+thick*0.62), "none", stroke(second, 9))
	for i := range 17 {
		x := 166 + float64(i)*31
		c.rect(x, 562+thick, 16, 10, 3, shade(sole, 0.3), "")
	}
}

// T-shirts, laid flat.

func drawShirt(c *canvas, p product) {
	main, second := p.colours[0], p.colours[1]
	long := p.look%4 == 3
	c.shadow(400, 690, 220, 18)
	sleeveL, sleeveR := "L112 330 L186 392 L258 322", "L542 322 L614 392 L688 330"
	if long {
		sleeveL, sleeveR = "L96 560 L172 588 L262 340", "L538 340 L628 588 L704 560"
	}
	body := "M310 150 C250 160 214 186 190 222 " + sleeveL + " C266 420 262 560 256 668 C350 684 450 684 544 668 C538 560 534 420 542 322 " +
		strings.TrimPrefix(sleeveR, "L542 322 ") + " L610 222 C586 186 550 160 490 150 C470 200 330 200 310 150 Z"
	if long {
		body = "M310 150 C250 160 214 186 196 222 " + sleeveL + " C266 430 262 560 256 668 C350 684 450 684 544 668 C538 560 534 430 538 340 L628 588 L704 560 L604 222 C586 186 550 160 490 150 C470 200 330 200 310 150 Z"
	}
	clip := c.clip(body)
	c.path("M310 150 C330 118 470 118 490 150 C470 176 330 176 310 150 Z", shade(main, 0.35), "")
	c.path(body, c.gradient(tint(main, 0.1), shade(main, 0.08), 90), "")
	c.open(clip)
	switch p.look % 6 {
	case 0: // sun over waves
		c.circle(400, 340, 78, second, "")
		for i := range 3 {
			y := 400 + float64(i)*34
			c.path(fmt.Sprintf("M300 %.0f q25 -26 50 0 t50 0 t50 0 t50 0", y), "none", stroke(tint(second, 0.3), 12)+` stroke-linecap="round"`)
		}
	case 1: // stripes all over
		for y := 240.0; y < 680; y += 62 {
			c.rect(90, y, 620, 26, 0, second, "")
		}
	case 2: // mountains
		c.path("M290 450 L370 310 L420 390 L456 340 L520 450 Z", second, "")
		c.path("M370 310 L346 352 L366 346 L384 358 L396 350 Z", "#ffffff", "")
		c.circle(472, 300, 24, tint(second, 0.4), "")
	case 3: // a horse shoe: the shop's own
		c.path("M330 300 C320 470 360 500 400 500 C440 500 480 470 470 300 L430 300 C436 420 424 452 400 452 C376 452 364 420 370 300 Z", second, "")
		for _, at := range [][2]float64{{350, 330}, {352, 380}, {364, 430}, {450, 330}, {448, 380}, {436, 430}} {
			c.circle(at[0], at[1], 6, main, "")
		}
	case 4: // a grid of dots that grow
		for i := range 5 {
			for j := range 5 {
				c.circle(312+float64(i)*44, 300+float64(j)*44, 4+float64(i+j)*1.9, second, "")
			}
		}
	case 5: // a block across the chest
		c.rect(80, 300, 640, 120, 0, second, "")
		c.rect(80, 420, 640, 26, 0, tint(second, 0.45), "")
	}
	// Folds.
	c.path("M262 330 C292 430 280 560 290 690", "none", stroke(shade(main, 0.3), 5)+` opacity="0.4"`)
	c.path("M538 330 C508 430 520 560 510 690", "none", stroke(shade(main, 0.3), 5)+` opacity="0.4"`)
	c.close()
	c.path("M310 150 C330 202 470 202 490 150", "none", stroke(shade(main, 0.22), 15)+` stroke-linecap="round"`)
	c.path("M258 650 C350 666 450 666 542 650", "none", stroke(shade(main, 0.25), 3)+` stroke-dasharray="8 6"`)
}

// Headphones, from the front.

func drawHeadphones(c *canvas, p product) {
	main, second := p.colours[0], p.colours[1]
	c.shadow(400, 676, 230, 22)
	band := 34 + float64(p.look%3)*10
	c.path("M188 470 C170 120 630 120 612 470", "none", stroke(shade(main, 0.15), band)+` stroke-linecap="round"`)
	c.path("M214 380 C230 190 570 190 586 380", "none", stroke(tint(main, 0.22), band*0.45)+` stroke-linecap="round"`)
	if p.look%2 == 0 { // a cushion under the band
		c.path("M286 232 C350 196 450 196 514 232", "none", stroke(second, band*0.9)+` stroke-linecap="round"`)
	}
	for _, side := range []float64{-1, 1} {
		x := 400 + side*206
		// The arm that holds the cup.
		c.rect(x-16, 372, 32, 120, 14, "#c9ccd2", "")
		c.rect(x-16, 372, 12, 120, 6, "#e6e8ec", "")
		switch p.look % 3 {
		case 0: // round
			c.ellipse(x-side*34, 520, 62, 122, shade(second, 0.35), "")
			c.ellipse(x, 520, 74, 132, c.gradient(tint(main, 0.2), shade(main, 0.15), 60), "")
			c.ellipse(x+side*10, 520, 44, 84, second, "")
			c.ellipse(x+side*14, 520, 16, 32, tint(second, 0.4), "")
		case 1: // square
			c.rect(x-side*40-52, 406, 104, 232, 46, shade(second, 0.35), "")
			c.rect(x-70, 396, 140, 250, 54, c.gradient(tint(main, 0.2), shade(main, 0.15), 60), "")
			c.rect(x-38, 436, 76, 170, 34, second, "")
			for i := range 5 {
				c.rect(x-22, 462+float64(i)*26, 44, 8, 4, shade(second, 0.25), "")
			}
		case 2: // open, with a grille
			c.ellipse(x-side*36, 520, 58, 116, shade(second, 0.4), "")
			c.ellipse(x, 520, 78, 126, c.gradient(tint(main, 0.15), shade(main, 0.2), 60), "")
			for r := 4; r >= 1; r-- {
				c.ellipse(x+side*6, 520, float64(r)*14, float64(r)*25, "none", stroke(second, 6))
			}
			c.circle(x+side*6, 520, 8, second, "")
		}
	}
	switch p.look % 4 {
	case 1: // a microphone
		c.path("M206 610 C220 690 300 690 330 664", "none", stroke("#40454f", 10)+` stroke-linecap="round"`)
		c.ellipse(338, 656, 24, 16, "#2b2f37", `transform="rotate(-30 338 656)"`)
	case 3: // a cable
		c.path("M598 640 C610 740 470 640 430 720 C410 760 350 752 330 730", "none", stroke("#40454f", 9)+` stroke-linecap="round"`)
	}
}

// Backpacks, from the front.

func drawBackpack(c *canvas, p product) {
	main, second := p.colours[0], p.colours[1]
	c.shadow(400, 690, 230, 24)
	// Straps behind.
	for _, side := range []float64{-1, 1} {
		c.path(fmt.Sprintf("M%.0f 250 C%.0f 330 %.0f 520 %.0f 640", 400+side*150, 400+side*262, 400+side*262, 400+side*176), "none", stroke(shade(main, 0.35), 30)+` stroke-linecap="round"`)
	}
	c.path("M352 150 C352 92 448 92 448 150", "none", stroke(shade(second, 0.2), 18)+` stroke-linecap="round"`)
	body := "M230 300 C230 170 320 140 400 140 C480 140 570 170 570 300 L586 620 C588 668 560 684 520 684 L280 684 C240 684 212 668 214 620 Z"
	if p.look%3 == 1 { // roll top
		body = "M236 190 L564 190 L586 620 C588 668 560 684 520 684 L280 684 C240 684 212 668 214 620 Z"
	}
	clip := c.clip(body)
	c.path(body, c.gradient(tint(main, 0.12), shade(main, 0.14), 70), "")
	c.open(clip)
	switch p.look % 4 {
	case 0:
		c.rect(200, 300, 400, 40, 0, second, "")
	case 1:
		for i := range 9 {
			c.path(fmt.Sprintf("M%d 120 L%d 720", 120+i*90, 20+i*90), "none", stroke(shade(main, 0.12), 22))
		}
	case 2:
		c.rect(200, 120, 400, 190, 0, second, "")
	case 3:
		c.path("M180 420 L300 280 L380 360 L470 250 L640 420 L640 720 L180 720 Z", shade(main, 0.14), "")
	}
	c.path("M200 640 L600 640 L600 720 L200 720 Z", shade(main, 0.28), "")
	c.close()
	if p.look%3 == 1 {
		c.rect(222, 150, 356, 62, 26, shade(main, 0.2), "")
		c.rect(222, 168, 356, 10, 5, shade(main, 0.38), "")
		for _, x := range []float64{262, 514} {
			c.rect(x, 186, 26, 130, 6, second, "")
			c.rect(x-7, 286, 40, 34, 8, "#e7e2d6", "")
			c.rect(x+3, 296, 20, 14, 3, shade(second, 0.3), "")
		}
	} else { // a zip round the top
		c.path("M262 330 C262 220 330 186 400 186 C470 186 538 220 538 330", "none", stroke(shade(main, 0.4), 7))
		c.path("M538 322 L538 366", "none", stroke(second, 12)+` stroke-linecap="round"`)
	}
	// The pocket in front.
	pocket := 430.0
	if p.look%2 == 1 {
		pocket = 470
	}
	c.rect(270, pocket, 260, 640-pocket, 34, c.gradient(tint(main, 0.2), main, 90), "")
	c.rect(270, pocket, 260, 640-pocket, 34, "none", stroke(shade(main, 0.25), 4)+` stroke-dasharray="10 8"`)
	c.path(fmt.Sprintf("M296 %.0f L504 %.0f", pocket+44, pocket+44), "none", stroke(shade(main, 0.45), 7)+` stroke-linecap="round"`)
	c.rect(484, pocket+40, 16, 46, 8, second, "")
	c.rect(372, pocket+90, 56, 56, 10, second, "")
	c.path(star(400, pocket+118, 16, 7, 5), tint(main, 0.6), "")
}

// Lamps, lit.

func drawLamp(c *canvas, p product) {
	main, second := p.colours[0], p.colours[1]
	glow := c.radial("#ffe9b0", 0.85)
	switch p.look % 6 {
	case 0: // a desk lamp with two arms
		c.path("M300 330 L120 690 L560 690 Z", c.fade("#ffe9b0"), `opacity="0.55"`)
		c.shadow(520, 690, 150, 16)
		c.rect(420, 664, 200, 26, 13, second, "")
		c.path("M520 668 L610 450 L400 250", "none", stroke(second, 16)+` stroke-linecap="round" stroke-linejoin="round"`)
		c.circle(610, 450, 20, tint(second, 0.3), "")
		c.circle(520, 662, 18, tint(second, 0.3), "")
		c.group(`transform="rotate(32 380 250)"`)
		c.ellipse(340, 352, 100, 20, "#fff3c9", "")
		c.path("M306 226 C306 196 374 196 374 226 L440 352 L240 352 Z", c.gradient(tint(main, 0.2), shade(main, 0.15), 20), "")
		c.rect(316, 190, 48, 30, 10, shade(main, 0.25), "")
		c.end()
	case 1: // a table lamp
		c.circle(400, 330, 330, glow, "")
		c.shadow(400, 694, 170, 18)
		c.path("M378 430 L422 430 C432 520 500 560 490 640 C486 676 450 690 400 690 C350 690 314 676 310 640 C300 560 368 520 378 430 Z", c.gradient(tint(second, 0.25), shade(second, 0.15), 0), "")
		c.path("M300 190 L500 190 L590 440 L210 440 Z", c.gradient(tint(main, 0.45), main, 90), "")
		c.rect(210, 430, 380, 14, 7, shade(main, 0.2), "")
		c.rect(300, 182, 200, 12, 6, shade(main, 0.2), "")
	case 2: // a pendant
		c.path("M250 400 L90 760 L710 760 L550 400 Z", c.fade("#ffe9b0"), `opacity="0.5"`)
		c.path("M400 0 L400 180", "none", stroke("#1d222c", 7))
		c.rect(376, 160, 48, 50, 14, second, "")
		c.path("M220 400 C220 270 300 206 400 206 C500 206 580 270 580 400 Z", c.gradient(tint(main, 0.25), shade(main, 0.2), 20), "")
		c.ellipse(400, 400, 180, 24, "#fff3c9", "")
		c.circle(400, 408, 40, "#fffbe8", "")
	case 3: // a mushroom
		c.circle(400, 360, 320, glow, "")
		c.shadow(400, 690, 190, 18)
		c.path("M350 420 C350 560 300 600 290 680 L510 680 C500 600 450 560 450 420 Z", c.gradient(tint(second, 0.35), second, 0), "")
		c.path("M170 420 C170 270 270 190 400 190 C530 190 630 270 630 420 C630 450 600 456 560 456 L240 456 C200 456 170 450 170 420 Z", c.gradient(tint(main, 0.4), main, 90), "")
		c.ellipse(400, 450, 190, 18, "#fff3c9", "")
		c.ellipse(300, 290, 50, 26, "#ffffff", `opacity="0.4" transform="rotate(-32 300 290)"`)
	case 4: // a globe on a ring
		c.circle(400, 330, 340, glow, "")
		c.shadow(400, 690, 150, 16)
		c.rect(392, 500, 16, 170, 4, second, "")
		c.ellipse(400, 676, 130, 20, second, "")
		c.circle(400, 340, 168, c.gradient("#fffbe8", tint(main, 0.35), 90), "")
		c.path("M232 340 C232 560 568 560 568 340", "none", stroke(second, 14)+` stroke-linecap="round"`)
		c.circle(346, 280, 34, "#ffffff", `opacity="0.7"`)
	case 5: // a tripod
		c.circle(400, 300, 310, glow, "")
		c.shadow(400, 722, 220, 14)
		c.path("M400 420 L230 720 M400 420 L570 720 M400 420 L400 716", "none", stroke(second, 16)+` stroke-linecap="round"`)
		c.path("M288 596 L512 596", "none", stroke(shade(second, 0.2), 8))
		c.rect(230, 170, 340, 260, 26, c.gradient(tint(main, 0.45), main, 90), "")
		for i := range 8 {
			c.rect(262+float64(i)*37, 180, 5, 240, 2, shade(main, 0.12), `opacity="0.6"`)
		}
	}
}

// Mugs, from the side.

func drawMug(c *canvas, p product) {
	main, second := p.colours[0], p.colours[1]
	c.shadow(390, 640, 220, 24)
	// Handle.
	switch p.look % 3 {
	case 0:
		c.path("M536 330 C690 310 690 540 520 536", "none", stroke(shade(main, 0.18), 38)+` stroke-linecap="round"`)
	case 1:
		c.path("M540 320 L640 320 L640 520 L530 520", "none", stroke(shade(main, 0.18), 34)+` stroke-linejoin="round"`)
	case 2:
		c.circle(560, 420, 84, "none", stroke(shade(main, 0.18), 34))
	}
	body := "M230 260 L550 260 L550 570 C550 620 520 640 480 640 L300 640 C260 640 230 620 230 570 Z"
	switch p.look % 4 {
	case 1: // tapered
		body = "M216 260 L564 260 L520 600 C514 630 496 640 470 640 L310 640 C284 640 266 630 260 600 Z"
	case 2: // round
		body = "M250 260 L530 260 C600 380 590 640 450 640 L330 640 C190 640 180 380 250 260 Z"
	}
	clip := c.clip(body)
	c.path(body, c.gradient(tint(main, 0.25), shade(main, 0.12), 0), "")
	c.open(clip)
	switch p.look % 6 {
	case 0: // dipped in glaze
		c.path("M180 470 C240 440 290 500 350 470 C410 440 450 500 510 466 C550 446 580 480 620 460 L620 700 L180 700 Z", second, "")
	case 1: // bands
		for i := range 4 {
			c.rect(180, 320+float64(i)*72, 440, 26, 0, second, "")
		}
	case 2: // dots
		for i := range 9 {
			for j := range 7 {
				c.circle(200+float64(i)*52+float64(j%2)*26, 310+float64(j)*54, 12, second, "")
			}
		}
	case 3: // waves
		for j := range 5 {
			c.path(fmt.Sprintf("M170 %d q30 -36 60 0 t60 0 t60 0 t60 0 t60 0 t60 0 t60 0", 340+j*62), "none", stroke(second, 11))
		}
	case 4: // speckles
		for range 90 {
			c.circle(190+c.rand.Float64()*420, 275+c.rand.Float64()*360, 2+c.rand.Float64()*5, second, "")
		}
	case 5: // half and half
		c.path("M170 250 L470 250 L330 660 L170 660 Z", second, "")
	}
	c.rect(258, 250, 34, 400, 17, "#ffffff", `opacity="0.25"`)
	c.close()
	rim := 160.0
	if p.look%4 == 1 {
		rim = 174
	} else if p.look%4 == 2 {
		rim = 140
	}
	c.ellipse(390, 260, rim, 32, shade(main, 0.12), "")
	c.ellipse(390, 264, rim-16, 23, "#5b3a28", "")
	c.ellipse(390, 268, rim-30, 15, "#7a5138", "")
	for i := range 3 {
		x := 330 + float64(i)*60
		c.path(fmt.Sprintf("M%.0f 220 C%.0f 190 %.0f 170 %.0f 140 C%.0f 110 %.0f 100 %.0f 76", x, x-26, x+26, x, x-22, x+22, x+4), "none", stroke("#ffffff", 9)+` stroke-linecap="round" opacity="0.55"`)
	}
}

// Plants, in their pots.

func drawPlant(c *canvas, p product) {
	leaf, pot := p.colours[0], p.colours[1]
	c.shadow(400, 700, 190, 20)
	behind := func(draw func()) { draw() }
	switch p.look % 6 {
	case 0: // big cut leaves
		behind(func() {
			for i, a := range []float64{-64, -34, -8, 22, 52, 74} {
				length := 250 + float64((i*37)%80)
				x, y := 400+math.Sin(a*math.Pi/180)*length, 500-math.Cos(a*math.Pi/180)*length
				c.path(fmt.Sprintf("M400 520 Q%.0f %.0f %.0f %.0f", 400+(x-400)*0.2, y+90, x, y), "none", stroke(shade(leaf, 0.25), 9))
				c.group(fmt.Sprintf(`transform="translate(%.0f %.0f) rotate(%.0f)"`, x, y, a))
				c.path("M0 40 C-110 30 -110 -90 0 -120 C110 -90 110 30 0 40 Z", pick(i, tint(leaf, 0.1), shade(leaf, 0.08), leaf), "")
				for j := range 4 {
					y := -74 + float64(j)*28
					c.path(fmt.Sprintf("M-104 %.0f L-30 %.0f L-104 %.0f Z M104 %.0f L30 %.0f L104 %.0f Z", y-8, y+6, y+8, y-8, y+6, y+8), back(p), `opacity="0.9"`)
				}
				c.path("M0 40 L0 -108", "none", stroke(tint(leaf, 0.35), 5))
				c.end()
			}
		})
	case 1: // a cactus
		c.rect(320, 190, 160, 360, 80, c.gradient(tint(leaf, 0.15), shade(leaf, 0.15), 0), "")
		c.path("M330 430 L240 430 C210 430 204 410 204 380 L204 330", "none", stroke(leaf, 58)+` stroke-linecap="round"`)
		c.path("M470 380 L560 380 C590 380 596 360 596 330 L596 270", "none", stroke(shade(leaf, 0.06), 58)+` stroke-linecap="round"`)
		for i := range 3 {
			x := 360 + float64(i)*40
			c.path(fmt.Sprintf("M%.0f 230 L%.0f 540", x, x), "none", stroke(shade(leaf, 0.22), 5)+` stroke-dasharray="3 22" stroke-linecap="round"`)
		}
		for i := range 8 {
			a := float64(i) * math.Pi / 4
			c.ellipse(400+math.Cos(a)*26, 182+math.Sin(a)*18, 17, 12, "#f08aa5", "")
		}
		c.circle(400, 182, 13, "#ffd76a", "")
	case 2: // blades
		for i := range 9 {
			a := -40 + float64(i)*10
			h := 300 + float64((i*53)%130)
			c.group(fmt.Sprintf(`transform="rotate(%.0f 400 560)"`, a*0.8))
			c.path(fmt.Sprintf("M370 560 C352 %.0f 372 %.0f 400 %.0f C428 %.0f 448 %.0f 430 560 Z", 560-h*0.5, 560-h*0.85, 560-h, 560-h*0.85, 560-h*0.5), pick(i, leaf, shade(leaf, 0.12), tint(leaf, 0.08)), "")
			c.path(fmt.Sprintf("M400 560 L400 %.0f", 580-h), "none", stroke(tint(leaf, 0.4), 5))
			c.end()
		}
	case 3: // a rosette
		for ring := 4; ring >= 1; ring-- {
			n := 6 + ring*2
			for i := range n {
				a := float64(i)*360/float64(n) + float64(ring)*17
				c.group(fmt.Sprintf(`transform="translate(400 %d) scale(1 0.62) rotate(%.0f)"`, 470-((4-ring)*16), a))
				l := float64(ring) * 58
				c.path(fmt.Sprintf("M0 0 C-%.0f -%.0f -%.0f -%.0f 0 -%.0f C%.0f -%.0f %.0f -%.0f 0 0 Z", 44.0, l*0.4, 34.0, l*0.9, l, 34.0, l*0.9, 44.0, l*0.4), pick(ring, tint(leaf, 0.32), leaf, shade(leaf, 0.1), tint(leaf, 0.15)), stroke(shade(leaf, 0.2), 2))
				c.end()
			}
		}
	case 4: // trailing
		for i := range 7 {
			x := 270 + float64(i)*43
			bend := (float64(i) - 3) * 44
			drop := 690 - math.Abs(float64(i)-3)*36
			c.path(fmt.Sprintf("M%.0f 500 C%.0f 380 %.0f 460 %.0f %.0f", x, x+bend*0.5, x+bend*1.7, x+bend*1.4, drop), "none", stroke(shade(leaf, 0.2), 6))
			for j := range 9 {
				t := float64(j) / 8
				px, py := x+bend*(0.2+t*1.2), 440+(drop-440)*t
				c.ellipse(px-11, py, 19, 13, pick(i+j, leaf, tint(leaf, 0.15)), fmt.Sprintf(`transform="rotate(%d %.0f %.0f)"`, 30+j*11, px-11, py))
				c.ellipse(px+11, py+10, 19, 13, pick(i+j, shade(leaf, 0.08), leaf), fmt.Sprintf(`transform="rotate(%d %.0f %.0f)"`, -30-j*9, px+11, py+10))
			}
		}
		for i := range 16 {
			c.ellipse(270+float64(i)*17, 470-math.Sin(float64(i)*0.42)*44, 30, 22, pick(i, leaf, tint(leaf, 0.12), shade(leaf, 0.1)), "")
		}
	case 5: // a little tree
		c.path("M400 560 C392 470 412 420 400 330", "none", stroke("#7b5a3c", 22)+` stroke-linecap="round"`)
		c.path("M402 440 C440 410 460 390 480 350 M398 420 C360 390 340 370 322 340", "none", stroke("#7b5a3c", 12)+` stroke-linecap="round"`)
		for i := range 26 {
			a := float64(i) * 2.399
			r := 22 + 30*math.Sqrt(float64(i))
			c.circle(400+math.Cos(a)*r*1.15, 262+math.Sin(a)*r*0.85, 46, pick(i, leaf, tint(leaf, 0.14), shade(leaf, 0.1)), "")
		}
		for i := range 9 {
			a := float64(i)*2.1 + 0.5
			c.circle(400+math.Cos(a)*130, 262+math.Sin(a)*100, 13, "#f2a33c", "")
		}
	}
	// The pot, in front.
	shape := "M270 530 L530 530 L500 680 C498 694 486 700 470 700 L330 700 C314 700 302 694 300 680 Z"
	if p.look%3 == 1 {
		shape = "M276 530 L524 530 L524 676 C524 692 512 700 496 700 L304 700 C288 700 276 692 276 676 Z"
	} else if p.look%3 == 2 {
		shape = "M290 530 L510 530 C570 600 540 700 470 700 L330 700 C260 700 230 600 290 530 Z"
	}
	clip := c.clip(shape)
	if p.look%6 == 4 { // the trailing one hangs over its pot: less of it is seen
		shape = strings.ReplaceAll(shape, "700", "690")
	}
	c.path(shape, c.gradient(tint(pot, 0.2), shade(pot, 0.16), 0), "")
	c.open(clip)
	switch p.look % 4 {
	case 0:
		c.path("M240 600 l32 36 l32 -36 l32 36 l32 -36 l32 36 l32 -36 l32 36 l32 -36 l32 36", "none", stroke(tint(pot, 0.5), 9))
	case 1:
		c.rect(220, 590, 360, 30, 0, tint(pot, 0.45), "")
	case 2:
		for range 40 {
			c.circle(250+c.rand.Float64()*300, 540+c.rand.Float64()*150, 2+c.rand.Float64()*4, shade(pot, 0.3), "")
		}
	case 3:
		c.rect(220, 620, 360, 100, 0, shade(pot, 0.22), "")
	}
	c.close()
	c.rect(258, 516, 284, 36, 12, tint(pot, 0.1), "")
}

// Skateboards: the graphic side of the deck, with wheels.

func drawSkateboard(c *canvas, p product) {
	main, second, third := p.colours[0], p.colours[1], p.colours[2]
	angle := []int{24, -24, 14, -14}[p.look%4]
	c.group(fmt.Sprintf(`transform="rotate(%d 400 400)"`, angle))
	c.rect(316, 66, 190, 690, 95, "#000000", `opacity="0.16"`)
	// Wheels stand out on both sides.
	for _, y := range []float64{196, 604} {
		for _, x := range []float64{272, 492} {
			c.rect(x, y-30, 36, 60, 14, third, "")
			c.rect(x, y-30, 36, 18, 9, tint(third, 0.4), "")
		}
	}
	deck := "M305 150 C305 20 495 20 495 150 L495 650 C495 780 305 780 305 650 Z"
	clip := c.clip(deck)
	c.path(deck, c.gradient(tint(main, 0.12), main, 90), "")
	c.open(clip)
	switch p.look % 6 {
	case 0: // rays
		for i := range 12 {
			a := float64(i) * math.Pi / 6
			c.path(fmt.Sprintf("M400 400 L%.0f %.0f L%.0f %.0f Z", 400+math.Cos(a)*500, 400+math.Sin(a)*500, 400+math.Cos(a+0.26)*500, 400+math.Sin(a+0.26)*500), second, "")
		}
		c.circle(400, 400, 74, third, "")
		c.circle(400, 400, 46, tint(main, 0.2), "")
	case 1: // waves
		for i := range 7 {
			c.path(fmt.Sprintf("M280 %d q30 -50 60 0 t60 0 t60 0 t60 0 L520 800 L280 800 Z", 260+i*80), pick(i, second, tint(second, 0.3), shade(second, 0.15), third), "")
		}
		c.circle(400, 170, 56, third, "")
	case 2: // checks
		for i := range 5 {
			for j := range 18 {
				if (i+j)%2 == 0 {
					c.rect(305+float64(i)*38, 50+float64(j)*40, 38, 40, 0, second, "")
				}
			}
		}
		c.rect(300, 340, 200, 120, 0, third, "")
		c.path(star(400, 400, 44, 19, 5), main, "")
	case 3: // hills at dusk
		c.circle(400, 280, 80, third, "")
		c.path("M290 420 L370 300 L430 380 L520 270 L520 800 L290 800 Z", second, "")
		c.path("M290 540 L350 460 L420 540 L520 430 L520 800 L290 800 Z", shade(second, 0.2), "")
		c.path("M290 660 C350 600 450 700 520 620 L520 800 L290 800 Z", shade(second, 0.38), "")
	case 4: // bolts
		for i := range 4 {
			y := 60 + float64(i)*180
			c.path(fmt.Sprintf("M440 %.0f L340 %.0f L398 %.0f L352 %.0f L470 %.0f L404 %.0f Z", y, y+100, y+100, y+190, y+74, y+74), pick(i, second, third), "")
		}
	case 5: // circles
		for range 26 {
			r := 14 + c.rand.Float64()*44
			c.circle(300+c.rand.Float64()*200, 70+c.rand.Float64()*660, r, pick(c.rand.IntN(4), second, third, tint(second, 0.4), shade(main, 0.15)), `opacity="0.9"`)
		}
	}
	c.rect(318, 40, 26, 720, 13, "#ffffff", `opacity="0.16"`)
	c.close()
	// Trucks.
	for _, y := range []float64{196, 604} {
		c.rect(300, y-9, 200, 18, 9, "#aeb4bd", "")
		c.rect(352, y-44, 96, 88, 14, "#c9ced6", "")
		for _, d := range [][2]float64{{-30, -28}, {30, -28}, {-30, 28}, {30, 28}} {
			c.circle(400+d[0], y+d[1], 7, "#6d747e", "")
		}
		c.circle(400, y, 20, "#8d949e", "")
	}
	c.end()
}

// Drawing.

func (c *canvas) el(name, attributes, more string) {
	if more != "" {
		attributes += " " + more
	}
	c.body.WriteString("<" + name + " " + attributes + "/>\n")
}

func (c *canvas) path(d, fill, more string) { c.el("path", `d="`+d+`" fill="`+fill+`"`, more) }

func (c *canvas) rect(x, y, w, h, r float64, fill string, more ...string) {
	c.el("rect", fmt.Sprintf(`x="%s" y="%s" width="%s" height="%s" rx="%s" fill="%s"`, num(x), num(y), num(w), num(h), num(r), fill), strings.Join(more, " "))
}

func (c *canvas) circle(x, y, r float64, fill, more string) {
	c.el("circle", fmt.Sprintf(`cx="%s" cy="%s" r="%s" fill="%s"`, num(x), num(y), num(r), fill), more)
}

func (c *canvas) ellipse(x, y, rx, ry float64, fill, more string) {
	c.el("ellipse", fmt.Sprintf(`cx="%s" cy="%s" rx="%s" ry="%s" fill="%s"`, num(x), num(y), num(rx), num(ry), fill), more)
}

func (c *canvas) shadow(x, y, rx, ry float64) { c.ellipse(x, y, rx, ry, "#000000", `opacity="0.14"`) }

func (c *canvas) group(attributes string) { c.body.WriteString("<g " + attributes + ">\n") }
func (c *canvas) end()                    { c.body.WriteString("</g>\n") }

// open begins what is cut off at a shape; close ends it.
func (c *canvas) open(clip string) { c.group(`clip-path="url(#` + clip + `)"`) }
func (c *canvas) close()           { c.end() }

func (c *canvas) id() string {
	c.ids++
	return "i" + strconv.Itoa(c.ids)
}

func (c *canvas) clip(d string) string {
	id := c.id()
	c.defs.WriteString(`<clipPath id="` + id + `"><path d="` + d + `"/></clipPath>`)
	return id
}

// gradient goes from one colour to another; 0 degrees is from left to right, 90 from top to bottom.
func (c *canvas) gradient(from, to string, degrees float64) string {
	return c.linear(degrees, `<stop offset="0" stop-color="`+from+`"/><stop offset="1" stop-color="`+to+`"/>`)
}

func (c *canvas) fade(colour string) string {
	return c.linear(90, `<stop offset="0" stop-color="`+colour+`"/><stop offset="1" stop-color="`+colour+`" stop-opacity="0"/>`)
}

func (c *canvas) linear(degrees float64, stops string) string {
	id := c.id()
	x, y := math.Cos(degrees*math.Pi/180), math.Sin(degrees*math.Pi/180)
	c.defs.WriteString(fmt.Sprintf(`<linearGradient id="%s" x1="0" y1="0" x2="%s" y2="%s">%s</linearGradient>`, id, num(x), num(y), stops))
	return "url(#" + id + ")"
}

func (c *canvas) radial(colour string, opacity float64) string {
	id := c.id()
	c.defs.WriteString(fmt.Sprintf(`<radialGradient id="%s"><stop offset="0" stop-color="%s" stop-opacity="%s"/><stop offset="1" stop-color="%s" stop-opacity="0"/></radialGradient>`, id, colour, num(opacity), colour))
	return "url(#" + id + ")"
}

func stroke(colour string, width float64) string {
	return `stroke="` + colour + `" stroke-width="` + num(width) + `"`
}

func star(x, y, outer, inner float64, points int) string {
	var b strings.Builder
	for i := range points * 2 {
		r := outer
		if i%2 == 1 {
			r = inner
		}
		a := math.Pi*float64(i)/float64(points) - math.Pi/2
		b.WriteString(pick(min(i, 1), "M", "L") + num(x+math.Cos(a)*r) + " " + num(y+math.Sin(a)*r))
	}
	return b.String() + "Z"
}

func pick[T any](i int, from ...T) T { return from[i%len(from)] }

func back(p product) string {
	h := fnv.New64a()
	h.Write([]byte(p.handle))
	backs := palettes[p.kind].backs
	return tint(backs[int(h.Sum64()%uint64(len(backs)))], 0.2)
}

// tint mixes a colour with white, shade with black.
func tint(colour string, by float64) string  { return mix(colour, 255, by) }
func shade(colour string, by float64) string { return mix(colour, 0, by) }

func mix(colour string, with, by float64) string {
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		panic("colour " + colour)
	}
	part := func(shift uint) int {
		v := float64(n >> shift & 255)
		return int(math.Round(v + (with-v)*by))
	}
	return fmt.Sprintf("#%02x%02x%02x", part(16), part(8), part(0))
}

func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(s)
}
