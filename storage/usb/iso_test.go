package usb_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
	"github.com/seed-012105e5/gonet/storage/usb/usbredir"
)

const (
	isolinux = "/usr/lib/ISOLINUX/isolinux.bin"
	hybrid   = "/usr/lib/ISOLINUX/isohdpfx.bin"
	ldlinux  = "/usr/lib/syslinux/modules/bios/ldlinux.c32"
	// prompt is what its boot loader says on the serial line when it has read its
	// configuration.
	prompt = "boot: "
)

// fileText is the file /file of the images.
func fileText() []byte {
	p := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{2}).Read(p)
	return p
}

// newISO makes an image that boots, from a CD-ROM and from a disk, to a prompt on the
// serial line.
func newISO(t testing.TB) string {
	t.Helper()
	xorriso := need.Program(t, "xorriso")
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "boot.iso")
	files := map[string][]byte{
		"file":                  fileText(),
		"isolinux/isolinux.cfg": []byte("SERIAL 0 115200\nPROMPT 1\nTIMEOUT 0\nDEFAULT none\n"),
	}
	for _, name := range []string{isolinux, ldlinux} {
		text, err := os.ReadFile(name)
		if err != nil {
			need.Unable(t, "%v (Debian's isolinux and syslinux-common)", err)
		}
		files["isolinux/"+filepath.Base(name)] = text
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(xorriso, "-as", "mkisofs", "-quiet", "-R", "-o", image, "-isohybrid-mbr", hybrid,
		"-c", "isolinux/boot.cat", "-b", "isolinux/isolinux.bin", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("xorriso: %v: %s", err, out)
	}
	return image
}

func openISO(t testing.TB, name string) *block.Disk {
	t.Helper()
	f, err := block.OpenFile(name, block.FileConfig{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := block.NewDisk(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// redirect offers a device by usbredir, and returns where.
func redirect(t testing.TB, d *usb.Device) (s *usbredir.Server, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &usbredir.Server{Device: d, ErrorLog: func(a net.Addr, err error) {
		if !errors.Is(err, usb.ErrAttached) { // QEMU has come again before all has ended
			t.Errorf("%v: %v", a, err)
		}
	}}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	return s, l.Addr().String()
}

// TestFirmwareBoots has QEMU's firmware boot an image from a device of ours: as a CD-ROM
// and as a disk, at the speeds and controllers that there are.
func TestFirmwareBoots(t *testing.T) {
	if testing.Short() {
		t.Skip("two machines boot: not with -short")
	}
	qemu := need.Program(t, "qemu-system-x86_64")
	image := newISO(t)
	for _, c := range []struct {
		name, controller string
		kind             scsi.Type
		speed            usb.Speed
	}{
		{"CD-ROM, EHCI", "usb-ehci", scsi.CDROM, usb.HighSpeed},
		{"disk, xHCI", "qemu-xhci", scsi.Disk, usb.HighSpeed},
	} {
		t.Run(c.name, func(t *testing.T) {
			unit := newUnit(t, scsi.UnitConfig{Type: c.kind, Disk: openISO(t, image)})
			_, at := redirect(t, newDevice(t, usb.Config{Speed: c.speed}, unit))
			host, port, _ := net.SplitHostPort(at)
			cmd := exec.Command(qemu, "-machine", "q35", "-accel", "tcg", "-m", "64", "-nodefaults", "-no-user-config", "-vga", "std", "-display", "none",
				"-serial", "stdio", "-device", c.controller+",id=usb", "-chardev", "socket,id=redir,host="+host+",port="+port,
				"-device", "usb-redir,chardev=redir,bus=usb.0,bootindex=0")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
			defer late.Stop()
			var said []byte
			for p := make([]byte, 1024); !bytes.Contains(said, []byte(prompt)); {
				n, err := stdout.Read(p)
				if said = append(said, p[:n]...); err != nil {
					break
				}
			}
			cmd.Process.Kill()
			cmd.Wait()
			if !bytes.Contains(said, []byte(prompt)) {
				t.Errorf("it has not booted; it said %q and %q", said, stderr.String())
			}
		})
	}
}
