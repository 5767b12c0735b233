package netdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// cut has a decoder cut a stream that comes in pieces of the given lengths, again and
// again.
func cut(text []byte, pieces []byte) (frames [][]byte, err error) {
	d := newDecoder()
	for i := 0; ; i++ {
		for {
			p, ok, err := d.next()
			if err != nil {
				return frames, err
			}
			if !ok {
				break
			}
			frames = append(frames, bytes.Clone(p))
		}
		if len(text) == 0 {
			return frames, nil
		}
		n := len(text)
		if len(pieces) > 0 {
			n = min(n, 1+int(pieces[i%len(pieces)]))
		}
		n = copy(d.space(), text[:n])
		d.added(n)
		text = text[n:]
	}
}

func TestDecoder(t *testing.T) {
	long := bytes.Repeat([]byte("x"), maxFrame)
	var text []byte
	want := [][]byte{[]byte("one"), {}, long, []byte("two"), long, long, []byte("three")}
	for _, p := range want {
		text = appendFrame(text, p)
	}
	text = append(text, 0, 0, 0, 9, 'r') // the rest is to come
	for _, pieces := range [][]byte{nil, {0}, {99}, {3, 200, 1}} {
		got, err := cut(text, pieces)
		if err != nil || len(got) != len(want) {
			t.Fatalf("pieces %v: %d frames, %v", pieces, len(got), err)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("pieces %v: frame %d is another", pieces, i)
			}
		}
	}
	got, err := cut(append(appendFrame(nil, []byte("good")), 0, 1, 0x10, 1, 1, 2, 3), nil)
	if len(got) != 1 || !errors.Is(err, ErrFrame) {
		t.Errorf("a frame of maxFrame and 1: %q, %v", got, err)
	}
}

// FuzzDecoder: whatever comes, and in whatever pieces, frames are those that stand in
// the stream.
func FuzzDecoder(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, []byte("frame")), nil), []byte{0, 5})
	f.Add([]byte{0, 1, 0x10, 0, 1}, []byte{7})
	f.Add([]byte{255, 255, 255, 255}, []byte{})
	f.Fuzz(func(t *testing.T, text, pieces []byte) {
		got, err := cut(text, pieces)
		rest := text
		for i, p := range got {
			n := int(binary.BigEndian.Uint32(rest))
			if n != len(p) || !bytes.Equal(rest[prefixLen:][:n], p) {
				t.Fatalf("frame %d is another", i)
			}
			rest = rest[prefixLen+n:]
		}
		whole := len(rest) >= prefixLen && uint64(len(rest)-prefixLen) >= uint64(binary.BigEndian.Uint32(rest))
		tooLong := len(rest) >= prefixLen && binary.BigEndian.Uint32(rest) > maxFrame
		if tooLong != (err != nil) || whole && !tooLong {
			t.Fatalf("%d bytes are left, and %v", len(rest), err)
		}
	})
}
