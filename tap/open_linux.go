package tap

import (
	"fmt"
	"net"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/link"
)

// Open opens a tap in the network namespace of the calling thread. Closing Tx
// of the link closes it, and takes away what Open has made: a new tap, or the
// address on one that was there.
//
// Errors say what to do; they satisfy errors.Is for fs.ErrNotExist (no
// /dev/net/tun), fs.ErrPermission, syscall.EBUSY (another program holds the
// tap) and what else the kernel says.
func Open(cfg Config) (link.Link, error) {
	c, l, err := openCard(cfg)
	if err != nil {
		return link.Link{}, err
	}
	l.Rx, l.Tx = c.start()
	return l, nil
}

// openCard opens a tap. The link that it returns has no channels yet.
func openCard(cfg Config) (*card, link.Link, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, link.Link{}, err
	}
	d, err := openDevice(cfg.Name, cfg.IP, !cfg.DisableOffload, cfg.Queues)
	if err != nil {
		return nil, link.Link{}, err
	}
	files, err := d.frameFiles(cfg.BusyPoll)
	if err != nil {
		d.close()
		return nil, link.Link{}, fmt.Errorf("tap: %s: %w", d.name, err)
	}
	mtu, undo, err := setUpHost(d, cfg)
	if err != nil {
		d.close()
		return nil, link.Link{}, explainHost(d.name, err)
	}
	c := newCard(files, d.vnet, cfg.IP, mtu)
	c.undo = undo
	return c, link.Link{Name: d.name, MTU: mtu, MAC: cfg.MAC, IP: cfg.IP, Stats: c.stats}, nil
}

// Available says whether this program can open /dev/net/tun, without which
// there are no taps; the error says what to do.
func Available() error {
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return explainNode(err)
	}
	return unix.Close(fd)
}

// setUpHost makes the host's side of a tap what cfg says. What is so already
// takes no rights. It returns the MTU, and how to take away what it has made
// and would outlive the file.
func setUpHost(d *device, cfg Config) (mtu int, undo func(), err error) {
	host, err := net.InterfaceByName(d.name)
	if err != nil {
		return 0, nil, err
	}
	addrs, err := host.Addrs()
	if err != nil {
		return 0, nil, err
	}
	c, err := netlink.Dial()
	if err != nil {
		return 0, nil, err
	}
	added, err := change(c, host, addrs, cfg)
	undo = func() {
		if added && d.stays {
			_ = c.RemoveAddr(host.Index, cfg.HostAddr) // fails if somebody else has removed it
		}
		c.Close()
	}
	if err != nil {
		undo()
		return 0, nil, err
	}
	return host.MTU, undo, nil
}

// changeMAC gives the host's end of a tap its address, and makes sure that it is not
// ours.
func changeMAC(c *netlink.Conn, host *net.Interface, cfg Config) error {
	hostMAC := [6]byte(host.HardwareAddr)
	if cfg.HostMAC != [6]byte{} && cfg.HostMAC != hostMAC {
		if err := c.SetMAC(host.Index, cfg.HostMAC); err != nil {
			return err
		}
		hostMAC = cfg.HostMAC
	}
	if cfg.MAC == hostMAC {
		return fmt.Errorf("it has the MAC address % x too: choose another one for our end", cfg.MAC)
	}
	return nil
}

// change does what is left to do on the host's side, and says whether it has
// added the address. It keeps host.MTU true.
func change(c *netlink.Conn, host *net.Interface, addrs []net.Addr, cfg Config) (added bool, err error) {
	if !cfg.IP {
		if err := changeMAC(c, host, cfg); err != nil {
			return false, err
		}
	}
	if cfg.MTU != 0 && cfg.MTU != host.MTU {
		if err := c.SetMTU(host.Index, cfg.MTU); err != nil {
			return false, err
		}
		host.MTU = cfg.MTU
	}
	if !cfg.HostAddr.IsValid() {
		return false, nil
	}
	has := func(a net.Addr) bool { return a.String() == cfg.HostAddr.String() }
	if !slices.ContainsFunc(addrs, has) {
		if err := c.AddAddr(host.Index, cfg.HostAddr); err != nil {
			return false, err
		}
		added = true
	}
	if host.Flags&net.FlagUp == 0 {
		err = c.SetUp(host.Index)
	}
	return added, err
}
