package ipv4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/checksum"
	counters "github.com/seed-012105e5/gonet/internal/counter"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// A txBench is the transmitter of link 0 between channels that a test holds.
type txBench struct {
	*transmitter
	hop      []chan *packet.Buffer
	loop     chan *packet.Buffer
	requests chan ip.ErrorRequest
}

func newTxBench(t *ip.CurrentTable) *txBench {
	x := &txBench{loop: make(chan *packet.Buffer, 64), requests: make(chan ip.ErrorRequest, 64)}
	others := x.toLinks(t.Load().Links())
	var own edge.Out[*packet.Buffer]
	if len(others) > 0 {
		own = others[0]
	}
	x.transmitter = newTransmitter(own, edge.To(x.loop).Out(), others, edge.To(x.requests).Out(), TxConfig{Table: t, Random: seeded()}, &Stats{})
	return x
}

func (x *txBench) toLinks(n int) (out []edge.Out[*packet.Buffer]) {
	for range n {
		c := make(chan *packet.Buffer, 256)
		x.hop = append(x.hop, c)
		out = append(out, edge.To(c).Out())
	}
	return out
}

// outcome is like that of rxBench: "1 10.0.0.9 group" is what link 1 got.
func (x *txBench) outcome(look func(*packet.Buffer)) string {
	var all []string
	take := func(name string, b *packet.Buffer) {
		all = append(all, name)
		if look != nil {
			look(b)
		}
		b.Release()
	}
	for link, c := range x.hop {
		for len(c) > 0 {
			b := <-c
			name := fmt.Sprintf("%d %v", link, b.NextHop)
			if b.Group {
				name += " group"
			}
			take(name, b)
		}
	}
	for len(x.loop) > 0 {
		take("loop", <-x.loop)
	}
	for len(x.requests) > 0 {
		p := <-x.requests
		take(fmt.Sprintf("error %d.%d %d", p.Type, p.Code, p.Value), p.Packet)
	}
	counters.Read("", x.stats, func(name string, value uint64) {
		if value > 0 && strings.HasPrefix(name, ".Drop") {
			all = append(all, fmt.Sprintf("%s %d", name[1:], value))
		}
	})
	*x.stats = Stats{}
	return strings.Join(all, ", ")
}

// made is a datagram as a transport makes it: without identification and
// checksum.
func made(f Fields, payload []byte) *packet.Buffer {
	b := packet.From(payload)
	Push(b, f)
	return b
}

// madeTrain is a train of TCP segments with a header of 32 bytes.
func madeTrain(f Fields, payload, segment int) *packet.Buffer {
	p := pattern(32 + payload)
	p[12] = 8 << 4
	f.Protocol = ip.ProtocolTCP
	b := made(f, p)
	b.SegmentSize = segment
	return b
}

