package ipv4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/internal/checksum"
)

var (
	groupA = netip.MustParseAddr("239.1.2.3")
	groupB = netip.MustParseAddr("224.0.0.251")
)

// igmpBytes is a message as it comes from the network.
func igmpBytes(kind, response uint8, group netip.Addr) []byte {
	p := make([]byte, igmpLen)
	g := group.As4()
	p[0], p[1] = kind, response
	copy(p[4:], g[:])
	binary.BigEndian.PutUint16(p[2:], checksum.Of(p))
	return p
}

// said is what m has to say, in short: "0 report2 239.1.2.3".
func said(m *igmp) (all []string) {
	names := map[uint8]string{igmpReportV1: "report1", igmpReportV2: "report2", igmpLeave: "leave"}
	for msg, ok := m.output(); ok; msg, ok = m.output() {
		all = append(all, fmt.Sprintf("%d %s %v", msg.link, names[msg.kind], msg.group))
	}
	return all
}

func wantSaid(t *testing.T, m *igmp, when string, want ...string) {
	t.Helper()
	if got := said(m); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

// RFC2236-3: a join is reported at once, and once more within 10 s.
func TestIGMPJoin(t *testing.T) {
	m := newIGMP(2, 8, seeded())
	wantSaid(t, m, "all-hosts is never reported")
	if err := m.join(epoch, 1, groupA); err != nil {
		t.Fatal(err)
	}
	wantSaid(t, m, "join", "1 report2 239.1.2.3")
	again := m.deadline()
	if d := again.Sub(epoch); d <= 0 || d > unsolicitedReportInterval {
		t.Errorf("next report after %v", d)
	}
	m.expire(again.Add(-1))
	wantSaid(t, m, "before the time")
	m.expire(again)
	wantSaid(t, m, "second report", "1 report2 239.1.2.3")
	if !m.deadline().IsZero() {
		t.Error("a third report is to come")
	}
	if m.joined(0, groupA) || !m.joined(1, groupA) || !m.joined(-1, groupA) || m.joined(-1, groupB) || m.joined(2, groupA) {
		t.Error("joined is wrong")
	}
}

// RFC2236-3: joins are counted; the last that reported says that it leaves.
func TestIGMPLeave(t *testing.T) {
	m := newIGMP(1, 8, seeded())
	m.join(epoch, 0, groupA)
	m.join(epoch, 0, groupA)
	wantSaid(t, m, "two joins", "0 report2 239.1.2.3")
	m.leave(epoch, 0, groupA)
	wantSaid(t, m, "one has left")
	m.leave(epoch, 0, groupA)
	wantSaid(t, m, "all have left", "0 leave 239.1.2.3")
	if m.joined(0, groupA) || !m.deadline().IsZero() {
		t.Error("still a member")
	}

	m.join(epoch, 0, groupA)
	said(m)
	m.receive(epoch, 0, groupA, igmpBytes(igmpReportV2, 0, groupA))
	if !m.deadline().IsZero() {
		t.Error("a report is to come, though another member has reported")
	}
	m.leave(epoch, 0, groupA)
	wantSaid(t, m, "another has reported after us")
}

func TestIGMPErrors(t *testing.T) {
	m := newIGMP(1, 3, seeded())
	m.join(epoch, 0, groupA)
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"unicast", m.join(epoch, 0, addr("10.0.0.1")), syscall.EINVAL},
		{"base address", m.join(epoch, 0, addr("224.0.0.0")), syscall.EINVAL},
		{"IPv6", m.join(epoch, 0, addr("ff02::1")), syscall.EINVAL},
		{"no address", m.leave(epoch, 0, netip.Addr{}), syscall.EINVAL},
		{"no link", m.join(epoch, 1, groupA), syscall.ENODEV},
		{"negative link", m.leave(epoch, -1, groupA), syscall.ENODEV},
		{"not a member", m.leave(epoch, 0, groupB), syscall.EADDRNOTAVAIL},
		{"all-hosts for good", m.leave(epoch, 0, allHosts), syscall.EADDRNOTAVAIL},
		{"all-hosts joined", m.join(epoch, 0, allHosts), nil},
		{"all-hosts left", m.leave(epoch, 0, allHosts), nil},
		{"third group", m.join(epoch, 0, groupB), nil},
		{"too many groups", m.join(epoch, 0, addr("239.9.9.9")), syscall.ENOBUFS},
		{"known group", m.join(epoch, 0, groupB), nil},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	if !m.joined(0, allHosts) {
		t.Error("all-hosts has been left")
	}
}

