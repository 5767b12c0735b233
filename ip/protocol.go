package ip

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers (IANA): the field Protocol of version 4, and Next Header of
// version 6.
const (
	ProtocolICMP = 1
	ProtocolIGMP = 2
	ProtocolTCP  = 6
	ProtocolUDP  = 17
)

// MaxLen is the longest datagram, in bytes, headers included.
const MaxLen = 65535

// PseudoSum is the sum of the pseudo-header that the checksums of TCP and UDP
// cover: RFC 9293 section 3.1 and RFC 768, and RFC 8200 section 8.1 for version 6.
// Length counts the transport header and its data. It is a sum: that of length 0
// can be computed once for a flow, and each length be added to it.
func PseudoSum(src, dst netip.Addr, protocol uint8, length int) uint64 {
	return addrSum(src) + addrSum(dst) + uint64(protocol) + uint64(length>>16) + uint64(length&0xffff)
}

// addrSum is the sum of the 16-bit words of an address.
func addrSum(a netip.Addr) (sum uint64) {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint16(b[0:])) + uint64(binary.BigEndian.Uint16(b[2:]))
	}
	b := a.As16()
	for i := 0; i < len(b); i += 2 {
		sum += uint64(binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}
