package tcp

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestSendQueueRandom writes, sends and acknowledges at random beside a slice
// that does the same, across the wrap.
func TestSendQueueRandom(t *testing.T) {
	leakCheck(t)
	for seed := range uint64(8) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		q := sendQueue{first: 0xffff0000, limit: 300000}
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
			q.discard(seq(0xffff0000).add(ack))
			acked = ack
			checkSendQueue(t, &q, all[acked:], rnd)
			q.discard(q.first - 5) // old: nothing
		}
		q.clear()
		if q.len != 0 || q.chunks.Len() != 0 {
			t.Fatalf("%d bytes in %d chunks after clear", q.len, q.chunks.Len())
		}
	}
}

// checkSendQueue compares q with want, and a random part of both.
func checkSendQueue(t *testing.T, q *sendQueue, want []byte, rnd *rand.Rand) {
	t.Helper()
	if q.len != len(want) || q.end() != q.first.add(len(want)) || q.room() != q.limit-len(want) {
		t.Fatalf("%d bytes, room for %d; want %d", q.len, q.room(), len(want))
	}
	if len(want) == 0 {
		return
	}
	from := rnd.IntN(len(want))
	got := make([]byte, rnd.IntN(len(want)-from)+1)
	q.copy(got, q.first.add(from))
	if !bytes.Equal(got, want[from:from+len(got)]) {
		t.Fatalf("%d bytes from %d on differ", len(got), from)
	}
}

// TestSendQueueMemory: many tiny writes do not pin a buffer each.
func TestSendQueueMemory(t *testing.T) {
	leakCheck(t)
	q := sendQueue{limit: 1 << 20}
	defer q.clear()
	for range 100000 {
		q.append([]byte{1})
	}
	size := 0
	for i := range q.chunks.Len() {
		size += q.chunks.At(i).b.Size()
	}
	if size > 2*q.len {
		t.Errorf("%d bytes pin %d", q.len, size)
	}
}
