package ipv4

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

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
	b := built(Fields{Protocol: ProtocolUDP, Src: ip("10.0.0.9"), Dst: ip("10.0.0.2")}, data)
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
