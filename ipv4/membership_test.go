package ipv4

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/ip"
)

// RFC1112-7.2, RFC1122-3.3.7-2, RFC2236-3: a join tells the link and the routers, and lets the
// group's datagrams in; a query is answered; a leave undoes it. The link that
// Lookup names is meant by -1.
func TestRxMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noLeaks(t)
		p := startRx(t, RxConfig{Table: twoLinks(t)})
		groupMAC := ethernet.Multicast(groupA)
		synctest.Wait()
		for link, f := range p.filters {
			if !f.Accepts(ethernet.Multicast(allHosts)) || f.Accepts(groupMAC) {
				t.Errorf("link %d does not begin in the group of all hosts, and in no other", link)
			}
		}
		if err := <-p.member(-1, groupA, true); err != nil { // 239.0.0.0/8 is on link 1
			t.Fatal(err)
		}
		if !p.filters[1].Accepts(groupMAC) || p.filters[0].Accepts(groupMAC) {
			t.Error("a join is answered before the link, and no other, knows of it")
		}
		report := <-p.tx
		if h := Header(report.Bytes()); h.Dst() != groupA || h.Src() != addr("192.168.7.1") || h.Payload()[0] != igmpReportV2 {
			t.Errorf("report %v", h)
		}
		report.Release()

		data := built(Fields{Protocol: ip.ProtocolUDP, Src: addr("192.168.7.2"), Dst: groupA}, pattern(8))
		data.Link, data.Group = 1, true
		p.in <- data
		(<-p.udp).Release()
		(<-p.tx).Release() // the second report

		igmp := func(link int, src string, dst netip.Addr, msg []byte) {
			b := built(Fields{Protocol: ip.ProtocolIGMP, TTL: 1, Src: addr(src), Dst: dst, Options: routerAlert[:]}, msg)
			b.Link, b.Group = link, true
			p.in <- b
		}
		start := time.Now()
		igmp(1, "192.168.7.2", allHosts, igmpBytes(igmpQuery, 100, anyAddr))
		(<-p.tx).Release()
		if d := time.Since(start); d <= 0 || d > 10*time.Second {
			t.Errorf("answered after %v", d)
		}
		igmp(1, "0.0.0.0", allHosts, igmpBytes(igmpQuery, 100, anyAddr)) // from a switch
		(<-p.tx).Release()
		igmp(1, "10.0.0.9", allHosts, igmpBytes(igmpQuery, 100, anyAddr)) // from another network
		time.Sleep(time.Minute)
		if len(p.tx) != 0 || p.stats.DropIGMP.Load() != 1 {
			t.Errorf("a stranger is answered; %d counted", p.stats.DropIGMP.Load())
		}

		if err := <-p.member(1, groupA, false); err != nil {
			t.Error(err)
		}
		if p.filters[1].Accepts(groupMAC) || !p.filters[1].Accepts(ethernet.Multicast(allHosts)) {
			t.Error("the link does not know that a group was left")
		}
		leave := <-p.tx
		if h := Header(leave.Bytes()); h.Dst() != allRouters || h.Payload()[0] != igmpLeave {
			t.Errorf("leave %v", h)
		}
		leave.Release()
		p.joins.Out().Send(ip.Membership{Link: 7, Group: groupA, Join: true}) // nobody asks how it went
		if err := <-p.member(7, groupA, true); err == nil {
			t.Error("a link that is not there is joined")
		}
		p.stop()
	})
}

// member asks for a change of membership, and returns where the answer comes.
func (p *rxProcess) member(link int, group netip.Addr, join bool) <-chan error {
	done := make(chan error, 1)
	p.joins.Out().Send(ip.Membership{Link: link, Group: group, Join: join, Done: done})
	return done
}
