package usb

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// ErrAttached is that a device is attached to a host already.
var ErrAttached = errors.New("usb: the device is attached to a host")

// A Config says what a device is. Zero values mean what is said.
type Config struct {
	// Units are the logical units, numbers 0 to 15. A unit may come and go while the
	// device is attached, and so may media: hosts look for media only, though.
	Units *scsi.Target

	Speed Speed // HighSpeed

	VendorID, ProductID uint16 // 0x1d6b and 0x0104, as the gadgets of Linux have them
	Version             uint16 // of the device, in BCD: 0x0100
	Manufacturer        string // at most 126 UTF-16 characters: "GoNet"
	Product             string // likewise: "Mass Storage"
	Serial              string // at least 12 of the digits 0 to 9 and A to F: "000000000001"

	// NoUAS leaves out the alternate setting of USB Attached SCSI.
	NoUAS bool
	// Stall has Bulk-Only Transport end data that are short by a STALL, as most devices
	// do. Without it they are filled up with zeroes: no firmware trips over that.
	Stall bool

	// MaxMemory bounds the data of commands under way, in bytes, to and from the host
	// each: 64 MB. One command always has room.
	MaxMemory int
	// Workers is how many commands are executed at the same time, at most: 8.
	Workers int
}

// A Device is a USB mass-storage device. It is attached to one host at a time.
type Device struct {
	config Config
	pool   buffers.Pool
	held   chan struct{} // has one while the device is attached
}

// NewDevice makes a device, which is not attached.
func NewDevice(c Config) (*Device, error) {
	c.VendorID, c.ProductID, c.Version = cmp.Or(c.VendorID, 0x1d6b), cmp.Or(c.ProductID, 0x0104), cmp.Or(c.Version, 0x0100)
	c.Manufacturer, c.Product = cmp.Or(c.Manufacturer, "GoNet"), cmp.Or(c.Product, "Mass Storage")
	c.Serial = cmp.Or(c.Serial, "000000000001")
	if c.MaxMemory <= 0 {
		c.MaxMemory = 64 << 20
	}
	if c.Workers <= 0 {
		c.Workers = 8
	}
	switch {
	case c.Units == nil:
		return nil, errors.New("usb: a device without a target of units")
	case c.Speed > SuperSpeed:
		return nil, fmt.Errorf("usb: there is no speed %d", c.Speed)
	}
	if err := c.checkTexts(); err != nil {
		return nil, err
	}
	return &Device{config: c, held: make(chan struct{}, 1)}, nil
}

// maxLUN is the answer to GET MAX LUN: the highest number of a unit.
func (c *Config) maxLUN() byte {
	highest := 0
	for lun := range c.Units.Units() {
		if lun <= 15 {
			highest = max(highest, lun)
		}
	}
	return byte(highest)
}

// Config is what the device is.
func (d *Device) Config() Config { return d.config }

// Endpoints are those of alternate setting n of the interface: 0 is Bulk-Only
// Transport, 1 is USB Attached SCSI. They are nil if there is no such setting.
func (d *Device) Endpoints(n int) []EndpointInfo {
	if n != alternateBulkOnly && (n != alternateUAS || d.config.NoUAS) {
		return nil
	}
	return d.config.alternate(n)
}

// Attached says whether the device is attached to a host.
func (d *Device) Attached() bool { return len(d.held) > 0 }
