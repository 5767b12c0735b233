package link

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/packet"
)

// segmentsOf is a stream of plain segments with these bytes of text each, whose
// sequence numbers and IP identifications wrap on the way.
func segmentsOf(t testing.TB, sizes ...int) (frames [][]byte) {
	seq := uint32(0xffffff00)
	for i, n := range sizes {
		ip := ipOf(layers.IPProtocolTCP)
		ip.Id = uint16(0xfffe + i)
		frames = append(frames, serialize(t, etherTo(layers.EthernetTypeIPv4), ip, &layers.TCP{
			SrcPort: 1000, DstPort: 80, Seq: seq, Ack: 77, ACK: true, Window: 500, Options: timestamps,
		}, gopacket.Payload(data(n))))
		seq += uint32(n)
	}
	return frames
}

// join makes trains of frames, as the reader of a card does that has them all.
func join(frames [][]byte) (out []*packet.Buffer) {
	var t Train
	for i, f := range frames {
		if i > 0 {
			if t.Open() && t.Join(f) {
				continue
			}
			out = append(out, t.End())
		}
		t.Begin(packet.From(f))
	}
	if len(frames) > 0 {
		out = append(out, t.End())
	}
	return out
}

// checkGivenBack cuts what was joined, and compares it with the frames.
func checkGivenBack(t *testing.T, joined []*packet.Buffer, frames [][]byte) {
	t.Helper()
	var back [][]byte
	for _, b := range joined {
		if b.SegmentSize == 0 { // it came alone, and is as it came
			if b.Checksum != packet.ChecksumComplete {
				t.Errorf("a frame alone has a checksum in state %d", b.Checksum)
			}
			back = append(back, bytes.Clone(b.Bytes()))
			b.Release()
			continue
		}
		checkTrain(t, b)
		if !Cut(b, func(s *packet.Buffer) { back = append(back, bytes.Clone(s.Bytes())); s.Release() }) {
			t.Error("a train cannot be cut")
		}
	}
	if len(back) != len(frames) {
		t.Fatalf("%d frames given back of %d", len(back), len(frames))
	}
	for i := range back {
		if !bytes.Equal(back[i], frames[i]) {
			t.Fatalf("frame %d was\n%x and is\n%x", i, frames[i], back[i])
		}
	}
}

// checkTrain looks at the marks of a train and at its headers.
func checkTrain(t *testing.T, b *packet.Buffer) {
	t.Helper()
	frame := b.Bytes()
	at, ok := parseTCP(frame, ethernetLen)
	if !ok || at.end != len(frame) || at.end-at.payload <= b.SegmentSize || checksum.Of(frame[ethernetLen:at.tcp]) != 0 {
		t.Errorf("segments of %d bytes in %x", b.SegmentSize, frame[:min(len(frame), 66)])
		return
	}
	start, offset := b.Partial()
	sum := binary.BigEndian.Uint16(frame[at.tcp+16:])
	if b.Checksum != packet.ChecksumPartial || start != at.tcp || offset != 16 || sum != checksum.Fold(pseudoSum(frame[ethernetLen:], at.end-at.tcp)) {
		t.Errorf("checksum %#x in state %d, from %d, at %d", sum, b.Checksum, start, offset)
	}
}

// TestTrain joins streams of segments: sizes of the text of what comes in, and
// of what goes out.
func TestTrain(t *testing.T) {
	many := func(n, size int) (all []int) {
		for range n {
			all = append(all, size)
		}
		return all
	}
	for _, c := range []struct {
		name     string
		in, want []int
	}{
		{"nothing", nil, nil},
		{"one", []int{1448}, []int{1448}},
		{"two", []int{1448, 1448}, []int{2896}},
		{"the last is smaller", []int{1448, 1448, 1}, []int{2897}},
		{"behind a smaller one a new train", []int{1448, 700, 1448, 1448}, []int{2148, 2896}},
		{"a larger one", []int{700, 1448, 1448}, []int{700, 2896}},
		{"an acknowledgement between", []int{1448, 0, 1448, 1448}, []int{1448, 0, 2896}},
		{"acknowledgements", []int{0, 0, 0}, []int{0, 0, 0}},
		{"small ones of one size", []int{1, 1, 1}, []int{3}},
		{"up to 64 KB", many(50, 1448), []int{45 * 1448, 5 * 1448}},
		{"to the last byte of 64 KB", append(many(45, 1448), 65535-52-45*1448, 1448), []int{65535 - 52, 1448}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := packet.Live()
			frames := segmentsOf(t, c.in...)
			joined := join(frames)
			if len(joined) != len(c.want) {
				t.Fatalf("%d frames, want %d", len(joined), len(c.want))
			}
			for i, b := range joined {
				if n := b.Len() - 66; n != c.want[i] {
					t.Errorf("frame %d has %d bytes of text, want %d", i, n, c.want[i])
				}
				if b.Len() > 2*1514 && b.Size() > 16*b.Len() || b.Len() <= 1514 && b.Size() > 2048 {
					t.Errorf("frame %d has %d bytes and pins %d", i, b.Len(), b.Size())
				}
			}
			checkGivenBack(t, joined, frames)
			if n := packet.Live() - before; n != 0 {
				t.Errorf("%d buffers have not been released", n)
			}
		})
	}
}

