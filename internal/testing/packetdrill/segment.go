package packetdrill

import (
	"fmt"
	"strings"
)

// flags are the control bits of a TCP header.
type flags uint8

const (
	fin flags = 1 << iota
	syn
	rst
	psh
	ack
	urg
	ece
	cwr
)

// flagLetters are the flags in the order of their bits.
const flagLetters = "FSRP.UEW"

func (f flags) String() string {
	text := ""
	for i, c := range flagLetters {
		if f&(1<<i) != 0 {
			text += string(c)
		}
	}
	if text == "" {
		return "-"
	}
	return text
}

// said is a number that a script may leave out.
type said struct {
	value int
	is    bool
}

func (s said) differs(got int) bool { return s.is && s.value != got }

// A segment is a TCP segment, as a script writes it or as it stands on the
// wire; a flow turns the numbers of the one into those of the other.
type segment struct {
	ip         network
	flags      flags
	seq, ack   uint32
	len        int // of the text
	window     said
	urgent     int
	options    []option
	anyOptions bool
}

// network is what a script says in brackets.
type network struct {
	peer     said
	fresh    bool // "new": the numbers of this direction begin anew
	ecn      said // the two bits of ECN
	ect      bool // "ect01": ECT(0) or ECT(1)
	tos, ttl said
	df       said // 1 or 0
	train    said // text in each segment of a train
	badSum   bool // the checksum is wrong
	offset   said // the data offset, in words, as it stands in the header
}

// inbound is a segment from the peer, outbound one from the stack.
type (
	inbound  struct{ segment }
	outbound struct{ segment }
)

// inbound reads what follows "<".
func (s *scanner) inbound() action {
	ip := s.network()
	if s.acceptWord("icmp") {
		return s.icmp(ip)
	}
	in := &inbound{s.segment(ip, true)}
	if in.anyOptions {
		s.fail("the options of a segment that arrives must be said")
	}
	if in.len > maxText {
		s.fail("%d bytes of text do not fit a datagram", in.len)
	}
	if in.ip.train.is && in.ip.train.value >= in.len {
		in.ip.train = said{}
	}
	return in
}

// maxText is how much text a segment that arrives may have.
const maxText = 65535 - 20 - 60

// outbound reads what follows ">".
func (s *scanner) outbound() action {
	ip := s.network()
	if s.acceptWord("icmp") {
		s.fail("ICMP messages of the stack are not for these scripts")
	}
	if ip.badSum || ip.offset.is {
		s.fail("what goes out is never malformed")
	}
	return &outbound{s.segment(ip, false)}
}

// network reads "[ce, ttl 64]", if it is there.
func (s *scanner) network() (n network) {
	if !s.accept("[") {
		return n
	}
	for {
		s.networkWord(&n)
		if !s.accept(",") {
			s.expect("]")
			return n
		}
	}
}

func (s *scanner) networkWord(n *network) {
	number := func(low, high int64) said { return said{int(s.bounded(low, high)), true} }
	switch word := s.word(); word {
	case "noecn":
		n.ecn = said{0, true}
	case "ect1":
		n.ecn = said{1, true}
	case "ect0":
		n.ecn = said{2, true}
	case "ce":
		n.ecn = said{3, true}
	case "ect01":
		n.ect = true
	case "tos":
		n.tos = number(0, 255)
	case "ttl":
		n.ttl = number(1, 255)
	case "df":
		n.df = said{1, true}
	case "nodf":
		n.df = said{0, true}
	case "train":
		n.train = number(1, 65535)
	case "peer":
		n.peer = number(1, maxPeers)
	case "new":
		n.fresh = true
	case "badsum":
		n.badSum = true
	case "offset":
		n.offset = number(0, 15)
	default:
		s.fail("%q cannot stand in brackets", word)
	}
}

