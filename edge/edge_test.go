package edge

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// TestCounts: what waits, what has passed, and how often a sender had to wait.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New[int](2, nil)
		want := func(waiting int, passed, stalls uint64) {
			t.Helper()
			synctest.Wait()
			if got, want := e.State(), (State{Waiting: waiting, Capacity: 2, Passed: passed, Stalls: stalls}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		e.Out().Send(1)
		e.Out().Send(2)
		want(2, 0, 0)
		if e.Out().Try(3) {
			t.Error("there is room for a third")
		}
		want(2, 0, 0) // who does not wait has not stalled
		go e.Out().Send(3)
		want(2, 0, 1)
		ended := make(chan struct{})
		gaveUp := make(chan bool)
		go func() { gaveUp <- !e.Out().SendUnless(4, ended) }()
		want(2, 0, 2)
		close(ended)
		if !<-gaveUp {
			t.Error("a sender has not given up")
		}
		for i := range 3 {
			if got, ok := e.In().Try(); !ok || got != i+1 {
				t.Errorf("%d, %v", got, ok)
			}
			synctest.Wait()
		}
		if _, ok := e.In().Try(); ok {
			t.Error("there is more")
		}
		want(0, 3, 2)
		e.Out().Close()
		if _, ok := e.In().Try(); ok {
			t.Error("a closed edge has something")
		}
		want(0, 3, 2)
	})
}

// TestNoEdge: the zero ends have nothing, and no room.
func TestNoEdge(t *testing.T) {
	var in In[int]
	var out Out[int]
	if _, ok := in.Try(); ok || in.C() != nil || out.Try(1) || out.Exists() || out.Waiting()+out.Capacity() != 0 {
		t.Error("a zero end is one of an edge")
	}
	in.Drain(func(int) { t.Error("something is left") })
}

// take has an inbox's reader run, which counts packets and what it finds in rare.
type reader struct {
	in            *Inbox
	rare          *Edge[int]
	packets, rang int
	turns         int // of the loop
	ended         bool
}

func startReader(in *Inbox) *reader {
	r := &reader{in: in, rare: New[int](4, in)}
	go func() {
		for in.Next(func(*packet.Buffer) { r.packets++ }) {
			r.turns++
			if !in.Rung() {
				continue
			}
			if _, ok := r.rare.In().Try(); ok {
				r.rang++
				in.Again()
			}
		}
		r.ended = true
	}()
	return r
}

// TestBell: what lies in another edge is taken though nothing comes into the inbox,
// any number of it; and what came before the end is taken too.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := startReader(NewInbox(1))
		synctest.Wait()
		for i := range 100 {
			r.rare.Out().Send(i)
			if i%7 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if r.rang != 100 || r.packets != 0 {
			t.Errorf("%d were found, and %d packets", r.rang, r.packets)
		}
		if turns := r.turns; turns > 300 {
			t.Errorf("%d turns for that", turns)
		}
		before := r.turns
		synctest.Wait()
		if r.turns != before {
			t.Error("the reader does not come to rest")
		}
		for i := range 3 {
			r.rare.Out().Send(i)
		}
		b := packet.Get(0)
		r.in.Out().Send(b)
		r.in.Out().Close()
		synctest.Wait()
		if r.rang != 103 || r.packets != 1 || !r.ended {
			t.Errorf("%d were found, %d packets, ended %v", r.rang, r.packets, r.ended)
		}
		b.Release()
		r.in.Ring() // and who comes too late does no harm
		r.rare.Out().Try(1)
		r.in.Close()
	})
}

// TestBellIsNotLost: whoever rings at whatever moment is heard, by a reader that goes
// to sleep as often as it can.
func TestBellIsNotLost(t *testing.T) {
	in := NewInbox(1)
	rare, heard := New[int](1, in), make(chan int, 1)
	var packets atomic.Uint64
	go func() {
		for in.Next(func(*packet.Buffer) { packets.Add(1) }) {
			if in.Rung() {
				if i, ok := rare.In().Try(); ok {
					in.Again()
					heard <- i
				}
			}
		}
		close(heard)
	}()
	b, stop, stopped := packet.Get(0), make(chan struct{}), make(chan struct{})
	go func() { // which keeps the inbox full half of the time
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				in.Out().Try(b)
			}
		}
	}()
	for i := range 20_000 {
		rare.Out().Send(i)
		if got := <-heard; got != i {
			t.Fatalf("heard %d, want %d", got, i)
		}
	}
	close(stop)
	<-stopped
	in.Close()
	for range heard {
		t.Error("heard more")
	}
	if s := in.State(); s.Passed != packets.Load() {
		t.Errorf("%d packets have passed, and %d were taken", s.Passed, packets.Load())
	}
}

// TestRingAt: the bell rings at the earliest instant that was set, and Due says so
// once.
func TestRingAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewInbox(1)
		defer in.Stop()
		nothing := func(*packet.Buffer) {}
		began := time.Now()
		at := func(d time.Duration) time.Time { return began.Add(d) }
		in.RingAt(time.Time{}) // never
		in.RingAt(at(5 * time.Second))
		in.RingAt(at(9 * time.Second)) // later than what is set already
		in.RingAt(at(2 * time.Second))
		in.Next(nothing)
		if d := time.Since(began); !in.Rung() || d != 2*time.Second || !in.Due(time.Now()) || in.Due(time.Now()) {
			t.Errorf("rang after %v", d)
		}
		in.RingAt(at(9 * time.Second))
		in.Next(nothing)
		if d := time.Since(began); !in.Rung() || d != 9*time.Second || in.Due(at(8*time.Second)) || !in.Due(time.Now()) {
			t.Errorf("rang after %v", d)
		}
	})
}

