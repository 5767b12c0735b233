package partition

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/storage/block"
)

const (
	mbrSector   = 512 // whatever the sectors of the disk are
	mostLogical = 256 // partitions that a chain may have
)

// An mbrEntry is one of 16 bytes.
type mbrEntry struct {
	kind        byte
	off, length int64 // in bytes
}

func (e mbrEntry) isUsed() bool     { return e.kind != 0 && e.length > 0 }
func (e mbrEntry) isExtended() bool { return e.kind == 0x05 || e.kind == 0x0f || e.kind == 0x85 }

// readMBR reads the four entries of a sector. There are none without a signature.
func readMBR(d *block.Disk, off int64) (entries []mbrEntry, err error) {
	b := make([]byte, mbrSector)
	if _, err := d.ReadAt(b, off); err != nil {
		return nil, err
	}
	if b[510] != 0x55 || b[511] != 0xaa {
		return nil, nil
	}
	for i := 446; i < 510; i += 16 {
		u32 := binary.LittleEndian.Uint32
		entries = append(entries, mbrEntry{b[i+4], int64(u32(b[i+8:])) * mbrSector, int64(u32(b[i+12:])) * mbrSector})
	}
	return entries, nil
}

// listMBR reads the MBR and the chains of logical partitions.
func listMBR(d *block.Disk, size int64) (all []Partition, err error) {
	if size < mbrSector {
		return nil, ErrNoTable
	}
	entries, err := readMBR(d, 0)
	if err != nil {
		return nil, err
	}
	if entries == nil {
		return nil, ErrNoTable
	}
	logical := 5
	for i, e := range entries {
		switch {
		case !e.isUsed():
		case e.isExtended():
			more, err := listLogical(d, size, e.off, logical)
			if err != nil {
				return nil, err
			}
			logical += len(more)
			all = append(all, more...)
		default:
			all = append(all, Partition{Number: i + 1, Off: e.off, Length: e.length, Type: fmt.Sprintf("%#02x", e.kind)})
		}
	}
	return all, nil
}

// listLogical follows the chain that begins at off. Each sector of it has one
// partition, whose place is relative to the sector's, and then where the next sector
// is, relative to the first.
func listLogical(d *block.Disk, size, off int64, number int) (all []Partition, err error) {
	at := off
	for range mostLogical {
		if at <= 0 || at > size-mbrSector {
			break
		}
		entries, err := readMBR(d, at)
		if err != nil {
			return nil, err
		}
		if entries == nil {
			break
		}
		if e := entries[0]; e.isUsed() {
			all = append(all, Partition{Number: number + len(all), Off: at + e.off, Length: e.length, Type: fmt.Sprintf("%#02x", e.kind)})
		}
		next := entries[1]
		if !next.isExtended() || off+next.off <= at { // a chain goes forward only
			break
		}
		at = off + next.off
	}
	return all, nil
}
