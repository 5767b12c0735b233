package tcp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// wire is s as a datagram of flow f with text, its front at the TCP header.
func wire(s segment, f ip.Flow, text []byte) *packet.Buffer { return wireBy(s, f, text, nil) }

// wireBy is wire with IP options.
func wireBy(s segment, f ip.Flow, text, ipOptions []byte) *packet.Buffer {
	b := packet.From(text)
	encode(b, &s, &f)
	ipv4.Push(b, ipv4.Fields{TOS: uint8(s.ecn), Protocol: ip.ProtocolTCP, Src: f.Local.Addr(), Dst: f.Remote.Addr(), Options: ipOptions})
	b.Pull(ipv4.MinHeaderLen + len(ipOptions))
	b.CompleteChecksum()
	return b
}

// TestEncodeParse: MUST-2, MUST-3: what encode writes is what parse reads, and
// gopacket, which knows nothing of us, reads the same with a good checksum.
func TestEncodeParse(t *testing.T) {
	f := peerFlow(1)
	for _, s := range []segment{
		{seq: 0xfffffff0, flags: SYN, window: 65535, opts: options{mss: 1460, hasScale: true, scale: 14, sackPermitted: true, hasTimestamps: true, tsVal: 1}},
		{seq: 1, ack: 0xffffff00, flags: ACK | PSH | FIN, window: 1, opts: options{hasTimestamps: true, tsVal: 0xffffffff, tsEcr: 7}},
		{seq: 1, ack: 2, flags: ACK | URG | ECE | CWR, urgent: 77, opts: options{sacks: 4, sack: [maxSACK]block{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}},
		{seq: 5, flags: RST},
	} {
		for _, n := range []int{0, 1, 1459, 1460} {
			text := bytes.Repeat([]byte{0xa5}, n)
			b := wire(s, f, text)
			compareHeader(t, b, &s, text)
			got, err := parseSegment(b)
			if err != nil {
				t.Fatalf("%v: %v", &s, err)
			}
			if !bytes.Equal(b.Bytes(), text) || got.text != b || got.len != n {
				t.Errorf("%v: text of %d bytes, want %d", &s, got.len, n)
			}
			got.text, got.len = nil, 0
			if got != s {
				t.Errorf("%v became %v", &s, &got)
			}
			b.Release()
		}
	}
}

// compareHeader has gopacket read b.
func compareHeader(t *testing.T, b *packet.Buffer, s *segment, text []byte) {
	t.Helper()
	p := gopacket.NewPacket(b.Network(), layers.LayerTypeIPv4, gopacket.Default)
	ip, _ := p.NetworkLayer().(*layers.IPv4)
	h, _ := p.TransportLayer().(*layers.TCP)
	if ip == nil || h == nil {
		t.Fatalf("gopacket reads %v", p)
	}
	f := peerFlow(1)
	if h.Seq != uint32(s.seq) || h.Ack != uint32(s.ack) || h.Window != s.window || h.Urgent != s.urgent ||
		h.SrcPort != layers.TCPPort(f.Local.Port) || h.DstPort != layers.TCPPort(f.Remote.Port) ||
		h.SYN != s.has(SYN) || h.ACK != s.has(ACK) || h.FIN != s.has(FIN) || h.RST != s.has(RST) ||
		h.PSH != s.has(PSH) || h.URG != s.has(URG) || h.ECE != s.has(ECE) || h.CWR != s.has(CWR) ||
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
	for _, f := range []flags{0, SYN, SYN | ACK, ACK, PSH | ACK, URG | ACK, FIN | ACK, RST, RST | ACK} {
		b := packet.From([]byte("text"))
		b.Push(4)
		copy(b.Bytes(), []byte{optMSS, 4, 5, 180})
		header := segment{seq: 1, ack: 2, flags: f}
		encode(b, &header, &ip.Flow{})
		b.Bytes()[12] += 1 << 4 // the option belongs to the header
		b.MarkNetwork()
		b.Checksum = packet.ChecksumVerified
		got, err := parseSegment(b)
		if err != nil || got.opts.mss != 1460 || got.flags != f || string(b.Bytes()) != "text" {
			t.Errorf("%v: %+v, %v", f, got.opts, err)
		}
		b.Release()
	}
}

// TestParseRefuses: MUST-3, MUST-7: a bad checksum or length anywhere is found.
func TestParseRefuses(t *testing.T) {
	s := segment{seq: 1, ack: 2, flags: ACK, opts: options{hasTimestamps: true}}
	for _, c := range []struct {
		name  string
		spoil func(b *packet.Buffer)
		want  error
	}{
		{"one bit of text", func(b *packet.Buffer) { b.Bytes()[40] ^= 1 }, errChecksum},
		{"one bit of header", func(b *packet.Buffer) { b.Bytes()[4] ^= 0x80 }, errChecksum},
		{"checksum zero", func(b *packet.Buffer) { copy(b.Bytes()[16:], "\x00\x00") }, errChecksum},
		{"one bit of the address", func(b *packet.Buffer) { b.Network()[15] ^= 1 }, errChecksum},
		{"short header", func(b *packet.Buffer) { b.Trim(19) }, errLength},
		{"empty", func(b *packet.Buffer) { b.Trim(0) }, errLength},
		{"offset below 5", func(b *packet.Buffer) { b.Bytes()[12] = 4 << 4 }, errLength},
		{"offset beyond the end", func(b *packet.Buffer) { b.Trim(31) }, errLength},
	} {
		b := wire(s, peerFlow(1), []byte("some text of this segment"))
		c.spoil(b)
		if _, err := parseSegment(b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		b.Release()
	}
}

// TestParseTrusts: MUST-3: what the device has verified, or what never crossed a
// wire, is not summed again.
func TestParseTrusts(t *testing.T) {
	for _, state := range []packet.ChecksumState{packet.ChecksumVerified, packet.ChecksumPartial} {
		b := wire(segment{flags: ACK}, peerFlow(1), nil)
		b.Bytes()[16] ^= 0xff
		b.Checksum = state
		if _, err := parseSegment(b); err != nil {
			t.Errorf("state %v: %v", state, err)
		}
		b.Release()
	}
}

// FuzzParse: no bytes do harm, and a segment that is good comes back the same
// from a round trip.
func FuzzParse(f *testing.F) {
	b := wire(segment{seq: 1, ack: 2, flags: ACK, opts: options{hasTimestamps: true}}, peerFlow(1), []byte("text"))
	f.Add(append([]byte(nil), b.Bytes()...))
	b.Release()
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		b := packet.From(p[:min(len(p), packet.MaxSize)])
		defer b.Release()
		b.Checksum = packet.ChecksumVerified
		s, err := parseSegment(b)
		if err != nil {
			return
		}
		if s.len != b.Len() || s.span() < s.len || s.end().sub(s.seq) != s.span() {
			t.Fatalf("%v: %d bytes of text", &s, b.Len())
		}
		_ = s.String()
		opts := s.opts.append(nil, s.has(SYN))
		if len(opts) > maxHeaderLen-minHeaderLen || b.Len() > 2000 {
			return // more than an honest peer sends together
		}
		again := wire(s, peerFlow(1), b.Bytes())
		defer again.Release()
		got, err := parseSegment(again)
		if err != nil || got.seq != s.seq || got.ack != s.ack || got.flags != s.flags || got.len != s.len {
			t.Fatalf("%v became %v: %v", &s, &got, err)
		}
	})
}
