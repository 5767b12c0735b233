package tap_test

import (
	"log"
	"net/netip"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/tap"
)

// A tap between the kernel, 10.0.0.1, and a stack, 10.0.0.2. To make one takes root
// (or CAP_NET_ADMIN); one that "ip tuntap add tap0 mode tap user NAME" has made does
// not. Package rootless has a way without either.
func ExampleOpen() {
	card, err := tap.Open(tap.Config{Name: "tap0", HostAddr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		log.Fatal(err) // and says what to do
	}
	stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		log.Fatal(err)
	}
	defer stack.Close() // and with it the tap
}
