package icmp

import (
	"bytes"
	"net/netip"
	"strconv"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// RFC1122-3.2.2.6-1, RFC1122-3.2.2.6-3, RFC1122-3.2.2.6-4, RFC1122-3.3.4.2-1: the reply comes from the specific destination, with
// the same data; and with the same type of service.
func TestTurnEcho(t *testing.T) {
	noLeak(t)
	for _, size := range []int{0, 1, 56, 1473, MaxPingSize} {
		for _, partial := range []bool{false, true} {
			data := bytes.Repeat([]byte{0xa5, 7, 0xff}, size/3+1)[:size]
			b := message(t, ipv4.Fields{Src: peer, Dst: self, TOS: 0xb9, TTL: 3}, TypeEcho, 0, 0xffff_0001, data)
			if partial {
				b.Bytes()[2] ^= 0x55
				b.SetPartial(0, 2)
			}
			b.Group, b.NextHop = true, self // left over from the way here
			m, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			turnEcho(b, m)
			if b.Checksum != packet.ChecksumComplete || b.NextHop.IsValid() || b.Group || !b.Arrived.IsZero() {
				t.Errorf("marks left over: %+v", b)
			}
			network, icmp := decode(t, b)
			if !network.SrcIP.Equal(self.AsSlice()) || !network.DstIP.Equal(peer.AsSlice()) || network.TOS != 0xb9 || network.TTL != ipv4.DefaultTTL {
				t.Errorf("%d bytes: reply %v > %v, TOS %#x, TTL %d", size, network.SrcIP, network.DstIP, network.TOS, network.TTL)
			}
			if icmp.TypeCode != layers.CreateICMPv4TypeCode(0, 0) || icmp.Id != 0xffff || icmp.Seq != 1 || !bytes.Equal(icmp.Payload, data) {
				t.Errorf("%d bytes: reply %v id %d seq %d, %d bytes", size, icmp.TypeCode, icmp.Id, icmp.Seq, len(icmp.Payload))
			}
			b.Release()
		}
	}
}

// The checksum is updated, not computed; that holds for every checksum.
func TestTurnEchoChecksums(t *testing.T) {
	noLeak(t)
	for i := range 1 << 16 {
		b := message(t, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, uint8(i), uint32(i)<<8, nil)
		m, _ := Parse(b)
		turnEcho(b, m)
		b.Pull(ipv4.MinHeaderLen)
		if _, err := Parse(b); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		b.Release()
	}
}

// TestReflect: RFC1122-3.2.2.6-6, RFC1122-3.2.2.6-7: the IP options of an echo
// reply: a source route turned round, recorded route and timestamps.
func TestReflect(t *testing.T) {
	noLeak(t)
	first, last := netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2.2.2.2")
	for _, test := range []struct {
		name    string
		options []byte
		want    []byte
		dst     netip.Addr
	}{
		{"none", nil, nil, peer},
		{"recorded route", []byte{7, 7, 8, 1, 2, 3, 4, 0}, []byte{7, 7, 8, 1, 2, 3, 4, 0}, peer},
		{"timestamps", []byte{1, 68, 8, 9, 0x10, 1, 2, 3, 4, 0, 0, 0}, []byte{68, 8, 9, 0x10, 1, 2, 3, 4}, peer},
		{"RFC1122-3.2.2.6-7,RFC1122-3.2.1.8-8 source route of two gateways", []byte{131, 11, 12, 1, 1, 1, 1, 2, 2, 2, 2, 0},
			[]byte{131, 11, 4, 1, 1, 1, 1, 10, 0, 0, 9, 0}, last},
		{"RFC1122-3.2.2.6-7 strict source route of one", []byte{1, 137, 7, 8, 1, 1, 1, 1}, []byte{137, 7, 4, 10, 0, 0, 9, 0}, first},
		{"source route before a recorded one", []byte{131, 7, 8, 1, 1, 1, 1, 7, 7, 8, 1, 2, 3, 4, 0, 0},
			[]byte{7, 7, 8, 1, 2, 3, 4, 131, 7, 4, 10, 0, 0, 9, 0, 0}, first},
		{"RFC1122-3.2.1.8-9 never two source routes", []byte{131, 7, 8, 1, 1, 1, 1, 137, 7, 8, 2, 2, 2, 2, 0, 0}, nil, peer},
		{"source route that goes on", []byte{131, 7, 4, 1, 1, 1, 1, 0}, nil, peer},
		{"others", []byte{148, 4, 0, 0}, nil, peer},
		{"malformed", []byte{7, 39, 4, 0}, nil, peer},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := message(t, ipv4.Fields{Src: peer, Dst: self, Options: test.options}, TypeEcho, 0, 1, nil)
			defer b.Release()
			m, _ := Parse(b)
			turnEcho(b, m)
			finish(b)
			h, err := ipv4.Parse(b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(h.Options(), test.want) || h.Dst() != test.dst || h.Src() != self {
				t.Errorf("options %v to %v\nwant %v to %v", h.Options(), h.Dst(), test.want, test.dst)
			}
		})
	}
}

