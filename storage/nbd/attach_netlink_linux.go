package nbd

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

// The kernel's family of generic netlink (linux/nbd-netlink.h).
const (
	kernelFamily  = "nbd"
	kernelGroup   = "nbd_mc_group"
	kernelVersion = 1

	kernelConnect     = 1
	kernelDisconnect  = 2
	kernelReconfigure = 3
	kernelLinkDead    = 4
	kernelStatus      = 5

	attrIndex       = 1
	attrSize        = 2 // bytes
	attrBlockSize   = 3 // bytes
	attrTimeout     = 4 // seconds
	attrServerFlags = 5
	attrSockets     = 7
	attrDeadTimeout = 8 // seconds
	attrDevices     = 9
	attrBackend     = 10

	attrSocketItem     = 1
	attrSocketFD       = 1
	attrDeviceItem     = 1
	attrDeviceIndex    = 1
	attrDeviceAttached = 2
)

// anyIndex is that of whichever device is free.
const anyIndex = -1

// never is a timeout, in seconds, for where zero would stand for half a minute.
const never = 24 * 60 * 60

// A connectRequest is what the kernel is told of a device.
type connectRequest struct {
	index   int // or anyIndex
	size    int64
	flags   Flags
	sockets []int
	config  AttachConfig
	owner   string // or empty
}

func (r *connectRequest) attributes() netlink.Attributes {
	var a netlink.Attributes
	if r.index != anyIndex {
		a = a.Uint32(attrIndex, uint32(r.index))
	}
	a = a.Uint64(attrSize, uint64(r.size)).Uint64(attrBlockSize, uint64(r.config.SectorSize))
	a = a.Uint64(attrServerFlags, uint64(r.flags))
	switch {
	case r.config.Timeout > 0:
		a = a.Uint64(attrTimeout, seconds(r.config.Timeout))
	case len(r.sockets) > 1:
		a = a.Uint64(attrTimeout, never)
	}
	a = socketAttributes(a.Uint64(attrDeadTimeout, seconds(r.config.DeadTimeout)), r.sockets...)
	return ownerAttribute(a, r.owner)
}

// ownerAttribute adds the identifier of the backend. What has been attached with one is
// only changed by who knows it.
func ownerAttribute(a netlink.Attributes, owner string) netlink.Attributes {
	if owner == "" {
		return a
	}
	return a.String(attrBackend, owner)
}

// seconds rounds up.
func seconds(d time.Duration) uint64 { return uint64((d + time.Second - 1) / time.Second) }

func socketAttributes(a netlink.Attributes, sockets ...int) netlink.Attributes {
	return a.Nest(attrSockets, func(a netlink.Attributes) netlink.Attributes {
		for _, fd := range sockets {
			a = a.Nest(attrSocketItem, func(a netlink.Attributes) netlink.Attributes {
				return a.Uint32(attrSocketFD, uint32(fd))
			})
		}
		return a
	})
}

// parseStatus says whether the device is attached, by the reply to a question for it.
func parseStatus(a netlink.Attributes, index int) bool {
	devices, _ := a.Get(attrDevices)
	for _, item := range devices.All() {
		i, ok := item.GetUint32(attrDeviceIndex)
		attached, _ := item.Get(attrDeviceAttached)
		if ok && int(i) == index {
			return len(attached) == 1 && attached[0] != 0
		}
	}
	return false
}

// A kernelNBD speaks with the kernel.
type kernelNBD struct {
	g     *netlink.Generic
	owner string // of what it attaches
}

func dialKernel() (kernelNBD, error) {
	g, err := netlink.DialGeneric(kernelFamily)
	if errors.Is(err, netlink.ErrNoFamily) {
		err = errors.New("the kernel has no network block devices: modprobe nbd")
	}
	k := kernelNBD{g: g}
	if this, err := thisOwner(); err == nil {
		k.owner = this.String()
	}
	return k, err
}

func (k kernelNBD) do(command uint8, a netlink.Attributes) (netlink.Attributes, error) {
	_, reply, err := k.g.Do(command, kernelVersion, a)
	return reply, err
}

// connect attaches a device, and returns its index.
func (k kernelNBD) connect(r connectRequest) (int, error) {
	r.owner = k.owner
	reply, err := k.do(kernelConnect, r.attributes())
	if err != nil {
		return 0, os.NewSyscallError("connect", err)
	}
	index, ok := reply.GetUint32(attrIndex)
	if !ok {
		return 0, errors.New("the kernel does not say which device it has taken")
	}
	return int(index), nil
}

func (k kernelNBD) disconnect(index int) error {
	_, err := k.do(kernelDisconnect, netlink.Attributes(nil).Uint32(attrIndex, uint32(index)))
	return os.NewSyscallError("disconnect", err)
}

// reconnect offers the kernel a socket in place of one that is dead. If it has none that
// is dead, it closes the socket, and there is no error.
func (k kernelNBD) reconnect(index, fd int) error {
	a := socketAttributes(netlink.Attributes(nil).Uint32(attrIndex, uint32(index)), fd)
	_, err := k.do(kernelReconfigure, ownerAttribute(a, k.owner))
	return os.NewSyscallError("reconfigure", err)
}

// resize tells the kernel a new size.
func (k kernelNBD) resize(index int, size int64, sector int) error {
	a := netlink.Attributes(nil).Uint32(attrIndex, uint32(index)).
		Uint64(attrSize, uint64(size)).Uint64(attrBlockSize, uint64(sector))
	_, err := k.do(kernelReconfigure, ownerAttribute(a, k.owner))
	return os.NewSyscallError("reconfigure", err)
}

// attached says whether the kernel still has the device.
func (k kernelNBD) attached(index int) (bool, error) {
	reply, err := k.do(kernelStatus, netlink.Attributes(nil).Uint32(attrIndex, uint32(index)))
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) { // the module is gone, or the device
		return false, nil
	}
	return parseStatus(reply, index), os.NewSyscallError("status", err)
}
