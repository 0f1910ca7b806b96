package proof

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	bls "github.com/consensys/gnark-crypto/ecc/bls12-381"
)

// Chain is a network of drand that tells random numbers round by round, and its key, by which everybody can check them.
type Chain struct {
	Hash    string
	key     string // of G2, compressed
	genesis int64
	period  int64 // seconds
}

// Quicknet is the League of Entropy's network of a round each 3 seconds; the figures are those of its own description
// (api.drand.sh/v2/beacons/quicknet/info).
var Quicknet = Chain{
	Hash: "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971",
	key: "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d106451" +
		"0d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a",
	genesis: 1692803367,
	period:  3,
}

// RoundAt is the first round that is told at a time or later.
func (c Chain) RoundAt(at time.Time) uint64 {
	since := at.Unix() - c.genesis
	if at.Nanosecond() > 0 {
		since++
	}
	return uint64(max(0, since+c.period-1)/c.period) + 1
}

// BeaconAfter is how long after a drop's opening the round is told that decides, at least: longer than it takes to freeze the
// entries, which begins within a second.
const BeaconAfter = 3 * time.Second

// Decides is the round that decides the order of a drop that opens at a time. Quicknet's rounds are told when a minute's seconds are a
// multiple of 3: of an opening at a whole minute it is told 3 seconds after it, of others up to 6.
func (c Chain) Decides(opens time.Time) uint64 { return c.RoundAt(opens.Add(BeaconAfter)) }

// TimeOf is when a round is told, at the earliest.
func (c Chain) TimeOf(round uint64) time.Time {
	return time.Unix(c.genesis+int64(round-1)*c.period, 0).UTC()
}

// suite says how the network hashes to its curve (RFC 9380; drand's scheme bls-unchained-g1-rfc9380).
const suite = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"

// Check tells whether a round's signature is the network's. The round's randomness is the signature's SHA-256.
func (c Chain) Check(round uint64, signature []byte) (randomness [32]byte, err error) {
	raw, err := hex.DecodeString(c.key)
	if err != nil {
		return randomness, fmt.Errorf("the chain's key: %w", err)
	}
	var key bls.G2Affine
	if _, err := key.SetBytes(raw); err != nil {
		return randomness, fmt.Errorf("the chain's key: %w", err)
	}
	var signed bls.G1Affine
	if n, err := signed.SetBytes(signature); err != nil || n != len(signature) || signed.IsInfinity() {
		return randomness, errors.New("the beacon's signature is none")
	}
	message := sha256.Sum256(binary.BigEndian.AppendUint64(nil, round))
	point, err := bls.HashToG1(message[:], []byte(suite))
	if err != nil {
		return randomness, fmt.Errorf("the beacon's round: %w", err)
	}
	_, _, _, generator := bls.Generators()
	generator.Neg(&generator)
	right, err := bls.PairingCheck([]bls.G1Affine{signed, point}, []bls.G2Affine{generator, key})
	if err != nil || !right {
		return randomness, errors.New("the beacon's signature is wrong")
	}
	return sha256.Sum256(signature), nil
}
