package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

func TestMain(m *testing.M) { netns.Main(m) }

var hostAddr = netip.MustParsePrefix("10.0.0.1/24")

// private returns a namespace of the test's own, and looks for buffers that
// the test leaks.
func private(t *testing.T) *netns.NS {
	t.Helper()
	ns := netns.Test(t)
	netns.NeedTun(t)
	before := packet.Live()
	t.Cleanup(func() {
		if leaked := packet.Live() - before; leaked != 0 {
			t.Errorf("%d buffers leaked", leaked)
		}
	})
	return ns
}

func open(ns *netns.NS, cfg Config) (l link.Link, err error) {
	err = ns.Do(func() error {
		l, err = Open(cfg)
		return err
	})
	return l, err
}

func mustOpen(t *testing.T, ns *netns.NS, cfg Config) link.Link {
	t.Helper()
	l, err := open(ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hostSide is the host's side of a tap; an error when there is none.
func hostSide(ns *netns.NS, name string) (i *net.Interface, addrs string, err error) {
	err = ns.Do(func() error {
		if i, err = net.InterfaceByName(name); err != nil {
			return err
		}
		all, err := i.Addrs()
		for _, a := range all {
			if !strings.Contains(a.String(), ":") {
				addrs += a.String() + " "
			}
		}
		return err
	})
	return i, addrs, err
}

// eachKind runs a test with and without the virtio-net header, and with one
// queue and several.
func eachKind(t *testing.T, test func(t *testing.T, cfg Config)) {
	for name, cfg := range map[string]Config{
		"offload":           {Queues: 1},
		"offload, 3 queues": {Queues: 3},
		"plain":             {Queues: 1, DisableOffload: true},
		"plain, 3 queues":   {Queues: 3, DisableOffload: true},
	} {
		t.Run(name, func(t *testing.T) { test(t, cfg) })
	}
}

func TestHostSide(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		cfg.HostAddr, cfg.HostMAC, cfg.MTU = hostAddr, [6]byte{2, 0, 0, 0, 0, 1}, 9000
		l := mustOpen(t, ns, cfg)
		i, addrs, err := hostSide(ns, l.Name)
		if err != nil {
			t.Fatal(err)
		}
		if l.Name != "gonet0" || i.MTU != 9000 || l.MTU != 9000 || [6]byte(i.HardwareAddr) != cfg.HostMAC || addrs != "10.0.0.1/24 " || i.Flags&net.FlagUp == 0 {
			t.Errorf("%s: MTU %d, MAC %v, %s, %v", l.Name, i.MTU, i.HardwareAddr, addrs, i.Flags)
		}
		finish(l)
		if _, _, err := hostSide(ns, l.Name); err == nil {
			t.Errorf("%s is still there after close", l.Name)
		}

		l = mustOpen(t, ns, Config{DisableOffload: cfg.DisableOffload, Name: "wire%d"})
		i, addrs, err = hostSide(ns, "wire0")
		if err != nil || l.MTU != 1500 || addrs != "" || i.Flags&net.FlagUp != 0 {
			t.Errorf("left alone: MTU %d, %q, %v, %v", l.MTU, addrs, i.Flags, err)
		}
		l.Tx <- tcpFrame(60) // while the host's side is down
		for deadline := time.Now().Add(5 * time.Second); l.Stats.DropTxError.Load() == 0; {
			if time.Now().After(deadline) {
				t.Fatal("a frame to a host that is down is not counted")
			}
			time.Sleep(time.Millisecond)
		}
		finish(l)
	})
}

