// Write writes what was measured into the texts: the summary into README.md,
// between two marker comments, paper.md from paper.md.tmpl, and the figures, from
// what the benchmark has written:
//
//	cd paper && go run ./write
//	cd paper && go run ./write -check     fails when a text is stale
//
// See [report.Report.Execute] for what a template can say.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-012105e5/gonet/paper/internal/figure"
	"github.com/seed-012105e5/gonet/paper/internal/report"
	"github.com/seed-012105e5/gonet/paper/internal/result"
)

//go:generate go run . -dir ..

func main() {
	dir := flag.String("dir", ".", "the `directory` of the paper; the README is the one above it")
	results := flag.String("results", "repeat.json,results.json,scale.json,graph.json", "`files` of the benchmark in that directory; the first that has measured a work counts, and those that are not there are left out")
	check := flag.Bool("check", false, "write nothing, and fail when a text would change")
	flag.Parse()
	if err := run(*dir, strings.Split(*results, ","), *check); err != nil {
		fmt.Fprintln(os.Stderr, "write:", err)
		os.Exit(1)
	}
}

func run(dir string, results []string, check bool) error {
	r, err := read(dir, results)
	if err != nil {
		return err
	}
	if !check {
		if err := draw(filepath.Join(dir, "figures"), r); err != nil {
			return err
		}
	}
	return errors.Join(writeReadme(filepath.Join(dir, "..", "README.md"), r, check), writePaper(filepath.Join(dir, "paper.md"), r, check))
}

// draw draws the figures of all runs.
func draw(dir string, r *report.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var runs []*result.Results
	for _, run := range r.Runs {
		runs = append(runs, run.Results)
	}
	return figure.Draw(dir, result.Merge(runs))
}

// read reads the results of all runs.
func read(dir string, files []string) (*report.Report, error) {
	var runs []report.Run
	for _, file := range files {
		r, err := result.Read(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		runs = append(runs, report.Run{File: file, Results: r})
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("%s has none of %s", dir, strings.Join(files, ", "))
	}
	return report.New(runs...), nil
}

func writeReadme(file string, r *report.Report, check bool) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := replace(old, r.Summary())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return update(file, text, check)
}

// writePaper makes the paper of its template.
func writePaper(file string, r *report.Report, check bool) error {
	text, err := r.Execute(file + ".tmpl")
	if err != nil {
		return err
	}
	return update(file, text, check)
}

// update writes a file that has changed, or fails when it may not.
func update(file string, text []byte, check bool) error {
	old, err := os.ReadFile(file)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && bytes.Equal(old, text):
		return nil
	case check:
		return fmt.Errorf("%s is stale: cd paper && go run ./write", file)
	}
	return os.WriteFile(file, text, 0o644)
}

// The markers of the README, each on a line of its own.
const (
	begin = "<!-- measured: written by paper/write from paper/results.json -->"
	end   = "<!-- /measured -->"
)

// replace puts a new text between the markers.
func replace(old []byte, text string) ([]byte, error) {
	before, rest, found := bytes.Cut(old, []byte(begin+"\n"))
	_, after, closed := bytes.Cut(rest, []byte(end+"\n"))
	if !found || !closed {
		return nil, errors.New("it needs these lines, and the table goes between them: " + begin + " and " + end)
	}
	return fmt.Appendf(nil, "%s%s\n%s%s\n%s", before, begin, text, end, after), nil
}
