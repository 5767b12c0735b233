package sim

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// An Experiment is bulk flows over one bottleneck. The zero value of each field
// means what its comment says.
type Experiment struct {
	Seed uint64

	Controllers []string // of the flows, by turns; none means the default of package tcp
	Flows       int      // 0 means 1
	Rate        int64    // of the bottleneck, in bit/s; 0 means 10 Mbit/s
	RTT         time.Duration
	Spread      float64 // the last flow's RTT is longer than the first's by this factor; 0 means 1
	Loss        float64 // of data
	Buffer      float64 // of the bottleneck, in bandwidth-delay products; 0 means 1
	Losses      link.LossModel
	Manager     link.Manager

	// Routers is how many routers there are between two hosts, where there is
	// one flow; several flows share a Dumbbell.
	Routers int

	Duration time.Duration // 0 means 30 s
	Warmup   time.Duration // is not measured; 0 means a third of Duration
	Every    time.Duration // see BulkConfig

	TCP tcp.Config // of all hosts; its Congestion is that of the Controllers

	// Capture opens the pcap file of a host (see [Host.Capture]), which it may
	// close after Run. Nil means that there is none.
	Capture func(host string) (io.Writer, error)
}

// A Result is what an Experiment has shown.
type Result struct {
	Flows   []*Flow
	Goodput []float64 // of each flow, in bit/s
	Total   float64   // of all
	Bound   float64   // of Total, by theory
	Jain    float64
	Queue   *link.Queueing // of the bottleneck, for data
}

func (e Experiment) withDefaults() Experiment {
	if e.Flows <= 0 {
		e.Flows = 1
	}
	if e.Rate <= 0 {
		e.Rate = 10e6
	}
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
		for i := range from {
			start := 100*time.Millisecond + time.Duration(i)*70*time.Millisecond
			r.Flows = append(r.Flows, n.Bulk(from[i], to[i], BulkConfig{Start: start, Every: e.Every}))
		}
		if err := n.Wait(e.Duration); err != nil {
			return err
		}
		for _, f := range r.Flows {
			g := f.Goodput(e.Warmup, e.Duration)
			r.Goodput, r.Total = append(r.Goodput, g), r.Total+g
		}
		r.Jain, r.Queue, r.Bound = Jain(r.Goodput), bottleneck.AB, e.bound()
		return nil
	})
	return r, err
}

// build makes the network: two hosts, or a dumbbell whose access links are ten
// times as fast as the bottleneck.
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
	if e.Flows == 1 {
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
		longer := (e.Spread - 1) * float64(i) / float64(e.Flows-1)
		return link.Impairment{Rate: 10 * e.Rate, Delay: near + time.Duration(longer*float64(e.RTT)/4)}
	}
	d := n.Dumbbell(e.Flows, LinkConfig{AB: data, BA: answers}, access, cfg)
	return d.Left, d.Right, d.Bottleneck
}

// bound is the most that theory gives all flows together: what the line
// carries, less what is lost, and for each flow of a controller that halves
// at each loss what the losses leave it.
func (e Experiment) bound() float64 {
	line := Payload(e.Rate, link.DefaultMTU) * (1 - e.Loss)
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
