package packetdrill

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Kinds of TCP options (IANA).
const (
	optEOL       = 0
	optNop       = 1
	optMSS       = 2   // RFC 9293 section 3.7.1
	optScale     = 3   // RFC 7323 section 2
	optSACKOK    = 4   // RFC 2018 section 2
	optSACK      = 5   // RFC 2018 section 3
	optTimestamp = 8   // RFC 7323 section 3
	optMD5       = 19  // RFC 2385
	optFastOpen  = 34  // RFC 7413 section 4.1.1
	optShared    = 254 // RFC 6994; Fast Open's before it had a kind of its own
)

// fastOpenMagic marks the experimental option of Fast Open (RFC 7413 section
// 9).
const fastOpenMagic = 0xf989

// An option is one of a segment. Which fields it uses depends on its kind.
type option struct {
	kind   byte
	raw    bool   // data are the bytes as they stand on the wire
	a, b   uint32 // MSS, or shift; or value and echo of a timestamp
	blocks []block
	data   []byte // a cookie, or raw bytes
	known  bool   // the cookie that was seen before: "FO *"
}

// A block is a run of sequence numbers.
type block struct{ left, right uint32 }

// options reads "<mss 1460,sackOK,...>" behind its "<". Any says that the
// script does not care.
func (s *scanner) options() (list []option, any bool) {
	text := strings.TrimSpace(s.until(">"))
	switch text {
	case "...":
		return nil, true
	case "":
		return nil, false
	}
	for item := range strings.SplitSeq(text, ",") {
		list = append(list, (&scanner{name: s.name, text: item, first: s.line(s.at) - 1}).option())
	}
	if len(encodeOptions(list)) > 40 {
		s.fail("options have room for 40 bytes")
	}
	return list, false
}

// option reads one option, which is all that is left.
func (s *scanner) option() (o option) {
	switch name := s.word(); name {
	case "nop":
		o.kind = optNop
	case "eol":
		o.kind = optEOL
	case "mss":
		o.kind, o.a = optMSS, uint32(s.bounded(0, 0xffff))
	case "wscale":
		o.kind, o.a = optScale, uint32(s.bounded(0, 0xff))
	case "sackOK":
		o.kind = optSACKOK
	case "sack":
		o.kind = optSACK
		for s.skip(); !s.done(); s.skip() {
			left := s.sequence()
			s.expect(":")
			o.blocks = append(o.blocks, block{left, s.sequence()})
		}
	case "TS":
		o.kind = optTimestamp
		s.expect("val")
		o.a = s.sequence()
		s.expect("ecr")
		o.b = s.sequence()
	case "FO", "FOEXP":
		o.kind = optFastOpen
		if name == "FOEXP" {
			o.kind = optShared
		}
		if o.known = s.accept("*"); !o.known {
			o.data = s.hex()
		}
	case "md5":
		if o.kind, o.data = optMD5, s.hex(); len(o.data) != 16 {
			s.fail("a digest of MD5 has 16 bytes")
		}
	case "raw":
		o.raw, o.data = true, s.hex()
	default:
		s.fail("no option %q", name)
	}
	if s.skip(); !s.done() {
		s.fail("what is %q?", s.rest())
	}
	return o
}

// sequence reads a number of 32 bits, which may be negative.
func (s *scanner) sequence() uint32 { return uint32(s.bounded(-1<<31, 1<<32-1)) }

// hex reads bytes in hexadecimal; there may be none.
func (s *scanner) hex() []byte {
	s.skip()
	b, err := hex.DecodeString(s.run(isWord))
	if err != nil {
		s.fail("not hexadecimal: %v", err)
	}
	return b
}

// encodeOptions writes options as on the wire, padded with zeros.
func encodeOptions(list []option) []byte {
	var p []byte
	for _, o := range list {
		p = o.encode(p)
	}
	for len(p)%4 != 0 {
		p = append(p, optEOL)
	}
	return p
}

