package ipv4

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// Types of message (RFC 2236 section 2.1).
const (
	igmpQuery    = 0x11
	igmpReportV1 = 0x12
	igmpReportV2 = 0x16
	igmpLeave    = 0x17
)

const igmpLen = 8

// Times of RFC 2236 section 8, and RFC 1112's delay for queries of version 1.
const (
	unsolicitedReportInterval = 10 * time.Second
	unsolicitedReports        = 2
	v1RouterPresentTimeout    = 400 * time.Second
	v1ResponseTime            = 10 * time.Second
)

var (
	allHosts   = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	allRouters = netip.AddrFrom4([4]byte{224, 0, 0, 2})
	groupBase  = netip.AddrFrom4([4]byte{224, 0, 0, 0}) // is no group (RFC 1112 section 4)
	anyAddr    = netip.IPv4Unspecified()
)

// An igmpMessage is one that is to be sent.
type igmpMessage struct {
	link  int
	kind  uint8
	group netip.Addr
}

// igmp is the host side of the Internet Group Management Protocol, version 2
// (RFC 2236), for all links. It is a pure machine: joins, messages and time go
// in, and messages come out of output.
type igmp struct {
	links  []igmpLink
	out    []igmpMessage
	limit  int // groups per link
	random func() uint64
}

type igmpLink struct {
	groups  []igmpGroup // a slice, so that the order of random numbers can be repeated
	v1Until time.Time   // a router of version 1 is taken to be there until then
	changed bool        // the set of groups is not what it was at the last takeSet
}

type igmpGroup struct {
	addr    netip.Addr
	members int       // joins less leaves
	report  time.Time // when to report, in the state Delaying Member; zero for an Idle Member
	pending int       // unsolicited reports that are still to be sent
	last    bool      // we are the last that reported
}

func newIGMP(links, limit int, random func() uint64) *igmp {
	m := &igmp{links: make([]igmpLink, links), limit: limit, random: random}
	for i := range m.links {
		// All hosts are in 224.0.0.1 for good, and never report it.
		m.links[i] = igmpLink{groups: []igmpGroup{{addr: allHosts, members: 1}}, changed: true}
	}
	return m
}

func (l *igmpLink) find(group netip.Addr) *igmpGroup {
	for i := range l.groups {
		if l.groups[i].addr == group {
			return &l.groups[i]
		}
	}
	return nil
}

// joined says whether the host is in the group on the link; -1 is any link.
func (m *igmp) joined(link int, group netip.Addr) bool {
	if link >= 0 {
		return link < len(m.links) && m.links[link].find(group) != nil
	}
	return slices.ContainsFunc(m.links, func(l igmpLink) bool { return l.find(group) != nil })
}

// join is the event "join group".
func (m *igmp) join(now time.Time, link int, group netip.Addr) error {
	if err := m.check(link, group); err != nil {
		return err
	}
	l := &m.links[link]
	if g := l.find(group); g != nil {
		g.members++
		return nil
	}
	if len(l.groups) >= m.limit {
		return syscall.ENOBUFS
	}
	l.groups = append(l.groups, igmpGroup{addr: group, members: 1, pending: unsolicitedReports})
	l.changed = true
	m.report(now, link, &l.groups[len(l.groups)-1])
	return nil
}

// leave is the event "leave group". The routers are told only if nobody has
// reported after us, and if they know of leaving.
func (m *igmp) leave(now time.Time, link int, group netip.Addr) error {
	if err := m.check(link, group); err != nil {
		return err
	}
	l := &m.links[link]
	g := l.find(group)
	if g == nil || group == allHosts && g.members == 1 {
		return syscall.EADDRNOTAVAIL
	}
	if g.members--; g.members > 0 {
		return nil
	}
	if g.last && !now.Before(l.v1Until) {
		m.out = append(m.out, igmpMessage{link, igmpLeave, group})
	}
	l.groups = slices.DeleteFunc(l.groups, func(g igmpGroup) bool { return g.addr == group })
	l.changed = true
	return nil
}

func (m *igmp) check(link int, group netip.Addr) error {
	switch {
	case !group.Is4() || !group.IsMulticast() || group == groupBase:
		return syscall.EINVAL
	case link < 0 || link >= len(m.links):
		return syscall.ENODEV
	}
	return nil
}

