package tcp

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Option kinds (IANA), with their lengths in bytes.
const (
	optEnd           = 0 // RFC 9293 section 3.2
	optNop           = 1
	optMSS           = 2  // 4 bytes
	optWindowScale   = 3  // 3 bytes, RFC 7323 section 2
	optSACKPermitted = 4  // 2 bytes, RFC 2018 section 2
	optSACK          = 5  // 2 + 8n bytes, RFC 2018 section 3
	optTimestamps    = 8  // 10 bytes, RFC 7323 section 3
	optFastOpen      = 34 // 2 + n bytes, RFC 7413 section 4.1.1
)

// maxScale is the largest window shift (RFC 7323 section 2.3).
const maxScale = 14

// maxSACK is how many blocks fit in the options: 4, or 3 beside timestamps.
const maxSACK = 4

// A block is a run of sequence numbers, right exclusive (RFC 2018 section 3).
type block struct{ left, right seq }

// options is the options of one segment.
type options struct {
	mss           uint16 // 0: absent
	hasScale      bool
	scale         uint8
	sackPermitted bool
	hasTimestamps bool
	tsVal, tsEcr  uint32
	sack          [maxSACK]block
	sacks         int // how many of sack are there
	fastOpen      cookie
}

// parseOptions reads the options of a header. Unknown options are skipped by
// their length (MUST-6). An illegal length ends the reading, and what came
// before it counts (MUST-7).
func parseOptions(p []byte) options {
	var o options
	for len(p) > 0 && p[0] != optEnd {
		if p[0] == optNop {
			p = p[1:]
			continue
		}
		if len(p) < 2 || p[1] < 2 || int(p[1]) > len(p) {
			break
		}
		o.set(p[0], p[2:p[1]])
		p = p[p[1]:]
	}
	return o
}

// set takes one option; value is what follows its kind and length. A known
// option of the wrong length is ignored (MUST-7).
func (o *options) set(kind byte, value []byte) {
	switch {
	case kind == optMSS && len(value) == 2:
		o.mss = binary.BigEndian.Uint16(value)
	case kind == optWindowScale && len(value) == 1:
		// RFC 7323 section 2.3: a shift above 14 counts as 14.
		o.hasScale, o.scale = true, min(value[0], maxScale)
	case kind == optSACKPermitted && len(value) == 0:
		o.sackPermitted = true
	case kind == optTimestamps && len(value) == 8:
		o.hasTimestamps = true
		o.tsVal = binary.BigEndian.Uint32(value)
		o.tsEcr = binary.BigEndian.Uint32(value[4:])
	case kind == optFastOpen:
		o.fastOpen.parse(value)
	case kind == optSACK && len(value)%8 == 0:
		o.sacks = 0
		for ; len(value) > 0 && o.sacks < maxSACK; value = value[8:] {
			o.sack[o.sacks] = block{
				left:  seq(binary.BigEndian.Uint32(value)),
				right: seq(binary.BigEndian.Uint32(value[4:])),
			}
			o.sacks++
		}
	}
}

// append writes the options to p, each aligned and the whole padded as in RFC
// 7323 appendix A. The options that belong on a SYN alone go out only there
// (MUST-65); there, SACK permitted takes the place of the padding in front of
// the timestamps, or the longest cookie of Fast Open would not fit beside all
// others.
func (o *options) append(p []byte, syn bool) []byte {
	padding := [2]byte{optNop, optNop}
	if syn {
		if o.mss != 0 {
			p = append(p, optMSS, 4, byte(o.mss>>8), byte(o.mss))
		}
		if o.hasScale {
			p = append(p, optNop, optWindowScale, 3, o.scale)
		}
		p = o.fastOpen.append(p)
		if o.sackPermitted && o.hasTimestamps {
			padding = [2]byte{optSACKPermitted, 2}
		} else if o.sackPermitted {
			p = append(p, optNop, optNop, optSACKPermitted, 2)
		}
	}
	if o.hasTimestamps {
		p = append(p, padding[0], padding[1], optTimestamps, 10)
		p = binary.BigEndian.AppendUint32(p, o.tsVal)
		p = binary.BigEndian.AppendUint32(p, o.tsEcr)
	}
	if o.sacks > 0 {
		p = append(p, optNop, optNop, optSACK, byte(2+8*o.sacks))
		for _, b := range o.sack[:o.sacks] {
			p = binary.BigEndian.AppendUint32(p, uint32(b.left))
			p = binary.BigEndian.AppendUint32(p, uint32(b.right))
		}
	}
	return p
}

// len is how many bytes append writes for a segment that is no SYN.
func (o *options) len() int {
	n := 0
	if o.hasTimestamps {
		n += 12
	}
	if o.sacks > 0 {
		n += 4 + 8*o.sacks
	}
	return n
}

// String is the options as tcpdump writes them: "mss 1460,sackOK".
func (o *options) String() string {
	var s []string
	if o.mss != 0 {
		s = append(s, fmt.Sprintf("mss %d", o.mss))
	}
	if o.sackPermitted {
		s = append(s, "sackOK")
	}
	if o.hasTimestamps {
		s = append(s, fmt.Sprintf("TS val %d ecr %d", o.tsVal, o.tsEcr))
	}
	if o.hasScale {
		s = append(s, fmt.Sprintf("wscale %d", o.scale))
	}
	if o.fastOpen.present {
		s = append(s, o.fastOpen.String())
	}
	for _, b := range o.sack[:o.sacks] {
		s = append(s, fmt.Sprintf("sack %d:%d", b.left, b.right))
	}
	return strings.Join(s, ",")
}
