package vhostblk

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/internal/testing/qmp"
)

// guestConfig is a guest with the disk that is served at a socket.
func guestConfig(job, socket string, more ...string) guest.Config {
	return guest.Config{Job: job, Modules: []string{"virtio_blk"}, QEMU: append([]string{
		"-object", "memory-backend-memfd,id=mem,size=384M,share=on", "-machine", "memory-backend=mem",
		"-chardev", "socket,id=disk,path=" + socket + ",reconnect=1", "-device", "vhost-user-blk-pci,chardev=disk,num-queues=1",
	}, more...)}
}

// newDisk makes an empty disk.
func newDisk(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(diskSize); err != nil {
		t.Fatal(err)
	}
}

// progress reads lines until n more writes have returned.
func progress(t *testing.T, g *guest.Guest, n int) {
	t.Helper()
	first, at := 0, 0
	for line := range g.Lines {
		if _, err := fmt.Sscanf(line, "at %d", &at); err != nil {
			continue
		}
		if first == 0 {
			first = at
		}
		if at >= first+n {
			return
		}
	}
	t.Fatalf("it ends after %d writes: %v", at, g.Wait())
}

// lastOf has the load end, and returns the last generation of each block.
func lastOf(t *testing.T, g *guest.Guest) (last []uint32) {
	t.Helper()
	if err := g.Say("enough"); err != nil {
		t.Fatal(err)
	}
	for line := range g.Lines {
		text, ok := strings.CutPrefix(line, "last ")
		if !ok {
			continue
		}
		for word := range strings.FieldsSeq(text) {
			var n uint32
			fmt.Sscan(word, &n)
			last = append(last, n)
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(last) != loadBlocks {
		t.Fatalf("%d blocks are told of", len(last))
	}
	return last
}

// checkLog compares what back ends have written down with what the guest knows. Of
// each block all generations were written, one after the other; one was written twice
// only if the process that wrote it first was killed, and then at once by the next one.
func checkLog(t *testing.T, all []record, last []uint32) {
	t.Helper()
	var processes []uint32
	seen := make([]record, loadBlocks)
	again := map[uint32]int{}
	for i, r := range all {
		if !slices.Contains(processes, r.process) {
			processes = append(processes, r.process)
		}
		if r.process != processes[len(processes)-1] {
			t.Fatalf("write %d is of a process before the last one: two have had the disk at once", i)
		}
		if int(r.block) >= loadBlocks {
			t.Fatalf("write %d is of block %d", i, r.block)
		}
		before := seen[r.block]
		switch {
		case r.generation == before.generation+1:
		case r.generation == before.generation && r.process != before.process:
			again[r.process]++
		default:
			t.Errorf("write %d: block %d gets generation %d of process %d behind %d of %d", i, r.block, r.generation, r.process, before.generation, before.process)
			t.Logf("around it: %v", all[max(0, i-300):min(len(all), i+20)])
		}
		seen[r.block] = r
	}
	for b, g := range last {
		if seen[b].generation != g {
			t.Errorf("block %d: generation %d was written last, and the guest had %d", b, seen[b].generation, g)
		}
	}
	for p, n := range again {
		if n > loadWriters {
			t.Errorf("process %d has done %d writes again, of %d that could have been in flight", p, n, loadWriters)
		}
	}
	t.Logf("%d writes by %d processes; done again after a kill: %v", len(all), len(processes), again)
}

// TestGuest has a virtual machine use a disk: what it sees of it, a file system, fio, a
// reboot, a change of its size, buffers in memory that it has got meanwhile, and with GONET_LONG=1 a back end that is killed and
// started again while the guest writes.
func TestGuest(t *testing.T) {
	guest.Need(t)
	dir := t.TempDir()
	socket, file, log := filepath.Join(dir, "s"), filepath.Join(dir, "disk"), filepath.Join(dir, "log")
	newDisk(t, file)
	p := startProcess(t, socket, file, log)
	c := guestConfig("disk", socket, append(qmp.Args(dir+"/q"), "-action", "reboot=reset", "-device", "pcie-root-port,id=root1,chassis=1,slot=1", "-m", "512,maxmem=1G")...)
	c.QEMU[1] = "memory-backend-memfd,id=mem,size=512M,share=on" // of which Linux sets some aside where there may be more
	c.Modules = append(c.Modules, "crc32c_generic", "ext4", "virtio_mem")
	c.Programs = []string{need.Program(t, "mkfs.ext4"), need.Program(t, "e2fsck"), need.Program(t, "fstrim"), need.Program(t, "fio")}
	g := guest.Start(t, c)
	if line := <-g.Lines; line != "host: reboot" {
		t.Fatalf("%q, %v", line, g.Wait())
	}
	if room := allocated(t, file); room > 30<<20 {
		t.Errorf("the file has %d bytes behind it after a trim", room)
	}
	if line := <-g.Lines; line != "host: resize" {
		t.Fatalf("%q, %v", line, g.Wait())
	}
	if said := p.say(fmt.Sprintf("resize %d", grownSize)); said != "resized" {
		t.Fatalf("%q", said)
	}
	if line := <-g.Lines; line != "host: plug" {
		t.Fatalf("%q, %v", line, g.Wait())
	}
	q, err := qmp.Dial(dir + "/q")
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if err := q.PlugMemory("virtio-mem-pci", 256<<20, map[string]any{"bus": "root1", "requested-size": 128 << 20}); err != nil {
		t.Fatal(err)
	}
	kills := 0
	if os.Getenv("GONET_LONG") != "" {
		kills = 3
	}
	for range kills {
		progress(t, g, 200)
		p.kill()
		p = startProcess(t, socket, file, log)
	}
	progress(t, g, 200)
	last := lastOf(t, g)
	t.Log(p.say("stats"))
	p.end()
	all := readLog(t, log)
	checkLog(t, all, last)
}

// TestGuestMigration moves a virtual machine that writes to another QEMU, whose disk
// another process serves out of the same file.
//
// Both QEMUs have the guest's memory in the same file: see qmp.MoveShared.
func TestGuestMigration(t *testing.T) {
	guest.Need(t)
	dir := t.TempDir()
	file, log := filepath.Join(dir, "disk"), filepath.Join(dir, "log")
	newDisk(t, file)
	sockets := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	incoming := filepath.Join(dir, "incoming")
	var monitors []*qmp.Client
	a, b := startProcess(t, sockets[0], file, log), startProcess(t, sockets[1], file, log)
	config := func(socket, monitor string, more ...string) guest.Config {
		c := guestConfig("load", socket, append(qmp.Args(monitor), more...)...)
		copy(c.QEMU, qmp.Memory(dir+"/memory"))
		return c
	}
	from := guest.Start(t, config(sockets[0], dir+"/q"))
	progress(t, from, 200)
	to := guest.Start(t, config(sockets[1], dir+"/r", "-incoming", "defer"))
	for _, path := range []string{dir + "/q", dir + "/r"} {
		q, err := qmp.Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Close()
		monitors = append(monitors, q)
	}
	moved := make(chan error, 1)
	go func() {
		down, err := qmp.MoveShared(monitors[0], monitors[1], incoming)
		t.Logf("the guest stood still for %v", down)
		moved <- err
	}()
	for wait := true; wait; {
		select {
		case _, ok := <-from.Lines: // so that it goes on
			if !ok {
				t.Fatal(from.Wait())
			}
		case err := <-moved:
			if err != nil {
				t.Fatal(err)
			}
			wait = false
		}
	}
	from.Kill()
	a.end()
	progress(t, to, 300)
	last := lastOf(t, to)
	t.Log(b.say("stats"))
	b.end()
	checkLog(t, readLog(t, log), last)
}

// allocated is how many bytes of a file have room.
func allocated(t *testing.T, name string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}
