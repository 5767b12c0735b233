package tcp

import (
	"sort"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
)

// A flight is a run of sequence numbers that went out together and is not yet
// acknowledged: one segment or one train.
type flight struct {
	start, end seq
	at         time.Time // of the last transmission
	sacked     bool      // the peer has it (RFC 2018)
	lost       bool      // deemed lost
	resent     bool      // lost, and sent again since
	everResent bool      // its acknowledgement is no RTT sample (Karn)
	sending    sending   // what the connection was like when it was sent last
}

func (f *flight) len() int { return f.end.sub(f.start) }

// sentAfter says whether f was sent after the flight that went out at the
// instant at and ends at end: RACK_sent_after of RFC 8985 section 6.2.
func (f *flight) sentAfter(at time.Time, end seq) bool {
	return f.at.After(at) || f.at.Equal(at) && f.end.after(end)
}

// A scoreboard knows what of [SND.UNA, SND.NXT) is thought to be where: the
// data structure of RFC 6675 section 3, in runs instead of octets. SYN and FIN
// are in it, with one sequence number each.
type scoreboard struct {
	flights ring.Queue[flight]

	// Sums of the lengths of flights, for pipe.
	total  int
	sacked int
	lost   int
	resent int

	losses uint64 // bytes that were ever deemed lost

	// No flight before hint is lost and not resent.
	hint int

	// The end of the flight with the highest sequence number that has arrived
	// (RACK.fack of RFC 8985 section 5.3).
	fack seq

	news news
}

// news is what one acknowledgement has told of the flights. All of it stands
// for flights of which nobody knew before that they had arrived.
type news struct {
	delivered int // bytes
	sacked    int // of them by SACK

	once   time.Time // when the newest was sent of those that were sent only once
	newest flight    // the one that was sent last, but for the ambiguous; its length is 0 when there is none

	original  bool // a flight was among them that was never sent again, from before the timeout (F-RTO)
	reordered bool // a flight was among them that was sent once, and overtaken (RFC 8985 section 6.2 step 3)
}

// A witness tells what of an acknowledgement is needed to judge whether it
// answers a retransmission, or the transmission before.
type witness struct {
	now    time.Time
	minRTT time.Duration
	echoed bool   // the acknowledgement has a timestamp,
	echo   uint32 // which was ours
	offset uint32 // of our timestamp clock
	behind seq    // flights that end at or before it were sent before the last timeout

	fack seq // before this acknowledgement
}

// ambiguous says whether the arrival of f may be that of an earlier
// transmission (RFC 8985 section 6.2 step 2).
func (w *witness) ambiguous(f *flight) bool {
	if !f.everResent {
		return false
	}
	if w.echoed && int32(w.echo-timestamp(f.at, w.offset)) < 0 {
		return true
	}
	return w.now.Sub(f.at) < w.minRTT
}

// maxFlights bounds the scoreboard; with so many flights out, nothing new is
// sent.
const maxFlights = 8192

// pipe is how many bytes are thought to be in the network (RFC 6675 section
// 4, SetPipe).
func (s *scoreboard) pipe() int { return s.total - s.sacked - s.lost + s.resent }

// full says whether there is no room for another flight.
func (s *scoreboard) full() bool { return s.flights.Len() >= maxFlights }

// push notes that [start, end) was sent for the first time.
func (s *scoreboard) push(start, end seq, at time.Time, how sending) {
	if s.flights.Len() == 0 {
		s.fack = start // all before has arrived
	}
	s.flights.Push(flight{start: start, end: end, at: at, sending: how})
	s.total += end.sub(start)
}

// begin forgets the news of the acknowledgement before.
func (s *scoreboard) begin(w *witness) {
	s.news = news{}
	w.fack = s.fack
}

// ack removes what lies before una, and returns how many bytes.
func (s *scoreboard) ack(una seq, w *witness) (n int) {
	for s.flights.Len() > 0 && s.flights.At(0).start.before(una) {
		if s.flights.At(0).end.after(una) {
			s.split(0, una)
		}
		f := s.flights.At(0)
		if !f.sacked {
			s.arrived(f, w)
		}
		n += f.len()
		s.account(f, -1)
		s.flights.Pop()
		s.hint = max(0, s.hint-1)
	}
	return n
}