// RFC2236-3: a general query asks about all groups, a specific one about one;
// the answer comes within the time that the query names.
func TestIGMPQuery(t *testing.T) {
	m := newIGMP(2, 8, seeded())
	m.join(epoch, 0, groupA)
	m.join(epoch, 0, groupB)
	m.join(epoch, 1, groupA)
	m.expire(epoch.Add(unsolicitedReportInterval))
	said(m)

	now := epoch.Add(time.Minute)
	if !m.receive(now, 0, allHosts, igmpBytes(igmpQuery, 20, anyAddr)) {
		t.Error("the general query is not understood")
	}
	m.expire(now.Add(2 * time.Second))
	wantSaid(t, m, "general query", "0 report2 239.1.2.3", "0 report2 224.0.0.251")

	m.receive(now, 0, groupB, igmpBytes(igmpQuery, 10, groupB))
	if d := m.deadline().Sub(now); d <= 0 || d > time.Second {
		t.Errorf("answer after %v", d)
	}
	m.expire(now.Add(time.Second))
	wantSaid(t, m, "specific query", "0 report2 224.0.0.251")
}

// RFC2236-3: a timer that runs is only ever made shorter.
func TestIGMPQueryShortensTimer(t *testing.T) {
	m := newIGMP(1, 8, seeded())
	m.join(epoch, 0, groupA)
	m.expire(epoch.Add(unsolicitedReportInterval))
	m.receive(epoch, 0, allHosts, igmpBytes(igmpQuery, 10, anyAddr))
	soon := m.deadline()
	m.receive(epoch, 0, allHosts, igmpBytes(igmpQuery, 250, anyAddr))
	if !m.deadline().Equal(soon) {
		t.Error("a slower query has moved the timer")
	}
	m.receive(epoch, 0, allHosts, igmpBytes(igmpQuery, 1, anyAddr))
	if d := m.deadline().Sub(epoch); d > 100*time.Millisecond {
		t.Errorf("a faster query is answered after %v", d)
	}
}

// RFC2236-4: while a router of version 1 is there, reports are of version 1
// and leaves are not sent.
func TestIGMPVersion1Router(t *testing.T) {
	m := newIGMP(1, 8, seeded())
	m.receive(epoch, 0, allHosts, igmpBytes(igmpQuery, 0, anyAddr))
	m.join(epoch, 0, groupA)
	wantSaid(t, m, "join", "0 report1 239.1.2.3")
	m.leave(epoch, 0, groupA)
	wantSaid(t, m, "leave")
	later := epoch.Add(v1RouterPresentTimeout)
	m.join(later, 0, groupA)
	wantSaid(t, m, "400 s later", "0 report2 239.1.2.3")

	m.expire(m.deadline())
	said(m)
	m.receive(later, 0, allHosts, igmpBytes(igmpQuery, 0, anyAddr))
	if d := m.deadline().Sub(later); d <= 0 || d > v1ResponseTime {
		t.Errorf("answer after %v", d)
	}
}

func TestIGMPNonsense(t *testing.T) {
	m := newIGMP(1, 8, seeded())
	m.join(epoch, 0, groupA)
	m.expire(m.deadline())
	said(m)
	bad := igmpBytes(igmpQuery, 10, anyAddr)
	bad[1]++
	for _, c := range []struct {
		name string
		link int
		dst  netip.Addr
		msg  []byte
		want bool
	}{
		{"short", 0, allHosts, igmpBytes(igmpQuery, 10, anyAddr)[:7], false},
		{"bad checksum", 0, allHosts, bad, false},
		{"looped back", -1, allHosts, igmpBytes(igmpQuery, 10, anyAddr), false},
		{"no such link", 1, allHosts, igmpBytes(igmpQuery, 10, anyAddr), false},
		{"general query to one group", 0, groupA, igmpBytes(igmpQuery, 10, anyAddr), false},
		{"specific query to another", 0, groupB, igmpBytes(igmpQuery, 10, groupA), false},
		{"leave", 0, allRouters, igmpBytes(igmpLeave, 0, groupA), true},
		{"unknown type", 0, allHosts, igmpBytes(0x99, 0, groupA), true},
		{"report of a group we are not in", 0, groupB, igmpBytes(igmpReportV1, 0, groupB), true},
	} {
		if got := m.receive(epoch, c.link, c.dst, c.msg); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if !m.deadline().IsZero() {
			t.Errorf("%s: has set a timer", c.name)
		}
	}
}

