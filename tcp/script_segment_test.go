package tcp

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// Where the numbers of scripts begin: near the wrap.
const (
	scriptISS  seq = 0xfffffff0
	scriptIRS  seq = 0xffffff00
	peerTSBase     = 0xffffff00
)

// A spec is a segment as a script has it, with absolute numbers.
type spec struct {
	segment
	peer    int
	win     bool   // the window is said
	opts    bool   // the options are said
	options string // as they stand there
}

// A bases is what the numbers of one direction are relative to.
type bases struct {
	seq, ack seq
	sack     seq
	val, ecr uint32
}

var (
	incoming = bases{seq: scriptIRS, ack: scriptISS, sack: scriptISS, val: peerTSBase, ecr: ourTSBase}
	outgoing = bases{seq: scriptISS, ack: scriptIRS, sack: scriptIRS, val: ourTSBase, ecr: peerTSBase}
)

// ecnNames are the codepoints of the IP header, as packetdrill has them.
var ecnNames = map[string]ipv4.ECN{"noecn": ipv4.NotECT, "ect0": ipv4.ECT0, "ect1": ipv4.ECT1, "ce": ipv4.CE}

// parseSpec reads "S. 0:0(0) ack 1 win 32792 <mss 1000,sackOK>", with "urg 3",
// "train 1000", "peer 2" and "abs" (SEQ is absolute) where needed. In front may
// stand a codepoint, "[ect0]"; without it, it is [noecn].
func parseSpec(text string, base bases) (s spec, err error) {
	s.peer = 1
	if name, rest, ok := strings.Cut(text, "]"); ok && strings.HasPrefix(name, "[") {
		if s.ecn, ok = ecnNames[name[1:]]; !ok {
			return s, fmt.Errorf("no codepoint %s]", name)
		}
		text = rest
	}
	if i := strings.IndexByte(text, '<'); i >= 0 {
		j := strings.IndexByte(text, '>')
		if j < i {
			return s, fmt.Errorf("options do not end")
		}
		s.options, s.opts = text[i+1:j], true
		text = text[:i] + text[j+1:]
	}
	words := strings.Fields(text)
	if len(words) < 2 {
		return s, fmt.Errorf("a segment has flags and seq:end(len)")
	}
	if s.flags, err = parseFlags(words[0]); err != nil {
		return s, err
	}
	var from, to, n int
	if _, err := fmt.Sscanf(words[1], "%d:%d(%d)", &from, &to, &n); err != nil || to-from != n {
		return s, fmt.Errorf("bad range %s", words[1])
	}
	s.seq, s.len = base.seq.add(from), n
	for words = words[2:]; len(words) > 0; {
		if words[0] == "abs" {
			s.seq, words = seq(from), words[1:]
			continue
		}
		if len(words) < 2 {
			return s, fmt.Errorf("%s wants a number", words[0])
		}
		if err := s.field(words[0], words[1], base); err != nil {
			return s, err
		}
		words = words[2:]
	}
	if s.opts && s.options != "..." {
		s.segment.opts, err = parseOptionText(s.options, base, s.has(ACK))
	}
	return s, err
}

func parseFlags(text string) (f flags, err error) {
	letters := map[rune]flags{'F': FIN, 'S': SYN, 'R': RST, 'P': PSH, '.': ACK, 'U': URG, 'E': ECE, 'W': CWR, '-': 0}
	for _, c := range text {
		x, ok := letters[c]
		if !ok {
			return 0, fmt.Errorf("flag %q", c)
		}
		f |= x
	}
	return f, nil
}

func (s *spec) field(name, value string, base bases) error {
	v, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	switch name {
	case "ack":
		s.ack = base.ack.add(v)
	case "win":
		s.window, s.win = uint16(v), true
	case "urg":
		s.urgent = uint16(v)
	case "train":
		s.train = v
	case "peer":
		s.peer = v
	default:
		return fmt.Errorf("no field %s", name)
	}
	return nil
}

