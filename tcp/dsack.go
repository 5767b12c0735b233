package tcp

// dsack is what the last acknowledgement has told of text that the peer has
// received twice (RFC 2883).
type dsack struct {
	seen  bool
	block block
}

// takeDSACK says whether the first of the SACK blocks reports a duplicate:
// when it lies before the cumulative acknowledgement, or within the block
// that follows it (RFC 2883 section 4).
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
	t.stats.DSACKs.Add(1)
	t.undo.dsack(b)
	return true
}
