package iscsi

import (
	"context"
	"encoding/binary"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Info is what block.NewDisk asks.
func (d *Device) Info() block.Info {
	return block.Info{
		ReadOnly: d.readOnly, Rotational: d.rotates, MultiConn: true,
		FUA: d.fua, Trim: d.unmap || d.sameUnmap, Zero: d.same, Extents: d.extents,
		BlockSizes: d.BlockSizes(),
	}
}

// BlockSizes are those of the unit.
func (d *Device) BlockSizes() block.BlockSizes {
	return block.BlockSizes{Minimum: int(d.blockSize), Preferred: max(4096, int(d.blockSize)), Maximum: d.most}
}

// Size is the capacity in bytes.
func (d *Device) Size() (int64, error) { return int64(d.blocks) * d.blockSize, nil }

// ReadOnly says whether the unit is write-protected.
func (d *Device) ReadOnly() bool { return d.readOnly }

// Close does nothing: the session is the client's.
func (d *Device) Close() error { return nil }

// blocksOf checks a range and turns it into blocks.
func (d *Device) blocksOf(off, length int64) (lba, n uint64, err error) {
	size, _ := d.Size()
	switch {
	case off < 0 || length < 0 || off > size || length > size-off:
		return 0, 0, block.ErrRange
	case off%d.blockSize != 0 || length%d.blockSize != 0:
		return 0, 0, block.ErrAlignment
	}
	return uint64(off / d.blockSize), uint64(length / d.blockSize), nil
}

// transfer is the CDB of a command of 16 bytes with address and length.
func transfer(op, flags byte, lba, n uint64) []byte {
	c := []byte{op, flags, 15: 0}
	binary.BigEndian.PutUint64(c[2:], lba)
	binary.BigEndian.PutUint32(c[10:], uint32(n))
	return c
}

// ReadAt reads whole blocks.
func (d *Device) ReadAt(p []byte, off int64) (int, error) {
	return d.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext is ReadAt that ends with ctx.
func (d *Device) ReadAtContext(ctx context.Context, p []byte, off int64) (int, error) {
	return d.pieces(p, off, func(p []byte, lba, n uint64) error {
		r, err := d.do(ctx, transfer(0x88, 0, lba, n), nil, p)
		if err == nil && r.N < len(p) {
			err = formatErrorf("%d bytes in answer to a read of %d", r.N, len(p))
		}
		return err
	})
}

// WriteAt writes whole blocks.
func (d *Device) WriteAt(p []byte, off int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, off, false)
}

// WriteAtFUA writes whole blocks durably.
func (d *Device) WriteAtFUA(p []byte, off int64) (int, error) {
	return d.WriteAtContext(context.Background(), p, off, true)
}

// WriteAtContext is WriteAt or WriteAtFUA, and ends with ctx.
func (d *Device) WriteAtContext(ctx context.Context, p []byte, off int64, fua bool) (int, error) {
	if d.readOnly {
		return 0, block.ErrReadOnly
	}
	var flags byte
	if fua && d.fua {
		flags = 0x08
	}
	n, err := d.pieces(p, off, func(p []byte, lba, n uint64) error {
		_, err := d.do(ctx, transfer(0x8a, flags, lba, n), p, nil)
		return err
	})
	if err == nil && fua && !d.fua {
		err = d.SyncContext(ctx)
	}
	return n, err
}

// pieces does a transfer in pieces that the unit takes.
func (d *Device) pieces(p []byte, off int64, each func(p []byte, lba, n uint64) error) (done int, err error) {
	if _, _, err := d.blocksOf(off, int64(len(p))); err != nil {
		return 0, err
	}
	most := d.most - d.most%int(d.blockSize)
	for done < len(p) {
		some := p[done:min(len(p), done+most)]
		lba, n, _ := d.blocksOf(off+int64(done), int64(len(some)))
		if err := each(some, lba, n); err != nil {
			return done, err
		}
		done += len(some)
	}
	return done, nil
}

// Sync is SYNCHRONIZE CACHE.
func (d *Device) Sync() error { return d.SyncContext(context.Background()) }

// SyncContext is Sync that ends with ctx.
func (d *Device) SyncContext(ctx context.Context) error {
	_, err := d.do(ctx, transfer(0x91, 0, 0, 0), nil, nil)
	if refused(err) {
		_, err = d.do(ctx, []byte{0x35, 9: 0}, nil, nil)
	}
	if refused(err) {
		return nil // a unit without a cache
	}
	return err
}

// Trim is UNMAP, or WRITE SAME with the UNMAP bit.
func (d *Device) Trim(off, length int64) error {
	return d.TrimContext(context.Background(), off, length)
}

// TrimContext is Trim that ends with ctx. What does not fill blocks is left as it is.
func (d *Device) TrimContext(ctx context.Context, off, length int64) error {
	switch size, _ := d.Size(); {
	case off < 0 || length < 0 || off > size || length > size-off:
		return block.ErrRange
	case d.readOnly:
		return block.ErrReadOnly
	case !d.unmap && !d.sameUnmap:
		return block.ErrNotSupported
	case !d.unmap && !d.zeroes:
		return block.ErrNotSupported // WRITE SAME would have to write the data
	}
	first := (off + d.blockSize - 1) / d.blockSize
	last := (off + length) / d.blockSize
	for lba := first; lba < last; {
		n, err := d.trimSome(ctx, uint64(lba), uint64(last-lba))
		if err != nil {
			return err
		}
		lba += int64(n)
	}
	return nil
}

func (d *Device) trimSome(ctx context.Context, lba, n uint64) (uint64, error) {
	if !d.unmap {
		n = d.sameLimit(n)
		_, err := d.do(ctx, transfer(0x93, 0x08, lba, n), make([]byte, d.blockSize), nil)
		return n, err
	}
	n = min(n, 1<<32-1)
	if d.unmapMost > 0 {
		n = min(n, d.unmapMost)
	}
	list := make([]byte, 24)
	binary.BigEndian.PutUint16(list, 22)
	binary.BigEndian.PutUint16(list[2:], 16)
	binary.BigEndian.PutUint64(list[8:], lba)
	binary.BigEndian.PutUint32(list[16:], uint32(n))
	_, err := d.do(ctx, []byte{0x42, 0, 0, 0, 0, 0, 0, 0, byte(len(list)), 0}, list, nil)
	return n, err
}

// sameLimit is how many blocks of n one WRITE SAME may write.
func (d *Device) sameLimit(n uint64) uint64 {
	n = min(n, uint64(defaultTransfer*32/d.blockSize)) // which is not long, even if it is written
	if d.sameMost > 0 {
		n = min(n, d.sameMost)
	}
	return max(min(n, 1<<32-1), 1)
}

// WriteZeroes is WRITE SAME with a block of zeroes.
func (d *Device) WriteZeroes(off, length int64, flags block.ZeroFlags) error {
	return d.WriteZeroesContext(context.Background(), off, length, flags)
}

// WriteZeroesContext is WriteZeroes that ends with ctx.
func (d *Device) WriteZeroesContext(ctx context.Context, off, length int64, flags block.ZeroFlags) error {
	lba, left, err := d.blocksOf(off, length)
	switch {
	case err != nil:
		return err
	case d.readOnly:
		return block.ErrReadOnly
	case !d.same:
		return block.ErrNotSupported
	}
	var bits byte
	if flags&block.ZeroNoHole == 0 && d.sameUnmap && d.zeroes {
		bits = 0x08
	} else if flags&block.ZeroFast != 0 {
		return block.ErrNotSupported
	}
	first := true
	for left > 0 {
		n := d.sameLimit(left)
		_, err := d.do(ctx, transfer(0x93, bits, lba, n), make([]byte, d.blockSize), nil)
		if refused(err) && first {
			return block.ErrNotSupported
		}
		if err != nil {
			return err
		}
		first = false
		lba, left = lba+n, left-n
	}
	if flags&block.ZeroFUA != 0 {
		return d.SyncContext(ctx)
	}
	return nil
}

// Extents is GET LBA STATUS.
func (d *Device) Extents(off, length int64, yield func(block.Extent) bool) error {
	return d.ExtentsContext(context.Background(), off, length, yield)
}

// ExtentsContext is Extents that ends with ctx.
func (d *Device) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	if size, _ := d.Size(); off < 0 || length < 0 || off > size || length > size-off {
		return block.ErrRange
	}
	if !d.extents {
		return block.ErrNotSupported
	}
	end := off + length
	in := make([]byte, 8+16*64)
	for at := off; at < end; {
		r, err := d.do(ctx, serviceIn(0x12, uint64(at/d.blockSize), len(in)), nil, in)
		if refused(err) && at == off {
			return block.ErrNotSupported
		}
		if err != nil {
			return err
		}
		start := at
		for i := 8; i+16 <= r.N && at < end; i += 16 {
			first := int64(binary.BigEndian.Uint64(in[i:])) * d.blockSize
			stop := min(first+int64(binary.BigEndian.Uint32(in[i+8:]))*d.blockSize, end)
			if first > at || stop <= at {
				return formatErrorf("the state of blocks at %d where %d was asked for", first, at)
			}
			hole := in[i+12]&0x0f != 0
			if !yield(block.Extent{Off: at, Length: stop - at, Hole: hole, Zero: hole && d.zeroes}) {
				return nil
			}
			at = stop
		}
		if at == start {
			return formatErrorf("no state of the blocks at %d", at)
		}
	}
	return nil
}
