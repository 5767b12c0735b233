package machine

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// stateTo brings a node to the state s, with the peer's segments as bare as
// they can be.
func stateTo(n *node, s State) {
	before := map[State]State{
		SynReceived: SynSent, Established: SynSent, CloseWait: Established, FinWait1: Established, FinWait2: FinWait1,
		Closing: FinWait1, LastAck: CloseWait, TimeWait: FinWait2, Closed: Established,
	}
	if b, ok := before[s]; ok {
		stateTo(n, b)
	}
	switch s {
	case Listen:
		n.listening = true
	case SynSent:
		n.open()
	case SynReceived:
		n.peer(segment.SYN, 0, 0)
	case Established:
		n.peer(segment.SYN|segment.ACK, 0, 1)
	case CloseWait, Closing:
		n.peer(segment.FIN|segment.ACK, 1, 1)
	case FinWait1, LastAck:
		n.t.CloseWrite(n.now)
	case FinWait2:
		n.peer(segment.ACK, 1, 2)
	case TimeWait:
		n.peer(segment.FIN|segment.ACK, 1, 2)
	case Closed:
		n.t.Abort(nil)
	}
	n.pump()
}

// peer has a segment arrive with relative numbers.
func (n *node) peer(f segment.Flags, q, ack int) {
	s := segment.Segment{Seq: tcptest.IRS.Add(q), Ack: tcptest.ISS.Add(ack), Flags: f, Window: 5000}
	if f&segment.SYN != 0 {
		s.Opts = segment.Options{MSS: 1000, SackPermitted: true, HasScale: true, Scale: 3}
		if n.cfg.ECN == ECNAsk {
			s.Flags |= map[bool]segment.Flags{true: segment.ECE, false: segment.ECE | segment.CWR}[s.Has(segment.ACK)]
		}
	}
	n.arrives(n.flow, s)
}

// TestStates: RFC9293-3.3.2: the eleven states can all be reached.
func TestStates(t *testing.T) {
	tcptest.LeakCheck(t)
	for i := range stateNames {
		s, n := State(i), newNode(Config{}, tcptest.ISS)
		stateTo(n, s)
		if got := n.state(); got != s || n.err != nil {
			t.Errorf("%v is %v: %v", s, got, n.err)
		}
		n.end()
	}
}