// TestForeign: the channels of another package, which closes what it writes.
func TestForeign(t *testing.T) {
	c := make(chan *packet.Buffer, 100)
	in := InboxFrom(c)
	b := packet.Get(0)
	defer b.Release()
	for range 100 {
		c <- b
	}
	close(c)
	n := 0
	for in.Next(func(*packet.Buffer) { n++ }) {
		if n > 100 || n%Batch != 0 && n != 100 {
			t.Errorf("%d packets in whole batches", n)
		}
	}
	if n != 100 || in.State().Passed != 100 {
		t.Errorf("%d packets, and %d have passed", n, in.State().Passed)
	}
	out := make(chan *packet.Buffer, 1)
	To(out).Out().Close()
	if _, ok := <-out; ok {
		t.Error("not closed")
	}
}

// TestPassesDoNotAllocate: neither a packet nor a bell costs memory.
func TestPassesDoNotAllocate(t *testing.T) {
	in := NewInbox(4)
	rare := New[int](4, in)
	b, n := packet.Get(0), 0
	defer b.Release()
	count := func(*packet.Buffer) { n++ }
	allocs := testing.AllocsPerRun(1000, func() {
		in.Out().Send(b)
		rare.Out().Send(1)
		in.Next(count)
		if in.Rung() {
			rare.In().Try()
		}
	})
	if allocs != 0 || n < 1000 {
		t.Errorf("%v allocations, %d packets", allocs, n)
	}
}

// BenchmarkHop is one packet that is handed on by five processes which wait idle: in
// an inbox, or as alternatives do. Ratios of the same run count.
func BenchmarkHop(b *testing.B) {
	never := make([]chan int, 4)
	for i := range never {
		never[i] = make(chan int)
	}
	timer := func() <-chan time.Time { return time.NewTimer(time.Hour).C }
	handOn := map[string]func(in *Inbox, out Out[*packet.Buffer]){
		"1 plain receive": func(in *Inbox, out Out[*packet.Buffer]) {
			for p := range in.read {
				out.edge.write <- p
			}
		},
		"2 inbox": func(in *Inbox, out Out[*packet.Buffer]) {
			for in.Next(out.Send) {
				if in.Rung() {
					in.Due(time.Now())
				}
			}
		},
		"3 select over 2": func(in *Inbox, out Out[*packet.Buffer]) {
			for {
				select {
				case p := <-in.read:
					out.edge.write <- p
				case <-never[0]:
				}
			}
		},
		"4 select over 3": func(in *Inbox, out Out[*packet.Buffer]) {
			for {
				select {
				case p := <-in.read:
					out.edge.write <- p
				case <-never[0]:
				case <-never[1]:
				}
			}
		},
		"5 select over 2 and a timer": func(in *Inbox, out Out[*packet.Buffer]) {
			for at := timer(); ; {
				select {
				case p := <-in.read:
					out.edge.write <- p
				case <-never[0]:
				case <-at:
				}
			}
		},
		"6 select over 4 and a timer": func(in *Inbox, out Out[*packet.Buffer]) {
			for at := timer(); ; {
				select {
				case p := <-in.read:
					out.edge.write <- p
				case <-never[0]:
				case <-never[1]:
				case <-never[2]:
				case <-at:
				}
			}
		},
	}
	for i := range len(handOn) {
		for name, process := range handOn {
			if name[0] != byte('1'+i) {
				continue
			}
			for _, wait := range []string{"idle", "busy"} {
				b.Run(fmt.Sprintf("%s/%s", name[2:], wait), func(b *testing.B) { pass(b, process, wait == "busy") })
			}
		}
	}
}

// pass has packets pass five processes, one at a time, or as many as wait in an edge.
func pass(b *testing.B, process func(in *Inbox, out Out[*packet.Buffer]), busy bool) {
	const processes, room = 5, 16
	first := NewInbox(room)
	last := first
	for range processes {
		next := NewInbox(room)
		go process(last, next.Out())
		last = next
	}
	p := packet.Get(0)
	underWay := 1
	if busy {
		underWay = room
	}
	for range underWay {
		first.Out().Send(p)
	}
	b.ReportAllocs()
	for b.Loop() {
		<-last.read
		first.Out().Send(p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(processes+1), "ns/hop")
}

// TestFair: with everything full from the start, a batch of packets at most goes
// before what has rung the bell, and one of that before the next packet.
func TestFair(t *testing.T) {
	const packets, events = 10 * Batch, 200
	in := NewInbox(packets)
	rare := New[int](events, in)
	b := packet.Get(0)
	defer b.Release()
	for range packets {
		in.Out().Send(b)
	}
	for i := range events {
		rare.Out().Send(i)
	}
	in.Close()
	var order []byte
	for in.Next(func(*packet.Buffer) { order = append(order, 'p') }) {
		if in.Rung() {
			if _, ok := rare.In().Try(); ok {
				order = append(order, 'e')
				in.Again()
			}
		}
	}
	run, longest := 0, 0
	for i, o := range order {
		if o == 'p' {
			run++
		} else {
			run = 0
		}
		if longest = max(longest, run); o == 'e' && i+1 < len(order) && order[i+1] == 'e' && i < packets {
			t.Fatalf("two events in a row while packets wait, at %d", i)
		}
	}
	if len(order) != packets+events || longest != Batch {
		t.Errorf("%d things were taken, %d packets in a row at most", len(order), longest)
	}
}
