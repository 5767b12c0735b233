package scsi_test

import (
	"context"
	"fmt"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A transport runs commands: it tells each its data, and the initiator how it ended.
func Example() {
	disk, _ := block.NewDisk(block.NewMemory(1 << 20))
	unit, _ := scsi.NewUnit(scsi.UnitConfig{Disk: disk, Serial: "1"})
	target := scsi.NewTarget()
	target.Add(0, unit)
	nexus := target.Attach(scsi.NexusConfig{Initiator: scsi.InitiatorPort{Name: "iqn.2026-01.org.example:host"}})
	defer nexus.Detach()

	var task scsi.Task // used again and again
	run := func(cdb, out []byte) []byte {
		nexus.Begin(&task, scsi.LUNOf(0), cdb)
		in := make([]byte, task.DataIn) // no more than the initiator takes
		task.Execute(context.Background(), out, in)
		if task.Status != scsi.Good {
			fmt.Println(task.Status, task.SenseError())
			return nil
		}
		return in[:min(len(in), task.Transferred)]
	}

	run([]byte{0x00, 0, 0, 0, 0, 0}, nil) // TEST UNIT READY
	run([]byte{0x2a, 0, 0, 0, 0, 7, 0, 0, 1, 0}, append([]byte("hello"), make([]byte, 507)...))
	fmt.Printf("%s\n", run([]byte{0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0}, nil)[:5])
	run([]byte{0x28, 0, 0, 0, 8, 0, 0, 0, 1, 0}, nil) // beyond the end

	// Output:
	// CHECK CONDITION scsi: sense key 6h, code 29h/00h
	// hello
	// CHECK CONDITION scsi: sense key 5h, code 21h/00h, information 2048
}
