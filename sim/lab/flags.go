package lab

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
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

const examples = `
  -cc cubic,reno -flows 2 -rtt 50ms -rate 20M
  -each -cc cubic,reno,bbr -queue codel -buffer 8
  -runs 10 -cross 0.2 -json -`

// options is the command line.
type options struct {
	experiment      sim.Experiment
	runs            int
	each            bool
	csv, pcap, json string
}

// parse reads and checks the command line.
func parse(c Config, args []string, out io.Writer) (*options, error) {
	o := new(options)
	e := &o.experiment
	e.TCP.Controllers = c.Controllers
	name := cmp.Or(c.Name, "lab")
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
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
	starts := flags.String("starts", "", "`times` when the flows begin, by turns, as 0s,5s (default drawn from the seed, in the first second)")
	flags.Float64Var(&e.Cross, "cross", 0, "`share` of the rate that short transfers of other hosts ask for, 0 to 1")
	flags.IntVar(&o.runs, "runs", 1, "how `often`: with seeds that follow each other; several give an interval of confidence")
	flags.BoolVar(&o.each, "each", false, "run with each of the controls of -cc by itself, rather than with all together")
	flags.StringVar(&o.csv, "csv", "", "write the samples of all senders to this `file`")
	flags.StringVar(&o.json, "json", "", "write all results to this `file`; - is standard output, in place of the table")
	flags.StringVar(&o.pcap, "pcap", "", "write what passes each host's card to `name`-host.pcap")

	err := flags.Parse(append(slices.Clone(c.Args), args...))
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "%s\n\nUsage: %s [flags]\n\nExamples:%s\n\n", cmp.Or(c.About, about), name, strings.ReplaceAll(examples, "\n  ", "\n  "+name+" "))
		flags.SetOutput(out)
		flags.PrintDefaults()
		fmt.Fprintf(out, "\nCongestion controls: %s.\n", strings.Join(o.names(), ", "))
		if c.Args != nil {
			fmt.Fprintf(out, "Unless you say otherwise: %s\n", strings.Join(c.Args, " "))
		}
		return nil, err
	case err != nil:
		return nil, program.Usage("%w", err)
	case flags.NArg() > 0:
		return nil, program.Usage("unexpected argument %q", flags.Arg(0))
	}
	e.Rate = int64(rate)
	if err := errors.Join(o.controllers(*cc), o.bursts(*bursts), o.queue(*queue), o.starts(*starts)); err != nil {
		return nil, err
	}
	return o, o.check()
}

// names are the congestion controls that -cc can name.
func (o *options) names() []string {
	return append(congestion.Names(), slices.Sorted(maps.Keys(o.experiment.TCP.Controllers))...)
}

// controllers reads -cc.
func (o *options) controllers(list string) error {
	if list == "" {
		return nil
	}
	o.experiment.Controllers = strings.Split(list, ",")
	for _, name := range o.experiment.Controllers {
		if !slices.Contains(o.names(), name) {
			return program.Usage("-cc %q: there are %s", name, strings.Join(o.names(), ", "))
		}
	}
	return nil
}

// starts reads -starts.
func (o *options) starts(list string) error {
	if list == "" {
		return nil
	}
	for text := range strings.SplitSeq(list, ",") {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return program.Usage("-starts %q: want times, as 0s,5s", list)
		}
		o.experiment.Starts = append(o.experiment.Starts, d)
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
func (o *options) check() error {
	e := &o.experiment
	if e.RTT == 0 {
		e.RTT = -1 // none, which is not the default
	}
	switch {
	case o.runs < 1 || o.runs > 10_000:
		return program.Usage("-runs %d: want 1 to 10000", o.runs)
	case o.each && len(e.Controllers) == 0:
		return program.Usage("-each wants -cc")
	case !(e.Cross >= 0 && e.Cross <= 1):
		return program.Usage("-cross %v is not a share from 0 to 1", e.Cross)
	case e.Cross > 0 && e.Routers > 0:
		return program.Usage("-cross and -routers do not go together")
	case e.Flows < 1 || e.Flows > 500:
		return program.Usage("-flows %d: want 1 to 500", e.Flows)
	case e.Rate < 1000:
		return program.Usage("-rate %d: want 1000 bit/s or more", e.Rate)
	case e.RTT < -1:
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
