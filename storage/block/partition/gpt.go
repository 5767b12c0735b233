package partition

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf16"

	"github.com/seed-012105e5/gonet/storage/block"
)

// What is read of a GPT is bounded, whatever its header says.
const (
	mostEntries    = 1024 // 128 is usual
	smallestEntry  = 128  // bytes
	largestEntry   = 4096
	gptHeaderBytes = 92 // at least
)

// listGPT reads the GPT of a disk whose sectors have 512 or 4096 bytes.
func listGPT(d *block.Disk, size int64) (all []Partition, err error) {
	found := false
	for _, sector := range []int64{512, 4096} {
		for _, off := range []int64{sector, size/sector*sector - sector} {
			if off < sector || off+sector > size {
				continue
			}
			b := make([]byte, sector)
			if _, err := d.ReadAt(b, off); err != nil {
				return nil, err
			}
			if string(b[:8]) != "EFI PART" {
				continue
			}
			found = true
			entries, n, err := readGPT(d, size, sector, b)
			if err == nil {
				return gptEntries(entries, n, sector), nil
			}
			if err != ErrDamaged {
				return nil, err
			}
		}
	}
	if found {
		return nil, ErrDamaged
	}
	return nil, ErrNoTable
}

// readGPT reads the entries, of n bytes each, that the header names. Checksums must
// be right.
func readGPT(d *block.Disk, size, sector int64, header []byte) (entries []byte, n int, err error) {
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	length := u32(header[12:])
	if length < gptHeaderBytes || int64(length) > sector {
		return nil, 0, ErrDamaged
	}
	sum := u32(header[16:])
	clear(header[16:20]) // the checksum is of the header with zeroes in its place
	if crc32.ChecksumIEEE(header[:length]) != sum {
		return nil, 0, ErrDamaged
	}
	first, count, each := u64(header[72:]), u32(header[80:]), u32(header[84:])
	if count > mostEntries || each < smallestEntry || each > largestEntry || first > uint64(size/sector) {
		return nil, 0, ErrDamaged
	}
	off, total := int64(first)*sector, int64(count)*int64(each)
	if off+total > size {
		return nil, 0, ErrDamaged
	}
	entries = make([]byte, total)
	if _, err := d.ReadAt(entries, off); err != nil {
		return nil, 0, err
	}
	if crc32.ChecksumIEEE(entries) != u32(header[88:]) {
		return nil, 0, ErrDamaged
	}
	return entries, int(each), nil
}

// gptEntries takes the entries apart.
func gptEntries(b []byte, each int, sector int64) (all []Partition) {
	for i := 0; i < len(b); i += each {
		e := b[i : i+each]
		first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		if [16]byte(e[:16]) == [16]byte{} || last < first || last >= uint64(1<<62/sector) {
			continue
		}
		all = append(all, Partition{
			Number: i/each + 1, Type: guid(e[:16]), Name: name(e[56:128]),
			Off: int64(first) * sector, Length: int64(last-first+1) * sector,
		})
	}
	return all
}

// guid writes 16 bytes as they are usually written: the first three parts are
// little-endian.
func guid(b []byte) string {
	return strings.ToUpper(fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b),
		binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16]))
}

// name reads UTF-16, up to a zero.
func name(b []byte) string {
	var u []uint16
	for ; len(b) >= 2 && b[0]|b[1] != 0; b = b[2:] {
		u = append(u, binary.LittleEndian.Uint16(b))
	}
	return string(utf16.Decode(u))
}
