package trouble

import (
	"encoding/binary"
	"net/netip"
	"sort"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// newNAT gives the host inside another address, as the hosts beyond l see it,
// from each of the instants on that are counted from start. What comes for an
// address that it has no more finds nobody.
func newNAT(l link.Link, inside netip.Addr, rebinds []time.Duration, start time.Time) link.Link {
	if len(rebinds) == 0 {
		return l
	}
	outside := func() uint32 {
		n := sort.Search(len(rebinds), func(i int) bool { return rebinds[i] > time.Since(start) })
		if n == 0 {
			return binary.BigEndian.Uint32(inside.AsSlice())
		}
		return 10<<24 | 200<<16 | uint32(n)
	}
	in := binary.BigEndian.Uint32(inside.AsSlice())
	return Modify(l, func(frame []byte, sent bool) {
		const nobody = 10<<24 | 201<<16 | 1
		switch out := outside(); {
		case sent:
			rewrite(frame, ipSource, in, out)
		case out != in:
			rewrite(frame, ipDestination, in, nobody)
			rewrite(frame, ipDestination, out, in)
		}
	})
}

// Modify has f change each frame that passes a card. Trains are cut first.
func Modify(l link.Link, f func(frame []byte, sent bool)) link.Link {
	through := func(in <-chan *packet.Buffer, out chan<- *packet.Buffer, sent bool) {
		defer close(out)
		for b := range in {
			link.Cut(b, func(b *packet.Buffer) {
				f(b.Bytes(), sent)
				out <- b
			})
		}
	}
	tx, rx := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	go through(tx, l.Tx, true)
	go through(l.Rx, rx, false)
	l.Tx, l.Rx = tx, rx
	return l
}

// Places in a frame.
const (
	ipAt          = 14
	ipSource      = ipAt + 12
	ipDestination = ipAt + 16
)

// rewrite replaces an address, if it is there, in an IPv4 datagram and in what
// an ICMP error quotes; all checksums follow (RFC 1624).
func rewrite(frame []byte, place int, old, new uint32) {
	if old == new || len(frame) < ipAt+20 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 || binary.BigEndian.Uint32(frame[place:]) != old {
		return
	}
	sums := []int{ipAt + 10}
	head := ipAt + int(frame[ipAt]&15)*4
	const tcp, icmp = 6, 1
	switch protocol := frame[ipAt+9]; {
	case protocol == tcp && len(frame) >= head+18:
		sums = append(sums, head+16)
	case protocol == icmp && place == ipDestination && len(frame) >= head+8+20:
		quoted := head + 8
		if binary.BigEndian.Uint32(frame[quoted+12:]) == old {
			replace(frame, quoted+12, new, quoted+10)
			fix(frame, head)
		}
	}
	replace(frame, place, new, sums...)
}

// replace writes an address, and mends the checksums at sums.
func replace(frame []byte, place int, new uint32, sums ...int) {
	for half := range 2 {
		at := place + 2*half
		before, after := binary.BigEndian.Uint16(frame[at:]), uint16(new>>(16-16*half))
		binary.BigEndian.PutUint16(frame[at:], after)
		for _, s := range sums {
			sum := checksum.Update(binary.BigEndian.Uint16(frame[s:]), before, after)
			binary.BigEndian.PutUint16(frame[s:], sum)
		}
	}
}

// fix computes the checksum of an ICMP message from nothing.
func fix(frame []byte, head int) {
	end := min(len(frame), ipAt+int(binary.BigEndian.Uint16(frame[ipAt+2:])))
	frame[head+2], frame[head+3] = 0, 0
	binary.BigEndian.PutUint16(frame[head+2:], checksum.Of(frame[head:end]))
}
