package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
