// Package feed cures what was lost between services: a service that decides
// something lists its decisions, oldest first, and those who must act on them
// read that list, some time behind, in case the event never came. Reading is
// by cursor, in pages, by one instance at a time, and goes past what fails.
package feed

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
)

// Ask is embedded in the input of an operation that serves a feed.
type Ask struct {
	Cursor string    `query:"cursor" maxLength:"500" doc:"Where the page before ended; empty to begin"`
	Since  time.Time `query:"since" doc:"From when on, without a cursor"`
	Behind int       `query:"behind" minimum:"0" maximum:"604800" doc:"Leave out what is younger, in seconds, at least one, so that events can arrive on their own"`
	Limit  int       `query:"limit" minimum:"1" maximum:"500" default:"200"`
}

// Page is a page of a feed. Its cursor is never empty once something was read:
// a feed has no last page.
type Page[T any] struct {
	Items  []T    `json:"items" nullable:"false"`
	Cursor string `json:"cursor" doc:"Where the next page begins"`
	More   bool   `json:"more" doc:"There is another page now"`
}

// Place is where a row stands in a feed. At is when the transaction that wrote
// it began (DEFAULT transaction_timestamp()); Key tells rows of one moment
// apart.
type Place struct {
	At  time.Time `json:"a"`
	Key string    `json:"k"`
}

// Read reads the page of a feed that ask wants. sql selects the rows with
// (noted_at, key) > ($1, $2) AND noted_at < $3, in that order, at most $4; args
// are its further arguments, from $5 on.
//
// No row is passed over: one that a transaction has written but not yet
// committed would appear behind the cursor, so reading stops before the oldest
// transaction that is open. That moment is read first, by a statement of its
// own: what had ended by then, the second statement sees.
//
// At least a second is left out, whatever ask.Behind is: a backend takes its
// transaction's time a little before pg_stat_activity shows it, and one that
// began in between would write behind the cursor.
func Read[R any](ctx context.Context, db pg.Querier, ask Ask, sql string, place func(R) Place, args ...any) (rows []R, cursor string, more bool, err error) {
	ask.Behind = max(ask.Behind, 1)
	return read(ctx, db, ask, sql, place, args...)
}

func read[R any](ctx context.Context, db pg.Querier, ask Ask, sql string, place func(R) Place, args ...any) (rows []R, cursor string, more bool, err error) {
	after := Place{At: ask.Since}
	if ask.Cursor != "" {
		if after, err = decode(ask.Cursor); err != nil {
			return nil, "", false, err
		}
	}
	var horizon time.Time
	err = db.QueryRow(ctx, `
		SELECT LEAST(now() - make_interval(secs => $1), min(xact_start))
		FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user AND xact_start IS NOT NULL`,
		ask.Behind).Scan(&horizon)
	if err != nil {
		return nil, "", false, fmt.Errorf("feed: %w", err)
	}
	found, err := db.Query(ctx, sql, append([]any{after.At, after.Key, horizon, ask.Limit}, args...)...)
	if err != nil {
		return nil, "", false, fmt.Errorf("feed: %w", err)
	}
	if rows, err = pgx.CollectRows(found, pgx.RowToStructByName[R]); err != nil {
		return nil, "", false, fmt.Errorf("feed: %w", err)
	}
	if len(rows) == 0 {
		return rows, ask.Cursor, false, nil
	}
	cursor, err = encode(place(rows[len(rows)-1]))
	return rows, cursor, len(rows) == ask.Limit, err
}

// encode makes the cursor of a place. Unlike those of lists it does not
// expire, since a reader keeps it however long nothing happens, and is not
// signed, since only neighbours see it.
func encode(p Place) (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("feed: cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(text), nil
}

func decode(cursor string) (p Place, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, problem.InvalidField("query.cursor", problem.CodeWrongFormat, "not a cursor of this feed")
	}
	return p, nil
}
