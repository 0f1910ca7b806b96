package sub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/auth"
	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/outbox"
	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// What an administrator may be told about dead letters.
var (
	ErrLetterNotFound = problem.New(problem.NotFound, "dead-letter-not-found", "There is no such dead letter")
	ErrLetterWiped    = problem.New(problem.Conflict, "dead-letter-wiped", "What the event carried was secret and was not kept")
	ErrNotConsumed    = problem.New(problem.Conflict, "event-not-consumed", "The service no longer consumes such events")
	ErrRedriveFailed  = problem.New(problem.Conflict, "redrive-failed", "The event could not be handled this time either")
)

// Letter is an event that could not be handled.
type Letter struct {
	EventID string          `json:"event_id"`
	Topic   string          `json:"topic"`
	Error   string          `json:"error" doc:"Why it could not be handled the last time"`
	Tries   int             `json:"tries"`
	DiedAt  time.Time       `json:"died_at"`
	Data    json.RawMessage `json:"data" doc:"What the event carries, as text when it is not JSON; null when that was secret"`
}

// place in the list, which is sorted by time, newest first.
type place struct {
	At time.Time `json:"at"`
	ID string    `json:"id"`
}

// letters lists dead letters, newest first, after a place (nil: from the
// start).
func (s *Subscriber) letters(ctx context.Context, after *place, limit int) ([]Letter, error) {
	if after == nil {
		after = &place{At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	}
	rows, err := s.DB.Query(ctx, `
		SELECT event_id, topic, error, tries, died_at, event FROM dead_letters WHERE (died_at, event_id) < ($1, $2)
		ORDER BY died_at DESC, event_id DESC LIMIT $3`, after.At, after.ID, limit)
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l Letter, err error) {
		var event []byte
		if err := row.Scan(&l.EventID, &l.Topic, &l.Error, &l.Tries, &l.DiedAt, &event); err != nil {
			return l, err
		}
		l.DiedAt = l.DiedAt.UTC()
		l.Data, err = s.shown(l.Topic, event)
		return l, err
	})
	if err != nil {
		return nil, fmt.Errorf("dead letters: %w", err)
	}
	return found, nil
}

// shown is what people see of an event.
func (s *Subscriber) shown(topic string, event []byte) (json.RawMessage, error) {
	switch t := s.topic(topic); {
	case t != nil && t.secret:
		return json.RawMessage("null"), nil
	case json.Valid(event):
		return event, nil
	}
	return json.Marshal(strings.ToValidUTF8(string(event), "\uFFFD"))
}

// Redrive handles a dead letter once more, now, as its event was handled: in
// one transaction, by the same handler, under the same id. Success removes the
// row; a failure stays in it. Errors: ErrLetterNotFound, ErrLetterWiped,
// ErrNotConsumed, ErrRedriveFailed.
func (s *Subscriber) Redrive(ctx context.Context, id string) error {
	ctx = context.WithoutCancel(ctx) // what is begun is ended, or noted
	var e dapr.Event
	err := s.DB.QueryRow(ctx, `SELECT event_id, topic, topic, event FROM dead_letters WHERE event_id = $1`, id).Scan(&e.ID, &e.Topic, &e.Type, &e.Data)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrLetterNotFound
	}
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	t := s.topic(e.Topic)
	switch {
	case t == nil:
		return ErrNotConsumed
	case t.secret:
		return ErrLetterWiped
	}
	err = s.try(ctx, t, e, func(ctx context.Context, e dapr.Event) error {
		return pg.InTx(ctx, s.DB, func(tx pgx.Tx) error {
			// First, so that a second one waits. The inbox has the event as done since it died, and is not asked.
			if err := remove(ctx, tx, e.ID); err != nil {
				return err
			}
			return t.apply(ctx, tx, e)
		})
	})
	if err == nil || errors.Is(err, ErrLetterNotFound) {
		return err
	}
	tag, noteErr := s.DB.Exec(ctx, `UPDATE dead_letters SET error = $2, tries = tries + 1 WHERE event_id = $1`, id, err.Error())
	if noteErr != nil { // the database is away: that is nobody's fault
		return fmt.Errorf("dead letter: handle: %v: note: %w", err, noteErr)
	}
	if tag.RowsAffected() == 0 {
		return ErrLetterNotFound // dropped meanwhile
	}
	return ErrRedriveFailed.With("error", err.Error()).Because(err)
}

