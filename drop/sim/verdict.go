package main

import (
	"fmt"
	"math"
	"slices"
)

// row is a promise, what was measured of it, and whether it was kept.
type row struct {
	promise, mark, measured string
	kept                    bool
}

// runs are what was found of drops, by how they were played.
type runs struct {
	drops []found
	pairs []pair
}

// pair is one drop played twice: by shoppers of whom some have 64 tabs, and by the same ones with a tab each.
type pair struct{ many, one found }

// of are the drops of so many shoppers.
func (r runs) of(from, below int) (some []found) {
	for _, f := range r.drops {
		if f.shoppers >= from && f.shoppers < below {
			some = append(some, f)
		}
	}
	return some
}

func most[T ms | int | float64](drops []found, of func(found) T) (most T) {
	for _, f := range drops {
		most = max(most, of(f))
	}
	return most
}

func sum[T int64 | float64](drops []found, of func(found) T) (sum T) {
	for _, f := range drops {
		sum += of(f)
	}
	return sum
}

// large is from how many shoppers on the correlation of entry and position is judged, and the waiting are told later.
const large = 100_000

// interval is how many standard deviations have 99 of 100 cases within them.
const interval = 2.576

// fewest is of how many drops shares of what came true are judged.
const fewest = 200

// verdict judges what was found.
func verdict(r runs) []row {
	all, big := r.drops, r.of(large, math.MaxInt)
	small := r.of(0, large)
	rows := []row{
		positionRequests(all, big),
		squares(small),
	}
	if len(big) > 0 {
		rho := most(big, func(f found) float64 { return math.Abs(f.rho) })
		rows = append(rows, row{"fair: the time of entry and the position have nothing to do with each other, at 100,000",
			fmt.Sprintf("\\|ρ\\| < 0.01 in each of %d", len(big)), fmt.Sprintf("%.4f at most", rho), rho < .01})
	}
	rows = append(rows, manyTabs(r), manyAccounts(all), speed(all))
	over, limits := most(all, func(f found) ms { return f.tooMany }), sum(all, func(f found) int64 { return f.overLimit })
	fell := sum(all, func(f found) int64 { return f.fell })
	rows = append(rows,
		row{"never too many: units given out beyond the lot; accounts beyond their limit; times that `called` fell",
			"0; 0; 0", fmt.Sprintf("%d; %d; %d", over, limits, fell), over <= 0 && limits == 0 && fell == 0})
	idle := most(all, func(f found) ms { return f.idle })
	rows = append(rows, row{"never too few: the longest that a unit was free while somebody called and present wanted it",
		"≤ 5 s", inSeconds(idle), idle <= 5*second})
	for _, size := range []struct {
		drops []found
		who   string
		limit ms
	}{{small, "up to 10,000 wait", 5 * second}, {big, "100,000 wait", 15 * second}} {
		if len(size.drops) == 0 {
			continue
		}
		told := most(size.drops, func(f found) ms { return f.told })
		not := sum(size.drops, func(f found) int64 { return f.neverTold })
		count := sum(size.drops, func(f found) int64 { return f.toldCount })
		rows = append(rows, row{"sold out is told to all who wait, from the last payment on, where " + size.who,
			fmt.Sprintf("≤ %d s", size.limit/second), fmt.Sprintf("%s at most, of %s; %d never", inSeconds(told), number(count), not),
			told <= size.limit && not == 0 && count > 0})
	}
	back, same := sum(all, func(f found) int64 { return f.back }), sum(all, func(f found) int64 { return f.backSame })
	rows = append(rows, row{"come back after 20 minutes on another device: the same position", "always",
		fmt.Sprintf("%s of %s", number(same), number(back)), same == back && back > 0})
	return append(rows, odds(all)...)
}

func inSeconds(t ms) string { return fmt.Sprintf("%.1f s", float64(t)/1000) }

func number[T int | int64](n T) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func positionRequests(all, big []found) row {
	asked := sum(all, func(f found) int64 { return f.requests.positions })
	wrong := sum(all, func(f found) int64 { return f.wrongOwn })
	known := most(all, func(f found) ms { return f.known })
	mark := "0; none wrong; ≤ 10 s"
	if len(big) > 0 {
		mark += ", also at 100,000"
	}
	return row{"requests for a position; what pages work out themselves; when all knew theirs, after the opening", mark,
		fmt.Sprintf("%d; %d wrong; %s", asked, wrong, inSeconds(known)), asked == 0 && wrong == 0 && known <= 10*second}
}

// squares is Pearson's χ² of the tenth in which somebody entered and the tenth of their position, over the first 200 drops.
func squares(drops []found) row {
	if len(drops) > 200 {
		drops = drops[:200]
	}
	var table [10][10]float64
	var n float64
	for _, f := range drops {
		for i, line := range f.table {
			for j, count := range line {
				table[i][j] += float64(count)
				n += float64(count)
			}
		}
	}
	var rows, columns [10]float64
	for i := range table {
		for j := range table {
			rows[i] += table[i][j]
			columns[j] += table[i][j]
		}
	}
	chi := 0.
	for i := range table {
		for j := range table {
			expected := rows[i] * columns[j] / n
			chi += (table[i][j] - expected) * (table[i][j] - expected) / expected
		}
	}
	p := beyond(chi, 81)
	return row{"fair: the tenth in which one enters says nothing of the tenth of one's position",
		fmt.Sprintf("p > 0.001 over %d drops", len(drops)),
		fmt.Sprintf("χ² = %.1f of 81, p = %.3f", chi, p), p > .001}
}

