package ipv4

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// epoch is when fake time starts.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// noLeaks fails the test if it has not released every Buffer in the end.
func noLeaks(t testing.TB) {
	before := packet.Live()
	t.Cleanup(func() {
		if n := packet.Live() - before; n != 0 {
			t.Errorf("%d packets leak", n)
		}
	})
}

// seeded is a source of random numbers that is the same in every run.
func seeded() func() uint64 { return rand.New(rand.NewPCG(1, 2)).Uint64 }

// built is a datagram as it comes from a link.
func built(f Fields, payload []byte) *packet.Buffer {
	b := packet.From(payload)
	Push(b, f)
	Header(b.Bytes()).updateChecksum()
	return b
}

// pattern is n bytes that differ from their neighbours.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>8)*31
	}
	return p
}

// fragmentOf is a fragment of the datagram id, carrying data at offset.
func fragmentOf(id uint16, offset int, more bool, data []byte) *packet.Buffer {
	b := built(Fields{Protocol: ip.ProtocolUDP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")}, data)
	h := Header(b.Bytes())
	binary.BigEndian.PutUint16(h[4:], id)
	flags := uint16(offset / 8)
	if more {
		flags |= 0x2000
	}
	binary.BigEndian.PutUint16(h[6:], flags)
	h.updateChecksum()
	return b
}

// cut is the fragments of b, which it releases.
func cut(b *packet.Buffer, mtu int) (all []*packet.Buffer) {
	f := newFragmenter(Header(b.Bytes()), mtu)
	for p := f.next(); p != nil; p = f.next() {
		all = append(all, p)
	}
	b.Release()
	return all
}

// decode is what gopacket makes of a datagram.
func decode(t testing.TB, p []byte) *layers.IPv4 {
	t.Helper()
	got := &layers.IPv4{}
	if err := got.DecodeFromBytes(p, gopacket.NilDecodeFeedback); err != nil {
		t.Fatalf("gopacket: %v", err)
	}
	return got
}

func addr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func prefixes(s ...string) (p []netip.Prefix) {
	for _, s := range s {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func mustTable(t testing.TB, interfaces []ip.Interface, routes []ip.Route) *ip.CurrentTable {
	t.Helper()
	table, err := ip.NewTable(interfaces, routes)
	if err != nil {
		t.Fatal(err)
	}
	return ip.Publish(table)
}

// twoLinks is a host with an office network of two gateways on link 0, and
// another network on link 1.
func twoLinks(t testing.TB) *ip.CurrentTable {
	return mustTable(t, []ip.Interface{
		{Addrs: prefixes("10.0.0.2/24", "10.0.1.2/24", "10.0.0.3/24")},
		{Addrs: prefixes("192.168.7.1/30", "172.16.0.1/32"), MTU: 9000},
	}, []ip.Route{
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: addr("10.0.1.1")},
		{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: addr("192.168.7.2"), Link: 1},
		{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Gateway: addr("10.0.0.1")},
		{Prefix: netip.MustParsePrefix("10.9.8.0/24"), Gateway: addr("192.168.7.2"), Link: 1},
		{Prefix: netip.MustParsePrefix("172.16.0.9/32"), Link: 1},
		{Prefix: netip.MustParsePrefix("10.7.0.0/16"), Gateway: addr("172.16.0.9"), Link: 1},
		{Prefix: netip.MustParsePrefix("239.0.0.0/8"), Link: 1},
	})
}
