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
}

func (f *flight) len() int { return f.end.sub(f.start) }

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

	// No flight before hint is lost and not resent.
	hint int
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
func (s *scoreboard) push(start, end seq, at time.Time) {
	s.flights.Push(flight{start: start, end: end, at: at})
	s.total += end.sub(start)
}

// ack removes what lies before una. It returns how many bytes, and of the
// newest flight that was sent only once and was not known to have arrived,
// when it was sent; the zero time when there is none.
func (s *scoreboard) ack(una seq) (n int, sentAt time.Time) {
	for s.flights.Len() > 0 && s.flights.At(0).start.before(una) {
		if s.flights.At(0).end.after(una) {
			s.split(0, una)
		}
		s.account(s.flights.At(0), -1)
		f := s.flights.Pop()
		s.hint = max(0, s.hint-1)
		n += f.len()
		if !f.everResent && !f.sacked {
			sentAt = f.at
		}
	}
	return n, sentAt
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

// sack marks what lies in [left, right) as arrived (RFC 6675 section 4,
// Update). It returns how many bytes that was not known of, and when the
// newest of their flights that were sent only once was sent.
func (s *scoreboard) sack(left, right seq) (n int, sentAt time.Time) {
	for i := s.find(left); i < s.flights.Len(); i++ {
		f := s.flights.At(i)
		if !f.start.before(right) {
			break
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
		s.account(f, -1)
		f.sacked, f.lost, f.resent = true, false, false
		s.account(f, 1)
		n += f.len()
		if !f.everResent {
			sentAt = f.at
		}
	}
	return n, sentAt
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

// markAllLost marks everything lost that the peer is not known to have.
func (s *scoreboard) markAllLost() {
	for i := range s.flights.Len() {
		s.markLost(i)
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

// markLostBehind applies IsLost of RFC 6675 section 4: a flight is lost when
// more than (dupThresh-1)*mss bytes, or dupThresh separate runs, beyond it
// have arrived. Only what was never resent counts: of a retransmission these
// signs say nothing.
func (s *scoreboard) markLostBehind(mss int) (found bool) {
	bytes, runs, inRun := 0, 0, false
	for i := s.flights.Len() - 1; i >= 0; i-- {
		f := s.flights.At(i)
		if f.sacked {
			if !inRun {
				runs++
			}
			inRun = true
			bytes += f.len()
			continue
		}
		inRun = false
		if !f.lost && (bytes > (dupThresh-1)*mss || runs >= dupThresh) {
			s.markLost(i)
			found = true
		}
	}
	return found
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

// resend notes that [start, end), a lost flight or its beginning, was sent
// again.
func (s *scoreboard) resend(start, end seq, at time.Time) {
	i := s.find(start)
	if i >= s.flights.Len() || s.flights.At(i).start != start {
		return
	}
	if s.flights.At(i).end.after(end) {
		s.split(i, end)
	}
	f := s.flights.At(i)
	s.account(f, -1)
	f.resent = f.lost
	f.everResent = true
	f.at = at
	s.account(f, 1)
}
