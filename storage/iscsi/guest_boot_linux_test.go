package iscsi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// The disk that a guest boots from has two partitions: one that a boot loader and the
// system are on, and one for data.
const (
	bootStart = 1 << 20
	bootSize  = 160 << 20
	dataStart = bootStart + bootSize
	dataSize  = 64 << 20
)

// A bootDisk is made with syslinux.
type bootDisk struct {
	t        *testing.T
	file     string
	programs map[string]string
}

func newBootDisk(t *testing.T) *bootDisk {
	d := &bootDisk{t: t, file: filepath.Join(t.TempDir(), "disk"), programs: map[string]string{}}
	for _, p := range []string{"syslinux", "mformat", "mcopy"} {
		d.programs[p] = need.Program(t, p)
	}
	const record = "/usr/lib/syslinux/mbr/mbr.bin"
	mbr, err := os.ReadFile(record)
	if errors.Is(err, os.ErrNotExist) {
		need.Unable(t, "there is no %s (Debian's syslinux-common)", record)
	} else if err != nil {
		t.Fatal(err)
	}
	const table = 446 // where the partitions are told, behind the loader of the first one that is active
	sector := append(mbr[:min(len(mbr), table):table], make([]byte, 512-min(len(mbr), table))...)
	for i, p := range []struct {
		active, kind byte
		start, size  uint32
	}{{0x80, 0x0c, bootStart, bootSize}, {0, 0x83, dataStart, dataSize}} {
		e := sector[table+16*i:]
		e[0], e[4] = p.active, p.kind
		copy(e[1:4], "\xfe\xff\xff") // addresses by cylinders end before these
		copy(e[5:8], "\xfe\xff\xff")
		binary.LittleEndian.PutUint32(e[8:], p.start/512)
		binary.LittleEndian.PutUint32(e[12:], p.size/512)
	}
	copy(sector[510:], "\x55\xaa")
	if err := errors.Join(os.WriteFile(d.file, sector, 0o600), os.Truncate(d.file, dataStart+dataSize)); err != nil {
		t.Fatal(err)
	}
	return d
}

// load puts a system on the first partition.
func (d *bootDisk) load(s guest.System) error {
	config := filepath.Join(d.t.TempDir(), "syslinux.cfg")
	text := fmt.Sprintf("DEFAULT linux\nPROMPT 0\nLABEL linux\nKERNEL vmlinuz\nINITRD initrd\nAPPEND %s\n", s.Options)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	partition := fmt.Sprintf("%s@@%d", d.file, bootStart)
	for _, c := range [][]string{
		{"mformat", "-i", partition, "-F", "-T", fmt.Sprint(bootSize / 512), "-h", "255", "-s", "63", "-H", fmt.Sprint(bootStart / 512), "::"},
		{"mcopy", "-i", partition, config, "::syslinux.cfg"},
		{"mcopy", "-i", partition, s.Kernel, "::vmlinuz"},
		{"mcopy", "-i", partition, s.Initrd, "::initrd"},
		{"syslinux", "--install", "--offset", fmt.Sprint(bootStart), d.file},
	} {
		if out, err := exec.Command(d.programs[c[0]], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}

// A readCounter counts the bytes that are read from a device.
type readCounter struct{ bytes atomic.Int64 }

func (c *readCounter) Before(context.Context, filter.Op) error { return nil }

func (c *readCounter) After(_ context.Context, op filter.Op, _ time.Duration, err error) {
	if op.Kind == filter.Read && err == nil {
		c.bytes.Add(op.Length)
	}
}

// TestGuestBoot boots a guest from a LUN: its firmware, the boot loader and the kernel
// read it, and the system goes on to use it, with a file system and fio.
func TestGuestBoot(t *testing.T) {
	guest.Need(t)
	if parts, _ := filepath.Glob("/usr/lib/*/qemu/block-iscsi.so"); parts == nil {
		need.Unable(t, "QEMU has no iSCSI (Debian's qemu-block-extra)")
	}
	disk := newBootDisk(t)
	var programs []string
	for _, p := range []string{"mkfs.ext4", "e2fsck", "fio"} {
		programs = append(programs, need.Program(t, p))
	}
	var reads readCounter
	var server Server
	var file *block.File
	served := make(chan error, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	load := func(s guest.System) error {
		if err := disk.load(s); err != nil {
			return err
		}
		var err error
		if file, err = block.OpenFile(disk.file, block.FileConfig{}); err != nil {
			return err
		}
		d, err := filter.Observe(file, &reads)
		if err != nil {
			return err
		}
		unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: d})
		if err != nil {
			return err
		}
		units, err := server.Add(Target{Name: testTarget, Access: []Access{{User: "joe", Secret: testSecretWord}}})
		if err != nil {
			return err
		}
		go func() { served <- server.Serve(l) }()
		return units.Add(1, unit)
	}
	g := guest.Start(t, guest.Config{
		Job: "boot", Memory: 768, Loader: load,
		Modules:  []string{"virtio_scsi", "sd_mod", "crc32c_generic", "ext4"},
		Programs: programs,
		QEMU: []string{
			"-drive", fmt.Sprintf("if=none,id=lun,format=raw,file=iscsi://joe%%%s@%s/%s/1", testSecretWord, l.Addr(), testTarget),
			"-device", "virtio-scsi-pci", "-device", "scsi-block,drive=lun,bootindex=0",
		},
	})
	defer func() {
		server.Close()
		<-served
		file.Close()
	}()
	began := time.Now()
	for line := range g.Lines {
		t.Logf("%6.1f s: %s; %d bytes were read from the LUN", time.Since(began).Seconds(), line, reads.bytes.Load())
		if line == "booted" && reads.bytes.Load() < 10<<20 {
			t.Errorf("%d bytes were read from the LUN, which are no system", reads.bytes.Load())
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
	if log := g.Console(); strings.Contains(log, "I/O error") || strings.Contains(log, "EXT4-fs error") {
		t.Errorf("the kernel has seen errors:\n%s", log)
	}
	data := filepath.Join(t.TempDir(), "data")
	all, err := os.ReadFile(disk.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, all[dataStart:], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(need.Program(t, "e2fsck"), "-fn", data).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
	checkKept(t, data, guestKept[:1])
}

// insideBoot uses the disk that the guest has booted from.
func insideBoot(in *guest.Inside) error {
	in.Tell("booted")
	const dev = "/dev/sda2"
	if err := in.Await(time.Minute, func() bool { _, err := os.Stat(dev); return err == nil }); err != nil {
		return fmt.Errorf("there is no %s: %w", dev, err)
	}
	if _, err := in.Run("mkfs.ext4", "-q", dev); err != nil {
		return err
	}
	if err := in.Mount(dev, guestMount, "ext4", 0, "discard"); err != nil {
		return err
	}
	if err := errors.Join(keep("removed"), os.Remove(filepath.Join(guestMount, "removed")), keep(guestKept[0])); err != nil {
		return err
	}
	in.Tell("fio")
	if _, err := in.Run("fio", fioVerifies("--size=4m", "--loops=2")...); err != nil {
		return err
	}
	if err := in.Unmount(guestMount); err != nil {
		return err
	}
	_, err := in.Run("e2fsck", "-fn", dev)
	return err
}
