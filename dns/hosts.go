package dns

import (
	"net/netip"
	"slices"
)

// hosts are the names that no server is asked for. They do not change.
type hosts struct {
	addrs map[string][]netip.Addr // by absolute name
	names map[netip.Addr][]string // sorted, without the dot at their end
}

var (
	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback  = []netip.Addr{loopback4}
)

func newHosts(from map[string][]netip.Addr) hosts {
	h := hosts{map[string][]netip.Addr{}, map[netip.Addr][]string{}}
	for name, addrs := range from {
		name, _ = absolute(name)
		h.addrs[name] = append(h.addrs[name], nil...) // also when there are none
		for _, a := range addrs {
			a = a.Unmap()
			h.addrs[name] = append(h.addrs[name], a)
			h.names[a] = append(h.names[a], name[:len(name)-1])
		}
	}
	for _, names := range h.names {
		slices.Sort(names)
	}
	return h
}

// lookup is the addresses of name; false when servers must be asked. The name
// localhost, and all below it, are this host (RFC 6761 section 6.3), and invalid
// has no addresses (section 6.4).
func (h *hosts) lookup(name string) ([]netip.Addr, bool) {
	name, ok := absolute(name)
	if !ok {
		return nil, false
	}
	if addrs, ok := h.addrs[name]; ok {
		return addrs, true
	}
	if isBelow(name, "localhost.") {
		return loopback, true
	}
	return nil, isBelow(name, "invalid.")
}

// namesOf is the names of an address; none when servers must be asked.
func (h *hosts) namesOf(a netip.Addr) []string {
	if names := h.names[a]; names != nil {
		return names
	}
	if a.IsLoopback() {
		return []string{"localhost"}
	}
	return nil
}
