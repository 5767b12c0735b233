package netlink

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMessage walks a message with the bounds that its headers give.
func TestMessage(t *testing.T) {
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE).link(7, 1, 3).
		attrString(unix.IFLA_IFNAME, "ab").
		nest(unix.IFLA_LINKINFO, func(m message) message { return m.attrUint32(unix.IFLA_MTU, 1400) }).
		seal(42)
	e := binary.NativeEndian
	if e.Uint32(m) != uint32(len(m)) || e.Uint16(m[4:]) != unix.RTM_NEWLINK || e.Uint32(m[8:]) != 42 {
		t.Errorf("header % x", m[:16])
	}
	if flags := e.Uint16(m[6:]); flags != unix.NLM_F_CREATE|unix.NLM_F_REQUEST|unix.NLM_F_ACK {
		t.Errorf("flags %#x", flags)
	}
	if e.Uint32(m[20:]) != 7 || e.Uint32(m[24:]) != 1 || e.Uint32(m[28:]) != 3 {
		t.Errorf("ifinfomsg % x", m[16:32])
	}
	name, rest := m[32:40], m[40:]
	if e.Uint16(name) != 4+3 || e.Uint16(name[2:]) != unix.IFLA_IFNAME || string(name[4:]) != "ab\x00\x00" {
		t.Errorf("name % x", name)
	}
	if e.Uint16(rest) != 12 || e.Uint16(rest[2:]) != unix.IFLA_LINKINFO {
		t.Errorf("nest % x", rest)
	}
	if e.Uint16(rest[4:]) != 8 || e.Uint16(rest[6:]) != unix.IFLA_MTU || e.Uint32(rest[8:]) != 1400 {
		t.Errorf("inner % x", rest[4:])
	}
}

func ack(kind uint16, seq uint32, errno unix.Errno) []byte {
	m := newMessage(kind, 0)
	return m.uint32(uint32(-int32(errno))).seal(seq)
}

func TestParseAck(t *testing.T) {
	for _, test := range []struct {
		name  string
		p     []byte
		found bool
		err   error
	}{
		{"success", ack(unix.NLMSG_ERROR, 5, 0), true, nil},
		{"error", ack(unix.NLMSG_ERROR, 5, unix.EPERM), true, unix.EPERM},
		{"to another request", ack(unix.NLMSG_ERROR, 4, unix.EPERM), false, nil},
		{"no answer", ack(unix.RTM_NEWLINK, 5, 0), false, errAnswer},
		{"short", ack(unix.NLMSG_ERROR, 5, 0)[:19], false, errAnswer},
		{"empty", nil, false, errAnswer},
	} {
		if found, err := parseAck(test.p, 5); found != test.found || !errors.Is(err, test.err) {
			t.Errorf("%s: %v, %v", test.name, found, err)
		}
	}
}

func FuzzParseAck(f *testing.F) {
	f.Add(ack(unix.NLMSG_ERROR, 5, unix.EPERM), uint32(5))
	f.Fuzz(func(t *testing.T, p []byte, seq uint32) {
		if found, err := parseAck(p, seq); found && len(p) < 20 {
			t.Errorf("found in % x (%v)", p, err)
		}
	})
}
