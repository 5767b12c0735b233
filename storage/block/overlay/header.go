package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/seed-012105e5/gonet/storage/block"
)

// The first sector of a store is its header, which is therefore written whole or
// not at all. All numbers are little-endian.
//
//	 0  8  "GoNetCoW"
//	 8  4  version, 1
//	12  4  bytes of a cluster
//	16  8  bytes of the disk
//	24  8  where the table begins
//	32  8  where the data of cluster 0 begins
//	40  4  flags
//	44  4  CRC-32C of the bytes before
//
// The table has two bits for each cluster, the lowest of a byte first. The data of
// cluster n, if it has any, is n clusters behind that of cluster 0.
const (
	magic      = "GoNetCoW"
	version    = 1
	headerSize = 512
	tableStart = 4096
	pageSize   = 4096 // of the table, which is written by pages

	flagDiscarding = 1 // the table is being cleared: what it says is void

	smallestCluster = 4 << 10
	largestCluster  = 2 << 20
	largestTable    = 1 << 30 // bytes, in memory too
)

// ErrNotOverlay says that a store holds something else.
var ErrNotOverlay = errors.New("overlay: the store holds something else than an overlay")

type header struct {
	cluster int64
	size    int64
	flags   uint32
}

// check says whether the header is possible.
func (h header) check() error {
	if h.cluster < smallestCluster || h.cluster > largestCluster || h.cluster&(h.cluster-1) != 0 {
		return fmt.Errorf("overlay: a cluster of %d bytes, which must be a power of two from %d to %d", h.cluster, smallestCluster, largestCluster)
	}
	if h.size < 0 || h.size/h.cluster/4 >= largestTable {
		return fmt.Errorf("overlay: a disk of %d bytes is too large for clusters of %d", h.size, h.cluster)
	}
	return nil
}

// clusters is how many clusters there are. The last may be shorter.
func (h header) clusters() int64 { return (h.size + h.cluster - 1) / h.cluster }

// tableSize is the length of the table, whole pages.
func (h header) tableSize() int64 {
	return ((h.clusters()+3)/4 + pageSize - 1) / pageSize * pageSize
}

// dataStart is where the data of cluster 0 begins.
func (h header) dataStart() int64 {
	return (tableStart + h.tableSize() + h.cluster - 1) / h.cluster * h.cluster
}

// storeSize is what the store must have room for.
func (h header) storeSize() int64 { return h.dataStart() + h.size }

// encode makes the first sector.
func (h header) encode() []byte {
	b := make([]byte, 0, headerSize)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.cluster))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.size))
	b = binary.LittleEndian.AppendUint64(b, tableStart)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.dataStart()))
	b = binary.LittleEndian.AppendUint32(b, h.flags)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b[:headerSize]
}

// decode reads the first sector. It is found empty if there are zeroes only.
func decode(b []byte) (h header, empty bool, err error) {
	if len(b) != headerSize {
		return h, false, ErrNotOverlay
	}
	if bytes.Count(b, []byte{0}) == len(b) {
		return h, true, nil
	}
	if string(b[:8]) != magic {
		return h, false, ErrNotOverlay
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if v := u32(b[8:]); v != version {
		return h, false, fmt.Errorf("overlay: the store has version %d, and this is for version %d: %w", v, version, block.ErrNotSupported)
	}
	if sum := crc32.Checksum(b[:44], crc32.MakeTable(crc32.Castagnoli)); sum != u32(b[44:]) {
		return h, false, errors.New("overlay: the header of the store is damaged: its checksum is wrong")
	}
	h = header{int64(u32(b[12:])), int64(u64(b[16:])), u32(b[40:])}
	if err := h.check(); err != nil {
		return header{}, false, err
	}
	if u64(b[24:]) != tableStart || u64(b[32:]) != uint64(h.dataStart()) || h.flags&^flagDiscarding != 0 {
		return header{}, false, errors.New("overlay: the header of the store is damaged: its offsets or flags are impossible")
	}
	return h, false, nil
}
