package stack

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/arp"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/icmp"
	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/udp"
)

// In each process what is rare (calls, joins, pings, ARP, answers) does not starve
// behind packets, nor packets behind what is rare.

// A flooded is a host on a card that the test plays.
type flooded struct {
	*gonet.Stack
	t    *testing.T
	card chan *packet.Buffer // what comes in
	udp  *udp.Conn           // at port 9, to the peer's port 9

	mu   sync.Mutex
	want map[string]chan struct{} // by what kind of frame it is, who waits for one to go out
}

var (
	ownMAC, otherMAC = ethernet.Addr{2, 0, 0, 0, 0, 1}, ethernet.Addr{2, 0, 0, 0, 0, 2}
	ownAddr          = netip.MustParseAddr("10.0.0.1")
	otherAddr        = netip.MustParseAddr("10.0.0.2")
)

func newFlooded(t *testing.T) *flooded {
	f := &flooded{t: t, card: make(chan *packet.Buffer, link.QueueLen), want: map[string]chan struct{}{}}
	out := make(chan *packet.Buffer, link.QueueLen)
	var err error
	f.Stack, err = gonet.New(gonet.Config{Interfaces: []gonet.Interface{{
		Link:   link.Link{Name: "card", Rx: f.card, Tx: out, MTU: 1500, MAC: ownMAC, Stats: new(link.Stats)},
		Addrs:  []netip.Prefix{netip.PrefixFrom(ownAddr, 24)},
		Static: map[netip.Addr]ethernet.Addr{otherAddr: otherMAC},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&gonet.Dialer{Stack: f.Stack, LocalAddr: &net.UDPAddr{Port: 9}}).DialContext(t.Context(), "udp", "10.0.0.2:9")
	if err != nil {
		t.Fatal(err)
	}
	f.udp = c.(*udp.Conn)
	listen(t, f.Stack, ":80")
	go func() {
		for b := range out {
			f.sent(b.Bytes())
			b.Release()
		}
		close(f.card)
	}()
	return f
}

// sent tells who waits for such a frame.
func (f *flooded) sent(p []byte) {
	kind := "ARP"
	if binary.BigEndian.Uint16(p[12:]) == ethernet.TypeIPv4 {
		network := ipv4.Header(p[ethernet.HeaderLen:])
		kind = fmt.Sprint(network.Protocol())
		if network.Protocol() == ip.ProtocolICMP {
			kind += fmt.Sprint(" ", network.Payload()[0])
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.want[kind]; c != nil {
		close(c)
		delete(f.want, kind)
	}
}

// goesOut has cause happen again and again until such a frame goes out: where there is
// a flood some are dropped.
func (f *flooded) goesOut(kind string, cause func()) {
	c := make(chan struct{})
	f.mu.Lock()
	f.want[kind] = c
	f.mu.Unlock()
	for {
		cause()
		select {
		case <-c:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// arrive has a datagram of the peer's come in.
func (f *flooded) arrive(protocol uint8, payload []byte) {
	b := packet.From(payload)
	ipv4.Push(b, ipv4.Fields{Protocol: protocol, Src: otherAddr, Dst: ownAddr})
	h := b.Bytes()
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], checksum.Of(h[:ipv4.MinHeaderLen]))
	ethernet.Push(b, ownMAC, otherMAC, ethernet.TypeIPv4)
	b.Arrived = time.Now()
	b.Checksum = packet.ChecksumVerified
	f.card <- b
}

func (f *flooded) segment(port uint16, flags byte) {
	s := make([]byte, 20)
	binary.BigEndian.PutUint16(s, 2000)
	binary.BigEndian.PutUint16(s[2:], port)
	binary.BigEndian.PutUint32(s[4:], uint32(time.Now().UnixNano()))
	s[12], s[13], s[14] = 5<<4, flags, 0xff
	f.arrive(ip.ProtocolTCP, s)
}

func (f *flooded) datagram() {
	d := make([]byte, 9)
	d[1], d[3], d[5] = 9, 9, 9
	f.arrive(ip.ProtocolUDP, d)
}

func (f *flooded) message(kind byte) {
	m := make([]byte, 8)
	m[0] = kind
	f.arrive(ip.ProtocolICMP, m)
}

func (f *flooded) askByARP() {
	b := packet.Get(arp.PacketLen)
	arp.Packet{Op: arp.OpRequest, SenderMAC: otherMAC, SenderIP: otherAddr, TargetIP: ownAddr}.Append(b)
	ethernet.Push(b, ethernet.Broadcast, otherMAC, ethernet.TypeARP)
	f.card <- b
}

func (f *flooded) write()   { f.udp.Write([]byte{1}) }
func (f *flooded) callTCP() { f.Connections() }
func (f *flooded) ping() {
	f.PingWith(f.t.Context(), netip.MustParseAddr("127.0.0.1"), icmp.PingOptions{})
}
func (f *flooded) callUDP() {
	if c, err := f.ListenPacket("udp", ":0"); err == nil {
		c.Close()
	}
}

func (f *flooded) join() {
	group := netip.MustParseAddr("239.1.2.3")
	if f.udp.JoinGroup(group, 0) == nil {
		f.udp.LeaveGroup(group, 0)
	}
}

func TestControlAndDataAreFair(t *testing.T) {
	const syn, rst, echo, unknown = 2, 4, 8, 200
	segments := func(f *flooded) { f.segment(81, rst) }
	for name, c := range map[string]struct {
		flood func(f *flooded)
		once  func(f *flooded)
	}{
		"ipv4.Rx: a join behind packets":          {segments, (*flooded).join},
		"ipv4.Rx: packets behind joins":           {(*flooded).join, func(f *flooded) { f.goesOut("1 0", func() { f.message(echo) }) }},
		"tcp.Demux: a call behind segments":       {segments, (*flooded).callTCP},
		"tcp.Demux: segments behind calls":        {(*flooded).callTCP, func(f *flooded) { f.goesOut("6", func() { f.segment(80, syn) }) }},
		"udp.Demux: a call behind datagrams":      {(*flooded).datagram, (*flooded).callUDP},
		"udp.Demux: datagrams behind calls":       {(*flooded).callUDP, func(f *flooded) { f.datagram(); f.udp.Read(make([]byte, 1)) }},
		"icmp.Run: a ping behind messages":        {func(f *flooded) { f.message(unknown) }, (*flooded).ping},
		"icmp.Run: messages behind pings":         {(*flooded).ping, func(f *flooded) { f.goesOut("1 0", func() { f.message(echo) }) }},
		"ipv4.Tx: answers behind datagrams":       {(*flooded).write, func(f *flooded) { f.goesOut("1 0", func() { f.message(echo) }) }},
		"ipv4.Tx: datagrams behind answers":       {func(f *flooded) { f.message(echo) }, func(f *flooded) { f.goesOut("17", f.write) }},
		"arp.Resolver: ARP behind datagrams":      {(*flooded).write, func(f *flooded) { f.goesOut("ARP", f.askByARP) }},
		"arp.Resolver: datagrams behind requests": {(*flooded).askByARP, func(f *flooded) { f.goesOut("17", f.write) }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlooded(t)
			stop := make(chan struct{})
			var floods sync.WaitGroup
			for range 3 {
				floods.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
							c.flood(f)
						}
					}
				})
			}
			served := make(chan struct{})
			go func() {
				for range 20 {
					c.once(f)
				}
				close(served)
			}()
			select {
			case <-served:
			case <-time.After(time.Minute):
				t.Error("starves")
			}
			close(stop)
			floods.Wait()
			f.Close()
		})
	}
}