// beyond is how probable a χ² of so many degrees of freedom is to be larger (Wilson and Hilferty, 1931).
func beyond(chi, degrees float64) float64 {
	z := (math.Cbrt(chi/degrees) - 1 + 2/(9*degrees)) / math.Sqrt(2/(9*degrees))
	return math.Erfc(z/math.Sqrt2) / 2
}

// manyTabs compares those who have 64 tabs with themselves when they have one.
func manyTabs(r runs) row {
	places := sum(r.drops, func(f found) int64 { return f.places })
	moved, people := 0, 0
	units, was := 0., 0.
	for _, p := range r.pairs {
		for k, place := range p.many.tabPlaces {
			people++
			if p.one.tabPlaces[k] != place {
				moved++
			}
		}
		units += p.many.units[tabs]
		was += p.one.units[tabs]
	}
	return row{"64 tabs, 64 entries and claims at once: places gained; positions that change; units gained", "exactly 0; 0; 0",
		fmt.Sprintf("%d; %d of %s; %+g of %g", places, moved, number(people), units-was, was),
		places == 0 && moved == 0 && units == was}
}

// manyAccounts compares which part of the called the accounts of one owner were with which part of all they are.
func manyAccounts(all []found) row {
	called := sum(all, func(f found) float64 { return f.botsCalled })
	expected := sum(all, func(f found) float64 { return f.botsExpected })
	spread := math.Sqrt(sum(all, func(f found) float64 { return f.botsVariance }))
	z := 0.
	if spread > 0 {
		z = (called - expected) / spread
	}
	return row{"k accounts of one owner: their share of the called", "≤ k/N within the 99 % interval",
		fmt.Sprintf("%.3f × k/N (%+.2f σ)", called/max(expected, 1), z), z <= interval}
}

// speed compares those who act at once with those who come and buy as surely, by a page that looks when it looks.
func speed(all []found) row {
	var n, mean, squares, units float64
	for _, f := range all {
		if f.people[bot] == 0 || f.people[keen] == 0 {
			continue
		}
		plainly := f.units[keen] / f.people[keen]
		gain := f.units[bot]/f.people[bot] - plainly
		n++
		mean += gain
		squares += gain * gain
		units += plainly
	}
	mean, units = mean/max(n, 1), units/max(n, 1)
	spread := math.Sqrt(max(squares/max(n, 1)-mean*mean, 0) / max(n, 1))
	return row{"speed gains nothing: units of who acts within 0.2 s, beside those of who has the page open",
		"no more, within the 99 % interval",
		fmt.Sprintf("%+.1f %% ± %.1f", 100*mean/max(units, 1e-9), 100*interval*spread/max(units, 1e-9)), mean <= interval*spread}
}

// odds compares what people were told with what came.
func odds(all []found) []row {
	enough := len(all) >= fewest
	share := func(s said) (string, float64) {
		if s.told == 0 {
			return "nobody was told", 1
		}
		part := float64(s.offered) / float64(s.told)
		return fmt.Sprintf("%.1f %% of %s", 100*part, number(s.told)), part
	}
	total := func(of func(found) said) (t said) {
		for _, f := range all {
			t.told += of(f).told
			t.offered += of(f).offered
		}
		return t
	}
	likely, isLikely := share(total(func(f found) said { return f.words[0] }))
	before, isBefore := share(total(func(f found) said { return f.before }))
	unlikely, _ := share(total(func(f found) said { return f.words[1] }))
	quit, _ := share(total(func(f found) said { return f.words[2] }))
	waits, held := sum(all, func(f found) int64 { return f.waits }), sum(all, func(f found) int64 { return f.waitsHeld })
	part := float64(held) / float64(max(waits, 1))
	early, late := quantiles(all)
	return []row{
		{"odds: who was told “likely” was offered a unit", "≥ 90 %", likely, isLikely >= .9},
		{"odds: who was told before the opening that there is enough for nearly all", "≥ 90 %", before, isBefore >= .9},
		{"odds: who was told “unlikely”, and “only if others give theirs up”", "no mark", unlikely + "; " + quit, true},
		{"the range of the wait holds", "75 to 85 %",
			fmt.Sprintf("%.1f %% of %s; a tenth came before %.2f × what the pace said, a tenth after %.2f ×",
				100*part, number(waits), early, late),
			!enough || part >= .75 && part <= .85},
	}
}

// quantiles are which multiple of the time that the pace said a tenth, and nine tenths, were called by.
func quantiles(all []found) (early, late float32) {
	var ratios []float32
	for _, f := range all {
		ratios = append(ratios, f.ratios...)
	}
	if len(ratios) == 0 {
		return 0, 0
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/10], ratios[len(ratios)*9/10]
}
