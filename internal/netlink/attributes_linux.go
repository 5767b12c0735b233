package netlink

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// Attributes are a sequence of netlink attributes (RFC 3549 section 2.2): each has a
// length of two bytes, which counts its header, a kind of two, and a value, padded to
// four bytes, all in the machine's byte order. Methods that append return the whole.
type Attributes []byte

// Bytes appends an attribute.
func (a Attributes) Bytes(kind uint16, value []byte) Attributes {
	a = binary.NativeEndian.AppendUint16(a, uint16(unix.SizeofRtAttr+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	return a
}

// String appends a string with a zero byte behind it.
func (a Attributes) String(kind uint16, s string) Attributes {
	return a.Bytes(kind, append([]byte(s), 0))
}

// Uint32 appends a number.
func (a Attributes) Uint32(kind uint16, v uint32) Attributes {
	return a.Bytes(kind, binary.NativeEndian.AppendUint32(nil, v))
}

// Uint64 appends a number.
func (a Attributes) Uint64(kind uint16, v uint64) Attributes {
	return a.Bytes(kind, binary.NativeEndian.AppendUint64(nil, v))
}

// Nest appends an attribute made of what fill appends, with the flag that says so.
func (a Attributes) Nest(kind uint16, fill func(Attributes) Attributes) Attributes {
	return a.nest(kind|unix.NLA_F_NESTED, fill)
}

func (a Attributes) nest(kind uint16, fill func(Attributes) Attributes) Attributes {
	start := len(a)
	a = fill(a.Bytes(kind, nil))
	binary.NativeEndian.PutUint16(a[start:], uint16(len(a)-start))
	return a
}

// All yields kinds, without flags, and values, up to the end or to the first that has
// an impossible length.
func (a Attributes) All() iter.Seq2[uint16, Attributes] {
	return func(yield func(uint16, Attributes) bool) {
		for len(a) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(a))
			kind := binary.NativeEndian.Uint16(a[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if n < unix.SizeofRtAttr || n > len(a) || !yield(kind, a[unix.SizeofRtAttr:n:n]) {
				return
			}
			a = a[min((n+3)&^3, len(a)):]
		}
	}
}

// Get returns the value of the first attribute of a kind.
func (a Attributes) Get(kind uint16) (value Attributes, ok bool) {
	for k, v := range a.All() {
		if k == kind {
			return v, true
		}
	}
	return nil, false
}

// GetUint32 is Get of a number of 32 bits.
func (a Attributes) GetUint32(kind uint16) (v uint32, ok bool) {
	b, ok := a.Get(kind)
	if !ok || len(b) != 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(b), true
}
