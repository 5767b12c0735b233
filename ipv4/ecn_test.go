package ipv4

import (
	"testing"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// RFC3168-5.3: a mark on any fragment is not lost; what was marked, and not to
// be marked, is dropped; what all fragments have stays; so does the Diffserv
// field of the first.
func TestReassemblyECN(t *testing.T) {
	for _, c := range []struct {
		name      string
		fragments []ip.ECN
		want      ip.ECN
		drops     uint64
	}{
		{"none", []ip.ECN{ip.NotECT, ip.NotECT, ip.NotECT}, ip.NotECT, 0},
		{"all ECT(0)", []ip.ECN{ip.ECT0, ip.ECT0, ip.ECT0}, ip.ECT0, 0},
		{"all ECT(1)", []ip.ECN{ip.ECT1, ip.ECT1, ip.ECT1}, ip.ECT1, 0},
		{"all marked", []ip.ECN{ip.CE, ip.CE, ip.CE}, ip.CE, 0},
		{"the first marked", []ip.ECN{ip.CE, ip.ECT0, ip.ECT0}, ip.CE, 0},
		{"one inside marked", []ip.ECN{ip.ECT0, ip.CE, ip.ECT0}, ip.CE, 0},
		{"the last marked", []ip.ECN{ip.ECT1, ip.ECT1, ip.CE}, ip.CE, 0},
		{"both kinds, one marked", []ip.ECN{ip.ECT1, ip.ECT0, ip.CE}, ip.CE, 0},
		{"both kinds", []ip.ECN{ip.ECT1, ip.ECT0, ip.ECT0}, ip.ECT1, 0},
		{"mixed, not marked", []ip.ECN{ip.NotECT, ip.ECT0, ip.ECT0}, ip.NotECT, 0},
		{"marked and none, of the first", []ip.ECN{ip.NotECT, ip.ECT0, ip.CE}, 0, 3},
		{"marked and none, of the last", []ip.ECN{ip.CE, ip.ECT0, ip.NotECT}, 0, 3},
		{"marked and none", []ip.ECN{ip.ECT0, ip.NotECT, ip.CE}, 0, 3},
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
	for e := range ip.ECN(4) {
		for _, b := range cut(built(Fields{TOS: 0xb8 | uint8(e), Protocol: 99, Src: addr("10.0.0.2"), Dst: addr("10.0.0.9")}, pattern(3000)), 1500) {
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
	for e := range ip.ECN(4) {
		x.receive(built(Fields{TOS: 0xb8 | uint8(e), Protocol: ip.ProtocolUDP, Src: addr("10.0.0.9"), Dst: addr("8.8.8.8")}, pattern(64)))
		b := <-x.tx
		if h := Header(b.Bytes()); h.ECN() != e || h.TOS() != 0xb8|uint8(e) {
			t.Errorf("%v: forwarded with TOS %#x", e, h.TOS())
		}
		b.Release()
	}
}
