// Package image has read-only disks that are qcow2 images, of version 2 and 3, by
// the specification that QEMU has in docs/interop/qcow2.
//
// It reads standard clusters, clusters compressed with zlib or zstd, clusters of
// zeroes, extended L2 entries (subclusters), external data files, and backing files,
// raw or qcow2, in chains. Internal snapshots, bitmaps and reference counts are
// ignored. Encryption and incompatible features that are unknown are refused by
// name. An image that was not closed properly is read; [Header.Notes] says so.
//
// An image may come from somebody who means harm. Every offset and length in it is
// checked against the file and the limits of the format, and what is wrong is an
// error, [ErrCorrupt], of the reads that need it. Memory is bounded by [Config],
// whatever an image says: no table is read whole. A file that an image names is
// opened only as [Named] allows: by default, if it is in the folder of the image or
// below it.
//
// Neither the image nor the files it names may change while they are open. They are
// locked as [block.File] does it; QEMU does not heed these locks.
package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Config says how an image is opened. Zero values mean what is said.
type Config struct {
	Named Named // which files the image may name; those in its folder
	// Base is taken for the backing file that the image names, and Data for its
	// external data file: disks of any kind, closed with the image.
	Base, Data block.Device
	Depth      int   // images and files in a chain, at most 256; 32
	Tables     int64 // bytes of tables that are kept, for the whole chain; 8 MB
	Clusters   int64 // bytes of decompressed clusters that are kept, for the whole chain; 32 MB
}

func (c Config) withDefaults() Config {
	if c.Depth <= 0 {
		c.Depth = 32
	}
	c.Depth = min(c.Depth, 256)
	if c.Tables <= 0 {
		c.Tables = 8 << 20
	}
	if c.Clusters <= 0 {
		c.Clusters = 32 << 20
	}
	return c
}

// Image is an image and the chain of those behind it. It is a [block.Device], with
// contexts and extents. Its methods may be called at the same time.
type Image struct {
	number   int // in its chain, from 0
	header   *Header
	bits     int         // of the offset in a cluster
	file     *block.Disk // the image
	fileSize int64
	data     *block.Disk // where the data is: file, or the external data file
	dataSize int64
	base     *block.Disk // the backing file, or nil
	baseSize int64
	shared   *shared
	closers  []io.Closer
}

// shared is what the images of a chain have together.
type shared struct {
	tables, clusters *cache
	// There are as many decompressors as processors, so that what they need is
	// bounded however many read.
	decompressors chan *decompressor
}

func newShared(c Config) *shared {
	s := &shared{newCache(c.Tables), newCache(c.Clusters), make(chan *decompressor, runtime.GOMAXPROCS(0))}
	for range cap(s.decompressors) {
		s.decompressors <- &decompressor{}
	}
	return s
}

// Open opens the image that is on the device, which has no folder: files that it
// names must be given, as Base and Data. The devices belong to the image when Open
// has succeeded.
func Open(dev block.Device, c Config) (*Image, error) {
	c = c.withDefaults()
	ch := &chain{config: c, shared: newShared(c)}
	i, err := ch.image(dev, "")
	if err != nil {
		return nil, err
	}
	return i, nil
}

// newImage reads the header.
func newImage(dev block.Device, s *shared) (*Image, error) {
	file, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(headerV3, size))
	if _, err := file.ReadAt(b, 0); err != nil {
		return nil, err
	}
	bits, err := clusterBits(b)
	if err != nil {
		return nil, err
	}
	b = make([]byte, min(1<<bits, size))
	if _, err := file.ReadAt(b, 0); err != nil {
		return nil, err
	}
	h, err := parseHeader(b, size)
	if err != nil {
		return nil, err
	}
	return &Image{header: h, bits: bits, file: file, fileSize: size, data: file, dataSize: size, shared: s}, nil
}

// Header is what the image says of itself.
func (i *Image) Header() Header { return *i.header }

// Base is the disk behind the image, or nil.
func (i *Image) Base() *block.Disk { return i.base }

// Size is that of the disk.
func (i *Image) Size() (int64, error) { return i.header.Size, nil }

// ReadOnly is true.
func (i *Image) ReadOnly() bool { return true }

// BlockSizes prefers whole clusters, and whole pages where those are smaller.
func (i *Image) BlockSizes() block.BlockSizes {
	return block.BlockSizes{Preferred: max(i.header.ClusterSize, 4096)}
}

