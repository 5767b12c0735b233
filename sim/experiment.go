package sim

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// An Experiment is bulk flows over one bottleneck. Its zero value is one flow over
// 10 Mbit/s with a round trip of 40 ms for half a minute.
type Experiment struct {
	Seed uint64

	Controllers []string       // of the flows, by turns; none means the default of package tcp
	Flows       int            // 0 means 1
	Rate        int64          // of the bottleneck, in bit/s; 0 means 10 Mbit/s
	RTT         time.Duration  // without queues; 0 means 40 ms, and less than 0 none
	Spread      float64        // the last flow's RTT is longer than the first's by this factor; 0 means 1
	Loss        float64        // of data, 0 to 1
	Losses      link.LossModel // further ones; nil means none
	Buffer      float64        // of the bottleneck, in bandwidth-delay products; 0 means 1
	Manager     link.Manager   // of the buffer; nil means that its tail drops

	// Starts is when the flows begin, by turns. None means instants that are
	// drawn from the Seed, evenly over the first second.
	Starts []time.Duration

	// Cross is the share of Rate, 0 to 1, for which other hosts ask with short
	// transfers of CrossSize bytes on average, each over a connection of its own.
	Cross float64

	// Routers is how many routers there are between two hosts, where there is
	// one flow and no cross traffic; otherwise all share a Dumbbell.
	Routers int

	Duration time.Duration // 0 means 30 s
	Warmup   time.Duration // is not measured; 0 means a third of Duration
	Every    time.Duration // between samples of a sender; 0 means that there are none

	TCP tcp.Config // of all hosts; its Congestion is that of the Controllers

	// Progress is called with the time of the network now and then while it runs;
	// nil means not.
	Progress func(at time.Duration)

	// Capture opens the pcap file of a host (see [Host.Capture]), which it may
	// close after Run. Nil means that there is none.
	Capture func(host string) (io.Writer, error)
}

// A Result is what an Experiment has shown.
type Result struct {
	Flows   []*Flow
	Goodput []float64 // of each flow, in bit/s: received in order, of what arrived in the time measured
	Total   float64   // of all
	Bound   float64   // of Total, by theory
	Jain    float64
	Queue   *link.Queueing // of the bottleneck, for data
	Cross   *Churn         // nil without cross traffic
}

// CrossSize is how many bytes a transfer of the cross traffic has on average, and
// crossClients how many of them there are at a time at most.
const (
	CrossSize    = 30_000
	crossClients = 20
)

func (e Experiment) withDefaults() Experiment {
	if e.Flows <= 0 {
		e.Flows = 1
	}
	if e.Rate <= 0 {
		e.Rate = 10e6
	}
	if e.RTT == 0 {
		e.RTT = 40 * time.Millisecond
	}
	e.RTT = max(e.RTT, 0)
	if e.Spread <= 0 {
		e.Spread = 1
	}
	if e.Buffer <= 0 {
		e.Buffer = 1
	}
	if e.Duration <= 0 {
		e.Duration = 30 * time.Second
	}
	if e.Warmup <= 0 {
		e.Warmup = e.Duration / 3
	}
	e.Warmup = e.Warmup.Truncate(Bin)
	return e
}

// Frames is how many frames the buffer of the bottleneck holds.
func (e Experiment) Frames() int {
	e = e.withDefaults()
	product := float64(e.Rate) / 8 * e.RTT.Seconds() / fullFrame
	return max(2, int(math.Round(e.Buffer*product)))
}

// fullFrame is in bytes, and fullText is what it carries.
const (
	fullFrame = link.DefaultMTU + 14
	fullText  = link.DefaultMTU - 20 - 32
)

// Run does the experiment.
func (e Experiment) Run(ctx context.Context) (r Result, err error) {
	e = e.withDefaults()
	for _, name := range e.Controllers {
		if _, ok := congestion.ByName(name); !ok && e.TCP.Controllers[name] == nil {
			return r, fmt.Errorf("sim: there is no congestion control %q", name)
		}
	}
	err = Run(ctx, e.Seed, func(n *Net) error {
		from, to, bottleneck := e.build(n)
		if e.Capture != nil {
			for _, h := range append(append([]*Host(nil), from...), to...) {
				w, err := e.Capture(h.Name)
				if err != nil {
					return err
				}
				h.Capture(w)
			}
		}
		if err := n.Start(); err != nil {
			return err
		}
		for i, start := range e.starts() {
			r.Flows = append(r.Flows, n.Bulk(from[i], to[i], BulkConfig{Start: start, Every: e.Every}))
		}
		if e.Cross > 0 {
			r.Cross = n.Churn(to[e.Flows], from[e.Flows], e.cross())
		}
		if err := e.wait(n, e.Warmup); err != nil {
			return err
		}
		var held []int // had crossed the bottleneck before
		for _, f := range r.Flows {
			held = append(held, f.Held())
		}
		if err := e.wait(n, e.Duration); err != nil {
			return err
		}
		for i, f := range r.Flows {
			g := max(0, f.Goodput(e.Warmup, e.Duration)-8*float64(held[i])/(e.Duration-e.Warmup).Seconds())
			r.Goodput, r.Total = append(r.Goodput, g), r.Total+g
		}
		r.Jain, r.Queue, r.Bound = Jain(r.Goodput), bottleneck.AB, e.bound()
		return nil
	})
	return r, err
}

