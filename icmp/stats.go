package icmp

import "sync/atomic"

// Stats counts what Run does. A field named Drop… is a reason for which
// messages have been dropped.
type Stats struct {
	RxMessages  atomic.Uint64 // messages that IP delivered, good or bad
	RxEchoes    atomic.Uint64 // echo requests for this host
	RxReplies   atomic.Uint64 // echo replies that a ping had waited for
	RxErrors    atomic.Uint64 // errors about datagrams of this host
	RxRedirects atomic.Uint64 // redirects that were passed to the routing
	TxReplies   atomic.Uint64 // echo replies sent
	TxEchoes    atomic.Uint64 // echo requests sent
	TxErrors    atomic.Uint64 // errors sent

	LocalErrors       atomic.Uint64 // about this host's own datagrams, told to the transport without a message
	ErrorsNotAllowed  atomic.Uint64 // not sent, as RFC 1122 section 3.2.2 allows none
	ErrorsRateLimited atomic.Uint64 // errors not sent because there were too many
	ErrorsNoRoute     atomic.Uint64 // errors not sent because there is no way back
	AdviceFull        atomic.Uint64 // redirects and dead gateways that were dropped, since the edge to the routing was full
	PingsRefused      atomic.Uint64 // echo requests not sent: no route, too many waiting, or the transmit queue full

	DropLength       atomic.Uint64 // shorter than the header
	DropChecksum     atomic.Uint64
	DropUnknownType  atomic.Uint64 // RFC 1122 section 3.2.2: silently discarded
	DropGroupEcho    atomic.Uint64 // an echo request to a group, or from what is no single host
	DropStrayReply   atomic.Uint64 // an echo reply that no ping waits for
	DropBadError     atomic.Uint64 // an error whose quoted datagram is not one of ours, or that was sent to a group
	DropSourceQuench atomic.Uint64 // RFC 6633
	DropBadRedirect  atomic.Uint64 // RFC 1122 section 3.2.2.2
	DropTxFull       atomic.Uint64 // our own reply or error, because the transmit queue was full
}