// TestReopen opens and closes a tap 100 times, and counts descriptors.
func TestReopen(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		cfg.Name, cfg.HostAddr = "tap0", hostAddr
		before := descriptors(t)
		for range 100 {
			finish(mustOpen(t, ns, cfg))
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// premade makes a persistent tap that belongs to this user, for several queues
// if mode says so.
func premade(t *testing.T, ns *netns.NS, name string, mode uint16) {
	t.Helper()
	err := ns.Do(func() error {
		fd, err := unix.Open(node, unix.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if _, err := (&device{name: name}).attach(fd, mode); err != nil {
			return err
		}
		return errors.Join(unix.IoctlSetInt(fd, unix.TUNSETOWNER, os.Geteuid()), unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// modeFor is the mode of a tap that has the queues of cfg.
func modeFor(cfg Config) uint16 {
	if cfg.Queues > 1 {
		return unix.IFF_MULTI_QUEUE
	}
	return 0
}

// TestPremade attaches to a tap that was there before, which stays, with what
// others have set.
func TestPremade(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		premade(t, ns, "tap0", modeFor(cfg))
		if err := errors.Join(ns.SetMTU("tap0", 1400), ns.AddAddr("tap0", netip.MustParsePrefix("10.9.0.1/24"))); err != nil {
			t.Fatal(err)
		}
		cfg.Name, cfg.HostAddr = "tap0", hostAddr
		before := descriptors(t)
		for range 2 {
			l := mustOpen(t, ns, cfg)
			if _, addrs, err := hostSide(ns, "tap0"); err != nil || l.MTU != 1400 || addrs != "10.9.0.1/24 10.0.0.1/24 " {
				t.Errorf("MTU %d, %q, %v", l.MTU, addrs, err)
			}
			finish(l)
			if _, addrs, err := hostSide(ns, "tap0"); err != nil || addrs != "10.9.0.1/24 " {
				t.Errorf("after close: %q, %v", addrs, err)
			}
		}

		// Its owner needs no rights when all is set up.
		if err := ns.AddAddr("tap0", hostAddr); err != nil {
			t.Fatal(err)
		}
		cfg.MTU = 1400
		err := ns.Do(func() error {
			return unprivileged(func() error {
				l, err := Open(cfg)
				if err == nil {
					finish(l)
				}
				return err
			})
		})
		if err != nil {
			t.Error(err)
		}
		if _, addrs, err := hostSide(ns, "tap0"); err != nil || addrs != "10.9.0.1/24 10.0.0.1/24 " {
			t.Errorf("an address that was there has gone: %q, %v", addrs, err)
		}
		cfg.MTU = 1300
		err = ns.Do(func() error { return unprivileged(func() error { _, err := Open(cfg); return err }) })
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "sudo ip addr add") {
			t.Errorf("an MTU that it may not set: %v", err)
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
	})
}

// unprivileged calls fn on this thread without capabilities. The caller has
// locked the thread.
func unprivileged(fn func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	if err := unix.Capget(&header, &had[0]); err != nil {
		return err
	}
	none := had
	none[0].Effective, none[1].Effective = 0, 0
	if err := unix.Capset(&header, &none[0]); err != nil {
		return err
	}
	err := fn()
	return errors.Join(err, unix.Capset(&header, &had[0]))
}

// TestRefused makes all the errors that a machine with /dev/net/tun can make,
// and counts descriptors.
func TestRefused(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		cfg.Name = "tap0"
		premade(t, ns, "mine", modeFor(cfg))
		held := mustOpen(t, ns, cfg)
		before := descriptors(t)
		with := func(change func(*Config)) error {
			cfg := cfg
			change(&cfg)
			_, err := open(ns, cfg)
			return err
		}
		for _, test := range []struct {
			name string
			got  error
			is   error
			want string
		}{
			{"busy", with(func(c *Config) {}), syscall.EBUSY, "held by another program"},
			{"no tap", with(func(c *Config) { c.Name = "lo" }), syscall.EINVAL, "is no tap"},
			{"one MAC twice", with(func(c *Config) {
				i, _, _ := hostSide(ns, "mine")
				c.Name, c.MAC = "mine", [6]byte(i.HardwareAddr)
			}), nil, "another one for our end"},
			{"not permitted", ns.Do(func() error {
				return unprivileged(func() error { _, err := Open(Config{DisableOffload: cfg.DisableOffload}); return err })
			}), fs.ErrPermission, "sudo setcap"},
		} {
			if test.got == nil || test.is != nil && !errors.Is(test.got, test.is) || !strings.Contains(fmt.Sprint(test.got), test.want) {
				t.Errorf("%s: %v, want %q", test.name, test.got, test.want)
			}
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
		finish(held)
	})
}

// TestQueues asks the kernel how many queues a tap has: what was wanted, unless
// it was there before, for one only.
func TestQueues(t *testing.T) {
	for _, test := range []struct {
		name         string
		premade      bool
		mode         uint16
		wanted, want int
	}{
		{"new", false, 0, 4, 4},
		{"premade with multi_queue", true, unix.IFF_MULTI_QUEUE, 4, 4},
		{"premade with multi_queue, for one", true, unix.IFF_MULTI_QUEUE, 1, 1},
		{"premade", true, 0, 4, 0},
	} {
		for _, plain := range []bool{false, true} {
			ns := private(t)
			if test.premade {
				premade(t, ns, "tap0", test.mode)
			}
			cfg := Config{Name: "tap0", DisableOffload: plain, Queues: test.wanted}
			ask := func() (q netlink.Queues) {
				if err := ns.Do(func() (err error) { q, err = netlink.TapQueues("tap0"); return err }); err != nil {
					t.Fatal(err)
				}
				return q
			}
			before := descriptors(t)
			l := mustOpen(t, ns, cfg)
			if q := ask(); q.Several != (test.want > 0) || q.Held != test.want {
				t.Errorf("%s, plain %v: %+v, want %d held", test.name, plain, q, test.want)
			}
			if _, err := open(ns, cfg); !errors.Is(err, syscall.EBUSY) {
				t.Errorf("%s, plain %v: opened twice: %v", test.name, plain, err)
			}
			finish(l)
			if _, _, err := hostSide(ns, "tap0"); (err == nil) != test.premade || ask().Held != 0 || descriptors(t) != before {
				t.Errorf("%s, plain %v: after close %v, %+v, %d descriptors more", test.name, plain, err, ask(), descriptors(t)-before)
			}
		}
	}
}

// TestDeleted deletes the device from outside.
func TestDeleted(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		cfg.Name, cfg.HostAddr = "tap0", hostAddr
		l := mustOpen(t, ns, cfg)
		if err := ns.Delete("tap0"); err != nil {
			t.Fatal(err)
		}
		timeout := time.After(5 * time.Second)
		for open := true; open; {
			select {
			case b, ok := <-l.Rx:
				if open = ok; ok {
					b.Release()
				}
			case <-timeout:
				t.Fatal("Rx stays open")
			}
		}
		const n = 2 * link.QueueLen
		for range n {
			select {
			case l.Tx <- tcpFrame(60):
			case <-timeout:
				t.Fatal("Tx is not drained")
			}
		}
		finish(l)
		for l.Stats.DropClosed.Load() < n {
			select {
			case <-timeout:
				t.Fatalf("%d frames counted, want %d", l.Stats.DropClosed.Load(), n)
			case <-time.After(time.Millisecond):
			}
		}
	})
}
