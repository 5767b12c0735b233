package report

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

const to1, tcp = "bulk to the server, 1 stream", "1 byte over TCP, a CPU each"

// some is a small run.
func some() Run {
	r := &result.Results{
		Machine:  result.Machine{Kernel: "Linux 6.18", Go: "go1.26", CPU: "a CPU", CPUs: 2, Commit: "abc", Date: "2026-11-21"},
		Settings: result.Settings{Congestion: "reno", Rounds: 3, Seconds: 0.5, Command: "go run ./bench -rounds 3"},
		Subjects: []result.Subject{{Key: "kernel", Name: "kernel, veth"}, {Key: "gonet", Name: "GoNet, offload tap"}},
		Works:    []string{to1, tcp},
		Failures: []result.Failure{{Work: to1, Subject: "gonet", Round: 2, Error: "it broke"}},
	}
	for _, v := range []float64{1, 2, 3} {
		r.Add(to1, "kernel", result.Goodput.Of(20*v))
		r.Add(to1, "gonet", result.Goodput.Of(19*v))
		r.Add(to1, "gvisor-mmap", result.Goodput.Of(4*v))
		r.Add(to1, "gvisor-recvmmsg", result.Goodput.Of(5*v))
		r.Add(to1, "gonet", result.Allocations.Of(0.001*v))
		r.Add(tcp, "gonet", result.P50.Of(10*v))
		r.Add(tcp, "gvisor-mmap", result.P50.Of(40*v))
		r.Add(tcp, "gvisor-tap", result.P50.Of(25*v))
	}
	return Run{File: "results.json", Results: r}
}

// held is a run with idle connections.
func held() Run {
	r := &result.Results{Settings: result.Settings{Rounds: 1, Seconds: 1, Congestion: "reno"}}
	for n, times := range map[int]float64{10000: 1, 1000000: 1.25} {
		r.Works = append(r.Works, result.IdleWork(n))
		r.Add(result.IdleWork(n), "gonet", result.Memory.Of(4000*times))
		r.Add(result.IdleWork(n), "gonet", result.Process.Of(0.004*times*float64(n)/1000))
		r.Add(result.IdleWork(n), "gonet", result.Establish.Of(25000/times))
		r.Add(result.IdleWork(n), "gonet", result.EstablishUser.Of(16*times))
		r.Add(result.IdleWork(n), "gonet", result.Closing.Of(25000*times))
		r.Add(result.IdleWork(n), "gonet", result.Answering.Of(float64(n)))
	}
	return Run{File: "scale.json", Results: r}
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("there is no %q in\n%s", part, text)
		}
	}
}

// TestSummary: the best of gVisor is the most of a rate and the least of a time.
func TestSummary(t *testing.T) {
	got := New(some()).Summary()
	contains(t, got,
		"Medians of 3 rounds, congestion control reno, on 2 CPUs (a CPU), Linux 6.18, go1.26.\n",
		"| bulk to the stack, 1 stream | Gbit/s | 40.0 | 38.0 | 0.950 | 10.0 | 3.80 |\n",
		"| 1 byte over TCP, a CPU each, p50 | µs | not measured | 20.0 | not measured | 50.0 | 0.400 |\n",
	)
	if strings.Contains(got, "HTTP") {
		t.Errorf("the table has a line for what was not measured:\n%s", got)
	}
}

