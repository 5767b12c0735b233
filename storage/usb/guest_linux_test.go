package usb_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
	"github.com/seed-012105e5/gonet/storage/usb/usbip"
)

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Job{"usb": insideUSB})
}

// TestGuest has Linux in a guest use devices that this test exports.
func TestGuest(t *testing.T) {
	guest.Need(t)
	var server usbip.Server
	disk := newUnit(t, scsi.UnitConfig{Disk: memoryDisk(t, 64<<20), Removable: true})
	device := newDevice(t, usb.Config{}, disk)
	if err := server.Add("1-1", device); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { server.Close(); <-served; t.Log(server.Stats()) }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	g := guest.Start(t, guest.Config{
		Job: "usb", Args: []string{port}, Network: true,
		Modules:  []string{"vhci_hcd", "usb_storage", "uas", "sd_mod", "sr_mod", "sg", "crc32c_generic", "ext4", "isofs"},
		Programs: []string{need.Program(t, "usbip"), need.Program(t, "mkfs.ext4"), need.Program(t, "e2fsck")},
	})
	for line := range g.Lines {
		t.Log(line)
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
}

func newUnit(t testing.TB, c scsi.UnitConfig) *scsi.Unit {
	t.Helper()
	u, err := scsi.NewUnit(c)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func memoryDisk(t testing.TB, size int64) *block.Disk {
	t.Helper()
	d, err := block.NewDisk(block.NewMemory(size))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newDevice(t testing.TB, c usb.Config, units ...*scsi.Unit) *usb.Device {
	t.Helper()
	c.Units = scsi.NewTarget()
	for i, u := range units {
		if err := c.Units.Add(i, u); err != nil {
			t.Fatal(err)
		}
	}
	d, err := usb.NewDevice(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// insideUSB is the job of the guest.
func insideUSB(in *guest.Inside) error {
	port := in.Args[0]
	if err := os.MkdirAll("/var/run", 0o755); err != nil { // where usbip keeps what it has attached
		return err
	}
	attach := func(busID string) error {
		_, err := in.Run("usbip", "--tcp-port", port, "attach", "-r", guest.Host, "-b", busID)
		return err
	}
	if out, err := in.Run("usbip", "--tcp-port", port, "list", "-r", guest.Host); err != nil {
		return err
	} else {
		in.Tell("%s", out)
	}
	if err := attach("1-1"); err != nil {
		return err
	}
	if err := awaitBlock(in, "sda"); err != nil {
		return err
	}
	if p, err := os.ReadFile("/sys/bus/usb/drivers/uas/module/refcnt"); err == nil {
		in.Tell("uas refcnt %s", p)
	}
	drivers, _ := filepath.Glob("/sys/bus/usb/drivers/*/*:1.0")
	in.Tell("drivers %v", drivers)
	return useDisk(in, "/dev/sda")
}

// awaitBlock waits for a block device that has a size.
func awaitBlock(in *guest.Inside, name string) error {
	if err := in.Await(time.Minute, func() bool {
		p, err := os.ReadFile("/sys/block/" + name + "/size")
		return err == nil && strings.TrimSpace(string(p)) != "0"
	}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// useDisk makes a file system, writes a file, and reads it back after the cache was
// dropped.
func useDisk(in *guest.Inside, dev string) error {
	if _, err := in.Run("mkfs.ext4", "-q", dev); err != nil {
		return err
	}
	if err := in.Mount(dev, "/mnt", "ext4", 0, ""); err != nil {
		return err
	}
	text := make([]byte, 12<<20)
	rand.NewChaCha8([32]byte{1}).Read(text)
	began := time.Now()
	err := os.WriteFile("/mnt/file", text, 0o600)
	if err = errors.Join(err, in.Unmount("/mnt")); err != nil {
		return err
	}
	in.Tell("written after %v", time.Since(began))
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return err
	}
	if _, err := in.Run("e2fsck", "-fn", dev); err != nil {
		return err
	}
	if err := in.Mount(dev, "/mnt", "ext4", 0, ""); err != nil {
		return err
	}
	began = time.Now()
	got, err := os.ReadFile("/mnt/file")
	in.Tell("read after %v", time.Since(began))
	if err == nil && !bytes.Equal(got, text) {
		err = errors.New("the file is another")
	}
	return errors.Join(err, in.Unmount("/mnt"))
}
