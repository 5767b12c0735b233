package arp

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
)

// Config describes the station on one link, and what its cache may hold.
type Config struct {
	// MAC is the address of the card.
	MAC ethernet.Addr

	// Addrs are the IPv4 addresses of the host on this link: those that it
	// answers for, announces and defends.
	Addrs []netip.Addr

	// Gateways are the neighbours that routes lead to. They have room of their
	// own in the cache: those beyond them must not see who else is asked for.
	Gateways []netip.Addr

	// Static are neighbours whose addresses are never asked for, overwritten
	// or forgotten.
	Static map[netip.Addr]ethernet.Addr

	// Timeout is for how long an entry is believed after the last packet from
	// the neighbour; an entry that is in use is then confirmed by unicast, and
	// any other is forgotten (RFC 1122 section 2.3.2.1). 0 means one minute,
	// and anything below a second means one second.
	Timeout time.Duration

	// MaxEntries bounds the cache, gateways and static entries not counted. 0
	// means 1024.
	MaxEntries int

	// Probe says that the host makes sure that nobody else uses its addresses
	// before it uses them, as RFC 5227 section 2.1 wants. It takes between
	// four and seven seconds, during which, and for as long as somebody does
	// use one, every datagram is undeliverable. The default is to use the
	// addresses at once.
	Probe bool

	// Random returns 64 random bits, for the intervals between probes. Nil
	// means the shortest intervals always.
	Random func() uint64
}

// Stats counts what a Resolver does. Every datagram that it is given ends in
// one of TxDatagrams, Unreachable, DropQueueFull, DropCacheFull and DropClosed.
type Stats struct {
	RxRequests, RxReplies     atomic.Uint64
	TxRequests, TxReplies     atomic.Uint64 // probes and announcements not counted
	TxProbes, TxAnnouncements atomic.Uint64

	TxDatagrams atomic.Uint64 // sent on to the card
	Unreachable atomic.Uint64 // handed back, because the next hop does not answer
	Conflicts   atomic.Uint64 // packets of others that use an own address
	Changed     atomic.Uint64 // times a neighbour's MAC address became another

	DropMalformed     atomic.Uint64 // ARP packets that are no request or reply for IPv4 over Ethernet
	DropSender        atomic.Uint64 // ARP packets whose sender cannot be one station
	DropQueueFull     atomic.Uint64 // datagrams that gave way to later ones while waiting for an address
	DropCacheFull     atomic.Uint64 // datagrams to a new address when no entry could be evicted
	DropClosed        atomic.Uint64 // datagrams that waited for an address at the end
	DropUndeliverable atomic.Uint64 // of those Unreachable: nobody took them
}
