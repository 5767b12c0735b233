package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A Device is what all devices of the kernel's have. It has one owner.
type Device struct {
	// Features are those that were negotiated; BackendFeatures are those of the
	// kernel's side (Backend...), of which all are taken that this package knows.
	Features, BackendFeatures uint64

	file  *os.File
	fd    int
	args  []byte // where the arguments of ioctls lie: their addresses are told the kernel
	table *memory.Table
	iova  bool // rings have addresses of the guest's
}

// Features of the kernel's side (VHOST_BACKEND_F_...).
const (
	BackendIOTLBv2    = 1 << 1 // entries of the translation of addresses, by IOTLB
	BackendIOTLBBatch = 1 << 2 // several of them at once
	BackendIOTLBASID  = 1 << 3 // of several address spaces
)

// An ioctl is the number of one (linux/vhost.h); its direction and length are part
// of it.
type ioctl uint32

const (
	setOwner           ioctl = 0x0000af01
	getFeatures        ioctl = 0x8008af00
	setFeatures        ioctl = 0x4008af00
	setMemTable        ioctl = 0x4008af03
	setLogBase         ioctl = 0x4008af04
	setLogFD           ioctl = 0x4004af07
	setVringNum        ioctl = 0x4008af10
	setVringAddr       ioctl = 0x4028af11
	setVringBase       ioctl = 0x4008af12
	getVringBase       ioctl = 0xc008af12
	setVringKick       ioctl = 0x4008af20
	setVringCall       ioctl = 0x4008af21
	setVringErr        ioctl = 0x4008af22
	setBusyLoop        ioctl = 0x4008af23
	setBackendFeatures ioctl = 0x4008af25
	getBackendFeatures ioctl = 0x8008af26
	netSetBackend      ioctl = 0x4008af30
	scsiSetEndpoint    ioctl = 0x40e8af40
	scsiClearEndpoint  ioctl = 0x40e8af41
	scsiGetABIVersion  ioctl = 0x4004af42
	vsockSetGuestCID   ioctl = 0x4008af60
	vsockSetRunning    ioctl = 0x4004af61
	vdpaGetDeviceID    ioctl = 0x8004af70
	vdpaGetStatus      ioctl = 0x8001af71
	vdpaSetStatus      ioctl = 0x4001af72
	vdpaGetConfig      ioctl = 0x8008af73
	vdpaSetConfig      ioctl = 0x4008af74
	vdpaSetVringEnable ioctl = 0x4008af75
	vdpaGetVringNum    ioctl = 0x8002af76
	vdpaSetConfigCall  ioctl = 0x4004af77
	vdpaGetIOVARange   ioctl = 0x8010af78
	vdpaGetConfigSize  ioctl = 0x8004af79
	vdpaGetASNum       ioctl = 0x8004af7a
	vdpaGetVringGroup  ioctl = 0xc008af7b
	vdpaSetGroupASID   ioctl = 0x4008af7c
	vdpaGetVQsCount    ioctl = 0x8004af80
	vdpaGetGroupNum    ioctl = 0x8004af81
)

