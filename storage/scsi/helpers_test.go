package scsi

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A rig is a unit in a target, and nexuses to it.
type rig struct {
	testing.TB
	device *block.Memory
	unit   *Unit
	target *Target
	nexus  *Nexus
	task   Task
}

// testBlocks is how many blocks of 512 bytes the device of a rig has.
const testBlocks = 4096

// newRig makes one of a disk of testBlocks blocks unless c has a disk.
func newRig(t testing.TB, c UnitConfig) *rig {
	t.Helper()
	r := &rig{TB: t}
	if c.Disk == nil && !c.Removable {
		r.device = block.NewMemory(testBlocks * 512)
		c.Disk = newDisk(t, r.device)
	}
	u, err := NewUnit(c)
	if err != nil {
		t.Fatal(err)
	}
	r.unit, r.target = u, NewTarget()
	if err := r.target.Add(0, u); err != nil {
		t.Fatal(err)
	}
	r.nexus = r.attach("host-a")
	r.settle(r.nexus)
	return r
}

func newDisk(t testing.TB, d block.Device) *block.Disk {
	t.Helper()
	disk, err := block.NewDisk(d)
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

func (r *rig) attach(name string) *Nexus {
	return r.target.Attach(NexusConfig{
		Initiator: InitiatorPort{Protocol: ProtocolISCSI, Name: "iqn.2026-01.org.example:" + name},
		Port:      TargetPort{Protocol: ProtocolISCSI, Device: "iqn.2026-01.org.example:t", Name: "iqn.2026-01.org.example:t,t,0x0001", Relative: 1, Group: 1},
	})
}

// settle takes all unit attentions of a nexus.
func (r *rig) settle(n *Nexus) {
	for range 20 {
		if s, _ := r.on(n, cdb(0x03, 0, 0, 0, 18, 0), nil, 18); s.Key == NoSense || s.Key == NotReady {
			return
		}
		var sense Sense
		if _, in := r.on(n, cdb(0x03, 0, 0, 0, 18, 0), nil, 18); len(in) > 0 {
			if sense, _ = ParseSense(in); sense.Key != UnitAttention {
				return
			}
		}
	}
	r.Helper()
	r.Fatal("unit attentions without end")
}

func cdb(b ...byte) []byte { return b }

// on runs a command of a nexus to its end. The sense is zero unless it failed.
func (r *rig) on(n *Nexus, cdb, out []byte, in int) (Sense, []byte) {
	r.Helper()
	n.Begin(&r.task, LUNOf(0), cdb)
	p := make([]byte, in)
	r.task.Execute(context.Background(), out, p)
	return r.ended(&r.task, p)
}

// ended checks a task that has ended.
func (r *rig) ended(t *Task, in []byte) (Sense, []byte) {
	r.Helper()
	if !t.Done() {
		r.Fatal("the task has not ended")
	}
	sense, ok := ParseSense(t.Sense())
	want := t.SenseError()
	if want.Information > 1<<32-1 && t.Sense()[0] == 0x70 {
		want.HasInformation, want.Information = false, 0 // has no room in it
	}
	if ok != (t.Status == CheckCondition) || ok && sense != want {
		r.Fatalf("status %v, sense % x is %+v, should be %+v", t.Status, t.Sense(), sense, want)
	}
	if t.DataOut > 0 && t.DataIn > 0 {
		r.Fatalf("data-out of %d and data-in of %d", t.DataOut, t.DataIn)
	}
	return sense, in[:min(len(in), t.Transferred)]
}

// good runs a command that must end with GOOD.
func (r *rig) good(cdb, out []byte, in int) []byte {
	r.Helper()
	s, p := r.on(r.nexus, cdb, out, in)
	if r.task.Status != Good {
		r.Fatalf("% x: %v, %v", cdb, r.task.Status, s)
	}
	return p
}

// fails runs a command that must end with this sense.
func (r *rig) fails(cdb, out []byte, in int, want Sense) {
	r.Helper()
	s, _ := r.on(r.nexus, cdb, out, in)
	if r.task.Status != CheckCondition || s != want {
		r.Errorf("% x: %v, %v; want %v", cdb, r.task.Status, s, want)
	}
}

func field(at, bit int) Sense {
	return Sense{Key: IllegalRequest, Code: CodeInvalidField}.PointTo(true, at, bit)
}

func parameter(at, bit int) Sense {
	return Sense{Key: IllegalRequest, Code: CodeInvalidParameter}.PointTo(false, at, bit)
}

func beyond(lba uint64) Sense {
	return Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange, HasInformation: true, Information: lba}
}

// with sets a field of a CDB of any length.
func with(cdb []byte, at, size int, v uint64) []byte {
	c := bytes.Clone(cdb)
	for i := range size {
		c[at+size-1-i] = byte(v >> (8 * i))
	}
	return c
}

// blocks is a CDB of blocks.
func blocks(op byte, lba, n uint64) []byte {
	l, size := layout10, 10
	switch op >> 5 {
	case 0:
		l, size = layout6, 6
	case 4:
		l, size = layout16, 16
	case 5:
		l, size = layout12, 12
	}
	c := make([]byte, size)
	c[0] = op
	if op == 0x89 { // COMPARE AND WRITE
		c[13] = byte(n)
	} else {
		c = with(c, l.lengthAt, l.lengthSize, n)
	}
	return with(c, l.lbaAt, l.lbaSize, lba)
}

// set is blocks with byte 1 set.
func set(c []byte, b byte) []byte {
	c[1] |= b
	return c
}

func be16(v int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// pattern is n bytes that differ from block to block.
func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed + byte(i) + byte(i>>9)*7
	}
	return p
}

func memory(size int64) block.Device { return block.NewMemory(size) }
