package crew

import "time"

// Closed tells whether Run has begun to end.
func (c *Crew[T]) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.open
}

// Idle tells whether no hand works or is promised.
func (c *Crew[T]) Idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.busy == 0
}

// Sweep changes how often Run looks for what is due.
func (c *Crew[T]) Sweep(every time.Duration) { c.sweep = every }
