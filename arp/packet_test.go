package arp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/packet"
)

var (
	macA, macB, macC = ethernet.Addr{2, 0, 0, 0, 0, 0xa}, ethernet.Addr{2, 0, 0, 0, 0, 0xb}, ethernet.Addr{2, 0, 0, 0, 0, 0xc}
	ipA, ipB, ipC    = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	nobody           = netip.IPv4Unspecified()
)

func requestFrom(mac ethernet.Addr, ip, target netip.Addr) Packet {
	return Packet{Op: OpRequest, SenderMAC: mac, SenderIP: ip, TargetIP: target}
}

func replyFrom(mac ethernet.Addr, ip netip.Addr) Packet {
	return Packet{Op: OpReply, SenderMAC: mac, SenderIP: ip, TargetMAC: macA, TargetIP: ipA}
}

func encode(p Packet) []byte {
	b := packet.Get(PacketLen)
	defer b.Release()
	p.Append(b)
	return bytes.Clone(b.Bytes())
}

// TestAppend has gopacket read what Append writes, and Parse what gopacket
// writes.
func TestAppend(t *testing.T) {
	for _, p := range []Packet{requestFrom(macA, ipA, ipB), replyFrom(macB, ipB), requestFrom(macA, nobody, ipA)} {
		d := gopacket.NewPacket(encode(p), layers.LayerTypeARP, gopacket.Default)
		l, ok := d.Layer(layers.LayerTypeARP).(*layers.ARP)
		if !ok {
			t.Fatalf("%v: gopacket says %v", p, d.ErrorLayer())
		}
		got := Packet{
			Op:        l.Operation,
			SenderMAC: ethernet.Addr(l.SourceHwAddress), SenderIP: netip.AddrFrom4([4]byte(l.SourceProtAddress)),
			TargetMAC: ethernet.Addr(l.DstHwAddress), TargetIP: netip.AddrFrom4([4]byte(l.DstProtAddress)),
		}
		if got != p || l.AddrType != layers.LinkTypeEthernet || l.Protocol != layers.EthernetTypeIPv4 {
			t.Errorf("gopacket reads %v, want %v", gopacket.LayerString(l), p)
		}

		w := gopacket.NewSerializeBuffer()
		if err := l.SerializeTo(w, gopacket.SerializeOptions{}); err != nil {
			t.Fatal(err)
		}
		padded := append(bytes.Clone(w.Bytes()), make([]byte, 18)...)
		if got, err := Parse(padded); err != nil || got != p {
			t.Errorf("Parse: %v, %v; want %v", got, err, p)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p []byte) []byte
		err    error
	}{
		{"nothing", func(p []byte) []byte { return p }, nil},
		{"RFC 1042's hardware type", func(p []byte) []byte { p[1] = 6; return p }, nil},
		{"empty", func(p []byte) []byte { return nil }, ErrMalformed},
		{"one byte short", func(p []byte) []byte { return p[:PacketLen-1] }, ErrMalformed},
		{"hardware type", func(p []byte) []byte { p[1] = 15; return p }, ErrMalformed},
		{"protocol type", func(p []byte) []byte { p[2] = 0x86; return p }, ErrMalformed},
		{"hardware length", func(p []byte) []byte { p[4] = 8; return p }, ErrMalformed},
		{"protocol length", func(p []byte) []byte { p[5] = 16; return p }, ErrMalformed},
		{"operation 0", func(p []byte) []byte { p[7] = 0; return p }, ErrMalformed},
		{"RARP", func(p []byte) []byte { p[7] = 3; return p }, ErrMalformed},
		{"RFC1812-3.3.2 sender is a group", func(p []byte) []byte { p[8] = 1; return p }, ErrSender},
		{"RFC1812-3.3.2 sender is everybody", func(p []byte) []byte { copy(p[8:], ethernet.Broadcast[:]); return p }, ErrSender},
		{"sender's MAC is nobody", func(p []byte) []byte { clear(p[8:14]); return p }, ErrSender},
		{"sender's IP is a group", func(p []byte) []byte { p[14] = 224; return p }, ErrSender},
		{"sender's IP is loopback", func(p []byte) []byte { p[14] = 127; return p }, ErrSender},
		{"sender's IP is everybody", func(p []byte) []byte { copy(p[14:18], "\xff\xff\xff\xff"); return p }, ErrSender},
	} {
		t.Run(c.name, func(t *testing.T) {
			if p, err := Parse(c.change(encode(requestFrom(macB, ipB, ipA)))); err != c.err {
				t.Errorf("%v, %v; want error %v", p, err, c.err)
			}
		})
	}
}

func TestString(t *testing.T) {
	unicast := requestFrom(macA, ipA, ipB)
	unicast.TargetMAC = macB
	for want, p := range map[string]Packet{
		"ARP, Request who-has 10.0.0.2 tell 10.0.0.1, length 28":                     requestFrom(macA, ipA, ipB),
		"ARP, Request who-has 10.0.0.2 (02:00:00:00:00:0b) tell 10.0.0.1, length 28": unicast,
		"ARP, Reply 10.0.0.2 is-at 02:00:00:00:00:0b, length 28":                     replyFrom(macB, ipB),
		"ARP, Probe 10.0.0.1, length 28":                                             requestFrom(macA, nobody, ipA),
		"ARP, Announcement 10.0.0.1, length 28":                                      requestFrom(macA, ipA, ipA),
	} {
		if got := p.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// FuzzParse: what Parse accepts is written back the same.
func FuzzParse(f *testing.F) {
	f.Add(encode(requestFrom(macB, ipB, ipA)))
	f.Add(encode(replyFrom(macB, ipB)))
	f.Add(encode(requestFrom(macB, nobody, ipA)))
	f.Add(append(encode(replyFrom(ethernet.Broadcast, ipB)), 0, 0))
	f.Add([]byte{0, 1, 8, 0, 6, 4})
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		want := bytes.Clone(data[:PacketLen])
		binary.BigEndian.PutUint16(want, 1)
		if got := encode(p); !bytes.Equal(got, want) {
			t.Fatalf("%x became %x", want, got)
		}
	})
}
