package congestion

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

const testMSS = 1460

// A bottleneck is one queue that flows share, in virtual time. Data waits in
// the queue; what is left of the round trip lies behind it.
type bottleneck struct {
	rate     float64       // bytes a second
	rtt      time.Duration // without a queue
	buffer   int           // bytes
	loss     float64       // probability
	every    int           // every so many segments one is lost; 0: none
	mark     int           // CE when more bytes wait; 0: never
	coalesce int           // segments that one acknowledgement answers; 0 means 1

	now    time.Time
	events eventQueue
	count  int
	random *rand.Rand
	free   time.Time // when all that waits is sent
	passed int       // segments that came
	flows  []*testFlow

	from       time.Time // from when on is measured
	waited     time.Duration
	longest    time.Duration
	waiters    int
	dropped    int
	deliveries int // bytes, measured
}

// bdp is the bandwidth-delay product in bytes.
func (b *bottleneck) bdp() int { return int(b.rate * b.rtt.Seconds()) }

func (b *bottleneck) start() {
	b.now = time.Unix(1_000_000, 0)
	b.random = rand.New(rand.NewPCG(1, 2))
	b.free, b.from = b.now, b.now
}

// add starts a flow after a while.
func (b *bottleneck) add(after time.Duration, factory Factory) *testFlow {
	if b.random == nil {
		b.start()
	}
	f := &testFlow{net: b, unacked: map[int]bool{}}
	f.rand = rand.New(rand.NewPCG(uint64(len(b.flows)), 3))
	b.flows = append(b.flows, f)
	b.at(b.now.Add(after), func() {
		f.cc = factory(Params{Now: b.now, MSS: testMSS, Random: f.rand.Uint64})
		f.firstSent, f.deliveredAt = b.now, b.now
		f.send()
	})
	return f
}

// run goes on for d. measure begins to measure before.
func (b *bottleneck) run(d time.Duration) {
	end := b.now.Add(d)
	for len(b.events) > 0 && !b.events[0].at.After(end) {
		e := heap.Pop(&b.events).(event)
		b.now = e.at
		e.do()
	}
	b.now = end
}

func (b *bottleneck) measure() {
	b.from, b.waited, b.longest, b.waiters, b.dropped, b.deliveries = b.now, 0, 0, 0, 0, 0
	for _, f := range b.flows {
		f.measured = 0
	}
}

// utilisation is the part of the rate that was used since measure.
func (b *bottleneck) utilisation() float64 {
	return float64(b.deliveries) / (b.rate * b.now.Sub(b.from).Seconds())
}

// queueDelay is how long a segment waited on average.
func (b *bottleneck) queueDelay() time.Duration { return b.waited / time.Duration(max(1, b.waiters)) }

// enter takes a segment into the queue.
func (b *bottleneck) enter(f *testFlow, t *transmission) {
	b.passed++
	wait := max(0, b.free.Sub(b.now))
	queued := int(b.rate * wait.Seconds())
	if b.every > 0 && b.passed%b.every == 0 || b.loss > 0 && b.random.Float64() < b.loss || queued+testMSS > b.buffer {
		b.dropped++
		return
	}
	t.ce = b.mark > 0 && queued > b.mark
	b.waited += wait
	b.longest = max(b.longest, wait)
	b.waiters++
	b.free = b.now.Add(wait + time.Duration(float64(testMSS)/b.rate*1e9))
	b.at(b.free, func() { f.arrive(t) })
}

func (b *bottleneck) at(at time.Time, do func()) {
	b.count++
	heap.Push(&b.events, event{at, b.count, do})
}

type event struct {
	at    time.Time
	count int
	do    func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].count < q[j].count
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// A transmission is one segment on its way, for the first time or again.
type transmission struct {
	index, number         int // of the transmissions, of the segments
	again, ce             bool
	sent                  time.Time
	inFlight, lost        int
	delivered             int
	deliveredAt, firstSnt time.Time
	appLimited            bool
	done                  bool // acknowledged, or deemed lost
}

