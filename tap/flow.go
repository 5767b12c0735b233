package tap

import "encoding/binary"

// entries is how many flows are told apart at most: by the entry of a table that
// the hash of their addresses and ports has, as in a network card.
const entries = 1 << 8

// Where things are in a frame (RFC 791 section 3.1).
const (
	ethernetLen = 14 // of a header
	vlanLen     = 4  // of the tag that a header may have besides

	etherTypeAt   = 12
	etherTypeIPv4 = 0x0800

	fragmentAt   = 6
	protocolAt   = 9
	sourceAt     = 12
	targetAt     = 16
	minIPv4Len   = 20
	fragmentMask = 0x3fff // more fragments follow, or went before

	protocolTCP = 6
	protocolUDP = 17
)

// entryOf is the entry of a frame's flow, whichever way the frame goes. What has
// no ports is a flow of the two hosts; so is each fragment, since only the first
// one of a datagram has ports; and what is not IPv4 is one flow.
// Header is how long that of the link layer is: Ethernet's, or 0.
func entryOf(frame []byte, header int) byte {
	if len(frame) < header+minIPv4Len || header > 0 && binary.BigEndian.Uint16(frame[etherTypeAt:]) != etherTypeIPv4 {
		return 0
	}
	ip := frame[header:]
	hash := mix(uint64(binary.BigEndian.Uint32(ip[sourceAt:])) + uint64(binary.BigEndian.Uint32(ip[targetAt:])))
	headerLen, protocol := int(ip[0]&0xf)*4, ip[protocolAt]
	whole := binary.BigEndian.Uint16(ip[fragmentAt:])&fragmentMask == 0
	if whole && (protocol == protocolTCP || protocol == protocolUDP) && len(ip) >= headerLen+4 {
		ports := ip[headerLen:]
		hash = mix(hash + uint64(binary.BigEndian.Uint16(ports)) + uint64(binary.BigEndian.Uint16(ports[2:])))
	}
	return byte(hash >> 56)
}

// mix multiplies by 2^64 divided by the golden ratio, which makes numbers that
// lie close together differ in their upper bits (Knuth, The Art of Computer
// Programming, volume 3, section 6.4).
func mix(n uint64) uint64 { return n * 0x9e3779b97f4a7c15 }
