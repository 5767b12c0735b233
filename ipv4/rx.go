package ipv4

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// DefaultGroups is how many multicast groups a link may be in.
const DefaultGroups = 256

// Up is the protocols above IP. What they get has its front at the transport
// header and the network header marked, and ends where the datagram ends;
// [packet.Buffer.Network] is the datagram with its options, as a [Header].
// Datagrams for an edge that does not exist are answered by Protocol Unreachable.
type Up struct{ ICMP, UDP, TCP edge.Out[*packet.Buffer] }

// RxConfig configures Rx.
type RxConfig struct {
	Table *ip.CurrentTable

	// Forward makes the host a router for datagrams that are not for it. It
	// is off unless asked for, however many links there are (RFC 1122
	// section 3.1).
	Forward bool

	// AcceptSourceRoute takes datagrams whose source route ends here, and
	// forwards loose ones. Otherwise all source routes are refused, as RFC
	// 7126 section 4.3 advises. The host is never a hop of a source route.
	AcceptSourceRoute bool

	// Random is the source of random numbers; nil means math/rand/v2.
	Random func() uint64

	// Bounds; 0 means the Default… of the same name.
	ReassemblyTimeout   time.Duration
	ReassemblyBytes     int // memory of all fragments that wait
	ReassemblyDatagrams int // of which fragments wait
	Groups              int // multicast groups a link
}

// Rx takes in what the links have received and what Tx has looped back, and
// gives it to the protocols above, or on to Tx. It returns when in is closed. It
// does not close the edges of up, to which ICMP writes too.
//
//	Owns:      the fragments that wait, and the multicast groups of every link
//	Reads:     in; joins; its timer
//	Writes:    up; the groups of the filters of links; forwarded datagrams and IGMP messages to tx; errorRequests
//	Blocks on: in; up, whose readers are always ready. What tx and errorRequests cannot take at once is dropped
func Rx(in *edge.Inbox, joins edge.In[ip.Membership], up Up, filters []*ethernet.Filter, tx ip.Edges, errorRequests edge.Out[ip.ErrorRequest], cfg RxConfig, stats *Stats) {
	r := newReceiver(up, filters, tx, errorRequests, cfg, stats)
	r.inbox = in
	defer r.close()
	r.arm()
	for in.Next(r.receive) {
		if in.Rung() {
			r.rung(joins)
		}
	}
}

// rung sees to what is rare: one of each, so that packets have their turn.
func (r *receiver) rung(joins edge.In[ip.Membership]) {
	if now := time.Now(); r.inbox.Due(now) {
		r.expire(now)
		r.arm()
	}
	if m, ok := joins.Try(); ok {
		r.member(m)
		r.inbox.Again()
	}
}

// A receiver is the state of Rx.
type receiver struct {
	cfg           RxConfig
	table         *ip.CurrentTable
	stats         *Stats
	up            Up
	filters       []*ethernet.Filter // by link; nil for a link that has none
	tx            ip.Edges
	errorRequests edge.Out[ip.ErrorRequest]
	inbox         *edge.Inbox // whose timer is set; nil for an Input

	fragments *reassembler
	igmp      *igmp
}

func newReceiver(up Up, filters []*ethernet.Filter, tx ip.Edges, errorRequests edge.Out[ip.ErrorRequest], cfg RxConfig, stats *Stats) *receiver {
	cfg.ReassemblyTimeout = cmp.Or(cfg.ReassemblyTimeout, DefaultReassemblyTimeout)
	cfg.ReassemblyBytes = cmp.Or(cfg.ReassemblyBytes, DefaultReassemblyBytes)
	cfg.ReassemblyDatagrams = cmp.Or(cfg.ReassemblyDatagrams, DefaultReassemblyDatagrams)
	cfg.Groups = cmp.Or(cfg.Groups, DefaultGroups)
	if cfg.Random == nil {
		cfg.Random = rand.Uint64
	}
	r := &receiver{
		cfg: cfg, table: cfg.Table, stats: stats,
		up: up, filters: filters, tx: tx, errorRequests: errorRequests,
		fragments: newReassembler(cfg.ReassemblyTimeout, cfg.ReassemblyBytes, cfg.ReassemblyDatagrams, cfg.Random, stats),
		igmp:      newIGMP(len(filters), cfg.Groups, cfg.Random),
	}
	r.afterIGMP()
	return r
}

// receive takes one packet, and passes it on if it is for a protocol above.
func (r *receiver) receive(b *packet.Buffer) {
	b, protocol := r.accept(b)
	if b == nil {
		return
	}
	up := r.up.of(protocol)
	if !up.Exists() {
		r.refuse(b, &r.stats.DropProtocol, ip.TypeUnreachable, ip.CodeProtocolUnreachable, 0)
		return
	}
	r.stats.RxDelivered.Add(1)
	up.Send(b)
}

// of is the edge to a protocol, which exists if somebody serves it.
func (u *Up) of(protocol uint8) edge.Out[*packet.Buffer] {
	switch protocol {
	case ip.ProtocolTCP:
		return u.TCP
	case ip.ProtocolUDP:
		return u.UDP
	case ip.ProtocolICMP:
		return u.ICMP
	}
	return edge.Out[*packet.Buffer]{}
}

