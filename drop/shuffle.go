// Package drop holds the rules of a drop, a sale to which more people come than
// there are units: in which order they are called, how many at a time, and how
// anybody can check it. It is pure, without I/O or a clock: the service,
// inventory, the simulation and the verifier share it.
package drop

import (
	"crypto/sha256"
	"encoding/binary"
)

// rounds of the shuffle, as many as Ethereum's consensus has (SHUFFLE_ROUND_COUNT).
const rounds = 90

// Seed is what decides the order: of the secret that the shop committed itself
// to, of a beacon that nobody could know before the entries were closed, and of
// the entries themselves, which nobody can add to afterwards. An empty beacon
// is one that the rules do without.
func Seed(secret [32]byte, beacon []byte, root [32]byte, n uint64) [32]byte {
	h := sha256.New()
	h.Write(secret[:])
	h.Write(beacon)
	h.Write(root[:])
	h.Write(binary.BigEndian.AppendUint64(nil, n))
	return [32]byte(h.Sum(nil))
}

// Commitment is published with the rules, before anybody enters, so that the
// secret can neither be chosen afterwards nor used with other rules. The length
// of each part stands before it: no two drops have the same text.
func Commitment(drop string, rules []byte, secret [32]byte) [32]byte {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(drop), rules, secret[:]} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return [32]byte(h.Sum(nil))
}

// Position is the place in the queue of the entry that came as number idx of n,
// both from 0. Nobody needs the list for it: a browser computes its own. It is
// compute_shuffled_index of Ethereum's consensus specification (phase 0), the
// "swap-or-not" shuffle of Hoang, Morris and Rogaway (2012). idx must be below n.
func Position(idx, n uint64, seed [32]byte) uint64 {
	for round := range uint8(rounds) {
		idx = swap(idx, n, pivot(seed, round, n), func(block uint32) [32]byte { return coins(seed, round, block) })
	}
	return idx
}

// Positions are those of all n entries.
func Positions(n uint64, seed [32]byte) []uint64 {
	if n == 0 {
		return nil
	}
	all := make([]uint64, n)
	for i := range all {
		all[i] = uint64(i)
	}
	tossed := make([][32]byte, n/256+1)
	known := make([]uint8, len(tossed)) // the round, from 1, that tossed[block] is of
	for round := range uint8(rounds) {
		p := pivot(seed, round, n)
		for i, idx := range all {
			all[i] = swap(idx, n, p, func(block uint32) [32]byte {
				if known[block] != round+1 {
					tossed[block], known[block] = coins(seed, round, block), round+1
				}
				return tossed[block]
			})
		}
	}
	return all
}

// swap is one round: idx and its mirror image about half the pivot change places
// if the coin of the higher one says so.
func swap(idx, n, pivot uint64, coins func(block uint32) [32]byte) uint64 {
	mirror := (pivot + n - idx) % n
	higher := max(idx, mirror)
	block := coins(uint32(higher / 256))
	if block[higher%256/8]>>(higher%8)&1 == 1 {
		return mirror
	}
	return idx
}

func pivot(seed [32]byte, round uint8, n uint64) uint64 {
	sum := sha256.Sum256(append(seed[:], round))
	return binary.LittleEndian.Uint64(sum[:8]) % n
}

// coins are a round's tosses for 256 neighbouring places.
func coins(seed [32]byte, round uint8, block uint32) [32]byte {
	return sha256.Sum256(binary.LittleEndian.AppendUint32(append(seed[:], round), block))
}
