package drop

// Poll is the least and the most seconds between two looks at a drop's status, for whom so many wait with. The most is how
// long the end of a drop may go unnoticed: few are told at once, and many do not cost more than a shop of two cores serves.
func Poll(waiting int64) [2]int64 {
	if waiting <= 20_000 {
		return [2]int64{2, 2}
	}
	return [2]int64{2, min(max(waiting/10_000, 3), 30)}
}

// Pause is how many seconds a page waits before it looks again, wait seconds before its turn at this pace: the later that
// is, the longer; with up to a third more, by chance (0 to 1), so that pages do not look together. The storefront's script
// does the same.
func Pause(poll [2]int64, wait, chance float64) float64 {
	return min(max(wait/20, float64(poll[0])), float64(poll[1])) * (1 + .3*chance)
}
