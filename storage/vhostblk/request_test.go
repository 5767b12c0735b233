package vhostblk

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// head is the header of a request.
func head(kind uint32, sector uint64) []byte {
	p := make([]byte, headLen)
	binary.LittleEndian.PutUint32(p, kind)
	binary.LittleEndian.PutUint64(p[8:], sector)
	return p
}

// ranged is a request with ranges: sector, number of sectors and flags of each.
func ranged(kind uint32, ranges ...[3]uint64) []byte {
	p := head(kind, 0)
	for _, r := range ranges {
		p = binary.LittleEndian.AppendUint64(p, r[0])
		p = binary.LittleEndian.AppendUint32(p, uint32(r[1]))
		p = binary.LittleEndian.AppendUint32(p, uint32(r[2]))
	}
	return p
}

// chain cuts what is read and written into pieces of so many bytes.
func chain(readable []byte, writable, piece int) *virtqueue.Chain {
	c := &virtqueue.Chain{ReadLen: len(readable), WriteLen: writable}
	for p := bytes.Clone(readable); len(p) > 0; {
		n := min(len(p), piece)
		c.Readable, p = append(c.Readable, p[:n]), p[n:]
	}
	for n := writable; n > 0; n -= piece {
		c.Writable = append(c.Writable, make([]byte, min(n, piece)))
	}
	return c
}

func TestParse(t *testing.T) {
	many := make([][3]uint64, maxRanges+1)
	for _, c := range []struct {
		name     string
		readable []byte
		writable int
		readOnly bool
		status   byte
		length   int // of data
		off      int64
		spans    []span
		bad      bool
	}{
		{name: "read", readable: head(typeIn, 3), writable: 1025, length: 1024, off: 1536},
		{name: "read nothing", readable: head(typeIn, 3), writable: 1, off: 1536},
		{name: "read no whole sector", readable: head(typeIn, 0), writable: 1024, status: statusIOErr, length: 1023},
		{name: "read far away", readable: head(typeIn, math.MaxUint64), writable: 513, status: statusIOErr, length: 512},
		{name: "read where bytes overflow", readable: head(typeIn, math.MaxInt64/512+1), writable: 513, status: statusIOErr, length: 512},
		{name: "read at the last byte", readable: head(typeIn, math.MaxInt64/512), writable: 513, length: 512, off: math.MaxInt64 / 512 * 512},
		{name: "write", readable: append(head(typeOut, 1), make([]byte, 512)...), writable: 1, length: 512, off: 512},
		{name: "write with room", readable: append(head(typeOut, 1), make([]byte, 512)...), writable: 77, length: 512, off: 512},
		{name: "write to a read-only disk", readable: append(head(typeOut, 1), make([]byte, 512)...), writable: 1, readOnly: true, length: 512, status: statusIOErr},
		{name: "flush", readable: head(typeFlush, 9), writable: 1},
		{name: "serial number", readable: head(typeGetID, 0), writable: 21, length: 20},
		{name: "discard", readable: ranged(typeDiscard, [3]uint64{8, 16}), writable: 1, length: 16, spans: []span{{4096, 8192, 0}}},
		{name: "zeroes", readable: ranged(typeWriteZeroes, [3]uint64{8, 16, 1}, [3]uint64{1, 2}), writable: 1, length: 32, spans: []span{{4096, 8192, 1}, {512, 1024, 0}}},
		{name: "discard without range", readable: ranged(typeDiscard), writable: 1, status: statusIOErr},
		{name: "half a range", readable: ranged(typeDiscard, [3]uint64{8, 16})[:24], writable: 1, length: 8, status: statusIOErr},
		{name: "too many ranges", readable: ranged(typeDiscard, many...), writable: 1, length: 16 * len(many), status: statusIOErr},
		{name: "too long a range", readable: ranged(typeDiscard, [3]uint64{0, maxRangeSectors + 1}), writable: 1, length: 16, status: statusIOErr},
		{name: "a range far away", readable: ranged(typeWriteZeroes, [3]uint64{math.MaxUint64, 1}), writable: 1, length: 16, status: statusIOErr},
		{name: "discard with unmap", readable: ranged(typeDiscard, [3]uint64{0, 1, 1}), writable: 1, length: 16, status: statusUnsupp},
		{name: "zeroes with unknown flags", readable: ranged(typeWriteZeroes, [3]uint64{0, 1, 2}), writable: 1, length: 16, status: statusUnsupp},
		{name: "discard of a read-only disk", readable: ranged(typeDiscard, [3]uint64{0, 1}), writable: 1, readOnly: true, length: 16, status: statusIOErr},
		{name: "SCSI command", readable: head(2, 0), writable: 1, status: statusUnsupp},
		{name: "secure erase", readable: head(14, 0), writable: 1, status: statusUnsupp},
		{name: "unknown", readable: head(math.MaxUint32, 0), writable: 1, status: statusUnsupp},
		{name: "no status", readable: head(typeFlush, 0), bad: true},
		{name: "half a header", readable: head(typeFlush, 0)[:15], writable: 1, bad: true},
		{name: "nothing to read", writable: 513, bad: true},
	} {
		for _, piece := range []int{1, 7, 16, 4096} {
			var r request
			ch := chain(c.readable, c.writable, piece)
			status, err := r.parse(ch, c.readOnly)
			if c.bad {
				if err == nil {
					t.Errorf("%s: taken", c.name)
				}
				continue
			}
			if err != nil || status != c.status || r.length != c.length || status == statusOK && r.off != c.off {
				t.Errorf("%s in pieces of %d: status %d, %d bytes at %d, %v", c.name, piece, status, r.length, r.off, err)
			}
			if status == statusOK && len(r.spans) != len(c.spans) {
				t.Errorf("%s: %v", c.name, r.spans)
			}
			for i := range r.spans {
				if status == statusOK && r.spans[i] != c.spans[i] {
					t.Errorf("%s: %v", c.name, r.spans)
				}
			}
			checkRequest(t, &r, ch)
		}
	}
}

