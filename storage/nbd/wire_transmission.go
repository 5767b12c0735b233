package nbd

import (
	"encoding/binary"
	"fmt"
)

// Sizes of the messages of the transmission phase, in bytes, before their
// payload.
const (
	requestSize         = 28
	requestExtendedSize = 32
	simpleReplySize     = 16
	structuredReplySize = 20
	extendedReplySize   = 32

	offsetDataPrefix          = 8
	offsetHoleSize            = 12
	errorFixedSize            = 6
	errorOffsetFixedSize      = 14
	blockStatusPrefix         = 4
	blockStatusDescriptor     = 8
	blockStatusExtPrefix      = 8
	blockStatusExtDescriptor  = 16
	blockStatusPayloadFixed   = 8
	blockStatusPayloadPerItem = 4
)

// A headerStyle is how requests and replies look, as was negotiated.
type headerStyle uint8

const (
	headersSimple     headerStyle = iota
	headersStructured             // NBD_OPT_STRUCTURED_REPLY
	headersExtended               // NBD_OPT_EXTENDED_HEADERS
)

// requestSize is the length of a request without its payload.
func (s headerStyle) requestSize() int {
	if s == headersExtended {
		return requestExtendedSize
	}
	return requestSize
}

// chunkSize is the length of the header of a chunk.
func (s headerStyle) chunkSize() int {
	if s == headersExtended {
		return extendedReplySize
	}
	return structuredReplySize
}

// A request of the transmission phase. Length is that of the effect on the
// export, or of the payload: see payload.
type request struct {
	flags  commandFlags
	cmd    command
	cookie uint64
	offset uint64
	length uint64 // 32 bits unless headers are extended
}

// payload is how many bytes follow the request.
func (r request) payload(s headerStyle) uint64 {
	if s == headersExtended {
		if r.flags&cmdFlagPayloadLen == 0 {
			return 0
		}
		return r.length
	}
	if r.cmd == cmdWrite {
		return r.length
	}
	return 0
}

func appendRequest(b []byte, r request, s headerStyle) []byte {
	magic := uint32(magicRequest)
	if s == headersExtended {
		magic = magicRequestExtended
	}
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint16(b, uint16(r.flags))
	b = binary.BigEndian.AppendUint16(b, uint16(r.cmd))
	b = binary.BigEndian.AppendUint64(b, r.cookie)
	b = binary.BigEndian.AppendUint64(b, r.offset)
	if s == headersExtended {
		return binary.BigEndian.AppendUint64(b, r.length)
	}
	return binary.BigEndian.AppendUint32(b, uint32(r.length))
}

// parseRequest decodes s.requestSize bytes.
func parseRequest(b []byte, s headerStyle) (r request, err error) {
	if len(b) < s.requestSize() {
		return request{}, fmt.Errorf("nbd: request: %w", errShort)
	}
	magic := uint32(magicRequest)
	if s == headersExtended {
		magic = magicRequestExtended
	}
	if binary.BigEndian.Uint32(b) != magic {
		return request{}, fmt.Errorf("nbd: request: %w", errMagic)
	}
	r = request{
		flags:  commandFlags(binary.BigEndian.Uint16(b[4:])),
		cmd:    command(binary.BigEndian.Uint16(b[6:])),
		cookie: binary.BigEndian.Uint64(b[8:]),
		offset: binary.BigEndian.Uint64(b[16:]),
	}
	if s == headersExtended {
		r.length = binary.BigEndian.Uint64(b[24:])
	} else {
		r.length = uint64(binary.BigEndian.Uint32(b[24:]))
	}
	return r, nil
}

// A simpleReply comes before the data of a READ that succeeded, and is all of any
// other reply.
type simpleReply struct {
	errno  Errno
	cookie uint64
}

func appendSimpleReply(b []byte, r simpleReply) []byte {
	b = binary.BigEndian.AppendUint32(b, magicSimpleReply)
	b = binary.BigEndian.AppendUint32(b, uint32(r.errno))
	return binary.BigEndian.AppendUint64(b, r.cookie)
}

// parseSimpleReply decodes simpleReplySize bytes.
func parseSimpleReply(b []byte) (simpleReply, error) {
	if len(b) < simpleReplySize {
		return simpleReply{}, fmt.Errorf("nbd: reply: %w", errShort)
	}
	if binary.BigEndian.Uint32(b) != magicSimpleReply {
		return simpleReply{}, fmt.Errorf("nbd: reply: %w", errMagic)
	}
	return simpleReply{Errno(binary.BigEndian.Uint32(b[4:])), binary.BigEndian.Uint64(b[8:])}, nil
}

