package tcp

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// TestChoosePort: a dial to an own port is never from that port, unless it was
// asked for: it would be a connection to itself (RFC 9293 figure 7), where nobody
// listens.
func TestChoosePort(t *testing.T) {
	table, err := ipv4.NewTable([]ipv4.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan *packet.Buffer, 1)
	d := newDemux(Config{Table: table, Random: rand.New(rand.NewPCG(1, 8)).Uint64}, new(Stats), ipv4.Edges{Loop: edge.To(answers).Out()}, nil, ipv4.Edges{Loop: edge.To(answers).Out()}, nil)
	own := toEndpoint(netip.MustParseAddrPort("10.0.0.1:50000"))
	seen := map[uint16]bool{}
	for range 1 << 19 { // sixteen times all ephemeral ports: that one does not come happens once in 300 runs of different seeds
		f := flow{endpoint{ip: own.ip}, own}
		if err := d.choosePort(time.Now(), &f); err != nil || f.local == own {
			t.Fatalf("%v, %v", f.local.addrPort(), err)
		}
		seen[f.local.port] = true
	}
	if len(seen) != 1<<15-1 {
		t.Errorf("%d ports were chosen, want all but one", len(seen))
	}
	f := flow{own, own}
	if err := d.choosePort(time.Now(), &f); err != nil || f.local != own {
		t.Errorf("asked for: %v, %v", f.local.addrPort(), err)
	}
}
