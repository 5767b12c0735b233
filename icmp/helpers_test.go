package icmp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

var (
	self    = netip.MustParseAddr("10.0.0.2")
	peer    = netip.MustParseAddr("10.0.0.9")
	gateway = netip.MustParseAddr("10.0.0.1")
	second  = netip.MustParseAddr("10.0.0.254")
	far     = netip.MustParseAddr("192.0.2.7")
)

// testTable is a host at 10.0.0.2/24 behind the gateway 10.0.0.1, with another
// link to 172.16.0.0/16.
func testTable(t testing.TB) *ip.Table {
	t.Helper()
	table, err := ip.NewTable([]ip.Interface{
		{Addrs: []netip.Prefix{netip.PrefixFrom(self, 24)}},
		{Addrs: []netip.Prefix{netip.MustParsePrefix("172.16.0.2/16")}},
	}, []ip.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: gateway}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// datagram is an outgoing datagram with payload.
func datagram(f ipv4.Fields, payload []byte) *packet.Buffer {
	b := packet.From(payload)
	ipv4.Push(b, f)
	finish(b)
	return b
}

// finish puts in the header checksum, as ipv4.Tx does.
func finish(b *packet.Buffer) {
	h := b.Bytes()[:ipv4.Header(b.Bytes()).Len()]
	h[10], h[11] = 0, 0
	sum := checksum.Of(h)
	h[10], h[11] = byte(sum>>8), byte(sum)
}

// deliver makes of an outgoing datagram one as ipv4.Rx passes it up.
func deliver(t testing.TB, b *packet.Buffer) *packet.Buffer {
	t.Helper()
	finish(b)
	h, err := ipv4.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	b.MarkNetwork()
	b.Trim(h.TotalLen())
	b.Pull(h.Len())
	b.Arrived = time.Now()
	return b
}

// message is an ICMP message as ipv4.Rx passes it up.
func message(t testing.TB, f ipv4.Fields, typ, code uint8, value uint32, data []byte) *packet.Buffer {
	t.Helper()
	b := packet.From(data)
	Push(b, typ, code, value)
	f.Protocol = ip.ProtocolICMP
	ipv4.Push(b, f)
	return deliver(t, b)
}

// decode lets gopacket read a datagram that was sent, and checks that it finds
// nothing wrong.
func decode(t testing.TB, b *packet.Buffer) (*layers.IPv4, *layers.ICMPv4) {
	t.Helper()
	finish(b)
	p := gopacket.NewPacket(bytes.Clone(b.Bytes()), layers.LayerTypeIPv4, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("gopacket: %v", e.Error())
	}
	ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	icmp, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if ip == nil || icmp == nil {
		t.Fatalf("not an ICMP message: %v", p)
	}
	if int(ip.Length) != b.Len() {
		t.Errorf("total length %d of %d bytes", ip.Length, b.Len())
	}
	if sum := checksum.Of(ip.Payload); sum != 0 {
		t.Errorf("ICMP checksum is off by %#04x", sum)
	}
	return ip, icmp
}

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
