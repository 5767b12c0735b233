package filter_test

import (
	"fmt"
	"log"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
)

// A power cut undoes what no Sync has made durable, or not: here it was lost.
func ExampleVolatile() {
	memory := block.NewMemory(1 << 20)
	v, err := filter.NewVolatile(memory)
	if err != nil {
		log.Fatal(err)
	}
	v.WriteAt([]byte("durable!"), 0)
	v.Sync()
	v.WriteAt([]byte("volatile"), 0)
	v.Cut(3) // the seed decides
	p := make([]byte, 8)
	memory.ReadAt(p, 0)
	fmt.Printf("%s\n", p)
	_, err = v.ReadAt(p, 0)
	fmt.Println(err)
	// Output:
	// durable!
	// block: the device is closed
}
