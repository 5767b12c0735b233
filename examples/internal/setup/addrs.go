package setup

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/internal/program"
)

// longestName is how many bytes the name of an interface may have: IFNAMSIZ less
// its zero.
const longestName = 15

// leastMTU is what every link of IPv4 carries (RFC 791 section 3.2).
const leastMTU = 68

// check is what can be said of the flags of a tap without a look at the machine.
func (t *Tap) check() error {
	switch {
	case t.name == "" || len(t.name) > longestName || strings.ContainsAny(t.name, "/ \t\n:"):
		return program.Usage("-tap %q is no name of an interface: 1 to %d characters without / : and spaces", t.name, longestName)
	case t.mtu != 0 && (t.mtu < leastMTU || t.mtu > 65535):
		return program.Usage("-mtu %d is not from %d to 65535", t.mtu, leastMTU)
	case !t.Addr.IsValid() || !t.Addr.Addr().Is4():
		return program.Usage("-addr %v is not an IPv4 address with its network, like %v", t.Addr, AddrB)
	case t.Host.IsValid() && t.Host.Masked() != t.Addr.Masked():
		return program.Usage("-host %v and -addr %v are not on one network", t.Host, t.Addr)
	case t.Host.IsValid() && t.Host.Addr() == t.Addr.Addr():
		return program.Usage("-host and -addr are both %v: the two ends of the tap need addresses of their own", t.Addr)
	}
	return nil
}

// checkForward is the same for those of a server.
func (t *Tap) checkForward() error {
	if *t.port < 0 || *t.port > 65535 {
		return program.Usage("-port %d is not from 1 to 65535", *t.port)
	}
	if t.forward == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(t.forward)
	if err != nil {
		return program.Usage("-forward %q is not host:port, like %s", t.forward, defaultForward)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return program.Usage("-forward %q: %q is not a port from 0 to 65535", t.forward, port)
	}
	return nil
}

// conflict says why this machine would not reach the stack at its address: the
// kernel has the address itself, or looks for it behind another interface.
func (t *Tap) conflict() error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone since
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			if err := t.against(i.Name, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// against is conflict with one address of the kernel's.
func (t *Tap) against(name string, p netip.Prefix) error {
	const other = "choose others, as -addr 192.168.77.2/24 -host 192.168.77.1/24"
	switch addr := t.Addr.Addr(); {
	case p.Addr() == addr:
		return program.Usage("-addr %v is this machine's own address, on %s: %s", addr, name, other)
	case name != t.name && p.Contains(addr) && p.Bits() >= t.Addr.Bits():
		return program.Usage("-addr %v: this machine looks for it behind %s, whose network is %v: %s", addr, name, p.Masked(), other)
	case name != t.name && p.Addr() == t.Host.Addr():
		return program.Usage("-host %v is the address of %s already: %s", p.Addr(), name, other)
	}
	return nil
}
