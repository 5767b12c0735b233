package drive

import (
	"context"

	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
)

// USB is a Backend that is a USB mass-storage device, for usbip.Server, usbredir.Server or
// another transport. Machines see an empty drive while nothing is connected. When a disk
// follows a CD-ROM, or the other way, the device is unplugged, since a machine asks for its
// type only when it finds it.
type USB struct {
	*LUN
	device *usb.Device
	unplug func()
}

// NewUSB makes a device by c, whose units are made here. unplug has the machine that has it
// see it unplugged, as usbip.Server.Unplug and usbredir.Server.Unplug do; it may be nil
// before machines can have it, and returns when none has it.
func NewUSB(c usb.Config, l LUNConfig, unplug func(*usb.Device)) (*USB, error) {
	c.Units = scsi.NewTarget()
	lun, err := NewLUN(c.Units, 0, l)
	if err != nil {
		return nil, err
	}
	device, err := usb.NewDevice(c)
	if err != nil {
		return nil, err
	}
	b := &USB{LUN: lun, device: device}
	if unplug != nil {
		b.unplug = func() { unplug(device) }
	}
	return b, nil
}

// Device is the device, to be given to a transport.
func (b *USB) Device() *usb.Device { return b.device }

// Insert puts the medium into the device.
func (b *USB) Insert(ctx context.Context, m Medium) error {
	if m.CDROM != b.cdrom && b.unplug != nil {
		b.unplug()
	}
	return b.LUN.Insert(ctx, m)
}
