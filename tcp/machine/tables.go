package machine

import (
	"errors"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Tables are what the TCP of a host knows in addition to its connections: listeners,
// half-open connections, TIME-WAIT, and what was found out about paths and peers.
// Segments that match no connection are theirs (Unmatched). They are a pure machine;
// what the methods do stands in the files open_….go.
type Tables struct {
	cfg     Config
	stats   *Stats
	host    Owner
	secrets secrets

	listeners map[ip.Endpoint]*listeners // by local address; the unspecified one is a wildcard
	listened  map[uint16]int             // by port: at how many addresses somebody listens
	halfOpens halfOpens
	timeWaits timeWaits
	paths     pathMTUs
	fastOpens fastOpens // as a server,
	servers   servers   // and as a client

	free freeLists
}

// An Owner is the process, or the Loop, that has Tables.
type Owner interface {
	Answer(b *packet.Buffer) bool // takes a packet for the network layer, unless that is busy
	Room(l *Listener) bool        // says whether l takes another connection
	Opened(l *Listener, t *TCB)   // takes a connection that l, which has room, has opened
}

// NewTables returns the tables of h, which make connections of the memory in free.
func NewTables(cfg Config, h Owner, free TransferPool, stats *Stats) Tables {
	cfg = cfg.withDefaults()
	return Tables{
		cfg: cfg, stats: stats, host: h, secrets: newSecrets(cfg.Random),
		free:      freeLists{transfers: free},
		servers:   servers{limit: cfg.FastOpenServers},
		listeners: make(map[ip.Endpoint]*listeners),
		listened:  make(map[uint16]int),
		halfOpens: halfOpens{limit: cfg.SynBacklog, random: cfg.Random},
		timeWaits: timeWaits{limit: cfg.TimeWaits},
		paths:     pathMTUs{limit: maxPathMTUs, random: cfg.Random},
	}
}

// Config is the configuration, with its defaults.
func (d *Tables) Config() *Config { return &d.cfg }

// Options are those that connections begin with.
func (d *Tables) Options() *SocketOptions { return &d.cfg.options }

// CheckOptions says what is wrong with o.
func (d *Tables) CheckOptions(o *SocketOptions) error { return d.cfg.checkOptions(o) }

// FlowOf counts a packet, and says whose it is; ok is false, and the packet
// dropped, when that cannot be seen.
func (d *Tables) FlowOf(b *packet.Buffer) (f ip.Flow, ok bool) {
	d.stats.InSegments.Add(1)
	if b.Len() < segment.MinHeaderLen {
		d.stats.DropMalformed.Add(1)
		b.Release()
		return f, false
	}
	network, h := ipv4.Header(b.Network()), segment.Header(b.Bytes())
	return ip.Flow{
		Local:  ip.EndpointOf(network.Dst(), h.DstPort()),
		Remote: ip.EndpointOf(network.Src(), h.SrcPort()),
	}, true
}

// Deadline is when expire has something to do; zero for never.
func (d *Tables) Deadline() time.Time {
	return Earliest(d.halfOpens.deadline(), d.timeWaits.deadline())
}

func (d *Tables) Expire(now time.Time) {
	d.timeWaits.expire(now)
	d.halfOpens.expire(now, func(f ip.Flow, h *halfOpen) {
		d.stats.SynRetransmits.Add(1)
		s := d.synACK(now, f, h)
		d.sendBy(h.route, &f, &s)
	})
}

// mtu is that of the first link towards the peer.
func (d *Tables) mtu(f ip.Flow) int {
	hop, ok := d.cfg.Table.Load().Lookup(f.Remote.Addr())
	if !ok {
		return minPMTU
	}
	return hop.MTU
}

// send puts a segment without text on its way, unless the network layer is
// busy.
func (d *Tables) send(f *ip.Flow, s *segment.Segment) { d.sendBy(nil, f, s) }

// sendBy is send by a source route, if there is one.
func (d *Tables) sendBy(route *segment.SourceRoute, f *ip.Flow, s *segment.Segment) {
	b := packet.Get(0)
	segment.Encode(b, s, f)
	route.Push(b, ipv4.Fields{Protocol: ip.ProtocolTCP, DF: true, Src: f.Local.Addr(), Dst: f.Remote.Addr()})
	if !d.host.Answer(b) {
		d.stats.DropReplyFull.Add(1)
		b.Release()
		return
	}
	d.stats.OutSegments.Add(1)
	if s.Has(segment.RST) {
		d.stats.OutResets.Add(1)
	}
}

// drop counts a segment that parse has refused.
func (s *Stats) drop(err error) {
	if errors.Is(err, segment.ErrChecksum) {
		s.DropBadChecksum.Add(1)
	} else {
		s.DropMalformed.Add(1)
	}
}

// Ended takes from a connection that is over what later ones shall know of it: what
// has been found out about its path and its Fast Open, and TIME-WAIT.
func (d *Tables) Ended(now time.Time, t *TCB) {
	if t.fastOpen != nil {
		d.FastOpenOver(now, t.flow, t.fastOpen, t.err == syscall.ECONNRESET)
	}
	d.Learn(now, t)
	if t.state == TimeWait {
		d.timeWaits.add(t.flow, t.timeWait(now), d.stats)
	}
}

// Recycle takes a connection that has ended, to which nobody refers any more.
func (d *Tables) Recycle(t *TCB) { d.free.putTCB(t) }

// Infos appends what Info tells of what is no connection yet, or none any more.
func (d *Tables) Infos(infos []Info) []Info {
	for f := range d.timeWaits.byFlow {
		infos = append(infos, Info{Local: f.Local.AddrPort(), Remote: f.Remote.AddrPort(), State: TimeWait})
	}
	for f := range d.halfOpens.byFlow {
		infos = append(infos, Info{Local: f.Local.AddrPort(), Remote: f.Remote.AddrPort(), State: SynReceived})
	}
	for at := range d.listeners {
		infos = append(infos, Info{Local: at.AddrPort(), State: Listen})
	}
	return infos
}

// RefuseHalfOpen has send take a reset for each half-open connection, whose peer may
// think that it is connected, because its last segment of the handshake was lost, or
// nobody had accepted what was before it.
func (d *Tables) RefuseHalfOpen(send func(*packet.Buffer)) {
	for f, h := range d.halfOpens.byFlow {
		b := packet.Get(0)
		segment.Encode(b, &segment.Segment{Seq: h.iss + 1, Ack: h.irs + 1, Flags: segment.RST | segment.ACK}, &f)
		h.route.Push(b, ipv4.Fields{Protocol: ip.ProtocolTCP, DF: true, Src: f.Local.Addr(), Dst: f.Remote.Addr()})
		send(b)
		d.stats.OutSegments.Add(1)
		d.stats.OutResets.Add(1)
	}
	clear(d.halfOpens.byFlow)
}
