package feed

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/dapr"
	"github.com/stampede-shop/stampede/kit/pg"
)

const (
	lease      = time.Minute      // of reading; renewed after a third, as the rest is longer than one page may take
	pageLimit  = 30 * time.Second // for applying one page
	itemLimit  = 10 * time.Second // for applying one item
	pageSize   = 200
	beginsWith = 24 * time.Hour // of the past, when a feed is read for the first time
	maxBackoff = 10 * time.Minute
)

// Every is how often a feed is read whose events get behind to arrive on their
// own: half of that, a second at least, half a minute at most.
func Every(behind time.Duration) time.Duration {
	return max(time.Second, min(30*time.Second, behind/2))
}

// Source reads a page of a neighbour's feed.
type Source func(ctx context.Context, ask Ask) (Page[json.RawMessage], error)

// From reads the feed that app serves at path, which may have a query of its
// own.
func From(sidecar *dapr.Client, app, path string) Source {
	path, own, _ := strings.Cut(path, "?")
	return func(ctx context.Context, ask Ask) (page Page[json.RawMessage], err error) {
		query, err := url.ParseQuery(own)
		if err != nil {
			return page, fmt.Errorf("feed %s%s: %w", app, path, err)
		}
		query.Set("limit", strconv.Itoa(ask.Limit))
		query.Set("behind", strconv.Itoa(ask.Behind))
		if ask.Cursor != "" {
			query.Set("cursor", ask.Cursor)
		} else {
			query.Set("since", ask.Since.UTC().Format(time.RFC3339Nano))
		}
		if err := sidecar.Call(ctx, app, http.MethodGet, path+"?"+query.Encode(), nil, &page, dapr.Timeout(10*time.Second)); err != nil {
			return page, fmt.Errorf("feed %s%s: %w", app, path, err)
		}
		return page, nil
	}
}

// Pull applies a neighbour's feed to the database of this service. Apply is
// idempotent and calls nothing outside the database; most items change
// nothing, because their event arrived.
type Pull[T any] struct {
	Name   string // tells its position from others, "orders.ended"
	DB     *pgxpool.Pool
	Log    *slog.Logger
	Source Source
	Behind time.Duration // how long events get to arrive on their own; whole seconds
	Apply  func(ctx context.Context, tx pgx.Tx, item T) error
	Alone  bool // every item in a transaction of its own, since Apply takes locks that must not be kept for a whole page

	lease time.Duration // instead of lease, in tests
}

// errLost ends a run whose lease another has.
var errLost = errors.New("the lease was lost")

// holding is the lease of one run.
type holding struct {
	holder  uuid.UUID
	length  time.Duration
	renewed time.Time // before it was asked for, so that it lasts at least length from then
}

type position struct {
	Since  time.Time
	Cursor string
}

// Run reads until nothing more is there, unless another instance does. An item
// that cannot be applied is kept in feed_failures and tried again, by the
// next runs; those behind it are not held up.
func (p Pull[T]) Run(ctx context.Context) error {
	held := &holding{holder: uuid.New(), length: p.lease}
	if held.length == 0 {
		held.length = lease
	}
	at, mine, err := p.claim(ctx, held)
	if err != nil || !mine {
		return err
	}
	defer p.release(ctx, held.holder)
	if err = p.read(ctx, held, at); errors.Is(err, errLost) {
		return nil // another goes on
	}
	return err
}

func (p Pull[T]) read(ctx context.Context, held *holding, at position) error {
	if err := p.again(ctx, held); err != nil {
		return err
	}
	for ctx.Err() == nil {
		page, err := p.Source(ctx, Ask{Cursor: at.Cursor, Since: at.Since, Behind: int(p.Behind.Seconds()), Limit: pageSize})
		if err != nil {
			return err
		}
		if len(page.Items) == 0 {
			return nil
		}
		if err := p.page(ctx, held, page.Items); err != nil {
			return err
		}
		if err := p.note(ctx, held, &page.Cursor); err != nil || !page.More {
			return err
		}
		at.Cursor = page.Cursor
	}
	return nil
}

// claim takes the lease, if nobody has it, and reads the position.
func (p Pull[T]) claim(ctx context.Context, held *holding) (at position, mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, itemLimit)
	defer cancel()
	held.renewed = time.Now()
	err = p.DB.QueryRow(ctx, `
		INSERT INTO feed_positions AS p (name, since, holder, leased_until) VALUES ($1, now() - $3::interval, $2, now() + $4::interval)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until
		WHERE p.leased_until IS NULL OR p.leased_until <= now()
		RETURNING since, cursor`, p.Name, held.holder, beginsWith, held.length).Scan(&at.Since, &at.Cursor)
	if errors.Is(err, pgx.ErrNoRows) {
		return at, false, nil
	}
	if err != nil {
		return at, false, fmt.Errorf("feed %s: claim: %w", p.Name, err)
	}
	return at, true, nil
}

func (p Pull[T]) release(ctx context.Context, holder uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), itemLimit)
	defer cancel()
	// When this fails the lease ends by itself.
	_, _ = p.DB.Exec(ctx, `UPDATE feed_positions SET leased_until = NULL, holder = NULL WHERE name = $1 AND holder = $2`, p.Name, holder)
}

