// Package proof is what a drop publishes so that anybody can check it: signed heads of the log of entries, the beacon, and
// the document that reveals how the order came about. The service makes it; the verifier, the auditor and tests check it.
package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/transparency-dev/merkle/compact"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Hex is bytes that JSON has in hexadecimal.
type Hex []byte

// MarshalText implements encoding.TextMarshaler.
func (h Hex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// Leaf is an entry in the log: H(entry ‖ H(account ‖ salt)), of the ids' 16 bytes. Without the salt nobody can tell whose it
// is.
func Leaf(entry, account [16]byte, salt []byte) [32]byte {
	who := sha256.Sum256(append(account[:], salt...))
	return sha256.Sum256(append(entry[:], who[:]...))
}

// Tree is a log of entries as RFC 6962 hashes it. The zero value is not one: NewTree.
type Tree struct {
	log    *compact.Range
	keeps  bool
	levels [][][sha256.Size]byte // from the leaves' hashes on, where proofs are wanted: 64 bytes a leaf
}

var factory = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// NewTree is an empty log. One that keeps its nodes can prove that an entry is in it.
func NewTree(keep bool) *Tree { return &Tree{log: factory.NewEmptyRange(0), keeps: keep} }

// Add appends a leaf.
func (t *Tree) Add(leaf []byte) error {
	hash := rfc6962.DefaultHasher.HashLeaf(leaf)
	if !t.keeps {
		return t.log.Append(hash, nil)
	}
	return t.log.Append(hash, func(id compact.NodeID, hash []byte) { // of each level from left to right
		if int(id.Level) == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[id.Level] = append(t.levels[id.Level], [sha256.Size]byte(hash))
	})
}

// Size is how many leaves it has.
func (t *Tree) Size() uint64 { return t.log.End() }

// Root is the hash of the log as it is.
func (t *Tree) Root() [32]byte {
	root, err := t.log.GetRootHash(nil)
	if err != nil || root == nil {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	return [32]byte(root)
}

// Inclusion proves that leaf idx is in the log as it was when it had size leaves, which is now or before: the hashes beside its
// way to the root, from below. The tree must keep its nodes.
func (t *Tree) Inclusion(idx, size uint64) ([]Hex, error) {
	if !t.keeps || size > t.Size() {
		return nil, fmt.Errorf("inclusion: of %d leaves there are %d", size, t.Size())
	}
	path, err := merkle.Inclusion(idx, size)
	if err != nil {
		return nil, fmt.Errorf("inclusion: %w", err)
	}
	hashes := make([][]byte, 0, len(path.IDs))
	for _, id := range path.IDs {
		hashes = append(hashes, t.levels[id.Level][id.Index][:])
	}
	hashes, err = path.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	if err != nil {
		return nil, fmt.Errorf("inclusion: %w", err)
	}
	out := make([]Hex, 0, len(hashes))
	for _, h := range hashes {
		out = append(out, h)
	}
	return out, nil
}

// Includes checks such a proof.
func Includes(leaf []byte, idx, size uint64, path []Hex, root []byte) error {
	hashes := make([][]byte, 0, len(path))
	for _, h := range path {
		hashes = append(hashes, h)
	}
	return merkle.VerifyInclusion(rfc6962.DefaultHasher, idx, size, rfc6962.DefaultHasher.HashLeaf(leaf), hashes, root)
}

// Head is the shop's word of how its log was at a time. The key that checks it stands with it, so that it can be checked
// when the shop signs with another one.
type Head struct {
	Size      uint64    `json:"size"`
	Root      Hex       `json:"root" doc:"Of the log's first size leaves, RFC 6962"`
	At        time.Time `json:"at"`
	Key       Hex       `json:"key" doc:"The Ed25519 key that checks the signature: head_key of the rules, where they name one"`
	Signature Hex       `json:"signature"`
}

// HeadKey is the key that signs heads, derived from a setting of the shop.
func HeadKey(setting []byte) ed25519.PrivateKey {
	seed, err := hkdf.Key(sha256.New, setting, nil, "stampede heads", ed25519.SeedSize)
	if err != nil {
		panic("proof: " + err.Error()) // 32 bytes are always to be had
	}
	return ed25519.NewKeyFromSeed(seed)
}

func (h Head) text(drop string) []byte {
	return fmt.Appendf(nil, "stampede head 1\n%s\n%d\n%x\n%d\n", drop, h.Size, []byte(h.Root), h.At.UnixMilli())
}

// SignHead signs how a drop's log is. The time counts to the millisecond.
func SignHead(key ed25519.PrivateKey, drop string, size uint64, root [32]byte, at time.Time) Head {
	h := Head{Size: size, Root: root[:], At: at.UTC().Truncate(time.Millisecond), Key: Hex(key.Public().(ed25519.PublicKey))}
	h.Signature = ed25519.Sign(key, h.text(drop))
	return h
}

// Check tells whether the head was signed by the key that it names, whosever that is.
func (h Head) Check(drop string) error {
	if len(h.Key) != ed25519.PublicKeySize || !ed25519.Verify(ed25519.PublicKey(h.Key), h.text(drop), h.Signature) {
		return errors.New("the signature is wrong")
	}
	return nil
}

func same(a, b []byte) bool { return bytes.Equal(a, b) }
