package vnet

import (
	"fmt"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/vhost"
)

// A Config is a card. The zero value is a sensible one.
type Config struct {
	// Name is for people; "vnet" if it is empty.
	Name string

	// MAC is the address of this side of the link, not of the guest's, which the
	// virtual machine chooses; 02:00:00:00:00:01 if it is zero.
	MAC [6]byte

	// MTU is 1500 if it is 0.
	MTU int

	// Queues is how many pairs of rings the guest may use; 1 if it is 0, at most
	// MaxQueues.
	Queues int

	// NoOffload has the guest neither send nor receive trains and partial
	// checksums.
	NoOffload bool

	// Report is as in vhost.Config.
	Report func(ring int, err error)
}

// MaxQueues is how many pairs of rings there can be.
const MaxQueues = 128

// Features of virtio-net (VIRTIO 1.2 section 5.1.3).
const (
	featureCsum          = 1 << 0  // the guest may send partial checksums
	featureGuestCsum     = 1 << 1  // the guest receives them
	featureMTU           = 1 << 3  // the configuration has an MTU
	featureGuestTSO4     = 1 << 7  // the guest receives trains
	featureGuestECN      = 1 << 9  // also with CWR
	featureHostTSO4      = 1 << 11 // the guest may send trains
	featureHostECN       = 1 << 13 // also with CWR
	featureMrgRxbuf      = 1 << 15 // a frame may lie in several buffers
	featureStatus        = 1 << 16 // the configuration has the state of the link
	featureGuestAnnounce = 1 << 21 // the guest tells the network where it is
	featureMQ            = 1 << 22 // there are several pairs of rings
)

// A card is the device, and the link.
type card struct {
	cfg     Config
	stats   *link.Stats
	rx      chan *packet.Buffer
	lend    chan (<-chan *packet.Buffer) // gives the frames to be sent to a ring
	back    chan bool                    // says that a ring needs them no more; false: there are no more
	backend *vhost.Backend
	mtu     atomic.Int64 // as the front end says
}

// Listen makes a unix socket, and a link to the virtual machine that connects to it
// (QEMU: -netdev vhost-user). Virtual machines can come and go. Closing Tx ends it.
func Listen(path string, cfg Config) (link.Link, error) {
	return start(cfg, func(c *card) (*vhost.Backend, error) { return vhost.Listen(path, c, c.config()) })
}

// Connect is Listen for a virtual machine that listens (QEMU: -chardev
// socket,server=on); it connects again whenever that has gone.
func Connect(path string, cfg Config) (link.Link, error) {
	return start(cfg, func(c *card) (*vhost.Backend, error) { return vhost.Connect(path, c, c.config()), nil })
}

func (c *card) config() vhost.Config { return vhost.Config{Report: c.cfg.Report} }

func start(cfg Config, open func(*card) (*vhost.Backend, error)) (link.Link, error) {
	if cfg.Name == "" {
		cfg.Name = "vnet"
	}
	if cfg.MAC == [6]byte{} {
		cfg.MAC = [6]byte{2, 0, 0, 0, 0, 1}
	}
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	if cfg.Queues == 0 {
		cfg.Queues = 1
	}
	if cfg.MTU < minMTU || cfg.MTU > maxMTU || cfg.Queues < 1 || cfg.Queues > MaxQueues {
		return link.Link{}, fmt.Errorf("vnet: an MTU of %d and %d queues", cfg.MTU, cfg.Queues)
	}
	c := &card{
		cfg: cfg, stats: new(link.Stats), rx: make(chan *packet.Buffer, link.QueueLen),
		lend: make(chan (<-chan *packet.Buffer)), back: make(chan bool),
	}
	c.mtu.Store(int64(cfg.MTU))
	var err error
	if c.backend, err = open(c); err != nil {
		return link.Link{}, err
	}
	tx := make(chan *packet.Buffer, link.QueueLen)
	go c.drain(tx)
	return link.Link{Name: cfg.Name, Rx: c.rx, Tx: tx, MTU: cfg.MTU, MAC: cfg.MAC, Stats: c.stats}, nil
}

const (
	minMTU = 68    // RFC 791 section 3.2
	maxMTU = 65535 // that of IPv4
)

// drain drops the frames to be sent while no ring takes them, and ends the card
// when there are no more.
//
// Owns: the receiving end of tx, which it lends to a ring.
// Reads: tx, back.
// Writes: lend; it closes rx.
// Blocks on: tx and lend, or the ring that has tx; the end of the back end.
func (c *card) drain(tx <-chan *packet.Buffer) {
	for open := true; open; {
		var b *packet.Buffer
		select {
		case b, open = <-tx:
			if open {
				c.stats.DropTxError.Add(1) // there is no carrier
				b.Release()
			}
		case c.lend <- tx:
			open = <-c.back
		}
	}
	c.backend.Close()
	close(c.rx)
}
