package machine

// prr is proportional rate reduction (RFC 9937 section 6, the
// successor of RFC 6937): during fast recovery the window goes down to what congestion
// control has decided as data arrives at the peer, neither at once nor below.
type prr struct {
	cwnd      int // pipe + sndcnt
	target    int // ssthresh in the RFC: the window that congestion control wants
	delivered int // prr_delivered: bytes that have arrived since recovery began
	out       int // prr_out: bytes sent since
	flight    int // RecoverFS: bytes that were in flight
}

func (p *prr) begin(target, flight int) { *p = prr{target: target, flight: max(flight, 1)} }

// acknowledged takes an acknowledgement of so many bytes, after which pipe
// bytes are in flight. It is safe when it has moved SND.UNA and shows no
// further loss.
func (p *prr) acknowledged(delivered, pipe, mss int, safe bool) {
	p.delivered += delivered
	var sndcnt int
	if pipe > p.target { // proportional reduction
		sndcnt = (p.delivered*p.target+p.flight-1)/p.flight - p.out
	} else { // conservation of packets, and slow start where that is safe
		sndcnt = max(p.delivered-p.out, delivered)
		if safe {
			sndcnt += mss
		}
		sndcnt = min(sndcnt, p.target-pipe)
	}
	if p.out == 0 { // the first retransmission goes in any case
		sndcnt = max(sndcnt, mss)
	}
	p.cwnd = pipe + max(sndcnt, 0)
}
