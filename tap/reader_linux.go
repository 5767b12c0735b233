package tap

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/virtionet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A reader is the reading half of a queue. What a device without offloads gives
// frame by frame it joins to trains, as far as frames are there already:
// nothing waits for what may come.
type reader struct {
	*queue
	space *packet.Buffer // for the next read
	train link.Train
	ahead *packet.Buffer // a frame that has been read, and did not fit the train before it; or nil
}

func newReader(q *queue) reader {
	return reader{queue: q, space: q.newSpace(), train: link.Train{IP: q.header == 0}}
}

func (r *reader) release() {
	r.space.Release()
	if r.ahead != nil {
		r.stats.DropClosed.Add(1)
		r.ahead.Release()
	}
}

// next waits for a frame, and joins to it what is there and fits.
func (r *reader) next() (*packet.Buffer, error) {
	b := r.ahead
	r.ahead = nil
	for b == nil {
		if err := r.fill(r.file.Read); err != nil {
			return nil, err
		}
		b = r.take()
	}
	if r.vnet {
		return b, nil
	}
	r.train.Begin(b)
	for r.train.Open() {
		if r.fill(r.file.tryRead) != nil { // EAGAIN, or what the next Read meets as well
			break
		}
		if r.train.Join(r.space.Bytes()) {
			r.space.Trim(0)
			r.stats.Joined.Add(1)
			continue
		}
		r.ahead = r.take()
		break
	}
	return r.train.End(), nil
}

// fill reads a frame into space.
func (r *reader) fill(read func([]byte) (int, error)) error {
	for {
		n, err := read(r.space.Extend(r.space.Room()))
		r.space.Trim(n)
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
		r.stats.DropMalformed.Add(1) // it has no virtio-net header; the kernel has dropped it
	}
}

// newSpace returns room for one read. Without trains a byte more than the
// longest frame shows which ones are too long.
func (c *card) newSpace() *packet.Buffer {
	if c.vnet {
		return packet.Get(packet.MaxSize)
	}
	return packet.Get(c.maxLen + 1)
}

// take is the frame that was read into the space, or nil when it is dropped.
func (r *reader) take() (b *packet.Buffer) {
	b, r.space = r.receive(r.space)
	return b
}

// receive turns what was read into a frame with its marks, or nil; and
// returns the space for the next read, which is the same one if the frame is
// small enough to be copied out of it.
func (c *card) receive(space *packet.Buffer) (b, next *packet.Buffer) {
	var h virtionet.Header
	headerLen := 0
	if c.vnet {
		headerLen = virtionet.Len
	}
	if space.Len() < headerLen+max(1, c.header) {
		c.stats.DropMalformed.Add(1)
		space.Trim(0)
		return nil, space
	}
	if c.vnet {
		h = virtionet.Parse(space.Bytes())
	}
	if frame := space.Bytes()[headerLen:]; len(frame)*8 <= space.Size() {
		b, next = packet.From(frame), space
		space.Trim(0)
	} else {
		space.Pull(headerLen)
		b, next = space, c.newSpace()
	}
	switch err := h.Mark(b, c.header); {
	case err != nil:
		c.stats.DropMalformed.Add(1)
	case b.SegmentSize == 0 && b.Len() > c.maxLen:
		c.stats.DropTooLong.Add(1)
	default:
		return b, next
	}
	b.Release()
	return nil, next
}

// arrived notes that b goes to the layers above.
func (c *card) arrived(b *packet.Buffer) {
	b.Arrived = time.Now()
	c.stats.RxFrames.Add(1)
	c.stats.RxBytes.Add(uint64(b.Len()))
}
