package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/kit/pg"
)

// synonymGroups are the shop's synonyms as they were written.
func synonymGroups(ctx context.Context, q pg.Querier) ([][]string, error) {
	rows, err := q.Query(ctx, `SELECT words FROM synonyms ORDER BY position LIMIT $1`, maxSynonymGroups)
	if err != nil {
		return nil, fmt.Errorf("load synonyms: %w", err)
	}
	groups, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return nil, fmt.Errorf("load synonyms: %w", err)
	}
	return groups, nil
}

// loadSynonyms are the shop's synonyms as search compares them.
func loadSynonyms(ctx context.Context, q pg.Querier) (synonyms, error) {
	groups, err := synonymGroups(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make(synonyms, len(groups))
	for i, group := range groups {
		for _, w := range group {
			out[i] = append(out[i], searchable(w))
		}
	}
	return out, nil
}

// saveSynonyms puts groups in the place of all that there are. Of two who save at once the later one has the last word.
func saveSynonyms(ctx context.Context, tx pgx.Tx, groups [][]string) error {
	var batch pgx.Batch
	batch.Queue(`LOCK TABLE synonyms IN SHARE ROW EXCLUSIVE MODE`)
	batch.Queue(`DELETE FROM synonyms`)
	for i, group := range groups {
		batch.Queue(`INSERT INTO synonyms (position, words) VALUES ($1, $2)`, i, group)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("save synonyms: %w", err)
	}
	return renewCatalogue(ctx, tx)
}
