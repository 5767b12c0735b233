package link

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// overload gives the machine a frame of 1000 bytes each gap, for a line that
// sends one in a millisecond, and returns when frames were dropped or marked,
// and which frames have left.
func overload(t *testing.T, c CoDel, n int, gap time.Duration, frame func(i int) *packet.Buffer) (at []time.Duration, m *impairer, left []departure) {
	t.Helper()
	q := new(Queueing)
	m = newImpairer(Impairment{Rate: 8e6, Queue: 1 << 20, Manager: c, Queueing: q}, 0, ethernetLen, new(Stats))
	now, seen := time.Duration(0), uint64(0)
	look := func() {
		for b := m.due(now); b != nil; b = m.due(now) {
			left = append(left, departure{numberOf(b), now})
			b.Release()
		}
		for ; seen < q.Drops.Load()+q.Marks.Load(); seen++ {
			at = append(at, now)
		}
	}
	for i := 0; i < n || m.line.queue.len() > 0 || m.flight.len() > 0; {
		next := time.Duration(i) * gap
		if d, ok := m.deadline(); ok && (i >= n || d < next) {
			now = d
		} else {
			now = next
			m.add(now, frame(i))
			i++
		}
		look()
	}
	return at, m, left
}

// TestCoDelLaw: RFC8289-5.5, RFC8289-5.6: two frames come for each that leaves, so
// the delay grows for ever: the first drop comes an interval after the delay
// has passed the target, and the n-th follows by interval/sqrt(n).
func TestCoDelLaw(t *testing.T) {
	at, _, left := overload(t, CoDel{}, 4000, ms/2, func(i int) *packet.Buffer { return numbered(i, 1000) })
	if len(at) < 20 {
		t.Fatalf("%d drops", len(at))
	}
	// Frame i comes at i/2 ms and starts at i ms: frame 10 is the first to wait for 5 ms.
	if first := 10*ms + 100*ms; at[0] < first || at[0] > first+ms {
		t.Errorf("the first drop at %v, want %v", at[0], first)
	}
	next := at[0]
	for n := 1; n < 20; n++ {
		next += time.Duration(float64(100*ms) / math.Sqrt(float64(n)))
		if d := at[n] - next; d < 0 || d > ms {
			t.Errorf("drop %d at %v, want %v", n+1, at[n], next)
		}
	}
	for i := range left[1:] {
		if left[i+1].number <= left[i].number {
			t.Fatal("frames were reordered")
		}
	}
	if 4000-len(left) != len(at) {
		t.Errorf("%d of 4000 left with %d drops", len(left), len(at))
	}
}

// TestCoDelSpares lets a burst pass whose delay is gone within an interval, and
// a queue that stands at no more than one frame.
func TestCoDelSpares(t *testing.T) {
	burst := func(i int) *packet.Buffer { return numbered(i, 1000) }
	if at, _, _ := overload(t, CoDel{}, 90, 0, burst); len(at) != 0 {
		t.Errorf("dropped at %v", at)
	}
	if at, _, _ := overload(t, CoDel{}, 110, 0, burst); len(at) == 0 {
		t.Error("a burst of 110 ms lost nothing")
	}
	if at, _, _ := overload(t, CoDel{Target: 1}, 1000, ms, burst); len(at) != 0 {
		t.Errorf("a standing queue of one frame: dropped at %v", at)
	}
}

// TestCoDelMarks marks where it would drop (RFC3168-5): nothing is lost, and
// the law is the same.
func TestCoDelMarks(t *testing.T) {
	frame := func(i int) *packet.Buffer {
		b := packet.Get(1000)
		b.Append(capable(t, 2))
		clear(b.Extend(1000 - b.Len()))
		return b
	}
	at, m, left := overload(t, CoDel{ECN: true}, 4000, ms/2, frame)
	plain, _, _ := overload(t, CoDel{}, 4000, ms/2, frame)
	if len(left) != 4000 || m.stats.DropManaged.Load() != 0 || m.stats.Marked.Load() != uint64(len(at)) {
		t.Errorf("%d left, %d dropped, %d marked", len(left), m.stats.DropManaged.Load(), m.stats.Marked.Load())
	}
	for i, d := range at[:10] {
		if off := d - plain[i]; off < -ms || off > ms {
			t.Errorf("mark %d at %v, the drop at %v", i, d, plain[i])
		}
	}
	incapable := func(i int) *packet.Buffer { return numbered(i, 1000) }
	if again, _, _ := overload(t, CoDel{ECN: true}, 400, ms/2, incapable); !slices.Equal(again, plain[:len(again)]) {
		t.Errorf("incapable frames were dropped at %v, want %v", again, plain)
	}
}

// TestCoDelMemory: RFC8289-5.5: dropping that begins again soon goes on at the
// rate that it had, and after 16 intervals it begins anew.
func TestCoDelMemory(t *testing.T) {
	q := new(backlog)
	q.push(0, numbered(0, oneFrame+1))
	defer func() { q.pop().b.Release() }()
	for _, c := range []struct {
		pause time.Duration
		count int
	}{{100 * ms, 6}, {1700 * ms, 1}} {
		m := CoDel{}.manage(8e6, nil).(*codel)
		now := time.Second
		for drops := 0; drops < 7; now += ms {
			if m.leaves(now, q, now-6*ms) == drop {
				drops++
			}
		}
		m.leaves(now, q, now) // a frame that has not waited
		if m.dropping {
			t.Error("it drops on")
		}
		now += c.pause
		for m.leaves(now, q, now-6*ms) != drop {
			now += ms
		}
		if m.count != c.count {
			t.Errorf("after %v the count is %d, want %d", c.pause, m.count, c.count)
		}
	}
}
