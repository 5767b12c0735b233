package link

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/internal/checksum"
)

// markCE says to the receiver of an IPv4 datagram that it met congestion (RFC
// 3168 section 5), and whether the sender understands that. The checksum of
// the header follows (RFC 1624, equation 3).
func markCE(frame []byte, header int) bool {
	const ecn, notCapable, congestion = 3, 0, 3
	ip := datagram(frame, header)
	if ip == nil || ip[1]&ecn == notCapable {
		return false
	}
	old := binary.BigEndian.Uint16(ip)
	ip[1] |= congestion
	sum := checksum.Update(binary.BigEndian.Uint16(ip[10:]), old, binary.BigEndian.Uint16(ip))
	binary.BigEndian.PutUint16(ip[10:], sum)
	return true
}
