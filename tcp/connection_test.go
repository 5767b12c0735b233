package tcp

import (
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A caller is a peer in real time that makes short connections to a server:
// each sends a byte, has it back, and closes.
type caller struct {
	in, out chan *packet.Buffer
	flow    ip.Flow     // as the server sees it
	nxt     segment.Seq // of the caller
	rcv     segment.Seq // and of the server
}

// echoTo serves the connections of l.
func echoTo(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func(conn net.Conn) {
			buf := make([]byte, 64)
			for {
				n, err := conn.Read(buf)
				if err != nil {
					break
				}
				conn.Write(buf[:n])
			}
			conn.Close()
		}(conn)
	}
}

// withCaller runs f with a caller of what serves.
func withCaller(tb testing.TB, serve func(l net.Listener), f func(c *caller)) {
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	c := &caller{in: make(chan *packet.Buffer, 16), out: make(chan *packet.Buffer, 16), flow: tcptest.PeerFlow(1)}
	inbox, ended := edge.InboxOf(c.in), make(chan struct{})
	calls := edge.New[Call](1, inbox)
	cfg := Config{Table: ip.Publish(table), Random: rand.New(rand.NewPCG(1, 8)).Uint64}
	go func() {
		tx := edge.To(c.out).Out()
		out, queue := ip.Edges{Loop: tx}, NewTransmitQueue(tx)
		go Transmit(queue, tx)
		Demux(inbox, edge.In[ip.ICMPError]{}, calls.In(), out, []*TransmitQueue{queue}, out, nil, cfg, new(Stats))
		close(ended)
	}()
	s := NewSockets(calls.Out(), ended)
	l, err := s.Listen(netip.AddrPortFrom(netip.IPv4Unspecified(), 80))
	if err != nil {
		tb.Fatal(err)
	}
	go serve(l)
	f(c)
	l.Close()
	s.Shutdown()
	inbox.Close()
	<-ended
}

// send has the server get a segment.
func (c *caller) send(f segment.Flags, text string) {
	s := segment.Segment{Seq: c.nxt, Ack: c.rcv, Flags: f, Len: len(text), Window: 60000}
	if f == segment.SYN {
		s.Opts = segment.Options{MSS: 1460, HasScale: true, Scale: 7, SackPermitted: true}
	}
	b := packet.Get(len(text))
	b.Append([]byte(text))
	to := ip.Flow{Local: c.flow.Remote, Remote: c.flow.Local}
	segment.Encode(b, &s, &to)
	ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolTCP, Src: to.Local.Addr(), Dst: to.Remote.Addr()})
	b.Pull(ipv4.MinHeaderLen)
	b.CompleteChecksum()
	b.Arrived = time.Now()
	c.nxt = s.End()
	c.in <- b
}

// want waits for a segment of the server with the flags f, and takes it.
func (c *caller) want(f segment.Flags) {
	for {
		b := <-c.out
		h := segment.Header(b.Bytes()[ipv4.MinHeaderLen:])
		got, end := h.Flags(), h.Seq().Add(len(h)-h.Len())
		b.Release()
		if got&(segment.SYN|segment.FIN) != 0 {
			end++
		}
		c.rcv = end
		if got&f == f {
			return
		}
	}
}

// open begins a connection.
func (c *caller) open() {
	c.flow.Remote.Port = 1024 + (c.flow.Remote.Port+1)%60000
	c.nxt, c.rcv = tcptest.IRS, 0
	c.send(segment.SYN, "")
	c.want(segment.SYN | segment.ACK)
	c.send(segment.ACK, "")
}

// call makes one connection.
func (c *caller) call() {
	c.open()
	c.send(segment.ACK|segment.PSH, "a")
	c.want(segment.PSH)
	c.send(segment.FIN|segment.ACK, "")
	c.want(segment.FIN)
	c.send(segment.ACK, "")
}

// connectionCost is the most allocations that a short connection may cost, with
// two of the server's own.
const connectionCost = 12

// TestConnectionCost counts them.
func TestConnectionCost(t *testing.T) {
	if packet.Checked {
		t.Skip("under -race packets are not used again")
	}
	withCaller(t, echoTo, func(c *caller) {
		for range 100 {
			c.call()
		}
		if n := testing.AllocsPerRun(1000, c.call); n > connectionCost {
			t.Errorf("%v allocations, which should be %d at most", n, connectionCost)
		}
	})
}

// BenchmarkConnection makes, uses and ends connections to a server, one after
// the other.
func BenchmarkConnection(b *testing.B) {
	withCaller(b, echoTo, func(c *caller) {
		b.ReportAllocs()
		for b.Loop() {
			c.call()
		}
	})
}

// BenchmarkHTTP has package net/http serve requests on one connection.
func BenchmarkHTTP(b *testing.B) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1000)) })}
	withCaller(b, func(l net.Listener) { server.Serve(l) }, func(c *caller) {
		c.open()
		b.ReportAllocs()
		for b.Loop() {
			c.send(segment.ACK|segment.PSH, "GET / HTTP/1.1\r\nHost: server\r\n\r\n")
			c.want(segment.PSH)
		}
		server.Close()
	})
}
