package scsi

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/storage/block"
)

const (
	// maxUnmap is MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT (SBC-3 6.6.3). The number of
	// blocks has no bound.
	maxUnmap = 256

	unmapHeader     = 8
	unmapDescriptor = 16

	// pieceSize is how much the device is asked to zero or forget at once: between
	// two pieces a task can be aborted.
	pieceSize = 256 << 20
)

func sbcUnmapCommands() []command {
	return []command{{
		name:  "UNMAP", // SBC-3 5.28
		usage: []byte{0x42, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1f, 0xff, 0xff, 0x00},
		types: disks(), flags: needsMedium | changesMedium, reserve: reserveWrites,
		present: func(s *state) bool { return s.medium == nil || s.medium.unmaps() },
		plan:    (*Task).planUnmap, run: (*Task).unmap,
	}, {
		name:  "GET LBA STATUS", // SBC-3 5.4
		usage: []byte{0x9e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00},
		types: disks(), action: true, flags: needsMedium, reserve: reserveReads,
		plan: (*Task).planStatus, run: (*Task).lbaStatus,
	}}
}

func (t *Task) planUnmap() {
	switch n := int(t.cdb16(7)); {
	case n == 0: // no data, which is no error
	case n < unmapHeader:
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
	default:
		t.DataOut = n
	}
}

// unmap lets the device forget the blocks of all descriptors, none unless all are good.
func (t *Task) unmap(out, _ []byte) {
	if t.DataOut == 0 {
		return
	}
	if len(out) < unmapHeader {
		t.fail(Sense{Key: IllegalRequest, Code: CodeParameterListLength})
		return
	}
	list := out[unmapHeader:]
	list = list[:min(len(list), int(binary.BigEndian.Uint16(out[2:])))]
	if len(list)/unmapDescriptor > maxUnmap {
		t.invalidParameter(2, -1)
		return
	}
	for i := 0; i+unmapDescriptor <= len(list); i += unmapDescriptor {
		lba, blocks := descriptorOf(list[i:])
		if lba > t.last || blocks > t.last-lba {
			t.fail(Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange, HasInformation: true, Information: lba})
			return
		}
	}
	for i := 0; i+unmapDescriptor <= len(list); i += unmapDescriptor {
		if lba, blocks := descriptorOf(list[i:]); blocks > 0 && !t.unmapBlocks(lba, blocks) {
			return
		}
	}
	if t.through && !t.sync() {
		return
	}
	t.Transferred = t.DataOut
}

func descriptorOf(p []byte) (lba, blocks uint64) {
	return binary.BigEndian.Uint64(p), uint64(binary.BigEndian.Uint32(p[8:]))
}

// unmapBlocks is unmapRange of blocks that Begin did not know.
func (t *Task) unmapBlocks(lba, blocks uint64) bool {
	t.lo, t.hi = t.offset(lba), t.offset(lba+blocks)
	held, ok := t.enter(false)
	if !ok {
		return false
	}
	defer t.leave(held)
	return t.unmapRange(t.lo, t.hi)
}

// unmapRange lets the device forget a range. If the unit has said that it then reads as
// zeroes, it does.
func (t *Task) unmapRange(lo, hi int64) bool {
	if t.medium.unmapsToZero() {
		return t.zeroRange(lo, hi, 0)
	}
	for ; lo < hi; lo += pieceSize {
		if !t.goesOn() {
			return t.interrupted()
		}
		if err := t.medium.disk.TrimContext(t.ctx, lo, min(hi-lo, pieceSize)); err != nil {
			t.failDevice(writeFailed, lo, err)
			return false
		}
	}
	return true
}

// zeroRange has the device make zeroes.
func (t *Task) zeroRange(lo, hi int64, flags block.ZeroFlags) bool {
	for ; lo < hi; lo += pieceSize {
		if !t.goesOn() {
			return t.interrupted()
		}
		if err := t.medium.disk.WriteZeroesContext(t.ctx, lo, min(hi-lo, pieceSize), flags); err != nil {
			t.failDevice(writeFailed, lo, err)
			return false
		}
	}
	return true
}

const (
	statusHeader     = 8
	statusDescriptor = 16
	maxStatuses      = 256 // in one answer
)

// planStatus plans an answer of at least one descriptor, whatever the allocation length.
func (t *Task) planStatus() {
	lba := t.cdb64(2)
	if lba >= t.last {
		t.fail(Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange, HasInformation: true, Information: lba})
		return
	}
	t.planBlocks(lba, t.last-lba)
	t.allocation(t.cdb32(10))
}

// lbaStatus tells which blocks are mapped, from the first asked for on.
func (t *Task) lbaStatus(_, in []byte) {
	w := statusWriter{
		reply: reply{p: in}, shift: t.unit.shift, at: t.lba,
		most: min(max((t.limit-statusHeader)/statusDescriptor, 1), maxStatuses),
	}
	w.reply.zeroes(statusHeader)
	if err := t.medium.disk.ExtentsContext(t.ctx, t.lo, t.hi-t.lo, w.add); err != nil {
		t.failDevice(readFailed, t.lo, err)
		return
	}
	w.end(t.lbaOf(t.hi))
	w.reply.length32(0, 4)
	t.replied(w.reply)
}

// A statusWriter makes descriptors of extents. A block that is not wholly a hole is
// mapped.
type statusWriter struct {
	reply    reply
	shift    uint
	at       uint64 // the first block not yet told of
	inHole   bool
	most     int
	statuses int
}

func (w *statusWriter) add(e block.Extent) bool {
	size := int64(1) << w.shift
	first := uint64(e.Off+size-1) >> w.shift
	end := uint64(e.Off+e.Length) >> w.shift
	switch {
	case !e.Hole:
		if w.inHole {
			w.tell(uint64(e.Off)>>w.shift, true)
			w.inHole = false
		}
	case !w.inHole && first < end:
		w.tell(first, false)
		w.inHole = true
	}
	return w.statuses < w.most
}

// end tells of what is left.
func (w *statusWriter) end(end uint64) { w.tell(end, w.inHole) }

// tell writes a descriptor of the blocks up to end.
func (w *statusWriter) tell(end uint64, hole bool) {
	for w.at < end && w.statuses < w.most {
		n := min(end-w.at, 1<<32-1)
		w.reply.u64(w.at)
		w.reply.u32(uint32(n))
		var status byte
		if hole {
			status = 0x01 // deallocated
		}
		w.reply.bytes(status, 0, 0, 0)
		w.at += n
		w.statuses++
	}
}
