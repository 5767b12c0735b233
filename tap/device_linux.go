package tap

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/virtionet"
)

const node = "/dev/net/tun"

// A device is an open tap.
type device struct {
	files []*os.File // one for each queue
	name  string
	ip    bool // it is a tun
	vnet  bool // frames have a virtio-net header
	stays bool // it was there before, and outlives its files
}

func (d *device) close() {
	for _, f := range d.files {
		f.Close()
	}
}

// openDevice makes the tap of this name with so many queues, or attaches to it.
// One that is there has as many only if it was made for several.
func openDevice(name string, ip, offload bool, queues int) (*device, error) {
	d := &device{name: name, ip: ip}
	_, err := net.InterfaceByName(name)
	d.stays = err == nil // nobody else holds it, so it can only be persistent
	mode, err := d.mode(offload, queues > 1)
	if err != nil {
		return nil, err
	}
	if mode&unix.IFF_MULTI_QUEUE == 0 {
		queues = 1
	}
	for len(d.files) < queues {
		if err := d.addQueue(mode); err != nil {
			d.close()
			return nil, explainAttach(name, d.stays, err)
		}
		mode &^= unix.IFF_TUN_EXCL // from now on it is there
	}
	return d, nil
}

// mode is how the device is to be attached to: the flags of TUNSETIFF.
func (d *device) mode(offload, several bool) (flags uint16, err error) {
	features, err := deviceFeatures()
	if err != nil {
		return 0, err
	}
	d.vnet = offload && features&unix.IFF_VNET_HDR != 0
	if d.vnet {
		flags |= unix.IFF_VNET_HDR
	}
	if !d.stays {
		if several {
			flags |= unix.IFF_MULTI_QUEUE
		}
		return flags | unix.IFF_TUN_EXCL, nil
	}
	there, err := netlink.TapQueues(d.name)
	if err != nil {
		return 0, fmt.Errorf("tap: %s: %w", d.name, err)
	}
	if there.Several {
		flags |= unix.IFF_MULTI_QUEUE
		if there.Held > 0 { // the kernel would let us in beside them
			return 0, explainAttach(d.name, true, unix.EBUSY)
		}
	}
	return flags, nil
}

func openNode() (fd int, err error) {
	fd, err = unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, explainNode(err)
	}
	return fd, nil
}

// deviceFeatures are the flags of TUNSETIFF that this kernel knows.
func deviceFeatures() (flags uint32, err error) {
	fd, err := openNode()
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	flags, err = unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	return flags, os.NewSyscallError("TUNGETFEATURES", err)
}

// addQueue attaches one more file to the device; the first one makes it, if
// need be, and learns its name.
func (d *device) addQueue(mode uint16) error {
	fd, err := openNode()
	if err != nil {
		return err
	}
	if !d.vnet && len(d.files) == 0 {
		return d.openPlain(fd, mode)
	}
	d.name, err = d.attach(fd, mode)
	if err == nil && d.vnet {
		err = setOffload(fd)
	}
	if err == nil && len(d.files) > 0 {
		err = attachQueue(fd, false) // until it is wanted
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	// NewFile gives fd to the poller, for which it is in error until attached.
	d.files = append(d.files, os.NewFile(uintptr(fd), node))
	return nil
}

// attach ties fd to the device, and returns the name of that.
func (d *device) attach(fd int, mode uint16) (string, error) {
	request, err := unix.NewIfreq(d.name)
	if err != nil {
		return d.name, err
	}
	kind := uint16(unix.IFF_TAP)
	if d.ip {
		kind = unix.IFF_TUN
	}
	request.SetUint16(kind | unix.IFF_NO_PI | mode)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return d.name, os.NewSyscallError("TUNSETIFF", err)
	}
	return request.Name(), nil
}

// attachQueue has the kernel use the queue of fd, which is that of a tap for
// several, or leave it alone.
func attachQueue(fd int, on bool) error {
	request, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_DETACH_QUEUE)
	if on {
		request.SetUint16(unix.IFF_ATTACH_QUEUE)
	}
	return os.NewSyscallError("TUNSETQUEUE", unix.IoctlIfreq(fd, unix.TUNSETQUEUE, request))
}

// setOffload has the kernel leave TCP trains uncut and checksums undone, and
// say so in virtio-net headers.
func setOffload(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, virtionet.Len); err != nil {
		return os.NewSyscallError("TUNSETVNETHDRSZ", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETLE, 1); err != nil {
		return os.NewSyscallError("TUNSETVNETLE", err)
	}
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO_ECN
	return os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads))
}

// openPlain makes the first queue of a tap without virtio-net headers. It
// closes fd, with which it first asks whether the device can be had: when it
// cannot, water loses a descriptor.
func (d *device) openPlain(fd int, mode uint16) error {
	var err error
	if d.stays {
		_, err = d.attach(fd, mode)
	} else {
		err = mayMake()
	}
	unix.Close(fd)
	if err != nil {
		return err
	}
	config := water.Config{DeviceType: water.TAP}
	if d.ip {
		config.DeviceType = water.TUN
	}
	config.Name, config.MultiQueue = d.name, mode&unix.IFF_MULTI_QUEUE != 0
	config.Persist = d.stays // water would make it vanish at close

	syscall.ForkLock.RLock() // until the descriptor is closed at exec, as water leaves it open
	defer syscall.ForkLock.RUnlock()
	tap, err := water.New(config)
	if err != nil {
		return err
	}
	file := tap.ReadWriteCloser.(*os.File)
	err = control(file, func(fd int) error {
		unix.CloseOnExec(fd)
		return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0) // of an earlier holder
	})
	if err != nil {
		file.Close()
		return os.NewSyscallError("TUNSETOFFLOAD", err)
	}
	d.name, d.files = tap.Name(), append(d.files, file)
	return nil
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
