package machine

import (
	"sort"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A flight is a run of sequence numbers that went out together and is not yet
// acknowledged: one segment or one train.
type flight struct {
	start, end segment.Seq
	grid       segment.Seq // where a segment began of the last transmission; the others are sending.unit apart
	at         time.Time   // of the last transmission
	sacked     bool        // the peer has it (RFC 2018)
	lost       bool        // deemed lost
	resent     bool        // lost, and sent again since
	everResent bool        // its acknowledgement is no RTT sample (Karn)
	sending    sending     // what the connection was like when it was sent last
}

func (f *flight) len() int { return f.end.Sub(f.start) }

// segments is what [left, right) holds of f in whole segments, as they went out.
// A peer keeps a segment or drops it; what it says of less comes of no segment of
// ours, and would cut f in as many pieces as it likes.
func (f *flight) segments(left, right segment.Seq) (from, to segment.Seq) {
	from, to = f.start, f.end
	if left.After(from) {
		from = f.boundary(left, true)
	}
	if right.Before(to) {
		to = f.boundary(right, false)
	}
	return from, to
}

// boundary is where a segment ends at q, which lies inside f, or else the next
// such place up or down. A FIN may be acknowledged without the text before it, as
// it takes no room in a peer's queue.
func (f *flight) boundary(q segment.Seq, up bool) segment.Seq {
	text := f.end
	if f.sending.fin {
		text--
	}
	down, next := f.start, text
	if unit := int(f.sending.unit); unit > 0 {
		down = segment.Later(down, q.Add(-(q.Sub(f.grid) % unit)))
		if n := q.Add(unit - q.Sub(f.grid)%unit); n.Before(next) {
			next = n
		}
	}
	switch {
	case q == down || q == text:
		return q
	case up:
		return next
	}
	return down
}

// sentAfter says whether f was sent after the flight that went out at the
// instant at and ends at end: RACK_sent_after of RFC 8985 section 6.2.
func (f *flight) sentAfter(at time.Time, end segment.Seq) bool {
	return f.at.After(at) || f.at.Equal(at) && f.end.After(end)
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
	fack segment.Seq

	news news
}

// news is what one acknowledgement has told of the flights. All of it stands
// for flights of which nobody knew before that they had arrived.
type news struct {
	delivered int // bytes
	sacked    int // of them by SACK
	ignored   int // SACK blocks of which something could not be noted

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
	echoed bool        // the acknowledgement has a timestamp,
	echo   uint32      // which was ours
	offset uint32      // of our timestamp clock
	behind segment.Seq // flights that end at or before it were sent before the last timeout

	fack segment.Seq // before this acknowledgement
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

// maxFlights bounds the scoreboard on every way into it. With so many flights out
// nothing new is sent, and none is cut in two: of what would need that, a SACK
// block is not noted, and other marks are made on the whole flight.
const maxFlights = 8192

// pipe is how many bytes are thought to be in the network (RFC 6675 section
// 4, SetPipe).
func (s *scoreboard) pipe() int { return s.total - s.sacked - s.lost + s.resent }

// full says whether there is no room for another flight.
func (s *scoreboard) full() bool { return s.flights.Len() >= maxFlights }

// push notes that [start, end) was sent for the first time.
func (s *scoreboard) push(start, end segment.Seq, at time.Time, how sending) {
	if s.flights.Len() == 0 {
		s.fack = start // all before has arrived
	}
	s.flights.Push(flight{start: start, end: end, grid: start, at: at, sending: how})
	s.total += end.Sub(start)
}

// begin forgets the news of the acknowledgement before.
func (s *scoreboard) begin(w *witness) {
	s.news = news{}
	w.fack = s.fack
}

// ack removes what lies before una, and returns how many bytes.
func (s *scoreboard) ack(una segment.Seq, w *witness) (n int) {
	for s.flights.Len() > 0 && s.flights.At(0).start.Before(una) {
		f := s.flights.At(0)
		gone := *f
		whole := !f.end.After(una)
		if !whole {
			gone.end = una
		}
		if !f.sacked {
			s.arrived(&gone, w)
		}
		n += gone.len()
		s.account(&gone, -1)
		if f.start = gone.end; whole {
			s.flights.Pop()
			s.hint = max(0, s.hint-1)
		}
	}
	return n
}

// sack marks the segments in [left, right) as arrived (RFC 6675 section 4,
// Update).
func (s *scoreboard) sack(left, right segment.Seq, w *witness) {
	ignored := false
	for i := s.find(left); i < s.flights.Len(); i++ {
		f := s.flights.At(i)
		if !f.start.Before(right) {
			break
		}
		if f.sacked {
			continue
		}
		from, to := f.segments(left, right)
		ignored = ignored || from != segment.Later(f.start, left) || to.Before(f.end) && to.Before(right)
		if !from.Before(to) {
			continue
		}
		if f.start.Before(from) {
			ignored = !s.split(i, from) || ignored
			continue // with the second part
		}
		if to.Before(f.end) && !s.split(i, to) {
			ignored = true
			continue
		}
		f = s.flights.At(i)
		s.arrived(f, w)
		s.news.sacked += f.len()
		s.account(f, -1)
		f.sacked, f.lost, f.resent = true, false, false
		s.account(f, 1)
		i = s.merge(i)
	}
	if ignored {
		s.news.ignored++
	}
}

// merge joins flight i, which has arrived, with its neighbours that have too, and
// returns where it is then. So runs take one place each, and a block that repeats
// what is known costs no more than one that does not.
func (s *scoreboard) merge(i int) int {
	if i+1 < s.flights.Len() && s.flights.At(i+1).sacked {
		s.join(i)
	}
	if i > 0 && s.flights.At(i-1).sacked {
		i--
		s.join(i)
	}
	return i
}

// join makes one of flights i and i+1, which have both arrived. Should the peer
// take that back, they have gone out when the later one did, and their segments
// are not known any more.
func (s *scoreboard) join(i int) {
	f, g := s.flights.At(i), s.flights.At(i+1)
	f.everResent = f.everResent || g.everResent
	if !g.at.Before(f.at) {
		f.at, f.sending = g.at, g.sending
	}
	f.sending.unit, f.sending.fin = 0, g.sending.fin
	f.end = g.end
	s.flights.Remove(i + 1)
	if s.hint > i+1 {
		s.hint--
	}
}

// arrived adds f to the news.
func (s *scoreboard) arrived(f *flight, w *witness) {
	n := &s.news
	n.delivered += f.len()
	if !f.everResent {
		n.once = latest(n.once, f.at)
		n.original = n.original || !f.end.After(w.behind)
		n.reordered = n.reordered || f.end.Before(w.fack)
	}
	s.fack = segment.Later(s.fack, f.end)
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

// split cuts flight i in two at q, which lies inside it. It returns false, and
// leaves it whole, when there is no room for another flight.
func (s *scoreboard) split(i int, q segment.Seq) bool {
	if s.full() {
		return false
	}
	first := s.flights.At(i)
	second := *first
	first.end, first.sending.fin = q, false
	second.start = q
	s.flights.Insert(i+1, second)
	if s.hint > i {
		s.hint++
	}
	return true
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
func (s *scoreboard) find(q segment.Seq) int {
	return sort.Search(s.flights.Len(), func(i int) bool { return s.flights.At(i).end.After(q) })
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
		s.split(0, f.start.Add(n))
	}
	s.markLost(0)
}

// markRangeLost marks the flights that begin in [start, end).
func (s *scoreboard) markRangeLost(start, end segment.Seq) {
	for i := s.find(start); i < s.flights.Len() && s.flights.At(i).start.Before(end); i++ {
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
func (s *scoreboard) resend(start, end segment.Seq, at time.Time, how sending) {
	i := s.find(start)
	if i >= s.flights.Len() {
		return
	}
	if s.flights.At(i).start.Before(start) && s.split(i, start) {
		i++
	}
	if s.flights.At(i).end.After(end) {
		s.split(i, end)
	}
	f := s.flights.At(i)
	s.account(f, -1)
	f.resent = f.lost
	f.everResent = true
	f.at, f.grid, f.sending = at, f.start, how
	s.account(f, 1)
}
