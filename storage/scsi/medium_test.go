package scsi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/storage/block"
)

var (
	noMedium  = Sense{Key: NotReady, Code: CodeMediumNotPresent}
	prevented = Sense{Key: IllegalRequest, Code: CodeRemovalPrevented}
	ready     = cdb(0, 0, 0, 0, 0, 0)
	eject     = cdb(0x1b, 0, 0, 0, loejBit, 0)
	load      = cdb(0x1b, 0, 0, 0, loejBit|startBit, 0)
)

func attention(c Code) Sense { return Sense{Key: UnitAttention, Code: c} }

func prevent(on byte) []byte { return cdb(0x1e, 0, 0, 0, on, 0) }

// TestEject gives the medium out and takes it in by START STOP UNIT.
func TestEject(t *testing.T) {
	var told []bool
	r := newRig(t, UnitConfig{Removable: true, Disk: newDisk(t, memory(1<<20)), OnEject: func(load bool) { told = append(told, load) }})
	other := r.attach("host-b")
	r.settle(other)
	r.good(eject, nil, 0)
	// No command that needs the medium is done.
	for _, c := range diskCommands().all {
		s, _ := r.on(r.nexus, c.smallest(), nil, 0)
		if c.flags&needsMedium != 0 && s != noMedium {
			t.Errorf("%s without a medium: %v", c.name, s)
		}
		if c.flags&needsMedium == 0 && s.Key == NotReady {
			t.Errorf("%s without a medium: %v", c.name, s)
		}
	}
	r.good(eject, nil, 0)
	r.good(prevent(1), nil, 0)
	r.fails(load, nil, 0, prevented)
	r.good(prevent(0), nil, 0)
	r.good(load, nil, 0)
	r.good(load, nil, 0)
	r.good(ready, nil, 0)
	if s, _ := r.on(other, ready, nil, 0); s != attention(CodeMediumChanged) {
		t.Errorf("another nexus: %v", s)
	}
	if len(told) != 2 || told[0] || !told[1] {
		t.Errorf("the owner was told %v", told)
	}
	// Without LOEJ, and with a power condition, it stays.
	for flags := range 16 {
		if flags&loejBit == 0 {
			r.good(cdb(0x1b, byte(flags&1), 0, 0, byte(flags&^8), 0), nil, 0)
		} else {
			r.good(cdb(0x1b, 0, 0, 0, byte(flags<<4|loejBit), 0), nil, 0)
		}
		r.good(ready, nil, 0)
	}

	fixed := newRig(t, UnitConfig{})
	fixed.fails(eject, nil, 0, field(4, 1))
	fixed.good(load, nil, 0)
	fixed.good(ready, nil, 0)
}

// TestPrevent: each nexus can prevent the removal, until it allows it, goes, or the unit is
// reset.
func TestPrevent(t *testing.T) {
	for name, end := range map[string]func(*rig, *Nexus){
		"allow":        func(r *rig, n *Nexus) { r.on(n, prevent(0), nil, 0) },
		"nexus loss":   func(_ *rig, n *Nexus) { n.Detach() },
		"unit reset":   func(_ *rig, n *Nexus) { n.ResetUnit(0) },
		"target reset": func(r *rig, _ *Nexus) { r.nexus.ResetTarget() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, UnitConfig{Removable: true, Disk: newDisk(t, memory(1<<20))})
			other := r.attach("host-b")
			r.settle(other)
			r.on(other, prevent(1), nil, 0)
			r.fails(eject, nil, 0, prevented)
			if _, err := r.unit.Eject(false); !errors.Is(err, ErrPrevented) {
				t.Errorf("the owner: %v", err)
			}
			end(r, other)
			r.settle(r.nexus)
			r.good(eject, nil, 0)
		})
	}
}

