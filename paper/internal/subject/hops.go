package subject

import (
	"encoding/binary"
	"io"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
)

// The works that show what a hop of the graph costs.
const (
	HopsBusy = "hops, busy" // many packets under way
	HopsIdle = "hops, idle" // one packet at a time
)

// Hops is how many channels a packet crosses there: an echo request goes from
// link.Rx by ethernet.Rx, ipv4.Rx, icmp.Run, ipv4.Tx and arp.Resolver to link.Tx. The
// measure fails when the registry of the graph counts others.
const Hops = 6

// A pass brings packets in at one end, and takes them out at the other.
type pass struct {
	in    chan<- *packet.Buffer
	out   <-chan *packet.Buffer
	close func() error
	hops  func() uint64 // that packets have made, but for the last; nil where nobody counts them
}

// inMemory is what packets pass without a device.
func inMemory(key, name string, start func(Config) (pass, error)) Subject {
	return Subject{Key: key, Name: name, Cable: None, Works: []string{HopsBusy, HopsIdle},
		Serve: func(cfg Config, work string, c *agent.Counters) (io.Closer, error) {
			p, err := start(cfg)
			if err != nil {
				return nil, err
			}
			const busy = link.QueueLen // no channel is too short for them, and the others find something to do
			underWay := 1
			if work == HopsBusy {
				underWay = busy
			}
			if p.hops != nil {
				c.Told = func() agent.Told { return agent.Told{Hops: p.hops() + c.Requests.Load()} }
			}
			go p.run(echoRequest(cfg), underWay, c)
			return p, nil
		}}
}

// Close ends what packets pass; who runs it waits for ever.
func (p pass) Close() error { return p.close() }

// run keeps some packets under way.
func (p pass) run(frame []byte, underWay int, c *agent.Counters) {
	send := func() {
		b := packet.From(frame)
		b.Arrived = time.Now()
		p.in <- b
	}
	for range underWay {
		send()
	}
	for b := range p.out {
		isIPv4 := binary.BigEndian.Uint16(b.Bytes()[12:]) == 0x0800
		b.Release()
		if !isIPv4 {
			continue // the stack announces itself by ARP
		}
		c.Requests.Add(1)
		send()
	}
}

// startGraph starts GoNet on a link that is two channels.
func startGraph(cfg Config) (pass, error) {
	in, out := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	s, err := gonet.New(gonet.Config{Interfaces: []gonet.Interface{{
		Link:   link.Link{Name: "memory", Rx: in, Tx: out, MTU: mtu, MAC: ourMAC, Stats: new(link.Stats)},
		Addrs:  []netip.Prefix{cfg.Addr},
		Static: map[netip.Addr]ethernet.Addr{cfg.Peer.Addr(): peerMAC},
	}}})
	return pass{in: in, out: out, close: func() error { close(in); return s.Close() }, hops: func() uint64 { return passed(s) }}, err
}

// startChain starts as many processes as the graph has on the way of an echo
// request, which do nothing but hand on what they get.
func startChain(Config) (pass, error) {
	first := make(chan *packet.Buffer, link.QueueLen)
	from := first
	for range Hops - 1 {
		to := make(chan *packet.Buffer, link.QueueLen)
		go handOn(from, to)
		from = to
	}
	return pass{in: first, out: from, close: func() error { close(first); return nil }}, nil
}

func handOn(from <-chan *packet.Buffer, to chan<- *packet.Buffer) {
	for b := range from {
		to <- b
	}
	close(to)
}

// startDirect is a channel: what is left when there are no processes.
func startDirect(Config) (pass, error) {
	c := make(chan *packet.Buffer, link.QueueLen)
	return pass{in: c, out: c, close: func() error { close(c); return nil }}, nil
}

// peerMAC is the address of the other end.
var peerMAC = [6]byte{2, 0, 0, 0, 0, 1}

// echoRequest is a frame with an ICMP echo request, of 56 bytes.
func echoRequest(cfg Config) []byte {
	const icmpLen = 8 + 56
	f := make([]byte, etherLen+ipLen+icmpLen)
	copy(f, ourMAC[:])
	copy(f[6:], peerMAC[:])
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	datagram, icmp := f[etherLen:], f[etherLen+ipLen:]
	datagram[0], datagram[8], datagram[9] = 0x45, 64, 1
	binary.BigEndian.PutUint16(datagram[2:], ipLen+icmpLen)
	from, to := cfg.Peer.Addr().As4(), cfg.Addr.Addr().As4()
	copy(datagram[12:], from[:])
	copy(datagram[16:], to[:])
	binary.BigEndian.PutUint16(datagram[10:], checksum.Of(datagram[:ipLen]))
	icmp[0] = 8
	binary.BigEndian.PutUint16(icmp[2:], checksum.Of(icmp))
	return f
}
