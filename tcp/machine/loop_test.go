package machine

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A loopNet is a Loop and a client, a bare TCB, on a cable of one
// millisecond, in fake time.
type loopNet struct {
	t        *testing.T
	now      time.Time
	m        *Loop
	stats    Stats
	client   *TCB
	toServer ring.Queue[onCable]
	toClient ring.Queue[onCable]
	lose     func() bool // says whether the next packet is lost
}

type onCable struct {
	at time.Time
	b  *packet.Buffer
}

const cableTime = time.Millisecond

// withLoop runs fn with a Loop that serves port 80, and looks for leaks.
func withLoop(t *testing.T, serve Service, fn func(n *loopNet)) {
	t.Helper()
	before := packet.Live()
	n := &loopNet{t: t, now: tcptest.Start, lose: func() bool { return false }}
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}, MTU: 1500}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Table: ip.Publish(table), Random: rand.New(rand.NewPCG(1, 9)).Uint64, Congestion: "reno"}
	n.m = NewLoop(cfg, func(b *packet.Buffer) { n.put(&n.toClient, b) }, &n.stats)
	if err := n.m.Listen(netip.MustParseAddrPort("0.0.0.0:80"), serve); err != nil {
		t.Fatal(err)
	}
	f := tcptest.PeerFlow(1)
	clientCfg := cfg.withDefaults()
	n.client = newTCB(&clientCfg, new(Stats), ip.Flow{Local: f.Remote, Remote: f.Local}, tcptest.IRS, 1500)
	n.client.open(n.now)
	fn(n)
	n.m.Close(n.now)
	n.client.release()
	for _, q := range []*ring.Queue[onCable]{&n.toServer, &n.toClient} {
		for q.Len() > 0 {
			q.Pop().b.Release()
		}
	}
	if live := packet.Live() - before; live != 0 {
		t.Errorf("%d buffers leaked", live)
	}
}

// put brings a datagram to the other end of the cable, unless it is lost.
func (n *loopNet) put(q *ring.Queue[onCable], b *packet.Buffer) {
	b = b.Own()
	if n.lose() {
		b.Release()
		return
	}
	b.Pull(ipv4.Header(b.Bytes()).Len())
	q.Push(onCable{n.now.Add(cableTime), b})
}

// step lets the next thing happen, if it is due until end, and says whether
// there was one.
func (n *loopNet) step(end time.Time) bool {
	next := Earliest(n.m.Deadline(), n.client.Deadline())
	for _, q := range []*ring.Queue[onCable]{&n.toServer, &n.toClient} {
		if q.Len() > 0 {
			next = Earliest(next, q.At(0).at)
		}
	}
	if !Due(next, end) {
		return false
	}
	if next.After(n.now) {
		n.now = next
	}
	for n.toServer.Len() > 0 && Due(n.toServer.At(0).at, n.now) {
		b := n.toServer.Pop().b
		b.Arrived = n.now
		n.m.Arrives(b)
	}
	for n.toClient.Len() > 0 && Due(n.toClient.At(0).at, n.now) {
		b := n.toClient.Pop().b
		b.Arrived = n.now
		n.client.Arrives(b)
	}
	n.m.Expire(n.now)
	n.client.Expire(n.now)
	n.settle()
	return true
}

// settle has both ends say what they have to say.
func (n *loopNet) settle() {
	for n.m.Work(n.now) {
	}
	var s segment.Segment
	for n.client.output(n.now, &s) {
		n.put(&n.toServer, n.client.build(&s))
		n.client.sent(n.now, &s)
	}
	n.client.Blocked(n.now)
}

// run lets things happen until done, for a minute at most.
func (n *loopNet) run(what string, done func() bool) {
	n.t.Helper()
	for end := n.now.Add(time.Minute); !done(); {
		n.settle()
		if !n.step(end) {
			n.t.Fatalf("after a minute: %s is not done; the client is in %v", what, n.client.state)
		}
	}
}

func (n *loopNet) open() {
	n.t.Helper()
	n.run("the handshake", func() bool { return n.client.state == Established })
}

// echo is a Service that sends back what comes.
func echo(s *Stream) bool {
	buf := make([]byte, 5000)
	for s.Writable() {
		got, err := s.Read(buf)
		if got > 0 {
			s.Write(buf[:got])
		}
		if err != nil {
			s.Close()
		}
		if got == 0 || err != nil {
			break
		}
	}
	return false
}