// TestTrainRefuses changes the second of three segments, with checksums that are
// right again unless the change is in them: it is not joined to the first.
func TestTrainRefuses(t *testing.T) {
	const tcp = ethernetLen + minIPLen
	for _, c := range []struct {
		name  string
		at    int
		value byte // that the byte there is changed by
	}{
		{"to another station", 5, 1}, {"from another station", 11, 1}, {"another type", 13, 1},
		{"a longer IP header", 14, 0x0f}, {"TOS", 15, 0x20}, {"ECN: congestion was met", 15, 0x03},
		{"identification", 19, 1}, {"DF", 20, 0x40}, {"reserved bit of IP", 20, 0x80}, {"more fragments", 20, 0x20}, {"a later fragment", 21, 1},
		{"TTL", 22, 1}, {"protocol", 23, 1}, {"source", 29, 1}, {"destination", 33, 1},
		{"source port", tcp + 1, 1}, {"destination port", tcp + 3, 1}, {"a gap", tcp + 7, 1}, {"before", tcp + 4, 0x80},
		{"acknowledgement", tcp + 11, 1}, {"length of the TCP header", tcp + 12, 0x10}, {"reserved bit of TCP", tcp + 12, 0x01},
		{"CWR", tcp + 13, 0x80}, {"ECE", tcp + 13, 0x40}, {"URG", tcp + 13, 0x20}, {"no ACK", tcp + 13, 0x10},
		{"RST", tcp + 13, 0x04}, {"SYN", tcp + 13, 0x02}, {"FIN", tcp + 13, 0x01},
		{"window", tcp + 15, 1}, {"urgent pointer", tcp + 19, 1}, {"kind of an option", tcp + 22, 1},
		{"timestamp", tcp + 27, 1}, {"echo of a timestamp", tcp + 31, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			frames := segmentsOf(t, 1000, 1000, 1000)
			frames[1][c.at] ^= c.value
			finishSums(frames[1])
			checkAlone(t, frames)
		})
	}
	for name, change := range map[string]func(frame []byte){
		"checksum of IP":           func(f []byte) { f[24] ^= 1 },
		"checksum of TCP, MUST-3":  func(f []byte) { f[tcp+16] ^= 1 },
		"damaged text, MUST-3":     func(f []byte) { f[len(f)-1] ^= 1 },
		"datagram shorter":         func(f []byte) { f[17]--; finishSums(f) },
		"datagram shorter, sum":    func(f []byte) { f[17]--; finishIPSum(f) },
		"longer than the frame":    func(f []byte) { f[17]++ },
		"the other zero, checksum": func(f []byte) { setToZero(f, tcp+16, len(f)-2); f[tcp+16], f[tcp+17] = 0xff, 0xff },
	} {
		for i, which := range []string{"first", "second"} {
			t.Run(name+", "+which, func(t *testing.T) {
				frames := segmentsOf(t, 1000, 1000, 1000)
				change(frames[i])
				checkAlone(t, frames)
			})
		}
	}
}

// TestTrainOtherZero: where the checksum of IP is 0, and stands there as 0xffff,
// which is right too, Cut would not write it so.
func TestTrainOtherZero(t *testing.T) {
	for which := range 2 {
		frames := segmentsOf(t, 1000, 1000, 1000)
		setToZero(frames[which], 24, 32)
		for _, f := range frames { // they are all for that address
			copy(f[32:34], frames[which][32:34])
			finishSums(f)
		}
		if frames[which][24] != 0 || frames[which][25] != 0 {
			t.Fatal("the checksum is not 0")
		}
		frames[which][24], frames[which][25] = 0xff, 0xff
		checkAlone(t, frames)
	}
}

// TestTrainAfterShort: nothing follows a segment that is smaller, even where
// the identification would be what it is in a train of full ones.
func TestTrainAfterShort(t *testing.T) {
	frames := segmentsOf(t, 1000, 500, 300)
	copy(frames[2][18:20], frames[1][18:20])
	finishSums(frames[2])
	checkGivenBack(t, join(frames), frames)
}

// finishIPSum makes the checksum of IP right.
func finishIPSum(frame []byte) {
	frame[24], frame[25] = 0, 0
	binary.BigEndian.PutUint16(frame[24:], checksum.Of(frame[ethernetLen:ethernetLen+minIPLen]))
}

// setToZero makes a checksum 0 by a change of the word at another place.
func setToZero(frame []byte, field, word int) {
	frame[word], frame[word+1] = 0, 0
	finishSums(frame)
	copy(frame[word:], frame[field:field+2])
	finishSums(frame)
}

