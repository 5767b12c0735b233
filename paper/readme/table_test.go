package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

func measured() *result.Results {
	r := &result.Results{
		Machine:  result.Machine{Kernel: "Linux 6.18", Go: "go1.26", CPU: "a CPU", CPUs: 2},
		Settings: result.Settings{Congestion: "reno", Rounds: 3},
	}
	for _, v := range []float64{1, 2, 3} {
		r.Add("bulk to the server, 1 stream", "kernel", result.Goodput.Of(20*v))
		r.Add("bulk to the server, 1 stream", "gonet", result.Goodput.Of(19*v))
		r.Add("bulk to the server, 1 stream", "gvisor-mmap", result.Goodput.Of(4*v))
		r.Add("bulk to the server, 1 stream", "gvisor-recvmmsg", result.Goodput.Of(5*v))
		r.Add("1 byte over TCP, a CPU each", "gonet", result.P50.Of(10*v))
		r.Add("1 byte over TCP, a CPU each", "gvisor-mmap", result.P50.Of(40*v))
		r.Add("1 byte over TCP, a CPU each", "gvisor-tap", result.P50.Of(25*v))
	}
	return r
}

// TestTable: the best of gVisor is the most of a rate and the least of a time.
func TestTable(t *testing.T) {
	got := table(measured())
	for _, line := range []string{
		"Medians of 3 rounds, congestion control reno, on 2 CPUs (a CPU), Linux 6.18, go1.26.\n",
		"| bulk to the stack, 1 stream | Gbit/s | 40.0 | 38.0 | 0.950 | 10.0 | 3.80 |\n",
		"| 1 byte over TCP, a CPU each, p50 | µs |  | 20.0 |  | 50.0 | 0.400 |\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("the table has not the line %q:\n%s", line, got)
		}
	}
	if strings.Contains(got, "HTTP") {
		t.Errorf("the table has a line for what was not measured:\n%s", got)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	results, readme := filepath.Join(dir, "results.json"), filepath.Join(dir, "README.md")
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := measured().Write(results); err != nil {
		t.Fatal(err)
	}
	write(readme, "no markers\n")
	if err := run(results, readme, false); err == nil || !strings.Contains(err.Error(), begin) {
		t.Errorf("without markers: %v", err)
	}
	write(readme, "before\n"+begin+"\nold\n"+end+"\nafter\n")
	if err := run(results, readme, true); err == nil || !strings.Contains(err.Error(), "stale") {
		t.Errorf("a stale table is not noticed: %v", err)
	}
	for range 2 { // the second time nothing changes
		if err := run(results, readme, false); err != nil {
			t.Fatal(err)
		}
		if err := run(results, readme, true); err != nil {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); !strings.HasPrefix(s, "before\n"+begin+"\n") || !strings.HasSuffix(s, "|\n"+end+"\nafter\n") || strings.Contains(s, "old") {
		t.Errorf("the file became\n%s", s)
	}
}
