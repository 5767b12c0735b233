package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/sim"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

const about = `Lab has TCP flows share a bottleneck in virtual time, and tells how they fared.
It needs no rights and no tap, and the same flags give the same run.`

// options is the command line.
type options struct {
	experiment sim.Experiment
	csv, pcap  string
}

// parse reads and checks the command line.
func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	e := &o.experiment
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	rate := program.Number(10_000_000)
	cc := flags.String("cc", "", "congestion `control` of the flows by turns, as cubic,reno (default that of the stack)")
	flags.IntVar(&e.Flows, "flows", 1, "how many `flows` there are; several have a dumbbell, each between two hosts of its own")
	flags.Var(&rate, "rate", "`bit/s` of the bottleneck")
	flags.DurationVar(&e.RTT, "rtt", 40*time.Millisecond, "round-trip `time` without queues")
	flags.Float64Var(&e.Spread, "spread", 1, "the last flow's RTT is longer than the first's by this `factor`")
	flags.Float64Var(&e.Loss, "loss", 0, "`probability` that a frame with data is lost, 0 to 1")
	bursts := flags.String("bursts", "", "loss in bursts by Gilbert and Elliott: the `probabilities` that the line becomes bad, and good again, as 0.001,0.1")
	flags.Float64Var(&e.Buffer, "buffer", 1, "length of the queue, in `bandwidth-delay products`")
	queue := flags.String("queue", "tail", "how the queue is managed: tail, red, codel or step, with `+ecn` to mark rather than drop")
	flags.IntVar(&e.Routers, "routers", 0, "how many `routers` there are between the hosts of one flow")
	flags.Uint64Var(&e.Seed, "seed", 1, "what all randomness comes from")
	flags.DurationVar(&e.Duration, "duration", 30*time.Second, "how long the network runs, in its own `time`")
	flags.DurationVar(&e.Warmup, "warmup", 0, "`time` that is not measured (default a third of -duration)")
	flags.DurationVar(&e.Every, "every", 100*time.Millisecond, "`time` between samples of each sender, for -csv")
	flags.StringVar(&o.csv, "csv", "", "write the samples of all senders to this `file`")
	flags.StringVar(&o.pcap, "pcap", "", "write what passes each host's card to `name`-host.pcap")

	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "%s\n\nUsage: lab [flags]\n\n", about)
		flags.SetOutput(out)
		flags.PrintDefaults()
		fmt.Fprintf(out, "\nCongestion controls: %s.\n", strings.Join(congestion.Names(), ", "))
		return nil, err
	case err != nil:
		return nil, program.Usage("%w", err)
	case flags.NArg() > 0:
		return nil, program.Usage("unexpected argument %q", flags.Arg(0))
	}
	e.Rate = int64(rate)
	if err := errors.Join(o.controllers(*cc), o.bursts(*bursts), o.queue(*queue)); err != nil {
		return nil, err
	}
	return o, check(e)
}

// controllers reads -cc.
func (o *options) controllers(list string) error {
	if list == "" {
		return nil
	}
	o.experiment.Controllers = strings.Split(list, ",")
	for _, name := range o.experiment.Controllers {
		if _, ok := congestion.ByName(name); !ok {
			return program.Usage("-cc %q: there are %s", name, strings.Join(congestion.Names(), ", "))
		}
	}
	return nil
}

// bursts reads -bursts.
func (o *options) bursts(text string) error {
	if text == "" {
		return nil
	}
	var g link.GilbertElliott
	var rest string
	n, _ := fmt.Sscanf(strings.Replace(text, ",", " ", 1)+" .", "%g %g %s", &g.Worsen, &g.Improve, &rest)
	if n != 3 || rest != "." || !probability(g.Worsen) || !probability(g.Improve) {
		return program.Usage("-bursts %q: want two probabilities, as 0.001,0.1", text)
	}
	o.experiment.Losses = g
	return nil
}

// queue reads -queue.
func (o *options) queue(name string) error {
	kind, ecn := strings.CutSuffix(name, "+ecn")
	switch {
	case kind == "tail" && !ecn:
	case kind == "red":
		o.experiment.Manager = link.RED{ECN: ecn}
	case kind == "codel":
		o.experiment.Manager = link.CoDel{ECN: ecn}
	case kind == "step": // which only marks
		o.experiment.Manager = link.Step{}
		ecn = true
	default:
		return program.Usage("-queue %q: there are tail, red, red+ecn, codel, codel+ecn and step", name)
	}
	if ecn {
		o.experiment.TCP.ECN = tcp.ECNAsk
	}
	return nil
}

// check refuses what makes no sense.
func check(e *sim.Experiment) error {
	switch {
	case e.Flows < 1 || e.Flows > 500:
		return program.Usage("-flows %d: want 1 to 500", e.Flows)
	case e.Rate < 1000:
		return program.Usage("-rate %d: want 1000 bit/s or more", e.Rate)
	case e.RTT < 0:
		return program.Usage("-rtt %v is less than nothing", e.RTT)
	case !(e.Spread >= 1):
		return program.Usage("-spread %v: want 1 or more", e.Spread)
	case !probability(e.Loss):
		return program.Usage("-loss %v is not a probability from 0 to 1", e.Loss)
	case !(e.Buffer > 0 && e.Buffer < 1e6):
		return program.Usage("-buffer %v: want more than 0", e.Buffer)
	case e.Routers < 0 || e.Routers > 50 || e.Routers > 0 && e.Flows > 1:
		return program.Usage("-routers %d: want 0 to 50, and one flow", e.Routers)
	case e.Duration < 2*sim.Bin:
		return program.Usage("-duration %v is too short", e.Duration)
	case e.Warmup < 0 || e.Warmup > e.Duration-sim.Bin:
		return program.Usage("-warmup %v does not fit in -duration %v", e.Warmup, e.Duration)
	case e.Every < time.Millisecond:
		return program.Usage("-every %v: want 1ms or more", e.Every)
	}
	return nil
}

func probability(p float64) bool { return p >= 0 && p <= 1 }
