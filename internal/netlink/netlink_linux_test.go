package netlink_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

func TestMain(m *testing.M) { netns.Main(m) }

// TestConn changes an interface, and looks with the eyes of package net.
func TestConn(t *testing.T) {
	ns, other := netns.Test(t), netns.Test(t)
	var c *netlink.Conn
	look := func(name string) (i *net.Interface, addrs []net.Addr, err error) {
		err = ns.Do(func() error {
			if i, err = net.InterfaceByName(name); err != nil {
				return err
			}
			addrs, err = i.Addrs()
			return err
		})
		return i, addrs, err
	}
	if err := ns.Do(func() (err error) { c, err = netlink.Dial(); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := netns.Veth(ns, "a", other, "b"); err != nil {
		t.Fatal(err)
	}
	a, _, err := look("a")
	if err != nil {
		t.Fatal(err)
	}

	// From here on the calls come from a thread outside of the namespace.
	mac, addr := [6]byte{2, 3, 4, 5, 6, 7}, netip.MustParsePrefix("10.9.8.7/22")
	err = errors.Join(c.SetMAC(a.Index, mac), c.SetMTU(a.Index, 1234), c.AddAddr(a.Index, addr), c.SetUp(a.Index),
		c.AddRoute(netip.MustParsePrefix("172.16.0.0/12"), netip.MustParseAddr("10.9.8.1")))
	if err != nil {
		t.Fatal(err)
	}
	i, addrs, err := look("a")
	if err != nil || i.MTU != 1234 || [6]byte(i.HardwareAddr) != mac || i.Flags&net.FlagUp == 0 {
		t.Errorf("%+v, %v", i, err)
	}
	if len(addrs) == 0 || addrs[0].String() != addr.String() {
		t.Errorf("addresses %v, want %v", addrs, addr)
	}
	var routes []byte
	err = ns.Do(func() error {
		routes, err = os.ReadFile("/proc/thread-self/net/route")
		return err
	})
	if want := "a\t000010AC\t0108090A\t"; err != nil || !strings.Contains(string(routes), want) {
		t.Errorf("%q is not among the routes (%v):\n%s", want, err, routes)
	}

	for _, test := range []struct {
		name      string
		got, want error
	}{
		{"address again", c.AddAddr(a.Index, addr), syscall.EEXIST},
		{"no interface", c.SetUp(99), syscall.ENODEV},
		{"bad MTU", c.SetMTU(a.Index, 1<<20), syscall.EINVAL},
		{"no gateway", c.AddRoute(netip.MustParsePrefix("172.16.0.0/13"), netip.MustParseAddr("11.0.0.1")), syscall.ENETUNREACH},
		{"no namespace", c.AddVeth("y", "z", 0), syscall.EINVAL},
		{"remove address", c.RemoveAddr(a.Index, addr), nil},
		{"remove again", c.RemoveAddr(a.Index, addr), syscall.EADDRNOTAVAIL},
		{"delete", c.Delete(a.Index), nil},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
		}
	}
	if _, _, err := look("a"); err == nil {
		t.Error("a is still there")
	}
}
