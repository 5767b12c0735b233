package tcp

import "time"

// congestion decides how much may be in the network. It owns its window; the
// connection tells it what happens, and asks for the window before it sends.
//
// The calls come in this order for each segment that arrives: at most one of
// lost and timedOut, then acked if new data was acknowledged, then recovered
// if that ended a recovery.
type congestion interface {
	// window is cwnd, in bytes.
	window() int

	// slowStartThreshold is ssthresh, in bytes, for those who look.
	slowStartThreshold() int

	// acked: n bytes of new data were acknowledged outside of fast recovery.
	// limited says whether the window was what held the sender back.
	acked(now time.Time, n int, limited bool)

	// lost: loss was found while flight bytes were outstanding, and fast
	// recovery begins. It is called once for each window with losses.
	lost(now time.Time, flight int)

	// recovered: fast recovery has ended.
	recovered(now time.Time)

	// timedOut: the retransmission timer has expired while flight bytes were
	// outstanding. again says that it was for the same data as the time before.
	timedOut(now time.Time, flight int, again bool)

	// idled: nothing was sent for longer than a retransmission timeout.
	idled(now time.Time)

	// setMSS: the largest segment has changed.
	setMSS(mss int)
}

// initialWindow is the initial window of RFC 6928 section 2, in bytes.
func initialWindow(mss int) int { return min(10*mss, max(2*mss, 14600)) }

// unlimited is a threshold that no window reaches.
const unlimited = 1 << 30
