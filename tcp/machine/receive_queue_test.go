package machine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A recvModel is a recvQueue beside what it should hold, byte by byte.
type recvModel struct {
	t     *testing.T
	q     recvQueue
	nxt   segment.Seq
	have  []bool // which bytes of the stream have arrived
	taken int    // bytes read
}

const recvBase segment.Seq = 0xffffff00 // the first byte; the wrap is near

func newRecvModel(t *testing.T, size, limit int) *recvModel {
	return &recvModel{t: t, q: recvQueue{limit: limit}, nxt: recvBase, have: make([]bool, size)}
}

// insert gives the queue [from, to), and checks what it makes of it.
func (m *recvModel) insert(from, to, size int) {
	m.t.Helper()
	m.checkOverlap(from, to)
	arrived := m.nxt.Sub(recvBase)
	nxt, kept := m.q.insert(m.nxt, recvBase.Add(from), tcptest.Piece(from, to, size))
	if kept {
		for i := from; i < to; i++ {
			m.have[i] = true
		}
	}
	for arrived < len(m.have) && m.have[arrived] {
		arrived++
	}
	m.nxt = nxt
	if nxt != recvBase.Add(arrived) {
		m.t.Fatalf("after [%d,%d) RCV.NXT is at %d, want %d", from, to, nxt.Sub(recvBase), arrived)
	}
	if err := checkRecvQueue(&m.q, nxt); err != nil {
		m.t.Fatalf("after [%d,%d): %v", from, to, err)
	}
	m.checkBlocks(from)
}

// checkBlocks: each SACK block is a run that is there as a whole; the first is
// the one that holds what has just come (RFC 2018 section 4).
func (m *recvModel) checkBlocks(from int) {
	m.t.Helper()
	for i, b := range m.q.blocks {
		left, right := b.Left.Sub(recvBase), b.Right.Sub(recvBase)
		for j := left; j < right; j++ {
			if !m.have[j] {
				m.t.Fatalf("block %d is %d:%d, and %d has not arrived", i, left, right, j)
			}
		}
	}
	if start := recvBase.Add(from); start.After(m.nxt) {
		if b := m.q.blocks[0]; start.Before(b.Left) || !start.Before(b.Right) {
			m.t.Fatalf("the first block %d:%d does not hold %d", b.Left.Sub(recvBase), b.Right.Sub(recvBase), from)
		}
	}
}

// checkOverlap: RFC2883-4: the duplicate that is reported of text ahead of a
// hole is the first run of it that is there.
func (m *recvModel) checkOverlap(from, to int) {
	m.t.Helper()
	if !recvBase.Add(from).After(m.nxt) {
		return
	}
	left := from
	for left < to && !m.have[left] {
		left++
	}
	right := left
	for right < to && m.have[right] {
		right++
	}
	b := m.q.overlap(recvBase.Add(from), recvBase.Add(to))
	if b.Right.Sub(b.Left) != right-left || left < right && b.Left != recvBase.Add(left) {
		m.t.Fatalf("of [%d,%d) %d:%d is there already, want %d:%d", from, to,
			b.Left.Sub(recvBase), b.Right.Sub(recvBase), left, right)
	}
}

// read takes up to n bytes, and checks that they are the next of the stream.
func (m *recvModel) read(n int, whole bool) {
	m.t.Helper()
	p := make([]byte, n)
	if whole {
		b := m.q.take()
		if b == nil {
			return
		}
		p = append([]byte(nil), b.Bytes()...)
		b.Release()
	} else {
		p = p[:m.q.read(p)]
	}
	for i, b := range p {
		if b != tcptest.PeerByte(m.taken+i) {
			m.t.Fatalf("byte %d is %d, want %d", m.taken+i, b, tcptest.PeerByte(m.taken+i))
		}
	}
	m.taken += len(p)
	if m.taken+m.q.readyLen != m.nxt.Sub(recvBase) {
		m.t.Fatalf("%d read, %d ready, %d arrived", m.taken, m.q.readyLen, m.nxt.Sub(recvBase))
	}
}

// TestRecvQueueRandom: SHLD-31: pieces in any order with any overlap are read as the
// stream.
func TestRecvQueueRandom(t *testing.T) {
	tcptest.LeakCheck(t)
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := newRecvModel(t, 3000, 4000)
		for m.taken < len(m.have) {
			from := max(0, min(len(m.have)-1, m.nxt.Sub(recvBase)+rnd.IntN(600)-100))
			to := min(len(m.have), from+1+rnd.IntN(300))
			m.insert(from, to, rnd.IntN(2000))
			if rnd.IntN(3) == 0 {
				m.read(rnd.IntN(400), rnd.IntN(4) == 0)
			}
		}
	}
}

