package ipv4

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
)

// RFC1112-7.2, RFC1122-3.3.7-2, RFC2236-3: a join tells the link and the routers, and lets the
// group's datagrams in; a query is answered; a leave undoes it. The link that
// Lookup names is meant by -1.
func TestRxMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noLeaks(t)
		p := startRx(t, RxConfig{Table: twoLinks(t)})
		allHostsMAC := ethernet.Multicast(allHosts)
		for link, c := range p.groups {
			if set := <-c; !slices.Equal(set, []ethernet.Addr{allHostsMAC}) {
				t.Errorf("link %d begins with %v", link, set)
			}
		}
		joined := p.member(-1, groupA, true) // 239.0.0.0/8 is on link 1
		if synctest.Wait(); len(joined) != 0 {
			t.Error("a join is answered before the link knows of it")
		}
		if set := <-p.groups[1]; !slices.Equal(set, []ethernet.Addr{allHostsMAC, ethernet.Multicast(groupA)}) {
			t.Errorf("link 1 is told %v", set)
		}
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
		report := <-p.tx
		if h := Header(report.Bytes()); h.Dst() != groupA || h.Src() != ip("192.168.7.1") || h.Payload()[0] != igmpReportV2 {
			t.Errorf("report %v", h)
		}
		report.Release()

		data := built(Fields{Protocol: ProtocolUDP, Src: ip("192.168.7.2"), Dst: groupA}, pattern(8))
		data.Link, data.Group = 1, true
		p.in <- data
		(<-p.udp).Release()
		(<-p.tx).Release() // the second report

		igmp := func(link int, src string, dst netip.Addr, msg []byte) {
			b := built(Fields{Protocol: ProtocolIGMP, TTL: 1, Src: ip(src), Dst: dst, Options: routerAlert[:]}, msg)
			b.Link, b.Group = link, true
			p.in <- b
		}
		start := time.Now()
		igmp(1, "192.168.7.2", allHosts, igmpBytes(igmpQuery, 100, thisHostAddr))
		(<-p.tx).Release()
		if d := time.Since(start); d <= 0 || d > 10*time.Second {
			t.Errorf("answered after %v", d)
		}
		igmp(1, "0.0.0.0", allHosts, igmpBytes(igmpQuery, 100, thisHostAddr)) // from a switch
		(<-p.tx).Release()
		igmp(1, "10.0.0.9", allHosts, igmpBytes(igmpQuery, 100, thisHostAddr)) // from another network
		time.Sleep(time.Minute)
		if len(p.tx) != 0 || p.stats.DropIGMP.Load() != 1 {
			t.Errorf("a stranger is answered; %d counted", p.stats.DropIGMP.Load())
		}

		left := p.member(1, groupA, false)
		leave := <-p.tx
		if h := Header(leave.Bytes()); h.Dst() != allRouters || h.Payload()[0] != igmpLeave {
			t.Errorf("leave %v", h)
		}
		leave.Release()
		if set := <-p.groups[1]; !slices.Equal(set, []ethernet.Addr{allHostsMAC}) {
			t.Errorf("link 1 is told %v", set)
		}
		if err := <-left; err != nil {
			t.Error(err)
		}
		p.joins <- Membership{Link: 7, Group: groupA, Join: true} // nobody asks how it went
		if err := <-p.member(7, groupA, true); err == nil {
			t.Error("a link that is not there is joined")
		}
		p.stop()
	})
}

// A link that is slow to take its groups does not stop Rx: ethernet.Rx may be
// waiting for Rx at that moment. Who asks next waits.
func TestRxDoesNotWaitForGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noLeaks(t)
		p := startRx(t, RxConfig{Table: twoLinks(t)})
		joined := p.member(0, ip("239.0.0.5"), true)
		go func() { <-p.member(0, ip("239.0.0.6"), true) }()
		for range 3 * batch {
			p.in <- built(Fields{Protocol: ProtocolTCP, Src: ip("10.0.0.9"), Dst: ip("10.0.0.2")}, nil)
			(<-p.tcp).Release()
		}
		if set := <-p.groups[0]; len(set) != 2 {
			t.Errorf("the link is told %v", set)
		}
		if set := <-p.groups[1]; len(set) != 1 {
			t.Errorf("the other link is told %v", set)
		}
		if err := <-joined; err != nil {
			t.Error(err)
		}
		if set := <-p.groups[0]; len(set) != 3 {
			t.Errorf("the link is then told %v", set)
		}
		p.stop()
	})
}

// member asks for a change of membership, and returns where the answer comes.
func (p *rxProcess) member(link int, group netip.Addr, join bool) <-chan error {
	done := make(chan error, 1)
	p.joins <- Membership{Link: link, Group: group, Join: join, Done: done}
	return done
}
