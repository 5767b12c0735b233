package udp_test

import (
	"fmt"
	"log"
	"net"
	"net/netip"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/udp"
)

// A socket that joins a group gets what is sent to it.
func ExampleConn_JoinGroup() {
	group := netip.MustParseAddr("239.1.2.3")
	cardA, cardB := link.Pipe(link.PipeConfig{})
	a, err := gonet.New(gonet.Config{Link: cardA, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	b, err := gonet.New(gonet.Config{Link: cardB, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	member, err := b.ListenPacket("udp", ":5000")
	if err != nil {
		log.Fatal(err)
	}
	if err := member.(*udp.Conn).JoinGroup(group, 0); err != nil {
		log.Fatal(err)
	}
	sender, err := a.Dial("udp", "239.1.2.3:5000")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(sender, "to all")
	buf := make([]byte, 100)
	n, from, err := member.ReadFrom(buf)
	fmt.Printf("%s, %v, %v\n", buf[:n], from.(*net.UDPAddr).AddrPort().Addr(), err)
	// Output: to all, 10.0.0.1, <nil>
}
