package ipv4

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/packet"
)

// RFC 791 sections 2.3 and 3.2: fragments carry multiples of 8 bytes, the
// offsets, MF on all but the last, and the copied options. gopacket reads them.
func TestFragment(t *testing.T) {
	options := []byte{OptionRouterAlert, 4, 0, 0, OptionRecordRoute, 7, 4, 0, 0, 0, 0, OptionEnd}
	for _, c := range []struct {
		name    string
		options []byte
		size    int
		mtu     int
		want    int // fragments
	}{
		{"fits", nil, 1480, 1500, 1},
		{"one byte more", nil, 1481, 1500, 2},
		{"last need not be of 8 bytes", nil, 1472 + 1479, 1499, 2},
		{"smallest MTU", nil, 1000, 68, 21},
		{"smallest MTU and options", options, 100, 68, 3},
		{"longest datagram", nil, MaxLen - MinHeaderLen, 1500, 45},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			b := built(Fields{TOS: 4, TTL: 9, Protocol: 99, Src: addr("10.0.0.2"), Dst: addr("10.0.0.9"), Options: c.options}, pattern(c.size))
			binary.BigEndian.PutUint16(b.Bytes()[4:], 0xabcd)
			var payload []byte
			all := cut(b, c.mtu)
			if len(all) != c.want {
				t.Errorf("%d fragments, want %d", len(all), c.want)
			}
			for i, p := range all {
				h, err := Parse(p.Network())
				if err != nil || p.Len() > c.mtu {
					t.Fatalf("fragment %d: %v, %d bytes", i, err, p.Len())
				}
				got := decode(t, p.Bytes())
				if got.Id != 0xabcd || got.TOS != 4 || got.TTL != 9 || got.Protocol != 99 || int(got.FragOffset)*8 != len(payload) ||
					(got.Flags&layers.IPv4MoreFragments != 0) != (i < len(all)-1) || i < len(all)-1 && len(got.Payload)%8 != 0 {
					t.Errorf("fragment %d: gopacket reads %+v", i, got)
				}
				o, _, ok := ParseOptions(h.Options())
				if !ok || o.RouterAlert != (c.options != nil) || (o.RecordRoute != nil) != (c.options != nil && i == 0) {
					t.Errorf("fragment %d has the options %v", i, h.Options())
				}
				payload = append(payload, got.Payload...)
				p.Push(14) // the link layer has room in front
				p.Release()
			}
			if !bytes.Equal(payload, pattern(c.size)) {
				t.Error("the payload is another")
			}
		})
	}
}

// RFC 791 section 3.2: a fragment is cut again as part of its whole.
func TestFragmentAgain(t *testing.T) {
	noLeaks(t)
	r := testReassembler()
	var got *packet.Buffer
	for _, p := range cut(fragmentOf(1, 0, false, pattern(4000)), 1500) {
		for _, q := range cut(p, 576) {
			if got != nil {
				t.Fatal("whole before the last fragment")
			}
			got = r.add(epoch, q)
		}
	}
	if got == nil || !bytes.Equal(Header(got.Bytes()).Payload(), pattern(4000)) {
		t.Fatal("not the same after being cut twice")
	}
	got.Release()
}

func BenchmarkFragment(b *testing.B) {
	p := built(Fields{Src: addr("10.0.0.2"), Dst: addr("10.0.0.9")}, pattern(8000))
	defer p.Release()
	b.SetBytes(8000)
	b.ReportAllocs()
	for b.Loop() {
		f := newFragmenter(Header(p.Bytes()), 1500)
		for q := f.next(); q != nil; q = f.next() {
			q.Release()
		}
	}
}
