// Package segment is the wire format of TCP (RFC 9293 section 3.1): sequence
// numbers, headers, options, and segments as values.
package segment

import (
	"fmt"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

// AsksECN says whether s is an ECN-setup SYN, and agrees whether it is an
// ECN-setup SYN-ACK (RFC 3168 section 6.1.1). One with both flags comes from a
// peer that reflects what it does not know.
func (s *Segment) AsksECN() bool   { return s.Flags&(SYN|ACK|ECE|CWR) == SYN|ECE|CWR }
func (s *Segment) AgreesECN() bool { return s.Flags&(SYN|ACK|ECE|CWR) == SYN|ACK|ECE }

// A Segment is what the machine computes with: a header as a value, and the
// text, if any.
type Segment struct {
	Seq, Ack Seq
	Flags    Flags
	Window   uint16 // as on the wire, not yet scaled
	Urgent   uint16 // offset from seq of the first octet behind urgent data; with URG
	Opts     Options
	Len      int    // bytes of text
	ECN      ip.ECN // of the IP header
	Probe    int    // of a probe of the path MTU that goes out: the size of the datagram

	// Of a segment that has arrived: the buffer whose front is at the text,
	// and, when it is a train, the text bytes per segment in it.
	Text  *packet.Buffer
	Train int
	Route *SourceRoute // the way back, if it came by a source route
}

// Has says whether all the flags f are set.
func (s *Segment) Has(f Flags) bool { return s.Flags&f == f }

// Span is SEG.LEN of RFC 9293 section 3.3.1: the sequence numbers that the
// segment occupies, counting SYN and FIN.
func (s *Segment) Span() int {
	n := s.Len
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

// End is the sequence number behind the last one that the segment occupies.
func (s *Segment) End() Seq { return s.Seq.Add(s.Span()) }

// TextSeq is the sequence number of the first byte of text.
func (s *Segment) TextSeq() Seq {
	if s.Flags&SYN != 0 {
		return s.Seq + 1
	}
	return s.Seq
}

// String is the segment in the notation of packetdrill.
func (s *Segment) String() string {
	str := fmt.Sprintf("%v %d:%d(%d)", s.Flags, s.Seq, s.End(), s.Len)
	if s.Has(ACK) {
		str += fmt.Sprintf(" ack %d", s.Ack)
	}
	str += fmt.Sprintf(" win %d", s.Window)
	if s.Has(URG) {
		str += fmt.Sprintf(" urg %d", s.Urgent)
	}
	if o := s.Opts.String(); o != "" {
		str += " <" + o + ">"
	}
	return str
}