// replyHeaderSize is the length of the header of a reply, of which b has the
// first four bytes: with structured replies simple ones may come between, but not
// with extended headers, where only extended ones may.
func replyHeaderSize(b []byte, s headerStyle) (n int, simple bool, err error) {
	if len(b) < 4 {
		return 0, false, fmt.Errorf("nbd: reply: %w", errShort)
	}
	switch magic := binary.BigEndian.Uint32(b); {
	case magic == magicSimpleReply && s != headersExtended:
		return simpleReplySize, true, nil
	case magic == magicStructuredReply && s == headersStructured:
		return structuredReplySize, false, nil
	case magic == magicExtendedReply && s == headersExtended:
		return extendedReplySize, false, nil
	}
	return 0, false, fmt.Errorf("nbd: reply: %w", errMagic)
}

// A chunk is the header of one part of a structured or extended reply, before
// length bytes of payload.
type chunk struct {
	flags  uint16
	typ    chunkType
	cookie uint64
	offset uint64 // of the request; only with extended headers
	length uint64 // 32 bits unless headers are extended
}

// done says that it is the last of a reply.
func (c chunk) done() bool { return c.flags&chunkDone != 0 }

func appendChunk(b []byte, c chunk, s headerStyle) []byte {
	magic := uint32(magicStructuredReply)
	if s == headersExtended {
		magic = magicExtendedReply
	}
	b = binary.BigEndian.AppendUint32(b, magic)
	b = binary.BigEndian.AppendUint16(b, c.flags)
	b = binary.BigEndian.AppendUint16(b, uint16(c.typ))
	b = binary.BigEndian.AppendUint64(b, c.cookie)
	if s == headersExtended {
		b = binary.BigEndian.AppendUint64(b, c.offset)
		return binary.BigEndian.AppendUint64(b, c.length)
	}
	return binary.BigEndian.AppendUint32(b, uint32(c.length))
}

// parseChunk decodes s.chunkSize bytes.
func parseChunk(b []byte, s headerStyle) (c chunk, err error) {
	if len(b) < s.chunkSize() {
		return chunk{}, fmt.Errorf("nbd: chunk: %w", errShort)
	}
	magic := uint32(magicStructuredReply)
	if s == headersExtended {
		magic = magicExtendedReply
	}
	if binary.BigEndian.Uint32(b) != magic {
		return chunk{}, fmt.Errorf("nbd: chunk: %w", errMagic)
	}
	c = chunk{
		flags:  binary.BigEndian.Uint16(b[4:]),
		typ:    chunkType(binary.BigEndian.Uint16(b[6:])),
		cookie: binary.BigEndian.Uint64(b[8:]),
	}
	if s == headersExtended {
		c.offset = binary.BigEndian.Uint64(b[16:])
		c.length = binary.BigEndian.Uint64(b[24:])
	} else {
		c.length = uint64(binary.BigEndian.Uint32(b[16:]))
	}
	return c, nil
}

// appendOffset appends what comes before the data of an OFFSET_DATA chunk.
func appendOffset(b []byte, offset uint64) []byte { return binary.BigEndian.AppendUint64(b, offset) }

// appendOffsetHole appends the payload of an OFFSET_HOLE chunk.
func appendOffsetHole(b []byte, offset uint64, length uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, offset), length)
}

func parseOffsetHole(b []byte) (offset uint64, length uint32, err error) {
	if len(b) != offsetHoleSize {
		return 0, 0, fmt.Errorf("nbd: OFFSET_HOLE: %w", errShort)
	}
	offset, length = binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
	if length == 0 || offset+uint64(length) < offset {
		return 0, 0, fmt.Errorf("nbd: OFFSET_HOLE: %w", errShort)
	}
	return offset, length, nil
}

// A chunkFailure is the payload of the chunks ERROR and ERROR_OFFSET.
type chunkFailure struct {
	errno   Errno
	message string
	offset  uint64 // ERROR_OFFSET only
}

// appendError appends the payload of a chunk of type t.
func appendError(b []byte, t chunkType, f chunkFailure) []byte {
	if len(f.message) > maxString {
		f.message = f.message[:maxString]
	}
	b = binary.BigEndian.AppendUint32(b, uint32(f.errno))
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.message)))
	b = append(b, f.message...)
	if t == chunkErrorOffset {
		b = binary.BigEndian.AppendUint64(b, f.offset)
	}
	return b
}

