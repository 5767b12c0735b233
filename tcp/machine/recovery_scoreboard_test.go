package machine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A boardModel is a scoreboard beside one that knows each octet by itself.
type boardModel struct {
	t        *testing.T
	s        scoreboard
	base     segment.Seq
	una, nxt int
	octets   []octet // from base on
	now      time.Time
}

type octet struct {
	sacked, lost, resent, everResent bool
	at                               time.Time
	from, to                         int // of the segment that it is in
}

func newBoardModel(t *testing.T) *boardModel {
	return &boardModel{t: t, base: 0xffffff80, now: tcptest.Start}
}

func (m *boardModel) seq(i int) segment.Seq { return m.base.Add(i) }

// push sends n octets in segments of unit; 0 is a single one.
func (m *boardModel) push(n, unit int) {
	m.s.push(m.seq(m.nxt), m.seq(m.nxt+n), m.now, sending{unit: int32(unit)})
	for range n {
		m.octets = append(m.octets, octet{at: m.now})
	}
	m.cut(m.nxt, m.nxt+n, unit)
	m.nxt += n
}

// cut notes the segments in which [from, to) goes out.
func (m *boardModel) cut(from, to, unit int) {
	if unit == 0 {
		unit = to - from
	}
	for i := from; i < to; i++ {
		at := from + (i-from)/unit*unit
		m.octets[i].from, m.octets[i].to = at, min(at+unit, to)
	}
	for i := to; i < len(m.octets) && m.octets[i].from < to; i++ {
		m.octets[i].from = to // the rest of a segment that was cut
	}
}

// witness begins an acknowledgement without a timestamp.
func (m *boardModel) witness() *witness {
	w := &witness{now: m.now}
	m.s.begin(w)
	return w
}

func (m *boardModel) ack(una int) {
	var newest time.Time
	for _, o := range m.octets[m.una:una] {
		if !o.everResent && !o.sacked {
			newest = o.at
		}
	}
	w := m.witness()
	n := m.s.ack(m.seq(una), w)
	if at := m.s.news.once; n != una-m.una || !at.Equal(newest) {
		m.t.Fatalf("ack %d: %d bytes, newest sent at %v; want %d, %v", una, n, at, una-m.una, newest)
	}
	m.una = una
	for i := una; i < m.nxt && m.octets[i].from < una; i++ {
		m.octets[i].from = una
	}
}

func (m *boardModel) sack(left, right int) {
	want := 0
	var newest time.Time
	for i := max(left, m.una); i < right; i++ {
		if o := &m.octets[i]; !o.sacked && o.from >= left && o.to <= right {
			want++
			if !o.everResent {
				newest = o.at
			}
			o.sacked, o.lost, o.resent = true, false, false
		}
	}
	w := m.witness()
	m.s.sack(m.seq(left), m.seq(right), w)
	if n, at := m.s.news.sacked, m.s.news.once; n != want || !at.Equal(newest) {
		m.t.Fatalf("sack %d:%d: %d bytes, newest sent at %v; want %d, %v", left, right, n, at, want, newest)
	}
}

// lose marks all that is not there as lost.
func (m *boardModel) lose() {
	m.s.markAllLost()
	for i := m.una; i < m.nxt; i++ {
		if o := &m.octets[i]; !o.sacked {
			o.lost, o.resent = true, false
		}
	}
}

// loseBehind is IsLost of RFC 6675, octet by octet.
func (m *boardModel) loseBehind(mss int) {
	before := m.s.losses
	m.s.markLostBehind(mss)
	found := m.s.losses != before
	bytes, runs, want := 0, 0, false
	for i := m.nxt - 1; i >= m.una; i-- {
		o := &m.octets[i]
		if o.sacked {
			bytes++
			if i+1 == m.nxt || !m.octets[i+1].sacked {
				runs++
			}
			continue
		}
		if !o.lost && (bytes > (dupThresh-1)*mss || runs >= dupThresh) {
			o.lost, o.resent, want = true, false, true
		}
	}
	if found != want {
		m.t.Fatalf("losses found %v, want %v", found, want)
	}
}

