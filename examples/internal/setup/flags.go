package setup

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/link"
)

// Flags is a set of flags with those that all programs have.
type Flags struct {
	*flag.FlagSet
	Out   io.Writer // where the program prints, from any goroutine
	Quiet bool      // leaves out what is not a result
	Stats bool      // prints the counters at the end

	pcap     string
	wire     link.Impairment
	about    string
	args     string
	examples []string
	checks   []func() error // of Parse
}

// New returns the flags of a program that prints to out. Args names what
// follows the flags on its command line; about is what -h says first.
func New(name, args, about string, out io.Writer) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), Out: &shared{w: out}, about: about, args: args}
	f.SetOutput(io.Discard) // Parse says it
	f.BoolVar(&f.Quiet, "quiet", false, "print results only")
	f.BoolVar(&f.Stats, "stats", false, "print the counters of all layers at the end")
	f.StringVar(&f.pcap, "pcap", "", "write all packets to this `file`, for Wireshark and tcpdump")
	f.Float64Var(&f.wire.Loss, "loss", 0, "`probability` that a packet is lost, 0 to 1, each way")
	f.Float64Var(&f.wire.Reorder, "reorder", 0, "`probability` that a packet is held back by 1 ms, 0 to 1, each way")
	f.DurationVar(&f.wire.Delay, "delay", 0, "how much later packets arrive, as 10ms, each way")
	f.Var((*program.Number)(&f.wire.Rate), "rate", "`bit/s` of the line, as 100M, each way (default no limit)")
	f.IntVar(&f.wire.Queue, "queue", link.DefaultQueue, "how many `packets` wait for the line, where there is a -rate, each way")
	f.Uint64Var(&f.wire.Seed, "seed", 1, "seed of the random numbers that decide about loss and delay")
	return f
}

// Examples are command lines, without the name of the program, that -h shows.
func (f *Flags) Examples(lines ...string) { f.examples = append(f.examples, lines...) }

// Given says whether the command line has the flag.
func (f *Flags) Given(name string) (given bool) {
	f.Visit(func(one *flag.Flag) { given = given || one.Name == name })
	return given
}

// Check has Parse call check, whose error is one about the command line: what is
// wrong with that is told before anything is made.
func (f *Flags) Check(check func() error) { f.checks = append(f.checks, check) }

// Parse reads the command line. Arguments, which may stand before flags and
// behind them, go to positional, in order; those that are not there leave it
// as it is.
func (f *Flags) Parse(args []string, positional ...*string) error {
	for {
		err := f.FlagSet.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			f.help()
			return err
		}
		if err != nil {
			return program.Usage("%w", err)
		}
		if f.NArg() == 0 {
			return f.check()
		}
		if len(positional) == 0 {
			return program.Usage("unexpected argument %q", f.Arg(0))
		}
		*positional[0] = f.Arg(0)
		positional, args = positional[1:], f.Args()[1:]
	}
}

func (f *Flags) check() error {
	switch w := f.wire; {
	case !(w.Loss >= 0 && w.Loss <= 1):
		return program.Usage("-loss %v is not a probability from 0 to 1", w.Loss)
	case !(w.Reorder >= 0 && w.Reorder <= 1):
		return program.Usage("-reorder %v is not a probability from 0 to 1", w.Reorder)
	case w.Delay < 0:
		return program.Usage("-delay %v is less than nothing", w.Delay)
	case w.Rate < 0:
		return program.Usage("-rate %d is less than nothing", w.Rate)
	case w.Queue < 1:
		return program.Usage("-queue %d holds no packet", w.Queue)
	}
	for _, check := range f.checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Say prints a line, unless the user wants it quiet.
func (f *Flags) Say(format string, args ...any) {
	if !f.Quiet {
		fmt.Fprintf(f.Out, format+"\n", args...)
	}
}

// impair makes a card what the flags say.
func (f *Flags) impair(card link.Link) link.Link {
	w := f.wire
	if w.Loss == 0 && w.Reorder == 0 && w.Delay == 0 && w.Rate == 0 {
		return card
	}
	f.Say("%s: %s", card.Name, describe(w))
	return link.Impair(card, w)
}

// openPcap makes the file of -pcap, or returns nil where there is none.
func (f *Flags) openPcap() (*os.File, error) {
	if f.pcap == "" {
		return nil, nil
	}
	file, err := os.Create(f.pcap)
	if err != nil {
		return nil, fmt.Errorf("-pcap: %w", err)
	}
	return file, nil
}

// record records the packets of a card, in file unless it is nil, which the caller
// closes when the card is closed.
func (f *Flags) record(card link.Link, file *os.File, sinks ...link.Sink) link.Link {
	if file != nil {
		sinks = append(sinks, link.Pcap(file))
		f.Say("%s: packets are written to %s", card.Name, f.pcap)
	}
	if len(sinks) == 0 {
		return card
	}
	return link.Tee(card, func(err error) { fmt.Fprintf(f.Out, "no more packets are recorded: %v\n", err) }, sinks...)
}

// describe says what a line does to packets.
func describe(w link.Impairment) string {
	words := []string{"each way"}
	if w.Rate > 0 {
		words = append(words, program.BitRate(float64(w.Rate)))
	}
	if w.Delay > 0 {
		words = append(words, fmt.Sprintf("%v late", w.Delay))
	}
	if w.Loss > 0 {
		words = append(words, fmt.Sprintf("%.4g%% lost", 100*w.Loss))
	}
	if w.Reorder > 0 {
		words = append(words, fmt.Sprintf("%.4g%% held back", 100*w.Reorder))
	}
	return strings.Join(words, ", ")
}

// shared is a writer for any number of goroutines.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
