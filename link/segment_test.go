package link

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/packet"
)

func cutAll(b *packet.Buffer) (segments []*packet.Buffer, ok bool) {
	ok = Cut(b, func(s *packet.Buffer) { segments = append(segments, s) })
	return segments, ok
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name            string
		n, size, wanted int
	}{
		{"one byte each", 5, 1, 5},
		{"even", 3000, 1000, 3},
		{"a short last one", 3001, 1000, 4},
		{"odd size", 5000, 1447, 4},
		{"a train of one", 900, 1000, 1},
		{"exactly one", 1000, 1000, 1},
		{"no payload", 0, 1000, 1},
		{"the largest", packetMax, 1448, (packetMax + 1447) / 1448},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := packet.Live()
			b := train(t, c.n, c.size)
			b.Arrived, b.Link, b.Group = time.Unix(9, 0), 3, true
			segments, ok := cutAll(b)
			if !ok || len(segments) != c.wanted {
				t.Fatalf("%d segments, %v; want %d", len(segments), ok, c.wanted)
			}
			var payload []byte
			for i, s := range segments {
				ip, tcp := valid(t, s.Bytes())
				first, last := i == 0, i == len(segments)-1
				if s.SegmentSize != 0 || s.Checksum != packet.ChecksumComplete {
					t.Errorf("segment %d: SegmentSize %d, Checksum %d", i, s.SegmentSize, s.Checksum)
				}
				if !s.Arrived.Equal(time.Unix(9, 0)) || s.Link != 3 || !s.Group {
					t.Errorf("segment %d: marks are lost: %v %d %v", i, s.Arrived, s.Link, s.Group)
				}
				if want := uint16(0xfffe + i); ip.Id != want {
					t.Errorf("segment %d: ID %#x, want %#x", i, ip.Id, want)
				}
				if want := 0xffffff00 + uint32(len(payload)); tcp.Seq != want {
					t.Errorf("segment %d: seq %d, want %d", i, tcp.Seq, want)
				}
				if tcp.FIN != last || tcp.PSH != last || tcp.CWR != first || !tcp.ECE || !tcp.ACK {
					t.Errorf("segment %d: FIN %v PSH %v CWR %v ECE %v ACK %v", i, tcp.FIN, tcp.PSH, tcp.CWR, tcp.ECE, tcp.ACK)
				}
				if !last && len(tcp.Payload) != c.size {
					t.Errorf("segment %d: %d bytes", i, len(tcp.Payload))
				}
				payload = append(payload, tcp.Payload...)
				s.Release()
			}
			if !bytes.Equal(payload, data(c.n)) {
				t.Error("the payload has changed")
			}
			if n := packet.Live() - before; n != 0 {
				t.Errorf("%d buffers have not been released", n)
			}
		})
	}
}

// packetMax is the most payload behind the headers of tcpFrame.
const packetMax = 65535 - 20 - 32

func TestCutWhole(t *testing.T) {
	b := packet.From(tcpFrame(t, 1, 100))
	makePartial(b)
	if sumsToZero(b.Bytes()) {
		t.Fatal("the checksum is not partial")
	}
	segments, ok := cutAll(b)
	if !ok || len(segments) != 1 || segments[0] != b {
		t.Fatalf("got %v, %v; want the frame itself", segments, ok)
	}
	valid(t, b.Bytes())
	b.Release()
}