var names = map[ioctl]string{
	setOwner: "VHOST_SET_OWNER", getFeatures: "VHOST_GET_FEATURES", setFeatures: "VHOST_SET_FEATURES", setMemTable: "VHOST_SET_MEM_TABLE",
	setLogBase: "VHOST_SET_LOG_BASE", setLogFD: "VHOST_SET_LOG_FD",
	setVringNum: "VHOST_SET_VRING_NUM", setVringAddr: "VHOST_SET_VRING_ADDR", setVringBase: "VHOST_SET_VRING_BASE",
	getVringBase: "VHOST_GET_VRING_BASE", setVringKick: "VHOST_SET_VRING_KICK", setVringCall: "VHOST_SET_VRING_CALL",
	setVringErr: "VHOST_SET_VRING_ERR", setBusyLoop: "VHOST_SET_VRING_BUSYLOOP_TIMEOUT",
	setBackendFeatures: "VHOST_SET_BACKEND_FEATURES", getBackendFeatures: "VHOST_GET_BACKEND_FEATURES",
	netSetBackend: "VHOST_NET_SET_BACKEND", scsiSetEndpoint: "VHOST_SCSI_SET_ENDPOINT", scsiClearEndpoint: "VHOST_SCSI_CLEAR_ENDPOINT",
	scsiGetABIVersion: "VHOST_SCSI_GET_ABI_VERSION", vsockSetGuestCID: "VHOST_VSOCK_SET_GUEST_CID", vsockSetRunning: "VHOST_VSOCK_SET_RUNNING",
	vdpaGetDeviceID: "VHOST_VDPA_GET_DEVICE_ID", vdpaGetStatus: "VHOST_VDPA_GET_STATUS", vdpaSetStatus: "VHOST_VDPA_SET_STATUS",
	vdpaGetConfig: "VHOST_VDPA_GET_CONFIG", vdpaSetConfig: "VHOST_VDPA_SET_CONFIG", vdpaSetVringEnable: "VHOST_VDPA_SET_VRING_ENABLE",
	vdpaGetVringNum: "VHOST_VDPA_GET_VRING_NUM", vdpaSetConfigCall: "VHOST_VDPA_SET_CONFIG_CALL", vdpaGetIOVARange: "VHOST_VDPA_GET_IOVA_RANGE",
	vdpaGetConfigSize: "VHOST_VDPA_GET_CONFIG_SIZE", vdpaGetASNum: "VHOST_VDPA_GET_AS_NUM", vdpaGetVringGroup: "VHOST_VDPA_GET_VRING_GROUP",
	vdpaSetGroupASID: "VHOST_VDPA_SET_GROUP_ASID", vdpaGetVQsCount: "VHOST_VDPA_GET_VQS_COUNT", vdpaGetGroupNum: "VHOST_VDPA_GET_GROUP_NUM",
}

// argsLen is enough for the largest argument: a table of all regions that there can
// be.
const argsLen = 32 << 10

func open(path string) (*Device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	args, err := unix.Mmap(-1, 0, argsLen, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("mmap", err)
	}
	return &Device{file: os.NewFile(uintptr(fd), path), fd: fd, args: args}, nil
}

// Close has the kernel leave the memory and the rings.
func (d *Device) Close() error {
	if d.args == nil {
		return os.ErrClosed
	}
	err := d.file.Close()
	unix.Munmap(d.args)
	d.args = nil
	if d.table != nil {
		d.table.Release()
		d.table = nil
	}
	return err
}

// call does an ioctl with an argument that lies in args, and returns what lies there
// afterwards.
func (d *Device) call(number ioctl, arg []byte) ([]byte, error) {
	if d.args == nil {
		return nil, os.ErrClosed
	}
	n := copy(d.args, arg)
	// The address is a number of a mapping's, which nothing moves.
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.fd), uintptr(number), uintptr(memory.Address(d.args)))
	if errno != 0 {
		return nil, os.NewSyscallError(names[number], errno)
	}
	return d.args[:n], nil
}

// set does an ioctl with numbers of fixed size, one after the other.
func (d *Device) set(number ioctl, values ...any) error {
	var arg []byte
	for _, v := range values {
		var err error
		if arg, err = binary.Append(arg, binary.NativeEndian, v); err != nil {
			return err
		}
	}
	_, err := d.call(number, arg)
	return err
}

// get64 does an ioctl that returns a number of 8 bytes.
func (d *Device) get64(number ioctl) (uint64, error) {
	b, err := d.call(number, make([]byte, 8))
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b), nil
}

// get32 does an ioctl that returns a number of 4 bytes.
func (d *Device) get32(number ioctl) (uint32, error) {
	b, err := d.call(number, make([]byte, 4))
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint32(b), nil
}

// Negotiate becomes the owner of the device, and takes those of the features that
// the kernel offers, of the device and of rings; it must offer those that are needed.
// Otherwise it fails with [vhost.ErrRefused].
func (d *Device) Negotiate(features, needed uint64) error {
	if _, err := d.call(setOwner, nil); err != nil && !errors.Is(err, unix.EBUSY) { // it is already ours
		return err
	}
	if err := d.negotiateBackend(); err != nil {
		return err
	}
	offered, err := d.get64(getFeatures)
	if err != nil {
		return err
	}
	if needed&^offered != 0 {
		return fmt.Errorf("%w: the kernel does not offer the features %#x", vhost.ErrRefused, needed&^offered)
	}
	if err := d.set(setFeatures, features&offered); err != nil {
		return err
	}
	d.Features = features & offered
	return nil
}

