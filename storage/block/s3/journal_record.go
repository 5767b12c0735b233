package s3

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/seed-012105e5/gonet/storage/block"
)

// The journal is a device of a header and two areas. Records follow each other in an
// area without gaps. While one area is written, what the other one holds is on its way
// to the bucket; when that has been published, the areas change their roles. A record:
//
//	magic     4  "gnj1"
//	sum       4  CRC-32C of the journal's id and all that follows
//	epoch     4  of the writer
//	kind      4
//	number    8  of the record, one more than that of the one before it
//	offset    8  in the disk
//	length    8  of the range
//	data         of the range, of a write only
//
// Numbers are little-endian. A record counts if it is whole, its number follows that
// of the one before it, and its epoch is none that came before that one's. The first
// that does not is where the journal ends: it was torn, or is left from an earlier
// use of the area. The id, which is random and secret, is in the sum so that nobody
// who writes to the disk can write data that looks like a record.
const (
	recordHeader  = 40
	recordMagic   = 0x316a6e67
	journalHeader = 4096
	journalMagic  = "gonet journal 1\x00"
	smallestArea  = 64 << 10
)

// A recordKind is what a record does.
type recordKind uint32

const (
	recordWrite  recordKind = 1
	recordZero   recordKind = 2
	recordResize recordKind = 3 // to a size of offset bytes
)

// A record is one change of the disk.
type record struct {
	epoch       uint32
	kind        recordKind
	number      uint64
	off, length int64
}

// size is how many bytes the record takes in the journal.
func (r record) size() int64 {
	if r.kind == recordWrite {
		return recordHeader + r.length
	}
	return recordHeader
}

// A journalID is that of a journal.
type journalID [16]byte

func (id journalID) String() string { return hex.EncodeToString(id[:]) }

// appendTo appends the record and its data.
func (r record) appendTo(b []byte, id journalID, data []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, recordMagic)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, r.epoch)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.kind))
	b = binary.LittleEndian.AppendUint64(b, r.number)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.off))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.length))
	b = append(b, data...)
	binary.LittleEndian.PutUint32(b[start+4:], recordSum(b[start+8:], id))
	return b
}

func recordSum(b []byte, id journalID) uint32 {
	return crc32.Update(checksum(id[:]), castagnoli(), b)
}

// parseRecord reads the header of a record. Its sum is not known to be right.
func parseRecord(b []byte) (r record, ok bool) {
	if len(b) < recordHeader || binary.LittleEndian.Uint32(b) != recordMagic {
		return record{}, false
	}
	r = record{
		epoch:  binary.LittleEndian.Uint32(b[8:]),
		kind:   recordKind(binary.LittleEndian.Uint32(b[12:])),
		number: binary.LittleEndian.Uint64(b[16:]),
		off:    int64(binary.LittleEndian.Uint64(b[24:])),
		length: int64(binary.LittleEndian.Uint64(b[32:])),
	}
	ok = r.off >= 0 && r.length >= 0 && r.off+r.length >= 0 && (r.kind != recordWrite || r.length <= largestChunk)
	return r, ok && r.kind >= recordWrite && r.kind <= recordResize
}

// A layout is where the journal has what.
type layout struct {
	id   journalID
	disk string // its id
	area int64  // the size of each of the two areas, in bytes
}

// start is where an area begins.
func (l layout) start(area int) int64 { return journalHeader + int64(area)*l.area }

// encode writes the header.
func (l layout) encode() []byte {
	b := make([]byte, journalHeader)
	copy(b, journalMagic)
	copy(b[16:], l.id[:])
	copy(b[32:], l.disk)
	binary.LittleEndian.PutUint64(b[64:], uint64(l.area))
	binary.LittleEndian.PutUint32(b[72:], checksum(b[:72]))
	return b
}

var errNoJournal = errors.New("this is no journal")

// decodeLayout reads the header of a journal on a device of size bytes.
func decodeLayout(b []byte, size int64) (l layout, err error) {
	if len(b) < journalHeader || string(b[:16]) != journalMagic || binary.LittleEndian.Uint32(b[72:]) != checksum(b[:72]) {
		return l, errNoJournal
	}
	copy(l.id[:], b[16:32])
	l.disk = string(b[32:64])
	l.area = int64(binary.LittleEndian.Uint64(b[64:72]))
	if l.area < smallestArea || l.area > (size-journalHeader)/2 {
		return l, fmt.Errorf("%w: areas of %d bytes on a device of %d", errNoJournal, l.area, size)
	}
	return l, nil
}

// A place is how far the journal has been read: the number and the epoch of the last
// record that counted.
type place struct {
	number uint64
	epoch  uint32
}

// follows says whether r is what comes after the place.
func (p place) follows(r record) bool { return r.number == p.number+1 && r.epoch >= p.epoch }

// scan calls f for all records that count and come after from, in their order, and
// returns where the journal ends. The data is f's for the call only.
func (l layout) scan(dev block.Device, from place, f func(r record, data []byte) error) (place, error) {
	var buf []byte
	done := [2]bool{}
	for {
		// The area whose records begin before the other's: what follows is in one of
		// them.
		area := -1
		for i := range done {
			if !done[i] && l.begins(dev, i, from, &buf) {
				area = i
			}
		}
		if area < 0 {
			return from, nil
		}
		done[area] = true
		var err error
		if from, err = l.scanArea(dev, area, from, &buf, f); err != nil {
			return from, err
		}
	}
}

// begins says whether the area has the record that follows the place.
func (l layout) begins(dev block.Device, area int, from place, buf *[]byte) bool {
	end, err := l.scanArea(dev, area, from, buf, nil)
	return err == nil && end.number > from.number
}

// scanArea reads the records of an area: those up to from are passed over, those that
// follow it are given to f. Without f it ends at the first of those.
func (l layout) scanArea(dev block.Device, area int, from place, buf *[]byte, f func(r record, data []byte) error) (place, error) {
	at, end := l.start(area), l.start(area+1)
	var last record
	for first := true; ; first = false {
		r, data, ok, err := l.read(dev, at, end, buf)
		if err != nil {
			return from, err
		}
		if !ok || !first && !(place{last.number, last.epoch}).follows(r) {
			return from, nil
		}
		at, last = at+r.size(), r
		if r.number <= from.number {
			continue
		}
		if !from.follows(r) {
			return from, nil
		}
		from = place{r.number, r.epoch}
		if f == nil {
			return from, nil
		}
		if err := f(r, data); err != nil {
			return from, err
		}
	}
}

// read reads the record at a place of the device, if there is one that is whole.
func (l layout) read(dev block.Device, at, end int64, buf *[]byte) (r record, data []byte, ok bool, err error) {
	if end-at < recordHeader {
		return r, nil, false, nil
	}
	var header [recordHeader]byte
	if _, err := dev.ReadAt(header[:], at); err != nil {
		return r, nil, false, err
	}
	if r, ok = parseRecord(header[:]); !ok || r.size() > end-at {
		return r, nil, false, nil
	}
	if need := int(r.size()); cap(*buf) < need {
		*buf = make([]byte, need)
	}
	b := (*buf)[:r.size()]
	copy(b, header[:])
	if len(b) > recordHeader {
		if _, err := dev.ReadAt(b[recordHeader:], at+recordHeader); err != nil {
			return r, nil, false, err
		}
	}
	return r, b[recordHeader:], binary.LittleEndian.Uint32(b[4:]) == recordSum(b[8:], l.id), nil
}
