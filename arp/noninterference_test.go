package arp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/noninterference"
)

// TestNeighboursTellNothing: somebody beyond the gateway, who forges datagrams in
// the name of stations of the link, so that answers go to them, does not see by the
// answers to his own, which go by the gateway, whether they are known here, or
// there at all: not in a cache that is full either, as long as gateways have room
// of their own in it. A station of the link sees it, since it is asked for them.
func TestNeighboursTellNothing(t *testing.T) {
	const entries, delay = 8, 3 * time.Millisecond
	play := func(known bool, gateways []netip.Addr, seed uint64) (view string, broadcasts string) {
		random := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t, Config{MaxEntries: entries, Gateways: gateways})
		looked := 0
		// settle has the gateway answer what it is asked.
		settle := func() {
			for ; looked < len(r.log); looked++ {
				line := r.log[looked]
				switch {
				case strings.Contains(line, "who-has 10.0.0.3"):
					r.pass(delay)
					r.hear(replyFrom(macC, ipC))
				case strings.Contains(line, "*: Request"):
					broadcasts += line + "\n"
				}
				if strings.Contains(line, "c: datagram") {
					view += line + "\n"
				}
			}
		}
		quiet := func(d time.Duration) {
			for end := r.now.Add(d); r.now.Before(end); settle() {
				r.pass(min(end.Sub(r.now), 100*time.Millisecond))
			}
		}
		r.give(ipC, 0)
		settle()
		for i := range entries - 1 { // who talk to this host anyway
			r.hear(requestFrom(macB, addrN(i), ipA))
		}
		for i := range 12 {
			quiet(time.Duration(random.IntN(70)) * time.Second)
			for j := range random.IntN(2 * entries) { // whom the forged ones seem to come from
				if known {
					r.hear(requestFrom(macB, addrN(j%(entries-1)), ipA))
				}
				to := addrN(j % (entries - 1))
				if !known {
					to = addrN(100 + 20*i + j)
				}
				r.give(to, 1)
			}
			settle()
			r.give(ipC, i)
			settle()
		}
		quiet(time.Second)
		return view, broadcasts
	}
	gateways := []netip.Addr{ipC}
	beyond := func(secret bool, seed uint64) string { v, _ := play(!secret, gateways, seed); return v }
	if err := noninterference.Equal(60, beyond); err != nil {
		t.Errorf("beyond the gateway: %v", err)
	}
	unaware := func(secret bool, seed uint64) string { v, _ := play(!secret, nil, seed); return v }
	if noninterference.Equal(60, unaware) == nil {
		t.Error("beyond a gateway for which no room is kept, it is not seen")
	}
	onLink := func(secret bool, seed uint64) string {
		_, b := play(!secret, gateways, seed)
		return fmt.Sprint("asked\n", b)
	}
	if noninterference.Equal(1, onLink) == nil {
		t.Error("on the link it is not seen")
	}
}