// RFC1112-7.3: the link gets the whole set, and each address once.
func TestIGMPSet(t *testing.T) {
	m := newIGMP(1, 8, seeded())
	for _, c := range []struct {
		name   string
		change func() error
		want   []string
	}{
		{"start", func() error { return nil }, []string{"01:00:5e:00:00:01"}},
		{"nothing new", func() error { return nil }, nil},
		{"join", func() error { return m.join(epoch, 0, groupA) }, []string{"01:00:5e:00:00:01", "01:00:5e:01:02:03"}},
		{"again", func() error { return m.join(epoch, 0, groupA) }, nil},
		{"same address", func() error { return m.join(epoch, 0, addr("238.129.2.3")) }, []string{"01:00:5e:00:00:01", "01:00:5e:01:02:03"}},
		{"leave", func() error {
			m.leave(epoch, 0, addr("238.129.2.3"))
			m.leave(epoch, 0, groupA)
			return m.leave(epoch, 0, groupA)
		}, []string{"01:00:5e:00:00:01"}},
	} {
		if err := c.change(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		set, changed := m.takeSet(0)
		if changed != (c.want != nil) || !slices.EqualFunc(set, c.want, func(a ethernet.Addr, s string) bool { return a.String() == s }) {
			t.Errorf("%s: %v, %v; want %v", c.name, set, changed, c.want)
		}
	}
}

// RFC2236-2: a message on the wire, as gopacket reads it.
func TestIGMPDatagram(t *testing.T) {
	noLeaks(t)
	for _, c := range []struct {
		kind uint8
		dst  string
	}{{igmpReportV2, "239.1.2.3"}, {igmpReportV1, "239.1.2.3"}, {igmpLeave, "224.0.0.2"}} {
		b := igmpMessage{0, c.kind, groupA}.datagram(addr("10.0.0.2"))
		Header(b.Bytes()).updateChecksum()
		got := decode(t, b.Bytes())
		if got.TTL != 1 || got.DstIP.String() != c.dst || len(got.Options) != 1 || got.Options[0].OptionType != OptionRouterAlert {
			t.Errorf("gopacket reads %+v", got)
		}
		if string(got.Payload) != string(igmpBytes(c.kind, 0, groupA)) {
			t.Errorf("message %v", got.Payload)
		}
		b.Release()
	}
}

// TestIGMPResponseTimes: whatever response time a query names, reports are spread
// over more than nothing, and over 25.5 seconds at most; and however many queries
// come, a group has one report under way.
func TestIGMPResponseTimes(t *testing.T) {
	for response := range 256 {
		m := newIGMP(1, DefaultGroups, seeded())
		for i := 1; i < DefaultGroups; i++ {
			if err := m.join(epoch, 0, netip.AddrFrom4([4]byte{239, 0, 0, byte(i)})); err != nil {
				t.Fatal(err)
			}
		}
		m.out = nil
		later := epoch.Add(time.Hour)
		m.expire(later)
		m.out = nil
		for range 10 {
			m.query(later, 0, allHosts, anyAddr, time.Duration(response)*100*time.Millisecond)
		}
		for _, g := range m.links[0].groups[1:] {
			if d := g.report.Sub(later); d <= 0 || d > 25500*time.Millisecond {
				t.Fatalf("response time %d: a report after %v", response, d)
			}
		}
		m.expire(later.Add(time.Minute))
		if len(m.out) != DefaultGroups-1 {
			t.Fatalf("response time %d: %d reports", response, len(m.out))
		}
	}
}

// BenchmarkIGMPQuery is what a query costs for a host in as many groups as it may be.
func BenchmarkIGMPQuery(b *testing.B) {
	m := newIGMP(1, DefaultGroups, seeded())
	for i := 1; i < DefaultGroups; i++ {
		if err := m.join(epoch, 0, netip.AddrFrom4([4]byte{239, 0, 0, byte(i)})); err != nil {
			b.Fatal(err)
		}
	}
	m.out = nil
	for b.Loop() {
		m.query(epoch, 0, allHosts, anyAddr, time.Second)
		m.deadline()
	}
}
