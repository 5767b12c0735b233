package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// A delivery estimates the rate at which the network delivers
// (draft-ietf-ccwg-bbr section 4.1). A train counts as one packet there: it
// goes out and is acknowledged as one.
type delivery struct {
	total     uint64    // C.delivered: bytes that have arrived at the peer
	at        time.Time // C.delivered_time: when total last grew
	firstSent time.Time // C.first_sent_time: where the present interval of sending began
	limited   uint64    // C.app_limited: until total is beyond it, samples are limited by the user; 0 for not
	nextRound uint64    // a flight that was sent when total was so much begins a new round trip
	last      congestion.Rate
}

// sending is what a flight remembers of the instant at which it was sent.
type sending struct {
	delivered uint64        // P.delivered
	interval  time.Duration // since P.first_sent_time
	idle      time.Duration // since P.delivered_time
	losses    uint64        // bytes deemed lost until then
	inFlight  int32         // P.tx_in_flight
	limited   bool          // P.is_app_limited

	unit int32 // text of each of its segments but the last, in bytes; 0 for a single one
	fin  bool  // it ends with our FIN
}

// sent notes that n bytes go out while pipe bytes are in flight. What segments
// they are the caller knows.
func (d *delivery) sent(now time.Time, pipe, n int, losses uint64) sending {
	if pipe == 0 {
		d.firstSent, d.at = now, now
	}
	return sending{
		delivered: d.total, interval: now.Sub(d.firstSent), idle: now.Sub(d.at),
		losses: losses, inFlight: int32(pipe + n), limited: d.limited > 0,
	}
}

// userLimits notes that there was nothing to be sent though pipe bytes were
// less than the window.
func (d *delivery) userLimits(pipe int) { d.limited = max(1, d.total+uint64(pipe)) }

// arrived takes the news of an acknowledgement. It returns the sample, and
// whether a new round trip has begun.
func (d *delivery) arrived(now time.Time, n *news, minRTT time.Duration, losses uint64) (r congestion.Rate, round bool) {
	r.TotalDelivered = d.total
	if n.delivered == 0 {
		return r, false
	}
	d.total += uint64(n.delivered)
	d.at = now
	if d.limited > 0 && d.total > d.limited {
		d.limited = 0
	}
	r.TotalDelivered = d.total
	f := &n.newest
	if f.len() == 0 {
		return r, false
	}
	s := &f.sending
	r.PriorDelivered, r.PriorInFlight = s.delivered, int(s.inFlight)
	r.Delivered = int(d.total - s.delivered)
	r.Lost = int(losses - s.losses)
	r.AppLimited = s.limited
	// The slower of sending and acknowledging: the acknowledgements may come
	// compressed.
	r.Interval = max(s.interval, s.idle+now.Sub(f.at))
	if r.Interval < minRTT {
		r.Interval = 0 // too short to be true
	}
	d.firstSent = f.at
	if round = s.delivered >= d.nextRound; round {
		d.nextRound = d.total
	}
	if r.Interval > 0 {
		d.last = r
	}
	return r, round
}
