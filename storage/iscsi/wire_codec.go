package iscsi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/seed-012105e5/gonet/storage/internal/input"
)

// Errors of the wire. None of them can be mended at ErrorRecoveryLevel 0: each ends
// its connection (RFC 7143, 7.7 and 7.8).
var (
	errHeaderDigest = errors.New("iscsi: the digest of a header is wrong")
	errDataDigest   = errors.New("iscsi: the digest of a data segment is wrong")
)

// A formatError says what of a PDU cannot be.
type formatError string

func (e formatError) Error() string { return "iscsi: " + string(e) }

func formatErrorf(format string, a ...any) error { return formatError(fmt.Sprintf(format, a...)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Digests are CRC32C, its bytes least significant first (RFC 7143, 13.1).
func digest(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}

// padding is how many zeroes fill n bytes to whole words (RFC 7143, 11.2.3).
func padding(n int) int { return -n & 3 }

var zeroes [4]byte

// An additional header segment follows the header (RFC 7143, 11.2.2).
type ahs struct {
	kind byte
	data []byte // its first byte is reserved or belongs to the kind
}

const (
	ahsCDB  = 1 // bytes 16 and on of a CDB (11.2.2.3)
	ahsBidi = 2 // expected bidirectional read length (11.2.2.4)
)

// parseAHS takes the first additional header segment of b apart.
func parseAHS(b []byte) (a ahs, rest []byte, err error) {
	if len(b) < 4 {
		return ahs{}, nil, formatErrorf("an additional header segment of %d bytes", len(b))
	}
	n := int(binary.BigEndian.Uint16(b)) // of what follows the type
	if n < 1 || 3+n > len(b) {
		return ahs{}, nil, formatErrorf("an additional header segment that says it has %d bytes", n)
	}
	end := 3 + n
	return ahs{b[2], b[3:end]}, b[min(end+padding(end), len(b)):], nil
}

// appendAHS adds a segment to b.
func appendAHS(b []byte, a ahs) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.data)))
	b = append(append(b, a.kind), a.data...)
	return append(b, zeroes[:padding(3+len(a.data))]...)
}

// digests says which digests a direction of a connection has.
type digests struct{ header, data bool }

// A reader takes PDUs from a stream in two steps, so that whoever knows the header
// can say where the data goes.
type reader struct {
	in      io.Reader
	ahead   *input.Reader // in, if it is one
	digests digests
	maxData int // the longest data segment that was agreed
	parts   [2][]byte
	tail    [3 + digestSize]byte
	head    [headerSize + digestSize]byte
	long    []byte // headers that are longer
}

// header reads a header with what follows it up to the data. The additional header
// segments are the reader's until the next call.
func (r *reader) header(h *header) (additional []byte, err error) {
	b := r.head[:headerSize]
	if _, err := io.ReadFull(r.in, b); err != nil {
		return nil, err
	}
	*h = header(b)
	more := h.ahsLength()
	end := headerSize + more
	if r.digests.header {
		more += digestSize
	}
	if n := headerSize + more; n <= len(r.head) {
		b = r.head[:n]
	} else {
		if r.long == nil {
			r.long = make([]byte, headerSize+maxAHS+digestSize)
		}
		copy(r.long, b)
		b = r.long[:n]
	}
	if more > 0 {
		if _, err := io.ReadFull(r.in, b[headerSize:]); err != nil {
			return nil, noEOF(err)
		}
	}
	if r.digests.header && digest(b[:end]) != binary.LittleEndian.Uint32(b[end:]) {
		return nil, errHeaderDigest
	}
	if n := h.dataLength(); n > r.maxData {
		return nil, formatErrorf("a data segment of %d bytes in %v, where at most %d were agreed", n, h.opcode(), r.maxData)
	}
	return b[headerSize:end], nil
}

// data reads a data segment that fills p, which is that of the header read last.
func (r *reader) data(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	pad := padding(len(p))
	tail := r.tail[:pad]
	if r.digests.data {
		tail = r.tail[:pad+digestSize]
	}
	if err := r.fill(p, tail); err != nil {
		return noEOF(err)
	}
	if r.digests.data && digest(p, tail[:pad]) != binary.LittleEndian.Uint32(tail[pad:]) {
		return errDataDigest
	}
	return nil
}

// fill reads a data segment and what follows it, with the next header if there may be one
// already.
func (r *reader) fill(p, tail []byte) error {
	if r.ahead != nil {
		r.parts = [2][]byte{p, tail}
		return r.ahead.Payload(r.parts[:], headerSize)
	}
	_, err := io.ReadFull(r.in, p)
	if err == nil {
		_, err = io.ReadFull(r.in, tail)
	}
	return err
}

// noEOF is for a stream that ends within a PDU.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendHeader adds h, whose lengths it sets, additional header segments, and their
// digest to b.
func appendHeader(b []byte, h *header, additional []byte, dataLength int, d digests) []byte {
	h[4] = byte(len(additional) / 4)
	h.setDataLength(dataLength)
	start := len(b)
	b = append(append(b, h[:]...), additional...)
	if d.header {
		b = binary.LittleEndian.AppendUint32(b, digest(b[start:]))
	}
	return b
}

// appendTail adds what follows the data segment p.
func appendTail(b, p []byte, d digests) []byte {
	if len(p) == 0 {
		return b
	}
	pad := zeroes[:padding(len(p))]
	b = append(b, pad...)
	if d.data {
		b = binary.LittleEndian.AppendUint32(b, digest(p, pad))
	}
	return b
}

// appendPDU adds a whole PDU to b.
func appendPDU(b []byte, h *header, data []byte, d digests) []byte {
	b = appendHeader(b, h, nil, len(data), d)
	return appendTail(append(b, data...), data, d)
}
