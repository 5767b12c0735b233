package nbd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/storage/block"
)

// insideAttach is what TestGuestAttach does in the guest.
func insideAttach(in *guest.Inside) error {
	host := "nbd://" + net.JoinHostPort(guest.Host, in.Args[0])
	direct := "nbd://" + net.JoinHostPort(guest.Host, in.Args[1])
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"nbd-client", func() error { return insideClient(in, in.Args[0]) }},
		{"nbd-attach", func() error { return insideProgram(in, host+"/attach") }},
		{"nbd-attach that was killed", func() error { return insideAbandoned(in, host+"/attach") }},
		{"nbd-attach over a stack", func() error { return insideStack(in) }},
		{"a server that is killed", func() error { return insideKilled(in, direct) }},
		{"a slow device", func() error { return insideSlow(in) }},
		{"ends", func() error { return insideEnds(in) }},
	} {
		in.Tell("%s", step.name)
		if err := step.f(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// insideFileSystem makes a file system, fills it, trims it and checks it.
func insideFileSystem(in *guest.Inside, dev string) error {
	const dir = "/mnt/fs"
	if _, err := in.Run("mkfs.ext4", "-q", dev); err != nil {
		return err
	}
	text := make([]byte, 2<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	if err := in.Mount(dev, dir, "ext4", 0, ""); err != nil {
		return err
	}
	for _, name := range []string{"kept", "removed"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dir, "removed")); err != nil {
		return err
	}
	if out, err := in.Run("fstrim", "-v", dir); err != nil {
		return err
	} else if !strings.Contains(out, "bytes") || strings.Contains(out, " 0 B") {
		return fmt.Errorf("fstrim: %s", out)
	}
	if err := in.Unmount(dir); err != nil {
		return err
	}
	if _, err := in.Run("e2fsck", "-fn", dev); err != nil {
		return err
	}
	if err := in.Mount(dev, dir, "ext4", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(dir, "kept"))
	if err == nil && !bytes.Equal(got, text) {
		err = errors.New("a file holds other bytes than were written")
	}
	return errors.Join(err, in.Unmount(dir))
}

// sectorsOf is the size of a device by sysfs, in 512 bytes: 0 if it is not attached.
func sectorsOf(dev string) (n int64) {
	text, _ := os.ReadFile("/sys/block/" + filepath.Base(dev) + "/size")
	fmt.Sscan(string(text), &n)
	return n
}

// counted has the host look whether trims have arrived.
func counted(in *guest.Inside) error {
	in.Tell("host: count trims")
	_, err := in.Hear()
	return err
}

func insideClient(in *guest.Inside, port string) error {
	if out, err := in.Run("nbd-client", "-l", guest.Host, port); err != nil || !strings.Contains(out, "attach") {
		return fmt.Errorf("list: %w: %s", err, out)
	}
	if _, err := in.Run("nbd-client", guest.Host, port, "/dev/nbd0", "-N", "client", "-b", "4096", "-C", "2"); err != nil {
		return err
	}
	if err := insideFileSystem(in, "/dev/nbd0"); err != nil {
		return err
	}
	if err := counted(in); err != nil {
		return err
	}
	if _, err := in.Run("nbd-client", "-d", "/dev/nbd0"); err != nil {
		return err
	}
	return in.Await(time.Minute, func() bool { return sectorsOf("/dev/nbd0") == 0 })
}

// A running nbd-attach.
type running struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	path string // of the device
}

// startAttach returns when the program says that the device is there.
func startAttach(args ...string) (*running, error) {
	r := &running{cmd: exec.Command("nbd-attach", args...)}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	r.cmd.Stderr = &stderr
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	line, err := r.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "/dev/nbd") {
		r.cmd.Process.Kill()
		return nil, fmt.Errorf("nbd-attach says %q: %w: %w: %s", line, err, r.cmd.Wait(), &stderr)
	}
	r.path = strings.Fields(line)[0]
	return r, nil
}

