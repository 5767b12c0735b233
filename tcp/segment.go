package tcp

import (
	"fmt"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// A segment is what the machine computes with: a header as a value, and the
// text, if any.
type segment struct {
	seq, ack seq
	flags    flags
	window   uint16 // as on the wire, not yet scaled
	urgent   uint16 // offset from seq of the first octet behind urgent data; with URG
	opts     options
	len      int    // bytes of text
	ecn      ip.ECN // of the IP header
	probe    int    // of a probe of the path MTU that goes out: the size of the datagram

	// Of a segment that has arrived: the buffer whose front is at the text,
	// and, when it is a train, the text bytes per segment in it.
	text  *packet.Buffer
	train int
	route *sourceRoute // the way back, if it came by a source route
}

// has says whether all the flags f are set.
func (s *segment) has(f flags) bool { return s.flags&f == f }

// span is SEG.LEN of RFC 9293 section 3.3.1: the sequence numbers that the
// segment occupies, counting SYN and FIN.
func (s *segment) span() int {
	n := s.len
	if s.flags&SYN != 0 {
		n++
	}
	if s.flags&FIN != 0 {
		n++
	}
	return n
}

// end is the sequence number behind the last one that the segment occupies.
func (s *segment) end() seq { return s.seq.add(s.span()) }

// textSeq is the sequence number of the first byte of text.
func (s *segment) textSeq() seq {
	if s.flags&SYN != 0 {
		return s.seq + 1
	}
	return s.seq
}

// String is the segment in the notation of packetdrill.
func (s *segment) String() string {
	str := fmt.Sprintf("%v %d:%d(%d)", s.flags, s.seq, s.end(), s.len)
	if s.has(ACK) {
		str += fmt.Sprintf(" ack %d", s.ack)
	}
	str += fmt.Sprintf(" win %d", s.window)
	if s.has(URG) {
		str += fmt.Sprintf(" urg %d", s.urgent)
	}
	if o := s.opts.String(); o != "" {
		str += " <" + o + ">"
	}
	return str
}