// checkAlone wants the first two frames not to be joined.
func checkAlone(t *testing.T, frames [][]byte) {
	t.Helper()
	joined := join(frames)
	if len(joined) < 2 || joined[0].SegmentSize != 0 || !bytes.Equal(joined[0].Bytes(), frames[0]) {
		t.Errorf("the first of %d was changed", len(joined))
	}
	checkGivenBack(t, joined, frames)
}

// finishSums makes the checksums of a frame right, if it is TCP over IPv4.
func finishSums(frame []byte) {
	at, ok := parseTCP(frame, ethernetLen)
	if !ok {
		return
	}
	frame[24], frame[25] = 0, 0
	binary.BigEndian.PutUint16(frame[24:], checksum.Of(frame[ethernetLen:at.tcp]))
	putTCPChecksum(frame, at)
}

// TestTrainPush: behind PSH a train ends; what the last segment says is kept.
func TestTrainPush(t *testing.T) {
	frames := segmentsOf(t, 1000, 1000, 1000, 1000)
	frames[1][47] |= flagPSH
	finishSums(frames[1])
	joined := join(frames)
	if len(joined) != 2 || joined[0].Bytes()[47] != flagPSH|flagACK || joined[1].Bytes()[47] != flagACK {
		t.Fatalf("%d frames", len(joined))
	}
	checkGivenBack(t, joined, frames)
}

// TestTrainBegin: a train begins with a plain segment only, and keeps its marks.
func TestTrainBegin(t *testing.T) {
	begin := func(name string, want bool, b *packet.Buffer) {
		var train Train
		if got := train.Begin(b); got != want || got != train.Open() {
			t.Errorf("%s: %v", name, got)
		}
		if train.End() != b {
			t.Errorf("%s: what came out is not what went in", name)
		}
		b.Release()
	}
	plain := segmentsOf(t, 1000, 1000)
	begin("plain", true, packet.From(plain[0]))
	begin("empty", false, packet.From(nil))
	begin("with FIN and PSH", false, packet.From(tcpFrame(t, 1, 1000)))
	begin("a train", false, train(t, 3000, 1000))
	begin("an acknowledgement", false, packet.From(segmentsOf(t, 0)[0]))
	options := serialize(t, etherTo(layers.EthernetTypeIPv4), &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: ipA, DstIP: ipB, Options: []layers.IPv4Option{{OptionType: 1}},
	}, &layers.TCP{ACK: true}, gopacket.Payload(data(1000)))
	begin("with options of IP", false, packet.From(options))
	complete := packet.From(plain[0])
	complete.SegmentSize = 100
	begin("a train with a complete checksum", false, complete)
	begin("padded", false, packet.From(append(bytes.Clone(plain[0]), 0)))
	partial := packet.From(plain[0])
	makePartial(partial)
	begin("partial", false, partial)

	b := packet.From(plain[0])
	b.Arrived, b.Link, b.Group = time.Unix(9, 0), 3, true
	var train Train
	train.Begin(b)
	if !train.Join(plain[1]) {
		t.Fatal("not joined")
	}
	b = train.End()
	if !b.Arrived.Equal(time.Unix(9, 0)) || b.Link != 3 || !b.Group || b.SegmentSize != 1000 {
		t.Errorf("the marks are %v, %d, %v, %d", b.Arrived, b.Link, b.Group, b.SegmentSize)
	}
	b.Release()
}

// FuzzTrain joins segments some bytes of which have been changed, and cuts them
// again.
func FuzzTrain(f *testing.F) {
	f.Add([]byte{90, 90, 90, 20, 90}, []byte{}, true)
	f.Add([]byte{90, 90, 90}, []byte{1, 47, 8}, true)
	f.Add([]byte{90, 90, 90, 90}, []byte{2, 15, 3, 0, 60, 1}, false)
	f.Add([]byte{90, 90, 0, 90, 90}, []byte{1, 19, 1, 2, 41, 90}, true)
	f.Fuzz(func(t *testing.T, sizes, changes []byte, fix bool) {
		var lens []int
		for _, n := range sizes[:min(len(sizes), 60)] {
			lens = append(lens, int(n)*16)
		}
		before := packet.Live()
		frames := segmentsOf(t, lens...)
		for ; len(changes) >= 3 && len(frames) > 0; changes = changes[3:] {
			frame := frames[int(changes[0])%len(frames)]
			frame[int(changes[1])%len(frame)] ^= changes[2]
			if fix {
				finishSums(frame)
			}
		}
		checkGivenBack(t, join(frames), frames)
		if n := packet.Live() - before; n != 0 {
			t.Errorf("%d buffers have not been released", n)
		}
	})
}

func BenchmarkTrain(b *testing.B) {
	frames := segmentsOf(b, 1448, 1448, 1448, 1448, 1448, 1448, 1448, 1448, 1448, 1448)
	var t Train
	b.SetBytes(int64(len(frames) * 1448))
	b.ReportAllocs()
	for b.Loop() {
		t.Begin(packet.From(frames[0]))
		for _, f := range frames[1:] {
			if !t.Join(f) {
				b.Fatal("not joined")
			}
		}
		t.End().Release()
	}
}
