package ipv4

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// Bounds on reassembly, where RxConfig does not say otherwise. RFC 1122
// section 3.3.2 advises a fixed time of 60 to 120 seconds; at the rates of
// today the identification wraps in less (RFC 4963), so it is 30 here, as
// in most hosts.
const (
	DefaultReassemblyTimeout   = 30 * time.Second
	DefaultReassemblyBytes     = 8 << 20
	DefaultReassemblyDatagrams = 512
)

// A reassembler makes datagrams whole again from their fragments (RFC 791
// section 3.2, RFC 1122 section 3.3.2). It is a pure machine, and owns the
// fragments it holds.
//
// Fragments which overlap are the mark of an attack, as no sender makes them:
// the whole datagram is dropped, with those of its fragments that are still to
// come (RFC 5722 section 4, written for IPv6). A fragment that comes twice
// unchanged is only a duplicate.
//
// Memory is bounded in bytes, as the buffers pin them, and in datagrams. No
// source has more than half: its own oldest datagram makes room. For all of them
// chance says who does, from half the bound on more and more often: at a sharp
// edge a source would see by its own datagrams whether a fragment that it forges
// in the name of another belongs to one that is there, or begins another.
type reassembler struct {
	timeout      time.Duration
	maxBytes     int
	maxDatagrams int
	random       func() uint64
	stats        *Stats

	datagrams map[datagramID]*assembly
	byAge     []*assembly // oldest first; as all live equally long, also by deadline
	bytes     int         // pinned by all fragments
}

// A datagramID is what the fragments of one datagram have in common.
type datagramID struct {
	src, dst uint32
	id       uint16
	protocol uint8
}

// An assembly is one datagram in pieces.
type assembly struct {
	id       datagramID
	deadline time.Time
	parts    []*packet.Buffer // by offset, without overlaps; each starts at its header
	have     int              // payload bytes in parts
	length   int              // of the whole payload, in bytes; -1 before the last fragment has come
	dead     bool             // overlaps were seen: what still comes is dropped
}

func newReassembler(timeout time.Duration, maxBytes, maxDatagrams int, random func() uint64, stats *Stats) *reassembler {
	return &reassembler{
		timeout: timeout, maxBytes: maxBytes, maxDatagrams: maxDatagrams, random: random, stats: stats,
		datagrams: map[datagramID]*assembly{},
	}
}

// add takes a fragment, which starts at its header and has been parsed. It
// returns the datagram when it has become whole, and otherwise nil.
func (r *reassembler) add(now time.Time, b *packet.Buffer) *packet.Buffer {
	h := Header(b.Bytes())
	if !sane(h) {
		return drop(b, &r.stats.DropFragment)
	}
	a := r.assembly(now, h)
	if a.dead {
		return drop(b, &r.stats.DropOverlap)
	}
	i, overlap := a.place(h)
	switch {
	case overlap && a.isDuplicate(i, h):
		return drop(b, &r.stats.DropDuplicate)
	case overlap || a.contradicts(h):
		r.kill(a)
		return drop(b, &r.stats.DropOverlap)
	}
	a.parts = slices.Insert(a.parts, i, b)
	a.have += len(h.Payload())
	if !h.MF() {
		a.length = h.FragmentOffset() + len(h.Payload())
	}
	r.bytes += b.Size()
	if a.have == a.length {
		return r.complete(now, a)
	}
	r.bound(a)
	return nil
}

// sane says whether a fragment can be part of any datagram: something of a
// multiple of 8 bytes unless it is the last, all within the longest datagram.
func sane(h Header) bool {
	n := len(h.Payload())
	return n > 0 && (!h.MF() || n%8 == 0) && MinHeaderLen+h.FragmentOffset()+n <= MaxLen
}

// assembly is that of the datagram to which h belongs.
func (r *reassembler) assembly(now time.Time, h Header) *assembly {
	id := datagramID{binary.BigEndian.Uint32(h[12:]), binary.BigEndian.Uint32(h[16:]), h.ID(), h.Protocol()}
	a := r.datagrams[id]
	if a == nil {
		a = &assembly{id: id, deadline: now.Add(r.timeout), length: -1}
		r.datagrams[id] = a
		r.byAge = append(r.byAge, a)
	}
	return a
}

// place finds the position in parts where h belongs, and whether h overlaps
// one there: that at the position or the one before.
func (a *assembly) place(h Header) (i int, overlap bool) {
	start := h.FragmentOffset()
	end := start + len(h.Payload())
	i, _ = slices.BinarySearchFunc(a.parts, start, func(b *packet.Buffer, start int) int {
		return Header(b.Bytes()).FragmentOffset() - start
	})
	if i < len(a.parts) && Header(a.parts[i].Bytes()).FragmentOffset() < end {
		return i, true
	}
	if i > 0 {
		if p := Header(a.parts[i-1].Bytes()); p.FragmentOffset()+len(p.Payload()) > start {
			return i, true
		}
	}
	return i, false
}

// isDuplicate says whether h is the same fragment as that at position i.
func (a *assembly) isDuplicate(i int, h Header) bool {
	if i == len(a.parts) {
		return false
	}
	p := Header(a.parts[i].Bytes())
	return p.FragmentOffset() == h.FragmentOffset() && p.MF() == h.MF() && bytes.Equal(p.Payload(), h.Payload())
}

