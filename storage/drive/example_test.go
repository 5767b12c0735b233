package drive_test

import (
	"context"
	"fmt"
	"os"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// A display is a Backend of one's own: its machine is somebody who reads what it prints.
type display struct{ medium *drive.Medium }

// Insert shows what is on the medium.
func (d *display) Insert(_ context.Context, m drive.Medium) error {
	text := make([]byte, 5)
	if _, err := m.Disk.ReadAt(text, 0); err != nil {
		return err
	}
	d.medium = &m
	fmt.Printf("%s begins with %q, CD-ROM %v, read-only %v\n", m.Name, text, m.CDROM, m.ReadOnly)
	return nil
}

// Eject takes it away. One that can be locked returns drive.ErrLocked, unless forced.
func (d *display) Eject(context.Context, bool) error {
	if d.medium != nil {
		fmt.Printf("%s is gone\n", d.medium.Name)
	}
	d.medium = nil
	return nil
}

func (d *display) Close() error { return nil }

func ExampleBackend() {
	dir, _ := os.MkdirTemp("", "store-")
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := imagestore.Open(imagestore.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	d, err := drive.New(drive.Config{Store: store, Backend: &display{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()

	w, err := store.Write(ctx, imagestore.Upload{Name: "hello.img", Size: 11})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(w, "hello world")
	fmt.Println("upload:", w.Finish(), w.Close())

	image, cdrom := "hello.img", true
	fmt.Println(d.SetParams(ctx, drive.Params{Image: &image, CDROM: &cdrom}), d.Connect(ctx), d.Disconnect(ctx, false))
	// Output:
	// upload: <nil> <nil>
	// hello.img begins with "hello", CD-ROM true, read-only true
	// hello.img is gone
	// <nil> <nil> <nil>
}
