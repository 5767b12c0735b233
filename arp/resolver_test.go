package arp

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

// station is a Resolver in a bubble, seen from the card and from IP.
type station struct {
	t                      *testing.T
	arps                   *edge.Edge[*packet.Buffer]
	hop, tx, undeliverable chan *packet.Buffer
	inbox                  *edge.Inbox // of hop
	snapshots              *edge.Edge[chan<- []Neighbour]
	stats                  Stats
	done                   chan struct{}
}

// startStation starts a Resolver, and swallows its announcements.
func startStation(t *testing.T, cfg Config) *station {
	s := &station{
		t:             t,
		hop:           make(chan *packet.Buffer, 1),
		tx:            make(chan *packet.Buffer, 16),
		undeliverable: make(chan *packet.Buffer, 1),
		done:          make(chan struct{}),
	}
	s.inbox = edge.InboxOf(s.hop)
	s.arps = edge.New[*packet.Buffer](16, s.inbox)
	s.snapshots = edge.New[chan<- []Neighbour](1, s.inbox)
	cfg.MAC, cfg.Addrs = macA, []netip.Addr{ipA}
	go func() {
		defer close(s.done)
		Resolver(s.arps.In(), s.inbox, edge.To(s.tx).Out(), edge.To(s.undeliverable).Out(), s.snapshots.In(), cfg, &s.stats)
	}()
	s.want("0s", "ARP, Announcement 10.0.0.1, length 28")
	time.Sleep(announceInterval)
	s.want("2s", "ARP, Announcement 10.0.0.1, length 28")
	return s
}

// stop closes the station as the stack does, and checks that it drains.
func (s *station) stop() {
	s.inbox.Close()
	for b := range s.tx {
		s.t.Errorf("left on tx: %x", b.Bytes())
		b.Release()
	}
	for range 100 { // more than any channel holds
		s.arps.Out().Send(packet.From(nil))
	}
	s.arps.Out().Close()
	<-s.done
}

func (s *station) hear(p Packet) { s.arps.Out().Send(packet.From(encode(p))) }

// want takes one frame, which is to be an ARP packet or a datagram.
func (s *station) want(when, what string) {
	s.t.Helper()
	synctest.Wait()
	select {
	case b := <-s.tx:
		defer b.Release()
		h := ethernet.Header(b.Bytes())
		b.Pull(ethernet.HeaderLen)
		got := ""
		if p, err := Parse(b.Bytes()); h.Type() == ethernet.TypeARP && err == nil {
			got = p.String()
		} else if h.Type() == ethernet.TypeIPv4 {
			got = "datagram " + string(b.Bytes()) + " to " + h.Dst().String()
		}
		if got != what {
			s.t.Errorf("%s: %q, want %q", when, got, what)
		}
	default:
		s.t.Errorf("%s: nothing, want %q", when, what)
	}
}

func (s *station) wantIdle(why string) {
	s.t.Helper()
	synctest.Wait()
	if len(s.tx)+len(s.undeliverable) > 0 {
		s.t.Errorf("%s: %d frames, %d undeliverable", why, len(s.tx), len(s.undeliverable))
	}
}

func bubble(t *testing.T, name string, f func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			live := packet.Live()
			f(t)
			if packet.Live() != live {
				t.Errorf("%d packets leaked", packet.Live()-live)
			}
		})
	})
}

// datagramOf makes something for IP's place; a Resolver does not look inside.
func datagramOf(nextHop netip.Addr, s string) *packet.Buffer {
	b := packet.From([]byte(s))
	b.NextHop = nextHop
	return b
}

