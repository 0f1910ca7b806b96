package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stampede-shop/stampede/drop"
)

// What decides besides the shop's secret.
const (
	BeaconDrand  = "drand"  // a round of Quicknet that is told after the entries are closed
	BeaconCommit = "commit" // nothing: the shop could have influenced the order by choosing among secrets, or entries
)

// Rules are what of a drop's rules the order depends on.
type Rules struct {
	OpensAt time.Time `json:"opens_at"`
	Beacon  string    `json:"beacon"`
	Chain   string    `json:"chain,omitempty"`
	Round   uint64    `json:"round,omitempty"`
	HeadKey Hex       `json:"head_key,omitempty"` // the Ed25519 key that signs the log's heads; none: scheduled before there was one
}

// Document is a drop's proof. What is not known yet is null or empty.
type Document struct {
	Drop       string `json:"drop"`
	State      string `json:"state"`
	Rules      string `json:"rules" doc:"JSON, byte for byte as it was committed to; its head_key signs the heads (Ed25519)"`
	Commitment Hex    `json:"commitment" doc:"SHA-256 of drop, rules and secret, each after its length in 8 bytes"`
	Heads      []Head `json:"heads" nullable:"false" doc:"The log of entries as it grew; the last one is what was frozen"`

	N         *uint64 `json:"n" nullable:"true" doc:"Entries when it was opened: their order is drawn"`
	Root      Hex     `json:"root,omitempty" doc:"Of those entries"`
	Secret    Hex     `json:"secret,omitempty" doc:"What the shop had committed to"`
	Signature Hex     `json:"beacon_signature,omitempty" doc:"Of the beacon's round; its SHA-256 is the randomness"`
	Seed      Hex     `json:"seed,omitempty" doc:"SHA-256(secret ‖ randomness ‖ root ‖ n in 8 bytes)"`
}

// Result is what a check has found.
type Result struct {
	Entries   int // in the log, those that came after the opening included
	Heads     int
	Key       Hex      // that the rules name, and that has signed every head; nil: they name none
	Positions []uint64 // of the entries before the opening, by their place in the log; nil before it
	Notes     []string // what can be checked and is right, but should be known
}

// Check recomputes all that a drop has published: the heads from the leaves, the commitment, the beacon, the seed, and
// every position. An error says what is wrong.
func Check(d Document, leaves []Hex) (r Result, err error) {
	r.Entries, r.Heads = len(leaves), len(d.Heads)
	var rules Rules
	if err := json.Unmarshal([]byte(d.Rules), &rules); err != nil {
		return r, fmt.Errorf("the rules cannot be read: %w", err)
	}
	if err := checkHeads(d, rules.HeadKey, leaves); err != nil {
		return r, err
	}
	if r.Key = rules.HeadKey; r.Key == nil {
		r.Notes = append(r.Notes, "the rules name no key: whoever shows this log could have signed its heads with any")
	}
	if d.N == nil {
		r.Notes = append(r.Notes, "it is not open yet: only the log of entries could be checked")
		return r, nil
	}
	root, err := rootOf(leaves, *d.N)
	switch {
	case err != nil:
		return r, err
	case !same(root[:], d.Root):
		return r, errors.New("the frozen root is not that of the first n leaves")
	case len(d.Heads) == 0 || !same(d.Heads[len(d.Heads)-1].Root, d.Root):
		return r, errors.New("nobody has signed the frozen root")
	}
	if d.Seed == nil {
		r.Notes = append(r.Notes, "the order is being drawn: the secret is not revealed yet")
		return r, nil
	}
	if len(d.Secret) != 32 {
		return r, errors.New("the secret is missing")
	}
	if want := drop.Commitment(d.Drop, []byte(d.Rules), [32]byte(d.Secret)); !same(want[:], d.Commitment) {
		return r, errors.New("the secret is not the one that was committed to, or the rules were changed")
	}
	beacon, err := checkBeacon(d, rules, &r)
	if err != nil {
		return r, err
	}
	seed := drop.Seed([32]byte(d.Secret), beacon, root, *d.N)
	if !same(seed[:], d.Seed) {
		return r, errors.New("the seed is not what follows from secret, beacon, root and n")
	}
	r.Positions = drop.Positions(*d.N, seed)
	return r, nil
}

// checkHeads holds the heads to the leaves, and to the key that the rules have named before anybody entered, if they name one: a key
// that only stands beside its signatures says nothing of who has signed.
func checkHeads(d Document, key Hex, leaves []Hex) error {
	tree := NewTree(false)
	for i, h := range d.Heads {
		if err := h.Check(d.Drop); err != nil {
			return fmt.Errorf("head of %d entries: %w", h.Size, err)
		}
		if key != nil && !same(h.Key, key) {
			return fmt.Errorf("head of %d entries: it was signed by another key than the rules name", h.Size)
		}
		if h.Size < tree.Size() || h.Size > uint64(len(leaves)) || i > 0 && h.At.Before(d.Heads[i-1].At) {
			return fmt.Errorf("head of %d entries: out of order, or there are fewer leaves", h.Size)
		}
		for tree.Size() < h.Size {
			if err := tree.Add(leaves[tree.Size()]); err != nil {
				return err
			}
		}
		if root := tree.Root(); !same(root[:], h.Root) {
			return fmt.Errorf("head of %d entries: the leaves are others now", h.Size)
		}
	}
	return nil
}

func rootOf(leaves []Hex, n uint64) ([32]byte, error) {
	if n > uint64(len(leaves)) {
		return [32]byte{}, errors.New("there are fewer leaves than n")
	}
	tree := NewTree(false)
	for _, leaf := range leaves[:n] {
		if err := tree.Add(leaf); err != nil {
			return [32]byte{}, err
		}
	}
	return tree.Root(), nil
}

// checkBeacon gives the randomness that the rules fixed beforehand.
func checkBeacon(d Document, rules Rules, r *Result) ([]byte, error) {
	switch {
	case rules.Beacon == BeaconCommit:
		r.Notes = append(r.Notes, "no beacon: the shop could have influenced this")
		return nil, nil
	case rules.Beacon != BeaconDrand || rules.Chain != Quicknet.Hash:
		return nil, errors.New("the beacon is not known")
	}
	told := Quicknet.TimeOf(rules.Round)
	if !told.After(rules.OpensAt) {
		return nil, errors.New("the beacon's round was told before the entries were closed")
	}
	if frozen := d.Heads[len(d.Heads)-1].At; !frozen.Before(told) {
		r.Notes = append(r.Notes, "the last head was signed after the beacon's round was told: the shop could have influenced this")
	}
	randomness, err := Quicknet.Check(rules.Round, d.Signature)
	return randomness[:], err
}