// parseError decodes the payload of an error chunk of any type, also one that is
// not known: all begin alike.
func parseError(b []byte, t chunkType) (f chunkFailure, err error) {
	fixed := errorFixedSize
	if t == chunkErrorOffset {
		fixed = errorOffsetFixedSize
	}
	if len(b) < fixed {
		return chunkFailure{}, fmt.Errorf("nbd: ERROR: %w", errShort)
	}
	f.errno = Errno(binary.BigEndian.Uint32(b))
	n := int(binary.BigEndian.Uint16(b[4:]))
	if n > len(b)-fixed || n > maxString {
		return chunkFailure{}, fmt.Errorf("nbd: ERROR: %w", errShort)
	}
	if f.errno == 0 {
		return chunkFailure{}, fmt.Errorf("nbd: ERROR: the error is 0")
	}
	f.message = string(b[6 : 6+n])
	if t == chunkErrorOffset {
		f.offset = binary.BigEndian.Uint64(b[6+n:])
	}
	return f, nil
}

// A descriptor is one extent of a BLOCK_STATUS chunk: flags as the meta context
// defines them, 32 bits of each unless headers are extended.
type descriptor struct {
	length uint64
	flags  uint64
}

// blockStatusChunk is the type of chunk that carries descriptors, which the style
// of headers decides alone.
func (s headerStyle) blockStatusChunk() chunkType {
	if s == headersExtended {
		return chunkBlockStatusExtended
	}
	return chunkBlockStatus
}

// appendBlockStatus appends the payload of a BLOCK_STATUS or BLOCK_STATUS_EXT
// chunk: one context, and its descriptors, at least one.
func appendBlockStatus(b []byte, id uint32, ds []descriptor, s headerStyle) []byte {
	b = binary.BigEndian.AppendUint32(b, id)
	if s == headersExtended {
		b = binary.BigEndian.AppendUint32(b, uint32(len(ds)))
		for _, d := range ds {
			b = binary.BigEndian.AppendUint64(b, d.length)
			b = binary.BigEndian.AppendUint64(b, d.flags)
		}
		return b
	}
	for _, d := range ds {
		b = binary.BigEndian.AppendUint32(b, uint32(d.length))
		b = binary.BigEndian.AppendUint32(b, uint32(d.flags))
	}
	return b
}

// parseBlockStatus decodes what appendBlockStatus wrote and appends the
// descriptors to ds.
func parseBlockStatus(b []byte, ds []descriptor, s headerStyle) (id uint32, all []descriptor, err error) {
	bad := func() (uint32, []descriptor, error) {
		return 0, ds, fmt.Errorf("nbd: BLOCK_STATUS: %w", errShort)
	}
	prefix, size := blockStatusPrefix, blockStatusDescriptor
	if s == headersExtended {
		prefix, size = blockStatusExtPrefix, blockStatusExtDescriptor
	}
	if len(b) < prefix+size || (len(b)-prefix)%size != 0 {
		return bad()
	}
	if s == headersExtended && uint64(binary.BigEndian.Uint32(b[4:])) != uint64(len(b)-prefix)/uint64(size) {
		return bad()
	}
	all = ds
	for rest := b[prefix:]; len(rest) > 0; rest = rest[size:] {
		d := descriptor{uint64(binary.BigEndian.Uint32(rest)), uint64(binary.BigEndian.Uint32(rest[4:]))}
		if s == headersExtended {
			d = descriptor{binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])}
		}
		if d.length == 0 {
			return bad()
		}
		all = append(all, d)
	}
	return binary.BigEndian.Uint32(b), all, nil
}

// appendBlockStatusPayload appends the payload of a BLOCK_STATUS request that
// asks for some of the contexts only.
func appendBlockStatusPayload(b []byte, effect uint64, ids []uint32) []byte {
	b = binary.BigEndian.AppendUint64(b, effect)
	for _, id := range ids {
		b = binary.BigEndian.AppendUint32(b, id)
	}
	return b
}

// parseBlockStatusPayload appends the identifiers of the contexts to ids.
func parseBlockStatusPayload(b []byte, ids []uint32) (effect uint64, all []uint32, err error) {
	if len(b) < blockStatusPayloadFixed || (len(b)-blockStatusPayloadFixed)%blockStatusPayloadPerItem != 0 {
		return 0, ids, fmt.Errorf("nbd: payload of BLOCK_STATUS: %w", errShort)
	}
	for rest := b[blockStatusPayloadFixed:]; len(rest) > 0; rest = rest[blockStatusPayloadPerItem:] {
		ids = append(ids, binary.BigEndian.Uint32(rest))
	}
	return binary.BigEndian.Uint64(b), ids, nil
}
