package tap

import (
	"net"
	"os"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

const node = "/dev/net/tun"

// A device is an open tap.
type device struct {
	file  *os.File
	name  string
	vnet  bool // frames have a virtio-net header
	stays bool // it was there before, and outlives its file
}

// openDevice makes the tap of this name, or attaches to it.
func openDevice(name string, offload bool) (*device, error) {
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, explainNode(err)
	}
	_, err = net.InterfaceByName(name)
	exists := err == nil

	var d *device
	if offload && hasVNet(fd) {
		d, err = openVNet(fd, name)
	} else {
		d, err = openPlain(fd, name, exists)
	}
	if err != nil {
		return nil, explainAttach(name, exists, err)
	}
	d.stays = exists // nobody else holds it, so it can only be persistent
	return d, nil
}

// hasVNet says whether this kernel knows virtio-net headers.
func hasVNet(fd int) bool {
	features, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	return err == nil && features&unix.IFF_VNET_HDR != 0
}

// openVNet makes fd a tap with virtio-net headers, whose kernel leaves TCP
// trains uncut and checksums undone. On error it closes fd.
func openVNet(fd int, name string) (*device, error) {
	name, err := attach(fd, name, unix.IFF_VNET_HDR)
	if err == nil {
		err = os.NewSyscallError("TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen))
	}
	if err == nil {
		err = os.NewSyscallError("TUNSETVNETLE", unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1))
	}
	if err == nil {
		const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO_ECN
		err = os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	// NewFile gives fd to the poller, for which it is in error until attached.
	return &device{file: os.NewFile(uintptr(fd), node), name: name, vnet: true}, nil
}

// attach ties fd to a tap, and returns its name.
func attach(fd int, name string, flags uint16) (string, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return "", os.NewSyscallError("TUNSETIFF", err)
	}
	return request.Name(), nil
}

// openPlain opens a tap without virtio-net headers. It closes fd, with which
// it first asks whether the device can be had: when it cannot, water loses a descriptor.
func openPlain(fd int, name string, exists bool) (*device, error) {
	var err error
	if exists {
		_, err = attach(fd, name, 0)
	} else {
		err = mayMake()
	}
	unix.Close(fd)
	if err != nil {
		return nil, err
	}
	config := water.Config{DeviceType: water.TAP}
	config.Name, config.Persist = name, exists // water would make it vanish at close

	syscall.ForkLock.RLock() // until the descriptor is closed at exec, as water leaves it open
	tap, err := water.New(config)
	if err != nil {
		syscall.ForkLock.RUnlock()
		return nil, err
	}
	file := tap.ReadWriteCloser.(*os.File)
	err = control(file, func(fd int) error {
		unix.CloseOnExec(fd)
		return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0) // of an earlier holder
	})
	syscall.ForkLock.RUnlock()
	if err != nil {
		file.Close()
		return nil, os.NewSyscallError("TUNSETOFFLOAD", err)
	}
	return &device{file: file, name: tap.Name()}, nil
}

// mayMake returns EPERM when this program may not make interfaces in its
// network namespace.
func mayMake() error {
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Permitted()
}

// control calls fn with the descriptor of a file, and leaves the file as it
// is; File.Fd would make it blocking.
func control(f *os.File, fn func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}