// A testFlow is a sender that always has data, with a simple TCP around its
// controller: a segment is lost when three sent after it have arrived.
type testFlow struct {
	net  *bottleneck
	cc   Controller
	rand *rand.Rand

	sent     []*transmission // not yet done, in the order of sending
	count    int
	next     int          // number of the next segment
	una      int          // all segments before it have arrived
	unacked  map[int]bool // numbers that arrived, from una on
	again    []int        // numbers to be sent again
	inFlight int
	waiting  []*transmission // at the receiver, to be acknowledged together

	delivered, lost        int
	deliveredAt, firstSent time.Time
	nextRound              int
	limited                bool
	pacedTo                time.Time
	waking                 bool
	srtt, minRTT           time.Duration
	heard                  time.Time // from the receiver
	timer                  bool

	bounded    bool   // the application gives budget segments, and no more
	budget     int    //
	appLimited int    // delivered up to which samples are limited by that; 0: none
	watch      func() // is called after each acknowledgement

	recovering, timedOut bool
	recover              int
	markedTo             int
	recoveries, timeouts int
	measured             int
}

// send sends what window and pace allow.
func (f *testFlow) send() {
	now := f.net.now
	for {
		if f.bounded && f.budget == 0 && len(f.again) == 0 {
			f.appLimited = f.delivered + max(f.inFlight, 1)
			return
		}
		if f.inFlight > 0 && f.inFlight+testMSS > f.cc.Window() {
			f.limited = true
			return
		}
		if f.cc.PacingRate() > 0 && f.pacedTo.After(now) {
			if !f.waking {
				f.waking = true
				f.net.at(f.pacedTo, func() { f.waking = false; f.send() })
			}
			return
		}
		f.sendOne(now)
	}
}

func (f *testFlow) sendOne(now time.Time) {
	t := &transmission{index: f.count, number: f.next, sent: now}
	if len(f.again) > 0 {
		t.number, t.again = f.again[0], true
		f.again = f.again[1:]
	} else {
		f.next++
		f.budget--
	}
	f.count++
	f.cc.Sent(Sent{Now: now, Bytes: testMSS, InFlight: f.inFlight, Again: t.again})
	if f.inFlight == 0 {
		f.firstSent, f.deliveredAt = now, now
	}
	f.inFlight += testMSS
	t.inFlight, t.lost, t.delivered = f.inFlight, f.lost, f.delivered
	t.deliveredAt, t.firstSnt, t.appLimited = f.deliveredAt, f.firstSent, f.appLimited > 0
	f.sent = append(f.sent, t)
	if r := f.cc.PacingRate(); r > 0 {
		if f.pacedTo.Before(now) {
			f.pacedTo = now
		}
		f.pacedTo = f.pacedTo.Add(time.Duration(testMSS / r * 1e9))
	}
	f.net.enter(f, t)
	if !f.timer {
		f.heard = now
		f.startTimer(now)
	}
}

// arrive is the receiver: it acknowledges several segments at once.
func (f *testFlow) arrive(t *transmission) {
	f.waiting = append(f.waiting, t)
	if len(f.waiting) >= max(1, f.net.coalesce) {
		f.acknowledge()
	} else if len(f.waiting) == 1 {
		f.net.at(f.net.now.Add(5*time.Millisecond), func() {
			if len(f.waiting) > 0 && f.waiting[0] == t {
				f.acknowledge()
			}
		})
	}
}

func (f *testFlow) acknowledge() {
	acked := f.waiting
	f.waiting = nil
	f.net.at(f.net.now.Add(f.net.rtt), func() { f.acked(acked) })
}

// acked is an acknowledgement at the sender.
func (f *testFlow) acked(list []*transmission) {
	now := f.net.now
	a := Ack{Now: now, Before: f.inFlight, Limited: f.limited}
	f.heard = now
	newest := list[len(list)-1]
	unaBefore := f.una
	for _, t := range list {
		if !t.done {
			t.done = true
			f.inFlight -= testMSS
			a.Delivered += testMSS
			if t.ce {
				a.CE += testMSS
			}
		}
		if t.number >= f.una {
			f.unacked[t.number] = true
		}
	}
	for f.unacked[f.una] {
		delete(f.unacked, f.una)
		f.una++
	}
	f.delivered += a.Delivered
	if !now.Before(f.net.from) {
		f.measured += a.Delivered
		f.net.deliveries += a.Delivered
	}
	f.deliveredAt = now
	a.Acked = (f.una - unaBefore) * testMSS
	f.measureRTT(&a, now.Sub(newest.sent))
	f.sample(&a, newest)
	for _, t := range f.sent {
		if t.index > newest.index-3 {
			break
		}
		if !t.done {
			f.lose(t)
			a.Lost += testMSS
		}
	}
	for len(f.sent) > 0 && f.sent[0].done {
		f.sent = f.sent[1:]
	}
	a.InFlight = f.inFlight
	f.tell(&a)
	f.limited = false
	if f.watch != nil {
		f.watch()
	}
	f.send()
}

