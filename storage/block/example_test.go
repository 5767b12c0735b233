package block_test

import (
	"fmt"
	"log"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A slice becomes a device, and the device a disk with all powers.
func Example() {
	dev, err := block.Adapt(make([]byte, 1<<20))
	if err != nil {
		log.Fatal(err)
	}
	d, err := block.NewDisk(dev)
	if err != nil {
		log.Fatal(err)
	}
	d.WriteAtFUA([]byte("hello"), 4096)
	d.WriteZeroes(4097, 3, 0)
	p := make([]byte, 5)
	d.ReadAt(p, 4096)
	fmt.Printf("%q; trims by itself: %v\n", p, d.Info().Trim)
	// Output: "h\x00\x00\x00o"; trims by itself: false
}

// What was never written to memory takes no room.
func ExampleDisk_Extents() {
	d, err := block.NewDisk(block.NewMemory(1 << 40))
	if err != nil {
		log.Fatal(err)
	}
	d.WriteAt([]byte{1}, 1<<30)
	d.Extents(0, 1<<40, func(e block.Extent) bool {
		fmt.Printf("%d bytes at %d, hole: %v\n", e.Length, e.Off, e.Hole)
		return true
	})
	// Output:
	// 1073741824 bytes at 0, hole: true
	// 65536 bytes at 1073741824, hole: false
	// 1098437820416 bytes at 1073807360, hole: true
}
