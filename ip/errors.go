package ip

import (
	"net/netip"
	"runtime"
	"syscall"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/packet"
)

// ICMP types and codes that IP and the transports speak of: those of version 4
// (RFC 792, 1122 section 3.2.2.1, 1812 section 5.2.7.1). Package icmp has the
// messages.
const (
	TypeUnreachable      = 3
	TypeSourceQuench     = 4
	TypeTimeExceeded     = 11
	TypeParameterProblem = 12

	CodeNetUnreachable      = 0
	CodeHostUnreachable     = 1
	CodeProtocolUnreachable = 2
	CodePortUnreachable     = 3
	CodeFragmentationNeeded = 4
	CodeSourceRouteFailed   = 5
	CodeAdminProhibited     = 13

	CodeTTLExceeded        = 0
	CodeReassemblyExceeded = 1
)

// An ErrorRequest is a datagram that could not be served, and the ICMP error that
// its sender should get. Whoever finds it gives Packet away with it; the network
// header of Packet is marked. Package icmp decides whether the error may be sent
// (RFC 1122 section 3.2.2), or, when this host is the sender, brings an ICMPError
// to its own transport.
type ErrorRequest struct {
	Type, Code uint8
	Value      uint32 // the second word of the message: next-hop MTU in its low half, or pointer in its high byte
	Packet     *packet.Buffer
}

// Send gives r to ICMP, and says whether that has taken it. It does not wait for
// ICMP, which may itself wait for the caller; but where there is no room it lets
// others run first. Without that a burst of requests would fill the queue, and
// whether the last of them gets its error would tell its sender how many of the
// datagrams before, though in the name of others, deserved one.
func (r ErrorRequest) Send(requests edge.Out[ErrorRequest]) bool {
	if requests.Try(r) {
		return true
	}
	runtime.Gosched()
	return requests.Try(r)
}

// An ICMPError is an ICMP error about a datagram that this host has sent, on its
// way to the transport which sent it.
type ICMPError struct {
	Type, Code uint8
	MTU        int        // of the next hop, with CodeFragmentationNeeded; 0 when the router did not say
	From       netip.Addr // who tells; the host itself for errors found here
	Src, Dst   netip.Addr // of the datagram
	Protocol   uint8
	Transport  [8]byte // how the datagram's payload began: ports, and TCP's sequence number
}

// Err is the error that the socket gets, as in Linux; but for code 8, source
// host isolated, which no router sends (RFC 1812 section 5.2.7.1): there it is
// ENONET, which not every system has.
func (e ICMPError) Err() error {
	switch e.Type {
	case TypeParameterProblem:
		return syscall.EPROTO
	case TypeUnreachable:
		switch e.Code {
		case CodeNetUnreachable, 6, 9, 11: // and network unknown; prohibited; for this type of service
			return syscall.ENETUNREACH
		case 7: // host unknown
			return syscall.EHOSTDOWN
		case CodeProtocolUnreachable:
			return syscall.ENOPROTOOPT
		case CodePortUnreachable:
			return syscall.ECONNREFUSED
		case CodeFragmentationNeeded:
			return syscall.EMSGSIZE
		case CodeSourceRouteFailed:
			return syscall.EOPNOTSUPP
		}
	}
	return syscall.EHOSTUNREACH
}

// Hard says whether the error ends a connection attempt or a datagram
// exchange: destination unreachable with codes 2 to 4 (RFC 1122 section
// 4.2.3.9), the last of which is path MTU discovery's.
func (e ICMPError) Hard() bool {
	return e.Type == TypeUnreachable && (e.Code == CodeProtocolUnreachable || e.Code == CodePortUnreachable)
}
