package icmp

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

func testConfig(t testing.TB) Config {
	return Config{Table: ip.Publish(testTable(t)), Random: func() uint64 { return 0x1234 }}
}

func testProcess(t testing.TB, tx chan *packet.Buffer) *process {
	return newProcess(ip.Edges{Loop: edge.To(tx).Out()}, edge.Out[ip.ICMPError]{}, edge.Out[ip.ICMPError]{}, nil, testConfig(t), &Stats{})
}

// A rig is a Run with all its channels.
type rig struct {
	in, tx        chan *packet.Buffer
	inbox         *edge.Inbox // of in
	undeliverable edge.Out[*packet.Buffer]
	requests      edge.Out[ip.ErrorRequest]
	udp, tcp      chan ip.ICMPError
	advice        chan ip.Advice
	ended         chan struct{}
	stats         Stats
	pinger        *Pinger
}

// run starts Run with cfg, and ends it with the bubble.
func run(t *testing.T, cfg Config) *rig {
	t.Helper()
	live := packet.Live()
	r := &rig{
		in: make(chan *packet.Buffer, 1), tx: make(chan *packet.Buffer, 4),
		udp: make(chan ip.ICMPError), tcp: make(chan ip.ICMPError),
		advice: make(chan ip.Advice, 1), ended: make(chan struct{}),
	}
	r.inbox = edge.InboxOf(r.in)
	undeliverable, errorRequests, pings := edge.New[*packet.Buffer](4, r.inbox), edge.New[ip.ErrorRequest](4, r.inbox), edge.New[Ping](4, r.inbox)
	r.undeliverable, r.requests = undeliverable.Out(), errorRequests.Out()
	r.pinger = NewPinger(pings.Out(), r.ended)
	go func() {
		defer close(r.ended)
		Run(r.inbox, undeliverable.In(), errorRequests.In(), pings.In(), ip.Edges{Loop: edge.To(r.tx).Out()},
			edge.To(r.udp).Out(), edge.To(r.tcp).Out(), []edge.Out[ip.Advice]{edge.To(r.advice).Out()}, cfg, &r.stats)
	}()
	t.Cleanup(func() {
		go func() {
			r.inbox.Close()
			<-r.ended
			close(r.udp)
			close(r.tcp)
		}()
		for range r.udp {
			t.Error("an error that nobody expected, for UDP")
		}
		for range r.tcp {
			t.Error("an error that nobody expected, for TCP")
		}
		for range len(r.tx) {
			b := <-r.tx
			t.Errorf("sent, and nobody expected it: %v", ipv4.Header(b.Bytes()))
			b.Release()
		}
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
	return r
}

func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

// want takes what was sent, once Run has come to rest.
func (r *rig) want(t *testing.T) *packet.Buffer {
	t.Helper()
	synctest.Wait()
	select {
	case b := <-r.tx:
		return b
	default:
		t.Fatal("nothing was sent")
		return nil
	}
}

func (r *rig) wantIdle(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if len(r.tx) > 0 {
		t.Fatal("something was sent")
	}
}

// RFC1122-3.2.2.6-1, RFC1122-3.2.2-1, RFC1122-3.2.2.9-3: the echo server.
func TestRunEcho(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		r.in <- message(t, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, 0, 7, []byte("hello"))
		b := r.want(t)
		if _, icmp := decode(t, b); string(icmp.Payload) != "hello" || icmp.TypeCode.Type() != TypeEchoReply {
			t.Errorf("reply %v", icmp)
		}
		b.Release()

		// no answer to groups, to what is broken, and to unknown types
		r.in <- message(t, ipv4.Fields{Src: peer, Dst: netip.MustParseAddr("10.0.0.255")}, TypeEcho, 0, 7, nil)
		r.in <- message(t, ipv4.Fields{Src: peer, Dst: self}, 200, 0, 7, nil)
		r.in <- message(t, ipv4.Fields{Src: peer, Dst: self}, 13, 0, 7, make([]byte, 12))
		r.in <- message(t, ipv4.Fields{Src: peer, Dst: self}, 17, 0, 7, make([]byte, 4)) // no mask replies
		broken := message(t, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, 0, 7, []byte("x"))
		broken.Bytes()[8] ^= 1
		r.in <- broken
		short := message(t, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, 0, 7, nil)
		short.Trim(4)
		r.in <- short
		r.wantIdle(t)
		if s := &r.stats; s.RxMessages.Load() != 7 || s.TxReplies.Load() != 1 || s.DropGroupEcho.Load() != 1 ||
			s.DropUnknownType.Load() != 3 || s.DropChecksum.Load() != 1 || s.DropLength.Load() != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// Replies are dropped when transmit is full, and Run goes on.
func TestRunTxFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		for range cap(r.tx) + 3 {
			r.in <- message(t, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, 0, 7, nil)
		}
		synctest.Wait()
		if got := r.stats.DropTxFull.Load(); got != 3 {
			t.Errorf("%d dropped, want 3", got)
		}
		for range cap(r.tx) {
			r.want(t).Release()
		}
	})
}