// starts is when each flow begins.
func (e Experiment) starts() []time.Duration {
	random := rand.New(rand.NewPCG(e.Seed, 0))
	starts := make([]time.Duration, e.Flows)
	for i := range starts {
		starts[i] = time.Duration(random.Int64N(int64(time.Second)))
		if len(e.Starts) > 0 {
			starts[i] = e.Starts[i%len(e.Starts)]
		}
	}
	return starts
}

// cross is clients that together ask for the share Cross of the line, but for the
// time that their answers take.
func (e Experiment) cross() ChurnConfig {
	each := e.Cross * float64(e.Rate) / 8 / crossClients // bytes a second
	return ChurnConfig{
		Clients: crossClients, Requests: 1, Request: 100, Response: CrossSize,
		Pause: time.Duration(CrossSize / each * float64(time.Second)),
	}
}

// wait lets the network run until the instant end, and tells how far it is.
func (e Experiment) wait(n *Net, end time.Duration) error {
	const steps = 100
	if e.Progress == nil {
		return n.Wait(end)
	}
	for at := n.Now(); at < end; {
		at = min(end, at+max(1, e.Duration/steps))
		if err := n.Wait(at); err != nil {
			return err
		}
		e.Progress(at)
	}
	return nil
}

// build makes the network: two hosts, or a dumbbell whose access links are ten
// times as fast as the bottleneck; its last pair is that of the cross traffic, if
// there is any.
func (e Experiment) build(n *Net) (from, to []*Host, bottleneck *Link) {
	cfg := func(i int) tcp.Config {
		c := e.TCP
		if len(e.Controllers) > 0 {
			c.Congestion = e.Controllers[i%len(e.Controllers)]
		}
		return c
	}
	data := link.Impairment{
		Rate: e.Rate, Delay: e.RTT / 2, Queue: e.Frames(),
		Loss: e.Loss, Losses: e.Losses, Manager: e.Manager,
	}
	answers := link.Impairment{Rate: e.Rate, Delay: e.RTT / 2}
	pairs := e.Flows
	if e.Cross > 0 {
		pairs++
	}
	if pairs == 1 {
		a, b := n.Host("a1", cfg(0)), n.Host("b1", cfg(0))
		at := a
		for i := range e.Routers {
			r := n.Router(fmt.Sprintf("r%d", i+1))
			n.Join(at, r, Both(link.Impairment{Rate: 10 * e.Rate}))
			at = r
		}
		return []*Host{a}, []*Host{b}, n.Join(at, b, LinkConfig{AB: data, BA: answers})
	}
	near := e.RTT / 40
	data.Delay, answers.Delay = e.RTT/2-2*near, e.RTT/2-2*near
	access := func(i int) link.Impairment {
		longer := (e.Spread - 1) * float64(i%e.Flows) / float64(max(1, e.Flows-1))
		return link.Impairment{Rate: 10 * e.Rate, Delay: near + time.Duration(longer*float64(e.RTT)/4)}
	}
	d := n.Dumbbell(pairs, LinkConfig{AB: data, BA: answers}, access, cfg)
	return d.Left, d.Right, d.Bottleneck
}

// bound is the most that theory gives all flows together: what the line
// carries, less what is lost, and for each flow of a controller that halves
// at each loss what the losses leave it. The time that is measured may begin and
// end inside a frame, so there is one more than fit.
func (e Experiment) bound() float64 {
	measured := (e.Duration - e.Warmup).Seconds()
	line := (Payload(e.Rate, link.DefaultMTU) + 8*fullText/measured) * (1 - e.Loss)
	sum := 0.0
	for i := range e.Flows {
		name := ""
		if len(e.Controllers) > 0 {
			name = e.Controllers[i%len(e.Controllers)]
		}
		sum += Response(name, fullText, e.RTT, e.Loss)
	}
	return min(line, sum)
}
