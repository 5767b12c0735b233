package machine

import (
	"net/netip"
	"time"
)

// Info is the state of a connection at one moment, like Linux's TCP_INFO.
// Sizes are in bytes.
type Info struct {
	Local, Remote netip.AddrPort
	State         State

	// What the two ends have agreed on.
	SACK, Timestamps        bool
	ECN                     bool // what we send may be marked instead of dropped (RFC 3168)
	FastOpen                bool // text of a SYN was taken, ours or the peer's (RFC 7413)
	SendScale, ReceiveScale uint8
	SendMSS                 int // text in one segment
	PathMTU                 int
	PathMTUSearch           SearchState

	// Times.
	RTT, RTTVar, MinRTT time.Duration // MinRTT is that of the last minutes
	LastRTT             time.Duration // the last sample
	RTO                 time.Duration
	ReceiverRTT         time.Duration // the round trip as the receiver sees it; 0 when it is not known
	LastSent, LastHeard time.Time     // text, and a segment

	// Congestion control.
	CongestionControl string
	CongestionWindow  int // as it bounds sending now; smaller steps while the connection recovers
	SlowStartThresh   int
	PacingRate        float64 // bytes a second; 0 when not paced
	DeliveryRate      float64 // bytes a second, the last sample
	AppLimited        bool    // of that sample: there was not enough to send

	// Loss recovery.
	LossRecovery      string
	Recovering        bool          // fast recovery
	RepairingTimeout  bool          // a retransmission timeout
	ReorderingSeen    bool          // by RACK
	ReorderingWindow  time.Duration // of RACK: how late a segment may be
	ConsecutiveProbes uint          // timeouts in a row
	Timeouts          uint64
	Recoveries        uint64
	Spurious          uint64 // of both, how many were taken back
	BytesSent         uint64 // text, the first time
	BytesResent       uint64
	BytesLost         uint64 // deemed lost
	BytesDelivered    uint64 // acknowledged, or SACKed
	BytesDeliveredCE  uint64 // of these, how many met congestion, by the peer's word; with ECN only

	// Windows and queues.
	SendWindow      int // as the peer has given it
	ReceiveWindow   int // as the peer has been told
	InFlight        int // sent, and thought to be in the network
	Unacked         int // sent, and not acknowledged
	SACKed          int // of it, what the peer has beyond a hole
	Lost            int // of it, what is deemed lost
	Resent          int // of that, what was sent again since
	SendQueue       int // written, and not acknowledged
	SendBuffer      int // how much that may be
	ReceiveQueue    int // received, and not read
	ReceiveBuffer   int // how much that may be
	OutOfOrderQueue int // received ahead of a hole
	Urgent          int // of ReceiveQueue and what follows, how much is before the urgent pointer
	BytesReceived   uint64
	BytesReceivedCE uint64 // text that a congested router has marked; with ECN only

	Failing   bool  // so many timeouts in a row that the path may have failed (R1 of RFC 9293 section 3.8.3)
	SoftError error // the last ICMP error that did not end the connection
}

func (t *TCB) Info() (i Info) {
	t.describe(&i)
	return i
}

// describe fills in i, field by field: an Info is large, and a connection may end in
// a goroutine of the user's whose stack would have to grow for a copy of it.
func (t *TCB) describe(i *Info) {
	if t.Parked() {
		t.Unpark(new(Transfer), time.Time{})
		defer t.Park()
	}
	i.Local, i.Remote, i.State = t.flow.Local.AddrPort(), t.flow.Remote.AddrPort(), t.state
	i.SACK, i.Timestamps, i.ECN, i.FastOpen = t.sackOK, t.timestamps, t.ecn.sends, t.usedFastOpen
	i.SendScale, i.ReceiveScale = t.snd.scale, t.rcv.scale
	i.SendMSS, i.PathMTU, i.PathMTUSearch = t.snd.mss, t.path.mtu, t.path.state
	i.RTT, i.RTTVar, i.MinRTT, i.LastRTT, i.RTO = t.rtt.srtt, t.rtt.rttvar, t.rtt.min, t.rtt.latest, t.rtt.rto()
	i.LastSent, i.LastHeard = t.lastSent, t.lastHeard
	i.CongestionControl, i.CongestionWindow, i.SlowStartThresh = t.opts.Congestion, t.cwnd(), t.cc.Threshold()
	i.PacingRate, i.DeliveryRate, i.AppLimited = t.cc.PacingRate(), t.delivery.last.BytesPerSecond(), t.delivery.last.AppLimited
	i.SendWindow, i.ReceiveWindow = t.snd.wnd, t.rcv.edge.Sub(t.rcv.nxt)
	i.InFlight, i.Unacked = t.pipe(), t.snd.nxt.Sub(t.snd.una)
	i.SendBuffer, i.ReceiveBuffer, i.ReceiverRTT = t.sendq.limit, t.recvq.limit, t.tuning.rtt
	i.SendQueue, i.ReceiveQueue, i.OutOfOrderQueue = t.sendq.len, t.recvq.readyLen, t.recvq.aheadLen
	i.BytesReceived, i.BytesReceivedCE, i.BytesDeliveredCE = t.count.received, t.ecn.received, t.ecn.delivered
	i.SoftError, i.Failing = t.softErr, t.failing()
	t.recoveryInfo(i)
	if t.urgentSeen {
		i.Urgent = max(0, t.rcv.urgent.Sub(t.readNxt()))
	}
}

func (t *TCB) recoveryInfo(i *Info) {
	i.LossRecovery = t.detector.name()
	i.Recovering, i.RepairingTimeout = t.phase == recovering, t.phase == repairing
	if r, ok := t.detector.(*rack); ok {
		i.ReorderingSeen, i.ReorderingWindow = t.reordering.seen, r.reoWnd(t)
	}
	i.ConsecutiveProbes = t.rtt.backoff
	i.Timeouts, i.Recoveries, i.Spurious = t.count.timeouts, t.count.recoveries, t.count.spurious
	i.BytesSent, i.BytesResent = t.count.sent, t.count.resent
	i.SACKed, i.Lost, i.Resent = t.board.sacked, t.board.lost, t.board.resent
	i.BytesLost, i.BytesDelivered = t.board.losses, t.delivery.total
}
