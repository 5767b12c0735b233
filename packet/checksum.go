package packet

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/internal/checksum"
)

// udpField is where the checksum of UDP lies in its header, in bytes. No other
// protocol has its checksum there.
const udpField = 6

// SetPartial marks the transport checksum as partial: it is to be summed from
// start, counted from the front, to the end of the packet, and stored offset
// bytes behind start. The field there holds the folded, not inverted, sum of
// the pseudo-header.
func (b *Buffer) SetPartial(start, offset int) {
	b.Checksum = ChecksumPartial
	b.sumStart, b.sumOffset = b.front+start, offset
}

// Partial returns where a partial checksum starts, counted from the present
// front, and where its field lies behind that. It is meaningful only while
// Checksum is ChecksumPartial.
func (b *Buffer) Partial() (start, offset int) { return b.sumStart - b.front, b.sumOffset }

// CompleteChecksum does in software what a partial checksum leaves to the
// device. It must not be called on a train, whose segments have checksums of
// their own.
func (b *Buffer) CompleteChecksum() {
	if b.Checksum != ChecksumPartial {
		return
	}
	b.Checksum = ChecksumComplete
	covered := b.mem[b.sumStart:b.end]
	sum := ^checksum.Fold(checksum.Sum(covered, 0))
	if sum == 0 && b.sumOffset == udpField {
		sum = 0xffff // 0 would mean that there is none (RFC 768)
	}
	binary.BigEndian.PutUint16(covered[b.sumOffset:], sum)
}
