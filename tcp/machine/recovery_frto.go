package machine

// frto finds out whether a retransmission timeout was needed (RFC 5682): after
// the first segment has been sent again new text follows, and not old. If what
// was sent before the timeout is then acknowledged, it had not been lost.
type frto struct {
	stage frtoStage
}

type frtoStage uint8

const (
	frtoOff    frtoStage = iota
	frtoResent           // step 1: the first segment has been sent again
	frtoNew              // step 2: it was acknowledged; up to two new segments go out
)

func (f *frto) begin(may bool) {
	f.stage = frtoOff
	if may {
		f.stage = frtoResent
	}
}

// mayFRTO says whether the timeout has not come in the midst of a repair, whose
// acknowledgements would say nothing about it (section 2.1 step 1, section 3.1
// step 1; without SACK fast recovery is none).
func (t *TCB) mayFRTO() bool {
	return t.phase == steady || t.phase == recovering && !t.sackOK
}

// frtoSpurious takes an acknowledgement after a timeout, and says whether it
// shows that the timeout was spurious (section 2.1, and section 3.1 with SACK).
func (t *TCB) frtoSpurious(in *recoverInput) bool {
	switch t.frto.stage {
	case frtoResent:
		switch {
		case in.acked > 0 && t.snd.una.Before(t.recover) && t.canSendNew():
			t.frto.stage = frtoNew // (2b)
		case in.acked > 0 || in.duplicate && !t.sackOK:
			t.frto.stage = frtoOff // (2a): the conventional way
		}
	case frtoNew:
		t.frto.stage = frtoOff // (3)
		return t.board.news.original
	}
	return false
}

// canSendNew says whether there is text that was never sent, and the peer's
// window takes it.
func (t *TCB) canSendNew() bool {
	return t.sendq.end().After(t.snd.nxt) && t.snd.una.Add(t.snd.wnd).After(t.snd.nxt)
}
