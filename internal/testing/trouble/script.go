// Package trouble looks for trouble: it lets two hosts talk over one TCP
// connection while things go wrong at random, checks at each step what must
// always hold, and shortens a run in which it does not to a few lines that can
// be replayed.
//
//	go test ./internal/testing/trouble -trouble.runs 10000            look for more
//	go test ./internal/testing/trouble -trouble.seed 17               repeat one run
//	go test ./internal/testing/trouble -trouble.script failure.txt    replay a script
package trouble

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// A Script is all that decides a run. It has a form as text, which [Parse]
// reads:
//
//	seed 17
//	wire delay=20ms rate=10000000 queue=20 loss=0.01
//	a send=65536
//	b receive=4096 nosack
//	100ms a write 20000
//	1.5s b pause
//	1.6s wire out 500ms
type Script struct {
	Seed   uint64
	Wire   Wire
	Ends   [2]End // a, which dials, and b
	Events []Event
}

// Wire is the link in the middle, the same both ways.
type Wire struct {
	Delay, Jitter time.Duration
	Rate          int64
	Queue, MTU    int
	Mark          int // frames in the queue from which on others are marked by ECN

	Loss, Reorder, Duplicate, Corrupt float64
}

// End is the TCP of a host.
type End struct {
	CC                            string // the congestion control
	ECN                           bool
	FastOpen                      bool
	Send, Receive                 int // buffers, in bytes
	NoSACK, NoTimestamps, NoScale bool
}

// An Event happens at an instant.
type Event struct {
	At   time.Duration
	Who  string // a, b, or wire
	What string
	Arg  int64 // bytes to write; ns for which the wire is out; which to change to
}

// verbs are what can happen to an end, and what to the wire.
func verbs(who string) []string {
	if who == "wire" {
		return []string{
			"out",    // nothing passes for some time
			"rebind", // a has another address from now on, as far as b sees
		}
	}
	return []string{
		"write",      // so many bytes more
		"pause",      // stop reading
		"resume",     // read on
		"closewrite", // send FIN
		"closeread",
		"close",
		"abort",  // close and reset
		"change", // to another congestion control and loss recovery
	}
}

func (s Script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", s.Seed)
	b.WriteString("wire" + s.Wire.fields().String() + "\n")
	for i, e := range s.Ends {
		if f := e.fields().String(); f != "" {
			b.WriteString(names[i] + f + "\n")
		}
	}
	for _, e := range s.Events {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}

func (e Event) String() string {
	switch e.What {
	case "write", "change":
		return fmt.Sprintf("%v %s %s %d", e.At, e.Who, e.What, e.Arg)
	case "out":
		return fmt.Sprintf("%v %s %s %v", e.At, e.Who, e.What, time.Duration(e.Arg))
	}
	return fmt.Sprintf("%v %s %s", e.At, e.Who, e.What)
}

var names = [2]string{"a", "b"}

// fields are the values of a line of settings, by name.
type fields []field

type field struct {
	name  string
	value any // a pointer to it
}

func (w *Wire) fields() fields {
	return fields{
		{"delay", &w.Delay}, {"jitter", &w.Jitter}, {"rate", &w.Rate}, {"queue", &w.Queue}, {"mark", &w.Mark}, {"mtu", &w.MTU},
		{"loss", &w.Loss}, {"reorder", &w.Reorder}, {"duplicate", &w.Duplicate}, {"corrupt", &w.Corrupt},
	}
}

func (e *End) fields() fields {
	return fields{
		{"cc", &e.CC}, {"ecn", &e.ECN}, {"fastopen", &e.FastOpen}, {"send", &e.Send}, {"receive", &e.Receive},
		{"nosack", &e.NoSACK}, {"notimestamps", &e.NoTimestamps}, {"noscale", &e.NoScale},
	}
}

// String is the fields that are not zero.
func (f fields) String() string {
	var b strings.Builder
	for _, x := range f {
		switch v := x.value.(type) {
		case *bool:
			if *v {
				b.WriteString(" " + x.name)
			}
		case *string:
			if *v != "" {
				fmt.Fprintf(&b, " %s=%s", x.name, *v)
			}
		case *time.Duration:
			if *v != 0 {
				fmt.Fprintf(&b, " %s=%v", x.name, *v)
			}
		case *int:
			if *v != 0 {
				fmt.Fprintf(&b, " %s=%d", x.name, *v)
			}
		case *int64:
			if *v != 0 {
				fmt.Fprintf(&b, " %s=%d", x.name, *v)
			}
		case *float64:
			if *v != 0 {
				fmt.Fprintf(&b, " %s=%v", x.name, *v)
			}
		}
	}
	return b.String()
}

// set reads one word of a line of settings.
func (f fields) set(word string) (err error) {
	name, value, _ := strings.Cut(word, "=")
	i := slices.IndexFunc(f, func(x field) bool { return x.name == name })
	if i < 0 {
		return fmt.Errorf("no such setting: %q", name)
	}
	switch v := f[i].value.(type) {
	case *bool:
		*v = true
	case *string:
		*v = value
	case *time.Duration:
		*v, err = time.ParseDuration(value)
	case *int:
		*v, err = strconv.Atoi(value)
	case *int64:
		*v, err = strconv.ParseInt(value, 10, 64)
	case *float64:
		*v, err = strconv.ParseFloat(value, 64)
	}
	return err
}

// Parse reads a script. Empty lines, and what follows a #, do not count.
func Parse(text string) (s Script, err error) {
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			if err := s.parse(words); err != nil {
				return s, fmt.Errorf("line %d: %w", i+1, err)
			}
		}
	}
	return s, nil
}

