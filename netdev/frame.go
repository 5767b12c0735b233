package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A stream carries each frame behind its length, a number of 32 bits in network
// order (QEMU, net/stream.c).
const prefixLen = 4

// maxFrame is the longest frame that QEMU sends or takes: its NET_BUFSIZE.
const maxFrame = 4096 + 65536

const ethernetLen = 14 // of its header

// ErrFrame: a stream has a frame that is longer than any can be, so nothing behind
// it is known to be one.
var ErrFrame = errors.New("netdev: a frame is too long")

// A decoder cuts a stream of bytes into frames.
type decoder struct {
	mem        []byte
	start, end int // of what is there and was not returned
}

// newDecoder returns one whose memory has room for the longest frame, and for many
// usual ones.
func newDecoder() *decoder { return &decoder{mem: make([]byte, 2*maxFrame)} }

// space is where the next bytes of the stream are to be put. It is never empty when
// next has said that no frame is whole.
func (d *decoder) space() []byte {
	if d.start > 0 && len(d.mem)-d.start < prefixLen+maxFrame || d.start == d.end {
		d.end = copy(d.mem, d.mem[d.start:d.end])
		d.start = 0
	}
	return d.mem[d.end:]
}

// added says that the first n bytes of space are there.
func (d *decoder) added(n int) { d.end += n }

// next returns the next frame, which stays valid until space is asked for, or false
// when none is whole. It fails with ErrFrame, and goes on doing so.
func (d *decoder) next() (frame []byte, ok bool, err error) {
	p := d.mem[d.start:d.end]
	if len(p) < prefixLen {
		return nil, false, nil
	}
	n := binary.BigEndian.Uint32(p)
	if n > maxFrame {
		return nil, false, fmt.Errorf("%w: %d bytes", ErrFrame, n)
	}
	if uint32(len(p)-prefixLen) < n {
		return nil, false, nil
	}
	d.start += prefixLen + int(n)
	return p[prefixLen : prefixLen+n], true, nil
}

// appendFrame appends a frame behind its length.
func appendFrame(p, frame []byte) []byte {
	return append(binary.BigEndian.AppendUint32(p, uint32(len(frame))), frame...)
}
