package overlay_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/overlay"
)

// Changes go to the store until they are committed or discarded.
func Example() {
	golden := block.NewMemory(1 << 20)
	o, err := overlay.Open(golden, block.NewMemory(0), overlay.Config{})
	if err != nil {
		log.Fatal(err)
	}
	o.WriteAt([]byte("changed"), 0)
	o.Sync()
	p := make([]byte, 7)
	golden.ReadAt(p, 0)
	fmt.Printf("%q, %d bytes in the store\n", p, o.Used())
	if err := o.Commit(context.Background(), nil); err != nil {
		log.Fatal(err)
	}
	golden.ReadAt(p, 0)
	fmt.Printf("%q, %d bytes in the store\n", p, o.Used())
	// Output:
	// "\x00\x00\x00\x00\x00\x00\x00", 65536 bytes in the store
	// "changed", 0 bytes in the store
}
