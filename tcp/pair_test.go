package tcp

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// A pair is two nodes joined by a network that loses, reorders and doubles, in
// fake time.
type pair struct {
	ends    [2]*end
	now     time.Time
	rnd     *rand.Rand
	loss    float64
	marks   float64 // how much of what is ECT is marked on the way (RFC 3168)
	delay   time.Duration
	transit []transit
}

// An end is a node with its user.
type end struct {
	*node
	total   int // to be written
	written int
	read    int
	closed  bool // all is written, and the FIN queued
	eof     bool
	err     error
}

// A transit is a segment on its way.
type transit struct {
	at time.Time
	to int
	segment
	data []byte
}

// An opening is how a pair begins.
type opening int

const (
	usual     opening = iota
	goodFO            // Fast Open with a good cookie
	badFO             // and with one that the server does not know
	synCookie         // the table of half-open connections is full
	openings
)

func newPair(seed uint64, loss float64, cfg [2]Config, total [2]int, how opening) *pair {
	p := &pair{now: start, rnd: rand.New(rand.NewPCG(seed, 6)), loss: loss, delay: 20 * time.Millisecond}
	for i := range p.ends {
		p.ends[i] = &end{node: newNode(cfg[i], [2]seq{testISS, testIRS}[i]), total: total[i]}
	}
	p.ends[1].listening = true
	p.ends[0].open()
	p.begin(how)
	p.ends[0].pump()
	return p
}

// begin prepares the ends.
func (p *pair) begin(how opening) {
	client, server := p.ends[0], p.ends[1]
	switch how {
	case goodFO, badFO:
		server.listener.fastOpenLimit = 1
		c := server.fastOpens.cookies.give(p.now, server.flow)
		if how == badFO {
			c.value[0]++
		}
		client.t.fastOpen = &fastOpen{offer: c, mss: 1000}
		client.written = client.t.sendq.append(text(0, 0, min(client.total, 1+p.rnd.IntN(3000))))
	case synCookie:
		server.halfOpens.limit = 0
	}
}

// collect puts what the nodes have sent into the network, cut into segments.
func (p *pair) collect() {
	for i, e := range p.ends {
		for _, w := range e.sent {
			step := max(1, len(w.data))
			if w.train > 0 {
				step = w.train
			}
			for from := 0; from == 0 || from < len(w.data); from += step {
				s, to := w.segment, min(len(w.data), from+step)
				s.seq, s.len, s.train = s.seq.add(from), to-from, 0
				if to < len(w.data) {
					s.flags &^= FIN | PSH
				}
				if from > 0 {
					s.flags &^= CWR
				}
				if s.ecn != ipv4.NotECT && p.rnd.Float64() < p.marks {
					s.ecn = ipv4.CE
				}
				p.carry(1-i, s, w.data[from:to])
			}
		}
		e.sent = nil
	}
}

// carry brings one segment over, or not, or twice.
func (p *pair) carry(to int, s segment, data []byte) {
	if p.rnd.Float64() < p.loss {
		return
	}
	at := p.now.Add(p.delay)
	if p.rnd.Float64() < p.loss {
		at = at.Add(time.Duration(p.rnd.Int64N(int64(3 * p.delay))))
	}
	p.transit = append(p.transit, transit{at, to, s, data})
	if p.rnd.Float64() < p.loss/2 {
		p.transit = append(p.transit, transit{at.Add(p.delay / 3), to, s, data})
	}
}

// next takes the segment that arrives first off the network.
func (p *pair) next() (first transit, ok bool) {
	k := -1
	for i, x := range p.transit {
		if k < 0 || x.at.Before(p.transit[k].at) {
			k = i
		}
	}
	if k < 0 {
		return first, false
	}
	first = p.transit[k]
	p.transit = append(p.transit[:k], p.transit[k+1:]...)
	return first, true
}

// step lets the next thing happen; the users look up every 100 ms at least.
func (p *pair) step() {
	at := earliest(p.ends[0].deadline(), p.ends[1].deadline())
	at = earliest(at, p.now.Add(100*time.Millisecond))
	for _, x := range p.transit {
		at = earliest(at, x.at)
	}
	if at.After(p.now) {
		p.now = at
	}
	for _, e := range p.ends {
		e.advance(p.now)
	}
	for len(p.transit) > 0 {
		x, _ := p.next()
		if x.at.After(p.now) {
			p.transit = append(p.transit, x)
			break
		}
		x.text = packet.From(x.data)
		p.ends[x.to].arrives(p.ends[x.to].flow, x.segment)
		if p.rnd.IntN(2) == 0 { // or together with what comes next
			p.ends[x.to].pump()
		}
	}
	for i, e := range p.ends {
		p.use(i, e)
		e.pump()
	}
	p.collect()
}

