package tcp

import (
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/port"
	"github.com/seed-012105e5/gonet/ip"
)

// TestPortsTellNothing: RFC6056-3.3: of the ports of connections to one server, as many are
// near the one before as chance brings: of 2000 steps each is less than 250 with
// a chance of 500 in 32768, which makes 30; 75 or more it makes once in 10^11.
// A server that sees every other port learns nothing of those between.
func TestPortsTellNothing(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		var ports []uint16
		p.sockets.ask(func(now time.Time, d *demux) {
			for range 2000 {
				f := ip.Flow{Local: ip.EndpointOf(p.flow.Local.Addr(), 0), Remote: p.flow.Remote}
				if err := d.choosePort(now, &f); err != nil {
					t.Fatal(err)
				}
				ports = append(ports, f.Local.Port)
			}
		})
		for _, apart := range []int{1, 2} {
			near := 0
			for i := range ports[apart:] {
				if step := ports[i+apart] - ports[i]; min(step, -step) < 250 {
					near++
				}
			}
			if near >= 75 {
				t.Errorf("%d of 2000 ports are near the one %d before", near, apart)
			}
		}
		if p := ports[0]; p < port.First {
			t.Errorf("port %d", p)
		}
	})
}

// TestHalfOpenChallengesTellNothing: RFC5961-7: how often a peer is challenged on
// its half-open connection does not depend on what others have been sent on
// theirs.
func TestHalfOpenChallengesTellNothing(t *testing.T) {
	challenged := func(forged int) (own int) {
		withPeer(t, Config{}, func(p *peer) {
			p.listen()
			for _, host := range []string{"", "[peer 2] "} {
				p.send(host + "S 0:0(0) win 60000 <mss 1000>")
				p.want("SYN-ACK", "S. 0:0(0) ack 1")
			}
			count := func(segment string, times int) uint64 {
				before := p.stats.ChallengeACKs.Load()
				for range times {
					p.send(segment)
				}
				p.drain()
				return p.stats.ChallengeACKs.Load() - before
			}
			if n := count("[peer 2] R 9:9(0) win 60000", forged); n != uint64(forged) {
				t.Errorf("%d of %d forged segments are challenged", n, forged)
			}
			own = int(count("R 9:9(0) win 60000", 20))
		})
		return own
	}
	if a, b := challenged(0), challenged(9); a != 10 || b != a {
		t.Errorf("a peer is challenged %d times, and %d when another has been before", a, b)
	}
}
