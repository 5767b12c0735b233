package segment_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestEncodeParse: MUST-2, MUST-3: what encode writes is what parse reads, and
// gopacket, which knows nothing of us, reads the same with a good checksum.
func TestEncodeParse(t *testing.T) {
	f := tcptest.PeerFlow(1)
	for _, s := range []segment.Segment{
		{Seq: 0xfffffff0, Flags: segment.SYN, Window: 65535, Opts: segment.Options{MSS: 1460, HasScale: true, Scale: 14, SackPermitted: true, HasTimestamps: true, TSVal: 1}},
		{Seq: 1, Ack: 0xffffff00, Flags: segment.ACK | segment.PSH | segment.FIN, Window: 1, Opts: segment.Options{HasTimestamps: true, TSVal: 0xffffffff, TSEcr: 7}},
		{Seq: 1, Ack: 2, Flags: segment.ACK | segment.URG | segment.ECE | segment.CWR, Urgent: 77, Opts: segment.Options{SACKs: 4, SACK: [segment.MaxSACK]segment.Block{{Left: 1, Right: 2}, {Left: 3, Right: 4}, {Left: 5, Right: 6}, {Left: 7, Right: 8}}}},
		{Seq: 5, Flags: segment.RST},
	} {
		for _, n := range []int{0, 1, 1459, 1460} {
			text := bytes.Repeat([]byte{0xa5}, n)
			b := tcptest.Wire(s, f, text)
			compareHeader(t, b, &s, text)
			got, err := tcptest.ParseSegment(b)
			if err != nil {
				t.Fatalf("%v: %v", &s, err)
			}
			if !bytes.Equal(b.Bytes(), text) || got.Text != b || got.Len != n {
				t.Errorf("%v: text of %d bytes, want %d", &s, got.Len, n)
			}
			got.Text, got.Len = nil, 0
			if got != s {
				t.Errorf("%v became %v", &s, &got)
			}
			b.Release()
		}
	}
}

// compareHeader has gopacket read b.
func compareHeader(t *testing.T, b *packet.Buffer, s *segment.Segment, text []byte) {
	t.Helper()
	p := gopacket.NewPacket(b.Network(), layers.LayerTypeIPv4, gopacket.Default)
	ip, _ := p.NetworkLayer().(*layers.IPv4)
	h, _ := p.TransportLayer().(*layers.TCP)
	if ip == nil || h == nil {
		t.Fatalf("gopacket reads %v", p)
	}
	f := tcptest.PeerFlow(1)
	if h.Seq != uint32(s.Seq) || h.Ack != uint32(s.Ack) || h.Window != s.Window || h.Urgent != s.Urgent ||
		h.SrcPort != layers.TCPPort(f.Local.Port) || h.DstPort != layers.TCPPort(f.Remote.Port) ||
		h.SYN != s.Has(segment.SYN) || h.ACK != s.Has(segment.ACK) || h.FIN != s.Has(segment.FIN) || h.RST != s.Has(segment.RST) ||
		h.PSH != s.Has(segment.PSH) || h.URG != s.Has(segment.URG) || h.ECE != s.Has(segment.ECE) || h.CWR != s.Has(segment.CWR) ||
		!bytes.Equal(h.Payload, text) {
		t.Errorf("gopacket reads %+v from %v", h, s)
	}
	sum := h.Checksum
	if err := h.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	again, opts := gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{ComputeChecksums: true}
	if err := gopacket.SerializeLayers(again, opts, h, gopacket.Payload(text)); err != nil {
		t.Fatal(err)
	}
	if h.Checksum != sum {
		t.Errorf("%v: checksum %#04x, gopacket's is %#04x", s, sum, h.Checksum)
	}
}

// TestOptionsInAnySegment: MUST-5: an option is read from whatever segment it is
// on, also where it has no business.
func TestOptionsInAnySegment(t *testing.T) {
	for _, f := range []segment.Flags{0, segment.SYN, segment.SYN | segment.ACK, segment.ACK, segment.PSH | segment.ACK, segment.URG | segment.ACK, segment.FIN | segment.ACK, segment.RST, segment.RST | segment.ACK} {
		b := packet.From([]byte("text"))
		b.Push(4)
		copy(b.Bytes(), []byte{segment.OptMSS, 4, 5, 180})
		header := segment.Segment{Seq: 1, Ack: 2, Flags: f}
		segment.Encode(b, &header, &ip.Flow{})
		b.Bytes()[12] += 1 << 4 // the option belongs to the header
		b.MarkNetwork()
		b.Checksum = packet.ChecksumVerified
		got, err := tcptest.ParseSegment(b)
		if err != nil || got.Opts.MSS != 1460 || got.Flags != f || string(b.Bytes()) != "text" {
			t.Errorf("%v: %+v, %v", f, got.Opts, err)
		}
		b.Release()
	}
}

