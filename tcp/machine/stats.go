package machine

import "sync/atomic"

// Stats counts what TCP does. A field named Drop… is a reason for which
// segments have been dropped.
type Stats struct {
	InSegments, OutSegments atomic.Uint64 // a train counts once
	OutResets               atomic.Uint64
	InResets                atomic.Uint64

	// Connections.
	ActiveOpens, PassiveOpens atomic.Uint64
	FailedConnects            atomic.Uint64
	Closed                    atomic.Uint64 // connections that have ended, for whatever reason
	SynRetransmits            atomic.Uint64
	Parked, Unparked          atomic.Uint64 // connections that were parked (Config.ParkAfter), and that were needed again
	TimeWaitsEvicted          atomic.Uint64
	Orphans                   atomic.Uint64 // connections that their users have closed, and that have not ended; a gauge
	OrphansExpired            atomic.Uint64 // of them, given up after Config.OrphanTimeout
	OrphansEvicted            atomic.Uint64 // given up since there were too many, or too little memory
	UnacceptedEvicted         atomic.Uint64 // connections reset before anybody accepted them, for want of memory
	Buffered                  atomic.Uint64 // bytes that connections hold to be sent, acknowledged or read; a gauge
	TimeWaitsReused           atomic.Uint64 // new connections in the place of one in TIME-WAIT

	// Loss recovery.
	Retransmits        atomic.Uint64 // segments or trains sent again
	Timeouts           atomic.Uint64 // retransmission timeouts
	FastRecoveries     atomic.Uint64
	SpuriousRecoveries atomic.Uint64 // reductions of the window that were taken back
	LossProbes         atomic.Uint64 // tail loss probes (RFC 8985 section 7)
	LossProbeRepairs   atomic.Uint64 // of them, those that have repaired a loss
	DSACKs             atomic.Uint64 // duplicates that peers have reported (RFC 2883)
	IgnoredSACKs       atomic.Uint64 // SACK blocks that fit no segments of ours, or for which the scoreboard had no room

	// Receiving.
	OutOfOrder         atomic.Uint64 // segments that came ahead of a hole
	DuplicatesReported atomic.Uint64 // DSACK blocks sent (RFC 2883)
	DelayedACKs        atomic.Uint64 // acknowledgements that the timer sent

	// The path.
	MTUProbes     atomic.Uint64 // segments larger than the path MTU was known to be (RFC 4821)
	MTUProbesLost atomic.Uint64
	BlackHoles    atomic.Uint64 // paths on which large segments vanished (RFC 8899 section 4.3)

	// Probes and defences.
	WindowProbes      atomic.Uint64
	KeepAliveProbes   atomic.Uint64
	ChallengeACKs     atomic.Uint64 // RFC 5961
	ICMPErrorsIgnored atomic.Uint64 // ICMP errors that did not fit the connection (RFC 5927)
	WithheldACKs      atomic.Uint64 // segments out of the window that had no answer, so soon after the last (RFC 5961 section 7)

	// Opening.
	SynCookiesSent     atomic.Uint64 // SYN-ACKs of which nothing is remembered (RFC 4987 section 3.6)
	SynCookiesAccepted atomic.Uint64 // connections that came of them
	SynCookiesBad      atomic.Uint64 // ACKs that were none's answer, while some were expected
	FastOpenCookies    atomic.Uint64 // cookies given to clients (RFC 7413)
	FastOpenAccepted   atomic.Uint64 // connections accepted by the SYN alone
	FastOpenRefused    atomic.Uint64 // SYNs with a cookie that is not ours, or no more
	FastOpenFull       atomic.Uint64 // SYNs with a good one while too many waited
	FastOpenSent       atomic.Uint64 // our SYNs with text
	FastOpenAcked      atomic.Uint64 // of these, those whose text the server took
	FastOpenTimeouts   atomic.Uint64 // our SYNs with the option that had to go again without

	ECNConnections atomic.Uint64 // connections whose text may be marked (RFC 3168)
	InMarked       atomic.Uint64 // segments or trains with text that a congested router has marked
	ECNReductions  atomic.Uint64 // of a congestion window, because the peer told of marks

	DropMalformed    atomic.Uint64
	DropBadChecksum  atomic.Uint64
	DropBadAddress   atomic.Uint64 // from or to broadcast or multicast (MUST-57, MUST-63)
	DropPAWS         atomic.Uint64 // RFC 7323 section 5
	DropOutOfWindow  atomic.Uint64
	DropBadACK       atomic.Uint64
	DropDuplicate    atomic.Uint64 // text that was there already
	DropAheadFull    atomic.Uint64 // no room ahead of a hole
	DropAcceptFull   atomic.Uint64 // the listener's accept queue was full
	DropSynFull      atomic.Uint64 // a SYN in the place of a connection in TIME-WAIT, with too many half open
	DropNoConnection atomic.Uint64 // answered by a reset
	DropAdviceFull   atomic.Uint64 // advice that the network layer did not take
	DropReplyFull    atomic.Uint64 // resets, SYN-ACKs… of the demultiplexer that the network layer did not take
	DropAfterClose   atomic.Uint64 // text for a connection that the user has closed
	DropClosing      atomic.Uint64 // the stack was ending
	DropTimeWait     atomic.Uint64
	DropUnexpected   atomic.Uint64 // no state wants such a segment
}