// TestTables: tables have the columns and lines that were measured, name the rest,
// and say what makes them.
func TestTables(t *testing.T) {
	r := New(some(), held())
	contains(t, r.markdown(r.tables()["bulk"]),
		"| work |  | kernel, veth | GoNet, offload tap | gVisor, its best | GoNet / kernel | GoNet / gVisor | GoNet / copied once |\n|---|---|---:|",
		"| bulk to the server, 1 stream | Gbit/s | 40.0 [20.0 to 60.0] | 38.0 [19.0 to 57.0] | 10.0 [5.00 to 15.0] | 0.950 | 3.80 | not measured |\n",
		"*Made by* `go run ./bench -rounds 3 -seconds 0.5 -cc reno -only '^bulk'` (run 1).",
		"*Not measured: raw-copy; raw; bulk to the server, 8 streams; bulk to the server, 64 streams; 5 more.*",
	)
	contains(t, r.markdown(r.tables()["requests"]), "| 1 byte over TCP, a CPU each, p50 | µs | 20.0 | 50.0 | not measured | 0.400 |\n")
	contains(t, r.markdown(r.tables()["web"]), "*Not measured.* It is made by `go run ./bench -only '^HTTP'`.\n")
	contains(t, r.markdown(r.tables()["growth"]),
		"| 1,000,000 | 5,000 | 5.00 | not measured |", "-only 'idle' -subjects gonet -idle 10000,1000000` (run 2).")
	for name, table := range New().tables() {
		contains(t, New().markdown(table), "*Not measured.*")
		if len(table.spoken()) == 0 {
			t.Errorf("table %q speaks of nothing", name)
		}
	}
}

// TestRuns: only figures of one run are compared, and the first that has measured
// a work counts.
func TestRuns(t *testing.T) {
	first, second := some(), some()
	second.File, second.Results = "scale.json", &result.Results{}
	second.Add(to1, "gonet", result.Goodput.Of(99))
	second.Add(to1, "raw-copy", result.Goodput.Of(50))
	r := New(first, second)
	if v, ok := r.median(to1, result.Goodput, "gonet"); v != 38 || !ok {
		t.Errorf("GoNet has %v, %v", v, ok)
	}
	if v, ok := r.median(to1, result.Goodput, "raw-copy"); v != 50 || !ok {
		t.Errorf("the device has %v, %v", v, ok)
	}
	if v, ok := r.ratio(to1, result.Goodput, "gonet", "raw-copy"); ok {
		t.Errorf("figures of two runs have the ratio %v", v)
	}
	third := some()
	third.Results = &result.Results{Settings: result.Settings{Rounds: 1}}
	second.Settings.Rounds = 5
	if got := New(first, second, third, first).rounds(); got != "3, 5 or 1 rounds" {
		t.Errorf("%s", got)
	}
}

