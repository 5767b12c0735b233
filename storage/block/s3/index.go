package s3

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A version names one object: writers number themselves (epoch) and the objects that
// they make (sequence), so no two objects ever have the same name, and none is ever
// written again. The zero version is no object.
type version struct {
	Epoch    uint32
	Sequence uint32
}

// An entry is what the index knows of a chunk. The zero entry is a hole.
type entry struct {
	version
	sum uint32 // CRC-32C of the chunk
}

const (
	pageChunks = 4096 // chunks of a page of the index
	entrySize  = 12
	pageHeader = 32
)

const pageMagic = "gonet index 1\x00\x00\x00"

// castagnoli is made for each use of a table: package crc32 keeps the table itself.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli()) }

// A page is the entries of 4096 chunks, and what is known of its object.
type page struct {
	entries [pageChunks]entry
	used    int // entries that are no holes
	object  version
	changed bool // since the object was written
}

// An index says which object holds each chunk. Pages of holes only are not there.
type index struct {
	pages map[int64]*page
}

func newIndex() *index { return &index{map[int64]*page{}} }

func (x *index) get(chunk int64) entry {
	if p := x.pages[chunk/pageChunks]; p != nil {
		return p.entries[chunk%pageChunks]
	}
	return entry{}
}

// set changes the entry of a chunk, and returns what it was.
func (x *index) set(chunk int64, e entry) (old entry) {
	p := x.pages[chunk/pageChunks]
	if p == nil {
		if e == (entry{}) {
			return entry{}
		}
		p = &page{}
		x.pages[chunk/pageChunks] = p
	}
	at := &p.entries[chunk%pageChunks]
	old = *at
	if old == e {
		return old
	}
	if old == (entry{}) {
		p.used++
	}
	if e == (entry{}) {
		p.used--
	}
	*at, p.changed = e, true
	return old
}

// next is the first chunk at or after number that is no hole, and before end, or end.
func (x *index) next(number, end int64) int64 {
	for number < end {
		p := x.pages[number/pageChunks]
		if p == nil || p.used == 0 {
			number = (number/pageChunks + 1) * pageChunks
			continue
		}
		if p.entries[number%pageChunks] != (entry{}) {
			return number
		}
		number++
	}
	return end
}

// encode writes the page as its object holds it: a header of 32 bytes (the magic,
// the number of the page, the CRC-32C of all that follows, zero) and the entries, 12
// bytes each, of little-endian numbers.
func (p *page) encode(number int64) []byte {
	b := make([]byte, pageHeader+pageChunks*entrySize)
	copy(b, pageMagic)
	binary.LittleEndian.PutUint64(b[16:], uint64(number))
	for i, e := range p.entries {
		at := b[pageHeader+i*entrySize:]
		binary.LittleEndian.PutUint32(at, e.Epoch)
		binary.LittleEndian.PutUint32(at[4:], e.Sequence)
		binary.LittleEndian.PutUint32(at[8:], e.sum)
	}
	binary.LittleEndian.PutUint32(b[24:], checksum(b[pageHeader:]))
	return b
}

var errPage = errors.New("a page of the index is damaged")

// decodePage reads what encode has written.
func decodePage(b []byte, number int64) (*page, error) {
	if len(b) != pageHeader+pageChunks*entrySize || string(b[:16]) != pageMagic {
		return nil, fmt.Errorf("%w: page %d is none", errPage, number)
	}
	if binary.LittleEndian.Uint32(b[24:]) != checksum(b[pageHeader:]) {
		return nil, fmt.Errorf("%w: the checksum of page %d is wrong", errPage, number)
	}
	if n := binary.LittleEndian.Uint64(b[16:]); n != uint64(number) {
		return nil, fmt.Errorf("%w: page %d says that it is page %d", errPage, number, n)
	}
	p := &page{}
	for i := range p.entries {
		at := b[pageHeader+i*entrySize:]
		e := entry{version{binary.LittleEndian.Uint32(at), binary.LittleEndian.Uint32(at[4:])}, binary.LittleEndian.Uint32(at[8:])}
		if e.version == (version{}) {
			e = entry{}
		}
		if e != (entry{}) {
			p.used++
		}
		p.entries[i] = e
	}
	return p, nil
}
