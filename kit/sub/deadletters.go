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
	"github.com/stampede-shop/stampede/kit/keyset"
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

// DeadLetter is an event that could not be handled.
type DeadLetter struct {
	EventID string          `json:"event_id"`
	Topic   string          `json:"topic"`
	Error   string          `json:"error" doc:"Why it could not be handled the last time"`
	Tries   int             `json:"tries"`
	DiedAt  time.Time       `json:"died_at"`
	Data    json.RawMessage `json:"data" doc:"What the event carries, as text when it is not JSON; null when that was secret"`
}

var letterLists = keyset.List{ID: "event_id", Sorts: map[string]string{
	"newest": "died_at DESC", "oldest": "died_at", "topic": "topic", "-topic": "topic DESC", "tries": "tries", "-tries": "tries DESC",
}}

type letterRow struct {
	EventID string
	Topic   string
	Error   string
	Tries   int
	DiedAt  time.Time
	Event   []byte
}

// deadLetters reads a page of the dead deadLetters whose id, topic or error holds q,
// and the cursor of the next one.
func (s *Subscriber) deadLetters(ctx context.Context, q, sort string, page rest.Page) ([]DeadLetter, *string, error) {
	rows, next, err := keyset.Read[letterRow](ctx, s.DB, letterLists, sort, page, `
		SELECT event_id, topic, error, tries, died_at, event FROM dead_letters
		WHERE lower(event_id || ' ' || topic || ' ' || error) LIKE lower($1)`, pg.Contains(q))
	if err != nil {
		return nil, nil, fmt.Errorf("dead letters: %w", err)
	}
	found := []DeadLetter{}
	for _, r := range rows {
		data, err := s.readable(r.Topic, r.Event)
		if err != nil {
			return nil, nil, fmt.Errorf("dead letters: %w", err)
		}
		found = append(found, DeadLetter{r.EventID, r.Topic, r.Error, r.Tries, r.DiedAt.UTC(), data})
	}
	return found, next, nil
}

// readable is what people see of an event.
func (s *Subscriber) readable(topic string, event []byte) (json.RawMessage, error) {
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
			return t.apply(ctx, tx, []delivery{{ctx, e}})
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
	rest.Handle(api, rest.Op("GET", base, "List events that could not be handled", rest.Admin), s.listDeadLetters)
	rest.Handle(api, rest.Op("POST", base+"/{event_id}/redrive", "Handle such an event once more, now", rest.Admin, rest.Status(http.StatusNoContent),
		rest.Describe("By the same handler, in one transaction. It goes from the list when it succeeds, else it stays with the new error."),
		rest.Problems(ErrLetterNotFound, ErrLetterWiped, ErrNotConsumed, ErrRedriveFailed)), s.postRedrive)
	rest.Handle(api, rest.Op("DELETE", base+"/{event_id}", "Drop such an event for good", rest.Admin, rest.Status(http.StatusNoContent),
		rest.Problems(ErrLetterNotFound)), s.deleteLetter)
}

// BacklogRoute mounts what tells whether events flow, for a service that
// consumes none; Routes mounts it too.
func (s *Subscriber) BacklogRoute(api huma.API, app string) {
	rest.Handle(api, rest.Op("GET", "/api/v1/admin/"+app+"/backlog", "Tell whether events flow", rest.Admin), s.getBacklog)
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

type lettersOutput struct{ Body rest.List[DeadLetter] }

func (s *Subscriber) listDeadLetters(ctx context.Context, in *struct {
	rest.Page
	Query string `query:"q" maxLength:"200" doc:"Part of the event's id, its topic or the error"`
	Sort  string `query:"sort" enum:"newest,oldest,topic,-topic,tries,-tries" default:"newest"`
}) (*lettersOutput, error) {
	found, next, err := s.deadLetters(ctx, strings.TrimSpace(in.Query), in.Sort, in.Page)
	return &lettersOutput{rest.List[DeadLetter]{Items: found, NextCursor: next}}, err
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