// RFC1122-3.3.1.2-3: what becomes of one datagram. See
// twoLinks.
func TestTx(t *testing.T) {
	noLeaks(t)
	x := newTxBench(twoLinks(t))
	datagram := func(src, dst string) Fields {
		return Fields{Protocol: ip.ProtocolUDP, Src: addr(src), Dst: addr(dst)}
	}
	plain := func(src, dst string) *packet.Buffer { return made(datagram(src, dst), pattern(64)) }
	sized := func(total int, df bool, dst string) *packet.Buffer {
		f := datagram("10.0.0.2", dst)
		f.DF = df
		return made(f, pattern(total-MinHeaderLen))
	}
	train := func(payload, segment int, dst string) *packet.Buffer {
		return madeTrain(Fields{DF: true, Src: addr("10.0.0.2"), Dst: addr(dst)}, payload, segment)
	}
	forwarded := func(src, dst string) *packet.Buffer {
		b := built(datagram(src, dst), pattern(64))
		b.NextHop = addr(dst)
		return b
	}
	noTTL := plain("10.0.0.2", "8.8.8.8")
	noTTL.Bytes()[8] = 0

	for _, c := range []struct {
		name string
		b    *packet.Buffer
		want string
	}{
		{"RFC1122-3.3.1.1-1 neighbour", plain("10.0.0.2", "10.0.0.9"), "0 10.0.0.9"},
		{"RFC1122-3.3.1.2-3 default gateway", plain("10.0.0.2", "8.8.8.8"), "0 10.0.1.1"},
		{"RFC1122-3.3.1.1-1 other link", plain("10.0.0.2", "192.168.7.2"), "1 192.168.7.2"},
		{"own address", plain("10.0.0.2", "10.0.0.3"), "loop"},
		{"loopback", plain("127.0.0.1", "127.0.0.1"), "loop"},
		{"loopback from own address", plain("10.0.0.2", "127.0.0.1"), "loop"},
		{"RFC1122-3.2.1.7-1 time to live 0", noTTL, "DropTTL 1"},

		{"RFC1122-3.2.1.3-2 not our source", plain("10.0.0.7", "10.0.0.9"), "DropSource 1"},
		{"RFC1122-3.2.1.3-2 broadcast as source", plain("10.0.0.255", "10.0.0.9"), "DropSource 1"},
		{"RFC1122-3.2.1.3-2 group as source", plain("224.0.0.1", "10.0.0.9"), "DropSource 1"},
		{"RFC1122-3.2.1.3-2 loopback stays inside", plain("127.0.0.1", "10.0.0.9"), "DropSource 1"},
		{"RFC1122-3.2.1.3-2 no source to one", plain("0.0.0.0", "10.0.0.9"), "DropSource 1"},
		{"no source to all", plain("0.0.0.0", "255.255.255.255"), "0 255.255.255.255 group, loop"},
		{"forwarded from another", forwarded("10.0.0.7", "192.168.7.2"), "1 192.168.7.2"},

		{"RFC1122-3.3.6-2,RFC1122-3.3.6-4 limited broadcast", plain("10.0.0.2", "255.255.255.255"), "0 255.255.255.255 group, loop"},
		{"RFC1122-3.3.6-4 by the link of the source", plain("192.168.7.1", "255.255.255.255"), "1 255.255.255.255 group, loop"},
		{"RFC1122-3.3.6-2 directed broadcast", plain("10.0.0.2", "10.0.0.255"), "0 10.0.0.255 group, loop"},
		{"RFC1112-6.1 multicast", plain("10.0.0.2", "224.0.0.251"), "0 224.0.0.251 group, loop"},
		{"multicast by the link of the source", plain("192.168.7.1", "224.0.0.251"), "1 224.0.0.251 group, loop"},
		{"IGMP is not looped back", made(Fields{Protocol: ip.ProtocolIGMP, Src: addr("10.0.0.2"), Dst: allHosts}, nil), "0 224.0.0.1 group"},

		{"RFC1122-3.3.3-2 as long as the MTU", sized(1500, true, "10.0.0.9"), "0 10.0.0.9"},
		{"RFC1122-3.3.3-2 longer, DF", sized(1501, true, "10.0.0.9"), "error 3.4 1500, DropTooBig 1"},
		{"longer, in fragments", sized(1501, false, "10.0.0.9"), "0 10.0.0.9, 0 10.0.0.9"},
		{"fits the other link", sized(1501, true, "192.168.7.2"), "1 192.168.7.2"},
		{"loopback has no MTU", sized(65535, true, "10.0.0.2"), "loop"},
		{"multicast in fragments, and whole to us", sized(1501, false, "224.0.0.251"), "0 224.0.0.251 group, 0 224.0.0.251 group, loop"},
		{"train", train(40000, 1448, "10.0.0.9"), "0 10.0.0.9"},
		{"train of segments that are too long", train(40000, 1449, "10.0.0.9"), "error 3.4 1500, DropTooBig 1"},
		{"train that is a single segment", train(1448, 4000, "10.0.0.9"), "0 10.0.0.9"},
		{"train looped back", train(40000, 9000, "10.0.0.2"), "loop"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x.send(c.b)
			if got := x.outcome(nil); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}

	lonely := newTxBench(mustTable(t, []ip.Interface{{Addrs: prefixes("10.0.0.2/24")}}, nil))
	lonely.send(plain("10.0.0.2", "8.8.8.8"))
	if got := lonely.outcome(nil); got != "error 3.0 0, DropNoRoute 1" {
		t.Errorf("without a route: %q", got)
	}
}

// RFC6864-4: what is on the wire has a right checksum, and an identification
// if it may be fragmented; a forwarded datagram keeps its own.
func TestTxHeader(t *testing.T) {
	noLeaks(t)
	x := newTxBench(twoLinks(t))
	f := Fields{TOS: 0x28, TTL: 9, Protocol: ip.ProtocolUDP, Src: addr("10.0.0.2"), Dst: addr("10.0.0.9")}
	ids := map[uint16]bool{}
	check := func(b *packet.Buffer) {
		got := decode(t, b.Bytes())
		if h, err := Parse(b.Network()); err != nil || got.TOS != 0x28 || got.TTL != 9 || len(got.Payload) != 100 {
			t.Errorf("%v, %v", h, err)
		}
		ids[got.Id] = true
	}
	for range 3 {
		x.send(made(f, pattern(100)))
	}
	x.outcome(check)
	if len(ids) != 3 {
		t.Errorf("three datagrams have the identifications %v", ids)
	}

	clear(ids)
	f.DF = true
	for range 3 {
		x.send(made(f, pattern(100)))
	}
	b := withBytes(f, pattern(100), 4, 0xab, 0xcd)
	b.NextHop = f.Dst
	x.send(b)
	x.outcome(check)
	if len(ids) != 2 || !ids[0] || !ids[0xabcd] {
		t.Errorf("atomic and forwarded datagrams have the identifications %v", ids)
	}
}

// What is looped back crosses no wire: a partial checksum and a train stay as
// they are, and Rx sees that it came from here.
func TestTxLoopback(t *testing.T) {
	noLeaks(t)
	x := newTxBench(twoLinks(t))
	b := madeTrain(Fields{Src: addr("10.0.0.2"), Dst: addr("10.0.0.2")}, 5000, 1448)
	b.SetPartial(MinHeaderLen, 16)
	x.send(b)
	x.outcome(func(b *packet.Buffer) {
		if _, err := Parse(b.Bytes()); err != nil || b.Link != -1 || b.Arrived.IsZero() || b.Group || b.SegmentSize != 1448 || b.Checksum != packet.ChecksumPartial {
			t.Errorf("%v, link %d, train of %d", err, b.Link, b.SegmentSize)
		}
	})
}

// RFC1122-3.3.3-2: the checksum of the transport is completed before the
// datagram is cut, and the whole comes out at the other end.
func TestTxFragments(t *testing.T) {
	noLeaks(t)
	x := newTxBench(twoLinks(t))
	segment := pattern(4000)
	binary.BigEndian.PutUint16(segment[6:], checksum.Fold(ip.PseudoSum(addr("10.0.0.2"), addr("10.0.0.9"), ip.ProtocolUDP, 4000)))
	b := made(Fields{Protocol: ip.ProtocolUDP, Src: addr("10.0.0.2"), Dst: addr("10.0.0.9")}, segment)
	b.SetPartial(MinHeaderLen, 6)
	x.send(b)

	r := testReassembler()
	var whole *packet.Buffer
	x.outcome(func(b *packet.Buffer) {
		if got := decode(t, b.Bytes()); got.Flags&layers.IPv4DontFragment != 0 || b.Checksum != packet.ChecksumComplete {
			t.Errorf("fragment %+v", got)
		}
		whole = r.add(epoch, b.Clone())
	})
	if whole == nil {
		t.Fatal("the fragments do not make a whole")
	}
	defer whole.Release()
	sum := ip.PseudoSum(addr("10.0.0.2"), addr("10.0.0.9"), ip.ProtocolUDP, 4000)
	if ^checksum.Fold(checksum.Sum(Header(whole.Bytes()).Payload(), sum)) != 0 {
		t.Error("the checksum of the transport is wrong")
	}
	if !bytes.Equal(Header(whole.Bytes()).Payload()[8:], segment[8:]) {
		t.Error("the payload is another")
	}
}

// startTx is Tx as it runs; stop ends it.
func startTx(t *testing.T, table *ip.CurrentTable) (x *txBench, in chan *packet.Buffer, advice edge.Out[ip.Advice], stop func()) {
	x = &txBench{loop: make(chan *packet.Buffer, 64), requests: make(chan ip.ErrorRequest, 64)}
	hops := x.toLinks(table.Load().Links())
	in = make(chan *packet.Buffer, 64)
	inbox, ended := edge.InboxOf(in), make(chan struct{})
	news := edge.New[ip.Advice](1, inbox)
	stats := &Stats{}
	x.transmitter = &transmitter{stats: stats}
	go func() {
		defer close(ended)
		Tx(inbox, edge.In[*packet.Buffer]{}, edge.In[*packet.Buffer]{}, news.In(), hops[0], edge.To(x.loop).Out(), hops, edge.To(x.requests).Out(), TxConfig{Table: table, Random: seeded()}, stats)
	}()
	return x, in, news.Out(), func() {
		inbox.Close()
		for b := range x.hop[0] { // Tx closes it
			b.Release()
		}
		<-ended
	}
}

// RFC1122-3.2.2.2-2, RFC1122-3.3.1.4-6: advice changes the way, and time changes it back.
func TestTxAdvice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noLeaks(t)
		x, in, advice, stop := startTx(t, twoLinks(t))
		nextHop := func(want string) {
			t.Helper()
			in <- made(Fields{Src: addr("10.0.0.2"), Dst: addr("8.8.8.8")}, nil)
			synctest.Wait()
			if got := x.outcome(nil); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		nextHop("0 10.0.1.1")
		advice.Send(ip.Advice{Dst: addr("8.8.8.8"), From: addr("10.0.1.1"), Gateway: addr("10.0.1.7")})
		synctest.Wait()
		nextHop("0 10.0.1.7")
		advice.Send(ip.Advice{Gateway: addr("10.0.1.7")})
		synctest.Wait()
		nextHop("0 10.0.1.1")
		advice.Send(ip.Advice{Gateway: addr("10.0.1.1")})
		synctest.Wait()
		nextHop("1 192.168.7.2")
		time.Sleep(deadTimeout)
		nextHop("0 10.0.1.1")
		stop()
	})
}

