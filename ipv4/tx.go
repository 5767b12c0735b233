package ipv4

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/shuffle"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// TxConfig configures Tx.
type TxConfig struct {
	Table  *ip.CurrentTable
	Link   int           // whose Tx it is; -1 is that of loopback
	Random func() uint64 // the source of random numbers; nil means math/rand/v2
}

// Tx finishes the datagrams that the protocols above have made with [Push],
// and brings each to its link, to loopback, or to an end. There is one for each
// link, which waits for that alone ([ip.Edges]), and one for loopback. Own addresses are
// looped back whole, and so is a copy of what goes to a group, because this
// host is in it as well, or Rx will find that it is not (RFC 1112 section
// 6.1).
//
// On a host with several links, what goes to a group takes the link that has
// its source address: a sender chooses the link by the address.
//
// In carries the datagrams of those who wait for their turn. Answers carries
// those of processes that turn receiving into sending, which do not wait: an
// edge of its own keeps room for them while in is always full. Diverted carries,
// ready to go, what the Tx of another link has found a gateway for on this one,
// since its own do not answer.
//
// Tx returns when in is closed, having sent what was waiting and closed hop. A link
// of which there is none has no hop; that is loopback.
//
//	Owns:      identifications; what ICMP has taught about gateways
//	Reads:     in and answers, by turns; diverted; advice
//	Writes:    hop, to its link; loop; errorRequests; others, the diverted of each link
//	Blocks on: in; hop and loop. What errorRequests and others cannot take at once is dropped
func Tx(in *edge.Inbox, answers, diverted edge.In[*packet.Buffer], advice edge.In[ip.Advice], hop, loop edge.Out[*packet.Buffer], others []edge.Out[*packet.Buffer], errorRequests edge.Out[ip.ErrorRequest], cfg TxConfig, stats *Stats) {
	t := newTransmitter(hop, loop, others, errorRequests, cfg, stats)
	t.answers, t.diverted, t.advice = answers, diverted, advice
	if hop.Exists() {
		defer hop.Close()
	}
	byTurns := func(b *packet.Buffer) {
		if in.Rung() { // first, for the SYN-ACK of a connection goes before its text
			t.rung(in)
		}
		t.send(b)
	}
	for in.Next(byTurns) {
		if in.Rung() {
			t.rung(in)
		}
	}
}

// rung sees to what comes by other ways than in: one of each, so that in has its
// turn.
func (t *transmitter) rung(in *edge.Inbox) {
	if b, ok := t.answers.Try(); ok {
		t.send(b)
		in.Again()
	}
	if b, ok := t.diverted.Try(); ok {
		t.hop.Send(b)
		in.Again()
	}
	if a, ok := t.advice.Try(); ok {
		t.learn(a)
		in.Again()
	}
}

// A transmitter is the state of Tx.
type transmitter struct {
	table         *ip.CurrentTable
	router        *router
	ids           *shuffle.Shuffle
	stats         *Stats
	link          int
	hop           edge.Out[*packet.Buffer]
	loop          edge.Out[*packet.Buffer]
	others        []edge.Out[*packet.Buffer]
	errorRequests edge.Out[ip.ErrorRequest]

	answers, diverted edge.In[*packet.Buffer]
	advice            edge.In[ip.Advice]

	// hand brings a datagram to a link, or to loopback, which is link -1: enqueue,
	// or what an Output was told.
	hand func(link int, b *packet.Buffer)
}

func newTransmitter(hop, loop edge.Out[*packet.Buffer], others []edge.Out[*packet.Buffer], errorRequests edge.Out[ip.ErrorRequest], cfg TxConfig, stats *Stats) *transmitter {
	if cfg.Random == nil {
		cfg.Random = rand.Uint64
	}
	t := &transmitter{
		table: cfg.Table, router: newRouter(cfg.Table), ids: newIDs(cfg.Random), stats: stats,
		link: cfg.Link, hop: hop, loop: loop, others: others, errorRequests: errorRequests,
	}
	t.hand = t.enqueue
	return t
}

// enqueue puts a datagram on its channel. It waits for no other link than its own.
func (t *transmitter) enqueue(link int, b *packet.Buffer) {
	switch link {
	case -1:
		t.loop.Send(b)
	case t.link:
		t.hop.Send(b)
	default:
		if !t.others[link].Try(b) {
			drop(b, &t.stats.DropDivertedFull)
		}
	}
}

// learn takes advice, which every Tx gets. What is about a destination is for the
// one that sends there; that a gateway is dead all must know, and one counts.
func (t *transmitter) learn(a ip.Advice) {
	about := a.Dst
	if !about.IsValid() {
		about = a.Gateway
	}
	own := t.table.Load().LinkTo(netip.Addr{}, about) == t.link
	if !own && a.Dst.IsValid() {
		return
	}
	ok := t.router.learn(time.Now(), a)
	switch {
	case !own:
	case !a.Dst.IsValid():
		if ok {
			t.stats.GatewaysDead.Add(1)
		}
	case !a.From.IsValid():
		if ok {
			t.stats.PathsDead.Add(1)
		}
	case ok:
		t.stats.Redirects.Add(1)
	default:
		t.stats.RedirectsBad.Add(1)
	}
}

