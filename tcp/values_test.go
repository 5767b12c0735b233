package tcp

import (
	"testing"
)

// TestPeerMSS: whatever MSS a peer gives, with whatever options and SACK blocks
// beside it, segments have text, and not more than 128 go out as one train.
func TestPeerMSS(t *testing.T) {
	for _, mss := range []uint16{0, 1, 7, 8, 47, 48, 100, 536, 1460, 9000, 65535} {
		for sacks := range maxSACK {
			for _, timestamps := range []bool{false, true} {
				for _, route := range []int{0, 4, 9} {
					n := established(t, Config{}, options{mss: mss, sackPermitted: true, hasTimestamps: timestamps}, 65535)
					n.t.route = &sourceRoute{option: make([]byte, 4*route)}
					n.t.updateMSS()
					for i := range sacks {
						n.t.recvq.addBlock(n.t.rcv.nxt.add(10+20*i), n.t.rcv.nxt.add(20+20*i))
					}
					var s segment
					if _, err := n.t.write(n.now, make([]byte, 60000)); err != nil || !n.t.output(n.now, &s) {
						t.Fatalf("MSS %d: nothing is sent: %v", mss, err)
					}
					cut := n.t.cutAt(&s)
					if cut == 0 {
						cut = s.len
					}
					if cut < minText || s.len > maxTrainSegments*n.t.snd.mss {
						t.Errorf("MSS %d, %d SACK blocks, timestamps %v, %d gateways: %d bytes in segments of %d", mss, sacks, timestamps, route, s.len, cut)
					}
					if least := minMSS - 12 - 4*route; mss > 0 && n.t.snd.mss < least {
						t.Errorf("MSS %d: segments of %d", mss, n.t.snd.mss)
					}
				}
			}
		}
	}
}
