package image_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// A program adds the kind to those of its own. Changes to an image, which is only
// read, can go to memory (cow) or to a file (overlay:NAME,base=image:NAME).
func ExampleKind() {
	set := spec.Builtin().With(image.Kind())
	_, err := set.Open(context.Background(), "image:no-such-disk.qcow2,cow")
	fmt.Println(err != nil)
	// Output: true
}

// What is no image is refused with the reason.
func ExampleOpen() {
	dev := block.NewMemory(1 << 20)
	dev.WriteAt([]byte("KDMV"), 0)
	_, err := image.Open(dev, image.Config{})
	fmt.Println(errors.Is(err, image.ErrFormat))
	fmt.Println(err)
	// Output:
	// true
	// image: no qcow2 image: invalid argument: it is a VMDK image; qemu-img convert makes a qcow2 image of it
}
