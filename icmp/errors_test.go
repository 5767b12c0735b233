package icmp

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// RFC1122-3.2.2-5: about what no error may be sent.
func TestMayError(t *testing.T) {
	noLeak(t)
	table := testTable(t)
	udp := []byte{0, 1, 0, 2, 0, 8, 0, 0}
	icmp := func(typ uint8) []byte { return []byte{typ, 0, 0, 0, 0, 0, 0, 0} }
	for _, test := range []struct {
		name     string
		protocol uint8
		src, dst string
		payload  []byte
		mutate   func(b *packet.Buffer)
		want     bool
	}{
		{"UDP from a neighbour", 17, "10.0.0.9", "10.0.0.2", udp, nil, true},
		{"forwarded", 17, "10.0.0.9", "192.0.2.7", udp, nil, true},
		{"echo request", 1, "10.0.0.9", "10.0.0.2", icmp(TypeEcho), nil, true},
		{"echo reply", 1, "10.0.0.9", "10.0.0.2", icmp(TypeEchoReply), nil, true},
		{"timestamp", 1, "10.0.0.9", "10.0.0.2", icmp(13), nil, true},
		{"RFC1122-3.2.2-5 about destination unreachable", 1, "10.0.0.9", "10.0.0.2", icmp(ip.TypeUnreachable), nil, false},
		{"RFC1122-3.2.2-5 about source quench", 1, "10.0.0.9", "10.0.0.2", icmp(ip.TypeSourceQuench), nil, false},
		{"RFC1122-3.2.2-5 about redirect", 1, "10.0.0.9", "10.0.0.2", icmp(TypeRedirect), nil, false},
		{"RFC1122-3.2.2-5 about time exceeded", 1, "10.0.0.9", "10.0.0.2", icmp(ip.TypeTimeExceeded), nil, false},
		{"RFC1122-3.2.2-5 about parameter problem", 1, "10.0.0.9", "10.0.0.2", icmp(ip.TypeParameterProblem), nil, false},
		{"RFC1122-3.2.2-5 about an unknown ICMP type", 1, "10.0.0.9", "10.0.0.2", icmp(99), nil, false},
		{"RFC1122-3.2.2-5 about an empty ICMP message", 1, "10.0.0.9", "10.0.0.2", nil, nil, false},
		{"RFC1122-3.2.2-6 to limited broadcast", 17, "10.0.0.9", "255.255.255.255", udp, nil, false},
		{"RFC1122-3.2.2-6 to directed broadcast", 17, "10.0.0.9", "10.0.0.255", udp, nil, false},
		{"RFC1122-3.2.2-6 to network zero", 17, "10.0.0.9", "0.0.0.0", udp, nil, false},
		{"RFC1122-3.2.2-6 to multicast", 17, "10.0.0.9", "239.1.2.3", udp, nil, false},
		{"RFC1122-3.2.2-7 in a link-layer broadcast", 17, "10.0.0.9", "10.0.0.2", udp, func(b *packet.Buffer) { b.Group = true }, false},
		{"first fragment", 17, "10.0.0.9", "10.0.0.2", udp, func(b *packet.Buffer) { b.Network()[6] = 0x20 }, true},
		{"RFC1122-3.2.2-8 non-initial fragment", 17, "10.0.0.9", "10.0.0.2", udp, func(b *packet.Buffer) { b.Network()[7] = 1 }, false},
		{"RFC1122-3.2.2-9 from zero", 17, "0.0.0.0", "10.0.0.2", udp, nil, false},
		{"RFC1122-3.2.2-9 from this network", 17, "0.1.2.3", "10.0.0.2", udp, nil, false},
		{"RFC1122-3.2.2-9 from another's loopback", 17, "127.0.0.1", "10.0.0.2", udp, nil, false},
		{"RFC1122-3.2.2-9 from broadcast", 17, "10.0.0.255", "10.0.0.2", udp, nil, false},
		{"RFC1122-3.2.2-9 from multicast", 17, "224.0.0.1", "10.0.0.2", udp, nil, false},
		{"RFC1122-3.2.2-9 from class E", 17, "250.0.0.1", "10.0.0.2", udp, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := datagram(ipv4.Fields{Protocol: test.protocol, Src: netip.MustParseAddr(test.src), Dst: netip.MustParseAddr(test.dst)}, test.payload)
			defer b.Release()
			if test.mutate != nil {
				test.mutate(b)
			}
			if got := mayError(b.Network(), b.Group, table); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// RFC1122-3.2.2-2, RFC1122-3.2.2-4, RFC1122-3.4-4: an error quotes as much as
// fits in 576 bytes (RFC 1812 section 4.3.2.3), and what it quotes is unchanged. Its type of service is
// normal.
func TestNewError(t *testing.T) {
	noLeak(t)
	table := testTable(t)
	for _, test := range []struct {
		name     string
		src, dst netip.Addr
		from     netip.Addr
		size     int // of the offending datagram
	}{
		{"for us: from the address it was for", peer, netip.MustParseAddr("172.16.0.2"), netip.MustParseAddr("172.16.0.2"), 28},
		{"forwarded: from where the way back starts", far, netip.MustParseAddr("172.16.3.4"), self, 100},
		{"548 bytes fit", peer, self, self, 548},
		{"549 do not", peer, self, self, 549},
		{"64 KB", peer, self, self, 65535},
	} {
		t.Run(test.name, func(t *testing.T) {
			payload := bytes.Repeat([]byte{1, 2, 3}, test.size)[:test.size-ipv4.MinHeaderLen]
			b := datagram(ipv4.Fields{Protocol: ip.ProtocolUDP, Src: test.src, Dst: test.dst, TOS: 0x10}, payload)
			defer b.Release()
			want := bytes.Clone(b.Bytes()[:min(548, test.size)])
			b.Pull(ipv4.MinHeaderLen)
			e, ok := newError(ip.ErrorRequest{Type: 3, Code: 4, Value: 1400, Packet: b}, table)
			if !ok {
				t.Fatal("no error made")
			}
			defer e.Release()
			ip, icmp := decode(t, e)
			if icmp.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || icmp.Seq != 1400 || icmp.Id != 0 || !bytes.Equal(icmp.Payload, want) {
				t.Errorf("%v, MTU %d, quotes %d bytes, want %d", icmp.TypeCode, icmp.Seq, len(icmp.Payload), len(want))
			}
			if ip.TOS != 0 || !ip.SrcIP.Equal(test.from.AsSlice()) || !ip.DstIP.Equal(test.src.AsSlice()) {
				t.Errorf("%v > %v, TOS %d", ip.SrcIP, ip.DstIP, ip.TOS)
			}
		})
	}
}

// A datagram whose checksum the device has not completed is quoted with it.
func TestNewErrorCompletesChecksum(t *testing.T) {
	noLeak(t)
	b := packet.From([]byte{0, 1, 0, 2, 0, 12, 0x30, 0, 'd', 'a', 't', 'a'})
	b.SetPartial(0, 6)
	ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: peer, Dst: self})
	e, _ := newError(ip.ErrorRequest{Type: 3, Code: 3, Packet: b}, testTable(t))
	want := []byte{0, 1, 0, 2, 0, 12, 0, 0, 'd', 'a', 't', 'a'}
	sum := ^checksum.Fold(checksum.Sum(want, 0x3000))
	want[6], want[7] = byte(sum>>8), byte(sum)
	if quoted := e.Bytes()[ipv4.MinHeaderLen+HeaderLen+ipv4.MinHeaderLen:]; !bytes.Equal(quoted, want) {
		t.Errorf("quoted %x, want %x", quoted, want)
	}
	e.Release()
	b.Release()
}

func TestNewErrorWithoutRoute(t *testing.T) {
	noLeak(t)
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.PrefixFrom(self, 24)}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := datagram(ipv4.Fields{Protocol: ip.ProtocolUDP, Src: far, Dst: peer}, make([]byte, 8))
	defer b.Release()
	if _, ok := newError(ip.ErrorRequest{Type: 3, Packet: b}, table); ok {
		t.Error("an error made that has no route")
	}
}
