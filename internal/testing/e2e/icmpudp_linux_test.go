package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tap"
)

// An icmpError is a type and a code.
type icmpError struct{ typ, code uint8 }

// icmpErrors are all errors about datagrams that RFC 792 and 1812 have, and one
// code that nobody has.
func icmpErrors() (all []icmpError) {
	for code := range uint8(17) {
		all = append(all, icmpError{3, code})
	}
	return append(all, icmpError{11, 0}, icmpError{11, 1}, icmpError{12, 0}, icmpError{4, 0})
}

// A troublemaker is the other end of a wire: it answers ARP for 10.0.0.2, and
// each datagram to a port of that by the ICMP errors of the port, and then, where
// the datagram asks for it, by a datagram.
type troublemaker struct {
	wire   link.Link
	errors map[uint16][]icmpError
}

// start starts it, and returns how it is stopped.
func (m *troublemaker) start(t *testing.T) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		m.run(t, quit)
		close(m.wire.Tx)
		for b := range m.wire.Rx {
			b.Release()
		}
		close(ended)
	}()
	return func() {
		close(quit)
		<-ended
	}
}

func (m *troublemaker) run(t *testing.T, quit <-chan struct{}) {
	for {
		var b *packet.Buffer
		var ok bool
		select {
		case b, ok = <-m.wire.Rx:
		case <-quit:
		}
		if !ok {
			return
		}
		b.CompleteChecksum()
		frame := gopacket.NewPacket(bytes.Clone(b.Bytes()), layers.LayerTypeEthernet, gopacket.Default)
		b.Release()
		eth, _ := frame.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
		if eth == nil {
			continue
		}
		if a, ok := frame.Layer(layers.LayerTypeARP).(*layers.ARP); ok && a.Operation == layers.ARPRequest && net.IP(a.DstProtAddress).String() == ours {
			m.send(t, eth, layers.EthernetTypeARP, &layers.ARP{
				AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPReply,
				SourceHwAddress: mac(ourMAC), SourceProtAddress: a.DstProtAddress, DstHwAddress: a.SourceHwAddress, DstProtAddress: a.SourceProtAddress,
			})
		}
		ip, _ := frame.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		u, _ := frame.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if ip == nil || u == nil || ip.DstIP.String() != ours {
			continue
		}
		for _, e := range m.errors[uint16(u.DstPort)] {
			m.send(t, eth, layers.EthernetTypeIPv4,
				&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: ip.DstIP, DstIP: ip.SrcIP},
				&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(e.typ, e.code), Seq: 1400}, // the MTU of code 4
				gopacket.Payload(append(bytes.Clone(ip.Contents), ip.Payload...)))
		}
		if string(u.Payload) == "answer" {
			back := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: ip.DstIP, DstIP: ip.SrcIP}
			datagram := &layers.UDP{SrcPort: u.DstPort, DstPort: u.SrcPort}
			must(t, datagram.SetNetworkLayerForChecksum(back))
			m.send(t, eth, layers.EthernetTypeIPv4, back, datagram, gopacket.Payload("hello"))
		}
	}
}

// send answers the frame of to.
func (m *troublemaker) send(t *testing.T, to *layers.Ethernet, typ layers.EthernetType, parts ...gopacket.SerializableLayer) {
	parts = append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: mac(ourMAC), DstMAC: to.SrcMAC, EthernetType: typ}}, parts...)
	frame := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(frame, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...))
	m.wire.Tx <- packet.From(frame.Bytes())
}

// outcome is what a call said: bytes, a timeout or an errno.
func outcome(n int, err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return fmt.Sprintf("%d bytes", n)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}

// settled is long enough for all answers to have come.
const settled = 50 * time.Millisecond

// A trouble is a way to meet ICMP errors by a connected socket. It says what its
// calls have said.
type trouble struct {
	name string
	meet func(c net.Conn) []string
}

func readOnce(c net.Conn) string {
	c.SetReadDeadline(time.Now().Add(settled))
	return outcome(c.Read(make([]byte, 100)))
}

func writeOnce(c net.Conn, s string) string { return outcome(c.Write([]byte(s))) }

