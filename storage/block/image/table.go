package image

import (
	"context"
	"encoding/binary"
)

const (
	sector = 512

	entryCopied     = 1 << 63 // the cluster is used once
	entryCompressed = 1 << 62
	entryZero       = 1 << 0 // reads as zeroes; version 3, without extended L2 entries
	entryOffset     = 0x00fffffffffffe00

	subclusters = 32 // of a cluster, with extended L2 entries

	// piece is the bytes of a table that are read and kept at once.
	piece = 16 << 10
)

// A state is what the image has of a range of the disk.
type state uint8

const (
	unallocated state = iota // it is in the backing file, or zeroes
	zeroHole                 // zeroes that take no room
	zeroKept                 // zeroes that have room in the file
	data                     // as it is, at an offset of the data file
	compressed               // in a compressed cluster
)

// A run is a range of the disk of one state.
type run struct {
	state  state
	length int64
	host   int64  // data: the offset in the data file
	entry  uint64 // compressed: the L2 entry
	within int    // compressed: the offset in the cluster
}

// lookup tells of the range that begins at off: a run of at least one byte and at
// most limit. It joins what is adjacent within one piece of a table.
func (i *Image) lookup(ctx context.Context, off, limit int64) (run, error) {
	cluster := off >> i.bits
	per := int64(i.header.entriesPerTable())
	l1 := cluster / per
	at := l1 * 8 // in the L1 table
	start := at &^ (piece - 1)
	tables, err := i.piece(ctx, partL1, i.header.l1Offset+start, min(piece, int64(i.header.l1Entries)*8-start))
	if err != nil {
		return run{}, err
	}
	table, err := i.tableOffset(tables[at-start:], l1)
	if err != nil {
		return run{}, err
	}
	if table == 0 {
		n := int64(1)
		for rest := tables[at-start+8:]; len(rest) > 0 && binary.BigEndian.Uint64(rest)&entryOffset == 0; rest = rest[8:] {
			n++
		}
		return run{state: unallocated, length: min(limit, ((l1+n)*per)<<i.bits-off)}, nil
	}
	size := int64(i.header.entrySize())
	at = cluster % per * size // in the L2 table
	entries, err := i.piece(ctx, partL2, table+at&^(piece-1), min(piece, int64(i.header.ClusterSize)))
	if err != nil {
		return run{}, err
	}
	return i.join(entries[at&(piece-1):], off, limit)
}

// tableOffset is the offset of the L2 table of that number, of which the L1 entry is
// the first of entries, or zero if there is none.
func (i *Image) tableOffset(entries []byte, number int64) (int64, error) {
	off := int64(binary.BigEndian.Uint64(entries) & entryOffset)
	size := int64(i.header.ClusterSize)
	if off != 0 && (off&(size-1) != 0 || off > i.fileSize-size) {
		return 0, corrupt("L2 table %d at %d in a file of %d bytes", number, off, i.fileSize)
	}
	return off, nil
}

// piece returns a piece of a table, of size bytes at off. An image may have an L1 and
// an L2 table at the same place; their pieces differ in size.
func (i *Image) piece(ctx context.Context, p part, off, size int64) ([]byte, error) {
	return i.shared.tables.get(key{i.number, p, uint64(off)}, int(size), func() ([]byte, error) {
		b := make([]byte, size)
		// Others wait for the piece, so this caller's context may not end it.
		_, err := i.file.ReadAtContext(context.WithoutCancel(ctx), b, off)
		return b, err
	})
}

// join joins the entries from the one of off on, as far as they are adjacent.
func (i *Image) join(entries []byte, off, limit int64) (run, error) {
	whole, err := i.unit(entries, off)
	if err != nil {
		return run{}, err
	}
	size := int64(i.header.entrySize())
	for whole.length < limit && whole.state != compressed {
		at := off + whole.length
		n := (at>>i.bits - off>>i.bits) * size
		if n >= int64(len(entries)) {
			break
		}
		next, err := i.unit(entries[n:], at)
		if err != nil || next.state != whole.state || next.state == data && next.host != whole.host+whole.length {
			break // an error is told when its range is asked for
		}
		whole.length += next.length
	}
	whole.length = min(whole.length, limit)
	return whole, nil
}

// unit tells of the rest of the cluster or subcluster from off on. The L2 entry of it
// is the first of entries.
func (i *Image) unit(entries []byte, off int64) (run, error) {
	entry := binary.BigEndian.Uint64(entries)
	inCluster := off & (int64(i.header.ClusterSize) - 1)
	if entry&entryCompressed != 0 {
		return run{state: compressed, length: int64(i.header.ClusterSize) - inCluster, entry: entry, within: int(inCluster)}, nil
	}
	host := int64(entry & entryOffset)
	placed := host != 0 || i.header.External && entry&entryCopied != 0 // an offset of 0 is one there
	unit := int64(i.header.ClusterSize)
	s := unallocated
	if i.header.ExtendedL2 {
		unit /= subclusters
		bitmap := binary.BigEndian.Uint64(entries[8:]) >> (inCluster / unit)
		isData, isZero := bitmap&1 != 0, bitmap>>subclusters&1 != 0
		switch {
		case isData && (isZero || !placed):
			return run{}, corrupt("a subcluster for byte %d of the disk that is in two states", off)
		case isData:
			s = data
		case isZero && placed:
			s = zeroKept
		case isZero:
			s = zeroHole
		case placed && i.base == nil:
			s = zeroKept // unallocated, in a cluster that has room
		}
	} else {
		switch isZero := entry&entryZero != 0; {
		case isZero && i.header.Version < 3:
			return run{}, corrupt("a cluster of zeroes for byte %d of the disk, in an image of version 2", off)
		case isZero && placed:
			s = zeroKept
		case isZero:
			s = zeroHole
		case placed:
			s = data
		}
	}
	r := run{state: s, length: unit - off&(unit-1)}
	if s == data {
		return r, i.place(&r, host, off)
	}
	return r, nil
}

// place sets the offset in the data file of a run in the cluster at host there. The
// last cluster of the file may be cut short: what it lacks reads as zeroes.
func (i *Image) place(r *run, host, off int64) error {
	mask := int64(i.header.ClusterSize) - 1
	switch {
	case host&mask != 0:
		return corrupt("a cluster at %d, which is not a multiple of the cluster size", host)
	case host >= i.dataSize:
		return corrupt("a cluster at %d, behind the end of the file at %d", host, i.dataSize)
	case i.header.External && host != off&^mask:
		return corrupt("byte %d of the disk at %d of a data file", off, host+off&mask)
	}
	r.host = host + off&mask
	return nil
}