func TestCutRefuses(t *testing.T) {
	mark := func(change func(*packet.Buffer)) *packet.Buffer {
		b := train(t, 3000, 1000)
		change(b)
		return b
	}
	poke := func(i int, v byte) *packet.Buffer { return mark(func(b *packet.Buffer) { b.Bytes()[i] = v }) }
	udp := packet.From(serialize(t, etherTo(layers.EthernetTypeIPv4), ipOf(layers.IPProtocolUDP), &layers.UDP{}, gopacket.Payload(data(3000))))
	udp.SegmentSize = 1000
	for name, b := range map[string]*packet.Buffer{
		"empty":                       mark(func(b *packet.Buffer) { b.Trim(0) }),
		"cut in the IP header":        mark(func(b *packet.Buffer) { b.Trim(20) }),
		"cut in the payload":          mark(func(b *packet.Buffer) { b.Trim(2000) }),
		"not IPv4 by type":            poke(13, 1),
		"not IPv4 by version":         poke(14, 0x65),
		"IP header too short":         poke(14, 0x44),
		"IP header longer than all":   mark(func(b *packet.Buffer) { b.Bytes()[14] = 0x4f; b.Bytes()[16], b.Bytes()[17] = 0, 59 }),
		"first fragment":              poke(20, 0x20),
		"last fragment":               poke(21, 1),
		"UDP":                         udp,
		"TCP header too short":        poke(46, 0x40),
		"TCP header beyond the end":   mark(func(b *packet.Buffer) { b.Bytes()[16], b.Bytes()[17] = 0, 41 }),
		"negative segments":           mark(func(b *packet.Buffer) { b.SegmentSize = -1 }),
		"partial sum beyond the end":  mark(func(b *packet.Buffer) { b.SegmentSize = 0; b.Trim(51) }),
		"partial sum before the head": mark(func(b *packet.Buffer) { b.SegmentSize = 0; b.Pull(35) }),
	} {
		t.Run(name, func(t *testing.T) {
			before := packet.Live()
			if segments, ok := cutAll(b); ok || len(segments) > 0 {
				t.Errorf("cut into %d segments, %v", len(segments), ok)
			}
			if n := packet.Live() - before; packet.Checked && n != -1 {
				t.Errorf("%d buffers more than before, want one less", n)
			}
		})
	}
}

// TestCutPadding shows that what follows the datagram in the frame is no payload.
func TestCutPadding(t *testing.T) {
	b := train(t, 100, 60)
	b.Append([]byte("padding"))
	segments, ok := cutAll(b)
	if !ok || len(segments) != 2 {
		t.Fatalf("%d segments, %v", len(segments), ok)
	}
	for _, s := range segments {
		valid(t, s.Bytes())
		s.Release()
	}
}

func FuzzCut(f *testing.F) {
	f.Add(tcpFrame(f, 1, 3000), 1000, 34, 16)
	f.Add(tcpFrame(f, 1, 3), 1, 0, 0)
	f.Add(tcpFrame(f, 1, 30), 0, 34, 16)
	f.Add([]byte{}, 0, -5, 1)
	f.Fuzz(func(t *testing.T, frame []byte, size, start, offset int) {
		if len(frame) > packet.MaxSize {
			t.Skip()
		}
		before := packet.Live()
		b := packet.From(frame)
		b.SegmentSize = size
		if start > -1<<30 && start < 1<<30 && offset > -1<<30 && offset < 1<<30 {
			b.SetPartial(start, offset)
		}
		length, payload := b.Len(), 0
		ok := Cut(b, func(s *packet.Buffer) {
			if size > 0 {
				at, parsed := parseTCP(s.Bytes(), ethernetLen)
				if !parsed || !sumsToZero(s.Bytes()) || at.payload+size < at.end || at.end != s.Len() {
					t.Errorf("bad segment %x", s.Bytes())
				}
				payload += at.end - at.payload
			} else if s.Len() != length || s.Checksum == packet.ChecksumPartial {
				t.Errorf("bad frame %x", s.Bytes())
			}
			s.Release()
		})
		if at, parsed := parseTCP(frame, ethernetLen); size > 0 && (ok != parsed || payload != at.end-at.payload && ok) {
			t.Errorf("ok %v, %d of %d bytes of payload", ok, payload, at.end-at.payload)
		}
		if n := packet.Live() - before; n != 0 {
			t.Errorf("%d buffers have not been released", n)
		}
	})
}

func BenchmarkCut(b *testing.B) {
	first := train(b, packetMax, 1448)
	release := func(s *packet.Buffer) { s.Release() }
	b.SetBytes(packetMax)
	b.ReportAllocs()
	for b.Loop() {
		Cut(first.Clone(), release)
	}
}