// end sends Ctrl-C, and waits for the end.
func (r *running) end() error {
	r.cmd.Process.Signal(os.Interrupt)
	rest, err := io.ReadAll(r.out)
	if err := errors.Join(err, r.cmd.Wait()); err != nil {
		return fmt.Errorf("nbd-attach: %w: %s", err, rest)
	}
	return nil
}

// insideProgram runs the program, and interrupts it while the disk is mounted.
func insideProgram(in *guest.Inside, uri string) error {
	r, err := startAttach("-connections", "2", uri, "/dev/nbd1")
	if err != nil {
		return err
	}
	if n := sectorsOf("/dev/nbd1"); n != guestDiskSize/512 {
		return fmt.Errorf("/dev/nbd1 has %d sectors", n)
	}
	if err := insideFileSystem(in, "/dev/nbd1"); err != nil {
		return err
	}
	if err := counted(in); err != nil {
		return err
	}
	if err := in.Mount("/dev/nbd1", "/mnt/held", "ext4", 0, ""); err != nil {
		return err
	}
	r.cmd.Process.Signal(os.Interrupt)
	if line, err := r.out.ReadString('\n'); err != nil || !strings.Contains(line, "in use") {
		return fmt.Errorf("interrupted while mounted: %q, %w", line, err)
	}
	if err := os.WriteFile("/mnt/held/late", []byte("written later"), 0o600); err != nil {
		return err
	}
	if err := in.Unmount("/mnt/held"); err != nil {
		return err
	}
	if err := r.cmd.Wait(); err != nil {
		return err
	}
	if err := in.Await(time.Minute, func() bool { return sectorsOf("/dev/nbd1") == 0 }); err != nil {
		return fmt.Errorf("/dev/nbd1 has %d sectors when it is detached: %w", sectorsOf("/dev/nbd1"), err)
	}
	// What was written last is there when it is attached again, to whichever is free.
	if r, err = startAttach("-read-only", uri); err != nil {
		return err
	}
	if err := in.Mount(r.path, "/mnt/held", "ext4", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	text, err := os.ReadFile("/mnt/held/late")
	if err == nil && string(text) != "written later" {
		err = fmt.Errorf("a file holds %q", text)
	}
	return errors.Join(err, in.Unmount("/mnt/held"), r.end())
}

// insideAbandoned kills the program. The device is cleared by the next that wants it, or
// any, but not while it is mounted.
func insideAbandoned(in *guest.Inside, uri string) error {
	r, err := startAttach(uri, "/dev/nbd1")
	if err != nil {
		return err
	}
	if err := in.Mount("/dev/nbd1", "/mnt/held", "ext4", unix.MS_RDONLY, ""); err != nil {
		return err
	}
	kill := func() error {
		if err := r.cmd.Process.Kill(); err != nil {
			return err
		}
		r.cmd.Wait()
		if n := sectorsOf("/dev/nbd1"); n == 0 {
			return errors.New("the kernel has no device when its process was killed")
		}
		return nil
	}
	if err := kill(); err != nil {
		return err
	}
	if _, err := startAttach(uri, "/dev/nbd1"); err == nil {
		return errors.New("a device is taken away that is mounted")
	}
	if err := in.Unmount("/mnt/held"); err != nil { // of which nothing is to be written
		return err
	}
	if r, err = startAttach(uri, "/dev/nbd1"); err != nil {
		return fmt.Errorf("the same device: %w", err)
	}
	if err := kill(); err != nil {
		return err
	}
	next, err := startAttach(uri)
	if err != nil {
		return fmt.Errorf("any device: %w", err)
	}
	if err := in.Await(time.Minute, func() bool { return next.path == "/dev/nbd1" || sectorsOf("/dev/nbd1") == 0 }); err != nil {
		return fmt.Errorf("the device of the process that was killed has %d sectors: %w", sectorsOf("/dev/nbd1"), err)
	}
	return next.end()
}

// insideWrite writes to a device, and reads it again, past the page cache.
func insideWrite(dev string) error {
	f, err := os.OpenFile(dev, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const size = 256 << 10
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned to pages
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	want := bytes.Clone(p)
	if _, err := f.WriteAt(p, 1<<20); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	clear(p)
	if _, err := f.ReadAt(p, 1<<20); err != nil {
		return err
	}
	if !bytes.Equal(p, want) {
		return errors.New("it holds other bytes than were written")
	}
	return nil
}

// insideStack serves a disk at the kernel's end of a tap, and attaches it over a stack
// of the program's own.
func insideStack(in *guest.Inside) error {
	if err := os.MkdirAll("/dev/net", 0o755); err != nil {
		return err
	}
	if err := unix.Mknod("/dev/net/tun", unix.S_IFCHR|0o600, int(unix.Mkdev(10, 200))); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	s := new(Server)
	defer s.Close()
	if err := s.Add(Export{Device: block.NewMemory(4 << 20)}); err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":10809")
	if err != nil {
		return err
	}
	go s.Serve(l)
	r, err := startAttach("-tap", "tap0", "-addr", "10.1.0.2/24", "-host", "10.1.0.1/24", "nbd://10.1.0.1", "/dev/nbd2")
	if err != nil {
		return err
	}
	return errors.Join(insideWrite("/dev/nbd2"), r.end())
}

// insideKilled writes past the page cache while the host kills the server.
func insideKilled(in *guest.Inside, uri string) error {
	d := Dialer{ReconnectTimeout: 2 * time.Minute, Replay: ReplayUnflushed}
	c, err := d.Dial(context.Background(), uri)
	if err != nil {
		return err
	}
	defer c.Close()
	a, err := insideDevice("/dev/nbd3", c, AttachConfig{})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(a.Path(), os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := unix.Mmap(-1, 0, directSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned to pages
	if err != nil {
		return err
	}
	err = eachDirectWrite(p, func(i int, off int64) error {
		if i == directWrites/4 {
			in.Tell("host: kill the server")
		}
		_, err := f.WriteAt(p[:4096], off)
		return err
	})
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := f.ReadAt(p, 0); err != nil {
		return err
	}
	if !bytes.Equal(p, directContents()) {
		return errors.New("it holds other bytes than were written")
	}
	if c.Reconnects() == 0 {
		return errors.New("the server was not away")
	}
	f.Close()
	return a.Detach()
}

// insideDevice attaches a device.
func insideDevice(path string, dev block.Device, c AttachConfig) (*Attachment, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	a, err := Attach(context.Background(), f, dev, c)
	if err != nil {
		return nil, err
	}
	if a.Path() != path {
		return nil, fmt.Errorf("%s was attached for %s", a.Path(), path)
	}
	return a, nil
}

// A stallingDevice stalls one read when it is told to.
type stallingDevice struct {
	memory *block.Memory
	stall  atomic.Int64 // nanoseconds
}

func (d *stallingDevice) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Duration(d.stall.Swap(0)))
	return d.memory.ReadAt(p, off)
}
func (d *stallingDevice) WriteAt(p []byte, off int64) (int, error) { return d.memory.WriteAt(p, off) }
func (d *stallingDevice) Size() (int64, error)                     { return d.memory.Size() }
func (d *stallingDevice) Sync() error                              { return nil }

// insideSlow has the kernel give a connection up, so that it gets another one.
func insideSlow(in *guest.Inside) error {
	for _, connections := range []int{1, 2} {
		d := &stallingDevice{memory: block.NewMemory(1 << 20)}
		want := bytes.Repeat([]byte{0xa5}, 4096)
		d.memory.WriteAt(want, 512<<10)
		a, err := insideDevice("/dev/nbd4", d, AttachConfig{Timeout: time.Second, Connections: connections})
		if err != nil {
			return err
		}
		f, err := os.Open(a.Path())
		if err != nil {
			return err
		}
		got := make([]byte, 4096)
		d.stall.Store(int64(3 * time.Second))
		if _, err := f.ReadAt(got, 512<<10); err != nil {
			return fmt.Errorf("%d connections: %w", connections, err)
		}
		f.Close()
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%d connections: other bytes", connections)
		}
		if err := in.Await(time.Minute, func() bool { return a.Reconnects() > 0 }); err != nil {
			return fmt.Errorf("%d connections: the kernel has got no other: %w", connections, err)
		}
		if err := a.Detach(); err != nil {
			return err
		}
	}
	return nil
}