// report sends a report, and sets the timer for the next unsolicited one.
func (m *igmp) report(now time.Time, link int, g *igmpGroup) {
	kind := uint8(igmpReportV2)
	if now.Before(m.links[link].v1Until) {
		kind = igmpReportV1
	}
	m.out = append(m.out, igmpMessage{link, kind, g.addr})
	g.last = true
	g.report = time.Time{}
	if g.pending > 0 {
		g.pending--
	}
	if g.pending > 0 {
		g.report = now.Add(m.delay(unsolicitedReportInterval))
	}
}

// delay is a random time in (0, longest].
func (m *igmp) delay(longest time.Duration) time.Duration {
	return 1 + time.Duration(m.random()%uint64(longest))
}

// receive takes a message sent to dst, and says whether it made sense.
func (m *igmp) receive(now time.Time, link int, dst netip.Addr, msg []byte) bool {
	if len(msg) < igmpLen || checksum.Of(msg) != 0 || link < 0 || link >= len(m.links) {
		return false
	}
	group := netip.AddrFrom4([4]byte(msg[4:8]))
	switch msg[0] {
	case igmpQuery:
		return m.query(now, link, dst, group, time.Duration(msg[1])*100*time.Millisecond)
	case igmpReportV1, igmpReportV2:
		// Another member has reported: the router needs no report of ours.
		if g := m.links[link].find(group); g != nil {
			g.report, g.pending, g.last = time.Time{}, 0, false
		}
	}
	return true // a Leave is for routers, and unknown types are ignored (RFC 2236 section 2.1)
}

// query sets timers for reports: of all groups, or of one. Version 1 has
// response time 0 in its queries (RFC 2236 section 4).
func (m *igmp) query(now time.Time, link int, dst, group netip.Addr, response time.Duration) bool {
	general := group == anyAddr
	if general && dst != allHosts || !general && dst != group && dst != allHosts {
		return false
	}
	l := &m.links[link]
	if response == 0 {
		response = v1ResponseTime
		l.v1Until = now.Add(v1RouterPresentTimeout)
	}
	for i := range l.groups {
		g := &l.groups[i]
		if g.addr == allHosts || !general && g.addr != group {
			continue
		}
		// A timer that runs is set anew only to make it shorter.
		if g.report.IsZero() || g.report.Sub(now) > response {
			g.report = now.Add(m.delay(response))
		}
	}
	return true
}

// deadline is when expire is to be called next; zero for never.
func (m *igmp) deadline() (earliest time.Time) {
	for i := range m.links {
		for j := range m.links[i].groups {
			earliest = sooner(earliest, m.links[i].groups[j].report)
		}
	}
	return earliest
}

// expire is the event "timer expired" for all groups whose time has come.
func (m *igmp) expire(now time.Time) {
	for link := range m.links {
		for i := range m.links[link].groups {
			if g := &m.links[link].groups[i]; !g.report.IsZero() && !now.Before(g.report) {
				m.report(now, link, g)
			}
		}
	}
}

// output takes the next message to be sent.
func (m *igmp) output() (igmpMessage, bool) {
	if len(m.out) == 0 {
		return igmpMessage{}, false
	}
	msg := m.out[0]
	m.out = m.out[1:]
	return msg, true
}

// takeSet returns the link-layer groups that the link is to receive, if the
// set has changed since it was last taken.
func (m *igmp) takeSet(link int) (set []ethernet.Addr, changed bool) {
	l := &m.links[link]
	if !l.changed {
		return nil, false
	}
	l.changed = false
	for _, g := range l.groups {
		if mac := ethernet.Multicast(g.addr); !slices.Contains(set, mac) {
			set = append(set, mac)
		}
	}
	return set, true
}

// datagram is the message as it is given to Tx: to the group, or for a Leave
// to all routers, with TTL 1 and Router Alert (RFC 2236 section 2).
func (msg igmpMessage) datagram(src netip.Addr) *packet.Buffer {
	b := packet.Get(igmpLen)
	p := b.Extend(igmpLen)
	clear(p)
	p[0] = msg.kind
	group := msg.group.As4()
	copy(p[4:], group[:])
	binary.BigEndian.PutUint16(p[2:], checksum.Of(p))
	dst := msg.group
	if msg.kind == igmpLeave {
		dst = allRouters
	}
	Push(b, Fields{TTL: 1, Protocol: ip.ProtocolIGMP, Src: src, Dst: dst, Options: routerAlert[:]})
	return b
}

// sooner is the earlier of two instants, of which zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
