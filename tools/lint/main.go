// Command lint holds the linters of the house. It is run by go vet, which keeps what it found:
//
//	go vet -vettool=$(pwd)/.run/bin/lint ./...
//
// The list is short: each of them has found something here.
package main

import (
	"strings"

	"github.com/gostaticanalysis/nilerr"
	"github.com/kisielk/errcheck/errcheck"
	"github.com/nishanths/exhaustive"
	"github.com/ryanrolds/sqlclosecheck/pkg/analyzer"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/unitchecker"
	"honnef.co/go/tools/analysis/lint"
	"honnef.co/go/tools/simple"
	"honnef.co/go/tools/staticcheck"
	"honnef.co/go/tools/stylecheck"
)

func main() {
	set := []*analysis.Analyzer{bodyclose.Analyzer, nilerr.Analyzer, exhaustive.Analyzer, analyzer.NewAnalyzer(), errcheck.Analyzer}
	for _, group := range [][]*lint.Analyzer{staticcheck.Analyzers, simple.Analyzers} {
		for _, a := range group {
			set = append(set, a.Analyzer)
		}
	}
	for _, a := range stylecheck.Analyzers {
		// ST1000 and the like are matters of taste; these are mistakes.
		if strings.Contains("ST1005 ST1008 ST1012 ST1017 ST1018 ST1019 ST1020 ST1021 ST1022", a.Analyzer.Name) {
			set = append(set, a.Analyzer)
		}
	}
	unitchecker.Main(set...)
}
