package link

// Loopback returns a card that receives what it sends. MTU is the longest IP
// datagram, 68 to 65535 bytes; 0 means [DefaultMTU].
//
// Frames pass as through a [Pipe]: trains uncut, partial checksums partial. A
// frame that finds Rx full is dropped.
func Loopback(mtu int) Link {
	e := newEnd(mtu, false)
	go carry(e, e)
	return e.link("loopback", [6]byte{0x02, 0, 0, 0, 0, 0x01})
}
