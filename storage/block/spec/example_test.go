package spec_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed-012105e5/gonet/storage/block/partition"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// A program adds the kinds and filters of packages that it imports.
func ExampleSet_Open() {
	set := spec.Builtin().WithFilters(partition.Filter())
	d, err := set.Open(context.Background(), "memory:64M,delay=1ms,ro")
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	size, _ := d.Size()
	fmt.Println(spec.FormatSize(size), d.ReadOnly())
	_, err = set.Open(context.Background(), "disk.img")
	fmt.Println(err)
	// Output:
	// 64M true
	// "disk.img" is no disk: write its kind before it, as in memory:64M or file:disk.img
}
