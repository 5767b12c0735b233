package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/seed-012105e5/gonet/internal/checksum"
)

// TestCompleteChecksum completes the checksum of UDP datagrams, and sums them
// up as a receiver does, with any headers before them.
func TestCompleteChecksum(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		b := Get(8 + n)
		datagram := b.Extend(8 + n)
		for i := range datagram {
			datagram[i] = byte(rnd.Uint32())
		}
		pseudo := checksum.Sum([]byte{10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, byte(len(datagram))}, 0)
		binary.BigEndian.PutUint16(datagram[6:], checksum.Fold(pseudo))
		b.SetPartial(0, 6)
		b.Push(20)
		if start, offset := b.Partial(); start != 20 || offset != 6 {
			t.Fatalf("behind a header of 20 bytes the checksum starts at %d, its field is at %d", start, offset)
		}
		b.CompleteChecksum()
		if b.Checksum != ChecksumComplete {
			t.Fatalf("state %d", b.Checksum)
		}
		if sum := checksum.Fold(checksum.Sum(datagram, pseudo)); sum != 0xffff {
			t.Fatalf("%d bytes: the receiver's sum is %#04x", n, sum)
		}
		b.Release()
	}
}

// TestCompleteChecksumZero: RFC 768 keeps 0 for UDP datagrams without a
// checksum, and has one that is 0 sent as 0xffff. In TCP 0 is 0 (RFC 1624
// section 3).
func TestCompleteChecksumZero(t *testing.T) {
	for offset, want := range map[int]uint16{6: 0xffff, 16: 0} {
		b := Get(20)
		clear(b.Extend(20))
		binary.BigEndian.PutUint16(b.Bytes(), 0xffff) // the sum, and its complement is 0
		b.SetPartial(0, offset)
		b.CompleteChecksum()
		if got := binary.BigEndian.Uint16(b.Bytes()[offset:]); got != want {
			t.Errorf("field at %d: %#04x, want %#04x", offset, got, want)
		}
		b.Release()
	}
}

// TestCompleteChecksumLeaves: what is not partial stays as it is.
func TestCompleteChecksumLeaves(t *testing.T) {
	for _, state := range []ChecksumState{ChecksumComplete, ChecksumVerified} {
		b := From([]byte{1, 2, 3, 4})
		b.SetPartial(0, 2)
		b.Checksum = state
		b.CompleteChecksum()
		if string(b.Bytes()) != "\x01\x02\x03\x04" || b.Checksum != state {
			t.Errorf("state %d became %d with bytes %x", state, b.Checksum, b.Bytes())
		}
		b.Release()
	}
}
