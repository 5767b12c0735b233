package memory

import (
	"bytes"
	"testing"
)

func TestWords(t *testing.T) {
	b := make([]byte, 64)
	Store64(b, 8, 0x0102030405060708)
	Store32(b, 16, 0x0a0b0c0d)
	Store16(b, 20, 0x1122)
	Store16(b, 22, 0x3344)
	Or32(b, 24, 0x80000001)
	Or32(b, 24, 0x2)
	want := []byte{8, 7, 6, 5, 4, 3, 2, 1, 0xd, 0xc, 0xb, 0xa, 0x22, 0x11, 0x44, 0x33, 3, 0, 0, 0x80}
	if !bytes.Equal(b[8:28], want) {
		t.Errorf("%x, want %x", b[8:28], want)
	}
	if Load64(b, 8) != 0x0102030405060708 || Load32(b, 16) != 0x0a0b0c0d || Load16(b, 20) != 0x1122 || Load16(b, 22) != 0x3344 {
		t.Error("what was stored is not loaded")
	}
	for name, f := range map[string]func(){
		"Load32": func() { Load32(b, 61) }, "Store32": func() { Store32(b, 64, 1) }, "Load64": func() { Load64(b, 60) },
		"Store64": func() { Store64(b, -8, 1) }, "Load16": func() { Load16(b, 63) }, "Store16": func() { Store16(b, 64, 0) }, "Or32": func() { Or32(b, 64, 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s beyond the end", name)
				}
			}()
			f()
		}()
	}
}

func TestLog(t *testing.T) {
	bits := make([]byte, 8)
	l, err := NewLog(bits)
	if err != nil {
		t.Fatal(err)
	}
	l.Mark(0, 1)
	l.Mark(0x2fff, 2)         // the end of one page, the start of the next
	l.Mark(33*LogPage, 0x800) // in the second word
	l.Mark(63*LogPage, 1<<40) // beyond the end
	l.Mark(1<<60, 1)
	l.Mark(^uint64(0), 2)
	l.Mark(5*LogPage, 0)
	if want := []byte{0b1101, 0, 0, 0, 0b10, 0, 0, 0x80}; !bytes.Equal(bits, want) {
		t.Errorf("%b, want %b", bits, want)
	}
	if !l.Covers(64*LogPage) || l.Covers(64*LogPage+1) || !l.Covers(0) {
		t.Error("what it covers")
	}
	if _, err := NewLog(bits[1:]); err == nil {
		t.Error("a log that is not aligned")
	}
}