// accept checks one packet, and finds out for whom it is. It returns what is
// for a protocol above, with its front there; nil when b has gone elsewhere, or
// waits for the rest of its datagram.
func (r *receiver) accept(b *packet.Buffer) (*packet.Buffer, uint8) {
	r.stats.RxPackets.Add(1)
	h, err := Parse(b.Bytes())
	if err != nil {
		return drop(b, r.malformed(err)), 0
	}
	b.Trim(len(h))
	b.MarkNetwork()
	b.NextHop = netip.Addr{} // of the sender, when that is in this process

	dst, table := h.Dst(), r.table.Load()
	local, group := table.Kind(dst)
	if b.Link >= 0 && isMartian(table, h.Src(), dst, local, group) {
		return drop(b, &r.stats.DropMartian), 0
	}
	multicast := dst.IsMulticast()
	switch {
	case !group && b.Group:
		// RFC 1122 section 3.3.6: what was sent to all on the link is for
		// no single host.
		drop(b, &r.stats.DropLinkBroadcast)
	case local, group && !multicast, multicast && r.igmp.joined(b.Link, dst):
		return r.deliver(b, h)
	case r.cfg.Forward && b.Link >= 0 && !multicast:
		r.forward(b, h)
	default:
		drop(b, &r.stats.DropNotForUs)
	}
	return nil, 0
}

// malformed is the counter for what Parse has said.
func (r *receiver) malformed(err error) counter {
	switch err {
	case ErrVersion:
		return &r.stats.DropVersion
	case ErrChecksum:
		return &r.stats.DropChecksum
	}
	return &r.stats.DropLength
}

// isMartian says whether a datagram from a link has addresses that cannot be:
// as source a group, loopback or this host itself; as destination loopback
// (RFC 1122 section 3.2.1.3). The source 0.0.0.0 is of a host that does not
// know its address, and speaks to all.
func isMartian(table *ip.Table, src, dst netip.Addr, local, group bool) bool {
	if src.As4()[0] == 0 {
		return !src.IsUnspecified() || !group
	}
	srcLocal, srcGroup := table.Kind(src)
	return srcLocal || srcGroup || local && dst.IsLoopback()
}

// deliver serves a datagram that is for this host. It returns what accept does.
func (r *receiver) deliver(b *packet.Buffer, h Header) (*packet.Buffer, uint8) {
	if h.Len() > MinHeaderLen && !r.arrivedOptions(b, h) {
		return nil, 0
	}
	if h.MF() || h.FragmentOffset() > 0 {
		b = r.fragments.add(time.Now(), b)
		r.arm()
		if b == nil {
			return nil, 0
		}
		h = Header(b.Bytes())
	}
	if h.Protocol() == ip.ProtocolIGMP {
		r.receiveIGMP(b, h)
		return nil, 0
	}
	b.Pull(h.Len())
	return b, h.Protocol()
}

// arrivedOptions checks the options of a datagram for this host, and says
// whether it may go on. Those who want them find them in the header: a
// recorded route gets its last entry when ICMP reflects it (RFC 1122 section
// 3.2.2.6).
func (r *receiver) arrivedOptions(b *packet.Buffer, h Header) bool {
	o, ok := r.options(b, h)
	if ok && o.SourceRoute != nil && !(r.cfg.AcceptSourceRoute && o.Completed()) {
		r.refuseRoute(b)
		return false
	}
	return ok
}

// options parses the options, and tells the sender of malformed ones (RFC
// 1122 section 3.2.2.5).
func (r *receiver) options(b *packet.Buffer, h Header) (Options, bool) {
	o, bad, ok := ParseOptions(h.Options())
	if !ok {
		r.refuse(b, &r.stats.DropOptions, ip.TypeParameterProblem, 0, uint32(bad)<<24)
	}
	return o, ok
}

func (r *receiver) refuseRoute(b *packet.Buffer) {
	r.refuse(b, &r.stats.DropSourceRoute, ip.TypeUnreachable, ip.CodeSourceRouteFailed, 0)
}

// refuse drops b for a reason, and has its sender told.
func (r *receiver) refuse(b *packet.Buffer, reason counter, kind, code uint8, value uint32) {
	reason.Add(1)
	requestError(r.errorRequests, ip.ErrorRequest{Type: kind, Code: code, Value: value, Packet: b}, r.stats)
}

// requestError asks ICMP for an error, if that can take it.
func requestError(to edge.Out[ip.ErrorRequest], request ip.ErrorRequest, stats *Stats) {
	request.Packet.PullBack()
	if !request.Send(to) {
		stats.ErrorRequestsLost.Add(1)
		request.Packet.Release()
	}
}

// deadline is when expire has something to do; zero for never.
func (r *receiver) deadline() time.Time { return sooner(r.fragments.deadline(), r.igmp.deadline()) }

// arm sets the timer. An Input has none: its caller asks for the deadline.
func (r *receiver) arm() {
	if r.inbox != nil {
		r.inbox.RingAt(r.deadline())
	}
}

// expire does what is due at now.
func (r *receiver) expire(now time.Time) {
	for {
		first, ok := r.fragments.expire(now)
		if !ok {
			break
		}
		if first != nil {
			requestError(r.errorRequests, ip.ErrorRequest{Type: ip.TypeTimeExceeded, Code: ip.CodeReassemblyExceeded, Packet: first}, r.stats)
		}
	}
	r.igmp.expire(now)
	r.afterIGMP()
}

// close releases what is Rx's own.
func (r *receiver) close() {
	if r.inbox != nil {
		r.inbox.Stop()
	}
	r.fragments.close()
}
