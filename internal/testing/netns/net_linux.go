package netns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

func indexOf(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return i.Index, nil
}

// Veth makes a pair of interfaces joined by a cable, nameA in a and nameB in
// b, which may be the same namespace. Both are up.
func Veth(a *NS, nameA string, b *NS, nameB string) error {
	err := a.host("lo", func(c *netlink.Conn, _ int) error { return c.AddVeth(nameA, nameB, int(b.file.Fd())) })
	if err != nil {
		return err
	}
	if err := a.SetUp(nameA); err != nil {
		return err
	}
	return b.SetUp(nameB)
}

// SetUp brings an interface up.
func (ns *NS) SetUp(name string) error {
	return ns.host(name, func(c *netlink.Conn, index int) error { return c.SetUp(index) })
}

// Delete removes an interface; of a veth, both ends.
func (ns *NS) Delete(name string) error {
	return ns.host(name, func(c *netlink.Conn, index int) error { return c.Delete(index) })
}

// SetMTU sets the MTU of an interface, in bytes.
func (ns *NS) SetMTU(name string, mtu int) error {
	return ns.host(name, func(c *netlink.Conn, index int) error { return c.SetMTU(index, mtu) })
}

// AddAddr gives an interface an IPv4 address.
func (ns *NS) AddAddr(name string, p netip.Prefix) error {
	return ns.host(name, func(c *netlink.Conn, index int) error { return c.AddAddr(index, p) })
}

// AddRoute adds an IPv4 route through a gateway; dst 0.0.0.0/0 is the default.
func (ns *NS) AddRoute(dst netip.Prefix, gateway netip.Addr) error {
	return ns.host("lo", func(c *netlink.Conn, _ int) error { return c.AddRoute(dst, gateway) })
}

// Sysctl sets a kernel parameter of the namespace, by its name with dots:
// "net.ipv4.tcp_congestion_control". An interface's name must have no dot.
func (ns *NS) Sysctl(name, value string) error {
	return ns.Do(func() error { // /proc/sys/net shows the namespace of the thread that opens a file
		return os.WriteFile(sysctlPath(name), []byte(value), 0)
	})
}

func sysctlPath(name string) string { return "/proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// Listen is net.Listen in the namespace, for literal addresses. The sockets
// are plain TCP, not MPTCP.
func (ns *NS) Listen(network, address string) (l net.Listener, err error) {
	err = ns.Do(func() error {
		var c net.ListenConfig
		c.SetMultipathTCP(false)
		l, err = c.Listen(context.Background(), network, address)
		return err
	})
	return l, err
}

// ListenPacket is net.ListenPacket in the namespace, for literal addresses.
func (ns *NS) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = ns.Do(func() error {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Dial is net.Dialer.DialContext in the namespace, for literal addresses.
func (ns *NS) Dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = ns.Do(func() error {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Start is cmd.Start in the namespace.
func (ns *NS) Start(cmd *exec.Cmd) error { return ns.Do(cmd.Start) }

// Output runs cmd in the namespace, and returns all that it printed on both
// of its outputs.
func (ns *NS) Output(cmd *exec.Cmd) (out []byte, err error) {
	err = ns.Do(func() error {
		out, err = cmd.CombinedOutput()
		return err
	})
	return out, err
}
