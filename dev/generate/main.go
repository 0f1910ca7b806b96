// Command generate writes what follows from dapr/dapr.yaml (which apps and
// edges there are), deploy/routes.yaml (what is public), components/ and the
// code. It runs in the clone's root: make generate.
//
//	generate                writes
//	generate -check         writes nothing, names what is stale, and exits 1 when there is any
//	generate service NAME   makes a new service (make service NAME=returns), then writes
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	check := flag.Bool("check", false, "write nothing; fail when something is stale")
	flag.Parse()
	if err := run(ctx, ".", *check, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, check bool, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "service":
		if err := scaffold(root, args[1]); err != nil {
			return err
		}
		fmt.Printf("made apps/%s, its entry in dapr/dapr.yaml and its routes in deploy/routes.yaml; CONTRIBUTING.md says what is left to do\n", args[1])
	case len(args) > 0:
		return errors.New("usage: generate [-check] | generate service NAME")
	}
	files, err := everything(ctx, root)
	if err != nil {
		return err
	}
	var stale []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		have, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && bytes.Equal(have, files[name]) {
			continue
		}
		stale = append(stale, name)
		if check {
			continue
		}
		if err := write(filepath.Join(root, name), files[name]); err != nil {
			return err
		}
		fmt.Println("wrote", name)
	}
	if check && len(stale) > 0 {
		return fmt.Errorf("stale: %s: run make generate", strings.Join(stale, ", "))
	}
	return nil
}

// generated is a set of files by name from the root. A file that several
// generators write parts of is read once.
type generated struct {
	root  string
	files map[string][]byte
}

// text is a file as it is so far.
func (g *generated) text(name string) (string, error) {
	if text, ok := g.files[name]; ok {
		return string(text), nil
	}
	text, err := os.ReadFile(filepath.Join(g.root, name))
	return string(text), err
}

func (g *generated) put(name, text string) { g.files[name] = []byte(text) }

// part replaces the part of a file that stands between its markers, see part.
func (g *generated) part(file, name, body string) error {
	text, err := g.text(file)
	if err != nil {
		return err
	}
	if text, err = part(text, name, body); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	g.put(file, text)
	return nil
}

// everything makes all that is generated, in memory.
func everything(ctx context.Context, root string) (map[string][]byte, error) {
	s, err := readShop(ctx, root)
	if err != nil {
		return nil, err
	}
	g := &generated{root: root, files: map[string][]byte{}}
	for _, write := range []func(*generated) error{
		s.documents, s.events, s.problems, s.gateways, s.resiliency, s.scopes, s.accessLists, s.secrets, s.compose, s.lists, s.tables,
		s.settings, s.dashboards, s.helm,
		func(g *generated) error { return s.diagrams(ctx, g) },
	} {
		if err := write(g); err != nil {
			return nil, err
		}
	}
	return g.files, nil
}