// RFC1122-3.2.2-3, RFC1122-3.2.2.1-2, RFC1122-3.2.2.4, RFC1122-3.2.2.5-2: errors reach the transport whose datagram they are about.
func TestRunErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		for _, typ := range []uint8{ip.TypeUnreachable, ip.TypeTimeExceeded, ip.TypeParameterProblem} {
			for _, test := range []struct {
				protocol uint8
				to       chan ip.ICMPError
			}{{ip.ProtocolUDP, r.udp}, {ip.ProtocolTCP, r.tcp}} {
				r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, typ, 1, 0,
					quote(ipv4.Fields{Protocol: test.protocol, Src: self, Dst: far}, "abcdefgh"))
				if got := <-test.to; got.Type != typ || got.From != gateway || string(got.Transport[:]) != "abcdefgh" {
					t.Errorf("%+v", got)
				}
			}
		}
		// about other protocols there is nobody to tell; quench nobody may hear (RFC 6633)
		r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, 3, 1, 0, quote(ipv4.Fields{Protocol: 99, Src: self, Dst: far}, "abcdefgh"))
		r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, ip.TypeSourceQuench, 0, 0, quote(ours, "abcdefgh"))
		r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, 3, 1, 0, []byte("rubbish"))
		r.wantIdle(t)
		if s := &r.stats; s.RxErrors.Load() != 7 || s.DropSourceQuench.Load() != 1 || s.DropBadError.Load() != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// RFC1122-3.2.2.2-2: redirects reach the routing; a second one that finds no room is lost.
func TestRunRedirect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		for range 2 {
			r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, TypeRedirect, 1, 0x0a0000fe, quote(ours, "abcdefgh"))
		}
		r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, TypeRedirect, 1, 0x01020304, quote(ours, "abcdefgh"))
		synctest.Wait()
		if a := <-r.advice; a != (ip.Advice{Dst: far, Gateway: second, From: gateway}) {
			t.Errorf("%+v", a)
		}
		if s := &r.stats; s.RxRedirects.Load() != 2 || s.AdviceFull.Load() != 1 || s.DropBadRedirect.Load() != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// RFC1122-3.3.8: an error is returned to the sender of a datagram that
// could not be served, unless it may not be, or there were too many.
func TestRunProblem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := testConfig(t)
		cfg.ErrorRate, cfg.ErrorBurst = 10, 1
		r := run(t, cfg)
		request := func(src netip.Addr) ip.ErrorRequest {
			b := deliver(t, datagram(ipv4.Fields{Protocol: ip.ProtocolUDP, Src: src, Dst: self}, []byte("abcdefgh")))
			return ip.ErrorRequest{Type: ip.TypeUnreachable, Code: ip.CodePortUnreachable, Packet: b}
		}
		for range 3 {
			r.requests.Send(request(peer))
		}
		r.requests.Send(request(netip.MustParseAddr("224.0.0.1")))
		r.requests.Send(request(far)) // another host has its own
		for range 2 {
			b := r.want(t)
			if _, icmp := decode(t, b); icmp.TypeCode != layers.CreateICMPv4TypeCode(3, 3) || !bytes.HasSuffix(icmp.Payload, []byte("abcdefgh")) {
				t.Errorf("%v", icmp)
			}
			b.Release()
		}
		r.wantIdle(t)
		time.Sleep(1250 * time.Millisecond)
		r.requests.Send(request(peer))
		r.want(t).Release()
		if s := &r.stats; s.TxErrors.Load() != 3 || s.ErrorsRateLimited.Load() != 2 || s.ErrorsNotAllowed.Load() != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// An error about our own datagram is told to the transport, without a
// message.
func TestRunOwnProblem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		for _, src := range []netip.Addr{self, netip.MustParseAddr("127.0.0.1")} {
			b := packet.From([]byte("abcdefgh"))
			ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolTCP, Src: src, Dst: far, DF: true}) // no header checksum yet
			r.requests.Send(ip.ErrorRequest{Type: 3, Code: ip.CodeFragmentationNeeded, Value: 1300, Packet: b})
			want := ip.ICMPError{Type: 3, Code: 4, MTU: 1300, From: src, Src: src, Dst: far, Protocol: 6, Transport: [8]byte([]byte("abcdefgh"))}
			if got := <-r.tcp; got != want {
				t.Errorf("%+v\nwant %+v", got, want)
			}
		}
		fragment := packet.From([]byte("abcdefgh"))
		ipv4.Push(fragment, ipv4.Fields{Protocol: ip.ProtocolTCP, Src: self, Dst: far})
		fragment.Bytes()[7] = 1
		r.requests.Send(ip.ErrorRequest{Type: 3, Code: 1, Packet: fragment})
		r.wantIdle(t)
		if s := &r.stats; s.LocalErrors.Load() != 3 || s.TxErrors.Load() != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// What ARP could not deliver is host unreachable, to our own transport or to
