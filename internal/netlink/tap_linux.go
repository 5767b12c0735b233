package netlink

import (
	"encoding/binary"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Queues says what the kernel tells of the queues of a tap. The zero value is
// also that of an interface which is no tap, and of a kernel before 4.16, which
// does not tell.
type Queues struct {
	Several bool // it was made for more than one
	Held    int  // how many there are, if it was: attached by a program's file, used or not
}

// TapQueues asks about a tap in the network namespace of the calling thread.
func TapQueues(name string) (Queues, error) {
	all, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return Queues{}, os.NewSyscallError("netlink rib", err)
	}
	links, err := syscall.ParseNetlinkMessage(all)
	if err != nil {
		return Queues{}, os.NewSyscallError("netlink rib", err)
	}
	for _, l := range links {
		if l.Header.Type != unix.RTM_NEWLINK || len(l.Data) < unix.SizeofIfInfomsg {
			continue
		}
		if found, q := tapQueues(l.Data[unix.SizeofIfInfomsg:], name); found {
			return q, nil
		}
	}
	return Queues{}, nil
}

// Attributes of IFLA_INFO_DATA of an interface of kind tun (linux/if_link.h).
const (
	tunMultiQueue        = 7
	tunNumQueues         = 8
	tunNumDisabledQueues = 9
)

// tapQueues reads the attributes of an interface. Found is false when it has
// another name.
func tapQueues(link []byte, name string) (found bool, q Queues) {
	var info []byte
	for kind, value := range Attributes(link).All() {
		switch kind {
		case unix.IFLA_IFNAME:
			found = unix.ByteSliceToString(value) == name
		case unix.IFLA_LINKINFO:
			info = value
		}
	}
	isTun, data := false, []byte(nil)
	for kind, value := range Attributes(info).All() {
		switch kind {
		case unix.IFLA_INFO_KIND:
			isTun = unix.ByteSliceToString(value) == "tun"
		case unix.IFLA_INFO_DATA:
			data = value
		}
	}
	if !found || !isTun {
		return found, Queues{}
	}
	for kind, value := range Attributes(data).All() {
		switch {
		case kind == tunMultiQueue && len(value) >= 1:
			q.Several = value[0] != 0
		case (kind == tunNumQueues || kind == tunNumDisabledQueues) && len(value) >= 4:
			q.Held += int(binary.NativeEndian.Uint32(value))
		}
	}
	return true, q
}
