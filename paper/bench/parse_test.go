package main

import (
	"bytes"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

const wrkText = `Running 2s test @ http://10.0.0.2/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   1.90ms   16.01ms 209.72ms   98.63%
    Req/Sec    26.05k     4.01k   30.96k    75.00%
  Latency Distribution
     50%  587.00us
     75%    0.86ms
     90%    1.31ms
     99%    1.05s 
  51823 requests in 2.00s, 56.98MB read
  Socket errors: connect 0, read 1, write 2, timeout 3
Requests/sec:  25909.31
Transfer/sec:     28.49MB
`

func TestParseWrk(t *testing.T) {
	got, err := parseWrk(wrkText)
	if want := (wrkSaid{rate: 25909.31, requests: 51823, p50: 587, p99: 1.05e6, errors: 6}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "unable to connect", strings.Replace(wrkText, "51823", "0", 1)} {
		if _, err := parseWrk(text); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

func TestBusy(t *testing.T) {
	got, err := busy([]byte("cpu  100 1 50 9999 88 7 3 5 0 0\ncpu0 1 2 3\n"))
	if want := (100 + 1 + 50 + 7 + 3) * 10 * time.Millisecond; err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "cpu 1 2", "cpu0 1 1 1 1 1 1 1 1 1 1", "cpu x 1 1 1 1 1 1 1 1 1"} {
		if _, err := busy([]byte(text)); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:       1       2    0    0    0     0          0         0        3       4    0    0    0     0       0          0
server0: 1000      20    0    0    0     0          0         0     3000      40    0    0    0     0       0          0
`

func TestDeviceCounters(t *testing.T) {
	frames, octets, err := deviceCounters([]byte(netDev), "server0")
	if frames != 60 || octets != 4000 || err != nil {
		t.Errorf("%d frames, %d bytes, %v", frames, octets, err)
	}
	if _, _, err := deviceCounters([]byte(netDev), "server"); err == nil {
		t.Error("there is a device that is not there")
	}
}

func TestModelName(t *testing.T) {
	if got := modelName([]byte("processor\t: 0\nmodel name\t: A CPU @ 3 GHz\nflags\t\t: fpu\n")); got != "A CPU @ 3 GHz" {
		t.Errorf("%q", got)
	}
}

func TestFirst(t *testing.T) {
	got := first(result.Rate, []result.Figure{result.P50.Of(1), result.P99.Of(2), result.Rate.Of(3), result.Lost.Of(4)})
	want := []result.Figure{result.Rate.Of(3), result.P50.Of(1), result.P99.Of(2), result.Lost.Of(4)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestOptions(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil || o.json != "results.json" || o.out != "." || !reflect.DeepEqual(o.idle, []idleNumber{{n: 10000}}) {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = parse([]string{"-only", "bulk", "-idle", "10, 1000000:kernel+gonet"}, io.Discard)
	if err != nil || o.json != "" || o.out != "" || !reflect.DeepEqual(o.idle, []idleNumber{{n: 10}, {1000000, []string{"kernel", "gonet"}}}) {
		t.Errorf("a part: %+v, %v", o, err)
	}
	o, err = parse([]string{"-only", "bulk", "-out", "/tmp/x"}, io.Discard)
	if err != nil || o.json != filepath.Join("/tmp/x", "results.json") {
		t.Errorf("a part with -out: %+v, %v", o, err)
	}
	for _, args := range [][]string{{"x"}, {"-rounds", "0"}, {"-seconds", "0"}, {"-cc", "bbr"}, {"-idle", "0"}, {"-idle", "10:linux"}, {"-only", "("}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	for _, subjects := range []string{"kernel, gonet", ""} {
		if all, err := (&options{subjects: subjects}).chosen(); err != nil || all[0].Key != "kernel" {
			t.Errorf("%q: %v, %v", subjects, all, err)
		}
	}
	if _, err := (&options{subjects: "kernel,linux"}).chosen(); err == nil {
		t.Error("there is a subject that is not there")
	}
}

// TestCommand: what repeats a run has no files in it, and goes through a shell.
func TestCommand(t *testing.T) {
	got := command([]string{"-rounds", "2", "-out", "/tmp/x", "-json=y", "-only", "bulk (to|from)", "--profile", "z", "-idle", "10"})
	if want := "go run ./bench -rounds 2 -only 'bulk (to|from)' -idle 10"; got != want {
		t.Errorf("%s", got)
	}
}

// TestNames: works and subjects have names of their own, by which they are
// chosen, kept and drawn.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, w := range allWorks(&options{idle: []idleNumber{{n: 10}, {n: 1000000}}}) {
		if seen[w.name] {
			t.Errorf("two works are called %q", w.name)
		}
		seen[w.name] = true
	}
	var list bytes.Buffer
	if err := (&options{}).printList(&list); err != nil || !strings.Contains(list.String(), "gvisor-recvmmsg") {
		t.Errorf("%v\n%s", err, &list)
	}
}

// TestPrintWork prints a table.
func TestPrintWork(t *testing.T) {
	r := &result.Results{Subjects: []result.Subject{{Key: "kernel", Name: "the kernel"}, {Key: "gonet", Name: "GoNet"}}}
	r.Add("bulk", "kernel", result.Goodput.Of(40))
	r.Add("bulk", "gonet", result.Goodput.Of(30))
	r.Add("bulk", "gonet", result.Allocations.Of(0))
	var b bytes.Buffer
	printWork(&b, r, "bulk")
	want := `              goodput Gbit/s              allocations /frame
  the kernel  40.0 [40.0 to 40.0]  -
  GoNet       30.0 [30.0 to 30.0] (0.750)  0
`
	if got := strings.Join(strings.Fields(b.String()), " "); got != strings.Join(strings.Fields(want), " ") {
		t.Errorf("%s", b.String())
	}
}
