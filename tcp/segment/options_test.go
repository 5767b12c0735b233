package segment

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TestParseOptions has options in all forms, good and bad.
func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want Options
	}{
		{"none", nil, Options{}},
		{"MUST-4 MSS", []byte{2, 4, 5, 180}, Options{MSS: 1460}},
		{"MUST-64 not aligned", []byte{1, 2, 4, 5, 180, 1, 3, 3, 7}, Options{MSS: 1460, HasScale: true, Scale: 7}},
		{"MUST-4 ends", []byte{1, 0, 2, 4, 5, 180}, Options{}},
		{"MUST-6,MUST-68 unknown", []byte{254, 5, 1, 2, 3, 2, 4, 5, 180}, Options{MSS: 1460}},
		{"MUST-6 unknown and empty", []byte{200, 2, 4, 2}, Options{SackPermitted: true}},
		{"MUST-7 length 0", []byte{2, 4, 5, 180, 254, 0, 4, 2}, Options{MSS: 1460}},
		{"MUST-7 length 1", []byte{2, 4, 5, 180, 254, 1, 4, 2}, Options{MSS: 1460}},
		{"MUST-7 beyond the end", []byte{4, 2, 2, 4, 5}, Options{SackPermitted: true}},
		{"MUST-7 no length", []byte{4, 2, 2}, Options{SackPermitted: true}},
		{"MUST-7 MSS of 3 bytes", []byte{2, 3, 5, 4, 2}, Options{SackPermitted: true}},
		{"MUST-7 scale of 4 bytes", []byte{3, 4, 5, 5, 4, 2}, Options{SackPermitted: true}},
		{"MUST-7 SACK-permitted of 3 bytes", []byte{4, 3, 9, 2, 4, 5, 180}, Options{MSS: 1460}},
		{"MUST-7 timestamps of 9 bytes", []byte{8, 9, 1, 2, 3, 4, 5, 6, 7, 4, 2}, Options{SackPermitted: true}},
		{"MUST-7 SACK of 9 bytes", []byte{5, 9, 1, 2, 3, 4, 5, 6, 7, 4, 2}, Options{SackPermitted: true}},
		{"RFC7323-2.3 scale above 14", []byte{3, 3, 200}, Options{HasScale: true, Scale: 14}},
		{"RFC7323-3.2 timestamps", []byte{8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, Options{HasTimestamps: true, TSVal: 0x01020304, TSEcr: 0x05060708}},
		{"RFC2018-3 SACK", []byte{5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, Options{SACK: [MaxSACK]Block{{1, 2}}, SACKs: 1}},
		{"SACK without blocks", []byte{5, 2}, Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ParseOptions(c.in); got != c.want {
				t.Errorf("%v is %+v, want %+v", c.in, got, c.want)
			}
		})
	}
}

// TestOptionsRoundTrip: MUST-68, MUST-69: what append writes, parseOptions and
// gopacket read; it is aligned and padded, and len tells its length.
func TestOptionsRoundTrip(t *testing.T) {
	sack := Options{SACKs: 3, SACK: [MaxSACK]Block{{1, 2}, {0xfffffff0, 5}, {7, 9}}}
	all := Options{MSS: 1460, HasScale: true, Scale: 7, SackPermitted: true, HasTimestamps: true, TSVal: 5, TSEcr: 6}
	full := sack
	full.HasTimestamps, full.TSVal = true, 0xffffffff
	for _, c := range []struct {
		o   Options
		syn bool
	}{{Options{}, false}, {all, true}, {Options{MSS: 536}, true}, {Options{HasScale: true}, true}, {sack, false}, {full, false}} {
		p := c.o.Append(nil, c.syn)
		if len(p)%4 != 0 || len(p) > MaxHeaderLen-MinHeaderLen {
			t.Errorf("%v: %d bytes", &c.o, len(p))
		}
		if !c.syn && len(p) != c.o.len() {
			t.Errorf("%v: %d bytes, len says %d", &c.o, len(p), c.o.len())
		}
		if got := ParseOptions(p); got != c.o {
			t.Errorf("%+v became %+v", c.o, got)
		}
	}
}

// TestOptionsOfSYN: MUST-65: MSS, window scale and SACK-permitted stand on a
// SYN alone.
func TestOptionsOfSYN(t *testing.T) {
	o := Options{MSS: 1460, HasScale: true, Scale: 7, SackPermitted: true}
	if p := o.Append(nil, false); len(p) != 0 {
		t.Errorf("a segment that is no SYN gets % x", p)
	}
}

// FuzzOptions: MUST-7: no options do harm; those that are understood come back the
// same from a round trip, and gopacket reads the same.
func FuzzOptions(f *testing.F) {
	for _, p := range [][]byte{
		{}, {0}, {1, 1, 1, 0}, {2, 4, 5, 180}, {2, 0}, {8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1},
		{5, 34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2}, {254, 40},
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		p = p[:min(len(p), MaxHeaderLen-MinHeaderLen)]
		o := ParseOptions(p)
		if o.Scale > MaxScale || o.SACKs > MaxSACK {
			t.Fatalf("%+v", o)
		}
		again := o.Append(nil, true)
		if len(again) <= MaxHeaderLen-MinHeaderLen {
			if back := ParseOptions(again); !sameOptions(back, o) {
				t.Fatalf("%+v became %+v", o, back)
			}
			compareOptions(t, o, again)
		}
	})
}

// compareOptions has gopacket read p, which append has written from o.
func compareOptions(t *testing.T, o Options, p []byte) {
	h := make([]byte, MinHeaderLen, MaxHeaderLen)
	h[12] = byte((MinHeaderLen+len(p))/4) << 4
	var theirs layers.TCP
	if err := theirs.DecodeFromBytes(append(h, p...), gopacket.NilDecodeFeedback); err != nil {
		t.Fatalf("gopacket: %v", err)
	}
	var back Options
	for _, option := range theirs.Options {
		if option.OptionType > optNop {
			back.set(byte(option.OptionType), option.OptionData)
		}
	}
	if !bytes.Equal(back.Append(nil, true), p) {
		t.Fatalf("gopacket reads %v from %+v", theirs.Options, o)
	}
}

func sameOptions(a, b Options) bool {
	return a.MSS == b.MSS && a.HasScale == b.HasScale && a.Scale == b.Scale && a.SackPermitted == b.SackPermitted &&
		a.HasTimestamps == b.HasTimestamps && a.TSVal == b.TSVal && a.TSEcr == b.TSEcr &&
		a.FastOpen == b.FastOpen && slices.Equal(a.SACK[:a.SACKs], b.SACK[:b.SACKs])
}
