package vhostblk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/vhost/memory"
)

// The disk of the guest: a file system, room for fio, blocks for the load, and a note
// that there was a boot.
const (
	diskSize  = 64 << 20
	grownSize = 72 << 20
	fioAt     = 48 << 20
	loadAt    = 40 << 20
	noteAt    = 60 << 20

	newMemoryAt = 61 << 20

	loadBlock   = 4096
	loadWriters = 8
	loadEach    = 16 // blocks of a writer
	loadBlocks  = loadWriters * loadEach

	dev = "/dev/vda"
)

// attribute reads one of the disk's in sysfs.
func attribute(name string) string {
	text, _ := os.ReadFile("/sys/block/vda/" + name)
	return strings.TrimSpace(string(text))
}

// aligned is memory that direct I/O takes.
func aligned(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func openDirect() (*os.File, error) { return os.OpenFile(dev, os.O_RDWR|unix.O_DIRECT, 0) }

// insideDisk does in the guest what TestGuest wants, in two boots.
func insideDisk(in *guest.Inside) error {
	f, err := openDirect()
	if err != nil {
		return err
	}
	note, err := aligned(4096)
	if err != nil {
		return err
	}
	if _, err := f.ReadAt(note, noteAt); err != nil {
		return err
	}
	text := bytes.Repeat([]byte("to be kept. "), 100000)
	if note[0] == 0 {
		if err := insideFirst(in, text); err != nil {
			return err
		}
		note[0] = 1
		if _, err := f.WriteAt(note, noteAt); err != nil {
			return err
		}
		in.Tell("host: reboot")
		return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	f.Close()
	if _, err := in.Run("e2fsck", "-fn", dev); err != nil {
		return err
	}
	if err := in.Mount(dev, "/mnt/fs", "ext4", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	got, err := os.ReadFile("/mnt/fs/kept")
	if err == nil && !bytes.Equal(got, text) {
		err = errors.New("after a reboot the file is another")
	}
	if err := errors.Join(err, in.Unmount("/mnt/fs")); err != nil {
		return err
	}
	in.Tell("host: resize")
	if err := in.Await(time.Minute, func() bool { return attribute("size") == fmt.Sprint(grownSize/512) }); err != nil {
		return fmt.Errorf("the size is %s sectors: %w", attribute("size"), err)
	}
	if err := insideNewMemory(in); err != nil {
		return err
	}
	return insideLoad(in)
}

// insideNewMemory writes and reads with buffers in memory that the guest gets while it
// runs. That lies above 4 GB, where it had none.
func insideNewMemory(in *guest.Inside) error {
	if err := os.WriteFile("/sys/devices/system/memory/auto_online_blocks", []byte("online"), 0); err != nil {
		return err
	}
	in.Tell("host: plug")
	const size = 64 << 10
	var high []byte
	if err := in.Await(time.Minute, func() bool {
		p, err := aligned(size)
		if err != nil {
			return false
		}
		for i := range p {
			p[i] = byte(i>>8) ^ byte(i)
		}
		if n, _ := pagesAbove(p, 4<<30); n < size/4096 {
			unix.Munmap(p)
			return false
		}
		high = p
		return true
	}); err != nil {
		return fmt.Errorf("no memory above 4 GB: %w", err)
	}
	f, err := openDirect()
	if err != nil {
		return err
	}
	defer f.Close()
	want := bytes.Clone(high)
	if _, err := f.WriteAt(high, newMemoryAt); err != nil {
		return err
	}
	clear(high)
	if _, err := f.ReadAt(high, newMemoryAt); err != nil {
		return err
	}
	if !bytes.Equal(high, want) {
		return errors.New("what was read to new memory is something else")
	}
	return nil
}

// pagesAbove is how many pages of p lie above an address (Documentation/admin-guide/mm/
// pagemap.rst of Linux).
func pagesAbove(p []byte, addr uint64) (n int, err error) {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var entry [8]byte
	for at := 0; at < len(p); at += 4096 {
		if _, err := f.ReadAt(entry[:], int64(memory.Address(p[at:])/4096*8)); err != nil {
			return n, err
		}
		if frame := binary.LittleEndian.Uint64(entry[:]) & (1<<55 - 1); frame*4096 >= addr {
			n++
		}
	}
	return n, nil
}

// insideFirst looks what the disk says, makes a file system, and has fio verify.
func insideFirst(in *guest.Inside, text []byte) error {
	for name, want := range map[string]string{
		"size": fmt.Sprint(diskSize / 512), "serial": "vhostblk", "ro": "0", "queue/logical_block_size": "512", "queue/write_cache": "write back",
	} {
		if got := attribute(name); got != want {
			return fmt.Errorf("%s is %q, and should be %q", name, got, want)
		}
	}
	for _, name := range []string{"queue/discard_max_bytes", "queue/write_zeroes_max_bytes"} {
		if got := attribute(name); got == "0" || got == "" {
			return fmt.Errorf("%s is %q", name, got)
		}
	}
	for _, mode := range []string{"write through", "write back"} {
		if err := os.WriteFile("/sys/block/vda/cache_type", []byte(mode), 0); err != nil {
			return err
		}
		if got := attribute("cache_type"); got != mode {
			return fmt.Errorf("cache_type is %q", got)
		}
	}
	if _, err := in.Run("mkfs.ext4", "-q", dev, "32M"); err != nil {
		return err
	}
	if err := in.Mount(dev, "/mnt/fs", "ext4", 0, ""); err != nil {
		return err
	}
	for _, name := range []string{"kept", "removed"} {
		f, err := os.Create("/mnt/fs/" + name)
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	if err := os.Remove("/mnt/fs/removed"); err != nil {
		return err
	}
	if out, err := in.Run("fstrim", "-v", "/mnt/fs"); err != nil || strings.Contains(out, " 0 B") {
		return fmt.Errorf("fstrim: %s, %w", out, err)
	}
	if err := in.Unmount("/mnt/fs"); err != nil {
		return err
	}
	_, err := in.Run("fio", "--name=x", "--filename="+dev, fmt.Sprintf("--offset=%d", fioAt), "--size=4m", "--rw=randwrite", "--bs=4k", "--direct=1",
		"--ioengine=libaio", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--allow_mounted_write=1")
	return err
}

// insideLoad writes to blocks, of each one generation after the other, until the host
// says that it is enough, and looks whether each holds what was written last. It tells
// how many writes have returned, now and then, and at the end the last generation of
// each block.
func insideLoad(in *guest.Inside) error {
	f, err := openDirect()
	if err != nil {
		return err
	}
	defer f.Close()
	var enough atomic.Bool
	go func() { in.Hear(); enough.Store(true) }()
	var writes atomic.Int64
	var last [loadBlocks]uint32
	failed := make(chan error, loadWriters)
	var writers sync.WaitGroup
	for w := range loadWriters {
		writers.Go(func() {
			p, err := aligned(loadBlock)
			for g := uint32(1); err == nil && !enough.Load(); g++ {
				for b := w * loadEach; b < (w+1)*loadEach && err == nil; b++ {
					fillBlock(p, uint32(b), g)
					if _, err = f.WriteAt(p, loadAt+int64(b)*loadBlock); err == nil {
						last[b] = g
						if n := writes.Add(1); n%100 == 0 {
							in.Tell("at %d", n)
						}
					}
				}
			}
			if err != nil {
				failed <- err
			}
		})
	}
	writers.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	p, err := aligned(loadBlock)
	if err != nil {
		return err
	}
	want := make([]byte, loadBlock)
	for b, g := range last {
		if _, err := f.ReadAt(p, loadAt+int64(b)*loadBlock); err != nil {
			return err
		}
		if fillBlock(want, uint32(b), g); !bytes.Equal(p, want) {
			return fmt.Errorf("block %d holds generation %d, and %d was written last", b, binary.LittleEndian.Uint32(p[4:]), g)
		}
	}
	var ends []string
	for _, g := range last {
		ends = append(ends, fmt.Sprint(g))
	}
	in.Tell("last %s", strings.Join(ends, " "))
	return nil
}

// fillBlock makes the contents of a block.
func fillBlock(p []byte, b, generation uint32) {
	for at := 0; at < len(p); at += 8 {
		binary.LittleEndian.PutUint32(p[at:], b)
		binary.LittleEndian.PutUint32(p[at+4:], generation)
	}
}
