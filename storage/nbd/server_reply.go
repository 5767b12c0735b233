package nbd

import (
	"errors"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// A task is one request under way: its payload, the work on it, its reply. Tasks
// are made as a connection needs them, up to a bound, and used again. Whoever holds
// one owns it; it passes from the reader to a worker, to the writer and back.
type task struct {
	req  request
	buf  *buffers.Buffer // the payload of the request or of the reply
	held int             // of the connection's budget, in bytes

	// In place of buf:
	pages []*buffers.Buffer // the payload of a WRITE of whole pages
	loans []block.Loan      // what a READ has found in memory

	heads []byte   // the parts of the reply that are not of buf
	parts [][]byte // the reply

	// READ with holes.
	pieces   []piece
	addPiece func(block.Extent) bool // t.takePiece, made once

	// BLOCK_STATUS.
	ids       []uint32     // contexts that are asked for
	statuses  []descriptor // of one context
	most      int          // of them
	left      uint64       // of the range
	widest    uint64       // length of one
	addStatus func(length int64, flags uint64) bool
	addExtent func(block.Extent) bool
}

// newTask makes a task that has done nothing yet.
func newTask() *task {
	t := &task{}
	t.addPiece = t.takePiece
	t.addStatus = t.takeStatus
	t.addExtent = t.takeExtent
	return t
}

// takePiece collects the extents of a READ, neighbours of the same kind joined.
func (t *task) takePiece(e block.Extent) bool {
	p := piece{e.Off - int64(t.req.offset), e.Length, e.Zero && e.Length >= smallestHole}
	if n := len(t.pieces); n > 0 && (t.pieces[n-1].hole == p.hole || n == maxPieces) {
		last := &t.pieces[n-1]
		last.length += p.length
		last.hole = last.hole && p.hole
		return true
	}
	t.pieces = append(t.pieces, p)
	return true
}

// takeExtent is takeStatus for base:allocation.
func (t *task) takeExtent(e block.Extent) bool {
	var flags uint64
	if e.Hole {
		flags |= stateHole
	}
	if e.Zero {
		flags |= stateZero
	}
	return t.takeStatus(e.Length, flags)
}

// takeStatus collects what a context tells, and says whether to go on.
func (t *task) takeStatus(length int64, flags uint64) bool {
	if length <= 0 {
		return length == 0
	}
	d := descriptor{min(uint64(length), t.left), flags}
	if n := len(t.statuses); n > 0 && t.statuses[n-1].flags == flags && t.statuses[n-1].length+d.length <= t.widest {
		t.statuses[n-1].length += d.length
	} else if n == t.most {
		return false
	} else {
		t.statuses = append(t.statuses, d)
	}
	t.left -= d.length
	return t.left > 0
}

// A piece is data or a hole in what was read.
type piece struct {
	off, length int64 // from the start of the request
	hole        bool
}

// Bounds of one reply.
const (
	maxPieces      = 64       // of a READ
	smallestHole   = 4096     // that is sent as such
	smallestSparse = 64 << 10 // READ that is looked through for holes
	statusesAtOnce = 4096     // descriptors of all contexts
)

// size is the length of the reply.
func (t *task) size() (n int) {
	for _, p := range t.parts {
		n += len(p)
	}
	return n
}

// payload is where n bytes that come with the request go.
func (t *task) payload(n int) [][]byte {
	t.parts = t.parts[:0]
	if t.buf != nil {
		t.parts = append(t.parts, t.buf.Bytes[:n])
	}
	for _, p := range t.pages {
		t.parts = append(t.parts, p.Bytes)
	}
	return t.parts
}

// reset empties the reply.
func (t *task) reset() {
	t.heads = t.heads[:0]
	clear(t.parts)
	t.parts = t.parts[:0]
}

// part appends b to the reply. Where b is of heads and those grow later, the part
// keeps the old ones.
func (t *task) part(b []byte) {
	if len(b) > 0 {
		t.parts = append(t.parts, b)
	}
}

// done makes the reply of a request that succeeded and has nothing to tell.
func (t *task) done(s headerStyle) {
	t.reset()
	if s == headersExtended || s == headersStructured && t.req.cmd == cmdRead {
		c := chunk{chunkDone, chunkNone, t.req.cookie, t.req.offset, 0}
		t.heads = appendChunk(t.heads, c, s)
	} else {
		t.heads = appendSimpleReply(t.heads, simpleReply{0, t.req.cookie})
	}
	t.part(t.heads)
}

// fail makes the reply of a request that failed. A client that knows chunks also
// gets a message, and where the device has told it, the offset.
func (t *task) fail(s headerStyle, err error) {
	e := errnoOf(err)
	if t.req.cmd == cmdWriteZeroes && t.req.flags&cmdFlagFastZero == 0 && e == ENOTSUP {
		e = EINVAL // ENOTSUP is for FAST_ZERO alone
	}
	f := chunkFailure{errno: e, message: e.Error()}
	typ := chunkError
	if m, ok := errors.AsType[*block.MediumError](err); ok && m.Off >= int64(t.req.offset) && m.Off-int64(t.req.offset) < int64(t.req.length) && hasRange(t.req.cmd) {
		typ, f.offset = chunkErrorOffset, uint64(m.Off)
	}
	t.failWith(s, typ, f)
}

// hasRange says whether a failure of the command may tell an offset.
func hasRange(c command) bool {
	return c != cmdFlush && c != cmdResize && c <= cmdResize
}

// refuse makes the reply of a request that was not tried.
func (t *task) refuse(s headerStyle, v verdict) {
	t.failWith(s, chunkError, chunkFailure{errno: v.errno, message: v.message})
}

func (t *task) failWith(s headerStyle, typ chunkType, f chunkFailure) {
	t.reset()
	if s == headersSimple {
		t.heads = appendSimpleReply(t.heads, simpleReply{f.errno, t.req.cookie})
	} else {
		fixed := errorFixedSize
		if typ == chunkErrorOffset {
			fixed = errorOffsetFixedSize
		}
		t.heads = appendChunk(t.heads, chunk{chunkDone, typ, t.req.cookie, t.req.offset, uint64(fixed + len(f.message))}, s)
		t.heads = appendError(t.heads, typ, f)
	}
	t.part(t.heads)
}

// data makes the reply of a READ whose data is all in buf.
func (t *task) data(s headerStyle) {
	t.reset()
	n := t.req.length
	switch {
	case s == headersSimple:
		t.heads = appendSimpleReply(t.heads, simpleReply{0, t.req.cookie})
	case n == 0:
		t.done(s)
		return
	default:
		t.heads = appendChunk(t.heads, chunk{chunkDone, chunkOffsetData, t.req.cookie, t.req.offset, offsetDataPrefix + n}, s)
		t.heads = appendOffset(t.heads, t.req.offset)
	}
	t.part(t.heads)
	t.found(0, int64(n))
}

// found appends data that was read to the reply, from off on, as counted from the start
// of the request.
func (t *task) found(off, length int64) {
	if t.buf != nil {
		t.part(t.buf.Bytes[off : off+length])
		return
	}
	for _, l := range t.loans {
		n := int64(len(l.Bytes))
		if off < n && length > 0 {
			some := min(n-off, length)
			t.part(l.Bytes[off : off+some])
			length -= some
			off += some
		}
		off -= n
	}
}

// sparse makes the reply of a READ of data and holes.
func (t *task) sparse(s headerStyle) {
	t.reset()
	for i, p := range t.pieces {
		c := chunk{0, chunkOffsetData, t.req.cookie, t.req.offset, uint64(offsetDataPrefix + p.length)}
		if i == len(t.pieces)-1 {
			c.flags = chunkDone
		}
		if p.hole {
			c.typ, c.length = chunkOffsetHole, offsetHoleSize
		}
		start := len(t.heads)
		t.heads = appendChunk(t.heads, c, s)
		if p.hole {
			t.heads = appendOffsetHole(t.heads, t.req.offset+uint64(p.off), uint32(p.length))
		} else {
			t.heads = appendOffset(t.heads, t.req.offset+uint64(p.off))
		}
		t.part(t.heads[start:])
		if !p.hole {
			t.found(p.off, p.length)
		}
	}
}

// status appends one context to the reply of BLOCK_STATUS.
func (t *task) status(s headerStyle, id uint32, last bool) {
	c := chunk{0, s.blockStatusChunk(), t.req.cookie, t.req.offset, blockStatusPrefix + blockStatusDescriptor*uint64(len(t.statuses))}
	if s == headersExtended {
		c.length = blockStatusExtPrefix + blockStatusExtDescriptor*uint64(len(t.statuses))
	}
	if last {
		c.flags = chunkDone
	}
	start := len(t.heads)
	t.heads = appendChunk(t.heads, c, s)
	t.heads = appendBlockStatus(t.heads, id, t.statuses, s)
	t.part(t.heads[start:])
}