// sack marks what lies in [left, right) as arrived (RFC 6675 section 4,
// Update).
func (s *scoreboard) sack(left, right seq, w *witness) {
	for i := s.find(left); i < s.flights.Len(); i++ {
		f := s.flights.At(i)
		if !f.start.before(right) {
			return
		}
		if f.sacked {
			continue
		}
		if f.start.before(left) {
			s.split(i, left)
			continue
		}
		if f.end.after(right) {
			s.split(i, right)
			f = s.flights.At(i)
		}
		s.arrived(f, w)
		s.news.sacked += f.len()
		s.account(f, -1)
		f.sacked, f.lost, f.resent = true, false, false
		s.account(f, 1)
	}
}

// arrived adds f to the news.
func (s *scoreboard) arrived(f *flight, w *witness) {
	n := &s.news
	n.delivered += f.len()
	if !f.everResent {
		n.once = latest(n.once, f.at)
		n.original = n.original || !f.end.after(w.behind)
		n.reordered = n.reordered || f.end.before(w.fack)
	}
	s.fack = later(s.fack, f.end)
	if !w.ambiguous(f) && (n.newest.len() == 0 || f.sentAfter(n.newest.at, n.newest.end)) {
		n.newest = *f
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// split cuts flight i in two at q, which lies inside it.
func (s *scoreboard) split(i int, q seq) {
	second := *s.flights.At(i)
	s.flights.At(i).end = q
	second.start = q
	s.flights.Insert(i+1, second)
	if s.hint > i {
		s.hint++
	}
}

// account adds (sign 1) or removes (sign -1) f in the sums.
func (s *scoreboard) account(f *flight, sign int) {
	n := sign * f.len()
	s.total += n
	if f.sacked {
		s.sacked += n
	}
	if f.lost {
		s.lost += n
	}
	if f.resent {
		s.resent += n
	}
}

// find is the index of the first flight that ends after q.
func (s *scoreboard) find(q seq) int {
	return sort.Search(s.flights.Len(), func(i int) bool { return s.flights.At(i).end.after(q) })
}

// markLost marks flight i as lost: once, and once more when the
// retransmission is lost too.
func (s *scoreboard) markLost(i int) {
	f := s.flights.At(i)
	if f.sacked || f.lost && !f.resent {
		return
	}
	s.account(f, -1)
	f.lost, f.resent = true, false
	s.account(f, 1)
	s.losses += uint64(f.len())
	s.hint = min(s.hint, i)
}

// markFirstLost marks the first n bytes as lost.
func (s *scoreboard) markFirstLost(n int) {
	if s.flights.Len() == 0 {
		return
	}
	if f := s.flights.At(0); f.len() > n {
		s.split(0, f.start.add(n))
	}
	s.markLost(0)
}

// markRangeLost marks the flights that begin in [start, end).
func (s *scoreboard) markRangeLost(start, end seq) {
	for i := s.find(start); i < s.flights.Len() && s.flights.At(i).start.before(end); i++ {
		s.markLost(i)
	}
}

// markAllLost marks everything lost that the peer is not known to have.
func (s *scoreboard) markAllLost() {
	for i := range s.flights.Len() {
		s.markLost(i)
	}
}

// unmarkLost takes back that anything was lost (RFC 4015 section 3.3).
func (s *scoreboard) unmarkLost() {
	for i := range s.flights.Len() {
		f := s.flights.At(i)
		s.account(f, -1)
		f.lost, f.resent = false, false
		s.account(f, 1)
	}
}

// forgetSACKs drops all that the peer has said by SACK, which it may take
// back (RFC 2018 section 8).
func (s *scoreboard) forgetSACKs() {
	for i := range s.flights.Len() {
		f := s.flights.At(i)
		s.account(f, -1)
		f.sacked = false
		s.account(f, 1)
	}
}

// nextLost is the index of the first flight that is to be sent again.
func (s *scoreboard) nextLost() (int, bool) {
	if s.lost == s.resent {
		return 0, false
	}
	for ; s.hint < s.flights.Len(); s.hint++ {
		if f := s.flights.At(s.hint); f.lost && !f.resent {
			return s.hint, true
		}
	}
	return 0, false
}

// resend notes that [start, end), a flight or its beginning, or its end, was
// sent again.
func (s *scoreboard) resend(start, end seq, at time.Time, how sending) {
	i := s.find(start)
	if i >= s.flights.Len() {
		return
	}
	if s.flights.At(i).start.before(start) {
		s.split(i, start)
		i++
	}
	if s.flights.At(i).end.after(end) {
		s.split(i, end)
	}
	f := s.flights.At(i)
	s.account(f, -1)
	f.resent = f.lost
	f.everResent = true
	f.at, f.sending = at, how
	s.account(f, 1)
}
