package scsi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Job{"cdrom": insideCDROM})
}

// TestGuestCDROM has Linux in a guest use a CD-ROM. QEMU hands its commands on as they are, by iSCSI: the
// firmware and the driver of the guest talk to the unit itself.
func TestGuestCDROM(t *testing.T) {
	guest.Need(t)
	if parts, _ := filepath.Glob("/usr/lib/*/qemu/block-iscsi.so"); parts == nil {
		need.Unable(t, "QEMU has no iSCSI (Debian's qemu-block-extra)")
	}
	eject := make(chan bool, 16)
	unit, err := scsi.NewUnit(scsi.UnitConfig{Type: scsi.CDROM, Disk: disc(t, 1000), OnEject: func(load bool) { eject <- load }})
	if err != nil {
		t.Fatal(err)
	}
	var server iscsi.Server
	units, err := server.Add(iscsi.Target{Name: "iqn.2026-01.org.example:cd"})
	if err != nil {
		t.Fatal(err)
	}
	if err := units.Add(0, unit); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Close()
		<-served
	}()
	g := guest.Start(t, guest.Config{
		Job: "cdrom", Modules: []string{"virtio_scsi", "sr_mod", "isofs"},
		QEMU: []string{
			"-drive", "if=none,id=cd,format=raw,file=iscsi://" + l.Addr().String() + "/iqn.2026-01.org.example:cd/0",
			"-device", "virtio-scsi-pci", "-device", "scsi-generic,drive=cd",
		},
	})
	for line := range g.Lines {
		t.Log(line)
		if line == "host: change the disc" {
			done, err := unit.Eject(true)
			if err != nil {
				t.Fatal(err)
			}
			<-done
			if err := unit.Insert(disc(t, 400000)); err != nil {
				t.Fatal(err)
			}
			g.Say("changed")
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
	if log := g.Console(); strings.Contains(log, "I/O error") {
		t.Errorf("the kernel has seen errors:\n%s", log)
	}
	for _, want := range []bool{false, true} {
		select {
		case load := <-eject:
			if load != want {
				t.Errorf("the owner was told of load %v, want %v", load, want)
			}
		default:
			t.Error("the owner was not told that the medium went out or came in")
		}
	}
}

const discText = "A file on a disc.\n"

// disc is a medium of some blocks with a file system of ISO 9660 that has one file, A.
func disc(t *testing.T, blocks int) *block.Disk {
	const size = 2048
	m := block.NewMemory(int64(blocks) * size)
	at := func(sector int, p []byte) {
		if _, err := m.WriteAt(p, int64(sector)*size); err != nil {
			t.Fatal(err)
		}
	}
	both16 := func(v uint16) []byte {
		return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, v), v)
	}
	both32 := func(v uint32) []byte {
		return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, v), v)
	}
	record := func(name string, sector, length int, flags byte) []byte {
		p := append([]byte{0, 0}, both32(uint32(sector))...)
		p = append(p, both32(uint32(length))...)
		p = append(p, 126, 1, 1, 0, 0, 0, 0, flags, 0, 0)
		p = append(append(append(p, both16(1)...), byte(len(name))), name...)
		p = append(p, make([]byte, len(p)%2)...)
		p[0] = byte(len(p))
		return p
	}
	const directory, file = 18, 19
	volume := make([]byte, size)
	copy(volume, "\x01CD001\x01")
	copy(volume[8:], strings.Repeat(" ", 64))
	copy(volume[80:], both32(uint32(blocks)))
	copy(volume[120:], both16(1))
	copy(volume[124:], both16(1))
	copy(volume[128:], both16(size))
	copy(volume[156:], record("\x00", directory, size, 2))
	volume[881] = 1
	at(16, volume)
	at(17, append([]byte("\xffCD001\x01"), make([]byte, size-7)...))
	at(directory, bytes.Join([][]byte{
		record("\x00", directory, size, 2), record("\x01", directory, size, 2), record("A.;1", file, len(discText), 0),
	}, nil))
	at(file, []byte(discText))
	d, err := block.NewDisk(m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Requests of Linux's cdrom driver, and what they answer (linux/cdrom.h).
const (
	readTOCHeader = 0x5305
	readTOCEntry  = 0x5306
	ejectDisc     = 0x5309
	closeTray     = 0x5319
	driveStatus   = 0x5326
	discStatus    = 0x5327
	lockDoor      = 0x5329
	capability    = 0x5331

	statusTrayOpen = 2
	statusDisc     = 4
	discData       = 101
)

// insideCDROM uses the drive as programs do.
func insideCDROM(in *guest.Inside) error {
	const name = "/dev/sr0"
	if err := in.Await(time.Minute, func() bool { _, err := os.Stat(name); return err == nil }); err != nil {
		return err
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ask := func(what string, request uint, arg, want int) error {
		got, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
		if errno != 0 || want >= 0 && int(got) != want {
			return fmt.Errorf("%s: %d, %v", what, int(got), errno)
		}
		return nil
	}
	var header [2]byte
	entry := [12]byte{0: 0xaa, 2: 1} // the lead-out, as a block
	call := func(request uint, p unsafe.Pointer) error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(p)); errno != 0 {
			return errno
		}
		return nil
	}
	if err := errors.Join(
		ask("status", driveStatus, 0, statusDisc),
		ask("kind of disc", discStatus, 0, discData),
		ask("capability", capability, 0, -1),
		call(readTOCHeader, unsafe.Pointer(&header)), call(readTOCEntry, unsafe.Pointer(&entry)),
	); err != nil {
		return err
	}
	if header != [2]byte{1, 1} || binary.LittleEndian.Uint32(entry[4:]) != 1000 {
		return fmt.Errorf("contents % x, % x", header, entry)
	}
	if err := errors.Join(readFile(in, name), diskSize(name, 1000*2048)); err != nil {
		return err
	}
	in.Tell("read")
	if err := errors.Join(
		ask("unlock", lockDoor, 0, -1),
		ask("eject", ejectDisc, 0, -1),
		ask("status, ejected", driveStatus, 0, statusTrayOpen),
		ask("load", closeTray, 0, -1),
		ask("status, loaded", driveStatus, 0, statusDisc),
		readFile(in, name),
	); err != nil {
		return err
	}
	in.Tell("host: change the disc")
	if _, err := in.Hear(); err != nil {
		return err
	}
	return errors.Join(ask("status, changed", driveStatus, 0, statusDisc), readFile(in, name), diskSize(name, 400000*2048))
}

// readFile mounts the disc and reads the file.
func readFile(in *guest.Inside, name string) error {
	if err := in.Mount(name, "/disc", "iso9660", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	text, err := os.ReadFile("/disc/a")
	if err == nil && string(text) != discText {
		err = fmt.Errorf("the file holds %q", text)
	}
	return errors.Join(err, in.Unmount("/disc"))
}

func diskSize(name string, want int64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size != want {
		err = fmt.Errorf("the disc has %d bytes, should have %d", size, want)
	}
	return err
}
