// Package congestion decides how much a TCP connection may have in the
// network, and how fast it goes there.
//
// A [Controller] is the congestion control of one connection. This package
// has [Cubic], which is the default, [Reno], [BBR] and [DCTCP]. A program may
// bring its own: any type with the methods of Controller will do, and one that
// embeds [Reno] needs only those in which it differs, as examples/mycc shows.
// Package tcp takes it by name, from Config.Controllers.
package congestion

import "time"

// A Controller owns the congestion window of one connection. It is a machine:
// no goroutine, no lock, no clock. The connection calls it, and
// asks for the window before each segment that it sends. Its methods must not
// wait: who calls them has the connection's state meanwhile. Sizes are in bytes.
//
// For each acknowledgement the calls come in this order: Undo, Recovered,
// Lost, Marked, as far as they apply, and then Acked, always.
type Controller interface {
	// Window is cwnd: how much may be in the network. While the connection
	// recovers from a loss, it approaches this window from above by
	// proportional rate reduction (RFC 9937).
	Window() int

	// Threshold is ssthresh, below which the window grows by slow start;
	// Unlimited or more when there is none yet.
	Threshold() int

	// PacingRate is how fast segments go out, in bytes a second; 0 when the
	// window alone decides.
	PacingRate() float64

	// Sent tells that s.Bytes go out.
	Sent(s Sent)

	// Acked tells of an acknowledgement that has changed what is in flight.
	Acked(a Ack)

	// Lost tells that loss was found and fast recovery begins. It comes once
	// for each window with losses.
	Lost(l Loss)

	// Marked tells that the network has signalled congestion by ECN (RFC
	// 3168). It comes once a round trip at most, and not during recovery.
	Marked(l Loss)

	// TimedOut tells that the retransmission timer has expired.
	TimedOut(l Loss)

	// Recovered tells that all is acknowledged that was in flight when the
	// last recovery or timeout began.
	Recovered(now time.Time)

	// Undo tells that the last Lost or TimedOut was a mistake: nothing was
	// lost. The controller returns to what it was before (RFC 4015).
	Undo(now time.Time)

	// Idled tells that the connection has been idle for d, longer than a
	// retransmission timeout, and is about to send again.
	Idled(now time.Time, d time.Duration)

	// SetMSS tells that a segment now has up to mss bytes of text.
	SetMSS(mss int)
}

// A Factory returns a new Controller.
type Factory func(Params) Controller

// Params is what a Controller begins with.
type Params struct {
	Now       time.Time
	MSS       int           // bytes of text in a segment
	Window    int           // cwnd to begin with; 0 means InitialWindow(MSS)
	Threshold int           // ssthresh to begin with; 0 means Unlimited
	Random    func() uint64 // random bits; the same run repeats from the same seed
}

// Sent is one segment or train on its way.
type Sent struct {
	Now      time.Time
	Bytes    int
	InFlight int  // what was in the network before it
	Again    bool // it is a retransmission
}

// Ack is what one acknowledgement has told.
type Ack struct {
	Now       time.Time
	Acked     int // bytes by which SND.UNA has moved
	Delivered int // bytes newly known to have arrived, by SND.UNA or by SACK
	Lost      int // bytes newly deemed lost
	InFlight  int // bytes in the network now
	Before    int // bytes in the network before

	RTT          time.Duration // measured by this acknowledgement; 0 when it was not
	SRTT, MinRTT time.Duration // smoothed, and the least ever measured; 0 when not known

	Round      bool // the first acknowledgement of a round trip: what it acknowledges was sent after the last such one
	Limited    bool // the window, not the user or the peer, holds the sender back
	Recovering bool // fast recovery is under way: Lost has set the window
	CE         int  // of Delivered, how many bytes met congestion, by the peer's word (ECN)

	Rate Rate
}

// Rate is a sample of the delivery rate
// (draft-ietf-ccwg-bbr, section 4.1): what was delivered while the newest
// acknowledged flight was on its way.
type Rate struct {
	Delivered      int           // bytes delivered during Interval
	Interval       time.Duration // 0: there is no sample
	AppLimited     bool          // the sender had nothing to send for a part of it
	TotalDelivered uint64        // of the connection, now
	PriorDelivered uint64        // of the connection, when the flight was sent
	PriorInFlight  int           // in the network when the flight was sent, it included
	Lost           int           // deemed lost since the flight was sent
}

// BytesPerSecond is the rate; 0 when there is no sample.
func (r Rate) BytesPerSecond() float64 {
	if r.Interval <= 0 {
		return 0
	}
	return float64(r.Delivered) / r.Interval.Seconds()
}

// Loss is a sign of congestion.
type Loss struct {
	Now    time.Time
	Flight int  // FlightSize: bytes sent and not acknowledged when it was found
	Lost   int  // bytes newly deemed lost
	Again  bool // of a timeout: the same data has timed out before
}

// InitialWindow is the initial window of RFC 6928 section 2.
func InitialWindow(mss int) int { return min(10*mss, max(2*mss, 14600)) }

// Unlimited is a threshold that no window reaches.
const Unlimited = 1 << 30

// ByName returns the built-in controller of that name, one of [Names].
func ByName(name string) (Factory, bool) {
	switch name {
	case "bbr":
		return func(p Params) Controller { return NewBBR(p) }, true
	case "cubic":
		return func(p Params) Controller { return NewCubic(p) }, true
	case "dctcp":
		return func(p Params) Controller { return NewDCTCP(p) }, true
	case "reno":
		return func(p Params) Controller { return NewReno(p) }, true
	}
	return nil, false
}

// Names are the names of the built-in controllers, in order.
func Names() []string { return []string{"bbr", "cubic", "dctcp", "reno"} }
