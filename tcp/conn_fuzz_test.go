package tcp

import (
	"context"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A life is a connection in the hands of a fuzzer: with its process, its user
// and the demultiplexer around it.
type life struct {
	*peer
	c        *Conn     // nil while there is none
	l        *Listener // nil without
	dialing  <-chan dialed
	hangUp   context.CancelFunc
	nxt, una segment.Seq // what the stack expects next, and the end of what it has sent
}

// liveIn brings a connection to the state s by what comes over the network and
// from the user.
func (p *peer) liveIn(s State) *life {
	x := &life{peer: p}
	switch s {
	case Listen, SynReceived:
		x.l = p.listen()
		if s == SynReceived {
			p.send("S 0:0(0) win 60000 <mss 1000,TS val 1 ecr 0>")
		}
	case SynSent:
		var ctx context.Context
		ctx, x.hangUp = context.WithCancel(context.Background())
		x.dialing = p.dial(ctx)
	default:
		x.c = p.connected()
	}
	switch s {
	case Closed:
		x.c.SetLinger(0)
		x.c.Close()
	case FinWait1, FinWait2, Closing, TimeWait:
		x.c.CloseWrite()
	case CloseWait, LastAck:
		p.send("F. 1:1(0) ack 1 win 60000")
	}
	switch s {
	case LastAck:
		x.c.CloseWrite()
	case FinWait2, TimeWait:
		p.send(". 1:1(0) ack 2 win 60000")
	case Closing:
		p.send("F. 1:1(0) ack 1 win 60000")
	}
	if s == TimeWait {
		p.send("F. 1:1(0) ack 2 win 60000")
	}
	x.nxt, x.una = p.irs+1, p.iss+1
	x.hear()
	return x
}

// hear takes what the stack has sent.
func (x *life) hear() {
	for s := x.next(); s != nil; s = x.next() {
		if s.Has(segment.SYN) {
			x.flow, x.iss, x.una = s.Flow, s.Seq, s.Seq
		}
		if s.Has(segment.ACK) {
			x.nxt = s.Ack
		}
		if !s.Has(segment.RST) {
			x.una = segment.Later(x.una, s.End())
		}
	}
}

// state is that of the connection, as the stack tells it.
func (x *life) state() (s State) {
	for _, i := range x.sockets.Connections() {
		if s = i.State; s != Listen {
			return s
		}
	}
	return s
}

// disturb does what six bytes say: a segment that is near what is expected,
// time that passes, or a call.
func (x *life) disturb(p []byte) {
	switch kind := p[0] % 10; {
	case kind <= 6:
		x.strange(p)
	case kind == 7:
		time.Sleep(time.Duration(p[1]) * time.Duration(p[2]) * 10 * time.Millisecond)
	case x.c == nil:
	case kind == 8:
		x.call(p)
	default:
		r := ip.ICMPError{Type: p[2] % 13, Code: p[3] % 6, MTU: int(p[4]) * 8, Protocol: ip.ProtocolTCP, Src: tcptest.HostAddr, Dst: tcptest.PeerAddr}
		binary.BigEndian.PutUint16(r.Transport[:], x.flow.Local.Port)
		binary.BigEndian.PutUint16(r.Transport[2:], x.flow.Remote.Port)
		binary.BigEndian.PutUint32(r.Transport[4:], uint32(x.una.Add(-int(p[5]))))
		x.icmpErrors.Out().Send(r)
	}
	synctest.Wait()
	x.hear()
}

// strange has a segment arrive.
func (x *life) strange(p []byte) {
	s := segment.Segment{
		Flags: segment.Flags(p[1]), Seq: x.nxt.Add(int(int8(p[2])) * 20), Ack: x.una.Add(int(int8(p[3])) * 30),
		Window: uint16(p[4]) * 40, Urgent: uint16(p[5]) * 100, ECN: ip.ECN(p[4] % 4),
	}
	if p[0]%2 == 0 {
		s.Flags |= segment.ACK
	}
	if p[2]%2 == 0 {
		s.Seq = x.nxt
	}
	if p[5]%3 == 0 {
		s.Opts = segment.Options{HasTimestamps: true, TSVal: uint32(p[5]), SACKs: 1, SACK: [segment.MaxSACK]segment.Block{{Left: x.una.Add(-int(p[4])), Right: x.una}}}
	}
	b := tcptest.Wire(s, ip.Flow{Local: x.flow.Remote, Remote: x.flow.Local}, make([]byte, int(p[5])%4*700))
	b.Arrived = time.Now()
	x.in <- b
}

// call is one of the user's.
func (x *life) call(p []byte) {
	c, n := x.c, int(p[3])*int(p[4])
	switch p[2] % 8 {
	case 0:
		go c.Write(make([]byte, n))
	case 1:
		go c.Read(make([]byte, 1+n))
	case 2:
		c.CloseWrite()
	case 3:
		c.CloseRead()
	case 4:
		c.SetKeepAlive(p[3]%2 == 0)
	case 5:
		c.SetNoDelay(p[3]%2 == 0)
	case 6:
		names := congestion.Names()
		c.SetCongestionControl(names[n%len(names)])
		c.SetLossRecovery([]string{"rack", "sack", "newreno"}[n>>8%3])
	case 7:
		if p[3] < 30 {
			c.SetLinger(int(p[4]) - 1)
			go c.Close()
		}
	}
}

// over ends all, and fails when something is left after all timeouts.
func (x *life) over() {
	if x.dialing != nil {
		x.hangUp()
		x.c = (<-x.dialing).c
	}
	if x.c != nil {
		x.c.SetLinger(-1)
		x.c.Close()
	}
	if x.l != nil {
		x.l.Close()
	}
	for range 40 {
		time.Sleep(30 * time.Second)
		x.hear()
	}
	for _, i := range x.sockets.Connections() {
		x.t.Errorf("this is left: %+v", i)
	}
}

// TestLives: RFC9293-3.3.2: a live connection comes to each of the eleven states.
func TestLives(t *testing.T) {
	for i := range TimeWait + 1 {
		withPeer(t, Config{}, func(p *peer) {
			x := p.liveIn(State(i))
			if s := x.state(); s != State(i) {
				t.Errorf("%v is %v", State(i), s)
			}
			x.over()
		})
	}
}

// FuzzConn has arbitrary segments, reports, calls and times come to a live
// connection in any state. Nothing panics, hangs or leaks, and all of it ends.
func FuzzConn(f *testing.F) {
	for s := range TimeWait + 1 {
		f.Add(uint8(s), []byte{0, 0x10, 1, 1, 0, 5, 3, 0xff, 1, 0x12, 0, 0, 8, 2, 2, 0x04, 1, 1})
		f.Add(uint8(s), []byte{8, 0, 0, 100, 100, 0, 2, 0x11, 2, 0, 60, 1, 7, 200, 100, 0, 0, 0, 2, 0x18, 3, 0, 2, 2, 2, 4, 0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, state uint8, program []byte) {
		withPeer(t, Config{ReceiveBuffer: 3000, SendBuffer: 20000}, func(p *peer) {
			x := p.liveIn(State(state % uint8(TimeWait+1)))
			for ; len(program) >= 6; program = program[6:] {
				x.disturb(program)
			}
			x.over()
		})
	})
}