// WriteAt fails with ErrReadOnly.
func (i *Image) WriteAt([]byte, int64) (int, error) { return 0, block.ErrReadOnly }

// WriteAtContext fails with ErrReadOnly.
func (i *Image) WriteAtContext(context.Context, []byte, int64, bool) (int, error) {
	return 0, block.ErrReadOnly
}

// Sync does nothing.
func (i *Image) Sync() error { return nil }

// SyncContext does nothing.
func (i *Image) SyncContext(ctx context.Context) error { return ctx.Err() }

// Close closes the image and all behind it.
func (i *Image) Close() error {
	var all []error
	for _, c := range i.closers {
		all = append(all, c.Close())
	}
	return errors.Join(all...)
}

// check returns an error unless the range lies in the disk.
func (i *Image) check(off, length int64) error {
	if off < 0 || length < 0 || off > i.header.Size || length > i.header.Size-off {
		return block.ErrRange
	}
	return nil
}

// ReadAt is ReadAtContext without a context.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	return i.ReadAtContext(context.Background(), p, off)
}

// ReadAtContext reads len(p) bytes at off.
func (i *Image) ReadAtContext(ctx context.Context, p []byte, off int64) (n int, err error) {
	if err := i.check(off, int64(len(p))); err != nil {
		return 0, err
	}
	for n < len(p) {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		r, err := i.lookup(ctx, off+int64(n), int64(len(p)-n))
		if err == nil {
			err = i.readRun(ctx, r, p[n:n+int(r.length)], off+int64(n))
		}
		if err != nil {
			return n, &block.MediumError{Op: "read", Off: off + int64(n), Err: err}
		}
		n += int(r.length)
	}
	return n, nil
}

// readRun reads the run, which is as long as p, at off of the disk.
func (i *Image) readRun(ctx context.Context, r run, p []byte, off int64) error {
	switch r.state {
	case data:
		return readPadded(ctx, i.data, i.dataSize, p, r.host)
	case compressed:
		cluster, err := i.decompress(ctx, r.entry)
		if err != nil {
			return err
		}
		copy(p, cluster[r.within:])
		return nil
	case unallocated:
		if i.base != nil {
			return readPadded(ctx, i.base, i.baseSize, p, off)
		}
	}
	clear(p)
	return nil
}

// readPadded reads from a disk of that size, with zeroes behind its end.
func readPadded(ctx context.Context, d *block.Disk, size int64, p []byte, off int64) error {
	n := int(min(int64(len(p)), max(size-off, 0)))
	clear(p[n:])
	if n == 0 {
		return nil
	}
	_, err := d.ReadAtContext(ctx, p[:n], off)
	return err
}

// Extents is ExtentsContext without a context.
func (i *Image) Extents(off, length int64, yield func(block.Extent) bool) error {
	return i.ExtentsContext(context.Background(), off, length, yield)
}

// ExtentsContext tells where data is, in the image and what is behind it. Zeroes that
// have room in the file are Zero and no Hole.
func (i *Image) ExtentsContext(ctx context.Context, off, length int64, yield func(block.Extent) bool) error {
	if err := i.check(off, length); err != nil {
		return err
	}
	more := true
	for length > 0 && more {
		if err := ctx.Err(); err != nil {
			return err
		}
		r, err := i.lookup(ctx, off, length)
		if err != nil {
			return &block.MediumError{Op: "extents", Off: off, Err: err}
		}
		if r.state == unallocated && i.base != nil && off < i.baseSize {
			r.length = min(r.length, i.baseSize-off)
			err = i.base.ExtentsContext(ctx, off, r.length, func(e block.Extent) bool {
				more = yield(e)
				return more
			})
			if err != nil {
				return err
			}
		} else {
			isData := r.state == data || r.state == compressed
			more = yield(block.Extent{Off: off, Length: r.length, Zero: !isData, Hole: !isData && r.state != zeroKept})
		}
		off, length = off+r.length, length-r.length
	}
	return nil
}

// String describes the image in a line.
func (i *Image) String() string {
	h := i.header
	s := fmt.Sprintf("qcow2 version %d, %d bytes in clusters of %d, %v", h.Version, h.Size, h.ClusterSize, h.Compression)
	if h.Backing != "" {
		s += fmt.Sprintf(", backed by %q", h.Backing)
	}
	return s
}
