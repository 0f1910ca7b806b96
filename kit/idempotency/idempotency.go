// Package idempotency answers a repeated request with the first answer.
package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stampede-shop/stampede/kit/pg"
	"github.com/stampede-shop/stampede/kit/problem"
	"github.com/stampede-shop/stampede/kit/rest"
)

// Problems of requests that carry an Idempotency-Key.
var (
	ErrKeyRequired = problem.New(problem.BadRequest, "idempotency-key-required", "An Idempotency-Key is needed")
	ErrKeyReused   = problem.New(problem.Invalid, "idempotency-key-reused", "This Idempotency-Key came with another request")
	ErrInProgress  = problem.New(problem.Conflict, "request-in-progress", "The first request with this Idempotency-Key is under way").RetryAfter(time.Second)
)

// Problems declares them, for operations that take a key.
var Problems = rest.Problems(ErrKeyRequired, ErrKeyReused, ErrInProgress)

// Keep is how long an answer is repeated.
const Keep = 24 * time.Hour

// Answer is what the first request was told.
type Answer struct {
	Status   int
	Body     json.RawMessage
	Repeated bool
}

var hashKeys []string

// UseKeys sets the keys of Hash, for the process: what is kept is hashed with the first, all are believed.
func UseKeys(keys ...string) { hashKeys = keys }

// Hashes are those of one text, by each of the keys.
type Hashes [][]byte

// Kept is the one that is stored.
func (h Hashes) Kept() []byte { return h[0] }

// Are reports whether what was stored is one of them.
func (h Hashes) Are(stored []byte) bool {
	return slices.ContainsFunc(h, func(hash []byte) bool { return hmac.Equal(hash, stored) })
}

// Hash is the keyed hash (HMAC-SHA256, see UseKeys) of a request body, so that
// stored keys tell nothing about what was asked.
func Hash(body any) (Hashes, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("idempotency: %w", err)
	}
	hashes := make(Hashes, 0, len(hashKeys))
	for _, key := range hashKeys {
		m := hmac.New(sha256.New, []byte(key))
		m.Write(data)
		hashes = append(hashes, m.Sum(nil))
	}
	return hashes, nil
}

// CheckKey returns ErrKeyRequired, or 422 for a key that is not 1 to 255
// characters of UTF-8.
func CheckKey(key string) error {
	if key == "" {
		return ErrKeyRequired
	}
	if !utf8.ValidString(key) || utf8.RuneCountInString(key) > 255 {
		return problem.InvalidField("header.Idempotency-Key", problem.CodeTooLong, "1 to 255 characters of UTF-8")
	}
	return nil
}

// Do runs fn in a transaction and keeps its answer for a day with (scope,
// key). The same key and body gets that answer again without fn; another body
// ErrKeyReused; a request that comes while the first is under way
// ErrInProgress. An error of fn keeps nothing. fn calls nothing outside the
// database.
func Do(ctx context.Context, db *pgxpool.Pool, scope, key string, body any, fn func(tx pgx.Tx) (status int, answer any, err error)) (Answer, error) {
	if err := CheckKey(key); err != nil {
		return Answer{}, err
	}
	hash, err := Hash(body)
	if err != nil {
		return Answer{}, err
	}
	var out Answer
	err = pg.InTx(ctx, db, func(tx pgx.Tx) error {
		out = Answer{}
		// The lock is held while the first request runs, and only so long.
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))`, "idempotency/"+scope+"/"+key).Scan(&mine); err != nil {
			return fmt.Errorf("idempotency: %w", err)
		}
		if !mine {
			return ErrInProgress
		}
		var first []byte
		err := tx.QueryRow(ctx, `
			SELECT body_hash, status, answer FROM idempotency_keys
			WHERE scope = $1 AND key = $2 AND created_at > now() - $3::interval`, scope, key, Keep).Scan(&first, &out.Status, &out.Body)
		switch {
		case err == nil && hash.Are(first):
			out.Repeated = true
			return nil
		case err == nil:
			return ErrKeyReused
		case err != pgx.ErrNoRows:
			return fmt.Errorf("idempotency: %w", err)
		}
		status, answer, err := fn(tx)
		if err != nil {
			return err
		}
		data, err := json.Marshal(answer)
		if err != nil {
			return fmt.Errorf("idempotency: %w", err)
		}
		out = Answer{Status: status, Body: data}
		_, err = tx.Exec(ctx, `
			INSERT INTO idempotency_keys (scope, key, body_hash, status, answer) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (scope, key) DO UPDATE SET body_hash = $3, status = $4, answer = $5, created_at = now()`,
			scope, key, hash.Kept(), status, data)
		if err != nil {
			return fmt.Errorf("idempotency: %w", err)
		}
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	return out, nil
}

// Prune forgets answers older than Keep.
func Prune(ctx context.Context, db *pgxpool.Pool) error {
	return pg.Prune(ctx, db, `DELETE FROM idempotency_keys WHERE (scope, key) IN (
		SELECT scope, key FROM idempotency_keys WHERE created_at < now() - $2::interval ORDER BY created_at LIMIT $1)`, Keep)
}
