package vhostblk

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/vhost"
)

// reap brings what has returned to who waits for it, until there is no back end.
//
// Owns: nothing; it takes the token of q.
// Reads: the ring, its call.
// Writes: done of slots, which have room.
// Blocks on: the call, the token.
func (f *Frontend) reap(q *queue) {
	for {
		if err := q.reapAll(); err != nil {
			f.control.Lock()
			f.front.Close() // keep sees it
			if f.requests != nil {
				f.requests.Close()
			}
			f.control.Unlock()
		}
		if q.call.Wait() != nil {
			q.reapAll()
			return
		}
	}
}

// take returns a slot of some queue, when one is free.
func (f *Frontend) take() (*queue, *slot, error) {
	q := f.queues[0]
	if n := uint32(len(f.queues)); n > 1 {
		q = f.queues[f.next.Add(1)%n]
	}
	select {
	case s := <-q.free:
		return q, s, nil
	default:
	}
	select {
	case s := <-q.free:
		return q, s, nil
	case <-f.closing:
		return nil, nil, block.ErrClosed
	case <-f.lost:
		return nil, nil, ErrLost
	}
}

// do does the request of a slot. The caller gives the slot back.
func (f *Frontend) do(q *queue, s *slot, op string, off int64) error {
	status, err := q.submit(s, f.lost)
	switch {
	case err != nil:
		return err
	case status == statusOK:
		return nil
	case status == statusUnsupp:
		return block.ErrNotSupported
	}
	return &block.MediumError{Op: op, Off: off, Err: syscall.EIO}
}

// give makes a slot free, unless the device may still write to it.
func (q *queue) give(s *slot) {
	if !s.lost {
		q.free <- s
	}
}

// ReadAt reads len(p) bytes at off.
func (f *Frontend) ReadAt(p []byte, off int64) (int, error) {
	return f.transfer("read", typeIn, p, off)
}

// WriteAt writes p at off.
func (f *Frontend) WriteAt(p []byte, off int64) (int, error) {
	if f.ReadOnly() {
		return 0, block.ErrReadOnly
	}
	return f.transfer("write", typeOut, p, off)
}

func (f *Frontend) transfer(op string, kind uint32, p []byte, off int64) (n int, err error) {
	if err := f.check(off, int64(len(p))); err != nil {
		return 0, err
	}
	for n < len(p) {
		part := p[n:min(len(p), n+f.most)]
		if err := f.transferPart(op, kind, part, off+int64(n)); err != nil {
			return n, err
		}
		n += len(part)
	}
	return n, nil
}

func (f *Frontend) transferPart(op string, kind uint32, p []byte, off int64) error {
	q, s, err := f.take()
	if err != nil {
		return err
	}
	defer q.give(s)
	if kind == typeOut {
		copy(s.data, p)
	}
	q.begin(s, kind, off, 0, len(p))
	if err := f.do(q, s, op, off); err != nil {
		return err
	}
	if kind == typeIn {
		copy(p, s.data)
	}
	return nil
}

// check refuses what does not lie in the disk, or is not aligned.
func (f *Frontend) check(off, length int64) error {
	size := f.size.Load()
	if off < 0 || length < 0 || off > size || length > size-off {
		return block.ErrRange
	}
	if (off|length)&int64(f.space.blockSize-1) != 0 {
		return block.ErrAlignment
	}
	return nil
}

// Size is what the back end says, in bytes.
func (f *Frontend) Size() (int64, error) { return f.size.Load(), nil }

// ReadOnly says whether writes are refused.
func (f *Frontend) ReadOnly() bool { return f.features&featureReadOnly != 0 }

// BlockSizes are those of the configuration space.
func (f *Frontend) BlockSizes() block.BlockSizes {
	b := block.BlockSizes{Minimum: int(f.space.blockSize)}
	if f.features&featureTopology != 0 && f.space.physicalExp < 8 {
		b.Preferred = b.Minimum << f.space.physicalExp
	}
	return b
}

// Sync is FLUSH; a back end without it has all writes durable.
func (f *Frontend) Sync() error {
	if f.features&featureFlush == 0 {
		return nil
	}
	return f.simple("sync", typeFlush, 0, nil)
}

// simple does a request with ranges behind its header.
func (f *Frontend) simple(op string, kind uint32, off int64, ranges []byte) error {
	q, s, err := f.take()
	if err != nil {
		return err
	}
	defer q.give(s)
	copy(s.head[rangesOff:], ranges)
	q.begin(s, kind, 0, len(ranges), 0)
	return f.do(q, s, op, off)
}

// Trim is DISCARD of the sectors in the range.
func (f *Frontend) Trim(off, length int64) error {
	if f.features&featureDiscard == 0 {
		return block.ErrNotSupported
	}
	first, end := (off+sectorSize-1)/sectorSize, (off+length)/sectorSize
	return f.ranges("trim", typeDiscard, first, end, f.space.maxDiscardSectors, 0)
}

// WriteZeroes is WRITE_ZEROES, of whole sectors. Whether it is fast nobody knows.
func (f *Frontend) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	if f.features&featureWriteZeroes == 0 || flags&block.ZeroFast != 0 {
		return block.ErrNotSupported
	}
	if f.ReadOnly() {
		return block.ErrReadOnly
	}
	if err := f.check(off, length); err != nil {
		return err
	}
	var bits uint32
	if flags&block.ZeroNoHole == 0 && f.space.writeZeroesMayUnmap {
		bits = flagUnmap
	}
	err := f.ranges("zero", typeWriteZeroes, off/sectorSize, (off+length)/sectorSize, f.space.maxWriteZeroesSectors, bits)
	if err == nil && flags&block.ZeroFUA != 0 {
		err = f.Sync()
	}
	return err
}

// ranges does a request for each part of the sectors.
func (f *Frontend) ranges(op string, kind uint32, first, end int64, most, flags uint32) error {
	if f.ReadOnly() {
		return block.ErrReadOnly
	}
	if most == 0 {
		return block.ErrNotSupported
	}
	for first < end {
		n := min(end-first, int64(most))
		var p [rangeLen]byte
		binary.LittleEndian.PutUint64(p[:], uint64(first))
		binary.LittleEndian.PutUint32(p[8:], uint32(n))
		binary.LittleEndian.PutUint32(p[12:], flags)
		if err := f.simple(op, kind, first*sectorSize, p[:]); err != nil {
			return err
		}
		first += n
	}
	return nil
}

// Serial asks for the serial number of the disk (GET_ID).
func (f *Frontend) Serial() (string, error) {
	q, s, err := f.take()
	if err != nil {
		return "", err
	}
	defer q.give(s)
	clear(s.data[:idLen])
	q.begin(s, typeGetID, 0, 0, idLen)
	if err := f.do(q, s, "get id", 0); err != nil {
		return "", err
	}
	serial, _, _ := strings.Cut(string(s.data[:idLen]), "\x00")
	return serial, nil
}

// SetWriteback turns the write cache of the disk on or off: without it each write is
// durable when it returns.
func (f *Frontend) SetWriteback(on bool) error {
	if f.features&featureConfigWCE == 0 {
		return block.ErrNotSupported
	}
	f.control.Lock()
	defer f.control.Unlock()
	if f.front.Protocol&vhost.ProtocolReplyAck == 0 {
		return fmt.Errorf("vhostblk: the back end does not answer: %w", block.ErrNotSupported)
	}
	return f.front.Set(vhost.SetConfig, vhost.ConfigSpace{Offset: writebackAt, Data: []byte{bit(on)}})
}

// Restarts is how often there was another back end.
func (f *Frontend) Restarts() uint64 { return f.restarts.Load() }