// note moves the position on, unless cursor is nil, and renews the lease. An
// empty cursor is a source's way to begin anew. Errors: errLost.
func (p Pull[T]) note(ctx context.Context, held *holding, cursor *string) error {
	ctx, cancel := context.WithTimeout(ctx, itemLimit)
	defer cancel()
	asked := time.Now()
	tag, err := p.DB.Exec(ctx, `UPDATE feed_positions SET cursor = coalesce($3, cursor), leased_until = now() + $4::interval WHERE name = $1 AND holder = $2`,
		p.Name, held.holder, cursor, held.length)
	if err != nil {
		return fmt.Errorf("feed %s: note: %w", p.Name, err)
	}
	if tag.RowsAffected() == 0 {
		return errLost
	}
	held.renewed = asked
	return nil
}

// keepLease renews the lease when a third of it is over, before what takes
// time. Errors: errLost.
func (p Pull[T]) keepLease(ctx context.Context, held *holding) error {
	if time.Since(held.renewed) < held.length/3 {
		return nil
	}
	return p.note(ctx, held, nil)
}

// page applies a page in one transaction, or, when that fails or must not be,
// item by item, and keeps those that fail.
func (p Pull[T]) page(ctx context.Context, held *holding, items []json.RawMessage) error {
	if p.Alone {
		return p.each(ctx, held, items)
	}
	if err := p.keepLease(ctx, held); err != nil {
		return err
	}
	err := p.inTx(ctx, pageLimit, func(ctx context.Context, tx pgx.Tx) error {
		for _, raw := range items {
			if err := p.apply(ctx, tx, raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	return p.each(ctx, held, items)
}

func (p Pull[T]) each(ctx context.Context, held *holding, items []json.RawMessage) error {
	for _, raw := range items {
		if err := p.keepLease(ctx, held); err != nil {
			return err
		}
		err := p.inTx(ctx, itemLimit, func(ctx context.Context, tx pgx.Tx) error { return p.apply(ctx, tx, raw) })
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.Log.ErrorContext(ctx, "what a neighbour tells cannot be applied, it is tried again", "feed", p.Name, "error", err)
		if err := p.keep(ctx, raw, err); err != nil { // the database is away: nobody's fault, and nothing is passed over
			return err
		}
	}
	return nil
}

func (p Pull[T]) inTx(ctx context.Context, limit time.Duration, fn func(ctx context.Context, tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return pg.InTx(ctx, p.DB, func(tx pgx.Tx) error { return fn(ctx, tx) })
}

func (p Pull[T]) apply(ctx context.Context, tx pgx.Tx, raw json.RawMessage) error {
	var item T
	if err := json.Unmarshal(raw, &item); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return p.Apply(ctx, tx, item)
}

func (p Pull[T]) keep(ctx context.Context, raw json.RawMessage, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, itemLimit)
	defer cancel()
	hash := sha256.Sum256(raw)
	_, err := p.DB.Exec(ctx, `
		INSERT INTO feed_failures AS f (name, item, item_hash, error, next_try_at) VALUES ($1, $2, $3, $4, now() + interval '2 seconds')
		ON CONFLICT (name, item_hash) DO UPDATE SET error = excluded.error`, p.Name, raw, hash[:], cause.Error())
	if err != nil {
		return fmt.Errorf("feed %s: keep what failed: %w", p.Name, err)
	}
	return nil
}

// again tries what failed before and is due.
func (p Pull[T]) again(ctx context.Context, held *holding) error {
	type failure struct {
		Item     json.RawMessage
		ItemHash []byte
		Tries    int
	}
	rows, err := p.DB.Query(ctx, `
		SELECT item, item_hash, tries FROM feed_failures WHERE name = $1 AND next_try_at <= now() ORDER BY next_try_at LIMIT 50`, p.Name)
	if err != nil {
		return fmt.Errorf("feed %s: what failed: %w", p.Name, err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByName[failure])
	if err != nil {
		return fmt.Errorf("feed %s: what failed: %w", p.Name, err)
	}
	for _, f := range due {
		if err := p.keepLease(ctx, held); err != nil {
			return err
		}
		err := p.inTx(ctx, itemLimit, func(ctx context.Context, tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `DELETE FROM feed_failures WHERE name = $1 AND item_hash = $2`, p.Name, f.ItemHash); err != nil {
				return err
			}
			return p.apply(ctx, tx, f.Item)
		})
		if err == nil {
			p.Log.InfoContext(ctx, "what could not be applied before was applied", "feed", p.Name, "tries", f.Tries+1)
			continue
		}
		backoff := min(2*time.Second<<min(f.Tries, 12), maxBackoff)
		if _, err := p.DB.Exec(ctx, `UPDATE feed_failures SET tries = tries + 1, error = $3, next_try_at = now() + $4::interval WHERE name = $1 AND item_hash = $2`,
			p.Name, f.ItemHash, err.Error(), backoff); err != nil {
			return fmt.Errorf("feed %s: what failed: %w", p.Name, err)
		}
	}
	return nil
}
