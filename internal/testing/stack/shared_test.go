package stack

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/udp"
)

// forge is a frame with a datagram from one address and port to another.
func forge(to ethernet.Addr, src, dst netip.AddrPort) *packet.Buffer {
	b := packet.From([]byte("probe"))
	udp.Push(b, src, dst)
	b.CompleteChecksum()
	ipv4.Push(b, ipv4.Fields{Protocol: ip.ProtocolUDP, Src: src.Addr(), Dst: dst.Addr()})
	sum := checksum.Of(b.Bytes()[:ipv4.MinHeaderLen])
	b.Bytes()[10], b.Bytes()[11] = byte(sum>>8), byte(sum)
	h := b.Push(ethernet.HeaderLen)
	copy(h, to[:])
	copy(h[6:], []byte{2, 0, 0, 0, 0, 9})
	h[12], h[13] = 8, 0
	return b
}

// TestForgedProbesTellNothing is the SAD DNS attack on a whole stack: probes in
// the name of others at closed ports, all but perhaps one, and then one at a
// closed port in one's own name. Whether it is answered must not depend on the
// others, however many come at once.
func TestForgedProbesTellNothing(t *testing.T) {
	attacker, self := netip.MustParseAddr("10.0.0.66"), netip.MustParseAddr("10.0.0.2")
	for _, forged := range []int{1, 15, 16, 17, 32, 33, 50, 100, 500} {
		for _, sources := range []int{1, 100} {
			for _, open := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d from %d hosts, open %v", forged, sources, open), func(t *testing.T) {
					inBubble(t, func(t *testing.T) {
						wire, card := link.Pipe(link.PipeConfig{})
						neighbours := map[netip.Addr]ethernet.Addr{attacker: {2, 0, 0, 0, 0, 9}}
						source := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 1, byte(i % sources)}) }
						for i := range sources {
							neighbours[source(i)] = ethernet.Addr{2, 0, 0, 0, 0, 8}
						}
						s, err := gonet.New(gonet.Config{Interfaces: []gonet.Interface{{
							Link: card, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/16")}, Static: neighbours,
						}}, Rand: repeat(7)})
						if err != nil {
							t.Fatal(err)
						}
						if open {
							c, err := s.ListenUDP("udp", &net.UDPAddr{Port: 5000})
							if err != nil {
								t.Fatal(err)
							}
							defer c.Close()
						}
						answered := 0
						done := make(chan struct{})
						go func() {
							defer close(done)
							for b := range wire.Rx {
								b.Pull(ethernet.HeaderLen)
								if h, err := ipv4.Parse(b.Bytes()); err == nil && h.Protocol() == ip.ProtocolICMP && h.Dst() == attacker {
									answered++
								}
								b.Release()
							}
						}()
						for i := range forged {
							wire.Tx <- forge(card.MAC, netip.AddrPortFrom(source(i), 53), netip.AddrPortFrom(self, uint16(5000+i)))
							if i%40 == 39 { // the queue of the wire is not what this is about
								synctest.Wait()
							}
						}
						wire.Tx <- forge(card.MAC, netip.AddrPortFrom(attacker, 53), netip.AddrPortFrom(self, 4999))
						synctest.Wait()
						if answered != 1 {
							t.Errorf("%d answers; stats\n%v", answered, s.Stats())
						}
						s.Close()
						close(wire.Tx)
						<-done
					})
				})
			}
		}
	}
}
