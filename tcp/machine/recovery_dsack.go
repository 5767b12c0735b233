package machine

import (
	"sort"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Duplicate SACK (RFC 2883): what has arrived twice is reported, once, by the
// first block of the next SACK option, so that the sender learns that it has
// sent something again in vain.

// A duplicate is what the next SACK option reports; an empty run is nothing.
type duplicate struct{ segment.Block }

func (d *duplicate) any() bool { return d.Left != d.Right }

// note remembers [left, right). Several duplicates may come before an
// acknowledgement goes out (MUST-58): those that touch are reported as one, and
// otherwise the last one counts (RFC 2883 section 4 (1)).
func (d *duplicate) note(left, right segment.Seq) {
	if d.any() && !left.After(d.Right) && !right.Before(d.Left) {
		if d.Left.Before(left) {
			left = d.Left
		}
		right = segment.Later(right, d.Right)
	}
	d.Block = segment.Block{Left: left, Right: right}
}

// noteOld notes that s, which is dropped, repeats what was acknowledged long
// ago.
func (t *TCB) noteOld(s *segment.Segment) {
	right := s.End()
	if right.After(t.rcv.nxt) {
		right = t.rcv.nxt
	}
	if !t.sackOK || s.Has(segment.SYN) || !s.Seq.Before(right) {
		return
	}
	t.duplicate.note(s.Seq, right)
}

// noteDuplicate notes what of the text [left, right) is here already, before
// it is queued: the first such run (RFC 2883 section 4.2).
func (t *TCB) noteDuplicate(left, right segment.Seq) {
	if !t.sackOK {
		return // nothing would report it
	}
	if left.Before(t.rcv.nxt) {
		if t.rcv.nxt.Before(right) {
			right = t.rcv.nxt
		}
		t.duplicate.note(left, right)
		return
	}
	if b := t.recvq.overlap(left, right); b.Left != b.Right {
		t.duplicate.note(b.Left, b.Right)
	}
}

// overlap is the first run of [left, right) that lies ahead of a hole already;
// an empty one when there is none.
func (q *recvQueue) overlap(left, right segment.Seq) (b segment.Block) {
	i := sort.Search(len(q.ahead), func(i int) bool { return q.ahead[i].end().After(left) })
	if i == len(q.ahead) || !q.ahead[i].start.Before(right) {
		return b
	}
	b = segment.Block{Left: segment.Later(left, q.ahead[i].start), Right: q.ahead[i].end()}
	for i++; i < len(q.ahead) && q.ahead[i].start == b.Right; i++ {
		b.Right = q.ahead[i].end()
	}
	if b.Right.After(right) {
		b.Right = right
	}
	return b
}

// putSACKs writes the SACK option of s: a duplicate first, then the runs ahead
// of a hole, the one that changed last in front (RFC 2018 section 4), as many
// as fit.
func (t *TCB) putSACKs(s *segment.Segment) {
	if !t.sackOK {
		return
	}
	room := s.Opts.SACK[:segment.MaxSACK]
	if t.timestamps {
		room = room[:segment.MaxSACK-1]
	}
	if t.duplicate.any() {
		room[0] = t.duplicate.Block
		s.Opts.SACKs = 1
	}
	s.Opts.SACKs += copy(room[s.Opts.SACKs:], t.recvq.blocks)
}

// duplicateReported forgets the duplicate that s has reported.
func (t *TCB) duplicateReported(s *segment.Segment) {
	if t.duplicate.any() && s.Opts.SACKs > 0 && s.Opts.SACK[0] == t.duplicate.Block {
		t.duplicate = duplicate{}
		t.stats.DuplicatesReported.Add(1)
	}
}

// dsack is what the last acknowledgement has told of text that the peer has
// received twice (RFC 2883).
type dsack struct {
	seen  bool
	block segment.Block
}

// takeDSACK says whether the first of the SACK blocks reports a duplicate:
// when it lies before the cumulative acknowledgement, or within the block
// that follows it (RFC 2883 section 5).
func (t *TCB) takeDSACK(ack segment.Seq, blocks []segment.Block) bool {
	if len(blocks) == 0 {
		return false
	}
	b := blocks[0]
	if !b.Left.Before(b.Right) || b.Left.Before(t.snd.una.Add(-t.snd.maxWnd)) {
		return false
	}
	within := len(blocks) > 1 && !b.Left.Before(blocks[1].Left) && !b.Right.After(blocks[1].Right)
	if b.Right.After(ack) && !within {
		return false
	}
	t.dsack = dsack{seen: true, block: b}
	t.tellsDuplicates = true
	t.stats.DSACKs.Add(1)
	t.undo.dsack(b)
	return true

}
