package ethernet

import (
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/packet"
)

// rig is an Rx with a channel of capacity 1 on either side.
type rig struct {
	in, arp, ip chan *packet.Buffer
	filter      *Filter
	stats       Stats
}

func start() *rig {
	r := &rig{
		in:     make(chan *packet.Buffer),
		arp:    make(chan *packet.Buffer, 1),
		ip:     make(chan *packet.Buffer, 1),
		filter: NewFilter(own),
	}
	go Rx(edge.InboxFrom(r.in), r.filter, 7, edge.To(r.arp).Out(), edge.To(r.ip).Out(), &r.stats)
	return r
}

// take returns what lies on c, or nil.
func take(c <-chan *packet.Buffer) *packet.Buffer {
	synctest.Wait()
	select {
	case b := <-c:
		return b
	default:
		return nil
	}
}

func TestRx(t *testing.T) {
	for _, c := range []struct {
		name    string
		frame   []byte
		arp, ip bool
		group   bool
		drop    func(*Stats) uint64
	}{
		{name: "RFC1122-2.3.3-1 own address", frame: frame(own, TypeIPv4, []byte("data")), ip: true},
		{name: "RFC1122-2.3.3-2 RFC 1042", frame: snapFrame(own, TypeIPv4, []byte("data"), 0), ip: true},
		{name: "RFC1122-2.4-1 broadcast", frame: frame(Broadcast, TypeIPv4, []byte("data")), ip: true, group: true},
		{name: "RFC1122-2.4-1 joined group", frame: frame(group, TypeIPv4, []byte("data")), ip: true, group: true},
		{name: "ARP", frame: frame(Broadcast, TypeARP, []byte("data")), arp: true, group: true},
		{name: "other host", frame: frame(peer, TypeIPv4, []byte("data")), drop: func(s *Stats) uint64 { return s.DropOtherHost.Load() }},
		{name: "other group", frame: frame(Addr{1}, TypeIPv4, []byte("data")), drop: func(s *Stats) uint64 { return s.DropOtherHost.Load() }},
		{name: "runt", frame: frame(own, TypeIPv4, nil)[:13], drop: func(s *Stats) uint64 { return s.DropRunt.Load() }},
		{name: "empty", frame: nil, drop: func(s *Stats) uint64 { return s.DropRunt.Load() }},
		{name: "VLAN", frame: frame(own, 0x8100, []byte{0, 1, 8, 0}), drop: func(s *Stats) uint64 { return s.DropUnknownType.Load() }},
		{name: "RFC1122-2.3.1 trailers", frame: frame(own, 0x1001, make([]byte, 512)), drop: func(s *Stats) uint64 { return s.DropUnknownType.Load() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				live := packet.Live()
				r := start()
				r.filter.SetGroups([]Addr{group})
				r.in <- packet.From(c.frame)
				arp, ip := take(r.arp), take(r.ip)
				if (arp != nil) != c.arp || (ip != nil) != c.ip {
					t.Errorf("arp %v, ip %v", arp != nil, ip != nil)
				}
				for _, b := range []*packet.Buffer{arp, ip} {
					if b == nil {
						continue
					}
					if b.Link != 7 || b.Group != c.group || string(b.Bytes()) != "data" {
						t.Errorf("link %d, group %v, %q", b.Link, b.Group, b.Bytes())
					}
					b.Release()
				}
				if c.drop != nil && c.drop(&r.stats) != 1 {
					t.Errorf("drop counter is %d", c.drop(&r.stats))
				}
				close(r.in)
				if _, ok := <-r.arp; ok {
					t.Error("arp is not closed")
				}
				if packet.Live() != live {
					t.Errorf("%d packets leaked", packet.Live()-live)
				}
			})
		})
	}
}

// TestRxGroupsWhileFull: groups change at once, also while a frame waits for ip.
func TestRxGroupsWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start()
		r.in <- packet.From(frame(own, TypeIPv4, []byte("1")))
		r.in <- packet.From(frame(own, TypeIPv4, []byte("2"))) // waits for ip
		synctest.Wait()
		select {
		case r.in <- nil:
			t.Fatal("takes a frame while another waits")
		default:
		}
		r.filter.SetGroups([]Addr{group})
		for _, want := range []string{"1", "2"} {
			b := <-r.ip
			if string(b.Bytes()) != want {
				t.Errorf("got %q, want %q", b.Bytes(), want)
			}
			b.Release()
		}
		r.in <- packet.From(frame(group, TypeIPv4, []byte("3")))
		(<-r.ip).Release()
		r.filter.SetGroups(nil)
		r.in <- packet.From(frame(group, TypeIPv4, []byte("4")))
		r.in <- packet.From(frame(own, TypeARP, []byte("5")))
		(<-r.arp).Release()
		if n := r.stats.DropOtherHost.Load(); n != 1 {
			t.Errorf("%d frames to a group that was left are dropped, want 1", n)
		}
		close(r.in)
		synctest.Wait()
	})
}

func TestRxDoesNotAllocate(t *testing.T) {
	var stats Stats
	filter := NewFilter(own)
	filter.SetGroups([]Addr{group})
	b := packet.From(nil)
	defer b.Release()
	if n := testing.AllocsPerRun(100, func() {
		Push(b, own, peer, TypeIPv4)
		Demux(b, filter, 0, &stats)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRx(b *testing.B) {
	in, arp, ip := make(chan *packet.Buffer, 64), make(chan *packet.Buffer, 64), make(chan *packet.Buffer, 64)
	var stats Stats
	go Rx(edge.InboxFrom(in), NewFilter(own), 0, edge.To(arp).Out(), edge.To(ip).Out(), &stats)
	b.ReportAllocs()
	p := frame(own, TypeIPv4, []byte("data"))
	go func() {
		for range b.N {
			in <- packet.From(p)
		}
		close(in)
	}()
	for range b.N {
		(<-ip).Release()
	}
	<-arp
}
