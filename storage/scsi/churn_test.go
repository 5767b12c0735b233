package scsi

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestChurn has sessions that come and go, units that come and go, media that change and
// resets, all at the same time, while commands run: everything ends, and nothing is left.
func TestChurn(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 30
	}
	r := newRig(t, UnitConfig{})
	moving, err := NewUnit(UnitConfig{Removable: true, Disk: newDisk(t, memory(1<<20))})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for u := range 3 {
		wg.Go(func() {
			for i := range rounds {
				use(t, r.target, fmt.Sprintf("user-%d", u), i)
			}
		})
	}
	wg.Go(func() { // units
		for range rounds {
			if err := r.target.Add(1, moving); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Microsecond)
			done, err := r.target.Remove(1)
			if err != nil {
				t.Error(err)
				return
			}
			<-done
		}
	})
	wg.Go(func() { // media
		disk := moving.state.medium.disk
		for range rounds {
			done, err := moving.Eject(true)
			if err != nil && !errors.Is(err, ErrNoMedium) {
				t.Error(err)
				return
			}
			<-done
			if err := moving.Insert(disk); err != nil {
				t.Error(err)
				return
			}
		}
	})
	n := r.attach("manager")
	wg.Go(func() { // resets
		for i := range rounds {
			if i%2 == 0 {
				<-n.ResetTarget()
			} else if done, ok := n.ResetUnit(0); ok {
				<-done
			}
		}
	})
	wg.Wait()
	<-n.Detach()
	if len(moving.state.links) != 0 || len(moving.state.waiters) != 0 || len(r.unit.state.waiters) != 0 {
		t.Errorf("%d links, %d and %d waiters are left", len(moving.state.links), len(moving.state.waiters), len(r.unit.state.waiters))
	}
	if len(r.unit.state.links) != 1 {
		t.Errorf("%d links", len(r.unit.state.links))
	}
	if moving.ranges.Len() != 0 || r.unit.ranges.Len() != 0 {
		t.Error("ranges are left")
	}
	<-moving.Close()
	<-moving.Close()
}

// use is one short session.
func use(t *testing.T, target *Target, name string, round int) {
	n := target.Attach(NexusConfig{Initiator: InitiatorPort{Name: name}})
	var tasks [4]Task
	buffer := make([]byte, 4096)
	for i := range tasks {
		n.Begin(&tasks[i], LUNOf(i%2), blocks([]byte{0x2a, 0x28, 0x8b, 0x2f}[(round+i)%4], uint64(i), 8))
	}
	for i := range tasks[:3] {
		tasks[i].Execute(context.Background(), buffer, buffer)
		if !tasks[i].Done() {
			t.Error("a task has not ended")
		}
	}
	done := n.Detach()
	tasks[3].Abandon()
	<-done
}

// TestOwnerEjects: the owner may wait for the disk while it is told that an initiator has
// ejected it.
func TestOwnerEjects(t *testing.T) {
	var r *rig
	r = newRig(t, UnitConfig{Removable: true, Disk: newDisk(t, memory(1<<20)), OnEject: func(bool) {
		done, err := r.unit.Eject(true)
		if err != nil {
			t.Error(err)
			return
		}
		<-done
	}})
	r.good(eject, nil, 0)
	r.fails(load, nil, 0, noMedium)
}

// TestAbortedWhileItWorks: long work ends between its parts.
func TestAbortedWhileItWorks(t *testing.T) {
	for name, c := range map[string]struct {
		cdb []byte
		out int
	}{
		"VERIFY":     {blocks(0x8f, 0, testBlocks), 0},
		"ORWRITE":    {blocks(0x8b, 0, testBlocks), testBlocks * 512},
		"WRITE SAME": {blocks(0x93, 0, testBlocks), 512},
	} {
		t.Run(name, func(t *testing.T) {
			var task Task
			calls := 0
			d := &counting{faulty: faulty{Memory: newRig(t, UnitConfig{}).device}, then: func() {
				if calls++; calls == 3 {
					task.Abort()
				}
			}}
			r := newRig(t, UnitConfig{Disk: newDisk(t, d)})
			r.nexus.Begin(&task, 0, c.cdb)
			out := pattern(c.out, 1)
			task.Execute(context.Background(), out, nil)
			if aborted, _ := task.Aborted(); !aborted || !task.Done() {
				t.Error("the task was not aborted")
			}
			if calls > 4 {
				t.Errorf("%d calls of the device", calls)
			}
		})
	}
}

// A counting device calls then before each read and write.
type counting struct {
	faulty
	then func()
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.then()
	return c.faulty.ReadAt(p, off)
}

func (c *counting) WriteAt(p []byte, off int64) (int, error) {
	c.then()
	return c.faulty.WriteAt(p, off)
}

// TestTakenAway takes the unit away at the two instants at which a command that comes could
// miss it.
func TestTakenAway(t *testing.T) {
	noUnit := Sense{Key: IllegalRequest, Code: CodeNoUnit}
	r := newRig(t, UnitConfig{})
	n := r.target.Attach(NexusConfig{Access: func(lun int) Access {
		if _, err := r.target.Remove(lun); err != nil {
			t.Error(err)
		}
		return ReadWrite
	}})
	if s, _ := r.on(n, ready, nil, 0); s != noUnit {
		t.Errorf("while the link is made: %v", s)
	}
	if len(r.unit.state.links) != 0 {
		t.Errorf("%d links to a unit that no target has", len(r.unit.state.links))
	}

	r = newRig(t, UnitConfig{})
	r.unit.lock()
	r.unit.state.loseNexus(r.nexus.links[0]) // as Remove does, between find and begin
	r.unit.unlock()
	r.fails(ready, nil, 0, noUnit)
	if r.task.listed {
		t.Error("the task is one of the unit")
	}
}
