package tcp

import "net/netip"

// An endpoint is an IPv4 address and a port, in the form that is quick to
// hash and to compare.
type endpoint struct {
	ip   [4]byte
	port uint16
}

// A flow names a connection by its two ends; it is the key of the
// demultiplexer's tables.
type flow struct{ local, remote endpoint }

func toEndpoint(a netip.AddrPort) endpoint {
	e := endpoint{port: a.Port()}
	if ip := a.Addr().Unmap(); ip.Is4() {
		e.ip = ip.As4()
	}
	return e
}

func (e endpoint) addr() netip.Addr         { return netip.AddrFrom4(e.ip) }
func (e endpoint) addrPort() netip.AddrPort { return netip.AddrPortFrom(e.addr(), e.port) }
