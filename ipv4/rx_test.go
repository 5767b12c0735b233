package ipv4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
	counters "github.com/seed-012105e5/gonet/internal/counter"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// An rxBench is a receiver between channels that a test holds.
type rxBench struct {
	*receiver
	icmp, udp, tcp, tx chan *packet.Buffer
	requests           chan ip.ErrorRequest
	filters            []*ethernet.Filter
}

func newRxBench(cfg RxConfig) *rxBench {
	x := &rxBench{
		icmp: make(chan *packet.Buffer, 64), udp: make(chan *packet.Buffer, 64), tcp: make(chan *packet.Buffer, 64),
		tx: make(chan *packet.Buffer, 64), requests: make(chan ip.ErrorRequest, 64),
	}
	cfg.Random = seeded()
	x.receiver = newReceiver(x.up(), x.toLinks(cfg.Table.Load().Links()), ip.Edges{Loop: edge.To(x.tx).Out()}, edge.To(x.requests).Out(), cfg, &Stats{})
	return x
}

func (x *rxBench) up() Up {
	return Up{ICMP: edge.To(x.icmp).Out(), UDP: edge.To(x.udp).Out(), TCP: edge.To(x.tcp).Out()}
}

func (x *rxBench) toLinks(n int) []*ethernet.Filter {
	for range n {
		x.filters = append(x.filters, ethernet.NewFilter(ethernet.Addr{2}))
	}
	return x.filters
}

// outcome empties the channels, and says what was in them and which counters
// of drops have gone up since the last time. It releases the packets, once
// look has seen them.
func (x *rxBench) outcome(look func(*packet.Buffer)) string {
	var all []string
	take := func(name string, b *packet.Buffer) {
		all = append(all, name)
		if look != nil {
			look(b)
		}
		b.Release()
	}
	for done := false; !done; {
		select {
		case b := <-x.icmp:
			take("icmp", b)
		case b := <-x.udp:
			take("udp", b)
		case b := <-x.tcp:
			take("tcp", b)
		case b := <-x.tx:
			take("tx", b)
		case p := <-x.requests:
			take(fmt.Sprintf("error %d.%d %#x", p.Type, p.Code, p.Value), p.Packet)
		default:
			done = true
		}
	}
	counters.Read("", x.stats, func(name string, value uint64) {
		if value > 0 && strings.HasPrefix(name, ".Drop") {
			all = append(all, fmt.Sprintf("%s %d", name[1:], value))
		}
	})
	*x.stats = Stats{}
	return strings.Join(all, ", ")
}

// withBytes is a datagram with some bytes of the header changed, and the
// checksum right.
func withBytes(f Fields, payload []byte, at int, v ...byte) *packet.Buffer {
	b := built(f, payload)
	copy(b.Bytes()[at:], v)
	Header(b.Bytes()).updateChecksum()
	return b
}

