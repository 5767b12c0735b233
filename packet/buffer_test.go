package packet

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

// panics says whether f does.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestHeaders(t *testing.T) {
	b := From([]byte("payload"))
	defer b.Release()
	copy(b.Push(4), "tcp ")
	copy(b.Push(3), "ip ")
	if got := string(b.Bytes()); got != "ip tcp payload" || b.Len() != len(got) {
		t.Fatalf("pushed %q, length %d", got, b.Len())
	}
	b.MarkNetwork()
	copy(b.Push(6), "ether ")
	if got := string(b.Pull(6)); got != "ether " {
		t.Errorf("pulled %q", got)
	}
	if got := string(b.Pull(3)); got != "ip " {
		t.Errorf("pulled %q", got)
	}
	if got := string(b.Pull(4)); got != "tcp " {
		t.Errorf("pulled %q", got)
	}
	if string(b.Bytes()) != "payload" || string(b.Network()) != "ip tcp payload" {
		t.Errorf("%q left, network %q", b.Bytes(), b.Network())
	}
	b.Trim(3)
	if string(b.Bytes()) != "pay" || string(b.Network()) != "ip tcp pay" {
		t.Errorf("%q left, network %q", b.Bytes(), b.Network())
	}
	b.PullBack()
	if string(b.Bytes()) != "ip tcp pay" {
		t.Errorf("pulled back to %q", b.Bytes())
	}
}

func TestExtendAppend(t *testing.T) {
	b := Get(10)
	defer b.Release()
	copy(b.Extend(3), "abc")
	if n := b.Append([]byte("def")); n != 3 || string(b.Bytes()) != "abcdef" {
		t.Errorf("appended %d: %q", n, b.Bytes())
	}
	room := b.Room()
	if n := b.Append(make([]byte, room+1)); n != room || b.Room() != 0 || b.Len() != 6+room {
		t.Errorf("appended %d of %d with room for %d; length %d, room %d", n, room+1, room, b.Len(), b.Room())
	}
	if n := b.Append([]byte("x")); n != 0 {
		t.Errorf("appended %d without room", n)
	}
}

// TestBounds: what does not fit panics, and what just fits does not.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		max  func(*Buffer) int // the largest n that fits
		call func(b *Buffer, n int)
	}{
		{"Pull", (*Buffer).Len, func(b *Buffer, n int) { b.Pull(n) }},
		{"Push", func(*Buffer) int { return Headroom }, func(b *Buffer, n int) { b.Push(n) }},
		{"Trim", (*Buffer).Len, (*Buffer).Trim},
		{"Extend", (*Buffer).Room, func(b *Buffer, n int) { b.Extend(n) }},
	} {
		b := From(make([]byte, 20))
		if n := c.max(b) + 1; !panics(func() { c.call(b, n) }) {
			t.Errorf("%s(%d) goes through", c.name, n)
		}
		if n := c.max(b); panics(func() { c.call(b, n) }) {
			t.Errorf("%s(%d) panics", c.name, n)
		}
		b.Release()
	}
	b := From(make([]byte, 20))
	defer b.Release()
	if !panics(func() { b.Trim(-1) }) {
		t.Error("Trim(-1) goes through")
	}
}

// TestClone: a clone has the same bytes and marks, in memory of its own.
func TestClone(t *testing.T) {
	b := From([]byte("transport"))
	defer b.Release()
	b.Arrived = time.Unix(1, 2)
	b.Link, b.Group, b.SegmentSize = 3, true, 1460
	b.NextHop = netip.MustParseAddr("10.0.0.1")
	copy(b.Push(3), "ip ")
	b.MarkNetwork()
	b.SetPartial(3, 2)
	b.Pull(3)

	c := b.Clone()
	defer c.Release()
	if c.Arrived != b.Arrived || c.Link != 3 || !c.Group || c.SegmentSize != 1460 || c.NextHop != b.NextHop || c.Checksum != ChecksumPartial {
		t.Errorf("the marks of the clone are %+v", c)
	}
	if start, offset := c.Partial(); start != 0 || offset != 2 {
		t.Errorf("the clone's checksum starts at %d, its field is at %d", start, offset)
	}
	if string(c.Bytes()) != "transport" || string(c.Network()) != "ip transport" {
		t.Errorf("the clone has %q, network %q", c.Bytes(), c.Network())
	}
	c.Bytes()[0] = 'T'
	c.Network()[0] = 'I'
	if string(b.Network()) != "ip transport" {
		t.Errorf("a write to the clone made %q", b.Network())
	}
}

// TestCloneSizes: a clone is made of any size, and takes no more memory than
// the packet needs.
func TestCloneSizes(t *testing.T) {
	for _, size := range []int{0, 1, sizes[0] - Headroom, sizes[0] - Headroom + 1, 1514, 9000, MaxSize} {
		b := Get(MaxSize)
		b.Extend(size)
		for i := range b.Bytes() {
			b.Bytes()[i] = byte(i)
		}
		c := b.Clone()
		if !bytes.Equal(b.Bytes(), c.Bytes()) || c.Size() != sizes[classOf(size+Headroom)] {
			t.Errorf("a clone of %d bytes has %d, and pins %d", size, c.Len(), c.Size())
		}
		b.Release()
		c.Release()
	}
}

// TestOwnership: builds that check notice a packet used by who does not own it.
func TestOwnership(t *testing.T) {
	if !Checked {
		t.Skip("needs -race or -tags packetcheck")
	}
	released := func() *Buffer {
		// Not from a pool and not put back, so that no other owner revives it.
		b := &Buffer{mem: make([]byte, sizes[0]), front: Headroom, end: Headroom}
		b.check.get()
		b.check.release(b.mem)
		return b
	}
	for name, use := range map[string]func(*Buffer){
		"Pull":    func(b *Buffer) { b.Pull(0) },
		"Push":    func(b *Buffer) { b.Push(1) },
		"Extend":  func(b *Buffer) { b.Extend(1) },
		"Append":  func(b *Buffer) { b.Append([]byte{1}) },
		"Trim":    func(b *Buffer) { b.Trim(0) },
		"Clone":   func(b *Buffer) { b.Clone() },
		"Release": func(b *Buffer) { b.Release() },
	} {
		if !panics(func() { use(released()) }) {
			t.Errorf("%s after Release goes through", name)
		}
	}
	if b := released(); b.mem[0] != 0xdb || b.mem[len(b.mem)-1] != 0xdb {
		t.Error("released memory is not poisoned")
	}
}

func TestLive(t *testing.T) {
	if !Checked {
		t.Skip("needs -race or -tags packetcheck")
	}
	start := Live()
	a := Get(1)
	b := a.Clone()
	if n := Live() - start; n != 2 {
		t.Errorf("%d live, want 2", n)
	}
	a.Release()
	b.Release()
	if n := Live() - start; n != 0 {
		t.Errorf("%d live, want none", n)
	}
}