// resend sends up to n octets of the first that is lost and not sent again, in
// segments of unit.
func (m *boardModel) resend(n, unit int) {
	want := -1
	for i := m.una; i < m.nxt && want < 0; i++ {
		if m.octets[i].lost && !m.octets[i].resent {
			want = i
		}
	}
	i, ok := m.s.nextLost()
	if ok != (want >= 0) {
		m.t.Fatalf("next lost %v, want octet %d", ok, want)
	}
	if !ok {
		return
	}
	f := *m.s.flights.At(i)
	if f.start != m.seq(want) {
		m.t.Fatalf("next lost is %d, want %d", f.start.Sub(m.base), want)
	}
	n = min(n, f.len())
	m.s.resend(f.start, f.start.Add(n), m.now, sending{unit: int32(unit)})
	m.cut(want, want+n, unit)
	for j := want; j < want+n; j++ {
		m.octets[j].resent, m.octets[j].everResent, m.octets[j].at = true, true, m.now
	}
}

func (m *boardModel) check() {
	m.t.Helper()
	if err := checkBoard(&m.s, m.seq(m.una), m.seq(m.nxt)); err != nil {
		m.t.Fatal(err)
	}
	pipe := 0
	for i := range m.s.flights.Len() {
		f := m.s.flights.At(i)
		for j := f.start.Sub(m.base); j < f.end.Sub(m.base); j++ {
			o := m.octets[j]
			if o.sacked != f.sacked || o.lost != f.lost || o.resent != f.resent || !o.sacked && o.everResent != f.everResent {
				m.t.Fatalf("octet %d is %+v, its flight %+v", j, o, *f)
			}
			// RFC 6675 section 4, SetPipe.
			if !o.sacked && !o.lost {
				pipe++
			}
			if o.resent {
				pipe++
			}
		}
	}
	if m.s.pipe() != pipe {
		m.t.Fatalf("pipe %d, want %d", m.s.pipe(), pipe)
	}
}

// step does one thing out of what can happen.
func (m *boardModel) step(kind, a, b int) {
	m.now = m.now.Add(time.Millisecond)
	flight := m.nxt - m.una
	switch kind % 8 {
	case 0, 1:
		m.push(1+a%40, b%7)
	case 2:
		m.ack(m.una + a%(flight+1))
	case 3, 4:
		if flight > 0 {
			left := m.una + a%flight
			m.sack(left, left+1+b%(m.nxt-left))
		}
	case 5:
		if flight > 0 && a%8 == 0 {
			m.lose()
		}
		m.loseBehind(1 + b%10)
	default:
		m.resend(1+a%20, b%7)
	}
	m.check()
}

// TestScoreboardRandom: RFC6675-4: the runs of the scoreboard are what the octets are.
func TestScoreboardRandom(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		m := newBoardModel(t)
		for range 300 {
			m.step(rnd.IntN(8), rnd.IntN(1000), rnd.IntN(1000))
		}
	}
}

// FuzzScoreboard reads triples of bytes as steps.
func FuzzScoreboard(f *testing.F) {
	f.Add([]byte{0, 39, 0, 0, 39, 0, 3, 20, 10, 3, 50, 5, 5, 1, 2, 6, 3, 0, 2, 25, 0, 5, 0, 0, 6, 9, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		m := newBoardModel(t)
		for ; len(p) >= 3 && m.nxt < 4000; p = p[3:] {
			m.step(int(p[0]), int(p[1]), int(p[2]))
		}
	})
}

// TestScoreboardReneging: RFC2018-8: what the peer has taken back counts as in
// flight again.
func TestScoreboardReneging(t *testing.T) {
	m := newBoardModel(t)
	m.push(100, 10)
	m.sack(20, 50)
	m.s.forgetSACKs()
	for i := range m.octets {
		m.octets[i].sacked = false
	}
	m.check()
	m.lose()
	m.check()
	m.resend(1000, 0)
	m.check()
}

// TestScoreboardFull: the number of flights is bounded for new text.
func TestScoreboardFull(t *testing.T) {
	m := newBoardModel(t)
	for !m.s.full() {
		m.push(1, 0)
	}
	if n := m.s.flights.Len(); n != maxFlights {
		t.Errorf("%d flights", n)
	}
	m.ack(m.una + 1)
	if m.s.full() {
		t.Error("full with room for one")
	}
}
