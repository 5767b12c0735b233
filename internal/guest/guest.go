package guest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Config says what a guest has. Zero values mean what is said.
type Config struct {
	Job  string   // what it does, of those that Enter knows
	Args []string // for the job

	// Modules of the kernel are loaded in this order, after those that they need; those
	// of virtio are. What the kernel looks for by itself must be named, too: ext4 wants
	// crc32c_generic. A module may have parameters: "nbd nbds_max=2".
	Modules []string
	// Programs of this machine are there in /bin, with the shared objects they need.
	Programs []string
	// Files of this machine, by their path in the guest.
	Files map[string]string
	// Network joins the guest to this machine: what listens at 127.0.0.1 here is at
	// [Host] there.
	Network bool
	// QEMU are further arguments for it: disks, for one.
	QEMU []string
	// Loader, if not nil, puts a system on a disk of those, with something that loads it.
	// The firmware boots the guest from there; else QEMU loads the kernel by itself.
	Loader func(System) error

	// Kernel is the package of Debian's that stands for a kernel; linux-image-amd64.
	Kernel string

	Memory int           // in MB; 384
	Limit  time.Duration // how long the guest may live; 7 minutes
}

// Host is the address of the host in a guest that has a network.
const Host = "10.0.2.2"

// A System is what a guest runs.
type System struct {
	Kernel  string // a file: an image of Linux on x86 that a boot loader takes
	Initrd  string // a file
	Options string // for the kernel
}

// options are the kernel's. Under load it finds that its timer does not work, unless it is
// told not to look.
const options = "console=ttyS0 quiet loglevel=5 panic=-1 no_timer_check tsc=reliable mitigations=off"

func (c *Config) modules() []string {
	all := []string{"virtio_pci", "virtio_console"}
	if c.Network {
		all = append(all, "virtio_net")
	}
	return append(all, c.Modules...)
}

// A Guest is a virtual machine.
type Guest struct {
	// Lines are what the job tells. The channel is closed when the guest has ended.
	// What nobody has read yet waits, up to a megabyte of it.
	Lines <-chan string

	cmd     *exec.Cmd
	stdin   io.WriteCloser
	console tail
	ended   chan struct{} // closed when QEMU has ended, after err was set
	err     error
}

// Boot boots a guest, which the caller has to kill. Its first file system is put into a
// directory. The error is [ErrKernel] where there is no kernel for it.
func Boot(dir string, c Config) (*Guest, error) {
	k, err := findKernel(c.Kernel)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKernel, err)
	}
	initrd := filepath.Join(dir, "initrd")
	if err := writeInitrd(initrd, k, &c); err != nil {
		return nil, err
	}
	from := []string{"-kernel", k.image, "-initrd", initrd, "-append", options}
	if c.Loader != nil {
		if k.compressed == "" {
			return nil, errors.New("the guests' kernel has no image for boot loaders")
		}
		if err := c.Loader(System{k.compressed, initrd, options}); err != nil {
			return nil, err
		}
		from = nil
	}
	return boot(from, &c)
}

// ErrKernel says that there is no kernel for guests on this machine.
var ErrKernel = errors.New("no kernel for guests")

// Emulator is the program that runs guests.
const Emulator = "qemu-system-x86_64"

// boot starts QEMU, with arguments that have it load a system.
func boot(system []string, c *Config) (*Guest, error) {
	memory, limit := c.Memory, c.Limit
	if memory <= 0 {
		memory = 384
	}
	if limit <= 0 {
		limit = 7 * time.Minute
	}
	args := []string{"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", fmt.Sprint(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-chardev", "file,id=console,path=/dev/fd/3", "-serial", "chardev:console",
		"-chardev", "stdio,id=job,signal=off", "-device", "virtio-serial-pci,ioeventfd=off", "-device", "virtserialport,chardev=job"}
	args = append(args, system...)
	if c.Network {
		args = append(args, "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net")
	}
	cmd := exec.Command(Emulator, append(args, c.QEMU...)...)
	console, toConsole, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer toConsole.Close()
	cmd.ExtraFiles = []*os.File{toConsole}
	g := &Guest{cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &g.console
	stdout, toStdout, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer toStdout.Close()
	if err := widen(stdout); err != nil {
		return nil, err
	}
	cmd.Stdout = toStdout
	if g.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	lines := make(chan string)
	g.Lines = lines
	started := make(chan error)
	go func() {
		// QEMU ends with the thread that started it, should this program die.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		dieTogether(cmd)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		read := make(chan struct{})
		go func() { defer close(read); io.Copy(&g.console, console); console.Close() }()
		done := follow(stdout, lines)
		g.Kill() // it has nothing left to do
		stdout.Close()
		cmd.Wait()
		<-read
		if g.err = done; done == errSilent {
			g.err = fmt.Errorf("the guest died before its job was done (%v); its console:\n%s", cmd.ProcessState, g.Console())
		}
		close(lines)
		close(g.ended)
	}()
	if err := <-started; err != nil {
		console.Close()
		stdout.Close()
		return nil, err
	}
	late := time.AfterFunc(limit, func() {
		fmt.Fprintf(&g.console, "[killed after %v]\n", limit)
		g.Kill()
	})
	go func() { <-g.ended; late.Stop() }()
	return g, nil
}

// pipeSize is how much a job may tell before somebody has read it, in bytes.
const pipeSize = 1 << 20

// errSilent is that a guest has ended without a word.
var errSilent = errors.New("the guest ended without a word")

// follow hands on the lines of the job until it says how it has ended.
func follow(stdout io.Reader, lines chan<- string) error {
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadString('\n')
		if err != nil { // the last line may have been cut short
			return errSilent
		}
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, endPrefix); ok {
			if text == "" {
				return nil
			}
			return errors.New(strings.ReplaceAll(text, "\x00", "\n"))
		}
		lines <- line
	}
}

// endPrefix begins the last line of a job; the error follows, if there is one, with a
// zero byte for each new line.
const endPrefix = "\x00end "

// Say sends a line to the job, which reads it by Inside.Hear.
func (g *Guest) Say(line string) error {
	_, err := io.WriteString(g.stdin, line+"\n")
	return err
}

// Kill ends the guest as a power cut does. Lines that it has told go on to come; when
// the channel is closed, the guest has ended.
func (g *Guest) Kill() { g.cmd.Process.Kill() }

// Wait returns when the guest has ended: nil if its job has returned nil, and the job's
// error or how the guest died otherwise. What it tells meanwhile is passed over.
func (g *Guest) Wait() error {
	for range g.Lines {
	}
	<-g.ended
	return g.err
}

// Console is the last that the kernel and QEMU have said.
func (g *Guest) Console() string { return g.console.String() }

// A tail keeps the last 64 KB of what is written to it.
type tail struct {
	mu    sync.Mutex
	bytes []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 64 << 10
	t.bytes = append(t.bytes, p...)
	if n := len(t.bytes) - most; n > 0 {
		t.bytes = bytes.Clone(t.bytes[n:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes)
}
