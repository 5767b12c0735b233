package trouble

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

var (
	runs   = flag.Int("trouble.runs", 0, "how many random `scripts` to play; 0 is a few")
	seed   = flag.Uint64("trouble.seed", 0, "the first `seed`, or the only one without -trouble.runs")
	replay = flag.String("trouble.script", "", "play the script in this `file`, and print all packets")
)

// search plays a script, and shortens it if it fails.
func search(t *testing.T, s Script, fault func(link.Link) link.Link) (Script, error) {
	t.Helper()
	err := Run(s, fault, nil)
	if err == nil {
		return s, nil
	}
	s = Shrink(s, func(c Script) bool { return Run(c, fault, nil) != nil }, 400)
	return s, Run(s, fault, nil)
}

// TestTrouble: RFC9293-3.3.1, RFC9293-3.7.1, SHLD-14, MUST-16: it plays random
// scripts.
func TestTrouble(t *testing.T) {
	if *replay != "" {
		text, err := os.ReadFile(*replay)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(string(text))
		if err == nil {
			err = Run(s, nil, os.Stdout)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	n := *runs
	if n == 0 {
		n = 300
		if testing.Short() || packet.Checked {
			n = 30
		}
		if *seed != 0 {
			n = 1
		}
	}
	for i := range uint64(n) {
		if testing.Verbose() {
			t.Logf("seed %d", *seed+i)
		}
		if s, err := search(t, Random(*seed+i), nil); err != nil {
			t.Errorf("seed %d: %v\nThis is enough for it, with -trouble.script:\n\n%v", *seed+i, err, s)
		}
	}
}

// TestScript writes scripts and reads them.
func TestScript(t *testing.T) {
	for seed := range uint64(100) {
		text := Random(seed).String()
		s, err := Parse(text + "\n# a comment\n")
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if again := s.String(); again != text {
			t.Errorf("read\n%sas\n%s", text, again)
		}
	}
	for _, text := range []string{
		"seed", "seed x", "wire nothing=1", "a send=x", "1s", "1s a", "1s c write 1", "1s a write", "1s a write x", "x a pause",
		"1s a pause 1", "1s wire write 1", "1s wire out x", "1s b out 1s",
	} {
		if s, err := Parse(text); err == nil {
			t.Errorf("%q is read as %v", text, s)
		}
	}
}

// TestEveryInstant closes, aborts and so on at each instant at which something
// arrives somewhere in a short conversation, and just before it.
func TestEveryInstant(t *testing.T) {
	base := Script{Seed: 1, Wire: Wire{Delay: 5 * time.Millisecond, Rate: 10e6}, Events: []Event{
		{At: 40 * time.Millisecond, Who: "a", What: "write", Arg: 3000},
		{At: 60 * time.Millisecond, Who: "b", What: "write", Arg: 20000},
		{At: 90 * time.Millisecond, Who: "a", What: "closewrite"},
		{At: 120 * time.Millisecond, Who: "b", What: "closewrite"},
	}}
	each := 1
	if testing.Short() || packet.Checked {
		each = 10
	}
	arrivals := instants(t, base)
	for _, what := range []string{"close", "abort", "closeread", "closewrite", "pause", "rebind"} {
		for _, who := range names {
			if what == "rebind" {
				who = "wire"
			}
			for i := 0; i < len(arrivals); i += each {
				at := arrivals[i]
				s := base
				s.Events = nil
				for _, e := range base.Events {
					if e.At < at || e.Who != who || what == "pause" || what == "rebind" || what == "closeread" {
						s.Events = append(s.Events, e)
					}
				}
				s.Events = insert(s.Events, Event{At: at, Who: who, What: what})
				if s, err := search(t, s, nil); err != nil {
					t.Errorf("%v\n%v", err, s)
				}
			}
		}
	}
}

// instants are those at which something arrives at a host in the run of s, and
// those just before.
func instants(t *testing.T, s Script) (all []time.Duration) {
	t.Helper()
	var out lockedBuffer
	if err := Run(s, nil, &out); err != nil {
		t.Fatal(err)
	}
	const before = 5 * time.Microsecond // in which a host has its turn
	for line := range strings.Lines(out.String()) {
		words := strings.Fields(line)
		at, err := time.Parse("15:04:05.000000000", words[0])
		if err != nil {
			t.Fatal(err)
		}
		if words[2] == "In" {
			d := at.Sub(at.Truncate(24 * time.Hour))
			all = append(all, d-before, d)
		}
	}
	return all
}

// A lockedBuffer takes what several processes write.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// insert puts e where it belongs by its time.
func insert(events []Event, e Event) []Event {
	for i := range events {
		if events[i].At > e.At {
			return append(append(append([]Event(nil), events[:i]...), e), events[i:]...)
		}
	}
	return append(events, e)
}
