package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// node is a node of a plan, as auto_explain writes it.
type node struct {
	Type      string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	Index     string  `json:"Index Name"`
	Condition string  `json:"Index Cond"`
	Recheck   string  `json:"Recheck Cond"`
	Filter    string  `json:"Filter"`
	Rows      float64 `json:"Actual Rows"` // of one loop
	Loops     float64 `json:"Actual Loops"`
	Removed   float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Hit       int64   `json:"Shared Hit Blocks"`
	Read      int64   `json:"Shared Read Blocks"`
	Plans     []node  `json:"Plans"`
}

// reads is how many rows, or entries of an index, were read.
func (n node) reads() int64 {
	var own float64
	switch n.Type {
	case "Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan", "Tid Scan", "Sample Scan":
		own = (n.Rows + n.Removed + n.Rechecked) * n.Loops
	}
	sum := int64(own)
	for _, p := range n.Plans {
		sum += p.reads()
	}
	return sum
}

// print writes the plan for people.
func (n node) print(w io.Writer, indent string) {
	fmt.Fprintf(w, "%s%s", indent, n.Type)
	if n.Relation != "" {
		fmt.Fprintf(w, " on %s", n.Relation)
	}
	if n.Index != "" {
		fmt.Fprintf(w, " by %s", n.Index)
	}
	fmt.Fprintf(w, ", %.0f rows x %.0f", n.Rows, n.Loops)
	if n.Removed > 0 {
		fmt.Fprintf(w, ", %.0f removed by %s", n.Removed, n.Filter)
	}
	if c := n.Condition + n.Recheck; c != "" {
		fmt.Fprintf(w, ", %s", c)
	}
	fmt.Fprintln(w)
	for _, p := range n.Plans {
		p.print(w, indent+"  ")
	}
}

// run is a statement as it was run.
type run struct {
	database string // its service
	text     string
	ms       float64
	reads    int64
	blocks   int64
	plan     node
}

// follow reads the server's log, in JSON, from offset on and hands every statement that was explained to fn. It returns
// where it ended.
func follow(file string, offset int64, fn func(run)) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return offset, err
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return offset, err
	}
	for r := bufio.NewReaderSize(f, 1<<20); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return offset, nil // what is not whole yet is read the next time
		}
		if err != nil {
			return offset, err
		}
		offset += int64(len(line))
		if !bytes.Contains(line, []byte("plan:")) {
			continue
		}
		var entry struct {
			Database string `json:"dbname"`
			Message  string `json:"message"`
		}
		if json.Unmarshal(line, &entry) != nil {
			continue
		}
		head, plan, ok := strings.Cut(entry.Message, " ms  plan:\n")
		if !ok {
			continue
		}
		var explained struct {
			Text string `json:"Query Text"`
			Plan node   `json:"Plan"`
		}
		if err := json.Unmarshal([]byte(plan), &explained); err != nil {
			return offset, fmt.Errorf("plan: %w", err)
		}
		database, _, _ := strings.Cut(entry.Database, "_") // of orders_small_4711_1, a copy of the smaller one: orders
		seen := run{database: database, text: explained.Text, plan: explained.Plan}
		_, _ = fmt.Sscanf(strings.TrimPrefix(head, "duration: "), "%f", &seen.ms)
		seen.reads, seen.blocks = seen.plan.reads(), seen.plan.Hit+seen.plan.Read
		fn(seen)
	}
}
