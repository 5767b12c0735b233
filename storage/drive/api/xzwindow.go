package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxWindow bounds the memory that unpacking one upload takes: what xz -9 uses.
const maxWindow = 64 << 20

var errWindow = &httpError{"TooLargeError", fmt.Sprintf("body: it is compressed with a window of more than %d bytes, which unpacking would take: compress it with a smaller one", maxWindow), http.StatusRequestEntityTooLarge}

var errXZ = errors.New("this is not the format of .xz files, or a part of it that is not known here")

// An xzWindow passes an .xz file on, and fails before the header of a block whose
// dictionary is larger than most: a reader makes it as large as the sender says, up to
// 4 GiB. It follows the format (The .xz File Format 1.2.1, sections 2 to 4) as far as to
// know where headers are; what is in them is the reader's matter.
type xzWindow struct {
	r     io.Reader
	most  uint64 // bytes of a dictionary
	state xzState
	head  []byte // of what is being read: the state says how much it takes
	want  int
	skip  int64  // bytes that go by before the state
	check int64  // bytes after each block
	size  int64  // bytes of the block or the index so far
	left  uint64 // numbers of the index that are to come, or their count so far
}

type xzState uint8

const (
	xzStream    xzState = iota // 4 bytes: of a header, or padding between streams
	xzFlags                    // the other 8 of a header
	xzBlock                    // 1 byte: the size of a block's header, or the mark of the index
	xzHeader                   // the rest of a block's header
	xzChunk                    // 1 byte of control of LZMA2
	xzPlain                    // 2 bytes: the size of a chunk that is not compressed
	xzPacked                   // 4 bytes: the sizes of one that is
	xzPackedNew                // 5 bytes: and new properties
	xzCount                    // numbers of the index: how many records
	xzRecords                  // and the records
)

func newXZWindow(r io.Reader, most uint64) *xzWindow {
	return &xzWindow{r: r, most: most, state: xzStream, want: 4}
}

// Read gives what it has looked at.
func (x *xzWindow) Read(p []byte) (int, error) {
	n, err := x.r.Read(p)
	if e := x.look(p[:n]); e != nil {
		return 0, e
	}
	return n, err
}

func (x *xzWindow) look(p []byte) error {
	for len(p) > 0 {
		if x.skip > 0 {
			n := min(x.skip, int64(len(p)))
			x.skip -= n
			p = p[n:]
			continue
		}
		n := min(x.want-len(x.head), len(p))
		x.head = append(x.head, p[:n]...)
		p = p[n:]
		if len(x.head) < x.want {
			continue
		}
		x.size += int64(len(x.head))
		err := x.step(x.head)
		if err != nil {
			return err
		}
		x.head = x.head[:0]
	}
	return nil
}

// then is what comes after so many bytes.
func (x *xzWindow) then(skip int64, state xzState, want int) error {
	x.skip, x.state, x.want = skip, state, want
	x.size += skip
	return nil
}

// step takes what the state has asked for.
func (x *xzWindow) step(b []byte) error {
	switch x.state {
	case xzStream:
		if binary.LittleEndian.Uint32(b) == 0 {
			return nil // padding: 4 bytes again
		}
		return x.then(0, xzFlags, 8)
	case xzFlags: // 2 of magic, 2 of flags, CRC32; the check's size is in table 2.1.1.2
		x.check = [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[b[3]&15]
		return x.then(0, xzBlock, 1)
	case xzBlock:
		if x.size = 1; b[0] == 0 {
			return x.then(0, xzCount, 1)
		}
		return x.then(0, xzHeader, 4*(int(b[0])+1)-1)
	case xzHeader:
		x.size = 0
		size, err := xzDictionary(b)
		if err == nil && size > x.most {
			err = errWindow
		}
		if err != nil {
			return err
		}
		return x.then(0, xzChunk, 1)
	case xzChunk:
		switch c := b[0]; {
		case c == 0: // the end of the block
			return x.then(-x.size&3+x.check, xzBlock, 1)
		case c <= 2:
			return x.then(0, xzPlain, 2)
		case c < 0x80:
			return errXZ
		case c < 0xc0:
			return x.then(0, xzPacked, 4)
		}
		return x.then(0, xzPackedNew, 5)
	case xzPlain:
		return x.then(int64(binary.BigEndian.Uint16(b))+1, xzChunk, 1)
	case xzPacked, xzPackedNew:
		return x.then(int64(binary.BigEndian.Uint16(b[2:]))+1, xzChunk, 1)
	}
	return x.index(b[0])
}

// index takes a byte of the index: a number of 7 bits in each byte, the lowest first, and
// then two such numbers for each record.
func (x *xzWindow) index(b byte) error {
	if x.state == xzCount {
		bits := 7 * (x.size - 2)
		if bits > 56 {
			return errXZ
		}
		if bits == 0 {
			x.left = 0
		}
		if x.left |= uint64(b&0x7f) << bits; b&0x80 != 0 {
			return nil
		}
		x.left *= 2
		x.state = xzRecords
	} else if b&0x80 == 0 {
		x.left--
	}
	if x.left > 0 {
		return nil
	}
	return x.then(-x.size&3+4+12, xzStream, 4) // padding, CRC32, the footer
}

// xzDictionary finds the size of the dictionary in a block's header, without its first
// byte (section 3.1).
func xzDictionary(b []byte) (uint64, error) {
	flags, b := b[0], b[1:]
	for _, bit := range []byte{0x40, 0x80} { // sizes of the block may come first
		for more := flags&bit != 0; more; {
			if len(b) == 0 {
				return 0, errXZ
			}
			more = b[0]&0x80 != 0
			b = b[1:]
		}
	}
	if flags&0x3f != 0 || len(b) < 3 || b[0] != 0x21 || b[1] != 1 || b[2] > 40 { // one filter, LZMA2
		return 0, errXZ
	}
	if b[2] == 40 {
		return 1<<32 - 1, nil
	}
	return uint64(2|b[2]&1) << (b[2]/2 + 11), nil
}
