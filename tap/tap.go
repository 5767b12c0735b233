// Package tap makes a Linux tap device a link.Link: an Ethernet cable between
// this program and the kernel of the machine that it runs on. A tun, which is the same
// without Ethernet, is one too.
//
// Where the kernel can, frames carry a virtio-net header, so that TCP crosses
// the cable in trains of up to 64 KB with checksums left undone: nothing on
// this cable can damage them. Otherwise the frames are plain, each has a system
// call of its own, and those that arrive are joined to trains here, as far as
// they are there already ([link.Train]).
package tap

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"time"
)

// Config says which tap to open, and how. The zero value makes a new tap and
// leaves the host's side of it alone.
type Config struct {
	// Name of the device, at most 15 bytes. A tap of this name that is there
	// already (sudo ip tuntap add dev tap0 mode tap multi_queue user $USER) is used as it
	// is, and stays there at close. A %d stands for the first free number.
	// Empty means "gonet%d".
	Name string

	// IP makes it a tun: a line without Ethernet, on which datagrams pass as they are
	// (see [link.Link], IP). MAC and HostMAC mean nothing then.
	IP bool

	// MTU is the longest IP datagram, in bytes, from 68 to 65521. 0 means what
	// the device has; a new one has 1500.
	MTU int

	// MAC is the address of our end of the cable. Zero means one that is drawn
	// with Random, and locally administered.
	MAC [6]byte

	// HostAddr is an IPv4 address for the host's end, and the network on the
	// cable. The host's end is brought up then. Zero means that the host's end
	// is left alone: it has been set up, or will be, by somebody else.
	HostAddr netip.Prefix

	// HostMAC is the link-layer address of the host's end. Zero leaves the
	// choice to the kernel.
	HostMAC [6]byte

	// DisableOffload opens a plain tap, without the virtio-net header.
	DisableOffload bool

	// TxQueue is how many frames may wait in the kernel for each queue to be read,
	// at most 1048576; the kernel drops what finds no room, and Stats count it. 0
	// means DefaultTxQueue for a tap that Open makes; one that is there is left as
	// it is.
	TxQueue int

	// Queues is how many queues there are between the device and the kernel. The
	// first serves all flows but those with bulk data, which are spread over the
	// others, so that several CPUs serve the device at once: that is for programs
	// with bulk transfers over several connections. Frames that are sent stay in order;
	// those that arrive may be reordered when flows change their queue. 0 means one,
	// AutoQueues as many as suit the CPUs. A tap that is there already has one,
	// unless it was made with multi_queue.
	Queues int

	// BusyPoll is how long the reader of the device polls for the next frame
	// before it sleeps, while that pays. It halves the time of a request
	// where client and server have CPUs of their own, and costs CPU time. 0
	// means DefaultBusyPoll, negative none.
	BusyPoll time.Duration

	// Random returns 64 random bits; nil means those of math/rand/v2.
	Random func() uint64
}

// What the kernel allows (linux/if.h, drivers/net/tun.c).
const (
	maxNameLen = 15
	minMTU     = 68
	maxMTU     = 65521
	maxQueues  = 256
)

// AutoQueues stands for one queue, and where Go uses more than one CPU two more
// for each, up to 9 in all.
const AutoQueues = -1

// DefaultTxQueue holds the bursts of many connections: of 1,500, say, that each send
// an initial window of ten segments. With the kernel's default of 1000 such bursts lose
// most of their frames. An empty slot costs 8 bytes. Recent releases of Linux 6.1
// accept no larger value.
const DefaultTxQueue = 32767

const maxTxQueue = 1 << 20

const mostQueues = 9 // that AutoQueues may stand for

// complete checks a Config, and fills in the zero values.
func (cfg Config) complete() (Config, error) {
	if cfg.Name == "" {
		cfg.Name = "gonet%d"
	}
	switch {
	case len(cfg.Name) > maxNameLen:
		return cfg, fmt.Errorf("tap: name %q has %d bytes: choose one of at most %d", cfg.Name, len(cfg.Name), maxNameLen)
	case cfg.Name == "." || cfg.Name == ".." || strings.ContainsAny(cfg.Name, "/: \t\n\v\f\r\x00"):
		return cfg, fmt.Errorf("tap: name %q cannot be that of an interface: choose one like tap0", cfg.Name)
	case cfg.MTU != 0 && (cfg.MTU < minMTU || cfg.MTU > maxMTU):
		return cfg, fmt.Errorf("tap: MTU %d: choose one from %d to %d, or 0 for what the device has", cfg.MTU, minMTU, maxMTU)
	case cfg.TxQueue < 0 || cfg.TxQueue > maxTxQueue:
		return cfg, fmt.Errorf("tap: a transmit queue of %d frames: choose from 1 to %d, or 0 for what suits", cfg.TxQueue, maxTxQueue)
	case cfg.Queues < AutoQueues || cfg.Queues > maxQueues:
		return cfg, fmt.Errorf("tap: %d queues: choose from 1 to %d, or AutoQueues for what suits this machine", cfg.Queues, maxQueues)
	case cfg.MAC[0]&1 != 0:
		return cfg, fmt.Errorf("tap: MAC % x names a group of stations: choose one whose first byte is even", cfg.MAC)
	case cfg.HostMAC[0]&1 != 0:
		return cfg, fmt.Errorf("tap: HostMAC % x names a group of stations: choose one whose first byte is even", cfg.HostMAC)
	case cfg.HostAddr != (netip.Prefix{}) && !isHost(cfg.HostAddr):
		return cfg, fmt.Errorf("tap: HostAddr %v is not the IPv4 address of a host with its network: give one like 10.0.0.1/24", cfg.HostAddr)
	}
	cfg.BusyPoll = cmp.Or(cfg.BusyPoll, DefaultBusyPoll)
	cfg.Queues = cmp.Or(cfg.Queues, 1)
	if cfg.Queues == AutoQueues {
		cfg.Queues = queuesFor(runtime.GOMAXPROCS(0))
	}
	if cfg.IP {
		cfg.MAC, cfg.HostMAC = [6]byte{}, [6]byte{}
		return cfg, nil
	}
	if cfg.MAC == [6]byte{} {
		cfg.MAC = randomMAC(cfg.Random)
	}
	if cfg.MAC == cfg.HostMAC {
		return cfg, fmt.Errorf("tap: MAC and HostMAC are both % x: the two ends of a cable need addresses of their own", cfg.MAC)
	}
	return cfg, nil
}

// queuesFor is how many queues suit so many CPUs. With two for each of them
// besides the first there is work for all even where flows are spread badly; one
// CPU gains nothing from several.
func queuesFor(cpus int) int {
	if cpus == 1 {
		return 1
	}
	return min(1+2*cpus, mostQueues)
}

// isHost says whether p is the address of one host: not the network's own
// address, nor its broadcast address.
func isHost(p netip.Prefix) bool {
	a := p.Addr()
	if !p.IsValid() || !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	if p.Bits() >= 31 { // RFC 3021: all addresses are those of hosts
		return true
	}
	b := a.As4()
	host := binary.BigEndian.Uint32(b[:]) << p.Bits() >> p.Bits()
	return host != 0 && host != ^uint32(0)>>p.Bits()
}

// randomMAC draws an address that is unicast and locally administered (IEEE
// 802 section 8.4).
func randomMAC(random func() uint64) (mac [6]byte) {
	if random == nil {
		random = rand.Uint64
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], random())
	copy(mac[:], b[:])
	mac[0] = mac[0]&^1 | 2
	return mac
}
