package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// TestRun writes both texts, says when they are stale, and takes figures from a
// second file where the first has none.
func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "paper")
	readme, paper := filepath.Join(dir, "..", "README.md"), filepath.Join(dir, "paper.md")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	results := func(file, work string, v float64) {
		t.Helper()
		r := &result.Results{Settings: result.Settings{Rounds: 1}}
		r.Add(work, "gonet", result.Goodput.Of(v))
		if err := r.Write(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	write(paper+".tmpl", `{{number "bulk to the server, 1 stream" "goodput" "gonet"}} and {{number "bulk from the server, 1 stream" "goodput" "gonet"}}`)
	write(readme, "no markers\n")
	call := func(check bool) error { return run(dir, []string{"results.json", "scale.json"}, check) }
	if err := call(false); err == nil || !strings.Contains(err.Error(), "results.json") {
		t.Errorf("without results: %v", err)
	}
	results("results.json", "bulk to the server, 1 stream", 40)
	if err := call(false); err == nil || !strings.Contains(err.Error(), begin) {
		t.Errorf("without markers: %v", err)
	}
	write(readme, "before\n"+begin+"\nold\n"+end+"\nafter\n")
	for _, want := range []string{"40.0 and not measured", "40.0 and 30.0"} {
		if err := call(true); err == nil || !strings.Contains(err.Error(), "stale") {
			t.Errorf("a stale text is not noticed: %v", err)
		}
		for range 2 { // the second time nothing changes
			if err := call(false); err != nil {
				t.Fatal(err)
			}
			if err := call(true); err != nil {
				t.Error(err)
			}
		}
		if s := textOf(t, paper); !strings.HasSuffix(s, "\n"+want) {
			t.Errorf("the paper is %q, and should end with %q", s, want)
		}
		results("scale.json", "bulk from the server, 1 stream", 30)
	}
	if s := textOf(t, readme); !strings.HasPrefix(s, "before\n"+begin+"\n") || !strings.HasSuffix(s, "|\n"+end+"\nafter\n") || strings.Contains(s, "old") {
		t.Errorf("the README became\n%s", s)
	}
}

func textOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
