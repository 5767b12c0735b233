package congestion

import "time"

// dctcpGain is g, the weight of the newest window in alpha (RFC 8257 section 4.2).
const dctcpGain = 1.0 / 16

// Precise is a [Controller] that has to know how many bytes met congestion.
type Precise interface {
	Controller

	// PreciseECN tells the connection to mark its packets ECT(0), and to echo
	// CE as a receiver by RFC 8257 section 3.2, if ECN was negotiated.
	PreciseECN()
}

// DCTCP is Data Center TCP (RFC 8257): it reduces the window by how many of
// the bytes met congestion. It is for networks whose queues mark early, and
// not for the public Internet.
type DCTCP struct {
	Reno

	// Alpha estimates the fraction of bytes that met congestion, from 0 to 1.
	Alpha float64

	delivered, marked int       // bytes in this observation window
	reduced           bool      // in this observation window
	reducedAt         time.Time // by the last mark
}

// NewDCTCP returns DCTCP in slow start. It begins with Alpha 1, so that the
// first mark halves the window (RFC 8257 section 3.3).
func NewDCTCP(p Params) *DCTCP { return &DCTCP{Reno: *NewReno(p), Alpha: 1} }

// PreciseECN makes DCTCP a [Precise] controller.
func (d *DCTCP) PreciseECN() {}

// Acked counts marks, a window of data at a time (RFC 8257 section 3.3). What
// arrives beyond a hole counts when SACK tells of it; the RFC has it count when
// SND.UNA has come to it.
func (d *DCTCP) Acked(a Ack) {
	if a.Round {
		d.endWindow()
		d.reduced = d.reducedAt.Equal(a.Now) // by this acknowledgement, which begins the next
	}
	d.delivered = min(d.delivered+a.Delivered, Unlimited)
	d.marked = min(d.marked+a.CE, d.delivered)
	if a.CE > 0 && !a.Recovering {
		d.Marked(Loss{Now: a.Now, Flight: a.Before})
	}
	d.Reno.Acked(a)
}

// endWindow is steps 5 to 8 of RFC 8257 section 3.3.
func (d *DCTCP) endWindow() {
	if d.delivered > 0 {
		d.Alpha += dctcpGain * (float64(d.marked)/float64(d.delivered) - d.Alpha)
	}
	d.delivered, d.marked = 0, 0
}

// Marked reduces the window once for each window of data, by half of Alpha
// (RFC 8257 section 3.3, step 9).
func (d *DCTCP) Marked(l Loss) {
	if d.reduced {
		return
	}
	d.reduced, d.reducedAt = true, l.Now
	d.before.cwnd, d.before.ssthresh = 0, 0
	d.setWindow(int(float64(d.Cwnd) * (1 - d.Alpha/2)))
	d.reduce(float64(d.Cwnd))
}

// Lost is as in Reno (RFC 8257 section 3.5). Marks of the same window reduce
// no further.
func (d *DCTCP) Lost(l Loss) {
	d.Reno.Lost(l)
	d.reduced = true
}

// TimedOut is as in Reno.
func (d *DCTCP) TimedOut(l Loss) {
	d.Reno.TimedOut(l)
	d.reduced = true
}
