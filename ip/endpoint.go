package ip

import (
	"encoding/binary"
	"net/netip"
)

// An Endpoint is an address and a port, in the form that is quick to hash and to
// compare. The zero address stands for any: it is what the unspecified addresses
// of both versions become. Zones are not kept: a link-local address of version 6
// will need the index of its link beside it.
type Endpoint struct {
	addr [16]byte // version 4 as in RFC 4291 section 2.5.5.2
	Port uint16
}

// A Flow is the two ends of a conversation: the key by which demultiplexers find a
// connection or a socket. Remote is zero when there is no peer.
type Flow struct{ Local, Remote Endpoint }

// EndpointOf is the Endpoint of an address, the zero Addr included, and a port.
func EndpointOf(a netip.Addr, port uint16) Endpoint {
	if !a.IsValid() || a.IsUnspecified() {
		return Endpoint{Port: port}
	}
	return Endpoint{a.As16(), port}
}

// EndpointOfAddrPort is the Endpoint of a.
func EndpointOfAddrPort(a netip.AddrPort) Endpoint { return EndpointOf(a.Addr().Unmap(), a.Port()) }

// IsWildcard says whether the address is the zero one, which stands for any.
func (e Endpoint) IsWildcard() bool { return e.addr == [16]byte{} }

// Addr is the address, one of version 4 in its plain form; 0.0.0.0 for any.
func (e Endpoint) Addr() netip.Addr {
	if e.IsWildcard() {
		return netip.IPv4Unspecified()
	}
	return netip.AddrFrom16(e.addr).Unmap()
}

// AddrPort is the Endpoint as package net has it.
func (e Endpoint) AddrPort() netip.AddrPort { return netip.AddrPortFrom(e.Addr(), e.Port) }

// A key is an address as a number of 128 bits, version 4 as in RFC 4291 section
// 2.5.5.2.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	if a.Is4() { // the same, faster
		b := a.As4()
		return key{0, 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k key) and(m key) key { return key{k.hi & m.hi, k.lo & m.lo} }

// maskOf has so many leading ones.
func maskOf(bits int) key {
	if bits <= 64 {
		return key{hi: ^(^uint64(0) >> bits)}
	}
	return key{^uint64(0), ^(^uint64(0) >> (bits - 64))}
}