// negotiateBackend takes the features of the kernel's side; vhost-scsi has none.
func (d *Device) negotiateBackend() error {
	offered, err := d.get64(getBackendFeatures)
	if err != nil {
		return nil
	}
	d.BackendFeatures = offered & (BackendIOTLBv2 | BackendIOTLBBatch | BackendIOTLBASID)
	return d.set(setBackendFeatures, d.BackendFeatures)
}

// SetMemory has the kernel use the memory of t, which it holds until Close, or until
// another call. It must be that of this process ([memory.Own]).
func (d *Device) SetMemory(t *memory.Table) error {
	list := t.Regions()
	for i := range list {
		list[i].Offset = 0 // flags, of which there are none
	}
	if err := d.set(setMemTable, uint32(len(list)), uint32(0), list); err != nil {
		return err
	}
	d.hold(t)
	return nil
}

func (d *Device) hold(t *memory.Table) {
	t.Hold()
	if d.table != nil {
		d.table.Release()
	}
	d.table = t
}

// StartRing sets up a ring, in the memory that SetMemory has told. What else must be
// done for it to run depends on the device.
func (d *Device) StartRing(i int, c vhost.RingConfig) error {
	if d.table == nil {
		return fmt.Errorf("%w: a ring without memory", vhost.ErrRefused)
	}
	addr := vhost.VringAddr{Index: uint32(i), Descriptors: c.Descriptors, Used: c.Device, Avail: c.Driver, LogAt: c.LogAddr}
	if c.LogRing {
		addr.Flags |= vhost.VringLog
	}
	if d.iova {
		for _, p := range []*uint64{&addr.Descriptors, &addr.Used, &addr.Avail} {
			var err error
			if *p, err = d.table.GuestOf(*p); err != nil {
				return err
			}
		}
	}
	for _, step := range []struct {
		number ioctl
		arg    any
	}{
		{setVringNum, vhost.VringState{Index: uint32(i), Num: uint32(c.Size)}},
		{setVringBase, vhost.VringState{Index: uint32(i), Num: c.Base}},
		{setVringAddr, addr},
		{setVringCall, vringFile(i, c.Call)},
		{setVringKick, vringFile(i, c.Kick)},
	} {
		if err := d.set(step.number, step.arg); err != nil {
			return err
		}
	}
	return nil
}

// vringFile is struct vhost_vring_file: a ring, and a file descriptor or -1.
func vringFile(i, fd int) [2]int32 { return [2]int32{int32(i), int32(fd)} }

// SetErr has the kernel signal an eventfd when the ring is broken off; -1 for none.
func (d *Device) SetErr(i, fd int) error { return d.set(setVringErr, vringFile(i, fd)) }

// Base is where a ring can go on that has been stopped.
func (d *Device) Base(i int) (uint32, error) {
	return d.ofRing(getVringBase, i)
}

// ofRing does an ioctl that returns a number that belongs to a ring.
func (d *Device) ofRing(number ioctl, i int) (uint32, error) {
	b, err := d.call(number, binary.NativeEndian.AppendUint32(make([]byte, 0, 8), uint32(i))[:8])
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint32(b[4:]), nil
}

// SetBusyPoll has the kernel look for work on a ring for so long before it sleeps; 0
// for not at all.
func (d *Device) SetBusyPoll(i int, t time.Duration) error {
	return d.set(setBusyLoop, vhost.VringState{Index: uint32(i), Num: uint32(t.Microseconds())})
}

// SetLog has the kernel mark the pages that it writes to, if vhost.FeatureLogAll was
// negotiated. The bits, which [memory.Log] describes, must be mapped and cover all of
// the memory. The eventfd, or -1, is signalled when some were marked.
func (d *Device) SetLog(bits []byte, event int) error {
	if err := d.set(setLogBase, memory.Address(bits)); err != nil {
		return err
	}
	return d.set(setLogFD, int32(event))
}
