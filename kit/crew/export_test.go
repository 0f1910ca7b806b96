package crew

// Closed tells whether Run has begun to end.
func (c *Crew[T]) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.open
}
