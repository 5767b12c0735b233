package machine

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/referee"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A pair is two nodes joined by a network that loses, reorders and doubles, in
// fake time.
type pair struct {
	ends    [2]*end
	now     time.Time
	rnd     *rand.Rand
	loss    float64
	fickle  bool    // the users change congestion control and recovery all the time
	marks   float64 // how much of what is ECT is marked on the way (RFC 3168)
	delay   time.Duration
	transit []transit
	narrow  narrow
	route   *segment.SourceRoute // by which all goes
	foul    error                // the first that a referee has called
}

// An end is a node with its user.
type end struct {
	*node
	referee *referee.Referee
	total   int // to be written
	written int
	read    int
	closed  bool // all is written, and the FIN queued
	eof     bool
	err     error
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

func newPair(seed uint64, loss float64, mtu [2]int, cfg [2]Config, total [2]int) *pair {
	p := &pair{now: tcptest.Start, rnd: rand.New(rand.NewPCG(seed, 6)), loss: loss, delay: 20 * time.Millisecond}
	for i := range p.ends {
		p.ends[i] = &end{node: newNode(cfg[i], [2]segment.Seq{tcptest.ISS, tcptest.IRS}[i]), total: total[i]}
		p.ends[i].mtu = mtu[i]
		p.watch(i)
	}
	return p
}

// open has one end listen, and the other one open.
func (p *pair) open(how opening) {
	client, server := p.ends[0], p.ends[1]
	server.listening = true
	client.open()
	client.t.route = p.route
	client.t.updateMSS()
	switch how {
	case goodFO, badFO:
		server.listener.FastOpenLimit = 1
		c := server.secrets.fastOpenCookie(server.flow, fastOpenPeriod(p.now))
		if how == badFO {
			c.Value[0]++
		}
		client.t.fastOpen = &FastOpen{offer: c, mss: 1000}
		client.written = client.t.sendq.append(text(0, 0, min(client.total, 1+p.rnd.IntN(3000))))
	case synCookie:
		server.halfOpens.limit = 0
	}
	client.pump()
}

// step lets the next thing happen; the users look up every 100 ms at least.
func (p *pair) step() {
	at := Earliest(p.ends[0].deadline(), p.ends[1].deadline())
	at = Earliest(at, p.now.Add(100*time.Millisecond))
	at = Earliest(at, p.narrow.at)
	for _, x := range p.transit {
		at = Earliest(at, x.at)
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
		p.deliver(x)
		if p.rnd.IntN(2) == 0 { // or together with what comes next
			p.ends[x.to].pump()
		}
	}
	p.narrow.step(p.now, p.rnd)
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
	if e.t.Readable() && !e.eof && e.err == nil && p.rnd.IntN(3) > 0 {
		e.err = p.read(i, e)
	}
	for e.written < e.total && e.t.canSend() && e.t.Writable() && p.rnd.IntN(4) > 0 {
		n, err := e.t.Write(p.now, text(i, e.written, min(e.total-e.written, 1+p.rnd.IntN(1<<p.rnd.IntN(16)))))
		if err != nil {
			e.err = err
			return
		}
		e.written += n
	}
	if e.written == e.total && !e.closed && e.t.canSend() {
		e.closed = true
		e.t.CloseWrite(e.now)
	}
	if p.fickle && p.rnd.IntN(20) == 0 {
		e.t.change(p.now, p.rnd.Uint32())
	}
}

// change is what the user may change of recovery and congestion control at any
// time.
func (t *TCB) change(now time.Time, which uint32) {
	names := congestion.Names()
	t.setCongestionControl(now, names[which%uint32(len(names))], t.cc.Window())
	t.SetLossRecovery([]string{"rack", "sack", "newreno"}[which>>8%3])
}

// read takes some, and checks that it is what the other end has written.
func (p *pair) read(i int, e *end) error {
	buf := make([]byte, 1+p.rnd.IntN(1<<p.rnd.IntN(17)))
	n, err := e.t.Read(buf)
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
		if p.now.Sub(tcptest.Start) > time.Minute {
			p.loss = 0
		}
		p.step()
		for i, e := range p.ends {
			if e.node.err != nil || e.err != nil || p.foul != nil {
				return fmt.Errorf("end %d: %v %v %v", i, e.node.err, e.err, p.foul)
			}
		}
		if steps > 200000 || p.now.Sub(tcptest.Start) > time.Hour {
			return fmt.Errorf("it does not end: %d steps, %v: %v", steps, p.now.Sub(tcptest.Start), p)
		}
	}
	for i, e := range p.ends {
		if sent, heard := e.referee.Seen(); sent == 0 || heard == 0 {
			return fmt.Errorf("the referee of end %d has seen %d segments sent, and %d that arrived", i, sent, heard)
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
	var mtu [2]int
	for i := range cfg {
		mtu[i] = [...]int{1500, 9000, 1500, 700, 1500}[(seed+uint64(i))%5]
		cfg[i] = Config{
			SendBuffer: 4000 << rnd.IntN(8), ReceiveBuffer: 500 << rnd.IntN(12),
			NoSACK: rnd.IntN(3) == 0, NoTimestamps: rnd.IntN(3) == 0, NoWindowScale: rnd.IntN(3) == 0,
			ECN: ECNMode((seed + uint64(i)) % 3),
		}
		if (seed+uint64(i))%4 == 0 {
			cfg[i].SendBuffer, cfg[i].ReceiveBuffer = 0, 0 // to be tuned
		}
	}
	loss := []float64{0, .02, .2}[rnd.IntN(3)]
	total := [2]int{rnd.IntN(1 << rnd.IntN(18)), rnd.IntN(1 << rnd.IntN(16))}
	how := opening(rand.New(rand.NewPCG(seed, 8)).IntN(int(openings)))
	if how == synCookie {
		loss = min(loss, .02) // what stands for the lost third segment must come within two minutes
	}
	p := newPair(seed, loss, mtu, cfg, total)
	defer p.end()
	p.marks = .05
	p.roughen(rand.New(rand.NewPCG(seed, 9)))
	if how == synCookie {
		p.narrow = narrow{}
	}
	p.open(how)
	err := p.run()
	if how == synCookie && p.ends[1].t == nil {
		return nil // the cookie was in a segment that was lost, and nobody has it but who sent it
	}
	return err
}

// TestPairs: RFC9293-3.8, RFC9293-3.6, RFC9293-3.3.1, RFC9293-3.7.1, SHLD-14:
// whatever the network does, each reader gets what the other end has written,
// and both ends close; and on the wire no rule is broken.
func TestPairs(t *testing.T) {
	tcptest.LeakCheck(t)
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
