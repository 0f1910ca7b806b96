package shop

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each calls do for all, so many at a time, and fails the test when one failed.
func Each[T any](t testing.TB, all []T, atOnce int, do func(T) error) {
	t.Helper()
	var (
		wait   sync.WaitGroup
		mu     sync.Mutex
		failed []error
	)
	places := make(chan struct{}, atOnce)
	for _, one := range all {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			if err := do(one); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	wait.Wait()
	require.NoError(t, errors.Join(failed...))
}
