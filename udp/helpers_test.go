package udp

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

var (
	self    = netip.MustParseAddr("10.0.0.2")
	self2   = netip.MustParseAddr("172.16.0.2")
	peer    = netip.MustParseAddr("10.0.0.9")
	gateway = netip.MustParseAddr("10.0.0.1")
	group   = netip.MustParseAddr("239.1.2.3")
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// testTable is a host at 10.0.0.2/24 behind the gateway 10.0.0.1, with another
// link to 172.16.0.0/16.
func testTable(t testing.TB) *ip.CurrentTable {
	t.Helper()
	table, err := ip.NewTable([]ip.Interface{
		{Addrs: []netip.Prefix{netip.PrefixFrom(self, 24)}},
		{Addrs: []netip.Prefix{netip.PrefixFrom(self2, 16)}},
	}, []ip.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: gateway}})
	if err != nil {
		t.Fatal(err)
	}
	return ip.Publish(table)
}

func testConfig(t testing.TB) Config {
	return Config{Table: testTable(t), Random: func() uint64 { return 0x1234 }}
}

// deliver makes of an outgoing datagram one as ipv4.Rx passes it up.
func deliver(t testing.TB, b *packet.Buffer) *packet.Buffer {
	t.Helper()
	n := ipv4.Header(b.Bytes()).Len()
	h := b.Bytes()[:n]
	h[10], h[11] = 0, 0
	sum := checksum.Of(h)
	h[10], h[11] = byte(sum>>8), byte(sum)
	network, err := ipv4.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	b.MarkNetwork()
	b.Trim(network.TotalLen())
	b.Pull(n)
	b.Arrived = time.Now()
	return b
}

// received is a datagram as ipv4.Rx passes it up, off the wire.
func received(t testing.TB, src, dst, data string) *packet.Buffer {
	t.Helper()
	b := outgoing(src, dst, data)
	b.CompleteChecksum()
	return deliver(t, b)
}

func outgoing(src, dst, data string) *packet.Buffer {
	b := packet.From([]byte(data))
	Push(b, addr(src), addr(dst))
	ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: addr(src).Addr(), Dst: addr(dst).Addr()})
	return b
}

// A rig is a Demux and Sockets with all their channels.
type rig struct {
	*Sockets
	in, tx   chan *packet.Buffer
	inbox    *edge.Inbox // of in
	errs     *edge.Edge[ip.ICMPError]
	joins    chan ip.Membership
	requests chan ip.ErrorRequest
	ended    chan struct{}
	stats    Stats
	finish   func() // ends Demux, once
}

// start starts Demux with cfg, and ends it with the test, which may not leave
// buffers behind.
func start(t testing.TB, cfg Config) *rig {
	t.Helper()
	live := packet.Live()
	r := &rig{
		in: make(chan *packet.Buffer, 1), tx: make(chan *packet.Buffer, 4),
		joins:    make(chan ip.Membership),
		requests: make(chan ip.ErrorRequest, 1), ended: make(chan struct{}),
	}
	r.inbox = edge.InboxOf(r.in)
	r.errs = edge.New[ip.ICMPError](1, r.inbox)
	calls := edge.New[Call](1, r.inbox)
	r.Sockets = NewSockets(calls.Out(), ip.Edges{Loop: edge.To(r.tx).Out()}, edge.To(r.joins).Out(), r.ended, cfg, &r.stats)
	go func() {
		defer close(r.ended)
		Demux(r.inbox, r.errs.In(), calls.In(), edge.To(r.requests).Out(), cfg, &r.stats)
	}()
	isEnded := false
	r.finish = func() {
		if !isEnded {
			isEnded = true
			r.inbox.Close()
			<-r.ended
		}
	}
	t.Cleanup(func() {
		r.finish()
		for range len(r.tx) {
			(<-r.tx).Release()
		}
		for range len(r.requests) {
			(<-r.requests).Packet.Release()
		}
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
	return r
}

// fail has ICMP report an error.
func (r *rig) fail(err ip.ICMPError) {
	r.errs.Out().Send(err)
	synctest.Wait()
}

// loop brings what is sent back to Demux, as IP does with own addresses. It
// ends with the test.
func (r *rig) loop(t testing.TB) {
	quit := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case b := <-r.tx:
				b.Link = -1
				r.in <- deliver(t, b)
			case <-quit:
				return
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-done })
}

// answerJoins grants every membership, and counts those that are held.
func (r *rig) answerJoins(t testing.TB) map[membership]int {
	held := map[membership]int{}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case m := <-r.joins:
				held[membership{m.Group, m.Link}]++
				if !m.Join {
					held[membership{m.Group, m.Link}] -= 2
				}
				m.Done <- nil
			case <-quit:
				return
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-done })
	return held
}

func (r *rig) listen(t testing.TB, local string) *Conn {
	t.Helper()
	c, err := r.Listen(addr(local))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *rig) dial(t testing.TB, local, remote string) *Conn {
	t.Helper()
	var from netip.AddrPort
	if local != "" {
		from = addr(local)
	}
	c, err := r.Dial(from, addr(remote))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantRead reads what must be there, or has to come.
func wantRead(t testing.TB, c *Conn, want, from string) {
	t.Helper()
	p := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(time.Second))
	n, src, err := c.ReadFromAddrPort(p)
	if err != nil || string(p[:n]) != want || src != addr(from) {
		t.Errorf("read %q from %v, %v; want %q from %s", p[:n], src, err, want, from)
	}
	c.SetReadDeadline(time.Time{})
}

func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// noLeak fails t when what it does leaves buffers behind.
func noLeak(t testing.TB) {
	t.Helper()
	before := packet.Live()
	t.Cleanup(func() {
		if n := packet.Live() - before; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
}
