// Summary reads what go test -json prints, of any number of runs, and prints what
// a person wants to see: a line for each package when it has ended, what failed in
// full, what runs while nothing ends, and at the end how many tests ran, how many
// did not and why.
//
//	go test -json ./... | go run ./internal/testing/summary
//
// A test that has subtests is not counted itself, its subtests are: a table all of
// whose cases were skipped has passed nothing. The exit status is 1 when something
// failed, or when no test ran.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"
)

// quiet is how long nothing ends before the tests that run are named.
const quiet = 15 * time.Second

func main() {
	if !summarize(os.Stdin, os.Stdout, time.NewTicker(quiet).C) {
		os.Exit(1)
	}
}

// summarize reports whether all went well. It says what runs when a tick comes.
func summarize(in io.Reader, out io.Writer, ticks <-chan time.Time) bool {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, 16<<20)
		for scanner.Scan() {
			lines <- append([]byte(nil), scanner.Bytes()...)
		}
	}()
	r := newReport(out)
	said := false // something, since the last tick
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return r.end()
			}
			said = r.line(line) || said
		case now := <-ticks:
			if !said {
				fmt.Fprint(out, r.running(now))
			}
			said = false
		}
	}
}
