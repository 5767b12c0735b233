package scsi

import (
	"context"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// FuzzCommands throws CDBs and data at a disk and a CD-ROM: nothing panics, sense is well
// formed, and no command asks for more memory than it may.
func FuzzCommands(f *testing.F) {
	for _, of := range []Type{Disk, CDROM} {
		for _, c := range commandsOf(of).all {
			f.Add(byte(of), c.usage, []byte("data"), uint16(512))
			zero := make([]byte, len(c.usage))
			zero[0] = c.usage[0]
			if c.action {
				zero[1] = c.usage[1]
			}
			f.Add(byte(of), zero, make([]byte, 1024), uint16(64))
		}
	}
	f.Fuzz(func(t *testing.T, of byte, cdb, out []byte, in uint16) {
		c := UnitConfig{Removable: of&1 != 0, MaxTransfer: 1 << 20}
		if of&4 != 0 {
			c.Type = CDROM
		}
		disk, err := block.NewDisk(block.NewMemory(1 << 20))
		if err != nil {
			t.Fatal(err)
		}
		c.Disk = disk
		r := newRig(t, c)
		for range 2 {
			r.nexus.Begin(&r.task, LUNOf(0), cdb)
			if n := r.task.DataOut; n < 0 || n > 1<<20 {
				t.Fatalf("% x takes %d bytes", cdb, n)
			}
			if n := r.task.DataIn; n < 0 || n > 1<<20 {
				t.Fatalf("% x gives %d bytes", cdb, n)
			}
			if r.task.Lo < 0 || r.task.Hi < r.task.Lo || r.task.Hi > 1<<20 {
				t.Fatalf("% x works on %d to %d", cdb, r.task.Lo, r.task.Hi)
			}
			p := make([]byte, in)
			r.task.Execute(context.Background(), out, p)
			r.ended(&r.task, p)
			if len(out) >= r.task.DataOut && r.task.Transferred > max(r.task.DataOut, r.task.DataIn) {
				t.Fatalf("% x transferred %d bytes", cdb, r.task.Transferred)
			}
		}
		for _, l := range r.unit.state.links {
			if l.tasks.first != nil {
				t.Fatal("a task is left")
			}
		}
		if r.unit.ranges.Len() != 0 {
			t.Fatal("a range is left")
		}
	})
}