// checkRequest looks whether data and status lie where they must.
func checkRequest(t *testing.T, r *request, c *virtqueue.Chain) {
	t.Helper()
	n := 0
	for _, b := range r.data {
		n += len(b)
	}
	if n != r.length {
		t.Fatalf("%d bytes of data in place of %d", n, r.length)
	}
	last := c.Writable[len(c.Writable)-1]
	if len(r.status) != 1 || &r.status[0] != &last[len(last)-1] {
		t.Fatal("the status is not the last byte")
	}
	for _, b := range r.data {
		for i := range b {
			b[i] = 0xee
		}
	}
	last[len(last)-1] = 0x11
	want := c.WriteLen - 1
	all := bytes.Join(c.Writable, nil)
	if r.kind != typeIn && r.kind != typeGetID {
		want = 0
		if got := bytes.Count(bytes.Join(c.Readable, nil)[headLen:], []byte{0xee}); got != r.length {
			t.Fatalf("%d bytes are data that is read, of %d", got, r.length)
		}
	}
	if got := bytes.Count(all[:c.WriteLen-1], []byte{0xee}); got < want || r.status[0] != 0x11 {
		t.Fatalf("%d bytes are data that is written, of %d; the status is %#x", got, want, r.status[0])
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(head(typeIn, 3), 513, 16, false)
	f.Add(append(head(typeOut, 3), make([]byte, 512)...), 1, 100, false)
	f.Add(ranged(typeDiscard, [3]uint64{1, 2}, [3]uint64{3, 4}), 1, 5, false)
	f.Add(ranged(typeWriteZeroes, [3]uint64{1, 2, 1}), 1, 5, true)
	f.Fuzz(func(t *testing.T, readable []byte, writable, piece int, readOnly bool) {
		c := chain(readable, int(uint(writable)%5000), int(uint(piece)%600)+1)
		var r request
		status, err := r.parse(c, readOnly)
		if (err != nil) != (len(readable) < headLen || c.WriteLen == 0) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		if status == statusOK {
			switch {
			case readOnly && (r.kind == typeOut || r.kind == typeDiscard || r.kind == typeWriteZeroes):
				t.Fatal("a write to a read-only disk")
			case r.off < 0 || r.off%sectorSize != 0:
				t.Fatalf("at byte %d", r.off)
			}
			for _, s := range r.spans {
				if s.off < 0 || s.length < 0 || s.length > maxRangeSectors*sectorSize {
					t.Fatalf("%+v", s)
				}
			}
		}
		checkRequest(t, &r, c)
	})
}

// TestSpace: what is encoded is decoded.
func TestSpace(t *testing.T) {
	s := space{1 << 40, 2, 3, 512, 3, 8, 8, true, 5, 6, 7, 8, 9, 10, true}
	p := s.encode()
	if got := decodeSpace(p); got != s {
		t.Errorf("%+v, want %+v", got, s)
	}
	if len(p) != spaceLen || p[32] != 1 || p[34] != 5 || p[56] != 1 || p[24] != 3 {
		t.Errorf("% x", p)
	}
}