func TestMarks(t *testing.T) {
	r := New(some(), held())
	got := r.Marks()
	contains(t, got,
		"| bulk with offloads / kernel | ≥ 0.8 | to, 1 stream: 0.950 | 1 of 4, 3 not measured |\n",
		"| bulk with offloads / a device that copies once | ≥ 0.8 |  | not measured |\n",
		"| a byte there and back, p50 / gVisor, its best | < 0.5 | TCP, a CPU each: 0.400 | 1 of 6, 5 not measured |\n",
		"| an idle connection, bytes | < 5,000 | 10,000: 4,000; 1,000,000: 5,000 | 1 of 2 |\n",
		"| a million idle connections, GB | < 6 | 1,000,000: 5.00 | met |\n",
	)
	all := 0
	for _, m := range marks() {
		all += len(m.works)
	}
	for _, c := range []struct {
		r    *Report
		want string
	}{
		{r, "7 of the 8 figures that were measured reach their marks; "},
		{New(), "0 of the 0 figures that were measured reach their marks; " + strconv.Itoa(all) + " were not"},
	} {
		if got := c.r.MarksMet(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestMissed: what misses its mark stands beside what does the same work with
// less, and what reaches it does not stand there.
func TestMissed(t *testing.T) {
	r := &result.Results{}
	for key, v := range map[string]float64{
		"kernel": 40, "gonet": 30, "direct": 36, "raw": 44, "kernel-plain": 10, "gonet-plain": 4, "raw-plain": 8, "gvisor-mmap": 10,
	} {
		r.Add(to1, key, result.Goodput.Of(v))
	}
	want := "| what | mark | GoNet | its machines in one loop | the bare device |\n|---|---:|---:|---:|---:|\n" +
		"| bulk with offloads / kernel: to, 1 stream | ≥ 0.8 | 0.750 | 0.900 | 1.10 |\n" +
		"| bulk, plain frames / kernel: to, 1 stream | ≥ 1 | 0.400 | – | 0.800 |\n"
	if got := New(Run{File: "results.json", Results: r}).Missed(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// execute makes a text of a template.
func execute(t *testing.T, r *Report, text string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"paper.md.tmpl": text, "other.md": "# T\n\n## One\n\ntext of one\n\n## Two\n\ntext of two\n\n### Deeper\n\nit\n", "figures/growth.svg": "<svg/>",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := r.Execute(filepath.Join(dir, "paper.md.tmpl"))
	_, body, _ := strings.Cut(string(b), "-->\n\n")
	return body, err
}

func TestExecute(t *testing.T) {
	both := New(some(), held())
	for _, c := range []struct{ text, want string }{
		{`{{value "` + to1 + `" "goodput" "gonet"}}`, "38.0 Gbit/s"},
		{`{{number "` + to1 + `" "goodput" "gvisor"}}`, "10.0"},
		{`{{value "` + to1 + `" "goodput" "raw"}}`, "not measured"},
		{`{{value "` + result.IdleWork(10000) + `" "establish" "gonet"}}`, "25,000/s"},
		{`{{ratio "` + to1 + `" "goodput" "gonet" "kernel"}}`, "0.950"},
		{`{{ratio "` + to1 + `" "goodput" "gonet" "direct"}}`, "not measured"},
		{`{{if more "` + to1 + `" "goodput" "gonet" "kernel"}}more{{else}}less{{end}}`, "less"},
		{`{{if more "` + tcp + `" "p50" "gvisor" "gonet"}}more{{else}}less{{end}}`, "more"},
		{`{{if measured "` + to1 + `" "goodput" "direct"}}yes{{else}}no{{end}}`, "no"},
		{`{{linear "gonet"}}`, "GoNet, offload tap: each of 1,000,000 connections takes 1.25 times the memory of each of 10,000, 1.25 times the time to establish (1.25 times the user time of the server), and 0.800 times the time to close."},
		{`{{linear "kernel"}}`, "How idle connections grow was not measured."},
		{`{{figure "growth" "Growth"}}`, "![Growth](figures/growth.svg)"},
		{`{{figure "hops" "Hops"}}`, "*Hops: not drawn, for it was not measured.*"},
		{`{{section "other.md" "One"}}`, "text of one\n"},
		{`{{section "other.md" "Two"}}`, "text of two\n\n### Deeper\n\nit\n"},
	} {
		if got, err := execute(t, both, c.text); got != c.want || err != nil {
			t.Errorf("%s is %q, %v; want %q", c.text, got, err, c.want)
		}
	}
	if got, err := execute(t, both, "{{runs}}"); err != nil {
		t.Error(err)
	} else {
		contains(t, got, "1. `results.json`: `go run ./bench -rounds 3`, commit abc, 2026-11-21\n", "failed: "+to1+", GoNet, offload tap, round 2\n", "2. `scale.json`")
	}
	for _, text := range []string{`{{table "x"}}`, `{{value "` + to1 + `" "x" "gonet"}}`, `{{section "other.md" "Three"}}`, `{{section "x.md" "One"}}`, `{{`, `{{nothing}}`} {
		if got, err := execute(t, both, text); err == nil {
			t.Errorf("%s is %q", text, got)
		}
	}
}

// TestCPU: CPU time is per gigabyte or per request.
func TestCPU(t *testing.T) {
	for work, want := range map[string]result.Metric{to1: result.CPUMachine, tcp: result.WorkCPU} {
		if m, err := named("CPU", work); m != want || err != nil {
			t.Errorf("%s: %v, %v", work, m, err)
		}
	}
}

// TestPaper makes the paper itself of nothing, and of little.
func TestPaper(t *testing.T) {
	for _, r := range []*Report{New(), New(held()), New(some(), held())} {
		text, err := r.Execute("../../paper.md.tmpl")
		if err != nil {
			t.Fatal(err)
		}
		contains(t, string(text), "# What does CSP cost?", "ot measured")
		for _, bad := range []string{"NaN", "Inf", "<no value>", "%!"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("there is %q in it", bad)
			}
		}
	}
}