func TestTxCountsAdvice(t *testing.T) {
	x := newTxBench(twoLinks(t))
	x.learn(ip.Advice{Dst: addr("8.8.8.8"), From: addr("10.0.1.1"), Gateway: addr("10.0.1.7")})
	x.learn(ip.Advice{Dst: addr("8.8.8.8"), From: addr("10.9.9.9"), Gateway: addr("10.0.1.7")})
	x.learn(ip.Advice{Gateway: addr("10.0.1.1")})
	x.learn(ip.Advice{Gateway: netip.Addr{}})
	if r, bad, dead := x.stats.Redirects.Load(), x.stats.RedirectsBad.Load(), x.stats.GatewaysDead.Load(); r != 1 || bad != 1 || dead != 1 {
		t.Errorf("%d redirects, %d bad ones, %d dead gateways", r, bad, dead)
	}
}

// What waits when Tx is told to quit still goes out: it may be the reset that
// ends a connection.
func TestTxQuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noLeaks(t)
		x, in, _, stop := startTx(t, twoLinks(t))
		const more = 10
		for range cap(x.hop[0]) + more { // until Tx blocks
			in <- made(Fields{Src: addr("10.0.0.2"), Dst: addr("10.0.0.9")}, nil)
		}
		synctest.Wait()
		stop()
		if n := x.stats.TxPackets.Load(); n != uint64(cap(x.hop[0])+more) {
			t.Errorf("%d datagrams went out", n)
		}
	})
}

