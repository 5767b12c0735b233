package netlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAttributes writes attributes byte by byte, and reads them.
func TestAttributes(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the table is of a little-endian machine")
	}
	a := Attributes(nil).Bytes(1, []byte{0xaa}).Uint32(2, 0x01020304).Uint64(3, 5).String(4, "nbd").
		Nest(7, func(a Attributes) Attributes {
			return a.Nest(1, func(a Attributes) Attributes { return a.Uint32(1, 9) })
		})
	want := []byte{
		5, 0, 1, 0, 0xaa, 0, 0, 0,
		8, 0, 2, 0, 4, 3, 2, 1,
		12, 0, 3, 0, 5, 0, 0, 0, 0, 0, 0, 0,
		8, 0, 4, 0, 'n', 'b', 'd', 0,
		16, 0, 7, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 9, 0, 0, 0,
	}
	if !bytes.Equal(a, want) {
		t.Fatalf("% x, want % x", a, want)
	}
	if v, ok := a.GetUint32(2); !ok || v != 0x01020304 {
		t.Errorf("%x, %v", v, ok)
	}
	nested, _ := a.Get(7)
	item, _ := nested.Get(1)
	if v, ok := item.GetUint32(1); !ok || v != 9 {
		t.Errorf("nested: %x, %v", v, ok)
	}
	if _, ok := a.GetUint32(1); ok {
		t.Error("one byte is a number of 32 bits")
	}
	for _, broken := range []Attributes{{3, 0, 2, 0}, {9, 0, 2, 0, 1, 2, 3, 4}, {8, 0, 2}, {0, 0, 0, 0}} {
		if _, ok := broken.Get(2); ok {
			t.Errorf("% x has an attribute", broken)
		}
	}
}

// TestGenericController asks the kernel for its controller itself, and for a family that
// it has not.
func TestGenericController(t *testing.T) {
	g, err := DialGeneric("nlctrl")
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if g.family.id != unix.GENL_ID_CTRL || g.family.groups["notify"] == 0 {
		t.Errorf("%+v", g.family)
	}
	e, err := g.Listen("notify")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- e.Next(func(uint8, Attributes) {}) }()
	e.Close()
	if err := <-ended; err == nil {
		t.Error("Close does not end Next")
	}
	if _, _, err := g.Do(unix.CTRL_CMD_GETFAMILY, 1, nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("no name: %v", err)
	}
	if _, err := g.Listen("none"); err == nil {
		t.Error("a group that is not there")
	}
	if _, err := DialGeneric("no such family"); !errors.Is(err, ErrNoFamily) {
		t.Error(err)
	}
}

// FuzzGeneric reads datagrams as if the kernel had sent them.
func FuzzGeneric(f *testing.F) {
	groups := Attributes(nil).Bytes(unix.CTRL_ATTR_FAMILY_ID, []byte{30, 0}).Nest(unix.CTRL_ATTR_MCAST_GROUPS, func(a Attributes) Attributes {
		return a.Nest(1, func(a Attributes) Attributes {
			return a.Uint32(unix.CTRL_ATTR_MCAST_GRP_ID, 7).String(unix.CTRL_ATTR_MCAST_GRP_NAME, "group")
		})
	})
	f.Add(append(append(newMessage(16, 0), 1, 2, 0, 0), groups...).seal(1))
	f.Add(bytes.Repeat(ack(unix.NLMSG_ERROR, 5, unix.EPERM), 3))
	f.Fuzz(func(t *testing.T, p []byte) {
		n := 0
		for m := range messages(p) {
			n += len(m)
			parseAck(m, 5)
			if _, a, ok := parseGeneric(m); ok {
				if f, err := parseFamily(a); err == nil && len(f.groups) > len(p) {
					t.Errorf("%d groups", len(f.groups))
				}
			}
		}
		if n > len(p) {
			t.Errorf("%d bytes of %d", n, len(p))
		}
	})
}