// FuzzRecvQueue reads pairs of bytes as pieces.
func FuzzRecvQueue(f *testing.F) {
	f.Add([]byte{10, 5, 0, 10, 3, 20, 200, 30})
	f.Add([]byte{5, 1, 3, 1, 1, 1, 7, 1, 0, 10})
	f.Fuzz(func(t *testing.T, p []byte) {
		m := newRecvModel(t, 600, 1000)
		for ; len(p) >= 2; p = p[2:] {
			from := int(p[0]) * 2
			m.insert(from, from+1+int(p[1])%88, int(p[1]))
			if p[1]%5 == 0 {
				m.read(int(p[0]), p[1]%2 == 0)
			}
		}
		m.q.clear()
		if m.q.readyLen != 0 || m.q.aheadLen != 0 || m.q.aheadSize != 0 || m.q.take() != nil {
			t.Fatalf("not empty after clear: %+v", m.q)
		}
	})
}

// TestRecvQueueMemory: many tiny segments in large buffers do not pin much
// more than they hold, in order or ahead of a hole.
func TestRecvQueueMemory(t *testing.T) {
	tcptest.LeakCheck(t)
	const limit = 1 << 18
	q := recvQueue{limit: limit}
	defer q.clear()
	nxt := recvBase
	for i := range 5000 { // one byte in each 2 KB
		nxt, _ = q.insert(nxt, nxt, tcptest.Piece(i, i+1, 1800))
	}
	size := 0
	for i := range q.ready.Len() {
		size += (*q.ready.At(i)).Size()
	}
	if size > 4*q.readyLen {
		t.Errorf("%d bytes pin %d", q.readyLen, size)
	}
	dropped := 0
	for i := range 600 { // with holes, in 64 KB each
		if _, kept := q.insert(nxt, nxt.Add(2+2*i), tcptest.Piece(0, 1, 64<<10)); !kept {
			dropped++
		}
	}
	if q.aheadSize > 2*limit+2*packet.MaxSize || dropped == 0 {
		t.Errorf("%d bytes ahead pin %d, %d were dropped", q.aheadLen, q.aheadSize, dropped)
	}
}

// TestRecvQueueAheadPieces: the number of pieces ahead of holes is bounded.
func TestRecvQueueAheadPieces(t *testing.T) {
	tcptest.LeakCheck(t)
	q := recvQueue{limit: 5 << 20}
	defer q.clear()
	for i := range 2 * q.mostAhead() {
		q.insert(recvBase, recvBase.Add(2+2*i), tcptest.Piece(0, 1, 1))
	}
	if len(q.ahead) != 5<<10 || len(q.blocks) > 2*segment.MaxSACK {
		t.Errorf("%d pieces, %d blocks", len(q.ahead), len(q.blocks))
	}
}

// TestRecvQueueAheadWindow: behind a hole at its beginning a whole window of
// full segments is kept (SHLD-31), and is there when the hole is filled.
func TestRecvQueueAheadWindow(t *testing.T) {
	tcptest.LeakCheck(t)
	const limit, mss = 8 << 20, 1448
	q := recvQueue{limit: limit}
	defer q.clear()
	nxt := recvBase
	for at := mss; at+mss <= limit; at += mss {
		if _, kept := q.insert(nxt, nxt.Add(at), tcptest.Piece(at, at+mss, 0)); !kept {
			t.Fatalf("what begins at %d was dropped", at)
		}
	}
	if nxt, _ = q.insert(nxt, nxt, tcptest.Piece(0, mss, 0)); nxt.Sub(recvBase) != limit/mss*mss {
		t.Errorf("%d bytes in order", nxt.Sub(recvBase))
	}
}

// TestRecvQueueLeftOver: what a process leaves to be read is all there, and
// nothing else.
func TestRecvQueueLeftOver(t *testing.T) {
	tcptest.LeakCheck(t)
	q := recvQueue{limit: 1000}
	nxt, _ := q.insert(recvBase, recvBase, tcptest.Piece(0, 100, 100))
	q.insert(nxt, nxt.Add(50), tcptest.Piece(150, 160, 10))
	rest := q.leftOver()
	q.clear()
	p := make([]byte, 200)
	want := tcptest.Piece(0, 100, 100)
	defer want.Release()
	if n := rest.read(p); !bytes.Equal(p[:n], want.Bytes()) {
		t.Errorf("%d bytes are left", n)
	}
}
