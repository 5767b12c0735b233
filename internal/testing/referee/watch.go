package referee

import (
	"encoding/binary"
	"time"
)

// Sent and Arrived make a referee watch the two directions of an impaired link
// (they are link.Watchers): what the host sends as it enters the wire, and what
// the host receives as it leaves it.
type (
	Sent    struct{ *Referee }
	Arrived struct{ *Referee }
)

// Enters shows a frame that the host sends.
func (s Sent) Enters(now time.Time, frame []byte) { s.Sends(now, datagramOf(frame)) }

// Arrives does nothing.
func (Sent) Arrives(time.Time, []byte) {}

// Enters does nothing.
func (Arrived) Enters(time.Time, []byte) {}

// Arrives shows a frame that the host receives.
func (a Arrived) Arrives(now time.Time, frame []byte) { a.Hears(now, datagramOf(frame)) }

// datagramOf is the IPv4 datagram in an Ethernet frame; nil when there is none.
func datagramOf(frame []byte) []byte {
	const header, typeIPv4 = 14, 0x0800
	if len(frame) < header || binary.BigEndian.Uint16(frame[header-2:]) != typeIPv4 {
		return nil
	}
	return frame[header:]
}
