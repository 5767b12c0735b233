package trouble

import (
	"encoding/binary"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
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

// TestTrouble plays random scripts. RFC9293-3.3.1, SHLD-14, MUST-16.
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

// lie flips a bit of the text of each segment of a that has byte 5000 of its
// stream, and mends the checksum.
func lie(l link.Link) link.Link {
	var iss uint32
	return Modify(l, func(frame []byte, sent bool) {
		s, ok := parse(frame, false)
		if !ok || !sent {
			return
		}
		if s.flags&syn != 0 {
			iss = s.seq
		}
		if at := int(int32(iss + 1 + 5000 - s.seq)); len(s.text) > 0 && at >= 0 && at < len(s.text) {
			s.text[at] ^= 1
			head := ipAt + 20
			frame[head+16], frame[head+17] = 0, 0
			sum := checksum.Sum(frame[head:ipAt+s.length], checksum.Sum(frame[ipAt+12:ipAt+20], 6+uint64(s.length-20)))
			binary.BigEndian.PutUint16(frame[head+16:], ^checksum.Fold(sum))
		}
	})
}

// TestShrink shows that a fault is found, and shortened to what it takes: a
// writes more than 5000 bytes. The short script fails each time it is played.
func TestShrink(t *testing.T) {
	found := 0
	for seed := uint64(0); found < 3; seed++ {
		s, err := search(t, Random(seed), lie)
		if err == nil {
			continue
		}
		found++
		if !strings.Contains(err.Error(), "byte 5000 of the stream is not what was written") {
			t.Errorf("seed %d: %v", seed, err)
		}
		if len(s.Events) != 1 || s.Events[0].Who != "a" || s.Events[0].What != "write" || s.Events[0].Arg > 10001 || s.Wire != (Wire{}) {
			t.Errorf("seed %d: this is not short:\n%v", seed, s)
		}
		again, err := Parse(s.String())
		if err == nil {
			err = Run(again, lie, nil)
		}
		if err == nil {
			t.Errorf("seed %d: the short script does not fail:\n%v", seed, s)
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
	step := 3 * time.Millisecond
	if testing.Short() || packet.Checked {
		step = 19 * time.Millisecond
	}
	for _, what := range []string{"close", "abort", "closeread", "closewrite", "pause", "rebind"} {
		for _, who := range names {
			if what == "rebind" {
				who = "wire"
			}
			for at := 9 * time.Millisecond; at < 170*time.Millisecond; at += step {
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

// insert puts e where it belongs by its time.
func insert(events []Event, e Event) []Event {
	for i := range events {
		if events[i].At > e.At {
			return append(append(append([]Event(nil), events[:i]...), e), events[i:]...)
		}
	}
	return append(events, e)
}