// FuzzTCB has arbitrary segments, calls and times come to a connection in any
// state. Nothing panics or leaks, the invariants hold, and output changes
// nothing.
func FuzzTCB(f *testing.F) {
	f.Add(uint8(Listen), []byte{3, 2, 0xff, 1, 50, 6, 8, 9, 9, 0, 0, 0, 7, 9, 9, 0, 0, 0, 0, 0x10, 1, 1, 1, 1}) // Fast Open
	for s := range len(stateNames) {
		f.Add(uint8(s), []byte{0, 0x10, 1, 1, 0, 5, 3, 0xff, 1, 0x12, 0, 0, 9, 2, 2, 0x04, 1, 1, 1, 1})
		f.Add(uint8(s), []byte{4, 200, 3, 3, 3, 3, 0, 0x11, 100, 1, 1, 60, 7, 0x18, 2, 2, 2, 2, 6, 1, 0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, state uint8, p []byte) {
		live := packet.Live()
		cfg := Config{ReceiveBuffer: 3000, SendBuffer: 20000, ECN: ECNMode(state >> 4 % 3), Controllers: tcptest.ControllersOfTests()}
		if state >= 128 {
			cfg.Congestion = "precise"
		}
		n := newNode(cfg, tcptest.ISS)
		n.listener.FastOpenLimit = 2
		stateTo(n, State(int(state)%len(stateNames)))
		for ; len(p) >= 6 && n.err == nil; p = p[6:] {
			n.disturb(p)
			n.sent = nil
		}
		if n.err != nil {
			t.Fatal(n.err)
		}
		n.end()
		if k := packet.Live() - live; k != 0 {
			t.Fatalf("%d packets leak", k)
		}
	})
}

// disturb does what six bytes say.
func (n *node) disturb(p []byte) {
	t := n.t
	switch kind := p[0] % 10; {
	case kind <= 5 || t == nil || kind > 6 && n.departed():
		n.arrives(n.flow, n.strange(p))
	case kind == 6:
		n.advance(n.now.Add(time.Duration(p[1]) * time.Duration(p[2]) * time.Millisecond * 10))
	case kind == 7 && t.Writable():
		_, _ = t.Write(n.now, make([]byte, int(p[1])*int(p[2])))
	case kind == 8:
		_, _ = t.Read(make([]byte, 1+int(p[1])*int(p[2])))
	case kind == 9:
		n.call(p[1]%9, p)
	}
	if n.t != nil && n.t.state != TimeWait {
		n.check()
	}
	n.pump()
}

// call is one of the rarer calls.
func (n *node) call(which byte, p []byte) {
	t := n.t
	switch which {
	case 0:
		t.CloseWrite(n.now)
	case 1:
		t.CloseRead()
	case 2:
		t.Close(n.now)
	case 3:
		if p[2] < 20 {
			t.orphan = true
			t.Abort(nil)
		}
	case 4:
		t.SetKeepAlive(n.now, p[2]%2 == 0)
	case 5:
		t.OwnOptions().NoDelay = p[2]%2 == 0
	case 6:
		t.change(n.now, uint32(p[2])|uint32(p[3])<<8)
	default:
		r := ip.ICMPError{Type: p[2] % 13, Code: p[3] % 6, MTU: int(p[4]) * 8}
		binary.BigEndian.PutUint32(r.Transport[4:], uint32(t.snd.una.Add(int(p[5])-3)))
		t.IcmpError(n.now, r)
	}
}

// strange is a segment that is near what the connection expects.
func (n *node) strange(p []byte) segment.Segment {
	nxt, una := tcptest.IRS+1, tcptest.ISS
	if n.t != nil {
		nxt, una = n.t.rcv.nxt, n.t.snd.una
	}
	s := segment.Segment{
		Flags: segment.Flags(p[1]), Seq: nxt.Add(int(int8(p[2])) * 20), Ack: una.Add(int(int8(p[3])) * 30),
		Window: uint16(p[4]) * 40, Urgent: uint16(p[5]) * 100,
		ECN: ip.ECN(p[4] % 4),
	}
	if p[2] >= 0x80 && p[2] < 0xc0 { // quite right numbers, often
		s.Seq = nxt
	}
	if p[0]%2 == 0 {
		s.Flags |= segment.ACK
	}
	if p[5]%3 == 0 {
		s.Opts = segment.Options{HasTimestamps: true, TSVal: uint32(p[5]), SACKs: 2, SACK: [segment.MaxSACK]segment.Block{
			{Left: una.Add(int(p[4]) * 10), Right: una.Add(int(p[3]) * 30)}, {Left: una + 1000, Right: una + 2000}}}
	}
	if p[5]%5 == 1 {
		s.Opts.FastOpen = n.secrets.fastOpenCookie(n.flow, fastOpenPeriod(n.now))
	}
	s.Len = int(p[5]) * 7
	if p[0]%3 == 0 {
		s.Len = 0
	}
	if s.Len > 1460 {
		s.Train = 1460
	}
	s.Text = tcptest.Piece(0, s.Len, 0)
	return s
}

// TestTCBRandom is FuzzTCB with random bytes.
func TestTCBRandom(t *testing.T) {
	tcptest.LeakCheck(t)
	rnd := rand.New(rand.NewPCG(1, 5))
	for i := range 110 {
		n := newNode(Config{ReceiveBuffer: 3000, SendBuffer: 20000, ECN: ECNMode(i % 3)}, tcptest.ISS)
		n.listener.FastOpenLimit = 2
		stateTo(n, State(i%len(stateNames)))
		for range 40 {
			p := binary.BigEndian.AppendUint64(nil, rnd.Uint64())
			n.disturb(p)
			n.sent = nil
		}
		if n.err != nil {
			t.Fatalf("run %d: %v", i, n.err)
		}
		n.end()
	}
}
