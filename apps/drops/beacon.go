package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/stampede-shop/stampede/drop/proof"
	"github.com/stampede-shop/stampede/kit/problem"
)

// beacon tells the signature of a round of Quicknet; whether it is the network's is checked by who asks. Errors:
// problem.ErrUnavailable as long as it is not told.
type beacon interface {
	signature(ctx context.Context, round uint64) ([]byte, error)
}

// relay is an HTTP relay of drand. It need not be trusted: it can be late, not wrong.
type relay struct {
	http  *http.Client
	url   string
	limit time.Duration // of one request
}

const relayLimit = 2 * time.Second

// signature implements beacon.
func (r relay) signature(ctx context.Context, round uint64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	url := fmt.Sprintf("%s/%s/public/%d", r.url, proof.Quicknet.Hash, round)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := r.http.Do(req)
	if err != nil {
		return nil, problem.ErrUnavailable.Because(err)
	}
	defer res.Body.Close()
	var out struct {
		Signature proof.Hex `json:"signature"`
	}
	if res.StatusCode != http.StatusOK {
		return nil, problem.ErrUnavailable.Because(fmt.Errorf("beacon: %s", res.Status))
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, res.Body, 1<<16)).Decode(&out); err != nil {
		return nil, problem.ErrUnavailable.Because(errors.Join(errors.New("beacon: cannot be read"), err))
	}
	return out.Signature, nil
}

// heardFor is how long it is believed what was heard of the beacon, as long as no drop waits for it.
const heardFor = 30 * time.Second

// heard is what was heard of the beacon by this instance.
type heard struct {
	sync.Mutex
	at   time.Time
	last bool // the beacon was silent
}

// silent tells whether the beacon does not tell a round that it told a minute ago: by what was heard lately, or asked now. Whether the
// round is the network's is seen when one decides.
func (h *heard) silent(ctx context.Context, beacon beacon, now time.Time) bool {
	h.Lock()
	defer h.Unlock()
	if now.Sub(h.at).Abs() < heardFor {
		return h.last
	}
	_, err := beacon.signature(ctx, proof.Quicknet.RoundAt(now.Add(-time.Minute)))
	if ctx.Err() == nil { // else who asked is gone, which says nothing
		h.at, h.last = now, err != nil
	}
	return err != nil
}
