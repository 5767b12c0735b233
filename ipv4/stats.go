package ipv4

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/packet"
)

// Stats counts what Rx and Tx of one stack do. A field named Drop… is a
// reason for which packets have been dropped; where an ICMP error was asked for too, the
// packet has gone on to ICMP as evidence. A train counts as one packet, and a
// fragment as one as well. What Rx counts for every packet stands first and
// what Tx counts last, so that the two do not fight for a cache line.
type Stats struct {
	RxPackets   atomic.Uint64 // received, from links and from loopback
	RxDelivered atomic.Uint64 // given to a protocol above, or served by IGMP

	RxForwarded   atomic.Uint64 // sent on to Tx
	RxReassembled atomic.Uint64 // datagrams made whole again

	DropVersion           atomic.Uint64 // version not 4
	DropLength            atomic.Uint64 // lengths that do not fit the packet
	DropChecksum          atomic.Uint64 // bad header checksum
	DropMartian           atomic.Uint64 // a source or destination that cannot be: loopback on a link, a broadcast as source
	DropLinkBroadcast     atomic.Uint64 // to one host, in a frame to all
	DropNotForUs          atomic.Uint64 // to another host, or to a group that was not joined
	DropOptions           atomic.Uint64 // malformed options
	DropSourceRoute       atomic.Uint64 // source routes, which are refused
	DropProtocol          atomic.Uint64 // nobody serves the protocol
	DropIGMP              atomic.Uint64 // malformed or foreign IGMP messages
	DropFragment          atomic.Uint64 // fragments that make no sense by themselves
	DropFragmentECN       atomic.Uint64 // fragments of a datagram that was marked for congestion in part, and in part not to be marked (RFC 3168 section 5.3)
	DropDuplicate         atomic.Uint64 // fragments that came twice
	DropOverlap           atomic.Uint64 // all fragments of a datagram some of which contradict each other
	DropReassemblyTimeout atomic.Uint64 // fragments of a datagram that did not get whole in time
	DropReassemblyFull    atomic.Uint64 // fragments that had to make room for newer ones
	DropTTL               atomic.Uint64 // not forwarded: time to live exceeded; or to be sent with time to live 0
	DropTxFull            atomic.Uint64 // not forwarded, or IGMP message not sent: Tx was busy

	DropSource  atomic.Uint64 // to be sent with a source that is not ours, or loopback to another host
	DropNoRoute atomic.Uint64 // to be sent where no route leads
	DropTooBig  atomic.Uint64 // longer than the MTU, and not to be fragmented

	DropDivertedFull atomic.Uint64 // for the gateway of another link, which had no room

	ErrorRequestsLost atomic.Uint64 // errors that ICMP was too busy to hear of
	Redirects         atomic.Uint64 // that changed a route
	RedirectsBad      atomic.Uint64 // that were not believed
	PathsDead         atomic.Uint64 // ways to one destination that were given up for another
	GatewaysDead      atomic.Uint64 // gateways that were given up for some time
	TxFragmented      atomic.Uint64 // datagrams that were cut
	TxFragments       atomic.Uint64 // into so many
	TxLooped          atomic.Uint64 // to addresses of our own, and copies of what is sent to groups

	TxPackets atomic.Uint64 // given to a link, each fragment by itself
}

type counter = *atomic.Uint64

// drop counts and releases b. It returns nil, for callers who return a packet.
func drop(b *packet.Buffer, reason counter) *packet.Buffer {
	reason.Add(1)
	b.Release()
	return nil
}
