package main

import (
	"sync"
	"time"
)

// lastKnown keeps an answer for all who want it: when it is old one request asks anew, the others use what there is, and so
// do all when the question fails.
type lastKnown[T any] struct {
	mu    sync.Mutex
	value T
	asked time.Time
}

// get is the answer, which ask gives when the last question is older than fresh. After a failure the next request asks at
// once where again says so of what is known, else when that time is over.
func (k *lastKnown[T]) get(now time.Time, fresh time.Duration, ask func() (T, error), again func(known T) bool) T {
	k.mu.Lock()
	if now.Sub(k.asked) < fresh {
		defer k.mu.Unlock()
		return k.value
	}
	k.asked = now
	k.mu.Unlock()
	found, err := ask()
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.value = found
	} else if again(k.value) {
		k.asked = time.Time{}
	}
	return k.value
}
