// Command verify checks a drop from what it has published: go run ./drop/verify http://localhost:8000/api/v1/drops/SLUG.
// It recomputes the log of entries, the seed and every position, and ends with 1 when anything is wrong.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/stampede-shop/stampede/drop/proof"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "verify wants the address of a drop, such as http://localhost:8000/api/v1/drops/spring")
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	err := verify(ctx, os.Stdout, strings.TrimRight(os.Args[1], "/"))
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "wrong:", err)
		os.Exit(1)
	}
}

func verify(ctx context.Context, out io.Writer, at string) error {
	var d proof.Document
	if err := get(ctx, at+"/proof", &d); err != nil {
		return err
	}
	var leaves []proof.Hex
	for {
		var page struct {
			Leaves []proof.Hex `json:"leaves"`
		}
		if err := get(ctx, fmt.Sprintf("%s/leaves?from=%d", at, len(leaves)), &page); err != nil {
			return err
		}
		if len(page.Leaves) == 0 {
			break
		}
		leaves = append(leaves, page.Leaves...)
	}
	r, err := proof.Check(d, leaves)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is %s: %d entries, %d signed heads, all right\n", d.Drop, d.State, r.Entries, r.Heads)
	if r.Key != nil {
		fmt.Fprintf(out, "the heads' key is the one that the rules name: %x\n", []byte(r.Key))
	}
	if r.Positions != nil {
		fmt.Fprintf(out, "commitment, beacon, seed and all %d positions recomputed\n", len(r.Positions))
	}
	for _, note := range r.Notes {
		fmt.Fprintln(out, "note:", note)
	}
	return nil
}

func get(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return nil
}
