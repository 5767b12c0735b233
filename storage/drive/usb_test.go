package drive

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/usb"
)

// A usbHost is a machine that has a device.
type usbHost struct {
	testing.TB
	*usb.Session
}

func (h *usbHost) transfer(endpoint uint8, out []byte, n int, setup ...byte) []byte {
	h.Helper()
	t := h.Transfer()
	t.Endpoint, t.Length = endpoint, n
	copy(t.Setup[:], setup)
	if len(out) > 0 {
		t.Length = len(out)
		h.Buffer(t, len(out))
		copy(t.Data, out)
	}
	if err := h.Submit(t); err != nil {
		h.Fatal(err)
	}
	a := <-h.Completed()
	defer a.Release()
	return append(append([]byte(nil), a.Data...), make([]byte, a.Zeroes)...)
}

// command does a SCSI command by Bulk-Only Transport, and returns its data and status.
func (h *usbHost) command(n int, cdb ...byte) ([]byte, byte) {
	h.Helper()
	p := make([]byte, 31)
	copy(p, "USBC")
	binary.LittleEndian.PutUint32(p[8:], uint32(n))
	p[12], p[14] = 0x80, byte(len(cdb))
	copy(p[15:], cdb)
	h.transfer(0x02, p, 0)
	var data []byte
	if n > 0 {
		data = h.transfer(0x81, nil, n)
	}
	return data, h.transfer(0x81, nil, 13)[12]
}

// attachUSB has a machine find the device of a drive, and returns the type of its unit.
func attachUSB(t testing.TB, d *usb.Device) (*usbHost, byte) {
	t.Helper()
	s, err := d.Attach()
	if err != nil {
		t.Fatal(err)
	}
	h := &usbHost{t, s}
	h.transfer(0, nil, 0, 0, 9, 1) // SET CONFIGURATION
	p, _ := h.command(36, 0x12, 0, 0, 0, 36, 0)
	for range 5 { // unit attentions
		h.command(0, 0, 0, 0, 0, 0, 0)
	}
	return h, p[0]
}

// TestUSB has media of both kinds come and go in a USB device: a change of the kind
// unplugs it, what a machine holds is locked, and what it ejects the drive hears of.
func TestUSB(t *testing.T) {
	var h *usbHost
	unplugged := 0
	b, err := NewUSB(usb.Config{}, LUNConfig{Disk: true}, func(*usb.Device) {
		unplugged++
		if h != nil {
			h.Close()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	ejected := make(chan struct{}, 1)
	medium := func(cdrom bool) Medium {
		disk, err := block.NewDisk(block.NewMemory(1 << 20))
		if err != nil {
			t.Fatal(err)
		}
		return Medium{Name: "m", Disk: disk, CDROM: cdrom, Ejected: func() { ejected <- struct{}{} }}
	}
	var kind byte
	if h, kind = attachUSB(t, b.Device()); kind != 0 {
		t.Errorf("the empty drive is of type %d", kind)
	}
	if _, status := h.command(0, 0, 0, 0, 0, 0, 0); status == 0 {
		t.Error("an empty drive is ready")
	}
	if err := b.Insert(ctx, medium(false)); err != nil {
		t.Fatal(err)
	}
	h.command(0, 0, 0, 0, 0, 0, 0) // medium may have changed
	if _, status := h.command(0, 0, 0, 0, 0, 0, 0); status != 0 || unplugged != 0 {
		t.Errorf("status %d, unplugged %d times", status, unplugged)
	}
	h.command(0, 0x1e, 0, 0, 0, 1, 0) // PREVENT ALLOW MEDIUM REMOVAL
	if err := b.Eject(ctx, false); !errors.Is(err, ErrLocked) {
		t.Errorf("eject what is locked: %v", err)
	}
	if err := b.Eject(ctx, true); err != nil {
		t.Error(err)
	}
	if err := b.Insert(ctx, medium(true)); err != nil {
		t.Fatal(err)
	}
	if unplugged != 1 {
		t.Errorf("unplugged %d times", unplugged)
	}
	if h, kind = attachUSB(t, b.Device()); kind != 5 {
		t.Errorf("a CD-ROM is of type %d", kind)
	}
	h.command(0, 0x1b, 0, 0, 0, 2, 0) // START STOP UNIT: eject
	select {
	case <-ejected:
	case <-time.After(time.Minute):
		t.Fatal("the drive has not heard of the eject")
	}
	if err := b.Eject(ctx, false); err != nil {
		t.Error(err)
	}
	h.Close()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