// TestParseRefuses: MUST-3, MUST-7: a bad checksum or length anywhere is found.
func TestParseRefuses(t *testing.T) {
	s := segment.Segment{Seq: 1, Ack: 2, Flags: segment.ACK, Opts: segment.Options{HasTimestamps: true}}
	for _, c := range []struct {
		name  string
		spoil func(b *packet.Buffer)
		want  error
	}{
		{"one bit of text", func(b *packet.Buffer) { b.Bytes()[40] ^= 1 }, segment.ErrChecksum},
		{"one bit of header", func(b *packet.Buffer) { b.Bytes()[4] ^= 0x80 }, segment.ErrChecksum},
		{"checksum zero", func(b *packet.Buffer) { copy(b.Bytes()[16:], "\x00\x00") }, segment.ErrChecksum},
		{"one bit of the address", func(b *packet.Buffer) { b.Network()[15] ^= 1 }, segment.ErrChecksum},
		{"short header", func(b *packet.Buffer) { b.Trim(19) }, segment.ErrLength},
		{"empty", func(b *packet.Buffer) { b.Trim(0) }, segment.ErrLength},
		{"offset below 5", func(b *packet.Buffer) { b.Bytes()[12] = 4 << 4 }, segment.ErrLength},
		{"offset beyond the end", func(b *packet.Buffer) { b.Trim(31) }, segment.ErrLength},
	} {
		b := tcptest.Wire(s, tcptest.PeerFlow(1), []byte("some text of this segment"))
		c.spoil(b)
		if _, err := tcptest.ParseSegment(b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		b.Release()
	}
}

// TestParseTrusts: MUST-3: what the device has verified, or what never crossed a
// wire, is not summed again.
func TestParseTrusts(t *testing.T) {
	for _, state := range []packet.ChecksumState{packet.ChecksumVerified, packet.ChecksumPartial} {
		b := tcptest.Wire(segment.Segment{Flags: segment.ACK}, tcptest.PeerFlow(1), nil)
		b.Bytes()[16] ^= 0xff
		b.Checksum = state
		if _, err := tcptest.ParseSegment(b); err != nil {
			t.Errorf("state %v: %v", state, err)
		}
		b.Release()
	}
}

// FuzzParse: no bytes do harm, and a segment that is good comes back the same
// from a round trip.
func FuzzParse(f *testing.F) {
	b := tcptest.Wire(segment.Segment{Seq: 1, Ack: 2, Flags: segment.ACK, Opts: segment.Options{HasTimestamps: true}}, tcptest.PeerFlow(1), []byte("text"))
	f.Add(append([]byte(nil), b.Bytes()...))
	b.Release()
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		b := packet.From(p[:min(len(p), packet.MaxSize)])
		defer b.Release()
		b.Checksum = packet.ChecksumVerified
		s, err := tcptest.ParseSegment(b)
		if err != nil {
			return
		}
		if s.Len != b.Len() || s.Span() < s.Len || s.End().Sub(s.Seq) != s.Span() {
			t.Fatalf("%v: %d bytes of text", &s, b.Len())
		}
		_ = s.String()
		opts := s.Opts.Append(nil, s.Has(segment.SYN))
		if len(opts) > segment.MaxHeaderLen-segment.MinHeaderLen || b.Len() > 2000 {
			return // more than an honest peer sends together
		}
		again := tcptest.Wire(s, tcptest.PeerFlow(1), b.Bytes())
		defer again.Release()
		got, err := tcptest.ParseSegment(again)
		if err != nil || got.Seq != s.Seq || got.Ack != s.Ack || got.Flags != s.Flags || got.Len != s.Len {
			t.Fatalf("%v became %v: %v", &s, &got, err)
		}
	})
}