// contradicts says whether h is at odds with the others about where the
// datagram ends.
func (a *assembly) contradicts(h Header) bool {
	end := h.FragmentOffset() + len(h.Payload())
	if h.MF() {
		return a.length >= 0 && end >= a.length
	}
	if a.length >= 0 {
		return true
	}
	if len(a.parts) == 0 {
		return false
	}
	last := Header(a.parts[len(a.parts)-1].Bytes())
	return last.FragmentOffset()+len(last.Payload()) > end
}

// complete makes the datagram of its parts: the header of the first with what
// the whole has instead.
func (r *reassembler) complete(now time.Time, a *assembly) *packet.Buffer {
	r.forget(a)
	first := Header(a.parts[0].Bytes())
	total := first.Len() + a.length
	if total > MaxLen { // the options of the first make it too long
		r.drop(a, &r.stats.DropFragment)
		return nil
	}
	ecn, ok := reassembledECN(a.parts)
	if !ok {
		r.drop(a, &r.stats.DropFragmentECN)
		return nil
	}
	whole := packet.Get(total)
	whole.Link, whole.Group, whole.Arrived = a.parts[0].Link, a.parts[0].Group, now
	whole.MarkNetwork()
	whole.Append(first[:first.Len()])
	for _, b := range a.parts {
		whole.Append(Header(b.Bytes()).Payload())
	}
	h := Header(whole.Bytes())
	h[1] = h[1]&^ip.ECNMask | uint8(ecn)
	binary.BigEndian.PutUint16(h[2:], uint16(total))
	h[6], h[7] = 0, 0
	h.updateChecksum()
	r.release(a)
	r.stats.RxReassembled.Add(1)
	return whole
}

// bound drops datagrams until the others keep to the bounds, a fragment of the
// datagram a having come.
func (r *reassembler) bound(a *assembly) {
	half := r.maxDatagrams / 2
	if r.bytes <= r.maxBytes/2 && len(r.byAge) <= half {
		return
	}
	for r.hasMoreThanHalf(a.id.src) {
		i := slices.IndexFunc(r.byAge, func(o *assembly) bool { return o.id.src == a.id.src })
		r.evict(i)
	}
	if beyond := len(r.byAge) - half; len(a.parts) == 1 && beyond > 0 && half > 1 && int(r.random()%uint64(half)) < beyond {
		r.evict(int(r.random() % uint64(len(r.byAge))))
	}
	for r.bytes > r.maxBytes || len(r.byAge) > r.maxDatagrams {
		r.evict(int(r.random() % uint64(len(r.byAge))))
	}
}

// hasMoreThanHalf says whether a source has more than half of what there is room
// for.
func (r *reassembler) hasMoreThanHalf(src uint32) bool {
	datagrams, bytes := 0, 0
	for _, a := range r.byAge {
		if a.id.src == src {
			datagrams++
			for _, b := range a.parts {
				bytes += b.Size()
			}
		}
	}
	return bytes > r.maxBytes/2 || datagrams > max(1, r.maxDatagrams/2)
}

// evict drops the datagram at position i of byAge.
func (r *reassembler) evict(i int) {
	a := r.byAge[i]
	r.forget(a)
	r.drop(a, &r.stats.DropReassemblyFull)
}

// deadline is when expire is to be called next; zero for never.
func (r *reassembler) deadline() time.Time {
	if len(r.byAge) == 0 {
		return time.Time{}
	}
	return r.byAge[0].deadline
}

// expire drops one datagram whose time is over, and reports false when there
// was none. It returns fragment zero if that has come, because its sender is
// then told (RFC 792, Time Exceeded Message).
func (r *reassembler) expire(now time.Time) (first *packet.Buffer, ok bool) {
	if len(r.byAge) == 0 || now.Before(r.byAge[0].deadline) {
		return nil, false
	}
	a := r.byAge[0]
	r.forget(a)
	if len(a.parts) > 0 && Header(a.parts[0].Bytes()).FragmentOffset() == 0 {
		first = a.parts[0]
		a.parts = a.parts[1:]
		r.bytes -= first.Size()
		r.stats.DropReassemblyTimeout.Add(1)
	}
	r.drop(a, &r.stats.DropReassemblyTimeout)
	return first, true
}

// close releases all that is held.
func (r *reassembler) close() {
	for _, a := range r.byAge {
		r.release(a)
	}
	clear(r.datagrams)
	r.byAge = nil
}

// kill drops the parts of a, and remembers it until its time is over.
func (r *reassembler) kill(a *assembly) {
	r.drop(a, &r.stats.DropOverlap)
	a.dead = true
}

// forget takes a out of the tables.
func (r *reassembler) forget(a *assembly) {
	delete(r.datagrams, a.id)
	i := slices.Index(r.byAge, a)
	r.byAge = slices.Delete(r.byAge, i, i+1)
}

// drop releases the parts of a, and counts them.
func (r *reassembler) drop(a *assembly, reason counter) {
	reason.Add(uint64(len(a.parts)))
	r.release(a)
}

// release gives the memory of all parts back.
func (r *reassembler) release(a *assembly) {
	for _, b := range a.parts {
		r.bytes -= b.Size()
		b.Release()
	}
	a.parts = nil
}
