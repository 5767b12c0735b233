package machine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestSendQueueRandom writes, sends and acknowledges at random beside a slice
// that does the same, across the wrap.
func TestSendQueueRandom(t *testing.T) {
	tcptest.LeakCheck(t)
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		q := sendQueue{first: 0xffff0000, limit: 300000, unit: 60000}
		var all []byte // what was written; q.first is at acked
		acked := 0
		for range 120 {
			p := make([]byte, rnd.IntN(1<<rnd.IntN(18)))
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			room := q.room()
			n := q.append(p)
			if n != min(len(p), room) {
				t.Fatalf("%d of %d bytes taken with room for %d", n, len(p), room)
			}
			all = append(all, p[:n]...)
			checkSendQueue(t, &q, all[acked:], rnd)
			ack := min(len(all), acked+rnd.IntN(1<<rnd.IntN(18)))
			q.discard(segment.Seq(0xffff0000).Add(ack))
			acked = ack
			checkSendQueue(t, &q, all[acked:], rnd)
			q.discard(q.first - 5) // old: nothing
		}
		q.clear()
		if q.len != 0 || q.parts.Len() != 0 {
			t.Fatalf("%d bytes in %d chunks after clear", q.len, q.parts.Len())
		}
	}
}

// checkSendQueue compares q with want, and a random part of both.
func checkSendQueue(t *testing.T, q *sendQueue, want []byte, rnd *rand.Rand) {
	t.Helper()
	if q.len != len(want) || q.end() != q.first.Add(len(want)) || q.room() != q.limit-len(want) {
		t.Fatalf("%d bytes, room for %d; want %d", q.len, q.room(), len(want))
	}
	if len(want) == 0 {
		return
	}
	from := rnd.IntN(len(want))
	got := make([]byte, rnd.IntN(len(want)-from)+1)
	q.copy(got, q.first.Add(from))
	if !bytes.Equal(got, want[from:from+len(got)]) {
		t.Fatalf("%d bytes from %d on differ", len(got), from)
	}
}

// TestSendQueueMemory: many tiny writes do not pin a buffer each.
func TestSendQueueMemory(t *testing.T) {
	tcptest.LeakCheck(t)
	q := sendQueue{limit: 1 << 20, unit: 60000}
	defer q.clear()
	for range 100000 {
		q.append([]byte{1})
	}
	size := 0
	for i := range q.parts.Len() {
		size += q.parts.At(i).b.Size()
	}
	if size > 2*q.len {
		t.Errorf("%d bytes pin %d", q.len, size)
	}
}

// TestSendQueueLends: what goes out whole is the memory of the queue itself, and
// is a copy while somebody holds that, or where it would waste memory.
func TestSendQueueLends(t *testing.T) {
	tcptest.LeakCheck(t)
	const unit = 60000
	q := sendQueue{limit: 1 << 20, unit: unit}
	text := make([]byte, 3*unit)
	for i := range text {
		text[i] = byte(i >> 8)
	}
	q.append(text)
	packets := map[string]*packet.Buffer{}
	for _, c := range []struct {
		name    string
		from, n int
		lent    bool
	}{
		{"the first part", 0, unit, true},
		{"which is away", 0, unit, false},
		{"most of the second", unit, unit - 1000, true},
		{"what is left of it", 2*unit - 1000, 1000, false},
		{"a little of the third", 2 * unit, 1000, false},
		{"all of it", 2 * unit, unit, true},
	} {
		b := q.packet(segment.Seq(c.from), c.n)
		if b.Lent() != c.lent || !bytes.Equal(b.Bytes(), text[c.from:c.from+c.n]) {
			t.Errorf("%s: lent %v, want %v; %d bytes", c.name, b.Lent(), c.lent, b.Len())
		}
		packets[c.name] = b
	}
	for _, b := range packets {
		b.Release()
	}
	again := q.packet(0, unit)
	if !again.Lent() {
		t.Error("the first part is back, and is not lent again")
	}
	if n := q.together(unit/2, unit); n != unit/2 {
		t.Errorf("%d bytes go together", n)
	}
	q.append([]byte("more")) // not behind what has been lent
	if last := q.parts.At(q.parts.Len() - 1); string(last.text) != "more" {
		t.Errorf("%d bytes in the last part", len(last.text))
	}
	q.discard(segment.Seq(unit / 2))
	b := q.packet(unit/2, unit/2)
	if b.Lent() {
		t.Error("a part is lent of which the beginning is gone")
	}
	b.Release()
	q.clear() // while one packet is on its way
	if !bytes.Equal(again.Bytes(), text[:unit]) {
		t.Error("the packet on its way has changed")
	}
	again.Release()
}
