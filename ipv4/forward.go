package ipv4

import (
	"encoding/binary"
	"time"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// forward sends a datagram for another host on its way (RFC 1812 section
// 5.2). Rx has seen to it that it came in a frame to this host alone, from a
// possible source, and that its destination is no group: directed broadcasts
// end here (RFC 2644).
//
// Tx knows a forwarded datagram by its NextHop, and leaves its identification
// alone. If there is no route or it does not fit, the error is asked for there.
func (r *receiver) forward(b *packet.Buffer, h Header) {
	if net := h[16]; net == 0 || net >= 240 {
		drop(b, &r.stats.DropMartian) // RFC 1812 section 5.3.7
		return
	}
	if h.TTL() <= 1 {
		r.refuse(b, &r.stats.DropTTL, ip.TypeTimeExceeded, ip.CodeTTLExceeded, 0)
		return
	}
	if h.Len() > MinHeaderLen && !r.transitOptions(b, h) {
		return
	}
	old := binary.BigEndian.Uint16(h[8:])
	h[8]--
	binary.BigEndian.PutUint16(h[10:], checksum.Update(h.Checksum(), old, binary.BigEndian.Uint16(h[8:])))

	b.NextHop = h.Dst()
	if b.Checksum == packet.ChecksumVerified {
		b.Checksum = packet.ChecksumComplete
	}
	if !r.tx.Offer(b, r.cfg.Random) {
		drop(b, &r.stats.DropTxFull)
		return
	}
	r.stats.RxForwarded.Add(1)
}

// transitOptions serves the options of a datagram on its way, and says whether
// it may go on. A strict route that does not name this host has been left.
func (r *receiver) transitOptions(b *packet.Buffer, h Header) bool {
	o, ok := r.options(b, h)
	if !ok {
		return false
	}
	if o.SourceRoute != nil && !(r.cfg.AcceptSourceRoute && o.SourceRoute[0] == OptionLooseRoute) {
		r.refuseRoute(b)
		return false
	}
	self, _ := r.table.Load().Source(h.Dst()) // the side it leaves by (RFC 1812 section 5.3.13.5)
	if self.IsValid() && o.Record(self, time.Now()) {
		h.updateChecksum()
	}
	return true
}
