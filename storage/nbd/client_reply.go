package nbd

import (
	"errors"
	"fmt"
	"slices"
)

// A span is a range from lo up to but without hi.
type span struct{ lo, hi uint64 }

// Bounds on one reply.
const (
	maxFragments    = 1024     // disjoint ranges that chunks have filled so far
	keptDescriptors = 64 << 10 // of a reply to BLOCK_STATUS; more are read and dropped
	maxErrorChunk   = errorOffsetFixedSize + maxString
)

// A reply is what has come of the reply to one request: a pure machine that chunks
// go into and which says what of them breaks the protocol. An error that a method
// returns means that the server cannot be trusted with anything that follows; an
// error that the server told is in errno.
type reply struct {
	req      request
	style    headerStyle
	contexts []uint32 // that BLOCK_STATUS tells of

	errno   Errno
	message string
	failed  uint64 // the offset that the first error tells, if failedAt
	at      bool
	filled  []span // of a READ, sorted, disjoint, not touching
	told    []uint32
}

// start forgets all and waits for the reply to r.
func (p *reply) start(r request, s headerStyle, contexts []uint32) {
	*p = reply{req: r, style: s, contexts: contexts, filled: p.filled[:0], told: p.told[:0]}
}

var (
	errOutside   = errors.New("nbd: a chunk lies outside of the range that was asked for")
	errTwice     = errors.New("nbd: a chunk tells of what was told before")
	errFragments = errors.New("nbd: a reply is in too many pieces")
	errHoley     = errors.New("nbd: a reply ends and not all of what was asked for has come")
	errUnsound   = errors.New("nbd: a reply that does not go with its request")
)

// simple takes a simple reply and says whether data follows.
func (p *reply) simple(e Errno) (data bool, err error) {
	switch {
	case p.style == headersExtended, p.req.cmd == cmdBlockStatus && e == 0:
		return false, errUnsound
	case p.req.cmd == cmdRead && p.style == headersStructured && e == 0:
		return false, errUnsound
	case len(p.filled) > 0 || len(p.told) > 0 || p.errno != 0:
		return false, errUnsound
	}
	p.errno = e
	return p.req.cmd == cmdRead && e == 0 && p.req.length > 0, nil
}

// chunk takes the header of a chunk, before its payload is read: what it leaves
// unrefused has a length that can be read.
func (p *reply) chunk(c chunk) error {
	if p.style == headersExtended && c.offset != p.req.offset {
		return fmt.Errorf("%w: another offset", errUnsound)
	}
	if c.flags&^chunkDone != 0 {
		return fmt.Errorf("%w: unknown flags %#x", errUnsound, c.flags)
	}
	prefix, size := uint64(blockStatusPrefix), uint64(blockStatusDescriptor)
	if p.style == headersExtended {
		prefix, size = blockStatusExtPrefix, blockStatusExtDescriptor
	}
	ok := false
	switch {
	case c.typ.isError():
		ok = c.length >= errorFixedSize && c.length <= maxErrorChunk
	case c.typ == chunkNone:
		ok = c.length == 0 && c.done()
	case c.typ == chunkOffsetData && p.req.cmd == cmdRead:
		ok = c.length > offsetDataPrefix && c.length-offsetDataPrefix <= p.req.length
	case c.typ == chunkOffsetHole && p.req.cmd == cmdRead:
		ok = c.length == offsetHoleSize
	case c.typ == p.style.blockStatusChunk() && p.req.cmd == cmdBlockStatus:
		ok = c.length >= prefix+size && c.length <= prefix+size*maxStatusExtents && (c.length-prefix)%size == 0
	}
	if !ok {
		return fmt.Errorf("%w: a chunk of type %d with %d bytes for %v", errUnsound, c.typ, c.length, p.req.cmd)
	}
	return nil
}

// fill takes the range of a chunk of data or a hole, and tells where in the request
// it lies.
func (p *reply) fill(offset, length uint64) (from int, err error) {
	if offset < p.req.offset || offset-p.req.offset > p.req.length || length > p.req.length-(offset-p.req.offset) {
		return 0, errOutside
	}
	s := span{offset, offset + length}
	i, _ := slices.BinarySearchFunc(p.filled, s.lo, func(e span, lo uint64) int {
		if e.hi < lo {
			return -1
		}
		return 1
	}) // the first that ends at s.lo or later
	j := i
	for ; j < len(p.filled) && p.filled[j].lo <= s.hi; j++ {
		if e := p.filled[j]; e.lo < s.hi && s.lo < e.hi {
			return 0, errTwice
		} else if e.hi == s.lo {
			s.lo = e.lo
		} else if e.lo == s.hi {
			s.hi = e.hi
		}
	}
	p.filled = slices.Replace(p.filled, i, j, s)
	if len(p.filled) > maxFragments {
		return 0, errFragments
	}
	return int(offset - p.req.offset), nil
}

// fail takes an error chunk. The first one counts.
func (p *reply) fail(f chunkFailure, t chunkType) error {
	if t == chunkErrorOffset {
		if f.offset < p.req.offset || f.offset-p.req.offset >= max(p.req.length, 1) {
			return errOutside
		}
	}
	if p.errno == 0 {
		p.errno, p.message = f.errno, f.message
		p.at, p.failed = t == chunkErrorOffset, f.offset
	}
	return nil
}

// context takes the context that a chunk of BLOCK_STATUS tells of.
func (p *reply) context(id uint32) error {
	if !slices.Contains(p.contexts, id) {
		return fmt.Errorf("%w: a meta context that was not chosen", errUnsound)
	}
	if slices.Contains(p.told, id) {
		return errTwice
	}
	p.told = append(p.told, id)
	return nil
}

// end is called behind the last chunk: a reply without an error must be whole.
func (p *reply) end() error {
	switch {
	case p.errno != 0:
	case p.req.cmd == cmdRead && p.req.length > 0:
		if len(p.filled) != 1 || p.filled[0] != (span{p.req.offset, p.req.offset + p.req.length}) {
			return errHoley
		}
	case p.req.cmd == cmdBlockStatus && len(p.told) != len(p.contexts):
		return errHoley
	}
	return nil
}

// good is how much of a READ that failed has come, from its beginning on.
func (p *reply) good() int {
	if len(p.filled) == 0 || p.filled[0].lo != p.req.offset {
		return 0
	}
	hi := p.filled[0].hi
	if p.at {
		hi = min(hi, p.failed)
	}
	return int(hi - p.req.offset)
}
