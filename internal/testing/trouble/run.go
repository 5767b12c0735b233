package trouble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/referee"
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

// Run plays a script, and returns what went wrong. Fault changes what host a
// sends and receives, as if its TCP were wrong, to show that it is found; nil
// changes nothing. Text
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
//	a ══ fault ══ referee ══ left ══ nat ══ the wire ══ right ══ referee ══ b
type play struct {
	net    *sim.Net
	script Script
	hosts  [2]*sim.Host
	users  [2]*user
	judges [2]*referee.Referee
	cookie atomic.Int64 // the port of the connection that gets a's cookie for Fast Open
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
	left, right := n.Router("left"), n.Router("right")
	near := sim.LinkConfig{MTU: max(link.DefaultMTU, s.Wire.MTU)}
	a := n.Join(p.hosts[0], left, sim.LinkConfig{MTU: near.MTU, AtA: fault})
	n.Join(left, right, sim.LinkConfig{
		AB: s.Wire.impairment(s.outages()), BA: s.Wire.impairment(s.outages()), MTU: s.Wire.MTU,
		AtA: func(l link.Link) link.Link { return newNAT(l, p.hosts[0].Addr(), s.rebinds(), time.Now()) },
	})
	b := n.Join(right, p.hosts[1], near)
	for i := range p.judges {
		p.judges[i] = p.referee(i)
	}
	a.Watch(true, referee.Sent{Referee: p.judges[0]})
	a.Watch(false, referee.Arrived{Referee: p.judges[0]})
	b.Watch(false, referee.Sent{Referee: p.judges[1]})
	b.Watch(true, referee.Arrived{Referee: p.judges[1]})
	return p
}

// referee watches the host of one end.
func (p *play) referee(end int) *referee.Referee {
	return &referee.Referee{
		Foul: func(err error) {
			p.net.Fail(fmt.Errorf("%s at %v: %w", names[end], p.net.Now(), err))
		},
		Differs: func(got []byte, from int) int { return differs(got, end, from) },
	}
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
	p.net.Go(func(*sim.App) error { p.accept(l); return nil })
	p.net.Go(func(a *sim.App) error {
		a.Until(dialled)
		if err := p.dial(at.String()); err != nil && p.script.harmless() {
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

// dial has a connect. With Fast Open it does so twice: the first connection
// gets the cookie.
func (p *play) dial(at string) error {
	u := p.users[0]
	if !p.script.Ends[0].FastOpen {
		c, err := p.hosts[0].DialContext(u.ctx, "tcp", at)
		if err == nil {
			u.opened(c.(*tcp.Conn))
		}
		return err
	}
	first, err := p.hosts[0].DialFastOpen(u.ctx, "tcp", at, nil)
	if err != nil {
		return err
	}
	p.cookie.Store(int64(first.LocalAddr().(*net.TCPAddr).Port))
	first.Close()
	early := text(0, 0, 700)
	u.written.Add(int64(len(early)))
	c, err := p.hosts[0].DialFastOpen(u.ctx, "tcp", at, early)
	if err == nil {
		u.opened(c)
	}
	return err
}

// accept has b accept a's connection.
func (p *play) accept(l *tcp.Listener) {
	if p.script.Ends[0].FastOpen {
		l.SetFastOpen(10)
	}
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return
		}
		if int64(c.RemoteAddr().(*net.TCPAddr).Port) != p.cookie.Load() {
			p.users[1].opened(c)
			return
		}
		c.Close()
	}
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
		if sent, heard := p.judges[i].Seen(); sent == 0 || heard == 0 {
			return fmt.Errorf("%s: the referee has seen %d segments sent, and %d that arrived", names[i], sent, heard)
		}
	}
	return nil
}
