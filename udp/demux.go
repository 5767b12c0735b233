package udp

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/red"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// Config is what Demux and the sockets must know. The zero value of each field
// but Table means the default.
type Config struct {
	// Table is the routes of the stack. Required.
	Table *ip.CurrentTable

	// Random returns 64 random bits; Demux alone calls it. Nil means
	// math/rand/v2.
	Random func() uint64

	// ReadBuffer is how many bytes of datagrams wait in a socket to be read,
	// until it says otherwise by [Conn.SetReadBuffer]. 0 means 1 MiB.
	ReadBuffer int

	// MaxReadBuffer is the most that SetReadBuffer grants, in bytes. 0 means
	// 16 MiB.
	MaxReadBuffer int

	// MaxMemory is how many bytes of memory the datagrams in all sockets may
	// take. When there is no more, those sockets take no others which hold
	// more than a share of it, and from three quarters of it on less and less. The
	// share is that of the next power of two of sockets. 0 means 256 MiB.
	MaxMemory int

	// MaxSockets is how many sockets there may be. 0 means 65536.
	MaxSockets int
}

func (c Config) withDefaults() Config {
	if c.Random == nil {
		c.Random = rand.Uint64
	}
	setDefault(&c.MaxReadBuffer, 16<<20)
	setDefault(&c.ReadBuffer, 1<<20)
	setDefault(&c.MaxMemory, 256<<20)
	setDefault(&c.MaxSockets, 65536)
	return c
}

func setDefault(v *int, d int) {
	if *v <= 0 {
		*v = d
	}
}

// A Call asks Demux to do something with its table, in its own goroutine.
// Sockets makes them.
type Call func(*table)

// Demux brings the datagrams from in to the sockets that they are for, and the
// ICMP errors from errs to those which they concern. A datagram for a port
// where nobody is becomes an ip.ErrorRequest, port unreachable (RFC 1122 section
// 4.1.3.1).
//
// Demux returns when in is closed. Sockets that are still open are closed then.
//
//	Owns:      the table of ports
//	Reads:     in; errs, calls
//	Writes:    the queues of the sockets and errorRequests, which when full lose the datagram
//	Blocks on: in
func Demux(in *edge.Inbox, errs edge.In[ip.ICMPError], calls edge.In[Call], errorRequests edge.Out[ip.ErrorRequest], cfg Config, stats *Stats) {
	d := newDemux(errorRequests, cfg, stats)
	defer d.close()
	for in.Next(d.datagram) {
		if !in.Rung() {
			continue
		}
		if e, ok := errs.Try(); ok {
			d.icmpError(e)
			in.Again()
		}
		if call, ok := calls.Try(); ok {
			call(d.table)
			in.Again()
		}
	}
}

// demux is the state of Demux, and the channel that its events lead to.
type demux struct {
	cfg           Config // with its defaults
	table         *table
	errorRequests edge.Out[ip.ErrorRequest]
	stats         *Stats
}

func newDemux(errorRequests edge.Out[ip.ErrorRequest], cfg Config, stats *Stats) *demux {
	cfg = cfg.withDefaults()
	return &demux{cfg, newTable(cfg.MaxSockets, cfg.Random), errorRequests, stats}
}

// close ends all sockets.
func (d *demux) close() {
	for _, c := range d.table.all() {
		c.end()
		c.drain()
	}
}

// datagram brings b to its socket or sockets.
func (d *demux) datagram(b *packet.Buffer) {
	d.stats.RxDatagrams.Add(1)
	h, err := Parse(b)
	switch err {
	case nil:
	case ErrChecksum:
		d.stats.DropChecksum.Add(1)
		b.Release()
		return
	default:
		d.stats.DropLength.Add(1)
		b.Release()
		return
	}
	network := ipv4.Header(b.Network())
	src, dst := network.Src(), network.Dst()
	isGroup := dst.IsMulticast() || d.cfg.Table.Load().IsBroadcast(dst)
	if !d.isSource(src, isGroup) {
		d.stats.DropBadSource.Add(1)
		b.Release()
		return
	}
	from, to := ip.EndpointOf(src, h.SrcPort()), ip.EndpointOf(dst, h.DstPort())
	b.Pull(HeaderLen)
	if isGroup {
		d.toGroup(b, from, to)
	} else {
		d.toOne(b, from, to)
	}
}

