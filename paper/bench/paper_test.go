package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/paper/internal/report"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// TestPaper: the works and subjects that the paper and its tables speak of are
// those of the benchmark, and what a table says makes it does so.
func TestPaper(t *testing.T) {
	var names []string
	for _, w := range allWorks(&options{idle: []idleNumber{{n: 10000}, {n: 100000}, {n: 1000000}}}) {
		names = append(names, w.name)
	}
	works, subjects, err := report.Asked("../paper.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		if !slices.Contains(names, w) {
			t.Errorf("the paper speaks of a work %q that there is not", w)
		}
	}
	for _, s := range subjects {
		if _, err := subject.ByKey(s); err != nil {
			t.Errorf("the paper: %v", err)
		}
	}
	for flags, works := range report.Tables() {
		expression := regexp.MustCompile(strings.Split(flags, "'")[1])
		for _, w := range works {
			if !expression.MatchString(w) {
				t.Errorf("%s does not measure %q", flags, w)
			}
		}
	}
	if len(works) < 30 {
		t.Errorf("the paper speaks of %d works", len(works))
	}
}