// use lets the user of an end read, write and close at random.
func (p *pair) use(i int, e *end) {
	if e.t == nil {
		return
	}
	if e.t.state.synchronized() {
		e.listening = false // or a SYN that comes twice would open twice, as both cookies allow
	}
	if e.t.readable() && !e.eof && e.err == nil && p.rnd.IntN(3) > 0 {
		e.err = p.read(i, e)
	}
	for e.written < e.total && e.t.canSend() && e.t.writable() && p.rnd.IntN(4) > 0 {
		n, err := e.t.write(p.now, text(i, e.written, min(e.total-e.written, 1+p.rnd.IntN(1<<p.rnd.IntN(16)))))
		if err != nil {
			e.err = err
			return
		}
		e.written += n
	}
	if e.written == e.total && !e.closed && e.t.canSend() {
		e.closed = true
		e.t.closeWrite()
	}
}

// read takes some, and checks that it is what the other end has written.
func (p *pair) read(i int, e *end) error {
	buf := make([]byte, 1+p.rnd.IntN(1<<p.rnd.IntN(17)))
	n, err := e.t.read(buf)
	if string(buf[:n]) != string(text(1-i, e.read, n)) {
		return fmt.Errorf("bytes %d to %d are not what was written", e.read, e.read+n)
	}
	e.read += n
	if errors.Is(err, io.EOF) {
		e.eof = true
		return nil
	}
	return err
}

// text is n bytes of what end i writes, from byte from on.
func text(i, from, n int) []byte {
	p := make([]byte, n)
	for j := range p {
		p[j] = byte((from+j)*(7+6*i) + (from+j)>>8)
	}
	return p
}

// finished says whether both users have got everything.
func (p *pair) finished() bool {
	for i, e := range p.ends {
		if !e.eof || e.read != p.ends[1-i].total || e.state() != Closed && e.state() != TimeWait && e.state() != Listen {
			return false
		}
	}
	return true
}

// run goes on until all is delivered. The network is bad for a minute only.
func (p *pair) run() error {
	p.collect()
	for steps := 0; !p.finished(); steps++ {
		if p.now.Sub(start) > time.Minute {
			p.loss = 0
		}
		p.step()
		for i, e := range p.ends {
			if e.node.err != nil || e.err != nil {
				return fmt.Errorf("end %d: %v %v", i, e.node.err, e.err)
			}
		}
		if steps > 200000 || p.now.Sub(start) > time.Hour {
			return fmt.Errorf("it does not end: %d steps, %v: %v", steps, p.now.Sub(start), p)
		}
	}
	return nil
}

func (p *pair) String() string {
	s := ""
	for _, e := range p.ends {
		s += fmt.Sprintf("[%v written %d of %d, read %d, eof %v]", e.state(), e.written, e.total, e.read, e.eof)
	}
	return s
}

func (p *pair) end() {
	for _, e := range p.ends {
		e.node.end()
	}
}

// testPair makes a pair from a seed and runs it.
func testPair(seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 7))
	var cfg [2]Config
	for i := range cfg {
		cfg[i] = Config{
			SendBuffer: 4000 << rnd.IntN(8), ReceiveBuffer: 500 << rnd.IntN(12),
			NoSACK: rnd.IntN(3) == 0, NoTimestamps: rnd.IntN(3) == 0, NoWindowScale: rnd.IntN(3) == 0,
			ECN: ECNMode((seed + uint64(i)) % 3),
		}
	}
	loss := []float64{0, .02, .2}[rnd.IntN(3)]
	total := [2]int{rnd.IntN(1 << rnd.IntN(18)), rnd.IntN(1 << rnd.IntN(16))}
	how := opening(rand.New(rand.NewPCG(seed, 8)).IntN(int(openings)))
	if how == synCookie {
		loss = min(loss, .02) // what stands for the lost third segment must come within two minutes
	}
	p := newPair(seed, loss, cfg, total, how)
	defer p.end()
	p.marks = .05
	return p.run()
}

// TestPairs: RFC9293-3.8, RFC9293-3.6: whatever the network does, each reader
// gets what the other end has written, and both ends close.
func TestPairs(t *testing.T) {
	leakCheck(t)
	runs := uint64(40)
	if testing.Short() {
		runs = 10
	}
	for seed := range runs {
		if err := testPair(seed); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// FuzzPair is the same with seeds of the fuzzer.
func FuzzPair(f *testing.F) {
	f.Add(uint64(1000))
	f.Fuzz(func(t *testing.T, seed uint64) {
		live := packet.Live()
		if err := testPair(seed); err != nil {
			t.Fatal(err)
		}
		if n := packet.Live() - live; n != 0 {
			t.Fatalf("%d packets leak", n)
		}
	})
}