func TestResolver(t *testing.T) {
	const request = "ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28"

	bubble(t, "RFC1122-2.3.3-4 resolves by ARP and sends", func(t *testing.T) {
		s := startStation(t, Config{})
		s.hop <- datagramOf(ipB, "1")
		s.want("2s", request)
		s.hear(replyFrom(macB, ipB))
		s.want("2s", "datagram 1 to 02:00:00:00:00:0b")
		s.hop <- datagramOf(ipB, "2")
		s.want("2s", "datagram 2 to 02:00:00:00:00:0b")
		s.stop()
	})

	bubble(t, "answers", func(t *testing.T) {
		s := startStation(t, Config{})
		s.hear(requestFrom(macB, ipB, ipA))
		s.want("2s", "ARP, Reply 10.0.0.1 is-at 02:00:00:00:00:0a, length 28")
		s.stop()
	})

	bubble(t, "group", func(t *testing.T) {
		s := startStation(t, Config{})
		b := datagramOf(netip.MustParseAddr("224.0.0.1"), "1")
		b.Group = true
		s.hop <- b
		s.want("2s", "datagram 1 to 01:00:5e:00:00:01")
		s.stop()
	})

	bubble(t, "RFC1122-2.3.2.1-2 asks once a second, and hands back", func(t *testing.T) {
		s := startStation(t, Config{})
		s.hop <- datagramOf(ipB, "1")
		s.hop <- datagramOf(ipB, "2")
		for _, when := range []string{"2s", "3s", "4s"} {
			s.want(when, request)
			time.Sleep(time.Second - 1)
			s.wantIdle("before the second is over")
			time.Sleep(time.Nanosecond)
		}
		synctest.Wait()
		b := <-s.undeliverable
		if string(b.Bytes()) != "1" || b.NextHop != ipB {
			t.Errorf("undeliverable: %q for %v", b.Bytes(), b.NextHop)
		}
		b.Release()
		if n := s.stats.DropUndeliverable.Load(); n != 1 {
			t.Errorf("DropUndeliverable is %d with room for one of two", n)
		}
		time.Sleep(time.Hour)
		s.wantIdle("afterwards")
		s.stop()
	})

	bubble(t, "drops what waits at the end", func(t *testing.T) {
		s := startStation(t, Config{})
		s.hop <- datagramOf(ipB, "1")
		s.hop <- datagramOf(ipC, "2")
		s.want("2s", request)
		s.want("2s", "ARP, Request who-has 10.0.0.3 tell 10.0.0.1, length 28")
		s.stop()
		if n := s.stats.DropClosed.Load(); n != 2 {
			t.Errorf("DropClosed is %d", n)
		}
	})

	bubble(t, "the card goes first", func(t *testing.T) {
		s := startStation(t, Config{})
		s.arps.Out().Close()
		s.hop <- datagramOf(ipB, "1")
		s.want("2s", request)
		s.inbox.Close()
		<-s.done
		if _, ok := <-s.tx; ok {
			t.Error("tx is not closed")
		}
	})

	bubble(t, "the timer follows the earliest deadline", func(t *testing.T) {
		s := startStation(t, Config{Timeout: time.Hour})
		s.hop <- datagramOf(ipB, "1")
		s.want("2s", request)
		s.hear(replyFrom(macB, ipB)) // from now on the deadline is an hour away
		s.want("2s", "datagram 1 to 02:00:00:00:00:0b")
		time.Sleep(10 * time.Second)
		s.hop <- datagramOf(ipC, "2") // and now a second
		s.want("12s", "ARP, Request who-has 10.0.0.3 tell 10.0.0.1, length 28")
		time.Sleep(time.Second)
		s.want("13s", "ARP, Request who-has 10.0.0.3 tell 10.0.0.1, length 28")
		s.hear(replyFrom(macC, ipC))
		s.want("13s", "datagram 2 to 02:00:00:00:00:0c")
		time.Sleep(time.Hour - 11*time.Second - 1)
		s.wantIdle("before the hour is over")
		time.Sleep(time.Nanosecond)
		s.want("1h2s", "ARP, Request who-has 10.0.0.2 (02:00:00:00:00:0b) tell 10.0.0.1, length 28")
		s.stop()
	})

	bubble(t, "snapshot", func(t *testing.T) {
		s := startStation(t, Config{Static: map[netip.Addr]ethernet.Addr{ipB: macB}})
		ended := make(chan struct{})
		n := NewNeighbours(s.snapshots.Out(), ended)
		list, err := n.List(context.Background())
		if err != nil || len(list) != 1 || list[0] != (Neighbour{Addr: ipB, MAC: macB, State: "static"}) {
			t.Errorf("%v, %v", list, err)
		}
		s.stop()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := n.List(ctx); err != context.Canceled {
			t.Errorf("nobody serves, canceled: %v", err)
		}
		if _, err := n.List(context.Background()); err != syscall.ENOBUFS {
			t.Errorf("nobody serves, and another waits: %v", err)
		}
		close(ended)
		if _, err := n.List(context.Background()); err != net.ErrClosed {
			t.Errorf("at the end: %v", err)
		}
	})
}

// TestReadyDoesNotAllocate: in the steady state a datagram costs a lookup and
// a header.
func TestReadyDoesNotAllocate(t *testing.T) {
	var stats Stats
	m := newMachine(Config{MAC: macA, Addrs: []netip.Addr{ipA}}, &stats)
	m.cache.learn(time.Now(), ipB, macB, true)
	b := datagramOf(ipB, "1")
	defer b.Release()
	if n := testing.AllocsPerRun(100, func() {
		if !m.ready(b) {
			t.Fatal("not ready")
		}
		b.Pull(ethernet.HeaderLen)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkResolver(b *testing.B) {
	in, hop := edge.New[*packet.Buffer](1, nil), edge.NewInbox(64)
	tx := make(chan *packet.Buffer, 64)
	var stats Stats
	go Resolver(in.In(), hop, edge.To(tx).Out(), edge.Out[*packet.Buffer]{}, edge.In[chan<- []Neighbour]{}, Config{MAC: macA, Addrs: []netip.Addr{ipA}, Static: map[netip.Addr]ethernet.Addr{ipB: macB}}, &stats)
	b.ReportAllocs()
	go func() {
		for range b.N {
			hop.Out().Send(datagramOf(ipB, "data"))
		}
		hop.Close()
	}()
	for p := range tx {
		p.Release()
	}
	in.Out().Close()
}
