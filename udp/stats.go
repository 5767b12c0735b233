package udp

import "sync/atomic"

// Stats counts what Demux and the sockets do. A field named Drop… is a reason
// for which datagrams have been dropped.
type Stats struct {
	RxDatagrams atomic.Uint64 // that IP delivered, good or bad
	RxDelivered atomic.Uint64 // put in the queue of a socket; one for a group counts for each socket
	TxDatagrams atomic.Uint64 // that sockets have sent
	Queued      atomic.Uint64 // bytes of memory that datagrams pin now which wait to be read

	RxICMPErrors        atomic.Uint64 // ICMP errors about datagrams of ours
	ICMPErrorsUnmatched atomic.Uint64 // … whose socket has gone
	ErrorRequestsFull   atomic.Uint64 // port unreachables that ICMP had no room to hear of

	DropLength     atomic.Uint64 // lengths do not fit the datagram
	DropChecksum   atomic.Uint64
	DropBadSource  atomic.Uint64 // RFC 1122 section 4.1.3.6
	DropNoSocket   atomic.Uint64 // no socket at the port
	DropBufferFull atomic.Uint64 // the read buffer of the socket was full
	DropMemoryFull atomic.Uint64 // all sockets together held too much, and this one more than its share
}
