package gather

// Waits tells how many callers wait for the next batch.
func (g *Gatherer[In, Out]) Waits() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}