// send routes one datagram. One that Rx forwards has NextHop set, and its
// header stays as it is.
func (t *transmitter) send(b *packet.Buffer) {
	h := Header(b.Bytes())
	hop, ok := t.route(h)
	if h.TTL() == 0 { // RFC 1122 section 3.2.1.7
		drop(b, &t.stats.DropTTL)
		return
	}
	if !b.NextHop.IsValid() {
		if !t.ownSource(h, hop) {
			drop(b, &t.stats.DropSource)
			return
		}
		t.finish(b, h)
	}
	if !ok {
		t.refuse(b, &t.stats.DropNoRoute, ip.CodeNetUnreachable, 0)
		return
	}
	if hop.Local {
		t.loopback(b)
		return
	}
	t.output(b, h, t.bySource(h, hop))
}

// route finds the next hop. The clock is read only if what was learned can
// run out.
func (t *transmitter) route(h Header) (ip.Hop, bool) {
	if !t.router.plain() {
		return t.router.route(time.Now(), h.Dst())
	}
	return t.table.Load().Lookup(h.Dst())
}

// bySource moves what goes to a group to the link that has its source.
func (t *transmitter) bySource(h Header, hop ip.Hop) ip.Hop {
	if !hop.Broadcast {
		return hop
	}
	table := t.table.Load()
	if link, ok := table.LinkOf(h.Src()); ok && table.Links() > 1 {
		hop.Link, hop.MTU = link, table.MTU(link)
	}
	return hop
}

// ownSource says whether this host may send with the source of h: its own
// addresses, loopback only to itself, and none at all only to a group (RFC
// 1122 section 3.2.1.3).
func (t *transmitter) ownSource(h Header, hop ip.Hop) bool {
	src := h.Src()
	if src.IsUnspecified() {
		return hop.Broadcast
	}
	if src.IsLoopback() {
		return hop.Local
	}
	return t.table.Load().IsLocal(src)
}

// finish puts in what the transport has left to IP.
func (t *transmitter) finish(b *packet.Buffer, h Header) {
	if !h.DF() {
		binary.BigEndian.PutUint16(h[4:], t.ids.Next())
	}
	h.updateChecksum()
}

// loopback gives b to Rx as it is: it crosses no wire, so a train stays a
// train and a partial checksum stays partial.
func (t *transmitter) loopback(b *packet.Buffer) {
	b.Link = -1
	b.Group = false
	b.Arrived = time.Now()
	t.stats.TxLooped.Add(1)
	t.hand(-1, b)
}

// output gives b to its link, in fragments if it must and may be. Trains are
// never fragmented: who builds them can cut smaller ones.
func (t *transmitter) output(b *packet.Buffer, h Header, hop ip.Hop) {
	fits := longest(b, h) <= hop.MTU
	if !fits && (h.DF() || b.SegmentSize > 0) {
		t.refuse(b, &t.stats.DropTooBig, ip.CodeFragmentationNeeded, uint32(hop.MTU))
		return
	}
	if hop.Broadcast && !b.NoLoop && h.Protocol() != ip.ProtocolIGMP { // which is for the others on the link
		t.loopback(b.Clone())
	}
	if fits {
		t.give(b, hop)
		return
	}
	t.stats.TxFragmented.Add(1)
	b.CompleteChecksum()
	f := newFragmenter(h, hop.MTU)
	for p := f.next(); p != nil; p = f.next() {
		t.stats.TxFragments.Add(1)
		t.give(p, hop)
	}
	b.Release()
}

func (t *transmitter) give(b *packet.Buffer, hop ip.Hop) {
	b.NextHop = hop.NextHop
	b.Group = hop.Broadcast
	t.stats.TxPackets.Add(1)
	t.hand(hop.Link, b)
}

// refuse drops b for a reason, and has its sender told, be it this host or
// another.
func (t *transmitter) refuse(b *packet.Buffer, reason counter, code uint8, value uint32) {
	reason.Add(1)
	requestError(t.errorRequests, ip.ErrorRequest{Type: ip.TypeUnreachable, Code: code, Value: value, Packet: b}, t.stats)
}

// headersLen is the length of the headers in front of a train: of IP, and of
// TCP or UDP.
func headersLen(h Header) int {
	const tcpDataOffset = 12 // RFC 9293 section 3.1
	p := h.Payload()
	if h.Protocol() == ip.ProtocolTCP && len(p) > tcpDataOffset {
		return h.Len() + int(p[tcpDataOffset]>>4)*4
	}
	return h.Len() + 8 // RFC 768
}

// longest is the length of the longest datagram that b is on the wire.
func longest(b *packet.Buffer, h Header) int {
	if b.SegmentSize == 0 {
		return b.Len()
	}
	return min(b.Len(), headersLen(h)+b.SegmentSize)
}