// parseOptionText reads "mss 1000,sackOK,TS val 5 ecr 3,wscale 2,sack 1:2,FO
// 1234abcd,FOreq". A TS ecr is relative only beside an ACK.
func parseOptionText(text string, base bases, ack bool) (o options, err error) {
	for _, item := range strings.Split(text, ",") {
		var a, b int
		switch name, _, _ := strings.Cut(item, " "); name {
		case "mss":
			_, err = fmt.Sscanf(item, "mss %d", &a)
			o.mss = uint16(a)
		case "sackOK":
			o.sackPermitted = true
		case "wscale":
			_, err = fmt.Sscanf(item, "wscale %d", &a)
			o.hasScale, o.scale = true, uint8(a)
		case "TS":
			_, err = fmt.Sscanf(item, "TS val %d ecr %d", &a, &b)
			o.hasTimestamps, o.tsVal, o.tsEcr = true, base.val+uint32(a), base.ecr+uint32(b)
			if !ack {
				o.tsEcr = uint32(b)
			}
		case "sack":
			_, err = fmt.Sscanf(item, "sack %d:%d", &a, &b)
			o.sack[o.sacks] = block{base.sack.add(a), base.sack.add(b)}
			o.sacks++
		case "FO":
			var value []byte
			value, err = hex.DecodeString(strings.TrimPrefix(item, "FO "))
			o.fastOpen.parse(value)
		case "FOreq":
			o.fastOpen.present = true
		case "nop", "":
		default:
			err = fmt.Errorf("no such option")
		}
		if err != nil {
			return o, fmt.Errorf("option %q: %v", item, err)
		}
	}
	return o, nil
}

// buffer is the text of an incoming segment.
func (s *spec) buffer() *packet.Buffer {
	b := packet.Get(s.len)
	p := b.Extend(s.len)
	for i := range p {
		p[i] = peerByte(s.textSeq().sub(scriptIRS+1) + i)
	}
	return b
}

// peerByte and ourByte are byte i of what either side writes.
func peerByte(i int) byte { return byte(i*31 + i>>8*7 + 1) }
func ourByte(i int) byte  { return byte(i*17 + i>>8*5 + 2) }

// matches says how got differs from what the script wants.
func (s *spec) matches(got *wireSegment, now time.Time) error {
	switch {
	case !got.at.Equal(now):
		return fmt.Errorf("sent at %v, %v earlier", got.at.Sub(start), now.Sub(got.at))
	case got.flow != peerFlow(s.peer), got.flags != s.flags, got.seq != s.seq, got.len != s.len,
		s.has(ACK) && got.ack != s.ack, s.win && got.window != s.window, got.urgent != s.urgent, got.ecn != s.ecn:
		return fmt.Errorf("sent otherwise")
	case s.opts && s.options != "..." && !sameOptions(s.segment.opts, got.opts):
		return fmt.Errorf("sent with other options")
	}
	for i, b := range got.data {
		if want := ourByte(got.textSeq().sub(scriptISS+1) + i); b != want {
			return fmt.Errorf("byte %d of the text is %d, want %d", i, b, want)
		}
	}
	return nil
}

func sameOptions(a, b options) bool {
	return a.mss == b.mss && a.hasScale == b.hasScale && a.scale == b.scale && a.sackPermitted == b.sackPermitted &&
		a.hasTimestamps == b.hasTimestamps && a.tsVal == b.tsVal && a.tsEcr == b.tsEcr &&
		a.fastOpen == b.fastOpen && slices.Equal(a.sack[:a.sacks], b.sack[:b.sacks])
}

// relative is a segment that went out, as a script would have it.
func relative(w *wireSegment) string {
	from := w.seq.sub(scriptISS)
	s := fmt.Sprintf("%v %d:%d(%d)", w.flags, from, from+w.len, w.len)
	for name, e := range ecnNames {
		if e == w.ecn && e != ipv4.NotECT {
			s = "[" + name + "] " + s
		}
	}
	if w.has(ACK) {
		s += fmt.Sprintf(" ack %d", w.ack.sub(scriptIRS))
	}
	s += fmt.Sprintf(" win %d", w.window)
	o := w.opts
	ecr := o.tsEcr
	if w.has(ACK) {
		ecr -= peerTSBase
	}
	o.tsVal, o.tsEcr = o.tsVal-ourTSBase, ecr
	for i := range o.sacks {
		o.sack[i] = block{o.sack[i].left - scriptIRS, o.sack[i].right - scriptIRS}
	}
	if text := o.String(); text != "" {
		s += " <" + text + ">"
	}
	if w.flow.remote != peerFlow(1).remote {
		s += fmt.Sprintf(" peer %d", w.flow.remote.port-40000)
	}
	return s
}
