package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/examples/internal/testing/programtest"
	"github.com/seed-012105e5/gonet/storage/internal/testing/usbhost"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

func TestMain(m *testing.M) {
	guest.Enter(map[string]guest.Job{"doors": insideDoors, "cuts": insideCuts})
	programtest.Main(m, main)
}

// must makes a call that is to succeed.
func (c *child) must(method, path string, body []byte) {
	c.t.Helper()
	if _, err := c.call(method, path, bytes.NewReader(body)); err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
}

// openNBD opens the export of the drive.
func (c *child) openNBD() (*nbd.Client, error) {
	d := nbd.Dialer{DialContext: c.dial}
	return d.Dial(c.t.Context(), c.export)
}

// attach attaches the USB device of the drive, which the program may not have seen yet
// detached by the host before.
func (c *child) attach() *usbhost.Host {
	c.t.Helper()
	for late := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := c.dial(c.t.Context(), "tcp", c.usbip)
		if err != nil {
			c.t.Fatal(err)
		}
		h, err := usbhost.Attach(conn, "1-1")
		if err == nil {
			c.t.Cleanup(func() { h.Close() })
			return h
		}
		conn.Close()
		if time.Now().After(late) {
			c.t.Fatal(err)
		}
	}
}

// exchange has each of the doors write, and all read that.
func exchange(t *testing.T, doors map[string]block.Device) {
	t.Helper()
	round := byte(1)
	for name, writer := range doors {
		round++
		want := bytes.Repeat([]byte{round}, 8192)
		if _, err := writer.WriteAt(want, 16384); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for other, reader := range doors {
			got := make([]byte, len(want))
			if _, err := reader.ReadAt(got, 16384); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s does not read what %s has written: %v", other, name, err)
			}
		}
	}
}

// useDoors puts a disk into the drive, has NBD, iSCSI and USB/IP use it at the same time,
// and takes it out.
func useDoors(t *testing.T, c *child) {
	t.Helper()
	c.must("POST", "msd/write?image=disk.img", make([]byte, 1<<20))
	if d, err := c.openNBD(); err == nil {
		t.Error("the empty drive is exported by NBD")
		d.Close()
	}
	stick := c.attach() // an empty drive is a device as well
	if ready, err := stick.Ready(); ready || err != nil {
		t.Errorf("the empty USB drive has a medium, %v", err)
	}
	stick.Close()
	c.must("POST", "msd/set_params?image=disk.img&cdrom=0&rw=1", nil)
	c.must("POST", "msd/set_connected?connected=1", nil)
	export, err := c.openNBD()
	if err != nil {
		t.Fatal(err)
	}
	defer export.Close()
	unit, err := (&iscsi.Dialer{Dial: c.dial}).Open(t.Context(), c.lun)
	if err != nil {
		t.Fatal(err)
	}
	defer unit.Close()
	stick = c.attach()
	exchange(t, map[string]block.Device{"NBD": export, "iSCSI": unit, "USB/IP": stick})
	c.must("POST", "msd/set_connected?connected=0", nil)
	if d, err := c.openNBD(); err == nil {
		t.Error("the ejected drive is exported by NBD")
		d.Close()
	}
	if ready, err := stick.Ready(); ready || err != nil {
		t.Errorf("the USB drive has a medium after it was ejected, %v", err)
	}
	stick.Close()
}

// TestDoors has all doors show the drive that need no kernel's help, as a disk and as a
// CD-ROM. Interrupted, the program ends in order; started again, it connects what it had.
func TestDoors(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "redir")
	args := []string{"-listen", "127.0.0.1:0", "-nbd", "127.0.0.1:0", "-iscsi", "127.0.0.1:0", "-usbip", "127.0.0.1:0",
		"-usbredir", "unix:" + socket, "-store", filepath.Join(dir, "store")}
	c := startWith(t, &child{t: t}, "usbredir at", args...)
	if c.password == "" {
		t.Fatal("the first start printed no password")
	}
	useDoors(t, c)
	stick := c.attach()
	c.must("POST", "msd/set_params?image=disk.img&cdrom=1", nil)
	c.must("POST", "msd/set_connected?connected=1", nil)
	if _, err := stick.Ready(); err == nil {
		t.Error("the USB device is not unplugged when it becomes a CD-ROM")
	}
	stick = c.attach()
	kind, err := stick.Type()
	size, sizeErr := stick.Size()
	if kind != 5 || size != 1<<20 || err != nil || sizeErr != nil {
		t.Errorf("the USB device is of type %d and has %d bytes, %v, %v", kind, size, err, sizeErr)
	}
	// The version of usbredir that a server says hello with is behind type, length and id.
	hello := make([]byte, 12+6)
	if conn, err := net.Dial("unix", socket); err != nil {
		t.Error(err)
	} else {
		conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Read(hello); err != nil || !bytes.Equal(hello[:4], make([]byte, 4)) {
			t.Errorf("usbredir says %x, %v", hello, err)
		}
		conn.Close()
	}
	if err := c.interrupt(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if _, err := os.Lstat(socket); err == nil {
		t.Error("after Ctrl-C the socket is there still")
	}
	password := c.password
	c = startWith(t, &child{t: t, password: password}, "usbredir at", args...)
	waitConnected(t, c)
	if c.password != password {
		t.Error("the second start has made another password")
	}
	if kind, err := c.attach().Type(); kind != 5 || err != nil {
		t.Errorf("then the USB device is of type %d, %v", kind, err)
	}
}

