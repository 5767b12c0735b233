package packetdrill

// An icmpError is an ICMP error that arrives, about a segment of the stack's.
type icmpError struct {
	ip        network
	typ, code uint8
	mtu       uint16 // of a datagram that was too large
	seq       uint32 // of the segment
	len       int
}

// icmpTypes and icmpCodes are the names of RFC 792, 1122 and 1812.
var icmpTypes = map[string]uint8{
	"unreachable": 3, "source_quench": 4, "time_exceeded": 11, "parameter_problem": 12,
}

var icmpCodes = map[string]struct{ typ, code uint8 }{
	"net_unreachable":             {3, 0},
	"host_unreachable":            {3, 1},
	"protocol_unreachable":        {3, 2},
	"port_unreachable":            {3, 3},
	"frag_needed":                 {3, 4},
	"source_route_failed":         {3, 5},
	"net_unknown":                 {3, 6},
	"host_unknown":                {3, 7},
	"source_host_isolated":        {3, 8},
	"net_prohibited":              {3, 9},
	"host_prohibited":             {3, 10},
	"net_unreachable_for_tos":     {3, 11},
	"host_unreachable_for_tos":    {3, 12},
	"packet_filtered":             {3, 13},
	"precedence_violation":        {3, 14},
	"precedence_cutoff":           {3, 15},
	"ttl_exceeded":                {11, 0},
	"reassembly_timeout":          {11, 1},
	"pointer_indicates_the_error": {12, 0},
}

// icmp reads "unreachable frag_needed mtu 1200 [1:1461(1460)]".
func (s *scanner) icmp(ip network) action {
	e := &icmpError{ip: ip}
	name := s.word()
	typ, ok := icmpTypes[name]
	if !ok {
		s.fail("no ICMP error %q", name)
	}
	e.typ = typ
	if start := s.at; !s.acceptWord("mtu") {
		if name := s.word(); name != "" {
			code, ok := icmpCodes[name]
			if !ok || code.typ != typ {
				s.fail("no such code %q", name)
			}
			e.code = code.code
		}
	} else {
		s.at = start
	}
	if s.acceptWord("mtu") {
		e.mtu = uint16(s.bounded(0, 0xffff))
	}
	if s.accept("[") { // without, it is about the SYN
		e.seq, e.len = s.stretch()
		s.expect("]")
	}
	return e
}
