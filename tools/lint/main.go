// Command lint holds the linters of the house, and vet's own. It is run by go vet, which keeps what it found (make lint):
//
//	go vet -vettool=… ./...
//
// The list beside vet's is short: each of them has found something here.
package main

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/gostaticanalysis/nilerr"
	"github.com/kisielk/errcheck/errcheck"
	"github.com/nishanths/exhaustive/passes/exhaustive"
	"github.com/ryanrolds/sqlclosecheck/pkg/analyzer"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/suite/vet"
	"golang.org/x/tools/go/analysis/unitchecker"
	"honnef.co/go/tools/analysis/lint"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
)

// mistakes are those of stylecheck that are no matter of taste.
var mistakes = []string{"ST1005", "ST1008", "ST1017", "ST1018", "ST1019", "ST1020", "ST1021", "ST1022"}

func main() {
	must(exhaustive.Analyzer.Flags.Set("d", "true")) // a default is an answer too
	must(exhaustive.Analyzer.Flags.Set("typeonly", "stampede"))
	hush(errcheck.Analyzer, unheard)
	hush(bodyclose.Analyzer, nil)
	set := append([]*analysis.Analyzer{bodyclose.Analyzer, nilerr.Analyzer, exhaustive.Analyzer, analyzer.NewAnalyzer(), errcheck.Analyzer}, vet.Suite...)
	for _, group := range [][]*lint.Analyzer{staticcheck.Analyzers, simple.Analyzers, stylecheck.Analyzers} {
		for _, a := range group {
			if a.Analyzer.Name == "SA1019" {
				hush(a.Analyzer, ending)
			}
			if a.Analyzer.Name[:2] != "ST" || slices.Contains(mistakes, a.Analyzer.Name) {
				set = append(set, a.Analyzer)
			}
		}
	}
	unitchecker.Main(set...)
}

// unheard are calls whose errors could tell nobody anything: what was read is closed, what is not needed any more is
// removed, who has ended already is told to or waited for, and a line is printed for somebody who may have gone.
var unheard = regexp.MustCompile(`\.Close\(|\.Flush\(|\bfmt\.Fprint|\bos\.Remove(All)?\(|\bsyscall\.Kill\(|<-ended\b`)

// ending is what is used although it is deprecated: docs/decisions/zipkin.md.
var ending = regexp.MustCompile(`otel/exporters/zipkin"`)

// hush makes a linter say nothing about lines that except matches, and nothing about tests: they fail by themselves.
func hush(a *analysis.Analyzer, except *regexp.Regexp) {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		report := pass.Report
		pass.Report = func(d analysis.Diagnostic) {
			at := pass.Fset.Position(d.Pos)
			if strings.HasSuffix(at.Filename, "_test.go") {
				return
			}
			text, err := pass.ReadFile(at.Filename)
			must(err)
			if except == nil || !except.Match(bytes.Split(text, []byte("\n"))[at.Line-1]) {
				report(d)
			}
		}
		return run(pass)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