var troubles = []trouble{
	{"read, read, write", func(c net.Conn) []string {
		w := writeOnce(c, "x")
		time.Sleep(settled)
		return []string{w, readOnce(c), readOnce(c)}
	}},
	{"write, write", func(c net.Conn) []string {
		w := writeOnce(c, "x")
		time.Sleep(settled)
		return []string{w, writeOnce(c, "no error follows this one, as it is not sent if the one before it met one"), writeOnce(c, "y")}
	}},
	{"a read that waits", func(c net.Conn) []string {
		got := make(chan string)
		go func() {
			c.SetReadDeadline(time.Now().Add(4 * settled))
			got <- outcome(c.Read(make([]byte, 100)))
		}()
		time.Sleep(settled)
		w := writeOnce(c, "x")
		return []string{w, <-got}
	}},
	{"an answer after the error", func(c net.Conn) []string {
		w := writeOnce(c, "answer")
		time.Sleep(settled)
		return []string{w, readOnce(c), readOnce(c)}
	}},
}

// meetAll meets the errors of every port, in all ways, each by a socket of its own;
// all ports at once, a millisecond apart, or the wire would lose some.
func meetAll(ports int, dial func(port int) net.Conn) map[string][]string {
	type result struct {
		name string
		said []string
	}
	all := map[string][]string{}
	for _, way := range troubles {
		results := make(chan result)
		for port := range ports {
			c := dial(1000 + port)
			time.Sleep(time.Millisecond)
			go func() {
				defer c.Close()
				results <- result{fmt.Sprintf("%s, port %d", way.name, 1000+port), way.meet(c)}
			}()
		}
		for range ports {
			r := <-results
			all[r.name] = r.said
		}
	}
	return all
}

// TestICMPReachesUDP has a connected UDP socket of the kernel and one of ours meet
// all ICMP errors: reads and writes report the same (RFC1122-4.1.3.3).
func TestICMPReachesUDP(t *testing.T) {
	netns.Need(t)
	ns := netns.Test(t)
	netns.NeedTun(t)

	// isolated is the code for which we have another errno: see ip.ICMPError.Err.
	const isolated = 8
	sequences := [][]icmpError{{}, {{3, 3}, {3, 2}}, {{3, 2}, {3, 1}}, {{3, 1}, {3, 3}}}
	for _, e := range icmpErrors() {
		if e != (icmpError{3, isolated}) {
			sequences = append(sequences, []icmpError{e})
		}
	}
	byPort := map[uint16][]icmpError{}
	for i, s := range sequences {
		byPort[uint16(1000+i)] = s
	}

	running.begin()
	defer running.end(t)
	var card link.Link
	must(t, ns.Do(func() (err error) {
		card, err = tap.Open(tap.Config{MAC: [6]byte(mac(ourMAC)), HostAddr: netip.MustParsePrefix(kernel + "/24"), DisableOffload: true})
		return err
	}))
	defer (&troublemaker{card, byPort}).start(t)()
	theirs := meetAll(len(sequences), func(port int) net.Conn {
		c, err := ns.Dial(t.Context(), "udp4", fmt.Sprintf("%s:%d", ours, port))
		must(t, err)
		return c
	})

	wire, end := link.Pipe(link.PipeConfig{})
	stack, err := gonet.New(gonet.Config{Link: end, Addr: netip.MustParsePrefix(kernel + "/24")})
	must(t, err)
	defer stack.Close()
	defer (&troublemaker{wire, byPort}).start(t)()
	own := meetAll(len(sequences), func(port int) net.Conn {
		c, err := stack.Dial("udp4", fmt.Sprintf("%s:%d", ours, port))
		must(t, err)
		return c
	})

	refused := 0
	for name, want := range theirs {
		var port int
		fmt.Sscanf(name[len(name)-4:], "%d", &port)
		met := sequences[port-1000]
		if strings.HasPrefix(name, "a read that waits") && len(met) > 1 {
			continue // which of the two it has been woken by is chance
		}
		if got := own[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s, errors %v: %q, the kernel's %q", name, met, got, want)
		}
		if fmt.Sprint(want) == fmt.Sprint([]string{"1 bytes", "connection refused", "nothing"}) {
			refused++
		}
	}
	if refused == 0 {
		t.Errorf("the kernel has met no error: %q", theirs)
	}
	t.Logf("%d ways", len(theirs))
}
