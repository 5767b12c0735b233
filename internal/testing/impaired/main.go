//go:build linux

// Impaired measures what a bad network leaves of TCP, beside the kernel: one
// connection moves data over a wire of a given rate that loses, delays or
// reorders frames, from the stack to the kernel, from the kernel to the stack,
// and from one kernel to another.
//
//	sudo go run ./internal/testing/impaired
//
// A kernel here is a network namespace with a tap, and the wire is link.Impair
// in this process, for all three alike: the frames of a run with the same seed
// meet the same fates in the order in which they are sent. The impairment is
// that of the wire at the sender's end, in both directions; each direction has
// half of the round-trip time. Acknowledgements are lost as often as data.
//
// All taps have offloads, so that senders hand over trains of segments, as
// they do to real cards. A train is cut before it enters the wire; what crosses
// it, and what receivers get, are single frames. The kernel's congestion
// control is set on the sender's socket. The limits of the kernels' buffers are
// set in their namespaces, and are those of the stack too.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// settings is what all runs have in common.
type settings struct {
	congestion string        // the name of the congestion control of both sides
	rate       int64         // of the wire, bit/s
	queue      int           // frames; 0 means as many as make a round trip, see cell.queue
	buffer     int           // bytes; the limit of each send and receive buffer
	time       time.Duration // of a run with a round-trip time of 0; see cell.duration
	plain      bool          // taps without offloads
	seed       uint64        // of the first round
	captures   string        // a directory for captures; "" means none
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "impaired:", err)
		os.Exit(1)
	}
}

func run() error {
	var (
		s        settings
		only     = flag.String("only", "", "run the cells whose name contains this only: \"rtt 20ms\"")
		ways     = flag.String("paths", "", "use the paths whose name contains this only: \"ours\"")
		rounds   = flag.Int("rounds", 5, "how often each path is measured in each cell; the median counts")
		parallel = flag.Int("parallel", 6, "how many runs go on at once in cells where the network is slow")
		file     = flag.String("json", "", "write all figures to this `file`")
		exact    = flag.Bool("exact", true, "keep the timers of this process exact, at some cost")
		verbose  = flag.Bool("v", false, "print the counters of every run")
	)
	flag.StringVar(&s.congestion, "cc", "cubic", "congestion control of both sides")
	flag.Int64Var(&s.rate, "rate", 200e6, "rate of the wire in bit/s")
	flag.IntVar(&s.queue, "queue", 0, "frames that wait for the wire at most; 0 means a round trip's, 64 at least")
	flag.IntVar(&s.buffer, "buffer", 8<<20, "limit of each send and receive buffer in bytes")
	flag.DurationVar(&s.time, "time", 3*time.Second, "how long a run takes, and one second longer for each 20 ms of round trip")
	flag.BoolVar(&s.plain, "plain", false, "use taps without offloads")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the first round; the others count on from it")
	flag.StringVar(&s.captures, "pcap", "", "write a capture of each run, at its sender, to this `directory`")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "Impaired measures TCP on bad networks, beside the kernel. Run it as root.\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *exact {
		m, err := startMetronome()
		if err != nil {
			return err
		}
		defer m.stop()
	}
	t := table{settings: s, rounds: *rounds, parallel: *parallel, verbose: *verbose, paths: selected(paths, *ways)}
	err := t.measure(selected(cells, *only))
	if err == nil && *file != "" {
		err = t.writeJSON(*file)
	}
	return err
}

// selected are those of all whose name contains part.
func selected[T fmt.Stringer](all []T, part string) (some []T) {
	for _, v := range all {
		if strings.Contains(v.String(), part) {
			some = append(some, v)
		}
	}
	return some
}
