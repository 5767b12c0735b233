package vhostblk

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// Types of requests (VIRTIO 1.2 section 5.2.6).
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13
)

// Values of the status byte.
const (
	statusOK     = 0
	statusIOErr  = 1
	statusUnsupp = 2
)

const (
	sectorSize = 512
	headLen    = 16 // struct virtio_blk_req up to data: type, reserved, sector
	idLen      = 20 // of GET_ID
	rangeLen   = 16 // struct virtio_blk_discard_write_zeroes: sector, num_sectors, flags

	maxSegments    = 126     // SEG_MAX: with header and status a queue of 128 holds it
	maxSegmentSize = 1 << 20 // SIZE_MAX

	maxRanges       = 16      // of one DISCARD or WRITE_ZEROES
	maxRangeSectors = 1 << 21 // of one of them: 1 GiB

	flagUnmap = 1 // of a range of WRITE_ZEROES
)

// errRequest: a request has not the form of one.
var errRequest = errors.New("vhostblk: bad request")

// A span is a part of the disk, in bytes.
type span struct {
	off, length int64
	flags       uint32
}

// A request is one, as it was read, once.
type request struct {
	kind   uint32
	off    int64    // in bytes, of IN and OUT
	length int      // of data
	data   [][]byte // memory of the guest: to be written by IN and GET_ID, else to be read
	spans  []span   // of DISCARD and WRITE_ZEROES
	status []byte   // where the status goes: the last byte that the device may write
}

// parse reads the request of a chain, and says with which status it is to be refused,
// or statusOK. It fails where there is no place for a status, or no whole header: then
// there is no answer (VIRTIO 1.2 section 5.2.6.1). It allocates nothing in the steady
// state.
func (r *request) parse(c *virtqueue.Chain, readOnly bool) (status byte, err error) {
	var head [headLen]byte
	n := 0
	for _, b := range c.Readable {
		n += copy(head[n:], b)
	}
	if n < headLen || c.WriteLen < 1 {
		return 0, errRequest
	}
	last := c.Writable[len(c.Writable)-1]
	r.status = last[len(last)-1:]
	r.kind = binary.LittleEndian.Uint32(head[:])
	r.off, r.spans = 0, r.spans[:0]
	if r.kind == typeIn || r.kind == typeGetID {
		r.setData(c.Writable, 0, c.WriteLen-1)
	} else {
		r.setData(c.Readable, headLen, c.ReadLen-headLen)
	}
	return r.check(binary.LittleEndian.Uint64(head[8:]), readOnly), nil
}

// setData makes data of length bytes of bufs behind skip.
func (r *request) setData(bufs [][]byte, skip, length int) {
	r.data, r.length = r.data[:0], length
	for _, b := range bufs {
		if skip >= len(b) {
			skip -= len(b)
			continue
		}
		b = b[skip:]
		b = b[:min(len(b), length)]
		skip, length = 0, length-len(b)
		if len(b) > 0 {
			r.data = append(r.data, b)
		}
	}
}

// check says with which status the request is to be refused. Whether it lies in the
// disk the disk says.
func (r *request) check(sector uint64, readOnly bool) (status byte) {
	switch r.kind {
	case typeIn, typeOut:
		if r.length%sectorSize != 0 || sector > math.MaxInt64/sectorSize || r.kind == typeOut && readOnly {
			return statusIOErr
		}
		r.off = int64(sector * sectorSize)
	case typeFlush, typeGetID:
	case typeDiscard, typeWriteZeroes:
		if readOnly {
			return statusIOErr
		}
		return r.readSpans()
	default:
		return statusUnsupp
	}
	return statusOK
}

// readSpans reads the ranges of a DISCARD or WRITE_ZEROES.
func (r *request) readSpans() (status byte) {
	if r.length == 0 || r.length%rangeLen != 0 || r.length > maxRanges*rangeLen {
		return statusIOErr
	}
	var all [maxRanges * rangeLen]byte
	gather(all[:], r.data)
	for b := all[:r.length]; len(b) > 0; b = b[rangeLen:] {
		sector, n, flags := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
		if sector > math.MaxInt64/sectorSize || n > maxRangeSectors {
			return statusIOErr
		}
		if flags&^flagUnmap != 0 || flags != 0 && r.kind == typeDiscard {
			return statusUnsupp
		}
		r.spans = append(r.spans, span{int64(sector * sectorSize), int64(n) * sectorSize, flags})
	}
	return statusOK
}

// gather copies from bufs, as much as p holds.
func gather(p []byte, bufs [][]byte) {
	for _, b := range bufs {
		p = p[copy(p, b):]
	}
}

// scatter copies p to bufs.
func scatter(bufs [][]byte, p []byte) {
	for _, b := range bufs {
		p = p[copy(b, p):]
	}
}

// statusOf is the status that tells of an error.
func statusOf(err error) byte {
	switch {
	case err == nil:
		return statusOK
	case errors.Is(err, block.ErrNotSupported):
		return statusUnsupp
	}
	return statusIOErr
}
