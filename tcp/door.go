package tcp

import (
	"errors"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// A door is where segments come that belong to no connection: to listeners and
// their half-open connections, to TIME-WAIT, or to nobody. It is a pure machine,
// without goroutine, channel or clock; what its methods do stands in stranger.go,
// syncookie.go and fastopenserver.go.
type door struct {
	cfg     Config
	stats   *Stats
	host    host
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

// A host is what a door is part of: the demultiplexer, or a Machine.
type host interface {
	answer(b *packet.Buffer) bool // takes a packet for the network layer, unless that is busy
	room(l *listening) bool       // says whether l takes another connection
	opened(l *listening, t *tcb)  // takes a connection that l, which has room, has opened
}

// newDoor returns the door of h, which makes connections of the memory in free.
func newDoor(cfg Config, h host, free activities, stats *Stats) door {
	cfg = cfg.withDefaults()
	return door{
		cfg: cfg, stats: stats, host: h, secrets: newSecrets(cfg.Random),
		free:      freeLists{activities: free},
		servers:   servers{limit: cfg.FastOpenServers},
		listeners: make(map[ip.Endpoint]*listeners),
		listened:  make(map[uint16]int),
		halfOpens: halfOpens{limit: cfg.SynBacklog, random: cfg.Random},
		timeWaits: timeWaits{limit: cfg.TimeWaits},
		paths:     pathMTUs{limit: maxPathMTUs, random: cfg.Random},
	}
}

// config is the configuration, with its defaults.
func (d *door) config() *Config { return &d.cfg }

// options are those that connections begin with.
func (d *door) options() *socketOptions { return &d.cfg.options }

// checkOptions says what is wrong with o.
func (d *door) checkOptions(o *socketOptions) error { return d.cfg.checkOptions(o) }

// flowOf counts a packet, and says whose it is; ok is false, and the packet
// dropped, when that cannot be seen.
func (d *door) flowOf(b *packet.Buffer) (f ip.Flow, ok bool) {
	d.stats.InSegments.Add(1)
	if b.Len() < minHeaderLen {
		d.stats.DropMalformed.Add(1)
		b.Release()
		return f, false
	}
	network, h := ipv4.Header(b.Network()), header(b.Bytes())
	return ip.Flow{
		Local:  ip.EndpointOf(network.Dst(), h.dstPort()),
		Remote: ip.EndpointOf(network.Src(), h.srcPort()),
	}, true
}

// deadline is when expire has something to do; zero for never.
func (d *door) deadline() time.Time { return earliest(d.halfOpens.deadline(), d.timeWaits.deadline()) }

func (d *door) expire(now time.Time) {
	d.timeWaits.expire(now)
	d.halfOpens.expire(now, func(f ip.Flow, h *halfOpen) {
		d.stats.SynRetransmits.Add(1)
		s := d.synACK(now, f, h)
		d.sendBy(h.route, &f, &s)
	})
}

// mtu is that of the first link towards the peer.
func (d *door) mtu(f ip.Flow) int {
	hop, ok := d.cfg.Table.Load().Lookup(f.Remote.Addr())
	if !ok {
		return minPMTU
	}
	return hop.MTU
}

// send puts a segment without text on its way, unless the network layer is
// busy.
func (d *door) send(f *ip.Flow, s *segment) { d.sendBy(nil, f, s) }

// sendBy is send by a source route, if there is one.
func (d *door) sendBy(route *sourceRoute, f *ip.Flow, s *segment) {
	b := packet.Get(0)
	encode(b, s, f)
	route.push(b, ipv4.Fields{Protocol: ip.ProtocolTCP, DF: true, Src: f.Local.Addr(), Dst: f.Remote.Addr()})
	if !d.host.answer(b) {
		d.stats.DropReplyFull.Add(1)
		b.Release()
		return
	}
	d.stats.OutSegments.Add(1)
	if s.has(RST) {
		d.stats.OutResets.Add(1)
	}
}

// drop counts a segment that parse has refused.
func (s *Stats) drop(err error) {
	if errors.Is(err, errChecksum) {
		s.DropBadChecksum.Add(1)
	} else {
		s.DropMalformed.Add(1)
	}
}

// ended takes from a connection that is over what later ones shall know of it: what
// has been found out about its path and its Fast Open, and TIME-WAIT.
func (d *door) ended(now time.Time, t *tcb) {
	if t.fastOpen != nil {
		d.fastOpenOver(now, t.flow, t.fastOpen, t.err == syscall.ECONNRESET)
	}
	d.learn(now, t)
	if t.state == TimeWait {
		d.timeWaits.add(t.flow, t.timeWait(now), d.stats)
	}
}

// recycle takes a connection that has ended, to which nobody refers any more.
func (d *door) recycle(t *tcb) { d.free.putTCB(t) }

// infos appends what Info tells of what is no connection yet, or none any more.
func (d *door) infos(infos []Info) []Info {
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

// refuseHalfOpen has send take a reset for each half-open connection, whose peer may
// think that it is connected, because its last segment of the handshake was lost, or
// nobody had accepted what was before it.
func (d *door) refuseHalfOpen(send func(*packet.Buffer)) {
	for f, h := range d.halfOpens.byFlow {
		b := packet.Get(0)
		encode(b, &segment{seq: h.iss + 1, ack: h.irs + 1, flags: RST | ACK}, &f)
		h.route.push(b, ipv4.Fields{Protocol: ip.ProtocolTCP, DF: true, Src: f.Local.Addr(), Dst: f.Remote.Addr()})
		send(b)
		d.stats.OutSegments.Add(1)
		d.stats.OutResets.Add(1)
	}
	clear(d.halfOpens.byFlow)
}