// give lets the application send n segments more, after it was idle for d.
func (f *testFlow) give(n int, d time.Duration) {
	if d > 0 && f.inFlight == 0 {
		f.cc.Idled(f.net.now, d)
	}
	f.bounded, f.budget = true, n
	f.send()
}

func (f *testFlow) lose(t *transmission) {
	t.done = true
	f.inFlight -= testMSS
	f.lost += testMSS
	f.again = append(f.again, t.number)
}

// tell calls the controller in the order that Controller demands.
func (f *testFlow) tell(a *Ack) {
	flight := (f.next - f.una) * testMSS
	if (f.recovering || f.timedOut) && f.una >= f.recover {
		f.recovering, f.timedOut = false, false
		f.cc.Recovered(a.Now)
	}
	if a.Lost > 0 && !f.recovering && !f.timedOut {
		f.recovering, f.recover = true, f.next
		f.recoveries++
		f.cc.Lost(Loss{Now: a.Now, Flight: flight, Lost: a.Lost})
	}
	a.Recovering = f.recovering
	if a.CE > 0 && !f.recovering && !f.timedOut && f.una >= f.markedTo {
		f.markedTo = f.next
		f.cc.Marked(Loss{Now: a.Now, Flight: flight})
	}
	f.cc.Acked(*a)
}

func (f *testFlow) measureRTT(a *Ack, rtt time.Duration) {
	if f.srtt == 0 {
		f.srtt, f.minRTT = rtt, rtt
	}
	f.srtt += (rtt - f.srtt) / 8
	f.minRTT = min(f.minRTT, rtt)
	a.RTT, a.SRTT, a.MinRTT = rtt, f.srtt, f.minRTT
}

// sample is draft-ietf-ccwg-bbr section 4.1.2.
func (f *testFlow) sample(a *Ack, t *transmission) {
	if t.delivered >= f.nextRound {
		a.Round = true
		f.nextRound = f.delivered
	}
	interval := max(t.sent.Sub(t.firstSnt), a.Now.Sub(t.deliveredAt))
	f.firstSent = t.sent
	a.Rate = Rate{
		Delivered: f.delivered - t.delivered, Interval: interval,
		TotalDelivered: uint64(f.delivered), PriorDelivered: uint64(t.delivered),
		PriorInFlight: t.inFlight, Lost: f.lost - t.lost, AppLimited: t.appLimited,
	}
	if f.delivered > f.appLimited {
		f.appLimited = 0
	}
	if interval < f.minRTT {
		a.Rate.Interval = 0
	}
}

// startTimer is the retransmission timer: 200 ms beyond the round trip.
func (f *testFlow) startTimer(from time.Time) {
	f.timer = true
	f.net.at(from.Add(2*f.srtt+200*time.Millisecond), func() {
		f.timer = false
		switch now := f.net.now; {
		case f.inFlight == 0:
		case now.Sub(f.heard) >= 2*f.srtt+200*time.Millisecond:
			f.timeout(now)
		default:
			f.startTimer(f.heard)
		}
	})
}

func (f *testFlow) timeout(now time.Time) {
	f.timeouts++
	for _, t := range f.sent {
		if !t.done {
			f.lose(t)
		}
	}
	f.sent = nil
	f.cc.TimedOut(Loss{Now: now, Flight: (f.next - f.una) * testMSS, Lost: f.lost, Again: f.timedOut})
	f.recovering, f.timedOut, f.recover = false, true, f.next
	f.heard = now
	f.send()
}

// jain is Jain's index of fairness: 1 when all have the same.
func jain(flows ...*testFlow) float64 {
	sum, squares := 0.0, 0.0
	for _, f := range flows {
		x := float64(f.measured)
		sum += x
		squares += x * x
	}
	return sum * sum / (float64(len(flows)) * squares)
}
