package virtqueue

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// An offer is a chain that the model's driver has added.
type offer struct {
	id       uint16
	spans    []Span
	readable int
	text     []byte // that the device is to read
	answer   []byte // that the device has written
	order    int
	put      bool // back
	flushed  bool // so that the driver sees it
}

// A model is a driver and a device at one queue, and what each must see of the
// other.
type model struct {
	*guest
	r       *rand.Rand
	c       Config
	driver  *Driver
	device  *Device
	offers  map[uint16]*offer // that are under way
	orders  int
	data    int // where the next span begins
	taken   []*taken
	sleeps  struct{ driver, device bool }
	shown   int // offers that are published and that the device has not taken
	unshown int // offers that are not published
	kicks   int // notifications, of both sides
	moves   int // publications and flushes
}

// A taken is a chain that the device has, and its offer.
type taken struct {
	*Chain
	*offer
}

func (m *model) bytes(addr uint64, n int) []byte {
	return m.mem[addr-guestBase:][:n]
}

// add offers a chain of some spans, which differ from all others under way.
func (m *model) add() {
	n := 1 + m.r.IntN(5)
	o := &offer{readable: m.r.IntN(n + 1), order: m.orders}
	for i := range n {
		s := Span{guestBase + atData + uint64(m.data), uint32(1 + m.r.IntN(40))}
		m.data = (m.data + int(s.Len)) % (guestLen - atData - 100)
		if i < o.readable {
			b := m.bytes(s.Addr, int(s.Len))
			for j := range b {
				b[j] = byte(m.r.Uint32())
			}
			o.text = append(o.text, b...)
		}
		o.spans = append(o.spans, s)
	}
	free := m.driver.Free()
	id, err := m.driver.Add(o.spans, o.readable)
	if err == ErrFull {
		if free == m.c.Size && n <= free {
			m.t.Fatalf("full with %d free", free)
		}
		return
	}
	if err != nil {
		m.t.Fatal(err)
	}
	o.id = id
	if m.offers[id] != nil {
		m.t.Fatalf("the name %d is given twice", id)
	}
	m.offers[id] = o
	m.orders++
	m.unshown++
}

func (m *model) publish() {
	if m.unshown == 0 {
		if m.driver.Publish() {
			m.t.Fatal("a notification for nothing")
		}
		return
	}
	m.shown += m.unshown
	m.unshown = 0
	m.moves++
	if m.driver.Publish() {
		m.kicks++
		m.sleeps.device = false
	} else if m.sleeps.device {
		m.t.Fatal("the device sleeps, and is not notified")
	}
}

// next has the device take a chain.
func (m *model) next() {
	if m.sleeps.device {
		return
	}
	c := new(Chain)
	ok, err := m.device.Next(c)
	if err != nil {
		m.t.Fatal(err)
	}
	if ok != (m.shown > 0) {
		m.t.Fatalf("a chain: %v, and %d are there", ok, m.shown)
	}
	if !ok {
		m.sleeps.device = !m.device.Arm()
		if !m.sleeps.device {
			m.t.Fatal("something is available, and nothing is")
		}
		return
	}
	if m.r.IntN(4) == 0 {
		m.device.Disarm()
	}
	m.shown--
	m.take(c)
}

// take finds the offer of a chain, which is the one that was added first of those
// that the device has not taken.
func (m *model) take(c *Chain) {
	var o *offer
	for _, p := range m.offers {
		if !p.put && (o == nil || p.order < o.order) && !slices.ContainsFunc(m.taken, func(t *taken) bool { return t.offer == p }) {
			o = p
		}
	}
	m.check(c, o)
	m.taken = append(m.taken, &taken{c, o})
}

func (m *model) check(c *Chain, o *offer) {
	if got := bytes.Join(c.Readable, nil); !bytes.Equal(got, o.text) || c.ReadLen != len(got) {
		m.t.Fatalf("read %x, want %x", got, o.text)
	}
	n := 0
	for _, s := range o.spans[o.readable:] {
		n += int(s.Len)
	}
	if got := len(bytes.Join(c.Writable, nil)); got != n || c.WriteLen != n {
		m.t.Fatalf("%d bytes to write, want %d", got, n)
	}
}

// put has the device return any of its chains.
func (m *model) put() {
	if len(m.taken) == 0 {
		return
	}
	i := m.r.IntN(len(m.taken))
	c := m.taken[i]
	m.taken = slices.Delete(m.taken, i, i+1)
	written := m.r.IntN(c.WriteLen + 1)
	left := written
	for _, b := range c.Writable {
		for j := range b[:min(len(b), left)] {
			b[j] = byte(m.r.Uint32())
		}
		c.answer = append(c.answer, b[:min(len(b), left)]...)
		left -= min(len(b), left)
	}
	m.device.Put(c.Chain, written)
	c.put = true
}

func (m *model) flush() {
	m.moves++
	some := m.device.usedPending() > 0
	for _, o := range m.offers {
		o.flushed = o.put
	}
	if m.device.Flush() {
		if !some {
			m.t.Fatal("a notification for nothing")
		}
		m.kicks++
		m.sleeps.driver = false
	} else if some && m.sleeps.driver {
		m.t.Fatal("the driver sleeps, and is not notified")
	}
}

