package usb

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A rig is a function over a unit of 1 MB, whose commands are executed when the test
// says so.
type rig struct {
	testing.TB
	unit   *scsi.Unit
	units  *scsi.Target
	f      *function
	nextID uint64
}

func newRig(t testing.TB, c Config) *rig {
	t.Helper()
	disk, err := block.NewDisk(block.NewMemory(1 << 20))
	if err != nil {
		t.Fatal(err)
	}
	unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk, Removable: true})
	if err != nil {
		t.Fatal(err)
	}
	c.Units = scsi.NewTarget()
	if err := c.Units.Add(0, unit); err != nil {
		t.Fatal(err)
	}
	d, err := NewDevice(c)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, unit: unit, units: c.Units}
	nexus := c.Units.Attach(scsi.NexusConfig{Initiator: scsi.InitiatorPort{Protocol: scsi.ProtocolUSB, Name: "host"}})
	r.f = newFunction(d.config, nexus, new(buffers.Pool), new(budget))
	return r
}

// configured is a rig whose host has chosen an alternate setting, and has heard of the
// reset.
func configured(t testing.TB, c Config, setting byte) *rig {
	t.Helper()
	r := newRig(t, c)
	r.control(0x00, requestSetConfiguration, 1, 0, 0)
	if setting != 0 {
		r.control(0x01, requestSetInterface, uint16(setting), 0, 0)
	}
	var task scsi.Task
	for range 4 { // unit attentions
		r.f.nexus.Begin(&task, 0, []byte{0, 0, 0, 0, 0, 0})
		task.Execute(context.Background(), nil, nil)
	}
	return r
}

// execute executes the commands that are ready.
func (r *rig) execute() {
	for c := r.f.next(); c != nil; c = r.f.next() {
		r.f.begun()
		c.task.Execute(context.Background(), c.out, c.in)
		r.f.ended(c)
	}
}

// submit submits a transfer.
func (r *rig) submit(t *Transfer) *Transfer {
	r.nextID++
	if t.ID == 0 {
		t.ID = r.nextID
	}
	r.f.submit(t)
	return t
}

func (r *rig) in(endpoint uint8, length int) *Transfer {
	return r.submit(&Transfer{Endpoint: endpoint, Length: length})
}

func (r *rig) out(endpoint uint8, p []byte) *Transfer {
	t := &Transfer{Endpoint: endpoint, Length: len(p)}
	if len(p) > 0 {
		t.hold = newMemory(r.f.pool, len(p), nil)
		t.Data = t.hold.bytes
		copy(t.Data, p)
	}
	return r.submit(t)
}

// done says whether a transfer has its answer, which it takes.
func (r *rig) done(t *Transfer) bool {
	return r.f.done.take(func(o *Transfer) bool { return o == t }) != nil
}

// want sees that a transfer has ended, and returns the data of it.
func (r *rig) want(what string, t *Transfer, s Status, actual int) []byte {
	r.Helper()
	switch {
	case !r.done(t):
		r.Fatalf("%s: no answer", what)
	case t.Status != s || t.Actual != actual:
		r.Fatalf("%s: %v, %d bytes; want %v, %d", what, t.Status, t.Actual, s, actual)
	}
	p := append(append([]byte(nil), t.Data...), make([]byte, t.Zeroes)...)
	t.hold.release()
	t.hold = nil
	return p
}

// control makes a control transfer without data from the host.
func (r *rig) control(kind, request byte, value, index, length uint16) *Transfer {
	t := &Transfer{Length: int(length)}
	t.Setup = [8]byte{kind, request, byte(value), byte(value >> 8), byte(index), byte(index >> 8), byte(length), byte(length >> 8)}
	r.submit(t)
	if !r.done(t) {
		r.Fatal("a control transfer without an answer")
	}
	return t
}

const testTag = 0x12345678

// cbwOf is a command block wrapper.
func cbwOf(length int, toHost bool, cdb ...byte) []byte {
	p := make([]byte, cbwLength)
	binary.LittleEndian.PutUint32(p, cbwSignature)
	binary.LittleEndian.PutUint32(p[4:], testTag)
	binary.LittleEndian.PutUint32(p[8:], uint32(length))
	if toHost {
		p[12] = 0x80
	}
	p[14] = byte(len(cdb))
	copy(p[15:], cdb)
	return p
}

// command sends a CBW.
func (r *rig) command(length int, toHost bool, cdb ...byte) {
	r.Helper()
	r.want("CBW", r.out(endpointDataOut, cbwOf(length, toHost, cdb...)), StatusOK, cbwLength)
	r.execute()
}

// status takes the CSW.
func (r *rig) status(status byte, residue int) {
	r.Helper()
	p := r.want("CSW", r.in(endpointDataIn, cswLength), StatusOK, cswLength)
	if binary.LittleEndian.Uint32(p) != cswSignature || binary.LittleEndian.Uint32(p[4:]) != testTag {
		r.Fatalf("CSW % x", p)
	}
	got := int(binary.LittleEndian.Uint32(p[8:]))
	if p[12] != status || status != cswPhaseError && got != residue {
		r.Fatalf("status %d, residue %d; want %d, %d", p[12], got, status, residue)
	}
}

func read10(lba, blocks int) []byte {
	return []byte{0x28, 0, byte(lba >> 24), byte(lba >> 16), byte(lba >> 8), byte(lba), 0, byte(blocks >> 8), byte(blocks), 0}
}

func write10(lba, blocks int) []byte {
	p := read10(lba, blocks)
	p[0] = 0x2a
	return p
}
