package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"
)

// copied are the files and folders that the Dockerfile's stages take from the context, by
// stage, read and filled in by BuildKit's own code.
func copied(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "deploy/Dockerfile"))
	require.NoError(t, err)
	file, err := parser.Parse(bytes.NewReader(text))
	require.NoError(t, err)
	stages, _, err := instructions.Parse(file.AST, nil)
	require.NoError(t, err)
	sources := map[string][]string{}
	for _, stage := range stages {
		args := []string{"SERVICE=orders"}
		lex := shell.NewLex(file.EscapeToken)
		expand := func(word string) (string, error) {
			word, _, err := lex.ProcessWord(word, shell.EnvsFromSlice(args))
			return word, err
		}
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.ArgCommand:
				for _, a := range c.Args {
					if a.Value != nil {
						args = append(args, a.Key+"="+*a.Value)
					}
				}
			case *instructions.CopyCommand:
				require.NoError(t, c.Expand(expand), "%s: %s", stage.Name, c)
				if c.From == "" {
					sources[stage.Name] = append(sources[stage.Name], c.SourcePaths...)
				}
			}
		}
	}
	require.NotEmpty(t, sources["services"])
	return sources
}

// sent are the files that .dockerignore lets into the context.
func sent(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.Open(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	defer text.Close()
	patterns, err := ignorefile.ReadAll(text)
	require.NoError(t, err)
	ignored, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	files := map[string]bool{}
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	require.NoError(t, err)
	for file := range strings.Lines(string(out)) {
		file = strings.TrimSuffix(file, "\n")
		drop, err := ignored.MatchesOrParentMatches(file)
		require.NoError(t, err)
		files[file] = !drop
	}
	return files
}

// TestCopied: what an image is made of is in the context that the engine is given.
func TestCopied(t *testing.T) {
	t.Parallel()
	files := sent(t)
	for stage, sources := range copied(t) {
		for _, source := range sources {
			source = filepath.Clean(source)
			found := false
			for file, in := range files {
				if file != source && !strings.HasPrefix(file, source+"/") {
					continue
				}
				found = found || in
				if !in && !strings.HasSuffix(file, "_test.go") && !strings.Contains(file, "/testdata/") {
					t.Errorf("%s wants %s, .dockerignore keeps %s back", stage, source, file)
				}
			}
			require.True(t, found, "%s wants %s: no file of that name is sent", stage, source)
		}
	}
}

// TestCompiled: every package of ours that the services are made of, and every file that
// these embed, is copied to where they are compiled.
func TestCompiled(t *testing.T) {
	t.Parallel()
	sources := copied(t)["services"]
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=Dir,Module,GoFiles,EmbedFiles", "-tags=nodynamic",
		"./apps/...", "./audit", "./deploy/health")
	list.Dir = root
	list.Env = append(os.Environ(), "GOWORK=off")
	out, err := list.Output()
	require.NoError(t, err)
	absolute, err := filepath.Abs(root)
	require.NoError(t, err)
	packages := json.NewDecoder(bytes.NewReader(out))
	ours := 0
	for {
		var p struct {
			Dir                 string
			Module              *struct{ Main bool }
			GoFiles, EmbedFiles []string
		}
		err := packages.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if p.Module == nil || !p.Module.Main {
			continue
		}
		ours++
		for _, name := range slices.Concat(p.GoFiles, p.EmbedFiles) {
			file, err := filepath.Rel(absolute, filepath.Join(p.Dir, name))
			require.NoError(t, err)
			require.True(t, slices.ContainsFunc(sources, func(s string) bool { return strings.HasPrefix(file, filepath.Clean(s)+"/") }),
				"%s is compiled, and not copied", file)
		}
	}
	require.Greater(t, ours, 20)
}
