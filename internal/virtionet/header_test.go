package virtionet

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed-012105e5/gonet/packet"
)

const ethernet = 14 // bytes of its header

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

func TestBytes(t *testing.T) {
	h := Header{Flags: 1, GSOType: 0x81, HdrLen: 0x0203, GSOSize: 0x0405, CsumStart: 0x0607, CsumOffset: 0x0809}
	want := []byte{1, 0x81, 3, 2, 5, 4, 7, 6, 9, 8}
	got := make([]byte, Len)
	h.Put(got)
	if !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	if back := Parse(got); back != h {
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
		h    Header
		n    int
		want marks
		err  error
	}{
		{"plain", Header{}, 60, marks{}, nil},
		{"verified", Header{Flags: DataValid}, 60, marks{state: packet.ChecksumVerified}, nil},
		{"partial", Header{Flags: NeedsCsum, CsumStart: 34, CsumOffset: 6}, 42, marks{state: packet.ChecksumPartial, start: 34, offset: 6}, nil},
		{"partial is the stronger", Header{Flags: 3, CsumStart: 34, CsumOffset: 6}, 42, marks{state: packet.ChecksumPartial, start: 34, offset: 6}, nil},
		{"partial beyond the end", Header{Flags: NeedsCsum, CsumStart: 34, CsumOffset: 7}, 42, marks{}, ErrMalformed},
		{"partial overflowing", Header{Flags: NeedsCsum, CsumStart: 0xffff, CsumOffset: 0xffff}, 42, marks{}, ErrMalformed},
		{"partial in the MAC", Header{Flags: NeedsCsum, CsumStart: 13, CsumOffset: 6}, 42, marks{}, ErrMalformed},
		{"train", Header{Flags: 1, GSOType: GSOTCPv4, GSOSize: 1460, CsumStart: 34, CsumOffset: 16}, 5000, marks{packet.ChecksumPartial, 34, 16, 1460}, nil},
		{"train with CWR", Header{Flags: 1, GSOType: GSOTCPv4 | GSOECN, GSOSize: 1460, CsumStart: 34, CsumOffset: 16}, 5000, marks{packet.ChecksumPartial, 34, 16, 1460}, nil},
		{"train of nothing", Header{Flags: 1, GSOType: GSOTCPv4, CsumStart: 34, CsumOffset: 16}, 5000, marks{}, ErrMalformed},
		{"train without partial checksum", Header{Flags: DataValid, GSOType: GSOTCPv4, GSOSize: 1460}, 5000, marks{}, ErrMalformed},
		{"train without TCP header", Header{Flags: 1, GSOType: GSOTCPv4, GSOSize: 1460, CsumStart: 34, CsumOffset: 16}, 53, marks{}, ErrMalformed},
		{"TCPv6", Header{Flags: 1, GSOType: 4, GSOSize: 1460, CsumStart: 54, CsumOffset: 16}, 5000, marks{}, ErrMalformed},
		{"UDP", Header{Flags: 1, GSOType: 3, GSOSize: 1460, CsumStart: 34, CsumOffset: 6}, 5000, marks{}, ErrMalformed},
	} {
		b := tcpFrame(test.n)
		err := test.h.Mark(b, ethernet)
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

func TestFor(t *testing.T) {
	partial := func(b *packet.Buffer) { b.SetPartial(34, 16) }
	train := func(b *packet.Buffer) { partial(b); b.SegmentSize = 1460 }
	for _, test := range []struct {
		name string
		n    int
		set  func(*packet.Buffer)
		want Header
		ok   bool
	}{
		{"plain", 60, func(*packet.Buffer) {}, Header{}, true},
		{"verified", 60, func(b *packet.Buffer) { b.Checksum = packet.ChecksumVerified }, Header{}, true},
		{"partial", 60, partial, Header{Flags: 1, CsumStart: 34, CsumOffset: 16}, true},
		{"partial beyond the end", 51, partial, Header{}, false},
		{"partial before the start", 60, func(b *packet.Buffer) { partial(b); b.Pull(40) }, Header{}, false},
		{"train", 60000, train, Header{1, GSOTCPv4, 54, 1460, 34, 16}, true},
		{"train with CWR", 60000, func(b *packet.Buffer) { train(b); b.Bytes()[47] = 0x80 }, Header{1, GSOTCPv4 | GSOECN, 54, 1460, 34, 16}, true},
		{"options beyond the end", 60, func(b *packet.Buffer) { train(b); b.Bytes()[46] = 0xf0 }, Header{1, GSOTCPv4, 60, 1460, 34, 16}, true},
		{"train with complete checksum", 60000, func(b *packet.Buffer) { b.SegmentSize = 1460 }, Header{}, false},
		{"segments too large", 60000, func(b *packet.Buffer) { partial(b); b.SegmentSize = 1 << 16 }, Header{}, false},
		{"train without TCP header", 53, train, Header{}, false},
	} {
		b := tcpFrame(test.n)
		test.set(b)
		if got, ok := For(b, ethernet); ok != test.ok || ok && got != test.want {
			t.Errorf("%s: %+v, %v", test.name, got, ok)
		}
		b.Release()
	}
}

// FuzzMark shows that a header which is accepted can be sent again as it was,
// and that its checksum can be completed.
func FuzzMark(f *testing.F) {
	h := make([]byte, Len)
	for _, seed := range []Header{{}, {Flags: 2}, {Flags: 1, CsumStart: 34, CsumOffset: 6}, {1, 1, 54, 1460, 34, 16}} {
		seed.Put(h)
		f.Add(bytes.Clone(h), 100)
	}
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		if len(p) < Len || n < ethernet || n > 3000 {
			return
		}
		h := Parse(p)
		b := tcpFrame(n)
		defer b.Release()
		if h.Mark(b, ethernet) != nil {
			return
		}
		again, ok := For(b, ethernet)
		if !ok {
			t.Fatalf("%+v was received, and cannot be sent", h)
		}
		if b.Checksum == packet.ChecksumPartial && (again.CsumStart != h.CsumStart || again.CsumOffset != h.CsumOffset) {
			t.Fatalf("%+v, want %+v", again, h)
		}
		if b.SegmentSize == 0 {
			b.CompleteChecksum()
		}
	})
}
