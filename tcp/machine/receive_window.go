package machine

// maxReceiveWindow is the largest window of all (RFC 7323 section 2.3).
const maxReceiveWindow = 1 << 30

// windowField is the window to be sent, as it stands in the header.
//
// The right edge follows what the reader leaves free. It moves in steps of a
// segment or half of the buffer at least (MUST-39, RFC 9293 section
// 3.8.6.2.2), and it never moves back (SHLD-14), not even by the bits that the
// scale cuts off: there the window is rounded up instead. Tiny segments, each
// of which rounds up once more, would so keep the window open for ever; when
// an eighth of the buffer has been promised twice, rounding is down after all
// (RFC 7323 section 2.4 warns of that).
func (t *TCB) windowField() uint16 {
	wnd := t.rcv.edge.Sub(t.rcv.nxt)
	if gain := t.windowGain(); gain >= t.leastGain() {
		wnd += gain
	}
	wnd = max(wnd, 0)
	field := wnd >> t.rcv.scale
	if t.rcv.nxt.Add(field<<t.rcv.scale).Before(t.rcv.edge) && (field+1)<<t.rcv.scale <= t.free()+t.recvq.limit/8 {
		field++
	}
	return uint16(min(field, 0xffff))
}

// free is how much the buffer has room for.
func (t *TCB) free() int {
	if t.noReader {
		return t.recvq.limit
	}
	return t.recvq.limit - t.recvq.readyLen
}

// windowGain is how far the right edge could move: the free room of the
// buffer, less the window that the peer has been given.
func (t *TCB) windowGain() int {
	if t.finTaken {
		return 0
	}
	most := min(t.free(), 0xffff<<t.rcv.scale) // more does not fit the header
	return most - t.rcv.edge.Sub(t.rcv.nxt)
}

// leastGain is the least step by which the right edge moves: min(Fr*RCV.BUFF,
// Eff.snd.MSS) of RFC 9293 section 3.8.6.2.2.
func (t *TCB) leastGain() int { return min(t.recvq.limit/2, t.rcv.mss) }

// updateDue says whether the reader has freed so much that the peer should
// know without delay: when the window that it sees would double, or the whole
// buffer half.
func (t *TCB) updateDue() bool {
	gain := t.windowGain()
	return gain >= t.leastGain() && (gain >= t.rcv.edge.Sub(t.rcv.nxt) || gain >= t.recvq.limit/2)
}
