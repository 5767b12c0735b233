package ipv4

import (
	"bytes"
	"testing"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// RFC1122-3.1-3, RFC1812-5.2, RFC1812-5.3: what becomes of one datagram on a router.
// See twoLinks.
func TestForward(t *testing.T) {
	noLeaks(t)
	datagram := func(src, dst string, options ...byte) Fields {
		return Fields{Protocol: ip.ProtocolUDP, Src: addr(src), Dst: addr(dst), Options: options}
	}
	plain := func(f Fields) *packet.Buffer { return built(f, pattern(64)) }
	ttl := func(v uint8, f Fields) *packet.Buffer { f.TTL = v; return built(f, nil) }
	x := newRxBench(RxConfig{Table: twoLinks(t), Forward: true})
	defer x.receiver.close()
	for _, c := range []struct {
		name string
		b    *packet.Buffer
		want string
	}{
		{"forwarded", plain(datagram("10.0.0.9", "192.168.7.2")), "tx"},
		{"to the default gateway", plain(datagram("10.0.0.9", "8.8.8.8")), "tx"},
		{"for ourselves", plain(datagram("10.0.0.9", "192.168.7.1")), "udp"},
		{"RFC1122-3.3.6-1 directed broadcast ends here", plain(datagram("10.0.0.9", "192.168.7.3")), "udp"},
		{"multicast is not routed", plain(datagram("10.0.0.9", "239.1.2.3")), "DropNotForUs 1"},
		{"RFC1122-3.3.6-3 in a frame to all", func() *packet.Buffer { b := plain(datagram("10.0.0.9", "8.8.8.8")); b.Group = true; return b }(), "DropLinkBroadcast 1"},
		{"martian source", plain(datagram("127.0.0.1", "8.8.8.8")), "DropMartian 1"},
		{"no source", plain(datagram("0.0.0.0", "8.8.8.8")), "DropMartian 1"},
		{"to this network", plain(datagram("10.0.0.9", "0.1.2.3")), "DropMartian 1"},
		{"to class E", plain(datagram("10.0.0.9", "240.1.2.3")), "DropMartian 1"},
		{"time to live 2", ttl(2, datagram("10.0.0.9", "8.8.8.8")), "tx"},
		{"time to live 1", ttl(1, datagram("10.0.0.9", "8.8.8.8")), "error 11.0 0x0, DropTTL 1"},
		{"fragments stay fragments", withBytes(datagram("10.0.0.9", "8.8.8.8"), nil, 6, 0x20, 1), "tx"},
		{"malformed options", plain(datagram("10.0.0.9", "8.8.8.8", 7, 9, 4, 0)), "error 12.0 0x15000000, DropOptions 1"},
		{"RFC1122-3.3.5-2,RFC1122-3.3.5-3 loose route", plain(datagram("10.0.0.9", "8.8.8.8", 131, 7, 4, 1, 2, 3, 4, 0)), "error 3.5 0x0, DropSourceRoute 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x.receive(c.b)
			if got := x.outcome(nil); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// RFC1122-3.3.5-1: with the switch on a loose route passes by, but nobody strict does.
func TestForwardSourceRoute(t *testing.T) {
	noLeaks(t)
	x := newRxBench(RxConfig{Table: twoLinks(t), Forward: true, AcceptSourceRoute: true})
	defer x.receiver.close()
	for kind, want := range map[byte]string{OptionLooseRoute: "tx", OptionStrictRoute: "error 3.5 0x0, DropSourceRoute 1"} {
		x.receive(built(Fields{Protocol: ip.ProtocolUDP, Src: addr("10.0.0.9"), Dst: addr("8.8.8.8"), Options: []byte{kind, 7, 4, 1, 2, 3, 4, 0}}, nil))
		if got := x.outcome(nil); got != want {
			t.Errorf("option %d: %q, want %q", kind, got, want)
		}
	}
}

// RFC1812-5.3.1, RFC1624-3: only the time to live changes, and the checksum is
// kept right; a train stays a train. With options, the route and the time are
// recorded (RFC 1812 section 5.3.13.5).
func TestForwardedHeader(t *testing.T) {
	noLeaks(t)
	x := newRxBench(RxConfig{Table: twoLinks(t), Forward: true})
	defer x.receiver.close()
	for ttl := 2; ttl < 256; ttl++ {
		b := withBytes(Fields{TTL: uint8(ttl), Protocol: ip.ProtocolTCP, DF: true, Src: addr("10.0.0.9"), Dst: addr("8.8.8.8")}, pattern(9000), 4, 0xab, 0xcd)
		b.SegmentSize, b.Checksum = 1448, packet.ChecksumVerified
		want := bytes.Clone(b.Bytes())
		want[8]--
		Header(want).updateChecksum()
		x.receive(b)
		x.outcome(func(b *packet.Buffer) {
			if !bytes.Equal(b.Bytes(), want) || b.SegmentSize != 1448 || b.Checksum != packet.ChecksumComplete || b.NextHop != addr("8.8.8.8") {
				t.Errorf("from time to live %d: %v, train of %d", ttl, Header(b.Bytes()), b.SegmentSize)
			}
		})
	}

	x.receive(built(Fields{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("192.168.7.2"), Options: []byte{7, 7, 4, 0, 0, 0, 0, 0}}, nil))
	x.outcome(func(b *packet.Buffer) {
		h, err := Parse(b.Bytes())
		if err != nil || !bytes.Equal(h.Options(), []byte{7, 7, 8, 192, 168, 7, 1, 0}) {
			t.Errorf("%v, options %v", err, h.Options())
		}
	})
}

// Rx drops what Tx cannot take at once.
func TestForwardFull(t *testing.T) {
	noLeaks(t)
	stats := &Stats{}
	r := newReceiver(Up{}, nil, ip.Edges{}, edge.Out[ip.ErrorRequest]{}, RxConfig{Table: twoLinks(t), Forward: true}, stats)
	defer r.close()
	r.receive(built(Fields{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("8.8.8.8")}, nil))
	if stats.DropTxFull.Load() != 1 || stats.RxForwarded.Load() != 0 {
		t.Error("the drop is not counted")
	}
}
