package ipv4

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/seed-012105e5/gonet/ip"
)

// RFC1122-3.2.1.1, RFC1122-3.2.1.2: version, lengths and checksum.
func TestParse(t *testing.T) {
	fix := func(f func(p []byte)) func(p []byte) []byte {
		return func(p []byte) []byte {
			f(p)
			if h := Header(p); h.Len() <= len(p) {
				h.updateChecksum()
			}
			return p
		}
	}
	for _, c := range []struct {
		name   string
		change func(p []byte) []byte
		want   error
	}{
		{"good", func(p []byte) []byte { return p }, nil},
		{"padding behind", func(p []byte) []byte { return append(p, 1, 2, 3) }, nil},
		{"empty", func(p []byte) []byte { return nil }, ErrLength},
		{"19 bytes", func(p []byte) []byte { return p[:19] }, ErrLength},
		{"version 6", fix(func(p []byte) { p[0] = 0x65 }), ErrVersion},
		{"header of 16", fix(func(p []byte) { p[0] = 0x44 }), ErrLength},
		{"header beyond the datagram", fix(func(p []byte) { p[0] = 0x4f }), ErrLength},
		{"longer than the packet", fix(func(p []byte) { binary.BigEndian.PutUint16(p[2:], 29) }), ErrLength},
		{"bad checksum", func(p []byte) []byte { p[8]--; return p }, ErrChecksum},
	} {
		b := built(Fields{Protocol: 99, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")}, pattern(8))
		h, err := Parse(c.change(bytes.Clone(b.Bytes())))
		b.Release()
		if err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && len(h) != 28 {
			t.Errorf("%s: %d bytes, want 28", c.name, len(h))
		}
	}
}

// RFC1122-3.2.1.6-1, RFC1122-3.2.1.7-3, RFC1122-3.2.1.8-1, RFC1122-3.4-1: the transport sets type of service, time to live, DF and options.
func TestPush(t *testing.T) {
	noLeaks(t)
	f := Fields{TOS: 0xb9, TTL: 3, Protocol: ip.ProtocolUDP, DF: true, Src: addr("10.0.0.2"), Dst: addr("10.0.0.9"), Options: routerAlert[:]}
	b := built(f, pattern(100))
	defer b.Release()
	got := decode(t, b.Bytes())
	if got.Version != 4 || got.IHL != 6 || got.TOS != 0xb9 || got.Length != 124 || got.TTL != 3 ||
		got.Flags != layers.IPv4DontFragment || got.FragOffset != 0 || got.Protocol != layers.IPProtocolUDP ||
		got.SrcIP.String() != "10.0.0.2" || got.DstIP.String() != "10.0.0.9" {
		t.Errorf("gopacket reads %+v", got)
	}
	if len(got.Options) != 1 || got.Options[0].OptionType != OptionRouterAlert || !bytes.Equal(got.Payload, pattern(100)) {
		t.Errorf("gopacket reads options %v, payload %d bytes", got.Options, len(got.Payload))
	}
	if h, err := Parse(b.Network()); err != nil || h.String() != "IP 10.0.0.2 > 10.0.0.9: proto 17, ttl 3, length 124" {
		t.Errorf("%v, %v", h, err)
	}

	d := built(Fields{Src: f.Src, Dst: f.Dst}, nil)
	defer d.Release()
	if ttl := Header(d.Bytes()).TTL(); ttl != DefaultTTL {
		t.Errorf("TTL of the zero Fields is %d", ttl)
	}
}

func TestHeaderStringOfFragment(t *testing.T) {
	b := fragmentOf(7, 1480, true, pattern(8))
	defer b.Release()
	if s := Header(b.Bytes()).String(); s != "IP 10.0.0.9 > 10.0.0.2: proto 17, ttl 64, length 28, id 7, frag 1480+" {
		t.Error(s)
	}
}

func FuzzParse(f *testing.F) {
	for _, fields := range []Fields{
		{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")},
		{TOS: 255, TTL: 1, DF: true, Protocol: 200, Src: addr("1.2.3.4"), Dst: addr("224.0.0.1"), Options: []byte{1, 1, 1, 0}},
	} {
		b := built(fields, pattern(20))
		f.Add(bytes.Clone(b.Bytes()))
		b.Release()
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, err := Parse(p)
		if err != nil {
			return
		}
		_ = h.String()
		if h.Len()+len(h.Payload()) != len(h) || len(h.Options()) != h.Len()-MinHeaderLen {
			t.Fatalf("the parts of %v do not make the whole", h)
		}
		got := &layers.IPv4{}
		if got.DecodeFromBytes(p, gopacket.NilDecodeFeedback) != nil {
			return // it refuses malformed options
		}
		if int(got.Length) != h.TotalLen() || got.Id != h.ID() || int(got.FragOffset)*8 != h.FragmentOffset() ||
			got.TTL != h.TTL() || got.Checksum != h.Checksum() || !bytes.Equal(got.Payload, h.Payload()) ||
			(got.Flags&layers.IPv4DontFragment != 0) != h.DF() || (got.Flags&layers.IPv4MoreFragments != 0) != h.MF() {
			t.Fatalf("gopacket reads %+v, we %v", got, h)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	p := built(Fields{Protocol: ip.ProtocolTCP, Src: addr("10.0.0.9"), Dst: addr("10.0.0.2")}, pattern(1460))
	defer p.Release()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(p.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}
