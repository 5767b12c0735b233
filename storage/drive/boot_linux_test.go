package drive_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

const greeting = "booted from the drive"

// bootCode is a boot image of El Torito, for 16-bit mode: it writes the greeting to the
// first serial port and halts.
func bootCode() []byte {
	code := []byte{
		0x0e,             // push cs
		0x1f,             // pop ds
		0xe8, 0x00, 0x00, // call next
		0x5e,             // next: pop si
		0x83, 0xc6, 0x22, // add si, text-next
		0xfc,             // cld
		0xba, 0xfd, 0x03, // mov dx, line status of COM1
		0xac,       // again: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x12, // jz halt
		0x88, 0xc4, // mov ah, al
		0xec,       // wait: in al, dx
		0xa8, 0x20, // test al, transmitter empty
		0x74, 0xfb, // jz wait
		0x88, 0xe0, // mov al, ah
		0x83, 0xea, 0x05, // sub dx, 5
		0xee,             // out dx, al
		0x83, 0xc2, 0x05, // add dx, 5
		0xeb, 0xe9, // jmp again
		0xf4,       // halt: hlt
		0xeb, 0xfd, // jmp halt
	}
	image := make([]byte, 2048)
	copy(image, append(code, greeting+"\r\n\x00"...))
	return image
}

// bootISO has xorriso make a bootable CD image.
func bootISO(t *testing.T) string {
	xorriso := need.Program(t, "xorriso")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "boot.img"), bootCode(), 0o600); err != nil {
		t.Fatal(err)
	}
	iso := filepath.Join(t.TempDir(), "boot.iso")
	out, err := exec.Command(xorriso, "-as", "mkisofs", "-quiet", "-o", iso, "-b", "boot.img", "-no-emul-boot", "-boot-load-size", "4", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("xorriso: %v\n%s", err, out)
	}
	return iso
}

// serve has a server serve on loopback until the test ends.
func serve(t *testing.T, server interface {
	Serve(net.Listener) error
	Close() error
}) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return l.Addr().String()
}

// upload puts a file into a store.
func upload(t *testing.T, s *imagestore.Store, name, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := s.Write(t.Context(), imagestore.Upload{Name: name, Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := io.Copy(w, f); err != nil {
		t.Fatal(err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
}

// boots starts a machine with QEMU's arguments and waits for the greeting on its serial
// port.
func boots(t *testing.T, qemu string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args = append([]string{"-nodefaults", "-no-user-config", "-accel", "tcg", "-m", "64", "-display", "none", "-serial", "stdio", "-no-reboot"}, args...)
	c := exec.CommandContext(ctx, qemu, args...)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var complaints strings.Builder
	c.Stderr = &complaints
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	found := false
	for !found && lines.Scan() {
		found = strings.Contains(lines.Text(), greeting)
	}
	cancel()
	c.Wait()
	if !found {
		t.Errorf("%v: the machine did not boot from the drive: %s", args, complaints.String())
	}
}

// TestFirmwareBoots has the firmware of a machine boot a CD from a drive: by NBD, and by
// iSCSI, where it talks to the CD-ROM unit itself.
func TestFirmwareBoots(t *testing.T) {
	qemu := need.Program(t, "qemu-system-x86_64")
	iso := bootISO(t)
	store, err := imagestore.Open(imagestore.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	upload(t, store, "boot.iso", iso)
	exports, targets := new(nbd.Server), new(iscsi.Server)
	units, err := targets.Add(iscsi.Target{Name: "iqn.2026-01.org.example:drive"})
	if err != nil {
		t.Fatal(err)
	}
	lun, err := drive.NewLUN(units, 0, drive.LUNConfig{Disk: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := drive.New(drive.Config{Store: store, Backend: drive.Several(lun, drive.NewNBD(exports, "drive"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	name, cdrom := "boot.iso", true
	if err := d.SetParams(t.Context(), drive.Params{Image: &name, CDROM: &cdrom}); err != nil {
		t.Fatal(err)
	}
	if err := d.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	exported, portal := serve(t, exports), serve(t, targets)
	t.Run("NBD", func(t *testing.T) {
		boots(t, qemu, "-drive", "if=none,id=cd,format=raw,readonly=on,media=cdrom,file=nbd://"+exported+"/drive", "-device", "ide-cd,drive=cd,bootindex=0")
	})
	t.Run("iSCSI", func(t *testing.T) {
		if parts, _ := filepath.Glob("/usr/lib/*/qemu/block-iscsi.so"); parts == nil {
			need.Unable(t, "QEMU has no iSCSI (Debian's qemu-block-extra)")
		}
		boots(t, qemu, "-drive", "if=none,id=cd,format=raw,file=iscsi://"+portal+"/iqn.2026-01.org.example:drive/0",
			"-device", "virtio-scsi-pci", "-device", "scsi-generic,drive=cd,bootindex=0")
	})
	state, _ := d.State()
	if _, n := state.Traffic.Reads(); n == 0 || !state.Connected {
		t.Errorf("then the state is %+v, with %d bytes read", state, n)
	}
}
