package usb

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A host is who uses a session.
type host struct {
	testing.TB
	*Session
}

func attach(t testing.TB, dev block.Device, c Config) (*Device, *host) {
	t.Helper()
	disk, err := block.NewDisk(dev)
	if err != nil {
		t.Fatal(err)
	}
	unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	c.Units = scsi.NewTarget()
	c.Units.Add(0, unit)
	d, err := NewDevice(c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Attach()
	if err != nil {
		t.Fatal(err)
	}
	return d, &host{t, s}
}

// do makes a transfer, and returns its status; n is the length of what the device sends.
func (h *host) do(endpoint uint8, out []byte, n int, setup ...byte) Status {
	t := h.Transfer()
	t.Endpoint, t.Length = endpoint, n
	copy(t.Setup[:], setup)
	if len(out) > 0 {
		t.Length = len(out)
		if !h.Buffer(t, len(out)) {
			h.Fatal("no memory")
		}
		copy(t.Data, out)
	}
	if err := h.Submit(t); err != nil {
		h.Fatal(err)
	}
	a := <-h.Completed()
	defer a.Release()
	return a.Status
}

// TestSession attaches a device, twice, and detaches it while a command is under way.
func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, _ := block.NewDisk(block.NewMemory(1 << 20))
		slow, err := filter.Delay(memory, filter.Read, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		d, h := attach(t, slow, Config{})
		if _, err := d.Attach(); !errors.Is(err, ErrAttached) {
			t.Errorf("attached twice: %v", err)
		}
		h.do(0, nil, 0, 0, requestSetConfiguration, 1)
		for range 3 {
			h.do(endpointDataOut, cbwOf(0, false, testUnitReady...), 0)
			h.do(endpointDataIn, nil, cswLength)
		}
		h.do(endpointDataOut, cbwOf(512, true, read10(0, 1)...), 0)
		synctest.Wait()
		began := time.Now()
		h.Close()
		h.Close()
		if took := time.Since(began); took > 0 || d.Attached() {
			t.Errorf("detached after %v: %v", took, !d.Attached())
		}
		if err := h.Submit(h.Transfer()); err != io.EOF {
			t.Error(err)
		}
		if _, ok := <-h.Completed(); ok {
			t.Error("an answer after the end")
		}
		s, err := d.Attach()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	})
}

// TestAllocations has commands take no memory that is not used again.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	_, h := attach(t, block.NewMemory(1<<20), Config{})
	defer h.Close()
	h.do(0, nil, 0, 0, requestSetConfiguration, 1)
	read, write, data := cbwOf(4096, true, read10(0, 8)...), cbwOf(4096, false, write10(0, 8)...), make([]byte, 4096)
	n := testing.AllocsPerRun(200, func() {
		h.do(endpointDataOut, read, 0)
		h.do(endpointDataIn, nil, 4096)
		h.do(endpointDataIn, nil, cswLength)
		h.do(endpointDataOut, write, 0)
		h.do(endpointDataOut, data, 0)
		h.do(endpointDataIn, nil, cswLength)
	})
	if n > 12 { // holders of buffers, one for each that crosses; a pool may be emptied meanwhile
		t.Errorf("%v allocations for a read and a write", n)
	}
	t.Logf("%v allocations for a read and a write", n)
}
