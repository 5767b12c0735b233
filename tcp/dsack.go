package tcp

import "sort"

// Duplicate SACK (RFC 2883): what has arrived twice is reported, once, by the
// first block of the next SACK option, so that the sender learns that it has
// sent something again in vain.

// A duplicate is what the next SACK option reports; an empty run is nothing.
type duplicate struct{ block }

func (d *duplicate) any() bool { return d.left != d.right }

// note remembers [left, right). Several duplicates may come before an
// acknowledgement goes out (MUST-58): those that touch are reported as one, and
// otherwise the last one counts (RFC 2883 section 4 (1)).
func (d *duplicate) note(left, right seq) {
	if d.any() && !left.after(d.right) && !right.before(d.left) {
		if d.left.before(left) {
			left = d.left
		}
		right = later(right, d.right)
	}
	d.block = block{left, right}
}

// noteOld notes that s, which is dropped, repeats what was acknowledged long
// ago.
func (t *tcb) noteOld(s *segment) {
	right := s.end()
	if right.after(t.rcv.nxt) {
		right = t.rcv.nxt
	}
	if !t.sackOK || s.has(SYN) || !s.seq.before(right) {
		return
	}
	t.duplicate.note(s.seq, right)
}

// noteDuplicate notes what of the text [left, right) is here already, before
// it is queued: the first such run (RFC 2883 section 4.2).
func (t *tcb) noteDuplicate(left, right seq) {
	if !t.sackOK {
		return // nothing would report it
	}
	if left.before(t.rcv.nxt) {
		if t.rcv.nxt.before(right) {
			right = t.rcv.nxt
		}
		t.duplicate.note(left, right)
		return
	}
	if b := t.recvq.overlap(left, right); b.left != b.right {
		t.duplicate.note(b.left, b.right)
	}
}

// overlap is the first run of [left, right) that lies ahead of a hole already;
// an empty one when there is none.
func (q *recvQueue) overlap(left, right seq) (b block) {
	i := sort.Search(len(q.ahead), func(i int) bool { return q.ahead[i].end().after(left) })
	if i == len(q.ahead) || !q.ahead[i].start.before(right) {
		return b
	}
	b = block{later(left, q.ahead[i].start), q.ahead[i].end()}
	for i++; i < len(q.ahead) && q.ahead[i].start == b.right; i++ {
		b.right = q.ahead[i].end()
	}
	if b.right.after(right) {
		b.right = right
	}
	return b
}

// putSACKs writes the SACK option of s: a duplicate first, then the runs ahead
// of a hole, the one that changed last in front (RFC 2018 section 4), as many
// as fit.
func (t *tcb) putSACKs(s *segment) {
	if !t.sackOK {
		return
	}
	room := s.opts.sack[:maxSACK]
	if t.timestamps {
		room = room[:maxSACK-1]
	}
	if t.duplicate.any() {
		room[0] = t.duplicate.block
		s.opts.sacks = 1
	}
	s.opts.sacks += copy(room[s.opts.sacks:], t.recvq.blocks)
}

// duplicateReported forgets the duplicate that s has reported.
func (t *tcb) duplicateReported(s *segment) {
	if t.duplicate.any() && s.opts.sacks > 0 && s.opts.sack[0] == t.duplicate.block {
		t.duplicate = duplicate{}
		t.stats.DuplicatesReported.Add(1)
	}
}

// dsack is what the last acknowledgement has told of text that the peer has
// received twice (RFC 2883).
type dsack struct {
	seen  bool
	block block
}

// takeDSACK says whether the first of the SACK blocks reports a duplicate:
// when it lies before the cumulative acknowledgement, or within the block
// that follows it (RFC 2883 section 5).
func (t *tcb) takeDSACK(ack seq, blocks []block) bool {
	if len(blocks) == 0 {
		return false
	}
	b := blocks[0]
	if !b.left.before(b.right) || b.left.before(t.snd.una.add(-t.snd.maxWnd)) {
		return false
	}
	within := len(blocks) > 1 && !b.left.before(blocks[1].left) && !b.right.after(blocks[1].right)
	if b.right.after(ack) && !within {
		return false
	}
	t.dsack = dsack{seen: true, block: b}
	t.tellsDuplicates = true
	t.stats.DSACKs.Add(1)
	t.undo.dsack(b)
	return true

}
