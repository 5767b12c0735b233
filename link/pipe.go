package link

import (
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// pipeLen is how many frames wait in each channel of a pipe: the fragments of
// the longest datagram, and more.
const pipeLen = 64

// DefaultMTU is that of Ethernet (RFC 894).
const DefaultMTU = 1500

// PipeConfig says what the two ends of a [Pipe] are like.
type PipeConfig struct {
	// Name is that of both ends, which append "-a" and "-b"; "" means "pipe".
	Name string

	// MTU is the longest IP datagram, 68 to 65535 bytes; 0 means DefaultMTU.
	MTU int

	// MACs are the addresses of the two ends; all zero means
	// 02:00:00:00:00:0a and 02:00:00:00:00:0b, which are locally administered.
	MACs [2][6]byte

	// IP makes it a link of IP datagrams, without Ethernet (see [Link.IP]).
	IP bool
}

// Pipe returns the two ends of a cable in memory: what is sent on one is
// received on the other, at once and in order.
//
// Frames cross as they are, trains uncut and partial checksums partial, for
// they cross no wire. A frame longer than the MTU that is not a train is
// dropped, as is one that finds the Rx of the other end full.
//
// The owner who closes the Tx of one end closes the Rx of both: the other end
// has lost its carrier. What the other end sends from then on is dropped.
func Pipe(cfg PipeConfig) (Link, Link) {
	a, b, la, lb := cfg.ends()
	go carry(a, b)
	go carry(b, a)
	return la, lb
}

// ends are the two ends of a pipe, and their links.
func (cfg PipeConfig) ends() (a, b *end, la, lb Link) {
	if cfg.Name == "" {
		cfg.Name = "pipe"
	}
	macs := [2][6]byte{{0x02, 0, 0, 0, 0, 0x0a}, {0x02, 0, 0, 0, 0, 0x0b}}
	for i, mac := range cfg.MACs {
		if mac != [6]byte{} {
			macs[i] = mac
		}
	}
	if cfg.IP {
		macs = [2][6]byte{}
	}
	a, b = newEnd(cfg.MTU, cfg.IP), newEnd(cfg.MTU, cfg.IP)
	return a, b, a.link(cfg.Name+"-a", macs[0]), b.link(cfg.Name+"-b", macs[1])
}

// An end is a card in memory, as those see it who carry frames to and from it.
type end struct {
	tx, rx chan *packet.Buffer
	closed chan struct{} // closed when tx is closed and empty
	mtu    int
	ip     bool // frames are datagrams
	stats  *Stats
}

func newEnd(mtu int, ip bool) *end {
	if mtu == 0 {
		mtu = DefaultMTU
	}
	return &end{
		tx:     make(chan *packet.Buffer, pipeLen),
		rx:     make(chan *packet.Buffer, pipeLen),
		closed: make(chan struct{}),
		mtu:    mtu,
		ip:     ip,
		stats:  new(Stats),
	}
}

// link is e as its owner sees it.
func (e *end) link(name string, mac [6]byte) Link {
	return Link{Name: name, Rx: e.rx, Tx: e.tx, MTU: e.mtu, MAC: mac, IP: e.ip, Stats: e.stats}
}

// carry brings frames from one end to another, or to the same, until either
// is closed.
//
// Owns: to.rx, and closes it.
// Reads: from.tx until it is closed, to.closed.
// Writes: to.rx, from.closed.
// Blocks on: from.tx, to.closed.
func carry(from, to *end) {
	defer close(from.closed)
	for {
		select {
		case b, ok := <-from.tx:
			if !ok {
				close(to.rx)
				return
			}
			cross(b, from, to)
		case <-to.closed:
			close(to.rx)
			discard(from.tx, from.stats)
			return
		}
	}
}

// cross brings one frame to the other end, or drops it.
func cross(b *packet.Buffer, from, to *end) {
	n := b.Len()
	if b.SegmentSize == 0 && n > headerLen(from.ip)+from.mtu {
		from.stats.DropTooLong.Add(1)
		b.Release()
		return
	}
	from.stats.TxFrames.Add(1)
	from.stats.TxBytes.Add(uint64(n))
	b.Arrived = time.Now()
	select {
	case to.rx <- b:
		to.stats.RxFrames.Add(1)
		to.stats.RxBytes.Add(uint64(n))
	default:
		to.stats.DropRxFull.Add(1)
		b.Release()
	}
}

// discard drops what comes from in until it is closed.
func discard(in <-chan *packet.Buffer, stats *Stats) {
	for b := range in {
		stats.DropClosed.Add(1)
		b.Release()
	}
}