func (o *option) encode(p []byte) []byte {
	if o.raw {
		return append(p, o.data...)
	}
	switch o.kind {
	case optEOL, optNop:
		return append(p, o.kind)
	case optMSS:
		return append(p, o.kind, 4, byte(o.a>>8), byte(o.a))
	case optScale:
		return append(p, o.kind, 3, byte(o.a))
	case optSACKOK:
		return append(p, o.kind, 2)
	case optSACK:
		p = append(p, o.kind, byte(2+8*len(o.blocks)))
		for _, b := range o.blocks {
			p = binary.BigEndian.AppendUint32(p, b.left)
			p = binary.BigEndian.AppendUint32(p, b.right)
		}
		return p
	case optTimestamp:
		p = binary.BigEndian.AppendUint32(append(p, o.kind, 10), o.a)
		return binary.BigEndian.AppendUint32(p, o.b)
	case optShared:
		p = binary.BigEndian.AppendUint16(append(p, o.kind, byte(4+len(o.data))), fastOpenMagic)
		return append(p, o.data...)
	}
	return append(append(p, o.kind, byte(2+len(o.data))), o.data...) // optFastOpen, optMD5
}

// decodeOptions reads options from the wire, padding and all.
func decodeOptions(p []byte) (list []option) {
	for len(p) > 0 {
		n := 1
		if p[0] != optEOL && p[0] != optNop {
			if len(p) < 2 || p[1] < 2 || int(p[1]) > len(p) {
				return append(list, option{raw: true, data: p})
			}
			n = int(p[1])
		}
		list = append(list, decodeOption(p[:n]))
		p = p[n:]
	}
	return list
}

func decodeOption(p []byte) option {
	o := option{kind: p[0]}
	value := p[min(2, len(p)):]
	switch {
	case o.kind == optEOL, o.kind == optNop, o.kind == optSACKOK && len(value) == 0:
	case o.kind == optMSS && len(value) == 2:
		o.a = uint32(binary.BigEndian.Uint16(value))
	case o.kind == optScale && len(value) == 1:
		o.a = uint32(value[0])
	case o.kind == optTimestamp && len(value) == 8:
		o.a, o.b = binary.BigEndian.Uint32(value), binary.BigEndian.Uint32(value[4:])
	case o.kind == optSACK && len(value)%8 == 0:
		for ; len(value) > 0; value = value[8:] {
			o.blocks = append(o.blocks, block{binary.BigEndian.Uint32(value), binary.BigEndian.Uint32(value[4:])})
		}
	case o.kind == optFastOpen, o.kind == optMD5 && len(value) == 16:
		o.data = value
	case o.kind == optShared && len(value) >= 2 && binary.BigEndian.Uint16(value) == fastOpenMagic:
		o.data = value[2:]
	default:
		return option{raw: true, data: p}
	}
	return o
}

// isPadding says whether o only fills space.
func (o *option) isPadding() bool { return !o.raw && (o.kind == optNop || o.kind == optEOL) }

// sameOptions compares what was seen with what a script wants. Padding counts
// only when the script writes some itself.
func sameOptions(want, got []option) bool {
	if !slices.ContainsFunc(want, func(o option) bool { return o.isPadding() }) {
		got = slices.DeleteFunc(slices.Clone(got), func(o option) bool { return o.isPadding() })
	}
	return slices.EqualFunc(want, got, func(w, g option) bool {
		if w.known { // what the cookie is was learned when it came
			return g.kind == w.kind && !g.raw && len(g.data) > 0
		}
		return w.kind == g.kind && w.raw == g.raw && w.a == g.a && w.b == g.b &&
			slices.Equal(w.blocks, g.blocks) && slices.Equal(w.data, g.data)
	})
}

// find is the option of this kind, or nil.
func find(list []option, kind byte) *option {
	for i := range list {
		if list[i].kind == kind && !list[i].raw {
			return &list[i]
		}
	}
	return nil
}

func (o option) String() string {
	if o.raw {
		return "raw " + hex.EncodeToString(o.data)
	}
	switch o.kind {
	case optEOL:
		return "eol"
	case optNop:
		return "nop"
	case optMSS:
		return fmt.Sprintf("mss %d", o.a)
	case optScale:
		return fmt.Sprintf("wscale %d", o.a)
	case optSACKOK:
		return "sackOK"
	case optMD5:
		return "md5 " + hex.EncodeToString(o.data)
	case optTimestamp:
		return fmt.Sprintf("TS val %d ecr %d", int32(o.a), int32(o.b))
	case optSACK:
		text := "sack"
		for _, b := range o.blocks {
			text += fmt.Sprintf(" %d:%d", int32(b.left), int32(b.right))
		}
		return text
	}
	name := "FO"
	if o.kind == optShared {
		name = "FOEXP"
	}
	if o.known {
		return name + " *"
	}
	return strings.TrimSpace(name + " " + hex.EncodeToString(o.data))
}