// insideEnds ends attachments in all ways, and changes the size of one.
func insideEnds(in *guest.Inside) error {
	m, err := block.NewDisk(block.NewMemory(1 << 20))
	if err != nil {
		return err
	}
	a, err := insideDevice("/dev/nbd5", m, AttachConfig{SectorSize: 4096})
	if err != nil {
		return err
	}
	if n := sectorsOf(a.Path()); n != 2048 {
		return fmt.Errorf("%d sectors", n)
	}
	if err := m.Resize(3<<20 + 100); err != nil {
		return err
	}
	if err := in.Await(time.Minute, func() bool { return sectorsOf(a.Path()) == 6144 }); err != nil {
		return fmt.Errorf("after a change of the size, %d sectors: %w", sectorsOf(a.Path()), err)
	}
	// Somebody holds it.
	f, err := os.OpenFile(a.Path(), os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	if err := a.Detach(); !errors.Is(err, block.ErrInUse) {
		return fmt.Errorf("detached while it was held: %w", err)
	}
	if _, err := f.WriteAt([]byte("in the page cache"), 0); err != nil {
		return err
	}
	f.Close()
	// Twice at the same time.
	again := make(chan error)
	go func() { again <- a.Detach() }()
	if err := errors.Join(a.Detach(), <-again, a.Wait()); err != nil {
		return err
	}
	got := make([]byte, 17)
	if m.ReadAt(got, 0); string(got) != "in the page cache" {
		return fmt.Errorf("detached, and the device holds %q", got)
	}
	// By another program.
	if a, err = insideDevice("/dev/nbd5", m, AttachConfig{}); err != nil {
		return err
	}
	if _, err := in.Run("nbd-client", "-d", a.Path()); err != nil {
		return err
	}
	if err := a.Wait(); err != nil {
		return fmt.Errorf("detached by another program: %w", err)
	}
	// By the context, which begins to end while the device is held.
	ctx, cancel := context.WithCancel(context.Background())
	if a, err = Attach(ctx, nil, m, AttachConfig{}); err != nil {
		return err
	}
	if f, err = os.OpenFile(a.Path(), os.O_RDWR|unix.O_EXCL, 0); err != nil {
		return err
	}
	cancel()
	time.Sleep(3 * attachRetry) // some attempts
	if n := sectorsOf(a.Path()); n == 0 {
		return errors.New("the end of the context has taken the device from who held it")
	}
	f.Close()
	if err := a.Wait(); err != nil {
		return err
	}
	// What cannot be attached.
	if a, err = insideDevice("/dev/nbd5", m, AttachConfig{}); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(context.Background(), 3*attachRetry)
	defer cancel()
	if f, err = os.Open("/dev/nbd5"); err != nil {
		return err
	}
	if _, err := Attach(short, f, m, AttachConfig{}); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("attached twice: %w", err)
	}
	for what, f := range map[string]func() (*Attachment, error){
		"an empty device": func() (*Attachment, error) {
			return Attach(context.Background(), nil, block.NewMemory(100), AttachConfig{})
		},
		"sectors of 1000 bytes": func() (*Attachment, error) {
			return Attach(context.Background(), nil, m, AttachConfig{SectorSize: 1000})
		},
	} {
		if _, err := f(); err == nil {
			return fmt.Errorf("%s was attached", what)
		}
	}
	return a.Detach()
}