// reap has the driver take what the device has returned.
func (m *model) reap() {
	if m.sleeps.driver {
		return
	}
	id, n, ok, err := m.driver.Take()
	if err != nil {
		m.t.Fatal(err)
	}
	if !ok {
		m.sleeps.driver = !m.driver.Arm()
		return
	}
	if m.r.IntN(4) == 0 {
		m.driver.Disarm()
	}
	o := m.offers[id]
	if o == nil || n != len(o.answer) {
		m.t.Fatalf("the chain %d with %d bytes: %+v", id, n, o)
	}
	var got []byte
	for _, s := range o.spans[o.readable:] {
		got = append(got, m.bytes(s.Addr, int(s.Len))...)
	}
	if !bytes.Equal(got[:n], o.answer) {
		m.t.Fatalf("the device wrote %x, the driver reads %x", o.answer, got[:n])
	}
	delete(m.offers, id)
}

func newModel(t *testing.T, size int, features uint64) *model {
	g := newGuest(t)
	c := g.config(size, features)
	m := &model{guest: g, r: rand.New(rand.NewPCG(uint64(size), features)), c: c, offers: map[uint16]*offer{}}
	m.driver = g.driver(c)
	m.device = g.device(c)
	return m
}

// steps has both sides do things in any order.
func (m *model) steps(n int) {
	for range n {
		switch m.r.IntN(12) {
		case 0, 1, 2:
			m.add()
		case 3, 4:
			m.publish()
		case 5, 6:
			m.next()
		case 7, 8:
			m.put()
		case 9:
			m.flush()
		default:
			m.reap()
		}
	}
}

// TestModel: whatever the driver offers, the device sees, in order, and the other
// way round; and who sleeps is woken.
func TestModel(t *testing.T) {
	kinds(t, func(t *testing.T, size int, features uint64) {
		m := newModel(t, size, features)
		m.steps(20000)
		if m.orders < 300 {
			t.Errorf("only %d chains were offered", m.orders)
		}
		if m.kicks == 0 || m.kicks == m.moves {
			t.Errorf("%d notifications of %d", m.kicks, m.moves)
		}
	})
}

// TestBase: a device that stops when nothing is under way is followed by another
// one that goes on.
func TestBase(t *testing.T) {
	kinds(t, func(t *testing.T, size int, features uint64) {
		m := newModel(t, size, features)
		for range 200 {
			m.steps(100)
			for len(m.taken) > 0 {
				m.put()
			}
			m.flush()
			m.c.Base = m.device.Base()
			m.device = m.guest.device(m.c)
			m.sleeps.device = false
		}
	})
}

// TestInflight: a device that ends at any time is followed by another one, which
// takes what was in flight again, once, in order.
func TestInflight(t *testing.T) {
	kinds(t, func(t *testing.T, size int, features uint64) {
		m := newModel(t, size, features)
		m.c.Inflight = make([]byte, InflightLen(size, features&FeaturePacked != 0))
		m.device = m.guest.device(m.c)
		resumed := 0
		for range 300 {
			m.steps(60)
			m.crash(m.r.IntN(6))
			resumed += len(m.taken)
		}
		if resumed < 50 {
			t.Errorf("only %d chains were taken again", resumed)
		}
	})
}

// crash ends the device and starts another one, in a flush that has come as far as
// stage says.
func (m *model) crash(stage int) {
	shown := m.endWithin(stage)
	lost := m.taken
	// Chains that were put back and not shown are in flight as well.
	for _, o := range m.offers {
		if shown[o.id] && o.put {
			o.flushed = true
		}
		if o.put && !o.flushed {
			o.answer, o.put = nil, false
			lost = append(lost, &taken{nil, o})
		}
	}
	slices.SortFunc(lost, func(a, b *taken) int { return a.order - b.order })
	m.taken = nil
	m.device = m.guest.device(m.c)
	for _, l := range lost {
		c := new(Chain)
		ok, err := m.device.Next(c)
		if !ok || err != nil {
			m.t.Fatalf("a chain in flight is not there: %v", err)
		}
		m.check(c, l.offer)
		m.taken = append(m.taken, &taken{c, l.offer})
	}
	m.sleeps.device, m.sleeps.driver = false, false
	for m.shown > 0 { // and then the others, each once
		m.next()
	}
	if ok, err := m.device.Next(new(Chain)); ok || err != nil {
		m.t.Fatalf("one chain too many: %v", err)
	}
}

// endWithin does the first stages of a flush, and returns what it has shown.
func (m *model) endWithin(stage int) map[uint16]bool {
	shown := map[uint16]bool{}
	switch q := m.device.ring.(type) {
	case *splitDevice:
		if stage == 0 || q.usedPending() == 0 {
			return shown
		}
		for _, head := range q.track.batch {
			shown[head] = true
		}
		q.shown = q.used
		q.storeHead()
		if stage > 1 {
			batch := q.track.batch
			for _, head := range batch[:len(batch)/2] {
				memory.Store16(q.track.b, q.track.entry(head), 0)
			}
		}
	case *packedDevice:
		if stage == 0 || q.usedPending() == 0 {
			return shown
		}
		q.track.showing(q.used)
		if stage == 1 {
			return shown
		}
		for _, e := range q.batch[1:] {
			q.show(e)
		}
		if stage == 2 {
			return shown
		}
		q.showAll(q.batch[0])
		for _, e := range q.track.batch {
			d := q.track.load(q.track.get(q.track.entry(e) + atLast))
			shown[d.link] = true
		}
		if stage > 3 {
			for _, e := range q.track.batch[:len(q.track.batch)/2] {
				q.track.set(q.track.entry(e), 0)
			}
		}
		if stage > 4 {
			q.track.shown()
		}
	}
	return shown
}
