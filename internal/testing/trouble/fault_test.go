package trouble

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/checksum"
	"github.com/seed-012105e5/gonet/link"
)

// wrong is a TCP of a that is wrong: change has a look at each segment that it
// sends, from the ports on, and at how many bytes the SYN and all before it
// take in either direction.
func wrong(change func(h, text []byte, sent, got int)) link.Middleware {
	return func(l link.Link) link.Link {
		var iss, irs uint32
		return Modify(l, func(frame []byte, sends bool) {
			if len(frame) < ipAt+40 || frame[12] != 8 || frame[ipAt+9] != 6 || !sends {
				return
			}
			d := frame[ipAt:]
			head := int(d[0]&15) * 4
			h := d[head:binary.BigEndian.Uint16(d[2:])]
			seq, ack := binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
			switch {
			case h[13]&syn != 0:
				iss, irs = seq, 0
				return
			case irs == 0:
				irs = ack - 1
			}
			change(h, h[h[12]>>4*4:], int(int32(seq-iss-1)), int(int32(ack-irs-1)))
			h[16], h[17] = 0, 0
			sum := checksum.Sum(h, checksum.Sum(d[12:20], 6+uint64(len(h))))
			binary.BigEndian.PutUint16(h[16:], ^checksum.Fold(sum))
		})
	}
}

const syn = 2

// faults are what a wrong TCP may do.
var faults = []struct {
	name   string
	change func(h, text []byte, sent, got int)
	foul   string
	event  string // all that it takes, but for the number
}{
	{
		"sends another byte", func(_, text []byte, sent, _ int) {
			if at := 5000 - sent; at >= 0 && at < len(text) {
				text[at] ^= 1
			}
		},
		"byte 5000 of the text is not what was written", "a write",
	},
	{
		"acknowledges a byte too many", func(h, _ []byte, _, got int) {
			if got > 5000 {
				binary.BigEndian.PutUint32(h[8:], binary.BigEndian.Uint32(h[8:])+1)
			}
		},
		"acknowledges 1 bytes that have not arrived", "b write",
	},
	{
		"takes its window back", func(h, _ []byte, _, got int) {
			if got > 5000 {
				h[14], h[15] = 0, 0
			}
		},
		"the right edge of the window moves left", "b write",
	},
	{
		"leaves a byte out", func(h, _ []byte, sent, _ int) {
			if sent > 5000 {
				binary.BigEndian.PutUint32(h[4:], binary.BigEndian.Uint32(h[4:])+1)
			}
		},
		"leaves a hole behind SND.NXT", "a write",
	},
}

// TestShrink: RFC9293-3.3.1: faults are found, and shortened to what each
// takes: one end writes more than 5000 bytes. The short script fails each time
// it is played.
func TestShrink(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			fault := wrong(f.change)
			for seed, found := uint64(0), 0; found < 2; seed++ {
				s, err := search(t, Random(seed), fault)
				if err == nil {
					continue
				}
				found++
				if !strings.Contains(err.Error(), f.foul) {
					t.Errorf("seed %d: %v", seed, err)
				}
				if len(s.Events) != 1 || s.Events[0].Who+" "+s.Events[0].What != f.event || s.Events[0].Arg > 10_001 || s.Wire != (Wire{}) {
					t.Errorf("seed %d: this is not short:\n%v", seed, s)
				}
				again, err := Parse(s.String())
				if err == nil {
					err = Run(again, fault, nil)
				}
				if err == nil {
					t.Errorf("seed %d: the short script does not fail:\n%v", seed, s)
				}
			}
		})
	}
}