// A reply is written over its request, so its options must be no longer.
func FuzzReflect(f *testing.F) {
	f.Add([]byte{131, 11, 12, 1, 1, 1, 1, 2, 2, 2, 2, 0})
	f.Add(append([]byte{131, 19, 20, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 7, 19, 4}, make([]byte, 18)...))
	f.Fuzz(func(t *testing.T, options []byte) {
		options = options[:min(len(options), ipv4.MaxHeaderLen-ipv4.MinHeaderLen)&^3]
		b := message(t, ipv4.Fields{Src: peer, Dst: self, Options: options}, TypeEcho, 0, 1, nil)
		defer b.Release()
		dst, reply := reflect(b.Network())
		if len(reply)%4 != 0 || len(reply) > len(options) || !dst.Is4() {
			t.Errorf("%v became %v to %v", options, reply, dst)
		}
	})
}

func TestMayEcho(t *testing.T) {
	noLeak(t)
	table := testTable(t)
	for _, test := range []struct {
		name     string
		src, dst string
		group    bool
		want     bool
	}{
		{"neighbour", "10.0.0.9", "10.0.0.2", false, true},
		{"far away", "192.0.2.7", "172.16.0.2", false, true},
		{"ourselves", "10.0.0.2", "10.0.0.2", false, true},
		{"loopback", "127.0.0.1", "127.0.0.1", false, true},
		{"link-layer group", "10.0.0.9", "10.0.0.2", true, false},
		{"limited broadcast", "10.0.0.9", "255.255.255.255", false, false},
		{"directed broadcast", "10.0.0.9", "10.0.0.255", false, false},
		{"multicast", "10.0.0.9", "224.0.0.1", false, false},
		{"from nobody", "0.0.0.0", "10.0.0.2", false, false},
		{"from all", "10.0.0.255", "10.0.0.2", false, false},
		{"from a multicast group", "224.0.0.1", "10.0.0.2", false, false},
		{"from class E", "240.0.0.1", "10.0.0.2", false, false},
	} {
		b := message(t, ipv4.Fields{Src: netip.MustParseAddr(test.src), Dst: netip.MustParseAddr(test.dst)}, TypeEcho, 0, 0, nil)
		if got := mayEcho(b.Network(), test.group, table); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
		b.Release()
	}
}

// BenchmarkEcho is one echo request of 56 and of 64 KB, answered in place.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{56, MaxPingSize} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			tx := make(chan *packet.Buffer, 1)
			p := testProcess(b, tx)
			req := message(b, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, 0, 1, make([]byte, size))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				p.message(req)
				req = <-tx // the reply, made a request again
				finish(req)
				h := req.Pull(ipv4.MinHeaderLen)
				copy(h[12:], "\x0a\x00\x00\x09\x0a\x00\x00\x02")
				req.Bytes()[0] = TypeEcho
				req.Checksum = packet.ChecksumVerified
			}
			req.Release()
		})
	}
}

// An echo is answered in the memory of the request.
func TestEchoNoAllocation(t *testing.T) {
	tx := make(chan *packet.Buffer, 1)
	p := testProcess(t, tx)
	req := message(t, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, 0, 1, make([]byte, 1000))
	whole := req.Network()
	allocs := testing.AllocsPerRun(100, func() {
		p.message(req)
		req = deliver(t, <-tx)
		copy(req.Network()[12:], "\x0a\x00\x00\x09\x0a\x00\x00\x02")
		req.Bytes()[0] = TypeEcho
		req.Checksum = packet.ChecksumVerified
	})
	if allocs != 0 || &whole[0] != &req.Network()[0] {
		t.Errorf("%v allocations", allocs)
	}
	req.Release()
}