// What goes to the gateway of another link does not wait for that.
func TestTxDivertedFull(t *testing.T) {
	noLeaks(t)
	x := newTxBench(twoLinks(t))
	x.learn(ip.Advice{Gateway: addr("10.0.1.1")}) // what is left is the one of link 1
	const more = 3
	for range cap(x.hop[1]) + more {
		x.send(made(Fields{Src: addr("10.0.0.2"), Dst: addr("8.8.8.8")}, nil))
	}
	if n := x.stats.DropDivertedFull.Load(); n != more || len(x.hop[1]) != cap(x.hop[1]) {
		t.Errorf("%d dropped, %d wait", n, len(x.hop[1]))
	}
	x.outcome(nil)
}

// When ICMP is busy Tx does not wait for it.
func TestTxErrorRequestsFull(t *testing.T) {
	noLeaks(t)
	x := newTxBench(mustTable(t, nil, nil))
	x.transmitter.errorRequests = edge.Out[ip.ErrorRequest]{}
	b := built(Fields{Src: addr("10.0.0.2"), Dst: addr("8.8.8.8")}, nil)
	b.NextHop = addr("8.8.8.8")
	x.send(b)
	if x.stats.ErrorRequestsLost.Load() != 1 || x.stats.DropNoRoute.Load() != 1 {
		t.Error("the request is not counted as lost")
	}
}

// BenchmarkTx is the whole process, with the channel on either side of it.
func BenchmarkTx(b *testing.B) {
	in, hop := make(chan *packet.Buffer, 64), make(chan *packet.Buffer, 64)
	inbox, ended := edge.InboxOf(in), make(chan struct{})
	table := twoLinks(b)
	go func() {
		defer close(ended)
		Tx(inbox, edge.In[*packet.Buffer]{}, edge.In[*packet.Buffer]{}, edge.In[ip.Advice]{}, edge.To(hop).Out(), edge.Out[*packet.Buffer]{}, nil, edge.Out[ip.ErrorRequest]{}, TxConfig{Table: table}, &Stats{})
	}()
	p := made(Fields{Protocol: ip.ProtocolTCP, DF: true, Src: addr("10.0.0.2"), Dst: addr("8.8.8.8")}, pattern(1460))
	for range 32 {
		in <- p.Clone()
	}
	p.Release()
	b.ReportAllocs()
	for b.Loop() {
		q := <-hop
		q.NextHop = netip.Addr{}
		in <- q
	}
	inbox.Close()
	for range hop {
	}
	<-ended
}

// BenchmarkSend is what one packet costs without the channels.
func BenchmarkSend(b *testing.B) {
	for _, df := range []bool{true, false} {
		b.Run(fmt.Sprintf("DF=%v", df), func(b *testing.B) {
			x := newTxBench(twoLinks(b))
			p := made(Fields{Protocol: ip.ProtocolTCP, DF: df, Src: addr("10.0.0.2"), Dst: addr("8.8.8.8")}, pattern(1460))
			b.ReportAllocs()
			for b.Loop() {
				p.NextHop = netip.Addr{}
				x.send(p)
				<-x.hop[0]
			}
		})
	}
}
