package netlink

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// Drops is how many frames an interface has dropped since it was made.
type Drops struct {
	Sent     uint64 // that the kernel had to send: of a tap, that nobody has read in time
	Received uint64 // that had come: of a tap, that a program has written
}

// Drops asks how many frames an interface has dropped.
func (c *Conn) Drops(index int) (d Drops, err error) {
	c.seq++
	m := newMessage(unix.RTM_GETLINK, 0).link(index, 0, 0).seal(c.seq)
	if err := unix.Sendto(c.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return d, os.NewSyscallError("sendto", err)
	}
	var answer [16 << 10]byte
	for { // an answer, and then an acknowledgement or an error
		n, _, err := unix.Recvfrom(c.fd, answer[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return d, os.NewSyscallError("recvfrom", err)
		}
		p := answer[:n]
		if len(p) >= unix.SizeofNlMsghdr+unix.SizeofIfInfomsg && binary.NativeEndian.Uint16(p[4:]) == unix.RTM_NEWLINK {
			if binary.NativeEndian.Uint32(p[8:]) == c.seq {
				d = parseDrops(p[unix.SizeofNlMsghdr+unix.SizeofIfInfomsg:])
			}
			continue
		}
		if found, err := parseAck(p, c.seq); found || err != nil {
			return d, wrap("ask for its counters", err)
		}
	}
}

// parseDrops reads the attributes of an interface (linux/if_link.h, struct
// rtnl_link_stats64). Drops of an interface that tells none are zero.
func parseDrops(link []byte) (d Drops) {
	const received, sent, end = 6 * 8, 7 * 8, 8 * 8
	for kind, value := range Attributes(link).All() {
		if kind == unix.IFLA_STATS64 && len(value) >= end {
			d.Received = binary.NativeEndian.Uint64(value[received:])
			d.Sent = binary.NativeEndian.Uint64(value[sent:])
		}
	}
	return d
}
