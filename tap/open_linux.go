package tap

import (
	"fmt"
	"net"
	"net/netip"
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
	if cfg.TxQueue == 0 && !d.stays {
		cfg.TxQueue = DefaultTxQueue
	}
	host, err := setUpHost(d, cfg)
	if err != nil {
		d.close()
		return nil, link.Link{}, explainHost(d.name, err)
	}
	mtu := host.mtu
	c := newCard(files, d.vnet, cfg.IP, mtu)
	c.undo = host.close
	host.stats = c.stats
	<-c.kernel
	c.kernel <- host
	return c, link.Link{Name: d.name, MTU: mtu, MAC: cfg.MAC, IP: cfg.IP, Stats: c.stats, Refresh: c.refresh}, nil
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
// takes no rights.
func setUpHost(d *device, cfg Config) (*kernelEnd, error) {
	host, err := net.InterfaceByName(d.name)
	if err != nil {
		return nil, err
	}
	addrs, err := host.Addrs()
	if err != nil {
		return nil, err
	}
	c, err := netlink.Dial()
	if err != nil {
		return nil, err
	}
	h := &kernelEnd{conn: c, index: host.Index}
	added, err := change(c, host, addrs, cfg)
	if added && d.stays {
		h.added = cfg.HostAddr
	}
	h.mtu = host.MTU
	if err == nil {
		h.before, err = c.Drops(host.Index)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// A kernelEnd is the kernel's end of the cable. It serves one goroutine at a time.
type kernelEnd struct {
	conn   *netlink.Conn
	index  int
	mtu    int
	added  netip.Prefix  // an address to be taken away at the end; the zero Prefix for none
	before netlink.Drops // what was dropped before the tap was opened
	stats  *link.Stats
}

// count brings what the kernel has dropped to the counters.
func (k *kernelEnd) count() {
	if k == nil {
		return
	}
	if now, err := k.conn.Drops(k.index); err == nil { // or the device is gone
		k.stats.DropHostFull.Store(now.Sent - k.before.Sent)
		k.stats.DropHostRefused.Store(now.Received - k.before.Received)
	}
}

// close takes away what was made and would outlive the file.
func (k *kernelEnd) close() {
	if k.added.IsValid() {
		_ = k.conn.RemoveAddr(k.index, k.added) // fails if somebody else has removed it
	}
	k.conn.Close()
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
	if cfg.TxQueue != 0 {
		if err := c.SetTxQueue(host.Index, cfg.TxQueue); err != nil {
			return false, err
		}
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