// TestInsert changes the medium from the owner's side.
func TestInsert(t *testing.T) {
	r := newRig(t, UnitConfig{Type: CDROM, Removable: true})
	noMedium := Sense{Key: NotReady, Code: CodeTrayClosed}
	r.fails(ready, nil, 0, noMedium)
	if _, err := r.unit.Eject(true); !errors.Is(err, ErrNoMedium) {
		t.Errorf("an empty unit: %v", err)
	}
	if err := r.unit.Insert(newDisk(t, memory(1<<20))); err != nil {
		t.Fatal(err)
	}
	if r.unit.Insert(newDisk(t, memory(1<<20))) == nil {
		t.Error("two media")
	}
	r.fails(ready, nil, 0, attention(CodeMediumChanged))
	r.good(ready, nil, 0)
	r.good(blocks(0x28, 511, 1), nil, 2048)
	r.fails(blocks(0x28, 512, 1), nil, 2048, beyond(512))
	r.good(prevent(1), nil, 0)
	done, err := r.unit.Eject(true)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	r.fails(ready, nil, 0, noMedium)
	r.fails(load, nil, 0, prevented)
	r.good(prevent(0), nil, 0)
	r.fails(load, nil, 0, noMedium)
}

// TestEjectWaits: the disk is free when the last task that uses it has ended.
func TestEjectWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, UnitConfig{Removable: true, Disk: newDisk(t, memory(1<<20))})
		var task, late Task
		r.nexus.Begin(&task, 0, blocks(0x2a, 0, 1))
		done, err := r.unit.Eject(true)
		if err != nil {
			t.Fatal(err)
		}
		r.nexus.Begin(&late, 0, cdb(0x1a, 8, 0x3f, 0, 255, 0))
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the disk is free while a task uses it")
		default:
		}
		task.Execute(context.Background(), make([]byte, 512), nil)
		<-done
		if task.Status != Good {
			t.Error(task.SenseError())
		}
		late.Abandon()
	})
}

// TestResize: all learn that the capacity is another, and use it.
func TestResize(t *testing.T) {
	r := newRig(t, UnitConfig{})
	other := r.attach("host-b")
	r.settle(other)
	disk := r.unit.state.medium.disk
	if err := disk.Resize(2 * testBlocks * 512); err != nil {
		t.Fatal(err)
	}
	r.fails(ready, nil, 0, attention(CodeCapacityChanged))
	if s, _ := r.on(other, ready, nil, 0); s != attention(CodeCapacityChanged) {
		t.Errorf("another nexus: %v", s)
	}
	r.good(blocks(0x28, 2*testBlocks-1, 1), nil, 512)
	// A task that was begun before the disk shrank.
	r.nexus.Begin(&r.task, 0, blocks(0x28, 2*testBlocks-1, 1))
	if err := disk.Resize(testBlocks * 512); err != nil {
		t.Fatal(err)
	}
	r.task.Execute(context.Background(), nil, make([]byte, 512))
	if r.task.SenseError() != beyond(2*testBlocks-1) {
		t.Error(r.task.SenseError())
	}
	r.fails(ready, nil, 0, attention(CodeCapacityChanged))
	r.fails(blocks(0x28, testBlocks, 1), nil, 512, beyond(testBlocks))
}

// TestConfig walks configurations that are refused.
func TestConfig(t *testing.T) {
	disk := newDisk(t, block.NewMemory(1<<20))
	for name, c := range map[string]UnitConfig{
		"type":           {Type: 1, Disk: disk},
		"no disk":        {},
		"block size":     {Disk: disk, BlockSize: 1000},
		"small block":    {Disk: disk, BlockSize: 256},
		"large block":    {Disk: disk, BlockSize: 128 << 10},
		"physical block": {Disk: disk, BlockSize: 4096, PhysicalBlock: 512},
		"vendor":         {Disk: disk, Vendor: "123456789"},
		"product":        {Disk: disk, Product: "a\n"},
		"serial":         {Disk: disk, Serial: string(make([]byte, 65))},
		"short transfer": {Disk: disk, MaxTransfer: 100},
		"long transfer":  {Disk: disk, MaxTransfer: 1 << 30},
	} {
		if _, err := NewUnit(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
