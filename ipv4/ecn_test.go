package ipv4

import (
	"testing"

	"github.com/seed-012105e5/gonet/packet"
)

// RFC3168-5.3: a mark on any fragment is not lost; what was marked, and not to
// be marked, is dropped; what all fragments have stays; so does the Diffserv
// field of the first.
func TestReassemblyECN(t *testing.T) {
	for _, c := range []struct {
		name      string
		fragments []ECN
		want      ECN
		drops     uint64
	}{
		{"none", []ECN{NotECT, NotECT, NotECT}, NotECT, 0},
		{"all ECT(0)", []ECN{ECT0, ECT0, ECT0}, ECT0, 0},
		{"all ECT(1)", []ECN{ECT1, ECT1, ECT1}, ECT1, 0},
		{"all marked", []ECN{CE, CE, CE}, CE, 0},
		{"the first marked", []ECN{CE, ECT0, ECT0}, CE, 0},
		{"one inside marked", []ECN{ECT0, CE, ECT0}, CE, 0},
		{"the last marked", []ECN{ECT1, ECT1, CE}, CE, 0},
		{"both kinds, one marked", []ECN{ECT1, ECT0, CE}, CE, 0},
		{"both kinds", []ECN{ECT1, ECT0, ECT0}, ECT1, 0},
		{"mixed, not marked", []ECN{NotECT, ECT0, ECT0}, NotECT, 0},
		{"marked and none, of the first", []ECN{NotECT, ECT0, CE}, 0, 3},
		{"marked and none, of the last", []ECN{CE, ECT0, NotECT}, 0, 3},
		{"marked and none", []ECN{ECT0, NotECT, CE}, 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
				r := testReassembler()
				var whole *packet.Buffer
				for _, i := range order {
					b := fragmentOf(1, 80*i, i < 2, pattern(80))
					h := Header(b.Bytes())
					h[1] = 0xb8 | uint8(c.fragments[i])
					h.updateChecksum()
					whole = r.add(epoch, b)
				}
				if n := r.stats.DropFragmentECN.Load(); n != c.drops || (whole == nil) != (c.drops > 0) || r.bytes != 0 {
					t.Fatalf("order %v: whole %v, %d dropped, want %d; %d bytes are held", order, whole, n, c.drops, r.bytes)
				}
				if whole == nil {
					continue
				}
				h, err := Parse(whole.Bytes())
				if err != nil || h.ECN() != c.want || h.TOS() != 0xb8|uint8(c.want) {
					t.Errorf("order %v: %v, TOS %#x; want %v", order, err, h.TOS(), c.want)
				}
				whole.Release()
			}
		})
	}
}

// RFC3168-5.3: fragments have the codepoint of the datagram.
func TestFragmentECN(t *testing.T) {
	noLeaks(t)
	for e := range ECN(4) {
		for _, b := range cut(built(Fields{TOS: 0xb8 | uint8(e), Protocol: 99, Src: ip("10.0.0.2"), Dst: ip("10.0.0.9")}, pattern(3000)), 1500) {
			if h := Header(b.Bytes()); h.ECN() != e || h.TOS() != 0xb8|uint8(e) {
				t.Errorf("%v: a fragment has TOS %#x", e, h.TOS())
			}
			b.Release()
		}
	}
}

// RFC3168-5: a router passes the field on as it is.
func TestForwardECN(t *testing.T) {
	noLeaks(t)
	x := newRxBench(RxConfig{Table: twoLinks(t), Forward: true})
	defer x.receiver.close()
	for e := range ECN(4) {
		x.receive(built(Fields{TOS: 0xb8 | uint8(e), Protocol: ProtocolUDP, Src: ip("10.0.0.9"), Dst: ip("8.8.8.8")}, pattern(64)))
		b := <-x.tx
		if h := Header(b.Bytes()); h.ECN() != e || h.TOS() != 0xb8|uint8(e) {
			t.Errorf("%v: forwarded with TOS %#x", e, h.TOS())
		}
		b.Release()
	}
}