// isSource says whether a datagram may come from src (RFC 1122 section
// 4.1.3.6). One to a group may come from 0.0.0.0, a host which does not know
// its address yet (section 3.2.1.3).
func (d *demux) isSource(src netip.Addr, toGroup bool) bool {
	if src.IsUnspecified() {
		return toGroup
	}
	return !src.IsMulticast() && !d.cfg.Table.Load().IsBroadcast(src)
}

func (d *demux) toOne(b *packet.Buffer, from, to ip.Endpoint) {
	c := d.table.find(to, from)
	if c != nil {
		d.deliver(c, b)
		return
	}
	d.stats.DropNoSocket.Add(1)
	r := ip.ErrorRequest{Type: ip.TypeUnreachable, Code: ip.CodePortUnreachable, Packet: b}
	if !r.Send(d.errorRequests) {
		d.stats.ErrorRequestsFull.Add(1)
		b.Release()
	}
}

// toGroup brings b to every socket that listens to the group at its port: a
// copy for each but the last. No error may be sent about it.
func (d *demux) toGroup(b *packet.Buffer, from, to ip.Endpoint) {
	var last *Conn
	for _, c := range d.table.ports[to.Port] {
		if !c.hears(from, to) {
			continue
		}
		if last != nil {
			d.deliver(last, b.Clone())
		}
		last = c
	}
	if last == nil {
		d.stats.DropNoSocket.Add(1)
		b.Release()
		return
	}
	d.deliver(last, b)
}

// deliver puts b in the queue of c, or drops it when that is full.
func (d *demux) deliver(c *Conn, b *packet.Buffer) {
	if c.queued.Load() > 0 {
		b = b.Compact() // it waits, and so is not to pin more than it must
	}
	if reason := d.admit(c, int64(b.Size())); reason != nil {
		reason.Add(1)
		c.dropped.Add(1)
		b.Release()
		return
	}
	c.queue.put(b)
	d.stats.RxDelivered.Add(1)
}

// admit charges c with so many bytes of memory, or says why not. A socket that
// holds nothing takes one datagram in any case. When memory gets short chance
// decides (package red): else who fills a socket would see whether a datagram that
// he has forged has met another.
func (d *demux) admit(c *Conn, size int64) (refused *atomic.Uint64) {
	queued := c.queued.Add(size)
	all := d.stats.Queued.Add(uint64(size))
	switch {
	case queued == size:
		return nil
	case queued > c.limit.Load():
		refused = &d.stats.DropBufferFull
	case queued > d.share() && red.Full(int(all)-1, d.cfg.MaxMemory, d.cfg.Random):
		refused = &d.stats.DropMemoryFull
	default:
		return nil
	}
	c.discharge(size)
	return refused
}

// share is how much each socket may hold when memory is short. It is the same
// for any number of sockets up to the next power of two: exact ones would tell who
// fills a socket when another is opened.
func (d *demux) share() int64 {
	return int64(d.cfg.MaxMemory >> bits.Len(uint(d.table.count-1)))
}

// icmpError brings an ICMP error to the socket that sent the datagram.
func (d *demux) icmpError(e ip.ICMPError) {
	d.stats.RxICMPErrors.Add(1)
	local := ip.EndpointOf(e.Src, binary.BigEndian.Uint16(e.Transport[0:]))
	remote := ip.EndpointOf(e.Dst, binary.BigEndian.Uint16(e.Transport[2:]))
	c := d.table.find(local, remote)
	if c == nil {
		d.stats.ICMPErrorsUnmatched.Add(1)
		return
	}
	c.fail(e)
}
