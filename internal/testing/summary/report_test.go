package main

import (
	"strings"
	"testing"
	"time"
)

// run summarizes events, one a line with ' for ".
func run(t *testing.T, events string) (out string, ok bool) {
	t.Helper()
	var b strings.Builder
	ok = summarize(strings.NewReader(strings.ReplaceAll(events, "'", `"`)), &b, nil)
	return b.String(), ok
}

func TestSummary(t *testing.T) {
	const p = module + "/tcp"
	start := "{'Action':'start','Package':'" + p + "'}\n"
	begin := func(name string) string { return "{'Action':'run','Package':'" + p + "','Test':'" + name + "'}\n" }
	end := func(action, name string) string {
		return "{'Action':'" + action + "','Package':'" + p + "','Test':'" + name + "'}\n"
	}
	says := func(name, text string) string {
		return "{'Action':'output','Package':'" + p + "','Test':'" + name + "','Output':'" + text + `\n` + "'}\n"
	}
	done := func(action string) string { return end(action, "") }
	for _, c := range []struct {
		name, events string
		ok           bool
		want         []string
	}{
		{"a pass", start + begin("TestA") + end("pass", "TestA") + done("pass"), true, []string{"ok   tcp", "   1 tests", "1 passed, 0 failed, 0 skipped"}},
		{"a skip says why", start + begin("TestA") + end("pass", "TestA") + begin("TestB") + says("TestB", "    b_test.go:7: no curl here") + end("skip", "TestB") + done("pass"),
			true, []string{"skipped 1: no curl here: tcp.TestB", "1 passed, 0 failed, 1 skipped"}},
		{"a table whose cases were skipped has passed nothing", start + begin("TestA") + begin("TestA/x") + says("TestA/x", "    b_test.go:7: no curl") + end("skip", "TestA/x") + end("pass", "TestA") + done("pass"),
			false, []string{"skipped 1: no curl: tcp.TestA/x", "0 passed, 0 failed, 1 skipped"}},
		{"a failure is told in full", start + begin("TestA") + says("TestA", "    a_test.go:1: got 5") + end("fail", "TestA") + done("fail"),
			false, []string{"FAIL tcp.TestA\n    a_test.go:1: got 5", "failed: tcp.TestA", "0 passed, 1 failed, 0 skipped"}},
		{"a case with a slash in its name", start + begin("TestA") + begin("TestA/10.0.0.0/8") + end("pass", "TestA/10.0.0.0/8") + end("pass", "TestA") + done("pass"),
			true, []string{"   1 tests", "1 passed, 0 failed, 0 skipped"}},
		{"a failed case", start + begin("TestA") + begin("TestA/x") + end("fail", "TestA/x") + end("fail", "TestA") + done("fail"),
			false, []string{"failed: tcp.TestA/x", "0 passed, 1 failed, 0 skipped"}},
		{"a panic", start + begin("TestA") + says("TestA", "panic: boom") + done("fail"), false, []string{"did not end: TestA\npanic: boom", "failed: package tcp", "0 passed, 1 failed, 0 skipped"}},
		{"it does not compile", "{'ImportPath':'x','Action':'build-output','Output':'x.go:1: no\\n'}\n{'ImportPath':'x','Action':'build-fail'}\n" + start + done("fail"),
			false, []string{"x.go:1: no", "failed: package tcp"}},
		{"go test was killed", start + begin("TestA") + says("TestA", "here"), false, []string{"did not end: tcp TestA\nhere", "failed: package tcp"}},
		{"what is not JSON", "go: cannot find main module\n", false, []string{"go: cannot find main module", "0 passed, 0 failed"}},
	} {
		out, ok := run(t, c.events)
		if ok != c.ok {
			t.Errorf("%s: ok is %v", c.name, ok)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, out)
			}
		}
	}
}

// TestRunning has nothing end while a tick comes.
func TestRunning(t *testing.T) {
	r := newReport(new(strings.Builder))
	r.line([]byte(`{"Time":"2026-01-01T00:00:00Z","Action":"run","Package":"` + module + `","Test":"TestSlow"}`))
	if got := r.running(time.Date(2026, 1, 1, 0, 0, 20, 0, time.UTC)); got != "...  ..TestSlow, for 20 s\n" {
		t.Errorf("%q", got)
	}
}
