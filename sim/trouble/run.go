package trouble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/sim"
	"github.com/seed-012105e5/gonet/tcp"
)

// dialled is when a dials.
const dialled = 10 * time.Millisecond

// Once all has happened that is to happen, the hosts finish: readers read on,
// writers write all and close, and after so long the connection has ended, and
// after twice so long the stacks have forgotten it.
const finishing = 15 * time.Minute

// Run plays a script, and returns what went wrong. Fault changes what passes
// the middle of the wire, to show that it is found; nil changes nothing. Text
// is where all packets are written to; nil is nowhere.
func Run(s Script, fault link.Middleware, text io.Writer) error {
	live := packet.Live()
	err := sim.Run(context.Background(), s.Seed, func(n *sim.Net) error {
		p := newPlay(n, s, fault)
		for _, h := range p.hosts {
			if text != nil {
				h.Record(link.Text(text))
			}
		}
		return p.run()
	})
	if left := packet.Live() - live; left != 0 {
		err = errors.Join(err, fmt.Errorf("%d packets are left", left))
	}
	return err
}

// A play is a script that is being run, on this network:
//
//	a ── router ══ nat, fault ══ the wire ══ b
type play struct {
	net     *sim.Net
	script  Script
	hosts   [2]*sim.Host
	users   [2]*user
	checked [2]*checker
}

func newPlay(n *sim.Net, s Script, fault link.Middleware) *play {
	p := &play{net: n, script: s}
	for i, name := range names {
		e := s.Ends[i]
		ecn := tcp.ECNAccept
		if e.ECN {
			ecn = tcp.ECNAsk
		}
		p.hosts[i] = n.Host(name, tcp.Config{
			Congestion: e.CC, ECN: ecn, SendBuffer: e.Send, ReceiveBuffer: e.Receive,
			NoSACK: e.NoSACK, NoTimestamps: e.NoTimestamps, NoWindowScale: e.NoScale,
		})
		p.users[i] = newUser(p, i)
	}
	router := n.Router("router")
	near := sim.LinkConfig{MTU: max(link.DefaultMTU, s.Wire.MTU)}
	ab, ba := s.Wire.impairment(s.outages()), s.Wire.impairment(s.outages())
	far := sim.LinkConfig{AB: ab, BA: ba, MTU: s.Wire.MTU}
	a := n.Join(p.hosts[0], router, near)
	far.AtA = func(l link.Link) link.Link {
		l = newNAT(l, p.hosts[0].Addr(), s.rebinds(), time.Now())
		if fault != nil {
			l = fault(l)
		}
		return l
	}
	b := n.Join(router, p.hosts[1], far)
	for i := range p.checked {
		p.checked[i] = newChecker(n, names[i], i)
	}
	a.Watch(true, sent{p.checked[0]})
	a.Watch(false, arrived{p.checked[0]})
	b.Watch(false, sent{p.checked[1]})
	b.Watch(true, arrived{p.checked[1]})
	return p
}

func (w Wire) impairment(out link.Outages) link.Impairment {
	var mark link.Manager
	if w.Mark > 0 {
		mark = link.Step{Frames: w.Mark}
	}
	return link.Impairment{
		Manager: mark, Delay: w.Delay, Jitter: w.Jitter, Rate: w.Rate, Queue: w.Queue,
		Loss: w.Loss, Reorder: w.Reorder, Duplicate: w.Duplicate, Corrupt: w.Corrupt, Losses: out,
	}
}

// outages are the events in which the wire is out.
func (s Script) outages() (all link.Outages) {
	for _, e := range s.Events {
		if e.What == "out" {
			all = append(all, link.Outage{At: e.At, For: time.Duration(e.Arg)})
		}
	}
	return all
}

func (s Script) rebinds() (all []time.Duration) {
	for _, e := range s.Events {
		if e.What == "rebind" {
			all = append(all, e.At)
		}
	}
	return all
}

// last is when the last event is over.
func (s Script) last() time.Duration {
	end := dialled
	for _, e := range s.Events {
		if e.What == "out" {
			e.At += time.Duration(e.Arg)
		}
		end = max(end, e.At)
	}
	return end
}

// harmless says whether nothing happens that ends the connection early.
func (s Script) harmless() bool {
	for _, e := range s.Events {
		switch e.What {
		case "close", "abort", "closeread", "rebind":
			return false
		}
	}
	return true
}

func (p *play) run() error {
	if err := p.net.Start(); err != nil {
		return err
	}
	l, at, err := p.hosts[1].Listen()
	if err != nil {
		return err
	}
	p.net.Go(func(*sim.App) error {
		c, err := l.AcceptTCP()
		if err == nil {
			p.users[1].opened(c)
		}
		return nil
	})
	p.net.Go(func(a *sim.App) error {
		a.Until(dialled)
		if c, err := p.hosts[0].DialContext(p.users[0].ctx, "tcp", at.String()); err == nil {
			p.users[0].opened(c.(*tcp.Conn))
		} else if p.script.harmless() {
			return err
		}
		return nil
	})
	for _, u := range p.users {
		p.net.Go(u.act)
	}
	end := p.script.last() + finishing
	if err := p.net.Wait(end); err != nil {
		return err
	}
	if err := p.delivered(); err != nil {
		return err
	}
	for _, u := range p.users {
		u.close()
	}
	l.Close()
	if err := p.net.Wait(end + finishing); err != nil {
		return err
	}
	for i, h := range p.hosts {
		for _, c := range h.Connections() {
			return fmt.Errorf("%s still has %v -> %v in %v: %+v", names[i], c.Local, c.Remote, c.State, c)
		}
	}
	return nil
}

// delivered says whether everything came, where nothing kept it from coming.
func (p *play) delivered() error {
	if !p.script.harmless() {
		return nil
	}
	for i, u := range p.users {
		if from := p.users[1-i]; u.read != int(from.written.Load()) || !u.eof {
			return fmt.Errorf("%s has read %d of %d bytes, end of stream %v (%v), %v after all had been set right: %s",
				names[i], u.read, from.written.Load(), u.eof, u.err, finishing, from.state())
		}
	}
	return nil
}
