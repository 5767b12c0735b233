package guest

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

// A Job is what a guest does.
type Job func(*Inside) error

// Enter does the guest's job, and never returns, where this program is the first process
// of a guest. A program that boots guests calls it first.
func Enter(jobs map[string]Job) {
	if os.Getpid() == 1 {
		if p, err := os.ReadFile("/plan"); err == nil {
			inside(p, jobs)
		}
	}
}

// An Inside is the guest as its job sees it. Its standard output goes to the host, as
// lines.
type Inside struct {
	Args []string
	host *bufio.Reader
}

// inside is the first process of a guest. It never returns.
func inside(text []byte, jobs map[string]Job) {
	var in Inside
	said := ""
	if err := in.do(text, jobs); err != nil {
		said = cmp.Or(strings.ReplaceAll(err.Error(), "\n", "\x00"), "an error without a word")
	}
	fmt.Println(endPrefix + said)
	for { // the host kills the guest
		time.Sleep(time.Hour)
	}
}

// do makes the guest ready, and does the job.
func (in *Inside) do(text []byte, jobs map[string]Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var p plan
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	for _, m := range []struct{ kind, dir string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	os.Setenv("PATH", "/bin")
	os.Setenv("HOME", "/tmp")
	for _, m := range p.Modules {
		if err := load(m); err != nil {
			return fmt.Errorf("%s: %w", m.Path, err)
		}
	}
	if err := in.join(); err != nil {
		return err
	}
	if p.Network {
		if err := network(); err != nil {
			return err
		}
	}
	job, ok := jobs[p.Job]
	if !ok {
		return fmt.Errorf("there is no job %q", p.Job)
	}
	in.Args = p.Args
	return job(in)
}

func load(m plannedModule) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), m.Parameters, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// join makes the port to the host this process's standard input and output.
func (in *Inside) join() error {
	const name = "/dev/vport0p1"
	if err := in.Await(time.Minute, func() bool { _, err := os.Stat(name); return err == nil }); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, standard := range []int{0, 1} {
		if err := unix.Dup3(fd, standard, 0); err != nil {
			return err
		}
	}
	in.host = bufio.NewReader(os.Stdin)
	return nil
}

// network gives the guest the address that QEMU expects.
func network() error {
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for name, address := range map[string]string{"lo": "", "eth0": "10.0.2.15/24"} {
		card, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := c.SetUp(card.Index); err != nil {
			return err
		}
		if address == "" {
			continue
		}
		if err := c.AddAddr(card.Index, netip.MustParsePrefix(address)); err != nil {
			return err
		}
	}
	return nil
}

// Tell sends a line to the host, and returns when the host has it.
func (in *Inside) Tell(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// Hear waits for a line of the host's.
func (in *Inside) Hear() (string, error) {
	line, err := in.host.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// Run runs a program for at most four minutes, and returns what it prints; the error of
// one that fails tells that, too.
func (in *Inside) Run(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// Mount mounts a file system.
func (in *Inside) Mount(dev, dir, kind string, flags uintptr, options string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(dev, dir, kind, flags, options); err != nil {
		return &fs.PathError{Op: "mount", Path: dev, Err: err}
	}
	return nil
}

// Unmount is the opposite of Mount.
func (in *Inside) Unmount(dir string) error {
	if err := unix.Unmount(dir, 0); err != nil {
		return &fs.PathError{Op: "unmount", Path: dir, Err: err}
	}
	return nil
}

// Await waits until f returns true, for at most so long.
func (in *Inside) Await(most time.Duration, f func() bool) error {
	for end := time.Now().Add(most); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("not after %v", most)
		}
	}
	return nil
}
