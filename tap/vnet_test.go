package tap

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-012105e5/gonet/packet"
)

// tcpFrame is an Ethernet frame of n bytes whose TCP header, at 34, has no
// options.
func tcpFrame(n int) *packet.Buffer {
	b := packet.Get(n)
	f := b.Extend(n)
	clear(f)
	if n > 46 {
		f[46] = 5 << 4
	}
	return b
}

func TestVNetBytes(t *testing.T) {
	h := vnetHeader{flags: 1, gsoType: 0x81, hdrLen: 0x0203, gsoSize: 0x0405, csumStart: 0x0607, csumOffset: 0x0809}
	want := []byte{1, 0x81, 3, 2, 5, 4, 7, 6, 9, 8}
	got := make([]byte, vnetLen)
	h.put(got)
	if !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	if back := parseVNet(got); back != h {
		t.Errorf("%+v, want %+v", back, h)
	}
}

func TestMark(t *testing.T) {
	type marks struct {
		state         packet.ChecksumState
		start, offset int
		segment       int
	}
	for _, test := range []struct {
		name string
		h    vnetHeader
		n    int
		want marks
		err  error
	}{
		{"plain", vnetHeader{}, 60, marks{}, nil},
		{"verified", vnetHeader{flags: flagDataValid}, 60, marks{state: packet.ChecksumVerified}, nil},
		{"partial", vnetHeader{flags: flagNeedsCsum, csumStart: 34, csumOffset: 6}, 42, marks{state: packet.ChecksumPartial, start: 34, offset: 6}, nil},
		{"partial is the stronger", vnetHeader{flags: 3, csumStart: 34, csumOffset: 6}, 42, marks{state: packet.ChecksumPartial, start: 34, offset: 6}, nil},
		{"partial beyond the end", vnetHeader{flags: flagNeedsCsum, csumStart: 34, csumOffset: 7}, 42, marks{}, errMalformed},
		{"partial overflowing", vnetHeader{flags: flagNeedsCsum, csumStart: 0xffff, csumOffset: 0xffff}, 42, marks{}, errMalformed},
		{"partial in the MAC", vnetHeader{flags: flagNeedsCsum, csumStart: 13, csumOffset: 6}, 42, marks{}, errMalformed},
		{"train", vnetHeader{flags: 1, gsoType: gsoTCPv4, gsoSize: 1460, csumStart: 34, csumOffset: 16}, 5000, marks{packet.ChecksumPartial, 34, 16, 1460}, nil},
		{"train with CWR", vnetHeader{flags: 1, gsoType: gsoTCPv4 | gsoECN, gsoSize: 1460, csumStart: 34, csumOffset: 16}, 5000, marks{packet.ChecksumPartial, 34, 16, 1460}, nil},
		{"train of nothing", vnetHeader{flags: 1, gsoType: gsoTCPv4, csumStart: 34, csumOffset: 16}, 5000, marks{}, errMalformed},
		{"train without partial checksum", vnetHeader{flags: flagDataValid, gsoType: gsoTCPv4, gsoSize: 1460}, 5000, marks{}, errMalformed},
		{"train without TCP header", vnetHeader{flags: 1, gsoType: gsoTCPv4, gsoSize: 1460, csumStart: 34, csumOffset: 16}, 53, marks{}, errMalformed},
		{"TCPv6", vnetHeader{flags: 1, gsoType: 4, gsoSize: 1460, csumStart: 54, csumOffset: 16}, 5000, marks{}, errMalformed},
		{"UDP", vnetHeader{flags: 1, gsoType: 3, gsoSize: 1460, csumStart: 34, csumOffset: 6}, 5000, marks{}, errMalformed},
	} {
		b := tcpFrame(test.n)
		err := test.h.mark(b, ethernetLen)
		if !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
		got := marks{state: b.Checksum, segment: b.SegmentSize}
		if b.Checksum == packet.ChecksumPartial {
			got.start, got.offset = b.Partial()
		}
		if err == nil && got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
		b.Release()
	}
}

func TestVNetFor(t *testing.T) {
	partial := func(b *packet.Buffer) { b.SetPartial(34, 16) }
	train := func(b *packet.Buffer) { partial(b); b.SegmentSize = 1460 }
	for _, test := range []struct {
		name string
		n    int
		set  func(*packet.Buffer)
		want vnetHeader
		ok   bool
	}{
		{"plain", 60, func(*packet.Buffer) {}, vnetHeader{}, true},
		{"verified", 60, func(b *packet.Buffer) { b.Checksum = packet.ChecksumVerified }, vnetHeader{}, true},
		{"partial", 60, partial, vnetHeader{flags: 1, csumStart: 34, csumOffset: 16}, true},
		{"partial beyond the end", 51, partial, vnetHeader{}, false},
		{"partial before the start", 60, func(b *packet.Buffer) { partial(b); b.Pull(40) }, vnetHeader{}, false},
		{"train", 60000, train, vnetHeader{1, gsoTCPv4, 54, 1460, 34, 16}, true},
		{"train with CWR", 60000, func(b *packet.Buffer) { train(b); b.Bytes()[47] = 0x80 }, vnetHeader{1, gsoTCPv4 | gsoECN, 54, 1460, 34, 16}, true},
		{"options beyond the end", 60, func(b *packet.Buffer) { train(b); b.Bytes()[46] = 0xf0 }, vnetHeader{1, gsoTCPv4, 60, 1460, 34, 16}, true},
		{"train with complete checksum", 60000, func(b *packet.Buffer) { b.SegmentSize = 1460 }, vnetHeader{}, false},
		{"segments too large", 60000, func(b *packet.Buffer) { partial(b); b.SegmentSize = 1 << 16 }, vnetHeader{}, false},
		{"train without TCP header", 53, train, vnetHeader{}, false},
	} {
		b := tcpFrame(test.n)
		test.set(b)
		if got, ok := vnetFor(b, ethernetLen); ok != test.ok || ok && got != test.want {
			t.Errorf("%s: %+v, %v", test.name, got, ok)
		}
		b.Release()
	}
}

// FuzzMark shows that a header which is accepted can be sent again as it was,
// and that its checksum can be completed.
func FuzzMark(f *testing.F) {
	h := make([]byte, vnetLen)
	for _, seed := range []vnetHeader{{}, {flags: 2}, {flags: 1, csumStart: 34, csumOffset: 6}, {1, 1, 54, 1460, 34, 16}} {
		seed.put(h)
		f.Add(bytes.Clone(h), 100)
	}
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		if len(p) < vnetLen || n < ethernetLen || n > 3000 {
			return
		}
		h := parseVNet(p)
		b := tcpFrame(n)
		defer b.Release()
		if h.mark(b, ethernetLen) != nil {
			return
		}
		again, ok := vnetFor(b, ethernetLen)
		if !ok {
			t.Fatalf("%+v was received, and cannot be sent", h)
		}
		if b.Checksum == packet.ChecksumPartial && (again.csumStart != h.csumStart || again.csumOffset != h.csumOffset) {
			t.Fatalf("%+v, want %+v", again, h)
		}
		if b.SegmentSize == 0 {
			b.CompleteChecksum()
		}
	})
}
