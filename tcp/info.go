package tcp

import (
	"net/netip"
	"time"
)

// Info is the state of a connection at one moment, like Linux's TCP_INFO.
// Sizes are in bytes.
type Info struct {
	Local, Remote netip.AddrPort
	State         State

	RTT, RTTVar, MinRTT time.Duration
	RTO                 time.Duration

	SendMSS           int // text in one segment
	PathMTU           int
	CongestionWindow  int
	SlowStartThresh   int
	SendWindow        int // as the peer has given it
	ReceiveWindow     int // as the peer has been told
	SendScale         uint8
	ReceiveScale      uint8
	InFlight          int // sent, and thought to be in the network
	Unacked           int // sent, and not acknowledged
	SendQueue         int // written, and not acknowledged
	ReceiveQueue      int // received, and not read
	OutOfOrderQueue   int // received ahead of a hole
	Urgent            int // of ReceiveQueue and what follows, how much is before the urgent pointer
	Recovering        bool
	SACK, Timestamps  bool
	ConsecutiveProbes uint  // timeouts in a row
	SoftError         error // the last ICMP error that did not end the connection
}

// Info returns the state of the connection; after its end, the last one.
func (c *Conn) Info() Info {
	var i Info
	if !c.do(func(_ time.Time, t *tcb) { i = t.info() }) {
		i = *c.lastInfo
	}
	return i
}

func (t *tcb) info() Info {
	i := Info{
		Local: t.flow.local.addrPort(), Remote: t.flow.remote.addrPort(), State: t.state,
		RTT: t.rtt.srtt, RTTVar: t.rtt.rttvar, MinRTT: t.rtt.min, RTO: t.rtt.rto(),
		SendMSS: t.snd.mss, PathMTU: t.snd.pmtu,
		CongestionWindow: t.cwnd(), SlowStartThresh: t.cc.Threshold(),
		SendWindow: t.snd.wnd, ReceiveWindow: t.rcv.edge.sub(t.rcv.nxt),
		SendScale: t.snd.scale, ReceiveScale: t.rcv.scale,
		InFlight: t.pipe(), Unacked: t.snd.nxt.sub(t.snd.una),
		SendQueue: t.sendq.len, ReceiveQueue: t.recvq.readyLen, OutOfOrderQueue: t.recvq.aheadLen,
		Recovering: t.phase == recovering, SACK: t.sackOK, Timestamps: t.timestamps,
		ConsecutiveProbes: t.rtt.backoff, SoftError: t.softErr,
	}
	if t.urgentSeen {
		i.Urgent = max(0, t.rcv.urgent.sub(t.readNxt()))
	}
	return i
}