// TestTap has page and drive cross the program's own stack: curl reads the page and calls
// the API, and NBD, iSCSI and USB/IP use the drive, over a tap.
func TestTap(t *testing.T) {
	ns := netns.Test(t)
	netns.NeedTun(t)
	c := startWith(t, &child{t: t, ns: ns}, "usbip at", "-tap", "tap0", "-listen", ":8443", "-nbd", ":10809", "-iscsi", ":3260", "-usbip", ":3240",
		"-store", filepath.Join(t.TempDir(), "store"))
	if c.base != "https://10.0.0.2:8443" || c.usbip != "10.0.0.2:3240" || c.export != "nbd://10.0.0.2:10809/drive" {
		t.Errorf("the program is at %s, %s, %s", c.base, c.usbip, c.export)
	}
	curl(t, c)
	useDoors(t, c)
	if err := c.interrupt(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

// curl has curl call the API, with the certificate that the program has made for its
// address, and read what is at its URL.
func curl(t *testing.T, c *child) {
	t.Helper()
	program := need.Program(t, "curl")
	for path, want := range map[string]string{"/": "<html", "/api/msd": `"ok": true`} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "-sS", "-k", "-u", "admin:"+c.password, "-w", "\n%{http_code}", c.base+path)
		var out []byte
		var err error
		if c.ns != nil {
			out, err = c.ns.Output(cmd)
		} else {
			out, err = cmd.Output()
		}
		if err != nil || !strings.HasSuffix(string(out), "\n200") || !strings.Contains(string(out), want) {
			t.Errorf("curl of %s: %v: %s", path, err, out)
		}
	}
}

// TestRootless serves as an ordinary user, over a stack of the program's own, and is used
// from outside of its private network.
func TestRootless(t *testing.T) {
	ns := netns.Test(t)
	netns.NeedTun(t)
	dir := t.TempDir()
	if !netns.AsUser() {
		for d := dir; d != filepath.Dir(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
			if info, err := os.Stat(d); err == nil && info.Mode()&0o005 != 0o005 {
				if err := os.Chmod(d, info.Mode()|0o055); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.Chown(dir, programtest.Nobody, programtest.Nobody); err != nil {
			t.Fatal(err)
		}
	}
	c := startWith(t, &child{t: t, ns: ns, user: true}, "usbip at", "-rootless", "-listen", "127.0.0.1:8443", "-usbip", "127.0.0.1:3240",
		"-store", filepath.Join(dir, "store"))
	if c.base != "https://127.0.0.1:8443" || c.usbip != "127.0.0.1:3240" || !strings.HasPrefix(c.lun, "iscsi://127.0.0.1:3260/") {
		t.Errorf("the program is at %s, %s, %s", c.base, c.usbip, c.lun)
	}
	targets, err := (&iscsi.Dialer{Dial: c.dial}).Discover(t.Context(), "127.0.0.1:3260")
	if err != nil || !strings.Contains(fmt.Sprint(targets), "127.0.0.1:3260") {
		t.Errorf("discovery tells of %v, %v", targets, err)
	}
	curl(t, c)
	useDoors(t, c)
	if err := c.interrupt(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

// TestUsage refuses what cannot be.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	for _, bad := range [][]string{
		{"-rootless", "-gadget", "auto"}, {"-rootless", "-listen", "127.0.0.1:0"}, {"-rootless", "-nbd", "127.0.0.1:8443"},
		{"-usbredir", "127.0.0.1:65535", "-drive", "a b"}, {"-usbredir", "x", "-drive", "a b"}, {"-tap", "t0", "-host", "10.1.0.1/24"},
		{"-gadget", "auto", "-drive", "a b c d e f g h i"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := run(ctx, append([]string{"-store", dir}, bad...), new(bytes.Buffer))
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
