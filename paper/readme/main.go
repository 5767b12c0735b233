// Readme writes the summary of what was measured into README.md, between two
// marker comments, from the benchmark's results:
//
//	cd paper && go run ./readme
//	cd paper && go run ./readme -check     fails when the table is stale
//	cd paper && go run ./readme -csp       prints what the graph costs beside one loop
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

//go:generate go run . -results ../results.json -readme ../../README.md

func main() {
	results := flag.String("results", "results.json", "what the benchmark has written")
	readme := flag.String("readme", "../README.md", "the `file` with the markers")
	check := flag.Bool("check", false, "write nothing, and fail when the file would change")
	csp := flag.Bool("csp", false, "print what the graph costs beside one loop, and end")
	flag.Parse()
	err := error(nil)
	if *csp {
		err = printCSP(os.Stdout, *results)
	} else {
		err = run(*results, *readme, *check)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(results, readme string, check bool) error {
	r, err := result.Read(results)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	text, err := replace(old, table(r))
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	switch {
	case bytes.Equal(old, text):
		return nil
	case check:
		return fmt.Errorf("%s is stale: cd paper && go run ./readme", readme)
	}
	return os.WriteFile(readme, text, 0o644)
}

// The markers, each on a line of its own.
const (
	begin = "<!-- measured: written by paper/readme from paper/results.json -->"
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
