package netlink

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// A message is a netlink request on its way to the kernel: header, then the
// fixed part of its type, then attributes, all in the machine's byte order
// (RFC 3549 section 2.2) and padded to 4 bytes.
type message []byte

// newMessage starts a request that the kernel is to acknowledge.
func newMessage(kind, flags uint16) message {
	m := make(message, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	return m
}

// link appends a struct ifinfomsg: the bits of change take the values in flags.
func (m message) link(index int, flags, change uint32) message {
	return append(m, unix.AF_UNSPEC, 0, 0, 0).uint32(uint32(index)).uint32(flags).uint32(change)
}

func (m message) uint32(v uint32) message { return binary.NativeEndian.AppendUint32(m, v) }

// attr appends an attribute.
func (m message) attr(kind uint16, value []byte) message {
	return message(Attributes(m).Bytes(kind, value))
}

func (m message) attrString(kind uint16, s string) message {
	return message(Attributes(m).String(kind, s))
}

func (m message) attrUint32(kind uint16, v uint32) message {
	return message(Attributes(m).Uint32(kind, v))
}

// nest appends an attribute made of what fill appends.
func (m message) nest(kind uint16, fill func(message) message) message {
	return message(Attributes(m).nest(kind, func(a Attributes) Attributes { return Attributes(fill(message(a))) }))
}

// seal puts in the length and the sequence number.
func (m message) seal(seq uint32) []byte {
	binary.NativeEndian.PutUint32(m[0:], uint32(len(m)))
	binary.NativeEndian.PutUint32(m[8:], seq)
	return m
}

var errAnswer = errors.New("netlink: the kernel's answer cannot be read")

// parseAck reads the answer to the request with number seq. Found is false
// when p answers another one.
func parseAck(p []byte, seq uint32) (found bool, err error) {
	if len(p) < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(p[4:]) != unix.NLMSG_ERROR {
		return false, errAnswer
	}
	if binary.NativeEndian.Uint32(p[8:]) != seq {
		return false, nil
	}
	code := int32(binary.NativeEndian.Uint32(p[unix.SizeofNlMsghdr:]))
	if code != 0 {
		return true, unix.Errno(-code)
	}
	return true, nil
}
