package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
)

// discText is the file of a disc.
func discText(seed byte) []byte {
	p := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// newDisc makes an image of a CD with one file.
func newDisc(t *testing.T, seed byte) string {
	t.Helper()
	xorriso := need.Program(t, "xorriso")
	dir, image := t.TempDir(), filepath.Join(t.TempDir(), "disc.iso")
	if err := os.WriteFile(filepath.Join(dir, "file"), discText(seed), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(xorriso, "-as", "mkisofs", "-quiet", "-R", "-o", image, dir).CombinedOutput(); err != nil {
		t.Fatalf("xorriso: %v: %s", err, out)
	}
	return image
}

// TestGuest has the program run in a guest that is its host as well: one drive is a USB
// port's (dummy_hcd), a device of USB/IP's (vhci-hcd) and a unit of iSCSI's at the same
// time. The steps are those of insideDoors.
func TestGuest(t *testing.T) {
	guest.Need(t)
	t.Parallel()
	g := guest.Start(t, guest.Config{
		Job: "doors", Network: true, Memory: 640,
		Modules: []string{"vhci_hcd", "usb_storage", "uas", "sd_mod", "sr_mod", "crc32c_generic", "ext4", "isofs",
			"dummy_hcd", "libcomposite", "usb_f_mass_storage", "iscsi_tcp"},
		Programs: []string{need.Program(t, "usbip"), need.Program(t, "mkfs.ext4"), need.Program(t, "e2fsck"), need.Program(t, "iscsistart")},
		Files:    map[string]string{"/one.iso": newDisc(t, 1), "/two.iso": newDisc(t, 2)},
	})
	for line := range g.Lines {
		t.Log(line)
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
}

// A machine is the guest in the course of the job.
type machine struct {
	*guest.Inside
	c    *child
	args []string
	seen map[string]bool // block devices that are not new
	port string          // block device of the USB port
}

const (
	storeDir  = "/tmp/store"
	gadgetDir = "/sys/kernel/config/usb_gadget/" + gadgetName
	unitDir   = gadgetDir + "/functions/mass_storage.0/lun.0/"
)

// insideDoors is the job of the guest.
func insideDoors(in *guest.Inside) error {
	w := &machine{Inside: in, c: &child{}, seen: map[string]bool{}, args: []string{
		"-store", storeDir, "-tls", "off", "-auth", "off", "-gadget", "auto", "-gadget-inquiry", "GoNet   Virtual Drive   0007", "-gadget-nofua", "-usbip", "127.0.0.1:3240"}}
	if err := errors.Join(os.MkdirAll("/var/run", 0o755), w.Mount("none", "/sys/kernel/config", "configfs", 0, "")); err != nil {
		return err
	}
	defer func() {
		if w.c.command != nil {
			w.c.kill()
		}
	}()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"start", w.begin}, {"disk", w.disk}, {"killed", w.killed}, {"ejected while nobody ran", w.ejectedMeanwhile},
		{"disc", w.disc}, {"change of medium", w.change}, {"eject by the machine", w.ejectedByMachine}, {"forced", w.forced}, {"end", w.end},
	} {
		began := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		in.Tell("done %s after %v", step.name, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// launch starts the program.
func (w *machine) launch() error { return w.c.launch(context.Background(), "gadget ", w.args...) }

// do makes calls of the API, which are to succeed.
func (w *machine) do(paths ...string) error {
	for _, path := range paths {
		if _, err := w.c.call("POST", path, nil); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// refused makes a call that is to fail with an error of that name.
func (w *machine) refused(name, path string) error {
	if _, err := w.c.call("POST", path, nil); err == nil || !strings.Contains(err.Error(), name) {
		return fmt.Errorf("%s: %v, want %s", path, err, name)
	}
	return nil
}

// connected waits until the drive is connected, or is not.
func (w *machine) connected(want bool) error {
	var last string
	err := w.Await(time.Minute, func() bool {
		state, err := w.c.call("GET", "msd", nil)
		if err != nil {
			last = err.Error()
			return false
		}
		drive, _ := state["drive"].(map[string]any)
		last = fmt.Sprint(drive)
		return drive["connected"] == want && state["busy"] == false
	})
	if err != nil {
		return fmt.Errorf("the drive is %s: %w", last, err)
	}
	return nil
}

// begin starts the program, with images, and finds the empty drive at the USB port.
func (w *machine) begin() (err error) {
	// A gadget of other units, which the program has to remove.
	if err := os.MkdirAll(gadgetDir+"/functions/mass_storage.0/lun.1", 0o755); err != nil {
		return err
	}
	if err := w.launch(); err != nil {
		return err
	}
	for _, name := range []string{"one.iso", "two.iso"} {
		text, err := os.ReadFile("/" + name)
		if err != nil {
			return err
		}
		if _, err := w.c.call("POST", "msd/write?image="+name, bytes.NewReader(text)); err != nil {
			return err
		}
	}
	if _, err := w.c.call("POST", "msd/write?image=disk.img", bytes.NewReader(make([]byte, 16<<20))); err != nil {
		return err
	}
	w.port, err = w.appears("sd")
	return err
}

// appears waits for a new block device whose name begins so.
func (w *machine) appears(kind string) (name string, err error) {
	err = w.Await(2*time.Minute, func() bool {
		all, _ := os.ReadDir("/sys/block")
		for _, e := range all {
			if strings.HasPrefix(e.Name(), kind) && !w.seen[e.Name()] {
				name = e.Name()
				w.seen[name] = true
				return true
			}
		}
		return false
	})
	if err != nil {
		err = fmt.Errorf("no new device %s: %w", kind, err)
	}
	return name, err
}

// medium waits until a block device has a medium that can be read.
func (w *machine) medium(name string) error {
	if err := w.Await(time.Minute, func() bool {
		f, err := os.Open("/dev/" + name)
		if err != nil {
			return false
		}
		defer f.Close()
		size, err := f.Seek(0, io.SeekEnd)
		return err == nil && size > 0
	}); err != nil {
		return fmt.Errorf("no medium in %s: %w", name, err)
	}
	return nil
}

// attach attaches the device by USB/IP.
func (w *machine) attach(kind string) (string, error) {
	if err := w.Await(time.Minute, func() bool {
		_, err := w.Run("usbip", "attach", "-r", "127.0.0.1", "-b", "1-1")
		return err == nil
	}); err != nil {
		return "", fmt.Errorf("usbip attach: %w", err)
	}
	return w.appears(kind)
}

// attributes sees that files have these texts.
func attributes(want map[string]string) error {
	for name, text := range want {
		if got, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(got)) != text {
			return fmt.Errorf("%s is %q, %v; want %q", name, got, err, text)
		}
	}
	return nil
}

// disk has a disk in the drive, read-only and then not, whose file system the machine makes
// at the USB port and checks over USB/IP. What it holds open is locked, and what it has
// written is in the image.
func (w *machine) disk() error {
	block := "/sys/block/" + w.port
	if err := w.do("msd/set_params?image=disk.img&cdrom=0&rw=0", "msd/set_connected?connected=1"); err != nil {
		return err
	}
	if err := w.medium(w.port); err != nil {
		return err
	}
	err := attributes(map[string]string{
		unitDir + "cdrom": "0", unitDir + "ro": "1", unitDir + "removable": "1", unitDir + "nofua": "1", block + "/ro": "1", block + "/removable": "1",
		block + "/device/vendor": "GoNet", block + "/device/model": "Virtual Drive", block + "/device/rev": "0007"})
	if err != nil {
		return err
	}
	if err := w.do("msd/set_connected?connected=0", "msd/set_params?rw=1&overlay=1"); err != nil {
		return err
	}
	if err := w.refused("MsdPermissionsError", "msd/set_connected?connected=1"); err != nil { // the kernel knows no overlays
		return err
	}
	if err := w.do("msd/set_params?rw=1&overlay=0", "msd/set_connected?connected=1"); err != nil {
		return err
	}
	if err := w.medium(w.port); err != nil {
		return err
	}
	if err := attributes(map[string]string{unitDir + "ro": "0", block + "/ro": "0"}); err != nil {
		return err
	}
	if _, err := w.Run("mkfs.ext4", "-q", "-F", "/dev/"+w.port); err != nil {
		return err
	}
	if err := w.Mount("/dev/"+w.port, "/mnt", "ext4", 0, ""); err != nil {
		return err
	}
	if err := w.refused("MsdLockedError", "msd/set_connected?connected=0"); err != nil {
		return err
	}
	err = os.WriteFile("/mnt/file", discText(9), 0o600)
	if err = errors.Join(err, w.Unmount("/mnt")); err != nil {
		return err
	}
	other, err := w.attach("sd")
	if err != nil {
		return err
	}
	if err := w.medium(other); err != nil {
		return err
	}
	if _, err := w.Run("e2fsck", "-fn", "/dev/"+other); err != nil {
		return fmt.Errorf("over USB/IP: %w", err)
	}
	if _, err := w.Run("usbip", "detach", "-p", "0"); err != nil {
		return err
	}
	if err := w.vanishes(other); err != nil {
		return err
	}
	if _, err := w.Run("e2fsck", "-fn", storeDir+"/images/disk.img"); err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	return nil
}

// vanishes waits until a block device is there no more.
func (w *machine) vanishes(name string) error {
	if err := w.Await(2*time.Minute, func() bool { _, err := os.Stat("/sys/block/" + name); return err != nil }); err != nil {
		return fmt.Errorf("%s is there still: %w", name, err)
	}
	delete(w.seen, name)
	return nil
}

// killed kills the program while the machine has the medium mounted, which goes on, and is
// the drive's when the program is there again.
func (w *machine) killed() error {
	if err := w.Mount("/dev/"+w.port, "/mnt", "ext4", 0, ""); err != nil {
		return err
	}
	w.c.kill()
	got, err := os.ReadFile("/mnt/file")
	if err != nil || !bytes.Equal(got, discText(9)) {
		return fmt.Errorf("the file is another, %v", err)
	}
	if err := os.WriteFile("/mnt/second", discText(8), 0o600); err != nil {
		return err
	}
	if err := w.launch(); err != nil {
		return err
	}
	if err := w.connected(true); err != nil {
		return err
	}
	if err := w.refused("MsdLockedError", "msd/set_connected?connected=0"); err != nil {
		return err
	}
	if err := w.Unmount("/mnt"); err != nil {
		return err
	}
	if _, err := os.Stat("/sys/block/" + w.port); err != nil {
		return fmt.Errorf("the machine has seen an unplugging: %w", err)
	}
	_, err = w.Run("e2fsck", "-fn", "/dev/"+w.port)
	return err
}

// ejectedMeanwhile kills the program, and has the machine eject the medium before it is
// there again: then the drive is disconnected.
func (w *machine) ejectedMeanwhile() error {
	w.c.kill()
	if err := eject(w.port); err != nil {
		return err
	}
	if err := attributes(map[string]string{unitDir + "file": ""}); err != nil {
		return err
	}
	if err := w.launch(); err != nil {
		return err
	}
	return w.connected(false)
}

// eject ejects a medium as eject(1) does.
func eject(name string) error {
	fd, err := unix.Open("/dev/"+name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const doorUnlock, eject = 0x5381, 0x5309 // SCSI_IOCTL_DOORUNLOCK of scsi/scsi_ioctl.h, CDROMEJECT of linux/cdrom.h
	if strings.HasPrefix(name, "sd") {
		if err := unix.IoctlSetInt(fd, doorUnlock, 0); err != nil {
			return os.NewSyscallError("SCSI_IOCTL_DOORUNLOCK", err)
		}
	}
	return os.NewSyscallError("CDROMEJECT", unix.IoctlSetInt(fd, eject, 0))
}

// disc has a disc in the drive, which the machine mounts three times: at the USB port,
// where the device is another now, over USB/IP, and over iSCSI.
func (w *machine) disc() error {
	if err := w.do("msd/set_params?image=one.iso&cdrom=1", "msd/set_connected?connected=1"); err != nil {
		return err
	}
	if err := w.vanishes(w.port); err != nil {
		return err
	}
	var err error
	if w.port, err = w.appears("sr"); err != nil {
		return err
	}
	if _, err := w.attach("sr"); err != nil {
		return err
	}
	if _, err := w.Run("iscsistart", "-i", "iqn.2026-01.org.example:guest", "-t", "iqn.2026-01.org.example:drive", "-g", "1", "-a", "127.0.0.1", "-p", "3260"); err != nil {
		return err
	}
	if _, err := w.appears("sr"); err != nil {
		return err
	}
	return w.readDiscs(1)
}

// readDiscs mounts the disc at all drives, and reads its file.
func (w *machine) readDiscs(seed byte) error {
	for _, name := range []string{"sr0", "sr1", "sr2"} {
		if err := w.medium(name); err != nil {
			return err
		}
		if err := w.Mount("/dev/"+name, "/disc", "iso9660", unix.MS_RDONLY, ""); err != nil {
			return err
		}
		got, err := os.ReadFile("/disc/file")
		if err == nil && !bytes.Equal(got, discText(seed)) {
			err = errors.New("the file of the disc is another")
		}
		var locked error
		if seed == 1 { // the machine prevents removal
			locked = w.refused("MsdLockedError", "msd/set_connected?connected=0")
		}
		if err := errors.Join(err, locked, w.Unmount("/disc")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// change puts in another disc: all three drives of the machine hear of it.
func (w *machine) change() error {
	if err := w.Await(time.Minute, func() bool { return w.do("msd/set_connected?connected=0") == nil }); err != nil {
		return err
	}
	for _, name := range []string{"sr0", "sr1", "sr2"} {
		if f, err := os.Open("/dev/" + name); !errors.Is(err, unix.ENOMEDIUM) {
			f.Close()
			return fmt.Errorf("%s without a medium: %v", name, err)
		}
	}
	if err := w.do("msd/set_params?image=two.iso", "msd/set_connected?connected=1"); err != nil {
		return err
	}
	return w.readDiscs(2)
}

// ejectedByMachine has the machine eject at each of its drives: the medium is out of all.
func (w *machine) ejectedByMachine() error {
	for _, name := range []string{"sr0", "sr1", "sr2"} {
		if err := w.do("msd/set_connected?connected=1"); err != nil && !strings.Contains(err.Error(), "MsdConnectedError") {
			return err
		}
		if err := w.medium(name); err != nil {
			return err
		}
		if err := eject(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := w.connected(false); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := attributes(map[string]string{unitDir + "file": ""}); err != nil {
			return err
		}
	}
	return nil
}

// forced takes a disk away while the machine writes to it.
func (w *machine) forced() (err error) {
	if err := w.do("msd/set_params?image=disk.img&cdrom=0&rw=1", "msd/set_connected?connected=1"); err != nil {
		return err
	}
	if err := w.vanishes(w.port); err != nil {
		return err
	}
	// The host of USB/IP would have to attach again, and that of iSCSI to scan.
	if w.port, err = w.appears("sd"); err != nil {
		return err
	}
	if err := w.medium(w.port); err != nil {
		return err
	}
	f, err := os.OpenFile("/dev/"+w.port, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := unix.Mmap(-1, 0, 64<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	ejected := make(chan error, 1)
	for i := int64(0); ; i++ {
		if i == 20 {
			go func() { ejected <- w.do("msd/set_connected?connected=0&force=1") }()
		}
		if _, err := f.WriteAt(text, i%300*int64(len(text))); err != nil {
			w.Tell("%d writes, then %v", i, err)
			break
		}
		if i > 1e6 {
			return errors.New("writes do not fail")
		}
	}
	return errors.Join(<-ejected, w.connected(false))
}

// end interrupts the program, which takes its gadget away.
func (w *machine) end() error {
	if err := w.c.interrupt(); err != nil {
		return err
	}
	if _, err := os.Stat(gadgetDir); err == nil {
		return errors.New("the gadget is there still")
	}
	return nil
}
