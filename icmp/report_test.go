package icmp

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
)

// quote is the start of a datagram that we have sent: what errors quote.
func quote(f ipv4.Fields, payload string) []byte {
	b := datagram(f, []byte(payload))
	defer b.Release()
	return append([]byte(nil), b.Bytes()...)
}

var ours = ipv4.Fields{Protocol: ip.ProtocolUDP, Src: self, Dst: far}

// RFC1122-3.2.2-3: errors are passed to the transport, with what
// they say.
func TestReceived(t *testing.T) {
	noLeak(t)
	table := testTable(t)
	good := quote(ours, "12345678 and more")
	with := func(i int, v byte) []byte {
		p := append([]byte(nil), good...)
		p[i] = v
		return p
	}
	for _, test := range []struct {
		name  string
		dst   string
		group bool
		quote []byte
		want  bool
	}{
		{"RFC1122-3.4-5 header and 8 octets", "10.0.0.2", false, good[:28], true},
		{"more", "10.0.0.2", false, good, true},
		{"options", "10.0.0.2", false, quote(ipv4.Fields{Protocol: 17, Src: self, Dst: far, Options: []byte{1, 1, 1, 0}}, "12345678"), true},
		{"header checksum left behind", "10.0.0.2", false, with(8, 1), true},
		{"seven octets", "10.0.0.2", false, good[:27], false},
		{"half a header", "10.0.0.2", false, good[:12], false},
		{"nothing", "10.0.0.2", false, nil, false},
		{"version 6", "10.0.0.2", false, with(0, 0x65), false},
		{"header of 16", "10.0.0.2", false, with(0, 0x44), false},
		{"header of 60 in 37", "10.0.0.2", false, with(0, 0x4f), false},
		{"later fragment", "10.0.0.2", false, with(7, 1), false},
		{"another's datagram", "10.0.0.2", false, quote(ipv4.Fields{Protocol: 17, Src: peer, Dst: far}, "12345678"), false},
		{"to all on the link", "10.0.0.2", true, good, false},
		{"to broadcast", "10.0.0.255", false, good, false},
		{"to multicast", "224.0.0.1", false, good, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := message(t, ipv4.Fields{Src: gateway, Dst: netip.MustParseAddr(test.dst)}, 3, 4, 0xffff0000|1400, test.quote)
			defer b.Release()
			b.Group = test.group
			r, ok := received(b, Message(b.Bytes()), table)
			if ok != test.want {
				t.Fatalf("%v, want %v", ok, test.want)
			}
			want := ip.ICMPError{Type: 3, Code: 4, MTU: 1400, From: gateway, Src: self, Dst: far, Protocol: 17, Transport: [8]byte([]byte("12345678"))}
			if ok && r != want {
				t.Errorf("%+v\nwant %+v", r, want)
			}
		})
	}
}

// The second word is an MTU in one kind of error alone (RFC 1191 section 4).
func TestErrorMTU(t *testing.T) {
	for _, code := range []uint8{0, 1, 2, 3, 5} {
		if r, _ := errorAbout(3, code, 1400, gateway, quote(ours, "12345678")); r.MTU != 0 {
			t.Errorf("code %d has MTU %d", code, r.MTU)
		}
	}
	if r, _ := errorAbout(11, 4, 1400, gateway, quote(ours, "12345678")); r.MTU != 0 {
		t.Errorf("time exceeded has MTU %d", r.MTU)
	}
}

// RFC1122-3.2.2.2-3, RFC1122-3.2.2.2-4, RFC1122-3.3.1.2-2: redirects for hosts and networks are passed on, and
// those to gateways which are no neighbours are discarded.
func TestRedirect(t *testing.T) {
	noLeak(t)
	table := testTable(t)
	for _, test := range []struct {
		name    string
		code    uint8
		link    int
		gateway string
		quote   []byte
		want    bool
	}{
		{"network", 0, 0, "10.0.0.254", quote(ours, "12345678"), true},
		{"host", 1, 0, "10.0.0.254", quote(ours, "12345678"), true},
		{"network and service", 2, 0, "10.0.0.254", quote(ours, "12345678"), true},
		{"host and service", 3, 0, "10.0.0.254", quote(ours, "12345678"), true},
		{"from another link", 1, 1, "10.0.0.254", quote(ours, "12345678"), false},
		{"to a gateway on another link", 1, 0, "172.16.0.9", quote(ours, "12345678"), false},
		{"to a gateway far away", 1, 0, "192.0.2.1", quote(ours, "12345678"), false},
		{"to ourselves", 1, 0, "10.0.0.2", quote(ours, "12345678"), false},
		{"to all", 1, 0, "10.0.0.255", quote(ours, "12345678"), false},
		{"to a group", 1, 0, "224.0.0.1", quote(ours, "12345678"), false},
		{"about another's datagram", 1, 0, "10.0.0.254", quote(ipv4.Fields{Src: peer, Dst: far}, "12345678"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			value := binary.BigEndian.Uint32(netip.MustParseAddr(test.gateway).AsSlice())
			b := message(t, ipv4.Fields{Src: gateway, Dst: self}, TypeRedirect, test.code, value, test.quote)
			defer b.Release()
			b.Link = test.link
			a, ok := redirect(b, Message(b.Bytes()), table)
			if ok != test.want {
				t.Fatalf("%v, want %v", ok, test.want)
			}
			if want := (ip.Advice{Dst: far, Gateway: second, From: gateway}); ok && a != want {
				t.Errorf("%+v, want %+v", a, want)
			}
		})
	}
}

func FuzzError(f *testing.F) {
	f.Add(uint8(3), uint8(4), uint32(1400), quote(ours, "12345678"))
	f.Add(uint8(5), uint8(1), uint32(0x0a0000fe), quote(ours, "12345678"))
	f.Add(uint8(11), uint8(0), uint32(0), quote(ours, "1234567"))
	table := testTable(f)
	f.Fuzz(func(t *testing.T, typ, code uint8, value uint32, quote []byte) {
		if len(quote) > MaxPingSize {
			return
		}
		b := message(t, ipv4.Fields{Src: gateway, Dst: self}, typ, code, value, quote)
		defer b.Release()
		m := Message(b.Bytes())
		if r, ok := received(b, m, table); ok {
			if !table.IsLocal(r.Src) || r.Err() == nil || r.MTU > 65535 {
				t.Errorf("%+v", r)
			}
		}
		if a, ok := redirect(b, m, table); ok && !netip.MustParsePrefix("10.0.0.0/24").Contains(a.Gateway) {
			t.Errorf("%+v", a)
		}
	})
}
