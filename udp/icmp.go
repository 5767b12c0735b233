package udp

import "github.com/seed-012105e5/gonet/ip"

// fail tells the user of an ICMP error (RFC 1122 section 4.1.3.3): by ICMPErrors,
// and on a connected socket by the next read or write, of two errors the later
// one. Demux calls it; what the user does not take in time is lost.
func (c *Conn) fail(e ip.ICMPError) {
	select {
	case c.icmpErrors <- e:
	default:
	}
	if !c.isConnected() || !isFatal(e) {
		return // on an unconnected socket it would end the exchange with all others
	}
	select {
	case <-c.failure:
	default:
	}
	c.failure <- e.Err() // there is room, and nobody else sends
}

// isFatal says whether Linux has a read or write of a connected socket return
// the error e. What may be over in a moment, as a route that has gone, is not:
// datagrams are lost for many reasons, and the user waits no longer for the
// answer to this one than to another.
func isFatal(e ip.ICMPError) bool {
	switch e.Type {
	case ip.TypeParameterProblem:
		return true
	case ip.TypeUnreachable:
		switch e.Code {
		case ip.CodeNetUnreachable, ip.CodeHostUnreachable, ip.CodeSourceRouteFailed, 11, 12: // and net or host for this type of service
			return false
		}
		return e.Code <= 15 // of those that RFC 1812 section 5.2.7.1 has
	}
	return false
}

// ICMPErrors carries the ICMP errors about datagrams of the socket, connected or
// not, fatal or not: RFC 1122 section 4.1.3.3 wants all of them to be told.
// Those that are not taken in time are lost. It is never closed.
func (c *Conn) ICMPErrors() <-chan ip.ICMPError { return c.icmpErrors }