// Forget drops a dead letter: it will never be handled. Errors:
// ErrLetterNotFound.
func (s *Subscriber) Forget(ctx context.Context, id string) error { return remove(ctx, s.DB, id) }

func remove(ctx context.Context, q pg.Querier, id string) error {
	tag, err := q.Exec(ctx, `DELETE FROM dead_letters WHERE event_id = $1`, id)
	if err != nil {
		return fmt.Errorf("dead letter: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrLetterNotFound
	}
	return nil
}

// Routes mounts what administrators do about the dead letters of a service:
// list them, handle one again, drop one.
func (s *Subscriber) Routes(api huma.API, app string) {
	s.BacklogRoute(api, app)
	base := "/api/v1/admin/" + app + "/dead-letters"
	huma.Register(api, rest.Op("GET", base, "List events that could not be handled, newest first", rest.Admin), s.listLetters)
	huma.Register(api, rest.Op("POST", base+"/{event_id}/redrive", "Handle such an event once more, now", rest.Admin, rest.Status(http.StatusNoContent),
		rest.Describe("By the same handler, in one transaction. It goes from the list when it succeeds, else it stays with the new error.")), s.postRedrive)
	huma.Register(api, rest.Op("DELETE", base+"/{event_id}", "Drop such an event for good", rest.Admin, rest.Status(http.StatusNoContent)), s.deleteLetter)
}

// BacklogRoute mounts what tells whether events flow, for a service that
// consumes none; Routes mounts it too.
func (s *Subscriber) BacklogRoute(api huma.API, app string) {
	huma.Register(api, rest.Op("GET", "/api/v1/admin/"+app+"/backlog", "Tell whether events flow", rest.Admin), s.getBacklog)
}

type backlogOutput struct {
	Body struct {
		Unsent      int     `json:"unsent" doc:"Events that are saved and not yet published"`
		LagSeconds  float64 `json:"lag_seconds" doc:"Age of the oldest of them"`
		DeadLetters int     `json:"dead_letters" doc:"Events that could not be handled"`
	}
}

func (s *Subscriber) getBacklog(ctx context.Context, _ *struct{}) (*backlogOutput, error) {
	out := &backlogOutput{}
	var err error
	if out.Body.LagSeconds, err = outbox.Lag(ctx, s.DB); err != nil {
		return nil, fmt.Errorf("backlog: %w", err)
	}
	err = s.DB.QueryRow(ctx, `SELECT (SELECT count(*) FROM outbox WHERE sent_at IS NULL), (SELECT count(*) FROM dead_letters)`).
		Scan(&out.Body.Unsent, &out.Body.DeadLetters)
	if err != nil {
		return nil, fmt.Errorf("backlog: %w", err)
	}
	return out, nil
}

type lettersOutput struct{ Body rest.List[Letter] }

func (s *Subscriber) listLetters(ctx context.Context, in *struct{ rest.Page }) (*lettersOutput, error) {
	var after *place
	if in.Cursor != "" {
		if err := rest.DecodeCursor(in.Cursor, &after); err != nil {
			return nil, err
		}
	}
	found, err := s.letters(ctx, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &lettersOutput{rest.List[Letter]{Items: found}}
	if len(found) > in.Limit {
		last := found[in.Limit-1]
		next := rest.EncodeCursor(place{last.DiedAt, last.EventID})
		out.Body = rest.List[Letter]{Items: found[:in.Limit], NextCursor: &next}
	}
	return out, nil
}

type letterInput struct {
	EventID string `path:"event_id" maxLength:"255"`
}

func (s *Subscriber) postRedrive(ctx context.Context, in *letterInput) (*struct{}, error) {
	if err := s.Redrive(ctx, in.EventID); err != nil {
		return nil, err
	}
	s.Log.InfoContext(ctx, "dead letter handled", "event", in.EventID, "by", auth.Must(ctx).ID)
	return nil, nil
}

func (s *Subscriber) deleteLetter(ctx context.Context, in *letterInput) (*struct{}, error) {
	if err := s.Forget(ctx, in.EventID); err != nil {
		return nil, err
	}
	s.Log.WarnContext(ctx, "dead letter dropped", "event", in.EventID, "by", auth.Must(ctx).ID)
	return nil, nil
}
