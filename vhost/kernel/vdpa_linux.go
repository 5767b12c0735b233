package kernel

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A VDPA is a device of vDPA (/dev/vhost-vdpa-N): a virtio device that reads and
// writes the memory of this process itself. It has all that such a device has
// (VIRTIO 1.2 section 2): a type, a status, a configuration space.
type VDPA struct{ *Device }

// OpenVDPA opens one.
func OpenVDPA(path string) (VDPA, error) {
	d, err := open(path)
	if err == nil {
		d.iova = true
	}
	return VDPA{d}, err
}

// Bits of the status (VIRTIO 1.2 section 2.1).
const (
	StatusAcknowledge = 1
	StatusDriver      = 2
	StatusDriverOK    = 4
	StatusFeaturesOK  = 8
	StatusNeedsReset  = 64
	StatusFailed      = 128
)

// DeviceID is the type of the device (VIRTIO 1.2 section 5).
func (v VDPA) DeviceID() (uint32, error) { return v.get32(vdpaGetDeviceID) }

// Status is that of the device.
func (v VDPA) Status() (uint8, error) {
	b, err := v.call(vdpaGetStatus, []byte{0})
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// SetStatus sets bits of the status; 0 resets the device.
func (v VDPA) SetStatus(s uint8) error { return v.set(vdpaSetStatus, s) }

// Negotiate resets the device, and takes features as [Device.Negotiate] does.
func (v VDPA) Negotiate(features, needed uint64) error {
	for _, s := range []uint8{0, StatusAcknowledge, StatusAcknowledge | StatusDriver} {
		if s == StatusAcknowledge { // the device has an owner before it is used
			if err := v.Device.Negotiate(features, needed); err != nil {
				return err
			}
		}
		if err := v.SetStatus(s); err != nil {
			return err
		}
	}
	const ok = StatusAcknowledge | StatusDriver | StatusFeaturesOK
	if err := v.SetStatus(ok); err != nil {
		return err
	}
	if s, err := v.Status(); err != nil || s&StatusFeaturesOK == 0 {
		return fmt.Errorf("%w: the device does not take the features %#x: status %#x, %v", vhost.ErrRefused, v.Features, s, err)
	}
	return nil
}

// Config reads n bytes of the configuration space.
func (v VDPA) Config(offset, n int) ([]byte, error) {
	if n < 0 || n > argsLen-8 {
		return nil, fmt.Errorf("%w: %d bytes", vhost.ErrRefused, n)
	}
	arg := make([]byte, 8+n)
	binary.NativeEndian.PutUint32(arg, uint32(offset))
	binary.NativeEndian.PutUint32(arg[4:], uint32(n))
	b, err := v.call(vdpaGetConfig, arg)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), b[8:]...), nil
}

// SetConfig writes a part of it.
func (v VDPA) SetConfig(offset int, p []byte) error {
	if len(p) > argsLen-8 {
		return fmt.Errorf("%w: %d bytes", vhost.ErrRefused, len(p))
	}
	return v.set(vdpaSetConfig, uint32(offset), uint32(len(p)), p)
}

// ConfigSize is how long it is, in bytes.
func (v VDPA) ConfigSize() (uint32, error) { return v.get32(vdpaGetConfigSize) }

// SetConfigCall has an eventfd signalled when the configuration space changes; -1 for
// none.
func (v VDPA) SetConfigCall(fd int) error { return v.set(vdpaSetConfigCall, int32(fd)) }

// Rings is how many rings there are, and MaxSize how long one may be.
func (v VDPA) Rings() (uint32, error) { return v.get32(vdpaGetVQsCount) }

// MaxSize is how many descriptors a ring may have.
func (v VDPA) MaxSize() (uint16, error) {
	b, err := v.call(vdpaGetVringNum, []byte{0, 0})
	if err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint16(b), nil
}

// IOVARange is which addresses of the guest's the device can use, from first to last.
func (v VDPA) IOVARange() (first, last uint64, err error) {
	b, err := v.call(vdpaGetIOVARange, make([]byte, 16))
	if err != nil {
		return 0, 0, err
	}
	return binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint64(b[8:]), nil
}

// Groups is how many groups the rings are in, of which each uses one address space,
// and AddressSpaces how many of those there are.
func (v VDPA) Groups() (uint32, error) { return v.get32(vdpaGetGroupNum) }

// AddressSpaces is how many address spaces there are.
func (v VDPA) AddressSpaces() (uint32, error) { return v.get32(vdpaGetASNum) }

// Group is which group a ring is in.
func (v VDPA) Group(ring int) (uint32, error) { return v.ofRing(vdpaGetVringGroup, ring) }

// SetGroupSpace has a group use an address space (BackendIOTLBASID).
func (v VDPA) SetGroupSpace(group, space uint32) error {
	return v.set(vdpaSetGroupASID, vhost.VringState{Index: group, Num: space})
}

// Types of IOTLB (linux/vhost_types.h), and what it permits.
const (
	IOTLBMiss       = 1
	IOTLBUpdate     = 2
	IOTLBInvalidate = 3
	IOTLBFail       = 4
	iotlbBegin      = 5
	iotlbEnd        = 6

	PermRead      = 1
	PermWrite     = 2
	PermReadWrite = 3
)

// Translate changes an entry of the translation of addresses of an address space, by a
// message that is written to the device (struct vhost_msg_v2).
func (d *Device) Translate(space uint32, t vhost.IOTLB) error {
	const messageV2 = 2
	if d.BackendFeatures&BackendIOTLBv2 == 0 {
		return fmt.Errorf("%w: the kernel takes no messages about addresses", vhost.ErrRefused)
	}
	b := binary.NativeEndian.AppendUint32(nil, messageV2)
	b = binary.NativeEndian.AppendUint32(b, space)
	b, err := binary.Append(b, binary.NativeEndian, t)
	if err != nil {
		return err
	}
	b = append(b, make([]byte, 72-len(b))...)
	_, err = d.file.Write(b)
	return err
}

// SetMemory has the device use the memory of t, in address space 0, by the addresses of
// the guest's. It replaces what was there.
func (v VDPA) SetMemory(t *memory.Table) error {
	var all []vhost.IOTLB
	if v.table != nil {
		for _, r := range v.table.Regions() {
			all = append(all, vhost.IOTLB{IOVA: r.Guest, Size: r.Size, Type: IOTLBInvalidate})
		}
	}
	for _, r := range t.Regions() {
		all = append(all, vhost.IOTLB{IOVA: r.Guest, Size: r.Size, User: r.User, Perm: PermReadWrite, Type: IOTLBUpdate})
	}
	if v.BackendFeatures&BackendIOTLBBatch != 0 {
		all = append([]vhost.IOTLB{{Type: iotlbBegin}}, append(all, vhost.IOTLB{Type: iotlbEnd})...)
	}
	for _, e := range all {
		if err := v.Translate(0, e); err != nil {
			return err
		}
	}
	v.hold(t)
	return nil
}

// StartRing sets up a ring and enables it; it runs from Run on.
func (v VDPA) StartRing(i int, c vhost.RingConfig) error {
	if err := v.Device.StartRing(i, c); err != nil {
		return err
	}
	return v.set(vdpaSetVringEnable, vhost.VringState{Index: uint32(i), Num: 1})
}

// Run tells the device that its driver is ready: its rings run.
func (v VDPA) Run() error {
	return v.SetStatus(StatusAcknowledge | StatusDriver | StatusFeaturesOK | StatusDriverOK)
}