// the sender; and when it was a gateway that did not answer, the routing hears
// of it (RFC1122-3.3.1.4).
func TestRunUndeliverable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		undeliverable := func(src, dst, hop netip.Addr) *packet.Buffer {
			b := datagram(ipv4.Fields{Protocol: ip.ProtocolUDP, Src: src, Dst: dst}, []byte("abcdefgh"))
			b.NextHop = hop
			return b
		}
		r.undeliverable.Send(undeliverable(self, peer, peer))
		if got := <-r.udp; got.Type != 3 || got.Code != ip.CodeHostUnreachable || got.From != self || got.Dst != peer {
			t.Errorf("%+v", got)
		}
		if len(r.advice) > 0 {
			t.Error("a neighbour was taken for a gateway")
		}
		r.undeliverable.Send(undeliverable(self, far, gateway))
		if got := <-r.udp; got.Dst != far {
			t.Errorf("%+v", got)
		}
		if a := <-r.advice; a != (ip.Advice{Gateway: gateway}) {
			t.Errorf("%+v", a)
		}
		r.undeliverable.Send(undeliverable(peer, netip.MustParseAddr("172.16.0.7"), netip.MustParseAddr("172.16.0.7")))
		b := r.want(t)
		if network, icmp := decode(t, b); icmp.TypeCode != layers.CreateICMPv4TypeCode(3, 1) || !network.DstIP.Equal(peer.AsSlice()) {
			t.Errorf("%v", icmp)
		}
		b.Release()
	})
}

// Run's end releases what it has not served, and lets nobody wait.
func TestRunEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		live := packet.Live()
		cfg := testConfig(t)
		in := edge.NewInbox(1)
		undeliverable, errorRequests := edge.New[*packet.Buffer](1, nil), edge.New[ip.ErrorRequest](1, nil)
		undeliverable.Out().Send(datagram(ours, []byte("12345678")))
		errorRequests.Out().Send(ip.ErrorRequest{Packet: datagram(ours, []byte("12345678"))})
		in.Close()
		Run(in, undeliverable.In(), errorRequests.In(), edge.In[Ping]{}, ip.Edges{}, edge.New[ip.ICMPError](2, nil).Out(), edge.New[ip.ICMPError](2, nil).Out(), nil, cfg, &Stats{})
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
}

// FuzzRun feeds a process whatever IP could pass up.
func FuzzRun(f *testing.F) {
	f.Add([]byte{8, 0, 0, 0, 0, 1, 0, 1}, []byte{}, false)
	f.Add(append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quote(ours, "abcdefgh")...), []byte{7, 7, 4, 0, 0, 0, 0, 0}, false)
	f.Add(append([]byte{5, 1, 0, 0, 10, 0, 0, 254}, quote(ours, "abcdefgh")...), []byte{}, true)
	table := testTable(f)
	f.Fuzz(func(t *testing.T, msg, options []byte, asProblem bool) {
		if len(msg) > MaxPingSize-40 {
			return
		}
		live := packet.Live()
		tx := make(chan *packet.Buffer, 2)
		udp, tcp, advice := make(chan ip.ICMPError, 2), make(chan ip.ICMPError, 2), make(chan ip.Advice, 2)
		p := newProcess(ip.Edges{Loop: edge.To(tx).Out()}, edge.To(udp).Out(), edge.To(tcp).Out(), []edge.Out[ip.Advice]{edge.To(advice).Out()}, Config{Table: ip.Publish(table), Random: func() uint64 { return 1 }}, &Stats{})
		b := datagram(ipv4.Fields{Protocol: ip.ProtocolICMP, Src: peer, Dst: self, Options: options[:min(len(options), 40)&^3]}, msg)
		deliver(t, b).Checksum = packet.ChecksumVerified
		if asProblem {
			p.errorRequest(ip.ErrorRequest{Type: 3, Code: 2, Packet: b})
		} else {
			p.message(b)
		}
		for len(tx) > 0 {
			out := <-tx
			if _, err := ipv4.Parse(deliver(t, out).Network()); err != nil {
				t.Errorf("sent what is not IP: %v", err)
			}
			out.Release()
		}
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
}
