package segment

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Option kinds (IANA), with their lengths in bytes.
const (
	OptEnd           = 0 // RFC 9293 section 3.2
	optNop           = 1
	OptMSS           = 2  // 4 bytes
	OptWindowScale   = 3  // 3 bytes, RFC 7323 section 2
	optSACKPermitted = 4  // 2 bytes, RFC 2018 section 2
	optSACK          = 5  // 2 + 8n bytes, RFC 2018 section 3
	optTimestamps    = 8  // 10 bytes, RFC 7323 section 3
	optFastOpen      = 34 // 2 + n bytes, RFC 7413 section 4.1.1
)

// MaxScale is the largest window shift (RFC 7323 section 2.3).
const MaxScale = 14

// MaxSACK is how many blocks fit in the options: 4, or 3 beside timestamps.
const MaxSACK = 4

// A Block is a run of sequence numbers, right exclusive (RFC 2018 section 3).
type Block struct{ Left, Right Seq }

// Options is the options of one segment.
type Options struct {
	MSS           uint16 // 0: absent
	HasScale      bool
	Scale         uint8
	SackPermitted bool
	HasTimestamps bool
	TSVal, TSEcr  uint32
	SACK          [MaxSACK]Block
	SACKs         int // how many of sack are there
	FastOpen      Cookie
}

// ParseOptions reads the options of a header. Unknown options are skipped by
// their length (MUST-6). An illegal length ends the reading, and what came
// before it counts (MUST-7).
func ParseOptions(p []byte) Options {
	var o Options
	for len(p) > 0 && p[0] != OptEnd {
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
func (o *Options) set(kind byte, value []byte) {
	switch {
	case kind == OptMSS && len(value) == 2:
		o.MSS = binary.BigEndian.Uint16(value)
	case kind == OptWindowScale && len(value) == 1:
		// RFC 7323 section 2.3: a shift above 14 counts as 14.
		o.HasScale, o.Scale = true, min(value[0], MaxScale)
	case kind == optSACKPermitted && len(value) == 0:
		o.SackPermitted = true
	case kind == optTimestamps && len(value) == 8:
		o.HasTimestamps = true
		o.TSVal = binary.BigEndian.Uint32(value)
		o.TSEcr = binary.BigEndian.Uint32(value[4:])
	case kind == optFastOpen:
		o.FastOpen.Parse(value)
	case kind == optSACK && len(value)%8 == 0:
		o.SACKs = 0
		for ; len(value) > 0 && o.SACKs < MaxSACK; value = value[8:] {
			o.SACK[o.SACKs] = Block{
				Left:  Seq(binary.BigEndian.Uint32(value)),
				Right: Seq(binary.BigEndian.Uint32(value[4:])),
			}
			o.SACKs++
		}
	}
}

// Append writes the options to p, each aligned and the whole padded as in RFC
// 7323 appendix A. The options that belong on a SYN alone go out only there
// (MUST-65); there, SACK permitted takes the place of the padding in front of
// the timestamps, or the longest cookie of Fast Open would not fit beside all
// others.
func (o *Options) Append(p []byte, syn bool) []byte {
	padding := [2]byte{optNop, optNop}
	if syn {
		if o.MSS != 0 {
			p = append(p, OptMSS, 4, byte(o.MSS>>8), byte(o.MSS))
		}
		if o.HasScale {
			p = append(p, optNop, OptWindowScale, 3, o.Scale)
		}
		p = o.FastOpen.append(p)
		if o.SackPermitted && o.HasTimestamps {
			padding = [2]byte{optSACKPermitted, 2}
		} else if o.SackPermitted {
			p = append(p, optNop, optNop, optSACKPermitted, 2)
		}
	}
	if o.HasTimestamps {
		p = append(p, padding[0], padding[1], optTimestamps, 10)
		p = binary.BigEndian.AppendUint32(p, o.TSVal)
		p = binary.BigEndian.AppendUint32(p, o.TSEcr)
	}
	if o.SACKs > 0 {
		p = append(p, optNop, optNop, optSACK, byte(2+8*o.SACKs))
		for _, b := range o.SACK[:o.SACKs] {
			p = binary.BigEndian.AppendUint32(p, uint32(b.Left))
			p = binary.BigEndian.AppendUint32(p, uint32(b.Right))
		}
	}
	return p
}

// len is how many bytes append writes for a segment that is no SYN.
func (o *Options) len() int {
	n := 0
	if o.HasTimestamps {
		n += 12
	}
	if o.SACKs > 0 {
		n += 4 + 8*o.SACKs
	}
	return n
}

// String is the options as tcpdump writes them: "mss 1460,sackOK".
func (o *Options) String() string {
	var s []string
	if o.MSS != 0 {
		s = append(s, fmt.Sprintf("mss %d", o.MSS))
	}
	if o.SackPermitted {
		s = append(s, "sackOK")
	}
	if o.HasTimestamps {
		s = append(s, fmt.Sprintf("TS val %d ecr %d", o.TSVal, o.TSEcr))
	}
	if o.HasScale {
		s = append(s, fmt.Sprintf("wscale %d", o.Scale))
	}
	if o.FastOpen.Present {
		s = append(s, o.FastOpen.String())
	}
	for _, b := range o.SACK[:o.SACKs] {
		s = append(s, fmt.Sprintf("sack %d:%d", b.Left, b.Right))
	}
	return strings.Join(s, ",")
}
