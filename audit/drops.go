package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/stampede-shop/stampede/drop/proof"
)

// What drops says about a drop and its entries.
type (
	published struct {
		ID              uuid.UUID
		Slug            string
		State           string
		Rules           string
		Commitment      []byte
		Entered         int64
		N               *int64
		Root            []byte
		BeaconSignature []byte
		Secret          []byte
		Seed            []byte
		Opened          bool
	}
	entry struct {
		ID        uuid.UUID
		AccountID *uuid.UUID // null: forgotten
		Idx       int64
		Position  *int64
		Salt      []byte
		Leaf      []byte
	}
)

// judgeDrop recomputes what a drop has published, from its entries in the order of their numbers.
func judgeDrop(p published, heads []proof.Head, entries []entry) (found []finding) {
	add := func(format string, a ...any) { found = append(found, finding{what: fmt.Sprintf(format, a...)}) }
	if int64(len(entries)) != p.Entered {
		add("%d entries, %d were counted", len(entries), p.Entered)
	}
	leaves := make([]proof.Hex, 0, len(entries))
	for i, e := range entries {
		if e.Idx != int64(i) {
			add("entry %d stands at %d of the log", e.Idx, i)
			return found
		}
		if e.AccountID != nil {
			if leaf := proof.Leaf(e.ID, *e.AccountID, e.Salt); string(leaf[:]) != string(e.Leaf) {
				add("the leaf of entry %d is another's", e.Idx)
			}
		}
		leaves = append(leaves, e.Leaf)
	}
	d := proof.Document{
		Drop: p.Slug, State: p.State, Rules: p.Rules, Commitment: p.Commitment, Heads: heads, Root: p.Root, Secret: p.Secret,
		Signature: p.BeaconSignature, Seed: p.Seed,
	}
	if p.N != nil {
		n := uint64(*p.N)
		d.N = &n
	}
	r, err := proof.Check(d, leaves)
	if err != nil {
		add("its proof is wrong: %v", err)
		return found
	}
	for i, e := range entries {
		want := int64(i)
		if i < len(r.Positions) {
			want = int64(r.Positions[i])
		}
		if p.Opened && e.Position == nil || p.Seed != nil && e.Position != nil && *e.Position != want { // they are written before it opens
			add("entry %d has not position %d", i, want)
		}
	}
	return found
}

// into keeps rows.
func into[T any](list *[]T) func(T) error {
	return func(row T) error {
		*list = append(*list, row)
		return nil
	}
}

// auditDrops holds each drop to its proof, its claims to its calls, and what is held of its lots to its claims.
func auditDrops(ctx context.Context, dbs databases, _ deadlines, r *report) error {
	var all []published
	if err := each(ctx, dbs, "drops", dropsSQL, nil, into(&all)); err != nil {
		return err
	}
	for _, p := range all {
		r.counts["drops "+p.State]++
		of := pgx.NamedArgs{"drop": p.ID}
		var heads []proof.Head
		if err := each(ctx, dbs, "drops", dropHeadsSQL, of, into(&heads)); err != nil {
			return err
		}
		var entries []entry
		if err := each(ctx, dbs, "drops", dropEntriesSQL, of, into(&entries)); err != nil {
			return err
		}
		r.counts["drop entries"] += int64(len(entries))
		r.add("drop "+p.Slug, judgeDrop(p, heads, entries)...)
		if err := auditHolders(ctx, dbs, p, r); err != nil {
			return err
		}
	}
	return auditCalls(ctx, dbs, r)
}

// auditHolders demands a claim behind everything that is held of a drop's lots. Of accounts that are forgotten nobody can tell.
func auditHolders(ctx context.Context, dbs databases, p published, r *report) error {
	type holder struct{ Drop, Account, SKU string }
	var holders []holder
	args := pgx.NamedArgs{"drop": p.ID, "now": r.now}
	if err := each(ctx, dbs, "inventory", lotHoldersSQL, args, into(&holders)); err != nil {
		return err
	}
	// A claim is written before inventory is asked: whatever was held before is there now.
	claims, err := known[string](ctx, dbs, "drops", dropClaimsSQL, pgx.NamedArgs{"drop": p.ID})
	if err != nil {
		return err
	}
	forgotten, err := column[int64](ctx, dbs, "drops", dropForgottenSQL, pgx.NamedArgs{"drop": p.ID})
	if err != nil {
		return err
	}
	for _, h := range holders {
		if !claims[h.Drop+" "+h.Account+" "+h.SKU] && forgotten[0] == 0 {
			r.add("drop "+p.Slug, finding{what: fmt.Sprintf("account %s has SKU %s without a claim", h.Account, h.SKU)})
		}
	}
	return nil
}

// auditCalls looks for claims that should not be, or were passed over.
func auditCalls(ctx context.Context, dbs databases, r *report) error {
	type called struct {
		Slug, SKU    string
		Called, Told int64
	}
	if err := each(ctx, dbs, "drops", dropCalledSQL, nil, func(c called) error {
		r.add("drop "+c.Slug, finding{what: fmt.Sprintf("SKU %s is called up to %d, and its calls say %d", c.SKU, c.Called, c.Told)})
		return nil
	}); err != nil {
		return err
	}
	type uncalled struct {
		Slug, SKU        string
		EntryID          uuid.UUID
		Position, Called int64
	}
	if err := each(ctx, dbs, "drops", dropUncalledSQL, nil, func(c uncalled) error {
		what := fmt.Sprintf("entry %s has claimed SKU %s at position %d, called are %d", c.EntryID, c.SKU, c.Position, c.Called)
		r.add("drop "+c.Slug, finding{what: what})
		return nil
	}); err != nil {
		return err
	}
	type passed struct {
		Slug, SKU       string
		EntryID         uuid.UUID
		Position, Other int64
		Since           time.Time
	}
	return each(ctx, dbs, "drops", dropPassedSQL, nil, func(p passed) error {
		what := fmt.Sprintf("entry %s stood by for SKU %s at position %d, and %d was served before", p.EntryID, p.SKU, p.Position, p.Other)
		r.add("drop "+p.Slug, finding{what, p.Since, 0})
		return nil
	})
}
