package main

import (
	"context"
	"os"
)

// down stops everything; data stays.
func (s *shop) down(ctx context.Context) error { return s.Supervisor().Down(ctx) }

// clean stops the stack and removes its data, settings and logs. What was
// fetched and built for all stacks stays in the cache.
func (s *shop) clean(ctx context.Context) error {
	if err := s.down(ctx); err != nil {
		return err
	}
	for _, dir := range []string{s.Data, s.Run} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	s.Out.Say("clean", "removed %s and %s; what was fetched once is still in %s", s.Run, s.Data, s.Cache)
	return nil
}