func (s *Script) parse(words []string) (err error) {
	settings := func(f fields) error {
		for _, w := range words[1:] {
			if err := f.set(w); err != nil {
				return err
			}
		}
		return nil
	}
	switch words[0] {
	case "seed":
		if len(words) != 2 {
			return fmt.Errorf("seed wants a number")
		}
		s.Seed, err = strconv.ParseUint(words[1], 10, 64)
		return err
	case "wire":
		return settings(s.Wire.fields())
	case "a":
		return settings(s.Ends[0].fields())
	case "b":
		return settings(s.Ends[1].fields())
	}
	e, err := parseEvent(words)
	s.Events = append(s.Events, e)
	return err
}

func parseEvent(words []string) (e Event, err error) {
	if len(words) < 3 {
		return e, fmt.Errorf("an event is a time, a, b or wire, and what happens; not %q", words)
	}
	e.Who, e.What = words[1], words[2]
	if e.At, err = time.ParseDuration(words[0]); err != nil {
		return e, err
	}
	if e.Who != "a" && e.Who != "b" && e.Who != "wire" || !slices.Contains(verbs(e.Who), e.What) {
		return e, fmt.Errorf("no such event: %s %s", e.Who, e.What)
	}
	counts := e.What == "write" || e.What == "change"
	switch {
	case !counts && e.What != "out":
		if len(words) > 3 {
			err = fmt.Errorf("%s %s: too many words", e.Who, e.What)
		}
	case len(words) != 4:
		err = fmt.Errorf("%s %s: wrong number of words", e.Who, e.What)
	case counts:
		e.Arg, err = strconv.ParseInt(words[3], 10, 64)
	default:
		var d time.Duration
		d, err = time.ParseDuration(words[3])
		e.Arg = int64(d)
	}
	return e, err
}

// Random is the script of a seed.
func Random(seed uint64) Script {
	r := rand.New(rand.NewPCG(seed, 0x74726f75626c65))
	some := func(p float64) bool { return r.Float64() < p }
	s := Script{Seed: seed, Wire: Wire{
		Delay: time.Duration(1+r.IntN(60)) * time.Millisecond,
		Rate:  []int64{0, 1e6, 10e6, 100e6}[r.IntN(4)],
		Queue: 5 + r.IntN(100),
	}}
	if some(.3) {
		s.Wire.Jitter = s.Wire.Delay / 2
	}
	if some(.3) {
		s.Wire.MTU = []int{576, 1000, 9000}[r.IntN(3)]
	}
	for _, p := range []*float64{&s.Wire.Loss, &s.Wire.Reorder, &s.Wire.Duplicate, &s.Wire.Corrupt} {
		if some(.5) {
			*p = []float64{.001, .01, .05}[r.IntN(3)]
		}
	}
	if some(.3) {
		s.Wire.Mark = 1 + r.IntN(s.Wire.Queue)
	}
	for i := range s.Ends {
		s.Ends[i] = End{CC: congestion.Names()[r.IntN(len(congestion.Names()))], ECN: some(.5), NoSACK: some(.2), NoTimestamps: some(.2), NoScale: some(.2)}
		if some(.5) {
			s.Ends[i].Send, s.Ends[i].Receive = 4000<<r.IntN(8), 2000<<r.IntN(9)
		}
	}
	s.Ends[0].FastOpen = some(.2)
	at := time.Duration(0)
	for range 3 + r.IntN(25) {
		at += time.Duration(r.ExpFloat64() * float64(300*time.Millisecond))
		s.Events = append(s.Events, randomEvent(r, at.Round(time.Microsecond)))
	}
	return s
}

func randomEvent(r *rand.Rand, at time.Duration) Event {
	e := Event{At: at, Who: names[r.IntN(2)]}
	switch r.IntN(20) {
	default:
		e.What, e.Arg = "write", int64(1+r.IntN(1<<(1+r.IntN(18))))
	case 10, 11:
		e.What = "pause"
	case 12, 13, 14:
		e.What = "resume"
	case 15:
		e.Who, e.What = "wire", "out"
		e.Arg = int64(time.Duration(r.ExpFloat64() * float64(2*time.Second)).Round(time.Microsecond))
	case 16:
		e.What = "closewrite"
	case 17:
		e.What = []string{"closeread", "close", "abort"}[r.IntN(3)]
	case 19:
		e.What, e.Arg = "change", r.Int64N(100)
	case 18:
		if r.IntN(3) == 0 {
			e.Who, e.What = "wire", "rebind"
		} else {
			e.What = "resume"
		}
	}
	return e
}
