package blocktest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/overlay"
)

// TestMain is the program of a guest, too, whose first process the test is.
func TestMain(m *testing.M) {
	if os.Getpid() == 1 {
		guest()
		return
	}
	os.Exit(m.Run())
}

const guestSize = 1 << 20 // of the disk

// guestDevice makes the device that is tested on a file or block special file.
func guestDevice(kind, name string) (block.Device, error) {
	f, err := block.OpenFile(name, block.FileConfig{})
	if err != nil || kind == "file" {
		return f, err
	}
	return overlay.Open(block.NewMemory(guestSize), f, overlay.Config{Cluster: 8192})
}

// TestGuestPowerCuts kills a virtual machine under load: what its kernel had in its
// page cache is gone, as after a power cut, and what File and Overlay acknowledged
// as durable must be in the image. GONET_GUEST_KERNEL names a tree with a kernel and
// its modules, as dpkg-deb -x makes it of a linux-image package.
func TestGuestPowerCuts(t *testing.T) {
	tree := os.Getenv("GONET_GUEST_KERNEL")
	if tree == "" {
		t.Skip("GONET_GUEST_KERNEL does not name a kernel")
	}
	for _, kind := range []string{"file", "overlay"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			kernel := buildGuest(t, tree, filepath.Join(dir, "initrd"))
			image := filepath.Join(dir, "disk")
			size := int64(guestSize)
			if kind == "overlay" {
				size *= 2
			}
			if err := os.WriteFile(image, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(image, size); err != nil {
				t.Fatal(err)
			}
			m := NewModel(guestSize / SectorSize)
			for life := range 4 {
				lines := liveAndDie(t, kernel, dir, kind, life, m)
				dev, err := guestDevice(kind, image)
				if err != nil {
					t.Fatal(err)
				}
				d, err := block.NewDisk(dev)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.CheckAfterCut(d); err != nil {
					t.Fatalf("after life %d: %v", life, err)
				}
				d.Close()
				t.Logf("life %d: killed after %d lines, all that was acknowledged is there", life, lines)
			}
		})
	}
}

