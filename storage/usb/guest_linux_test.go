package usb_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
	"github.com/seed-012105e5/gonet/storage/usb/gadget"
	"github.com/seed-012105e5/gonet/storage/usb/usbip"
)

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Job{"usb": insideUSB})
}

// TestGuest has Linux in a guest use devices that this test exports, by USB/IP and by
// usbredir, and be a device by gadget. The steps are those of insideUSB.
func TestGuest(t *testing.T) {
	guest.Need(t)
	usbipd := need.Program(t, "usbipd")
	image := newISO(t)
	server := &usbip.Server{ErrorLog: func(a net.Addr, err error) { t.Errorf("%v: %v", a, err) }}
	for id, d := range map[string]*usb.Device{
		"1-1": newDevice(t, usb.Config{}, newUnit(t, scsi.UnitConfig{Disk: memoryDisk(t, 64<<20)})),
		"2-1": newDevice(t, usb.Config{Speed: usb.SuperSpeed, Stall: true}, newUnit(t, scsi.UnitConfig{Disk: memoryDisk(t, 64<<20)})),
		"3-1": newDevice(t, usb.Config{}, newUnit(t, scsi.UnitConfig{Type: scsi.CDROM, Disk: openISO(t, image)})),
	} {
		if err := server.Add(id, d); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() { server.Close(); <-served; t.Log(server.Stats()) }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	redirected, at := redirect(t, newDevice(t, usb.Config{}, newUnit(t, scsi.UnitConfig{Type: scsi.CDROM, Disk: openISO(t, image)})))
	_, fast := redirect(t, newDevice(t, usb.Config{Speed: usb.SuperSpeed}, newUnit(t, scsi.UnitConfig{Disk: memoryDisk(t, 64<<20)})))
	g := guest.Start(t, guest.Config{
		Job: "usb", Args: []string{port}, Network: true, Memory: 512,
		Modules: []string{"vhci_hcd", "xhci_pci", "usb_storage", "uas", "sd_mod", "sr_mod", "crc32c_generic", "ext4", "isofs",
			"dummy_hcd", "libcomposite", "usb_f_mass_storage", "usbip_vudc num=1"},
		Programs: []string{need.Program(t, "usbip"), usbipd, need.Program(t, "mkfs.ext4"), need.Program(t, "e2fsck"), need.Program(t, "fio")},
		Files:    map[string]string{"/boot.iso": image},
		QEMU:     slices.Concat([]string{"-device", "qemu-xhci,id=usb"}, redirectArgs("disc", at), redirectArgs("fast", fast)),
	})
	for line := range g.Lines {
		t.Log(line)
		switch what, of, _ := strings.Cut(line, " "); what {
		case "unplug":
			if of == "redir" {
				redirected.Unplug()
			} else if err := server.Unplug(of); err != nil {
				t.Error(err)
			}
			g.Say("unplugged")
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
}

// redirectArgs are those of QEMU for a device that is offered at an address.
func redirectArgs(id, address string) []string {
	host, port, _ := net.SplitHostPort(address)
	return []string{"-chardev", "socket,reconnect=1,id=" + id + ",host=" + host + ",port=" + port, "-device", "usb-redir,bus=usb.0,chardev=" + id}
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
	if err := os.MkdirAll("/var/run", 0o755); err != nil { // where usbip keeps what it has attached
		return err
	}
	w := &machine{Inside: in, seen: map[string]bool{}}
	for _, step := range []struct {
		name string
		do   func(*machine) error
	}{
		{"usbredir", (*machine).redirected}, {"UAS with streams", (*machine).streams},
		{"disk by UAS", (*machine).diskByUAS}, {"disk by BOT", (*machine).diskByBOT}, {"CD-ROM", (*machine).disc},
		{"unplugged", (*machine).unplugged}, {"detached", (*machine).detached},
		{"gadget", (*machine).gadget}, {"reference", (*machine).reference},
	} {
		began := time.Now()
		if err := step.do(w); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		in.Tell("done %s after %v", step.name, time.Since(began))
	}
	return nil
}

// A machine is the guest in the course of the job.
type machine struct {
	*guest.Inside
	seen   map[string]bool // block devices that are not new
	first  string          // disk of bus ID 1-1, then that of the gadget
	second string          // disk of bus ID 2-1
}

// attach attaches a device, and returns the name of its block device, which is sd or sr
// with something behind it.
func (w *machine) attach(host, busID, kind string) (string, error) {
	port := w.Args[0]
	if host != guest.Host {
		port = usbip.Port
	}
	// What runs at the other end may just have begun, or not yet seen that we are gone.
	var out string
	if err := w.Await(time.Minute, func() bool {
		var err error
		out, err = w.Run("usbip", "--tcp-port", port, "attach", "-r", host, "-b", busID)
		return err == nil
	}); err != nil {
		return "", fmt.Errorf("attach %s: %w: %s", busID, err, out)
	}
	return w.appears(kind)
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
		err = fmt.Errorf("no new device: %w", err)
	}
	return name, err
}

// vanishes waits until a block device is there no more.
func (w *machine) vanishes(name string) error {
	if err := w.Await(2*time.Minute, func() bool { _, err := os.Stat("/sys/block/" + name); return err != nil }); err != nil {
		return fmt.Errorf("%s is there still: %w", name, err)
	}
	delete(w.seen, name)
	return nil
}

// driver is the driver of USB that a block device hangs on.
func (w *machine) driver(name string) string {
	path, _ := filepath.EvalSymlinks("/sys/block/" + name)
	for ; path != "/" && path != "."; path = filepath.Dir(path) {
		if to, err := os.Readlink(path + "/driver"); err == nil && strings.Contains(to, "/bus/usb/") {
			return filepath.Base(to)
		}
	}
	return "none"
}

// redirected mounts the CD-ROM that QEMU has by usbredir, unplugged and plugged in once.
func (w *machine) redirected() error {
	for i := range 2 {
		name, err := w.appears("sr")
		if err != nil {
			return err
		}
		if err := w.readDisc(name); err != nil {
			return err
		}
		if i == 0 {
			w.Tell("unplug redir")
			if _, err := w.Hear(); err != nil {
				return err
			}
			if err := w.vanishes(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// streams uses the disk that QEMU has by usbredir at SuperSpeed, where UAS has streams.
func (w *machine) streams() error {
	name, err := w.appears("sd")
	if err != nil {
		return err
	}
	if d := w.driver(name); d != "uas" {
		return fmt.Errorf("the driver is %s", d)
	}
	return w.useDisk(name, fileText())
}

// readDisc mounts a disc and reads its file.
func (w *machine) readDisc(name string) error {
	if err := w.awaitSize(name); err != nil {
		return err
	}
	if err := w.Mount("/dev/"+name, "/disc", "iso9660", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	got, err := os.ReadFile("/disc/file")
	if err == nil && !bytes.Equal(got, fileText()) {
		err = errors.New("the file of the disc is another")
	}
	return errors.Join(err, w.Unmount("/disc"))
}

// awaitSize waits until a block device has a size, which it may be told of only when it
// is opened.
func (w *machine) awaitSize(name string) error {
	if err := w.Await(time.Minute, func() bool {
		f, err := os.Open("/dev/" + name)
		if err != nil {
			return false
		}
		defer f.Close()
		size, err := f.Seek(0, io.SeekEnd)
		return err == nil && size > 0
	}); err != nil {
		return fmt.Errorf("the size of %s: %w", name, err)
	}
	return nil
}

func (w *machine) diskByUAS() (err error) {
	if w.first, err = w.attach(guest.Host, "1-1", "sd"); err != nil {
		return err
	}
	if d := w.driver(w.first); d != "uas" {
		return fmt.Errorf("the driver is %s", d)
	}
	if err := w.useDisk(w.first, fileText()); err != nil {
		return err
	}
	return w.fio("UAS", w.first, "1m")
}

// fio has fio write so much at random and verify it, and tells how fast that was.
func (w *machine) fio(what, name, size string) error {
	out, err := w.Run("fio", "--name=x", "--filename=/dev/"+name, "--offset=8m", "--size="+size, "--rw=randwrite", "--bs=4k", "--direct=1", "--ioengine=libaio",
		"--iodepth=8", "--verify=crc32c", "--thread", "--output-format=json")
	if err != nil {
		return err
	}
	var r struct {
		Jobs []struct{ Read, Write struct{ IOPS float64 } }
	}
	_, text, _ := strings.Cut(out, "{") // before it there may be notes
	if err := json.Unmarshal([]byte("{"+text), &r); err != nil || len(r.Jobs) != 1 {
		return fmt.Errorf("fio says %s, %w", out, err)
	}
	w.Tell("fio %s: %.0f writes a second of 4 KB at random, %.0f reads a second", what, r.Jobs[0].Write.IOPS, r.Jobs[0].Read.IOPS)
	if r.Jobs[0].Write.IOPS == 0 || r.Jobs[0].Read.IOPS == 0 {
		return fmt.Errorf("fio did nothing: %s", out)
	}
	return nil
}

func (w *machine) diskByBOT() error {
	name, err := w.attach(guest.Host, "2-1", "sd")
	if err != nil {
		return err
	}
	if d := w.driver(name); d != "usb-storage" { // since vhci-hcd has no streams
		return fmt.Errorf("the driver is %s", d)
	}
	w.second = name
	if err := w.useDisk(name, fileText()); err != nil {
		return err
	}
	return w.fio("Bulk-Only Transport", name, "1m")
}

func (w *machine) disc() error {
	name, err := w.attach(guest.Host, "3-1", "sr")
	if err != nil {
		return err
	}
	return w.readDisc(name)
}

// unplugged has a device unplugged while it is written to. What was acknowledged is there
// when it comes again.
func (w *machine) unplugged() error {
	name := w.second
	f, err := os.OpenFile("/dev/"+name, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const size = 64 << 10
	text := aligned(size)
	fill := func(i int64) {
		for j := range text {
			text[j] = byte(i) ^ byte(j>>8)
		}
	}
	written := int64(0)
	for ; ; written++ {
		if written == 20 {
			w.Tell("unplug 2-1")
		}
		fill(written)
		if _, err = f.WriteAt(text, written%200*size); err != nil {
			break
		}
		if written > 1e6 {
			return errors.New("writes do not fail")
		}
	}
	if _, err := w.Hear(); err != nil {
		return err
	}
	f.Close()
	if err := w.vanishes(name); err != nil {
		return err
	}
	w.Tell("%d writes, then %v", written, err)
	if name, err = w.attach(guest.Host, "2-1", "sd"); err != nil {
		return err
	}
	if err := w.awaitSize(name); err != nil {
		return err
	}
	if f, err = os.OpenFile("/dev/"+name, os.O_RDONLY|unix.O_DIRECT, 0); err != nil {
		return err
	}
	defer f.Close()
	got := aligned(size)
	for i := max(0, written-150); i < written; i++ {
		fill(i)
		if _, err := f.ReadAt(got, i%200*size); err != nil || !bytes.Equal(got, text) {
			return fmt.Errorf("write %d of %d is lost: %v", i, written, err)
		}
	}
	return nil
}

// aligned is memory for direct I/O.
func aligned(size int) []byte {
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		panic(err)
	}
	return p
}

// detached detaches the first device, and attaches it again.
func (w *machine) detached() error {
	// The first port of high speed is 0; usbredir's disc hangs on a controller of its own.
	if _, err := w.Run("usbip", "detach", "-p", "0"); err != nil {
		return err
	}
	if err := w.vanishes(w.first); err != nil {
		return err
	}
	name, err := w.attach(guest.Host, "1-1", "sd")
	if err == nil {
		err = w.awaitSize(name)
	}
	if err != nil {
		return err
	}
	_, err = w.Run("e2fsck", "-fn", "/dev/"+name)
	return err
}

// useDisk makes a file system, writes a file, and reads it back after the cache was
// dropped.
func (w *machine) useDisk(name string, text []byte) error {
	dev := "/dev/" + name
	if err := w.awaitSize(name); err != nil {
		return err
	}
	if _, err := w.Run("mkfs.ext4", "-q", "-F", dev); err != nil {
		return err
	}
	if err := w.Mount(dev, "/mnt", "ext4", 0, ""); err != nil {
		return err
	}
	err := os.WriteFile("/mnt/file", text, 0o600)
	if err = errors.Join(err, w.Unmount("/mnt")); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return err
	}
	if _, err := w.Run("e2fsck", "-fn", dev); err != nil {
		return err
	}
	if err := w.Mount(dev, "/mnt", "ext4", 0, ""); err != nil {
		return err
	}
	got, err := os.ReadFile("/mnt/file")
	if err == nil && !bytes.Equal(got, text) {
		err = errors.New("the file is another")
	}
	return errors.Join(err, w.Unmount("/mnt"))
}

// gadget has the kernel be a device whose host it is, too: package gadget.
func (w *machine) gadget() error {
	if err := w.Mount("none", "/sys/kernel/config", "configfs", 0, ""); err != nil {
		return err
	}
	c := gadget.Config{Name: "drive", LUNs: []gadget.LUN{{Removable: true, Inquiry: "GoNet   Drive           0001"}}}
	if _, err := gadget.Open(c); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open what is not there: %v", err)
	}
	g, err := gadget.Create(c)
	if err != nil {
		return err
	}
	if _, err := gadget.Create(c); !errors.Is(err, gadget.ErrExists) {
		return fmt.Errorf("create twice: %v", err)
	}
	if err := errors.Join(g.Bind("no such"), nil); !errors.Is(err, gadget.ErrNoController) {
		return fmt.Errorf("an unknown controller: %v", err)
	}
	if err := g.Bind("dummy_udc.0"); err != nil {
		return err
	}
	for _, do := range []func(*machine, *gadget.Gadget) error{(*machine).gadgetErrors, (*machine).gadgetDisk, (*machine).gadgetForced, (*machine).gadgetDisc} {
		if err := do(w, g); err != nil {
			return err
		}
	}
	if g, err = gadget.Open(c); err != nil { // as a program that begins again
		return err
	}
	return g.Remove()
}

// gadgetErrors tells errors apart.
func (w *machine) gadgetErrors(g *gadget.Gadget) error {
	second, err := gadget.Create(gadget.Config{Name: "second", LUNs: []gadget.LUN{{}, {}}})
	if err != nil {
		return err
	}
	if err := second.Bind("dummy_udc.0"); !errors.Is(err, gadget.ErrBusy) {
		return fmt.Errorf("a controller that is in use: %v", err)
	}
	if err := second.Remove(); err != nil {
		return err
	}
	if err := g.Insert(0, gadget.Medium{File: "/no such file"}); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("insert no file: %v", err)
	}
	// As somebody else than root.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Setfsuid(1000)
	err = g.Insert(0, gadget.Medium{File: "/boot.iso"})
	unix.Setfsuid(0)
	if !errors.Is(err, fs.ErrPermission) || errors.Is(err, gadget.ErrLocked) {
		return fmt.Errorf("insert as an ordinary user: %v", err)
	}
	return nil
}

const ejectDisc = 0x5309 // CDROMEJECT of linux/cdrom.h

const diskFile = "/tmp/disk.img"

// gadgetDisk writes to a disk, and finds in the file what was written. Host and gadget
// see each other's locks and ejects.
func (w *machine) gadgetDisk(g *gadget.Gadget) error {
	if err := os.WriteFile(diskFile, make([]byte, 24<<20), 0o600); err != nil {
		return err
	}
	name, err := w.appears("sd")
	if err != nil {
		return err
	}
	w.first = name
	if f, err := os.Open("/dev/" + name); !errors.Is(err, unix.ENOMEDIUM) {
		f.Close()
		return fmt.Errorf("an empty drive: %v", err)
	}
	if err := g.Insert(0, gadget.Medium{File: diskFile}); err != nil {
		return err
	}
	if err := g.Insert(0, gadget.Medium{File: diskFile}); !errors.Is(err, gadget.ErrOccupied) {
		return fmt.Errorf("insert twice: %v", err)
	}
	if err := w.useDisk(name, fileText()[:1<<20]); err != nil {
		return err
	}
	f, err := os.Open("/dev/" + name)
	if err != nil {
		return err
	}
	err = g.Eject(0, false)
	f.Close()
	if !errors.Is(err, gadget.ErrLocked) {
		return fmt.Errorf("eject what the host holds: %v", err)
	}
	if err := w.Await(time.Minute, func() bool { return g.Eject(0, false) == nil }); err != nil {
		return fmt.Errorf("eject: %w", err)
	}
	if m, err := g.State(0); err != nil || m.File != "" {
		return fmt.Errorf("after an eject: %+v, %v", m, err)
	}
	if f, err := os.Open("/dev/" + name); !errors.Is(err, unix.ENOMEDIUM) {
		f.Close()
		return fmt.Errorf("an ejected drive: %v", err)
	}
	_, err = w.Run("e2fsck", "-fn", diskFile)
	return err
}

// gadgetForced takes the medium out while it is written to.
func (w *machine) gadgetForced(g *gadget.Gadget) error {
	if err := g.Insert(0, gadget.Medium{File: diskFile}); err != nil {
		return err
	}
	if err := w.awaitSize(w.first); err != nil {
		return err
	}
	f, err := os.OpenFile("/dev/"+w.first, os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	text := aligned(64 << 10)
	ejected := make(chan error, 1)
	for i := int64(0); ; i++ {
		if i == 20 {
			go func() { ejected <- g.Eject(0, true) }()
		}
		if _, err := f.WriteAt(text, i%300*int64(len(text))); err != nil {
			w.Tell("%d writes, then %v", i, err)
			break
		}
		if i > 1e6 {
			return errors.New("writes do not fail")
		}
	}
	if err := <-ejected; err != nil {
		return err
	}
	if m, err := g.State(0); err != nil || m.File != "" {
		return fmt.Errorf("after a forced eject: %+v, %v", m, err)
	}
	return nil
}

// gadgetDisc has the drive be a CD-ROM, which the host sees as another device, changes the
// disc, and sees the host eject.
func (w *machine) gadgetDisc(g *gadget.Gadget) error {
	if err := g.Insert(0, gadget.Medium{File: "/boot.iso", CDROM: true}); err != nil {
		return err
	}
	if err := w.vanishes(w.first); err != nil {
		return err
	}
	name, err := w.appears("sr")
	if err != nil {
		return err
	}
	if err := w.readDisc(name); err != nil {
		return err
	}
	if m, err := g.State(0); err != nil || m != (gadget.Medium{File: "/boot.iso", CDROM: true, ReadOnly: true}) {
		return fmt.Errorf("%+v, %v", m, err)
	}
	if err := w.Await(time.Minute, func() bool { return g.Eject(0, false) == nil }); err != nil {
		return fmt.Errorf("eject: %w", err)
	}
	if err := g.Insert(0, gadget.Medium{File: "/boot.iso", CDROM: true, NoFUA: true}); err != nil {
		return err
	}
	if err := w.readDisc(name); err != nil {
		return fmt.Errorf("after a change: %w", err)
	}
	if err := eject(name); err != nil {
		return err
	}
	if m, err := g.State(0); err != nil || m.File != "" {
		return fmt.Errorf("after an eject by the host: %+v, %v", m, err)
	}
	return w.gadgetBackend(g, name)
}

// eject ejects a disc as a program of the host does.
func eject(name string) error {
	fd, err := unix.Open("/dev/"+name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetInt(fd, ejectDisc, 0); err != nil {
		return fmt.Errorf("eject by the host: %w", err)
	}
	return nil
}

// gadgetBackend has a drive use the gadget.
func (w *machine) gadgetBackend(g *gadget.Gadget, name string) error {
	b := drive.NewGadget(g, 0)
	ctx := context.Background()
	ejected := make(chan struct{}, 2)
	m := drive.Medium{Name: "boot.iso", Path: "/boot.iso", CDROM: true, ReadOnly: true, Ejected: func() { ejected <- struct{}{} }}
	remote := m
	remote.Path = ""
	if err := b.Insert(ctx, remote); !errors.Is(err, drive.ErrPermission) {
		return fmt.Errorf("insert what is no file: %v", err)
	}
	if err := errors.Join(b.Probe(ctx), b.Insert(ctx, m)); err != nil {
		return err
	}
	if err := w.readDisc(name); err != nil {
		return err
	}
	if err := w.Mount("/dev/"+name, "/disc", "iso9660", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	err := b.Eject(ctx, false)
	if err := w.Unmount("/disc"); err != nil {
		return err
	}
	if !errors.Is(err, drive.ErrLocked) {
		return fmt.Errorf("eject what is mounted: %v", err)
	}
	if err := eject(name); err != nil {
		return err
	}
	select {
	case <-ejected:
	case <-time.After(time.Minute):
		return errors.New("the drive was not told that the host has ejected")
	}
	if err := b.Eject(ctx, false); err != nil { // nothing to do
		return err
	}
	return errors.Join(b.Insert(ctx, m), b.Eject(ctx, true), b.Close())
}

// reference does with the kernel's own device over USB/IP what was done with ours.
func (w *machine) reference() error {
	if err := os.WriteFile(diskFile, make([]byte, 24<<20), 0o600); err != nil {
		return err
	}
	g, err := gadget.Create(gadget.Config{Name: "reference", LUNs: []gadget.LUN{{Removable: true}}})
	if err != nil {
		return err
	}
	if err := errors.Join(g.Insert(0, gadget.Medium{File: diskFile}), g.Bind("usbip-vudc.0")); err != nil {
		return err
	}
	daemon := exec.Command("usbipd", "--device", "-4")
	if err := daemon.Start(); err != nil {
		return err
	}
	defer func() { daemon.Process.Kill(); daemon.Wait() }()
	name, err := w.attach("127.0.0.1", "usbip-vudc.0", "sd")
	if err != nil {
		return err
	}
	if err := w.useDisk(name, fileText()[:1<<19]); err != nil {
		return err
	}
	return w.fio("usbip-vudc", name, "256k") // it is slow
}
