package setup

import (
	"fmt"
	"net/netip"
)

// Names adds the flag that says which DNS server the stack asks for names; any
// number of them, in this order.
func (t *Tap) Names() {
	t.Func("dns", "`address` of a DNS server that the stack asks for names, with :port if not 53;\nmore than once for several (default none)", func(s string) error {
		server, err := netip.ParseAddrPort(s)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(s); err != nil {
				return fmt.Errorf("%q is no address like 10.0.0.1 or 10.0.0.1:53", s)
			}
			server = netip.AddrPortFrom(addr, 0)
		}
		t.dns.Servers = append(t.dns.Servers, server)
		return t.dns.Check()
	})
}

// HasNames says whether the stack has a DNS server to ask.
func (t *Tap) HasNames() bool { return len(t.dns.Servers) > 0 }
