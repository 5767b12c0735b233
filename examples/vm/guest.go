//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/internal/guest"
	"github.com/seed-012105e5/gonet/internal/netlink"
)

// A log is a writer that several goroutines may use.
type log struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// A machine is a virtual machine that runs.
type machine struct {
	kill  func()          // ends it, and waits until it has ended
	ended <-chan struct{} // closed when it has
}

// boot boots the guest.
func (o *options) boot(dir string, qemu []string, out io.Writer) (*machine, error) {
	fmt.Fprintf(out, "booting a guest with the card\n  %s\n", strings.Join(qemu, " "))
	if o.kernel != "" {
		return o.bootImage(qemu, out)
	}
	c := guest.Config{Job: "browse", Modules: []string{"virtio_net"}, QEMU: qemu, Memory: memory}
	if o.disk != "" {
		c.Args, c.Modules = []string{"disk"}, append(c.Modules, "virtio_blk", "crc32c_generic", "ext4")
	}
	g, err := guest.Boot(dir, c)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var killed atomic.Bool
	go func() {
		defer close(ended)
		for line := range g.Lines {
			fmt.Fprintln(out, "guest:", line)
		}
		if err := g.Wait(); err != nil && !killed.Load() {
			fmt.Fprintln(out, "guest:", err)
		}
	}()
	return &machine{kill: func() { killed.Store(true); g.Kill(); <-ended }, ended: ended}, nil
}

// bootImage boots a kernel of the user's, and prints its console.
func (o *options) bootImage(qemu []string, out io.Writer) (*machine, error) {
	cmd := exec.Command("qemu-system-x86_64", append([]string{
		"-machine", "q35", "-accel", "kvm", "-accel", "tcg", "-cpu", "max", "-m", fmt.Sprint(memory), "-nodefaults", "-no-user-config",
		"-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", o.kernel, "-initrd", o.initrd, "-append", o.append,
	}, qemu...)...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	return &machine{kill: func() { cmd.Process.Kill(); <-ended }, ended: ended}, nil
}

// useDisk mounts the disk, adds a line to a file there, and serves all files.
func useDisk(in *guest.Inside) error {
	const dir = "/disk"
	if err := in.Mount("/dev/vda", dir, "ext4", 0, ""); err != nil {
		return fmt.Errorf("%w (the disk wants mkfs.ext4)", err)
	}
	f, err := os.OpenFile(dir+"/boots", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, "booted", time.Now().UTC().Format(time.DateTime))
	// The host ends the guest as a power cut does.
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	http.Handle(dir+"/", http.StripPrefix(dir, http.FileServer(http.Dir(dir))))
	in.Tell("the disk is mounted")
	return nil
}

// browse is what the guest does: it serves a page, and its disk, and fetches a page.
func browse(in *guest.Inside) error {
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	card, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	if err := c.SetUp(card.Index); err != nil {
		return err
	}
	if err := c.AddAddr(card.Index, there); err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "a page of Linux %s for %s", strings.TrimSpace(string(kernel)), r.RemoteAddr)
	})
	if slices.Contains(in.Args, "disk") {
		if err := useDisk(in); err != nil {
			return err
		}
	}
	go http.Serve(l, nil)
	r, err := http.Get("http://" + here.Addr().String() + "/")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	in.Tell("http://%v/ is %q", here.Addr(), page)
	select {} // until the host ends it
}
