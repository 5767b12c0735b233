package tcptest

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// Segments as tests of connections write them: the part that these need of the
// notation of internal/testing/packetdrill, which imports this package.

// A spec is a segment with the numbers of the wire, and what else was said.
type spec struct {
	segment.Segment
	Peer int
	Win  bool // the window was said
}

// ParseSpec reads "[ce, peer 2] P. 1:101(100) ack 1 win 60000 urg 3 <mss 1000,TS
// val 5 ecr 3,FO 1234abcd>". SEQ counts from first, and ACK from other.
func ParseSpec(text string, first, other segment.Seq) (s spec, err error) {
	s.Peer = 1
	if words, rest, ok := strings.Cut(text, "]"); ok {
		if err := s.brackets(strings.TrimPrefix(words, "[")); err != nil {
			return s, err
		}
		text = rest
	}
	text, list, _ := strings.Cut(text, "<")
	words := strings.Fields(text)
	if len(words) < 2 || len(words)%2 != 0 {
		return s, fmt.Errorf("%q is no segment", text)
	}
	if s.Flags, err = parseFlags(words[0]); err != nil {
		return s, err
	}
	var from, to int
	if _, err := fmt.Sscanf(words[1], "%d:%d(%d)", &from, &to, &s.Len); err != nil || to-from != s.Len {
		return s, fmt.Errorf("%q is no range", words[1])
	}
	s.Seq = first.Add(from)
	for words = words[2:]; len(words) > 0; words = words[2:] {
		if err := s.field(words[0], words[1], other); err != nil {
			return s, err
		}
	}
	s.Opts, err = parseOptionText(strings.TrimSuffix(list, ">"))
	return s, err
}

// brackets reads "ce, peer 2".
func (s *spec) brackets(text string) error {
	for word := range strings.SplitSeq(text, ", ") {
		if word == "ce" {
			s.ECN = ip.CE
		} else if _, err := fmt.Sscanf(word, "peer %d", &s.Peer); err != nil {
			return fmt.Errorf("[%s]: %v", word, err)
		}
	}
	return nil
}

func parseFlags(text string) (f segment.Flags, err error) {
	for _, c := range text {
		x, ok := map[rune]segment.Flags{'F': segment.FIN, 'S': segment.SYN, 'R': segment.RST, 'P': segment.PSH, '.': segment.ACK, 'U': segment.URG, 'E': segment.ECE, 'W': segment.CWR}[c]
		if !ok {
			return 0, fmt.Errorf("flag %q", c)
		}
		f |= x
	}
	return f, nil
}

func (s *spec) field(name, value string, other segment.Seq) error {
	v, err := strconv.Atoi(value)
	if err != nil {
		return err
	}
	switch name {
	case "ack":
		s.Ack = other.Add(v)
	case "win":
		s.Window, s.Win = uint16(v), true
	case "urg":
		s.Urgent = uint16(v)
	default:
		return fmt.Errorf("no field %s", name)
	}
	return nil
}

// parseOptionText reads "mss 1000,wscale 7,sackOK,TS val 5 ecr 3,FO
// 1234abcd"; "FO" alone asks for a cookie.
func parseOptionText(text string) (o segment.Options, err error) {
	for item := range strings.SplitSeq(text, ",") {
		switch name, value, _ := strings.Cut(item, " "); name {
		case "":
		case "mss":
			_, err = fmt.Sscan(value, &o.MSS)
		case "wscale":
			o.HasScale = true
			_, err = fmt.Sscan(value, &o.Scale)
		case "sackOK":
			o.SackPermitted = true
		case "TS":
			o.HasTimestamps = true
			_, err = fmt.Sscanf(value, "val %d ecr %d", &o.TSVal, &o.TSEcr)
		case "FO":
			var cookie []byte
			cookie, err = hex.DecodeString(value)
			o.FastOpen.Parse(cookie)
		default:
			err = fmt.Errorf("no such option")
		}
		if err != nil {
			return o, fmt.Errorf("option %q: %v", item, err)
		}
	}
	return o, nil
}