// RFC1122-3.1-6: what becomes of one datagram on a host. See twoLinks.
func TestRxHost(t *testing.T) {
	noLeaks(t)
	x := newRxBench(RxConfig{Table: twoLinks(t)})
	defer x.receiver.close()
	if err := x.igmp.join(epoch, 1, groupA); err != nil {
		t.Fatal(err)
	}
	x.afterIGMP()
	x.outcome(nil)
	datagram := func(src, dst string) Fields {
		return Fields{Protocol: ip.ProtocolUDP, Src: addr(src), Dst: addr(dst)}
	}
	protocol := func(n uint8) Fields {
		return Fields{Protocol: n, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")}
	}
	options := func(o ...byte) Fields {
		f := protocol(ip.ProtocolTCP)
		f.Options = o
		return f
	}
	plain := func(f Fields) *packet.Buffer { return built(f, pattern(64)) }
	on := func(link int, b *packet.Buffer) *packet.Buffer { b.Link = link; return b }
	toGroup := func(b *packet.Buffer) *packet.Buffer { b.Group = true; return b }

	for _, c := range []struct {
		name string
		b    *packet.Buffer
		want string
	}{
		{"RFC1122-3.1-1 TCP", plain(protocol(ip.ProtocolTCP)), "tcp"},
		{"RFC1122-3.1-1 UDP", plain(protocol(ip.ProtocolUDP)), "udp"},
		{"RFC1122-3.1-1 ICMP", plain(protocol(ip.ProtocolICMP)), "icmp"},
		{"RFC1122-3.2.2.1-1 unknown protocol", plain(protocol(132)), "error 3.2 0x0, DropProtocol 1"},
		{"RFC1122-3.1-4,RFC1122-3.2.1.3-3 not forwarded", plain(datagram("10.0.0.9", "8.8.8.8")), "DropNotForUs 1"},
		{"RFC1122-3.1-4,RFC1122-3.1-5 not forwarded to another link", plain(datagram("10.0.0.9", "192.168.7.2")), "DropNotForUs 1"},
		{"RFC1122-3.2.1.1 version 6", withBytes(protocol(6), nil, 0, 0x65), "DropVersion 1"},
		{"bad length", withBytes(protocol(6), nil, 2, 0, 21), "DropLength 1"},
		{"RFC1122-3.2.1.2 bad checksum", func() *packet.Buffer { b := plain(protocol(6)); b.Bytes()[10] ^= 1; return b }(), "DropChecksum 1"},
		{"weak end system", on(1, plain(protocol(ip.ProtocolTCP))), "tcp"},
		{"RFC1122-3.2.1.7-2 time to live 1", withBytes(protocol(ip.ProtocolTCP), nil, 8, 1), "tcp"},
		{"RFC1122-3.2.1.7-2 time to live 0", withBytes(protocol(ip.ProtocolTCP), nil, 8, 0), "tcp"},

		{"RFC1122-3.2.1.3-4 from a group", plain(datagram("224.0.0.9", "10.0.0.2")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-4 from all", plain(datagram("255.255.255.255", "10.0.0.2")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-4 from all of a network", plain(datagram("10.0.1.255", "10.0.0.2")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-4 from all, old form", plain(datagram("10.0.1.0", "10.0.0.2")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-4 from loopback", plain(datagram("127.0.0.1", "10.0.0.2")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-3 to loopback", plain(datagram("10.0.0.9", "127.0.0.1")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-4 from ourselves", plain(datagram("10.0.0.3", "10.0.0.2")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-4 from nobody to one", plain(datagram("0.0.0.0", "10.0.0.2")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-4 from nobody to all", toGroup(plain(datagram("0.0.0.0", "255.255.255.255"))), "udp"},
		{"RFC1122-3.2.1.3-4 from this network", plain(datagram("0.0.0.5", "255.255.255.255")), "DropMartian 1"},
		{"RFC1122-3.2.1.3-3 to this network", plain(datagram("10.0.0.9", "0.0.0.5")), "DropNotForUs 1"},
		{"looped back", on(-1, plain(datagram("127.0.0.1", "127.0.0.1"))), "udp"},
		{"looped back from ourselves", on(-1, plain(datagram("10.0.0.2", "10.0.0.2"))), "udp"},
		{"looped back to another", on(-1, plain(datagram("10.0.0.2", "8.8.8.8"))), "DropNotForUs 1"},

		{"RFC1122-3.3.6-1 limited broadcast", toGroup(plain(datagram("10.0.0.9", "255.255.255.255"))), "udp"},
		{"RFC1122-3.3.6-1 obsolete broadcast", toGroup(plain(datagram("10.0.0.9", "0.0.0.0"))), "udp"},
		{"RFC1122-3.3.6-1 of the network", toGroup(plain(datagram("10.0.0.9", "10.0.0.255"))), "udp"},
		{"RFC1122-3.3.6-1 of another network of ours", toGroup(plain(datagram("10.0.0.9", "192.168.7.3"))), "udp"},
		{"RFC1122-3.3.6-1 old form", toGroup(plain(datagram("10.0.0.9", "10.0.1.0"))), "udp"},
		{"RFC1122-3.3.6-3 to one in a frame to all", toGroup(plain(datagram("10.0.0.9", "10.0.0.2"))), "DropLinkBroadcast 1"},

		{"RFC1112-7.2 all-hosts", toGroup(plain(datagram("10.0.0.9", "224.0.0.1"))), "udp"},
		{"RFC1112-7.2 group", on(1, toGroup(plain(datagram("192.168.7.2", "239.1.2.3")))), "udp"},
		{"group of another link", toGroup(plain(datagram("10.0.0.9", "239.1.2.3"))), "DropNotForUs 1"},
		{"group not joined", on(1, toGroup(plain(datagram("192.168.7.2", "239.1.2.4")))), "DropNotForUs 1"},
		{"group looped back", on(-1, plain(datagram("192.168.7.1", "239.1.2.3"))), "udp"},

		{"RFC1122-3.2.1.8-3,MUST-50 unknown option", plain(options(0x99, 4, 1, 2)), "tcp"},
		{"RFC1122-3.2.1.8-4 stream identifier", plain(options(136, 4, 1, 2)), "tcp"},
		{"RFC1122-3.2.1.8-2 record route", plain(options(7, 7, 4, 0, 0, 0, 0, 0)), "tcp"},
		{"RFC1122-3.2.2.5-1 malformed", plain(options(1, 1, 7, 9)), "error 12.0 0x17000000, DropOptions 1"},
		{"RFC1122-3.3.5-3 source route at its end", plain(options(131, 7, 8, 1, 2, 3, 4, 0)), "error 3.5 0x0, DropSourceRoute 1"},
		{"RFC1122-3.3.5-2,RFC1122-3.3.5-3 source route on its way", plain(options(137, 7, 4, 1, 2, 3, 4, 0)), "error 3.5 0x0, DropSourceRoute 1"},
		{"RFC1122-3.2.1.8-9 two source routes", plain(options(131, 3, 4, 137, 3, 4, 0, 0)), "error 12.0 0x17000000, DropOptions 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x.receive(c.b)
			if got := x.outcome(nil); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// RFC1122-3.2.1.8-6, RFC1122-3.2.1.8-7: with the switch on, routes that end here are taken, and no others.
func TestRxAcceptSourceRoute(t *testing.T) {
	noLeaks(t)
	x := newRxBench(RxConfig{Table: twoLinks(t), AcceptSourceRoute: true})
	defer x.receiver.close()
	f := Fields{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")}
	for _, c := range []struct {
		options []byte
		want    string
	}{
		{[]byte{131, 7, 8, 10, 0, 0, 1, 0}, "tcp"},
		{[]byte{137, 7, 8, 10, 0, 0, 1, 0}, "tcp"},
		{[]byte{131, 7, 4, 1, 2, 3, 4, 0}, "error 3.5 0x0, DropSourceRoute 1"},
	} {
		f.Options = c.options
		x.receive(built(f, nil))
		got := x.outcome(func(b *packet.Buffer) {
			if o := Header(b.Network()).Options(); !bytes.Equal(o, c.options) {
				t.Errorf("the options %v have become %v", c.options, o)
			}
		})
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.options, got, c.want)
		}
	}
}

// RFC1122-3.2.1.6-2, RFC1122-3.2.1.8-2, RFC1122-3.4-2, RFC1122-3.4-3: what the
// transport gets: its own bytes without the padding of the
// frame, the whole header behind them, and all that the link has said.
func TestRxHandsUp(t *testing.T) {
	noLeaks(t)
	x := newRxBench(RxConfig{Table: twoLinks(t)})
	defer x.receiver.close()
	options := []byte{7, 7, 4, 0, 0, 0, 0, 0}
	b := built(Fields{TOS: 0xb9, TTL: 7, Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2"), Options: options}, pattern(60000))
	b.Append(make([]byte, 6))
	b.Link, b.Arrived, b.SegmentSize, b.NextHop = 0, epoch, 1448, addr("10.0.0.2")
	b.SetPartial(28, 16)
	x.receive(b)
	got := <-x.tcp
	h, err := Parse(got.Network())
	if err != nil || h.TOS() != 0xb9 || h.TTL() != 7 || !bytes.Equal(h.Options(), options) {
		t.Errorf("%v, %v", h, err)
	}
	if !bytes.Equal(got.Bytes(), pattern(60000)) {
		t.Errorf("%d bytes of payload", got.Len())
	}
	if start, offset := got.Partial(); got.SegmentSize != 1448 || got.Checksum != packet.ChecksumPartial || start != 0 || offset != 16 || !got.Arrived.Equal(epoch) || got.Link != 0 {
		t.Error("the marks are not what they were")
	}
	if got.NextHop.IsValid() {
		t.Error("the sender's next hop is still there; Tx would take an answer in this buffer for a forwarded datagram")
	}
	got.Release()
}

// RFC1122-3.2.1.4, RFC1122-3.3.2-3: fragments that come through Rx make a datagram; when they do not within
// 30 s, their sender is told.
func TestRxReassembly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noLeaks(t)
		p := startRx(t, RxConfig{Table: twoLinks(t)})
		data := pattern(4000)
		p.in <- fragmentOf(1, 1480, false, data[1480:])
		p.in <- fragmentOf(1, 0, true, data[:1480])
		b := <-p.udp
		if !bytes.Equal(b.Bytes(), data) {
			t.Error("the payload is another")
		}
		b.Release()

		start := time.Now()
		p.in <- fragmentOf(2, 0, true, data[:1480])
		p.in <- fragmentOf(3, 1480, true, data[:1480])
		request := <-p.requests
		if d := time.Since(start); d != DefaultReassemblyTimeout {
			t.Errorf("told after %v", d)
		}
		if h := Header(request.Packet.Bytes()); request.Type != ip.TypeTimeExceeded || request.Code != ip.CodeReassemblyExceeded || h.ID() != 2 {
			t.Errorf("error %d.%d about %v", request.Type, request.Code, h)
		}
		request.Packet.Release()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := p.stats.DropReassemblyTimeout.Load(); n != 2 || len(p.requests) != 0 {
			t.Errorf("%d counted, %d more requests", n, len(p.requests))
		}
		p.in <- fragmentOf(4, 0, true, data[:1480]) // to be released in the end
		p.stop()
	})
}

// When ICMP is busy Rx does not wait for it.
func TestRxErrorRequestsFull(t *testing.T) {
	noLeaks(t)
	stats := &Stats{}
	r := newReceiver(Up{}, nil, ip.Edges{}, edge.Out[ip.ErrorRequest]{}, RxConfig{Table: mustTable(t, nil, nil)}, stats)
	defer r.close()
	b := built(Fields{Protocol: ip.ProtocolTCP, Src: addr("127.0.0.1"), Dst: addr("127.0.0.1")}, nil)
	b.Link = -1
	r.receive(b)
	if stats.ErrorRequestsLost.Load() != 1 || stats.DropProtocol.Load() != 1 {
		t.Error("the request is not counted as lost")
	}
}

// An rxProcess is Rx as it runs.
type rxProcess struct {
	t     *testing.T
	in    chan *packet.Buffer
	inbox *edge.Inbox // of in
	joins *edge.Edge[ip.Membership]
	*rxBench
	stats *Stats
	ended chan struct{}
}

func startRx(t *testing.T, cfg RxConfig) *rxProcess {
	p := &rxProcess{
		t: t, in: make(chan *packet.Buffer, 64),
		stats: &Stats{}, ended: make(chan struct{}),
		rxBench: &rxBench{
			icmp: make(chan *packet.Buffer, 64), udp: make(chan *packet.Buffer, 64), tcp: make(chan *packet.Buffer, 64),
			tx: make(chan *packet.Buffer, 64), requests: make(chan ip.ErrorRequest, 64),
		},
	}
	p.inbox = edge.InboxOf(p.in)
	p.joins = edge.New[ip.Membership](1, p.inbox)
	cfg.Random = seeded()
	filters := p.toLinks(cfg.Table.Load().Links())
	go func() {
		defer close(p.ended)
		Rx(p.inbox, p.joins.In(), p.up(), filters, ip.Edges{Loop: edge.To(p.tx).Out()}, edge.To(p.requests).Out(), cfg, p.stats)
	}()
	return p
}

// stop ends Rx.
func (p *rxProcess) stop() {
	p.t.Helper()
	p.inbox.Close()
	<-p.ended
	for _, c := range []chan *packet.Buffer{p.icmp, p.udp, p.tcp, p.tx} {
		for len(c) > 0 {
			(<-c).Release()
		}
	}
	for len(p.requests) > 0 {
		(<-p.requests).Packet.Release()
	}
}

// Whatever comes, Rx neither panics nor
// leaks, and every packet has one end.
func FuzzRx(f *testing.F) {
	for i, fields := range []Fields{
		{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")},
		{Protocol: ip.ProtocolUDP, Src: addr("10.0.0.9"), Dst: addr("8.8.8.8"), Options: []byte{7, 7, 4, 0, 0, 0, 0, 68, 8, 5, 0, 0, 0, 0, 0, 0}},
		{Protocol: ip.ProtocolIGMP, Src: addr("10.0.0.9"), Dst: allHosts, Options: routerAlert[:]},
		{Protocol: 99, Src: addr("10.0.0.9"), Dst: addr("10.0.0.255"), Options: []byte{131, 7, 8, 1, 2, 3, 4, 0}},
	} {
		b := built(fields, igmpBytes(igmpQuery, 10, anyAddr))
		f.Add(bytes.Clone(b.Bytes()), uint8(i), true)
		b.Release()
	}
	f.Add(func() []byte {
		b := fragmentOf(1, 0, true, pattern(64))
		defer b.Release()
		return bytes.Clone(b.Bytes())
	}(), uint8(0), false)
	table := twoLinks(f)
	f.Fuzz(func(t *testing.T, p []byte, how uint8, forward bool) {
		before := packet.Live()
		x := newRxBench(RxConfig{Table: table, Forward: forward, AcceptSourceRoute: how&8 != 0})
		p = p[:min(len(p), MaxLen)]
		if len(p) >= MinHeaderLen && how&16 == 0 { // often with the right checksum
			p[0] = 4<<4 | p[0]&0xf
			binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
			if h := Header(p); h.Len() <= len(p) {
				h.updateChecksum()
			}
		}
		b := packet.From(p)
		b.Link, b.Group = int(how%3)-1, how&4 != 0
		x.receive(b)
		x.expire(time.Now())
		held := x.fragments.bytes > 0
		drops, ends := 0, 0
		counters.Read("", x.stats, func(name string, value uint64) {
			if strings.HasPrefix(name, ".Drop") {
				drops += int(value)
			}
		})
		delivered := int(x.stats.RxDelivered.Load() + x.stats.RxForwarded.Load())
		if ends = drops + delivered; held {
			ends++
		}
		if ends != 1 {
			t.Errorf("one packet has %d ends: %d drops, %d deliveries, held %v", ends, drops, delivered, held)
		}
		x.outcome(nil)
		x.receiver.close()
		if n := packet.Live() - before; n != 0 {
			t.Errorf("%d packets leak", n)
		}
	})
}

// BenchmarkRx is the whole process, with the channel on either side of it.
func BenchmarkRx(b *testing.B) {
	in, tcp := make(chan *packet.Buffer, 64), make(chan *packet.Buffer, 64)
	inbox, ended := edge.InboxOf(in), make(chan struct{})
	table := twoLinks(b)
	go func() {
		defer close(ended)
		Rx(inbox, edge.In[ip.Membership]{}, Up{TCP: edge.To(tcp).Out()}, nil, ip.Edges{}, edge.Out[ip.ErrorRequest]{}, RxConfig{Table: table}, &Stats{})
	}()
	p := built(Fields{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")}, pattern(1460))
	for range 32 {
		in <- p.Clone()
	}
	p.Release()
	b.ReportAllocs()
	for b.Loop() {
		q := <-tcp
		q.PullBack()
		in <- q
	}
	for range 32 {
		(<-tcp).Release()
	}
	inbox.Close()
	<-ended
}

// BenchmarkReceive is what one packet costs without the channels.
func BenchmarkReceive(b *testing.B) {
	tcp := make(chan *packet.Buffer, 1)
	r := newReceiver(Up{TCP: edge.To(tcp).Out()}, nil, ip.Edges{}, edge.Out[ip.ErrorRequest]{}, RxConfig{Table: twoLinks(b)}, &Stats{})
	p := built(Fields{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")}, pattern(1460))
	b.ReportAllocs()
	for b.Loop() {
		r.receive(p)
		<-tcp
		p.PullBack()
	}
}
