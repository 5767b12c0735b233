package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// An event is a line of go test -json, as go doc test2json says.
type event struct {
	Time        time.Time
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// A test is one that has begun, or the package itself, whose name is "".
type test struct {
	began    time.Time
	output   []string
	subtests bool
	ended    bool
	failed   bool
}

// A report is what is known so far.
type report struct {
	out      io.Writer
	packages map[string]map[string]*test
	builds   map[string][]string // what the compiler said, by import path
	passed   int
	failed   []string
	skipped  map[string][]string // names, by reason
	broken   []string            // packages that failed without a test that did
}

func newReport(out io.Writer) *report {
	return &report{
		out: out, packages: map[string]map[string]*test{}, builds: map[string][]string{}, skipped: map[string][]string{},
	}
}

// line takes a line, and reports whether it has printed something.
func (r *report) line(line []byte) bool {
	var e event
	if json.Unmarshal(line, &e) != nil || e.Action == "" {
		fmt.Fprintf(r.out, "%s\n", line) // of go itself
		return true
	}
	switch e.Action {
	case "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
		return false
	case "build-fail":
		fmt.Fprint(r.out, strings.Join(r.builds[e.ImportPath], ""))
		return true
	}
	tests := r.packages[e.Package]
	if tests == nil {
		tests = map[string]*test{}
		r.packages[e.Package] = tests
	}
	t := tests[e.Test]
	if t == nil {
		t = &test{began: e.Time}
		tests[e.Test] = t
		if p := parent(tests, e.Test); p != nil {
			p.subtests = true
		}
	}
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "pass", "fail", "skip":
		t.ended = true
		if e.Test == "" {
			r.packageEnded(e, tests)
			return true
		}
		return r.testEnded(e, t)
	}
	return false
}

// parent is the test that name is a subtest of, or nil. The name of a subtest may
// have slashes of its own.
func parent(tests map[string]*test, name string) *test {
	for {
		slash := strings.LastIndexByte(name, '/')
		if slash < 0 {
			return nil
		}
		name = name[:slash]
		if t := tests[name]; t != nil {
			return t
		}
	}
}

// testEnded counts a test, and prints all of one that failed.
func (r *report) testEnded(e event, t *test) bool {
	name := short(e.Package) + "." + e.Test
	switch {
	case e.Action == "fail":
		t.failed = true
		if !t.subtests {
			r.failed = append(r.failed, name)
		}
		fmt.Fprintf(r.out, "FAIL %s\n%s", name, strings.Join(t.output, ""))
		t.output = nil
		return true
	case t.subtests:
	case e.Action == "pass":
		r.passed++
	default:
		reason := reason(t.output)
		r.skipped[reason] = append(r.skipped[reason], name)
	}
	t.output = nil
	return false
}

// packageEnded prints a line on a package. One that failed although no test of it
// did (it does not compile, it panicked, its time was up) is printed whole.
func (r *report) packageEnded(e event, tests map[string]*test) {
	counted, unfinished, failures := 0, []string(nil), false
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t := tests[name]
		failures = failures || t.failed && name != ""
		switch {
		case name == "" || t.subtests:
		case t.ended:
			counted++
		default:
			unfinished = append(unfinished, name)
		}
	}
	words := map[string]string{"pass": "ok  ", "fail": "FAIL", "skip": "-   "}
	fmt.Fprintf(r.out, "%s %-40s %4d tests %7.1f s\n", words[e.Action], short(e.Package), counted, e.Elapsed)
	if e.Action == "fail" && !failures {
		r.broken = append(r.broken, short(e.Package))
		for _, name := range unfinished {
			fmt.Fprintf(r.out, "did not end: %s\n%s", name, strings.Join(tests[name].output, ""))
		}
		fmt.Fprint(r.out, strings.Join(tests[""].output, ""))
	}
	delete(r.packages, e.Package)
}

// running names the tests that have begun and not ended.
func (r *report) running(now time.Time) string {
	var lines []string
	for p, tests := range r.packages {
		for name, t := range tests {
			if name != "" && !t.ended && !t.subtests {
				lines = append(lines, fmt.Sprintf("...  %s.%s, for %d s\n", short(p), name, int(now.Sub(t.began).Seconds())))
			}
		}
	}
	if lines == nil {
		return "...  compiling\n"
	}
	slices.Sort(lines)
	return strings.Join(lines[:min(4, len(lines))], "")
}

// end prints the account of all, and reports whether all went well.
func (r *report) end() bool {
	for p, tests := range r.packages { // go test itself was killed
		r.broken = append(r.broken, short(p))
		for name, t := range tests {
			if !t.ended && len(t.output) > 0 {
				fmt.Fprintf(r.out, "did not end: %s %s\n%s", short(p), name, strings.Join(t.output, ""))
			}
		}
	}
	skipped := 0
	fmt.Fprintln(r.out)
	for _, reason := range slices.Sorted(maps.Keys(r.skipped)) {
		names := r.skipped[reason]
		skipped += len(names)
		fmt.Fprintf(r.out, "skipped %d: %s: %s\n", len(names), reason, some(names))
	}
	for _, name := range r.failed {
		fmt.Fprintf(r.out, "failed: %s\n", name)
	}
	for _, p := range r.broken {
		fmt.Fprintf(r.out, "failed: package %s\n", p)
	}
	failed := len(r.failed) + len(r.broken)
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, failed, skipped)
	return failed == 0 && r.passed > 0
}

// some is the first few of names.
func some(names []string) string {
	const most = 6
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

var position = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reason is why a test was skipped: the last that it said.
func reason(output []string) string {
	for _, line := range slices.Backward(output) {
		if at := position.FindString(line); at != "" {
			return strings.TrimSpace(line[len(at):])
		}
	}
	return "no reason given"
}

const module = "github.com/seed-012105e5/gonet"

// short is the path of a package from the root of the repository.
func short(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}
