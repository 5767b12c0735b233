package tcp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// TestChoosePort: a dial to an own port is never from that port, unless it was
// asked for: it would be a connection to itself (RFC 9293 figure 7), where nobody
// listens.
func TestChoosePort(t *testing.T) {
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan *packet.Buffer, 1)
	d := newDemux(Config{Table: ip.Publish(table), Random: rand.New(rand.NewPCG(1, 8)).Uint64}, new(Stats), ip.Edges{Loop: edge.To(answers).Out()}, nil, ip.Edges{Loop: edge.To(answers).Out()}, nil)
	own := ip.EndpointOfAddrPort(netip.MustParseAddrPort("10.0.0.1:50000"))
	seen := map[uint16]bool{}
	for range 1 << 19 { // sixteen times all ephemeral ports: that one does not come happens once in 300 runs of different seeds
		f := ip.Flow{Local: ip.EndpointOf(own.Addr(), 0), Remote: own}
		if err := d.choosePort(time.Now(), &f); err != nil || f.Local == own {
			t.Fatalf("%v, %v", f.Local.AddrPort(), err)
		}
		seen[f.Local.Port] = true
	}
	if len(seen) != 1<<15-1 {
		t.Errorf("%d ports were chosen, want all but one", len(seen))
	}
	f := ip.Flow{Local: own, Remote: own}
	if err := d.choosePort(time.Now(), &f); err != nil || f.Local != own {
		t.Errorf("asked for: %v, %v", f.Local.AddrPort(), err)
	}
}
