package main

import (
	"cmp"
	"context"

	"github.com/google/uuid"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/gather"
	"github.com/stampede-shop/stampede/kit/pg"
)

// mostLeaves is how many leaves of drops' logs are kept for proofs, at 64 bytes each: those of the drops that were asked for last.
// The log of a drop that has more is read for each batch of proofs.
const mostLeaves = 500_000

// EntryProof proves that an entry is in the log that was frozen, or, of one that came later, in the log as it was when it was last
// read: with that entry.
type EntryProof struct {
	EntryID   uuid.UUID   `json:"entry_id" format:"uuid"`
	AccountID uuid.UUID   `json:"account_id" format:"uuid"`
	Salt      proof.Hex   `json:"salt"`
	Leaf      proof.Hex   `json:"leaf" doc:"H(entry ‖ H(account ‖ salt)), SHA-256, of the ids' 16 bytes"`
	Idx       int64       `json:"idx"`
	Size      uint64      `json:"size" doc:"Of the log that root and path are of: n, or for who came after the opening at least idx + 1"`
	Root      proof.Hex   `json:"root"`
	Path      []proof.Hex `json:"path" nullable:"false" doc:"RFC 6962: the hashes beside the leaf's way to the root, from below"`
}

// proving is an account that wants the proof of its entry.
type proving struct {
	slug    string
	account uuid.UUID
}

// proveAll proves the entries of all who ask together: of each drop by three statements, or two once its log was read.
func (s *service) proveAll(ctx context.Context, batch []proving) ([]gather.Answer[EntryProof], error) {
	answers := make([]gather.Answer[EntryProof], len(batch))
	drops := map[string][]int{}
	for i, p := range batch {
		drops[p.slug] = append(drops[p.slug], i)
	}
	for slug, members := range drops {
		if err := s.proveOf(ctx, slug, batch, members, answers); err != nil {
			for _, i := range members {
				answers[i].Err = cmp.Or(answers[i].Err, err)
			}
		}
	}
	return answers, nil
}

// proveOf does the members of a batch that are of one drop.
func (s *service) proveOf(
	ctx context.Context, slug string, batch []proving, members []int, answers []gather.Answer[EntryProof],
) error {
	d, err := dropBySlug(ctx, s.store.db, slug) // as it is: the log may have been frozen just now
	if err != nil {
		return err
	}
	there, err := entriesOf(ctx, s.store.db, d.ID, pg.Column(members, func(i int) uuid.UUID { return batch[i].account }), false)
	if err != nil {
		return err
	}
	var least int64 // leaves that are needed
	for _, i := range members {
		e, ok := there[batch[i].account]
		switch {
		case !ok:
			answers[i].Err = ErrEntryNotFound
		case d.N == nil: // heads are what tells of a log that grows
			answers[i].Err = ErrDropNotOpen.With("opens_at", d.OpensAt)
		default:
			least = max(least, *d.N, e.Idx+1)
		}
	}
	if least == 0 {
		return nil
	}
	t, err := s.treeOf(ctx, d.ID, uint64(least))
	if err != nil {
		return err
	}
	for _, i := range members {
		if answers[i].Err == nil {
			answers[i].Value, answers[i].Err = there[batch[i].account].prove(d, t)
		}
	}
	return nil
}

// treeOf is a drop's log, with so many leaves at least. A log only grows, so what was read of it is not read again. Batches of proofs
// come one at a time (gather), and so do those who grow a tree.
func (s *service) treeOf(ctx context.Context, of uuid.UUID, least uint64) (*proof.Tree, error) {
	t, ok := s.trees.GetIfPresent(of)
	if !ok {
		t = proof.NewTree(true)
	}
	if t.Size() >= least {
		return t, nil
	}
	err := grow(ctx, s.store.db, of, t)
	s.trees.Set(of, t) // also what was read before an error
	return t, err
}

// prove proves that an entry is in its drop's log.
func (e Entry) prove(d Drop, t *proof.Tree) (EntryProof, error) {
	size, root := uint64(*d.N), proof.Hex(d.Root)
	if e.Idx >= *d.N { // it came after the opening
		all := t.Root()
		size, root = t.Size(), all[:]
	}
	path, err := t.Inclusion(uint64(e.Idx), size)
	return EntryProof{
		EntryID: e.ID, AccountID: e.AccountID, Salt: e.Salt, Leaf: e.Leaf, Idx: e.Idx, Size: size, Root: root, Path: path,
	}, err
}