// segment reads "S. 0:0(0) ack 1 win 32792 urg 3 <mss 1460>". What arrives need
// not say what it acknowledges: then it is 0.
func (s *scanner) segment(ip network, in bool) segment {
	g := segment{ip: ip}
	s.skip()
	letters := s.run(func(c byte) bool { return strings.IndexByte(flagLetters+"-", c) >= 0 })
	if letters == "" {
		s.fail("want flags, found %q", s.glimpse())
	}
	for _, c := range letters {
		if c != '-' {
			g.flags |= 1 << strings.IndexRune(flagLetters, c)
		}
	}
	g.seq, g.len = s.stretch()
	if s.acceptWord("ack") {
		g.ack = s.sequence()
	} else if g.has(ack) && !g.has(rst) && !in {
		s.fail("a segment with . says what it acknowledges")
	}
	if s.acceptWord("win") {
		g.window = said{int(s.bounded(0, 0xffff)), true}
	}
	if s.acceptWord("urg") {
		g.urgent = int(s.bounded(0, 0xffff))
	}
	// Behind a segment an option list and the direction of the next event look
	// alike, but that one has a time in front.
	if s.accept("<") {
		g.options, g.anyOptions = s.options()
	}
	return g
}

// stretch reads "1:1001(1000)".
func (s *scanner) stretch() (from uint32, length int) {
	from = s.sequence()
	s.expect(":")
	to := s.sequence()
	s.expect("(")
	n := s.bounded(0, 1<<30)
	s.expect(")")
	if to != from+uint32(n) {
		s.fail("from %d to %d it is not %d bytes", int32(from), int32(to), n)
	}
	return from, int(n)
}

// has says whether all flags f are set.
func (g *segment) has(f flags) bool { return g.flags&f == f }

// textSeq is the sequence number of the first byte of text.
func (g *segment) textSeq() uint32 {
	if g.has(syn) {
		return g.seq + 1
	}
	return g.seq
}

// differs says in what got is not what the script wants; "" when in nothing.
func (g *segment) differs(got *segment) string {
	n := &g.ip
	switch {
	case g.flags != got.flags:
		return "other flags"
	case g.seq != got.seq:
		return "another sequence number"
	case g.len != got.len:
		return "another length"
	case g.has(ack) && g.ack != got.ack && !(g.has(rst) && g.ack == 0):
		return "another acknowledgement"
	case g.window.differs(got.window.value):
		return "another window"
	case g.urgent != got.urgent:
		return "another urgent pointer"
	case !g.anyOptions && !sameOptions(g.options, got.options):
		return "other options"
	case n.ecn.differs(got.ip.ecn.value), n.ect && (got.ip.ecn.value == 0 || got.ip.ecn.value == 3):
		return "another ECN field"
	case n.tos.differs(got.ip.tos.value):
		return "another type of service"
	case n.ttl.differs(got.ip.ttl.value):
		return "another time to live"
	case n.df.differs(got.ip.df.value):
		return "another DF bit"
	case n.train.differs(got.ip.train.value):
		return "segments of another size"
	}
	return ""
}

// String is the segment in packetdrill's notation.
func (g *segment) String() string {
	var b strings.Builder
	b.WriteString(g.ip.String())
	fmt.Fprintf(&b, "%v %d:%d(%d)", g.flags, int32(g.seq), int32(g.seq+uint32(g.len)), g.len)
	if g.has(ack) {
		fmt.Fprintf(&b, " ack %d", int32(g.ack))
	}
	if g.window.is {
		fmt.Fprintf(&b, " win %d", g.window.value)
	}
	if g.urgent != 0 {
		fmt.Fprintf(&b, " urg %d", g.urgent)
	}
	if g.anyOptions {
		b.WriteString(" <...>")
	} else if len(g.options) > 0 {
		var list []string
		for _, o := range g.options {
			list = append(list, o.String())
		}
		fmt.Fprintf(&b, " <%s>", strings.Join(list, ","))
	}
	return b.String()
}

func (n *network) String() string {
	var list []string
	if n.peer.is && n.peer.value != 1 {
		list = append(list, fmt.Sprintf("peer %d", n.peer.value))
	}
	if n.ecn.is && n.ecn.value != 0 {
		list = append(list, [...]string{"noecn", "ect1", "ect0", "ce"}[n.ecn.value])
	}
	if n.train.is && n.train.value != 0 {
		list = append(list, fmt.Sprintf("train %d", n.train.value))
	}
	if len(list) == 0 {
		return ""
	}
	return "[" + strings.Join(list, ", ") + "] "
}
