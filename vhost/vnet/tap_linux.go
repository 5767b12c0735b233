package vnet

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/kernel"
	"github.com/seed-012105e5/gonet/vhost/memory"
)

// OpenTap returns a link over a tap of this machine, whose frames the kernel itself
// brings to rings and takes from there (/dev/vhost-net): no frame costs a system call.
// The name of a tap that is not there yet is given to a new one; an empty name has the
// kernel choose it, as Link.Name tells. The other end of the tap is set up as that of
// package tap. Closing Tx ends the link; a tap that somebody deletes does not.
func OpenTap(name string, cfg Config) (link.Link, error) {
	net, err := kernel.OpenNet()
	if err != nil {
		return link.Link{}, err
	}
	d := &tapDevice{Net: net, offload: !cfg.NoOffload}
	if err := d.openTap(name); err != nil {
		d.Close()
		return link.Link{}, err
	}
	cfg.Name = d.name
	return drive(d, cfg)
}

// A tapDevice is a device of the kernel's at a tap.
type tapDevice struct {
	kernel.Net
	tap     int // or -1
	name    string
	offload bool
}

// openTap opens the tap, with headers as virtio-net of version 1 has them.
func (d *tapDevice) openTap(name string) (err error) {
	d.tap = -1
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if d.tap, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		return &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(d.tap, unix.TUNSETIFF, request); err != nil {
		return os.NewSyscallError("TUNSETIFF", err)
	}
	d.name = request.Name()
	if err := unix.IoctlSetPointerInt(d.tap, unix.TUNSETVNETHDRSZ, headerLen); err != nil {
		return os.NewSyscallError("TUNSETVNETHDRSZ", err)
	}
	if err := unix.IoctlSetPointerInt(d.tap, unix.TUNSETVNETLE, 1); err != nil {
		return os.NewSyscallError("TUNSETVNETLE", err)
	}
	offloads := 0
	if d.offload {
		offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO_ECN
	}
	return os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(d.tap, unix.TUNSETOFFLOAD, offloads))
}

// negotiate takes features of rings from the kernel, and those of virtio-net, which
// are the tap's, as openTap has set them.
func (d *tapDevice) negotiate(features uint64) (uint64, error) {
	const ofTap = featureCsum | featureGuestCsum | featureGuestTSO4 | featureHostTSO4 | featureGuestECN | featureHostECN
	err := d.Negotiate(features&^ofTap, needed)
	return d.Features | features&ofTap, err
}

func (d *tapDevice) share(t *memory.Table, _ int) error { return d.SetMemory(t) }

// StartRing has the ring run.
func (d *tapDevice) StartRing(i int, c vhost.RingConfig) error {
	if err := d.Net.StartRing(i, c); err != nil {
		return err
	}
	return d.SetTap(i, d.tap)
}

func (d *tapDevice) Close() error {
	err := d.Net.Close()
	if d.tap >= 0 {
		err = errors.Join(err, unix.Close(d.tap))
		d.tap = -1
	}
	return err
}