// liveAndDie runs a guest, follows what it tells, and kills it at some line.
func liveAndDie(t *testing.T, kernel, dir, kind string, life int, m *Model) (lines int) {
	t.Helper()
	cmd := exec.Command("qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "384", "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", kernel, "-initrd", filepath.Join(dir, "initrd"),
		"-drive", "file="+filepath.Join(dir, "disk")+",format=raw,if=virtio,cache=writeback",
		"-append", fmt.Sprintf("console=ttyS0 quiet panic=-1 no_timer_check tsc=reliable mitigations=off kind=%s life=%d", kind, life))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	most := 300 + rand.New(rand.NewPCG(1, uint64(life))).IntN(1500)
	follow := follower{m: m, writes: map[int]func(bool){}, syncs: map[int]func(){}}
	var log bytes.Buffer
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil { // what the guest said last may have been cut short
			break
		}
		if !follow.line(strings.TrimSpace(line)) {
			log.WriteString(line)
			continue
		}
		if lines++; lines == most {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if lines < most {
		t.Fatalf("the guest ended by itself after %d lines: %s", lines, log.String())
	}
	return lines
}

// A follower makes a model of what a guest tells.
type follower struct {
	m      *Model
	writes map[int]func(durable bool)
	syncs  map[int]func()
}

// line reads one line: "W id version first count", "D id durable" when that has
// returned, "S id" and "s id" of a Sync.
func (f *follower) line(s string) bool {
	var id, version, first, count, durable int
	if n, _ := fmt.Sscanf(s, "W %d %d %d %d.", &id, &version, &first, &count); n == 4 {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		f.writes[id] = f.m.put(nil, int64(first), int64(count), uint64(version))
		return true
	}
	if n, _ := fmt.Sscanf(s, "D %d %d.", &id, &durable); n == 2 {
		f.writes[id](durable == 1)
		return true
	}
	if n, _ := fmt.Sscanf(s, "S %d.", &id); n == 1 {
		f.syncs[id] = f.m.Sync()
		return true
	}
	if n, _ := fmt.Sscanf(s, "s %d.", &id); n == 1 {
		f.syncs[id]()
		return true
	}
	return false
}

// guest is what runs in the guest. It never returns: the host ends it.
func guest() {
	if err := guestRun(); err != nil {
		fmt.Println("guest:", err)
	}
	time.Sleep(time.Second)
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func guestRun() error {
	for dir, kind := range map[string]string{"/dev": "devtmpfs", "/proc": "proc", "/sys": "sysfs"} {
		os.MkdirAll(dir, 0o755)
		if err := unix.Mount(kind, dir, kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	for _, name := range guestModules {
		image, err := os.ReadFile("/" + name)
		if err == nil {
			err = unix.InitModule(image, "")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	kind, life := "", 0
	for _, word := range strings.Fields(string(text)) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "kind":
			kind = value
		case "life":
			life, _ = strconv.Atoi(value)
		}
	}
	for range 100 {
		if _, err := os.Stat("/dev/vda"); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	dev, err := guestDevice(kind, "/dev/vda")
	if err != nil {
		return err
	}
	d, err := block.NewDisk(dev)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	next := life * 1000000
	tell := func(format string, args ...any) int {
		mu.Lock()
		defer mu.Unlock()
		next++
		fmt.Printf(format+".\n", append([]any{next}, args...)...)
		return next
	}
	errs := make(chan error)
	for user := range 2 {
		go func() { errs <- guestWrites(d, rand.New(rand.NewPCG(uint64(life), uint64(user))), int64(user), tell) }()
	}
	return <-errs
}

// guestWrites writes to every second run of sectors, and tells the host of each
// call before and after it.
func guestWrites(d *block.Disk, r *rand.Rand, user int64, tell func(format string, args ...any) int) error {
	buffer := make([]byte, runSectors*SectorSize)
	runs := int64(guestSize/SectorSize/runSectors)/2 - 1
	done := func(id, durable int) { fmt.Printf("D %d %d.\n", id, durable) }
	for {
		first := (2*r.Int64N(runs) + user) * runSectors
		count := 1 + r.Int64N(runSectors)
		p, off := buffer[:count*SectorSize], first*SectorSize
		var err error
		switch what := r.IntN(10); {
		case what == 0:
			id := tell("S %d")
			if err = d.Sync(); err == nil {
				fmt.Printf("s %d.\n", id)
			}
		case what == 1:
			id := tell("W %d 0 %d %d", first, count)
			if err = d.WriteZeroes(off, count*SectorSize, 0); err == nil {
				done(id, 0)
			}
		default:
			// The number of the call is that of the version, too, and is known only
			// when it has been told.
			id := tell("W %[1]d %[1]d %[2]d %[3]d", first, count)
			for i := range count {
				fillSector(p[i*SectorSize:][:SectorSize], first+i, uint64(id))
			}
			durable := 0
			if what == 2 {
				durable = 1
			}
			if _, err = d.WriteAtContext(context.Background(), p, off, durable == 1); err == nil {
				done(id, durable)
			}
		}
		if err != nil {
			return err
		}
	}
}

// guestModules are loaded in this order.
var guestModules = []string{"virtio_ring.ko", "virtio.ko", "virtio_pci_legacy_dev.ko", "virtio_pci_modern_dev.ko", "virtio_pci.ko", "virtio_blk.ko"}

// buildGuest writes an initrd of this program and the modules, and returns the name
// of the kernel.
func buildGuest(t *testing.T, tree, initrd string) (kernel string) {
	t.Helper()
	var b bytes.Buffer
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"init": self}
	err = filepath.WalkDir(tree, func(name string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		for _, module := range guestModules {
			if filepath.Base(name) == module {
				files[module] = name
			}
		}
		if strings.HasPrefix(filepath.Base(name), "vmlinuz") {
			kernel = name
		}
		return nil
	})
	if err != nil || kernel == "" || len(files) != len(guestModules)+1 {
		t.Fatalf("%s has not a kernel and its modules: %q, %v (%v)", tree, kernel, files, err)
	}
	for _, dir := range []string{"dev", "proc", "sys"} {
		cpio(&b, dir, unix.S_IFDIR|0o755, nil)
	}
	for name, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		cpio(&b, name, unix.S_IFREG|0o755, text)
	}
	// The console must be there before anything is mounted.
	cpioDevice(&b, "dev/console", unix.S_IFCHR|0o600, 5, 1)
	cpio(&b, "TRAILER!!!", 0, nil)
	if err := os.WriteFile(initrd, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return kernel
}

// cpio appends a file to an archive of the form that Linux reads (newc).
func cpio(w *bytes.Buffer, name string, mode int, text []byte) {
	cpioHeader(w, name, mode, len(text), 0, 0)
	w.Write(text)
	pad(w)
}

func cpioDevice(w *bytes.Buffer, name string, mode, major, minor int) {
	cpioHeader(w, name, mode, 0, major, minor)
}

func cpioHeader(w *bytes.Buffer, name string, mode, size, major, minor int) {
	inode := w.Len() // any number that is not used twice
	fmt.Fprintf(w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, len(name)+1, 0)
	io.WriteString(w, name+"\x00")
	pad(w)
}

func pad(w *bytes.Buffer) {
	for w.Len()%4 != 0 {
		w.WriteByte(0)
	}
}
