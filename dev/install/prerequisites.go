package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// prerequisite is a program that the user brings, since no Debian package has
// the version that is needed.
type prerequisite struct {
	name string
	args []string // print the version
	min  int      // of the first number, or of the second where it starts with "1."
	get  string
}

var prerequisites = []prerequisite{
	{"go", []string{"version"}, 26, "Go 1.26 or newer, from go.dev/dl"},
	{"java", []string{"-version"}, 17, "Java 17 or newer: apt-get install openjdk-17-jre-headless"},
	{"node", []string{"--version"}, 20, "Node 20 or newer, from nodejs.org"},
	{"npm", []string{"--version"}, 1, "npm, which comes with Node 20 from nodejs.org"},
	{"make", []string{"--version"}, 1, "make: apt-get install make"},
	{"git", []string{"--version"}, 1, "git: apt-get install git"},
}

var versionNumber = regexp.MustCompile(`(\d+)(?:\.(\d+))?`)

// major reads the version out of what a program printed about itself: the 26
// of "go1.26.1", the 17 of `openjdk version "17.0.2"`, the 8 of Java's "1.8.0".
func major(text string) int {
	m := versionNumber.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	first, _ := strconv.Atoi(m[1])
	if second, err := strconv.Atoi(m[2]); err == nil && first == 1 {
		return second
	}
	return first
}

// Prerequisites returns an error with one line for each program that is
// missing or too old.
func Prerequisites(ctx context.Context) error {
	var missing []error
	for _, p := range prerequisites {
		cmd := exec.CommandContext(ctx, p.name, p.args...)
		cmd.Dir = os.TempDir() // outside the clone, where go.mod could make go fetch another toolchain
		out, err := cmd.CombinedOutput()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			missing = append(missing, fmt.Errorf("%s is missing; needed: %s", p.name, p.get))
		case err != nil:
			missing = append(missing, fmt.Errorf("%s does not run (%v); needed: %s", p.name, err, p.get))
		case major(string(out)) < p.min && p.min > 1:
			first, _, _ := strings.Cut(string(out), "\n")
			missing = append(missing, fmt.Errorf("%s is too old (%s); needed: %s", p.name, first, p.get))
		}
	}
	return errors.Join(missing...)
}
