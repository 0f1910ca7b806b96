package infra

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stampede-shop/stampede/dev/stack"
	"github.com/stampede-shop/stampede/dev/supervise"
	"github.com/stampede-shop/stampede/kit/pause"
)

// Drain lets the shop come to rest before its events go another way: the edge
// closes (whoever comes is told to try again), what is in the outboxes is
// sent, and what the old broker holds is handled. Starting the apps opens
// the edge again. It does nothing unless sidecars run on another broker.
func (s Servers) Drain(ctx context.Context, apps []stack.App) (err error) {
	was, err := s.LaidOut()
	if err != nil {
		return err
	}
	from, to := was.Broker(), s.Plugged.Broker()
	if from == "" || from == to {
		return nil
	}
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(st.Processes, func(r supervise.Record) bool { return r.Stage == stack.StageApp && r.PID != 0 }) {
		s.Out.Say("drain", "from %s to %s: nothing runs, so what the old broker still holds stays there", from, to)
		return nil
	}
	waiting, ok := map[string]func(context.Context) (int, error){
		"pubsub.rabbitmq":  s.rabbitmqWaiting,
		"pubsub.jetstream": s.natsWaiting,
		"pubsub.kafka":     s.kafkaWaiting,
		"pubsub.redis":     s.redisWaiting,
	}[from]
	if !ok {
		return fmt.Errorf("nobody can tell when %s is empty: make down, then make up", from)
	}
	var edges []supervise.Process
	for _, a := range apps {
		if a.Edge() {
			list, err := s.Processes(a, apps)
			if err != nil {
				return err
			}
			edges = append(edges, list...)
		}
	}
	defer func() {
		if err == nil {
			return
		}
		for _, p := range edges {
			if _, again := s.Supervisor().Ensure(context.WithoutCancel(ctx), p); again != nil {
				err = errors.Join(err, again)
			}
		}
	}()
	return s.Out.Step(ctx, "drain", fmt.Sprintf("closing the edge until %s has nothing left for %s", from, to), func(ctx context.Context) error {
		if err := s.Supervisor().Stop(ctx, false, supervise.Names(edges)...); err != nil {
			return err
		}
		why, quiet := "", 0
		for deadline := time.Now().Add(2 * time.Minute); quiet < 2; {
			unsent, err := s.unsent(ctx, apps)
			if err != nil {
				return err
			}
			held, err := waiting(ctx)
			switch {
			case unsent > 0:
				quiet, why = 0, fmt.Sprintf("%d events are not sent", unsent)
			case err != nil:
				quiet, why = 0, err.Error()
			case held > 0:
				quiet, why = 0, fmt.Sprintf("%d events are not handled", held)
			default:
				quiet++ // handling may have said something new: both again
			}
			if quiet < 2 && time.Now().After(deadline) {
				return &supervise.Failure{Line: from + " does not run dry: " + why, Lines: []string{
					"the shop goes on as it was",
					"to switch all the same and leave those events behind: make down, then make up with SWAP",
				}}
			}
			if !pause.For(ctx, 200*time.Millisecond) {
				return ctx.Err()
			}
		}
		return nil
	})
}

// unsent counts the events that wait in the services' outboxes.
func (s Servers) unsent(ctx context.Context, apps []stack.App) (int, error) {
	total := 0
	for _, a := range apps {
		if a.Instance != 1 || !s.KeepsRecords(a) {
			continue
		}
		db, err := connect(ctx, s.Settings.Get(a.DatabaseSetting()))
		if err != nil {
			return 0, err
		}
		n := 0
		err = db.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE sent_at IS NULL`).Scan(&n)
		if err := errors.Join(err, db.Close(ctx)); err != nil {
			return 0, fmt.Errorf("%s: %w", a.DatabaseSetting(), err)
		}
		total += n
	}
	return total, nil
}

// Retire stops the parts of the infrastructure that nothing needs any more.
func (s Servers) Retire(ctx context.Context) error {
	st, _, err := s.Supervisor().State()
	if err != nil {
		return err
	}
	for _, r := range st.Processes {
		if r.Stage == stack.StageApp || r.Stage == stack.StageEdge || s.Needs(r.Name) {
			continue
		}
		if err := s.Supervisor().Stop(ctx, false, r.Name); err != nil {
			return err
		}
		s.Out.Say(r.Name, "stopped: nothing that is plugged in needs it; its data stays")
	}
	return nil
}
