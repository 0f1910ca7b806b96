package main

import (
	"fmt"
	"regexp"
	"strings"
)

// part replaces what stands between the markers of a name with body. Markers
// are comments of the file's own language:
//
//	# generated: targets
//	…
//	# end
//
// In Markdown they are <!-- generated: targets --> and <!-- end -->, and what is
// between them may be a part of a line.
func part(text, name, body string) (string, error) {
	for _, m := range []struct{ begin, end string }{
		{`(?m)^[ \t]*(#|//) generated: ` + regexp.QuoteMeta(name) + `\n`, `(?m)^[ \t]*(#|//) end$`},
		{`<!-- generated: ` + regexp.QuoteMeta(name) + ` -->`, `<!-- end -->`},
	} {
		begin := regexp.MustCompile(m.begin).FindStringIndex(text)
		if begin == nil {
			continue
		}
		end := regexp.MustCompile(m.end).FindStringIndex(text[begin[1]:])
		if end == nil {
			return "", fmt.Errorf("the generated part %q has no end", name)
		}
		return text[:begin[1]] + body + text[begin[1]+end[0]:], nil
	}
	return "", fmt.Errorf("no marker of the generated part %q", name)
}

// lines joins lines as a block of their own between two Markdown markers.
func lines(list ...string) string { return "\n" + strings.Join(list, "\n") + "\n" }