// TestLoop: text goes to a service and back, through losses, and
// both ends close.
func TestLoop(t *testing.T) {
	for _, every := range []int{0, 31, 7} {
		withLoop(t, echo, func(n *loopNet) {
			packets := 0
			n.lose = func() bool {
				packets++
				return every > 0 && packets%every == 0
			}
			n.open()
			want := make([]byte, 300_000)
			for i := range want {
				want[i] = byte(i * 7 >> 3)
			}
			var got []byte
			rest, buf := want, make([]byte, len(want))
			n.run("the echo", func() bool {
				if n.client.Writable() && len(rest) > 0 {
					w, _ := n.client.Write(n.now, rest)
					rest = rest[w:]
				}
				r, _ := n.client.Read(buf)
				got = append(got, buf[:r]...)
				return len(got) == len(want)
			})
			if !bytes.Equal(got, want) {
				t.Error("it is not what was sent")
			}
			n.client.Close(n.now)
			n.run("the end", func() bool { return n.client.Over() && len(n.m.streams) == 0 })
			if c, s := n.client.state, n.stats.Closed.Load(); c != TimeWait || s != 1 {
				t.Errorf("the client is in %v; the server has closed %d", c, s)
			}
		})
	}
}

// TestLoopReset: a service hears of a reset, and is called no more.
func TestLoopReset(t *testing.T) {
	var errs []error
	serve := func(s *Stream) bool {
		if _, err := s.Read(make([]byte, 10)); err != nil {
			errs = append(errs, err)
			s.Close()
		}
		return false
	}
	withLoop(t, serve, func(n *loopNet) {
		n.open()
		n.client.Abort(nil)
		n.run("the reset", func() bool { return len(n.m.streams) == 0 && len(errs) > 0 })
		if len(errs) != 1 || !errors.Is(errs[0], syscall.ECONNRESET) {
			t.Errorf("errors %v", errs)
		}
	})
}

// TestLoopTimeWait: the end that closes first waits, without a stream.
func TestLoopTimeWait(t *testing.T) {
	serve := func(s *Stream) bool { s.Close(); return false }
	withLoop(t, serve, func(n *loopNet) {
		n.open()
		n.run("the FIN", func() bool { return n.client.state == CloseWait })
		if _, err := n.client.Read(nil); err != io.EOF {
			t.Errorf("the client reads %v", err)
		}
		n.client.Close(n.now)
		n.run("the wait", func() bool { return len(n.m.timeWaits.byFlow) == 1 })
		if len(n.m.streams) != 0 {
			t.Error("there is a stream in TIME-WAIT")
		}
		n.now = n.now.Add(2 * n.m.cfg.MSL)
		if n.m.Expire(n.now); len(n.m.timeWaits.byFlow) != 0 {
			t.Error("it waits for ever")
		}
	})
}

// TestLoopListen: listening fails as that of sockets does.
func TestLoopListen(t *testing.T) {
	withLoop(t, echo, func(n *loopNet) {
		for at, want := range map[string]error{
			"0.0.0.0:80": syscall.EADDRINUSE, "10.0.0.9:81": syscall.EADDRNOTAVAIL, "0.0.0.0:0": syscall.EADDRNOTAVAIL, "10.0.0.1:80": syscall.EADDRINUSE, "10.0.0.1:81": nil,
		} {
			if err := n.m.Listen(netip.MustParseAddrPort(at), echo); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", at, err, want)
			}
		}
	})
}

// TestLoopAllocations: nothing is allocated for a byte there and back.
func TestLoopAllocations(t *testing.T) {
	buf := make([]byte, 16)
	serve := func(s *Stream) bool {
		if n, _ := s.Read(buf); n > 0 {
			s.Write(buf[:n])
		}
		return false
	}
	withLoop(t, serve, func(n *loopNet) {
		n.open()
		one := make([]byte, 1)
		round := func() {
			n.client.Write(n.now, one)
			n.settle()
			for !n.client.Readable() {
				n.step(n.now.Add(time.Second))
			}
			n.client.Read(one)
		}
		for range 100 {
			round()
		}
		if packet.Checked {
			return
		}
		if a := testing.AllocsPerRun(200, round); a > 0.5 {
			t.Errorf("%v allocations", a)
		}
	})
}
