package ipv4

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Option types (RFC 791 section 3.1, RFC 2113). The high bit says that the
// option is copied into every fragment.
const (
	OptionEnd         = 0
	OptionNop         = 1
	OptionRecordRoute = 7
	OptionTimestamp   = 68
	OptionLooseRoute  = 131
	OptionStrictRoute = 137
	OptionRouterAlert = 148
)

const (
	optionCopied  = 0x80
	maxOptionsLen = MaxHeaderLen - MinHeaderLen
)

// routerAlert is the option of RFC 2113 section 2.1: "examine packet".
var routerAlert = [4]byte{OptionRouterAlert, 4, 0, 0}

// Options is what the options of a datagram say. The slices are views of the
// whole option, type and length included; nil when it is not there.
type Options struct {
	SourceRoute []byte // loose or strict
	RecordRoute []byte
	Timestamp   []byte
	RouterAlert bool
}

// ParseOptions reads what [Header.Options] returns. Unknown options are
// ignored, the Stream Identifier and Security among them (RFC 1122 section
// 3.2.1.8). When the options are malformed, ok is false, and bad is the
// position in the header of the byte at fault: the pointer of a Parameter
// Problem.
func ParseOptions(p []byte) (o Options, bad int, ok bool) {
	for i := 0; i < len(p); {
		if p[i] == OptionEnd {
			break
		}
		if p[i] == OptionNop {
			i++
			continue
		}
		if i+1 >= len(p) {
			return Options{}, MinHeaderLen + i, false
		}
		n := int(p[i+1])
		if n < 2 || i+n > len(p) {
			return Options{}, MinHeaderLen + i + 1, false
		}
		if at := o.add(p[i : i+n : i+n]); at >= 0 {
			return Options{}, MinHeaderLen + i + at, false
		}
		i += n
	}
	return o, 0, true
}

// add notes one option, and returns the position in it of what is wrong, or
// -1. Each of the known ones comes once at most; of source routes this is the
// rule of RFC 1122 section 3.2.1.8 (c).
func (o *Options) add(opt []byte) int {
	switch opt[0] {
	case OptionLooseRoute, OptionStrictRoute:
		return addRoute(&o.SourceRoute, opt)
	case OptionRecordRoute:
		return addRoute(&o.RecordRoute, opt)
	case OptionTimestamp:
		switch {
		case o.Timestamp != nil:
			return 0
		case len(opt) < 4:
			return 1
		case opt[2] < 5:
			return 2
		case timestampStep(opt) == 0:
			return 3
		}
		o.Timestamp = opt
	case OptionRouterAlert:
		if len(opt) != 4 {
			return 1
		}
		o.RouterAlert = true
	}
	return -1
}

// addRoute notes an option that holds a route: type, length, pointer, and
// addresses of four bytes. The pointer counts from 1, and the first address is
// at 4.
func addRoute(field *[]byte, opt []byte) int {
	switch {
	case *field != nil:
		return 0
	case len(opt) < 3 || len(opt)%4 != 3:
		return 1
	case opt[2] < 4 || opt[2]%4 != 0:
		return 2
	}
	*field = opt
	return -1
}

// Completed says whether the source route, if there is one, ends here: its
// pointer has passed its end.
func (o *Options) Completed() bool {
	return o.SourceRoute == nil || int(o.SourceRoute[2]) > len(o.SourceRoute)
}

// ReturnRoute makes of a completed source route the one that leads back to
// src, the sender (RFC 1122 section 3.2.1.8 (c)): the destination that goes
// in the header, and the option padded to whole words, for [Fields]. Without a
// source route they are src, and nil.
func (o *Options) ReturnRoute(src netip.Addr) (dst netip.Addr, option []byte) {
	if len(o.SourceRoute) < 7 {
		return src, nil
	}
	hops := o.SourceRoute[3:]
	n := len(hops) / 4
	option = []byte{o.SourceRoute[0], uint8(3 + 4*n), 4}
	for i := n - 2; i >= 0; i-- {
		option = append(option, hops[4*i:4*i+4]...)
	}
	last := src.As4()
	option = append(option, last[:]...)
	option = append(option, OptionEnd)
	return netip.AddrFrom4([4]byte(hops[4*n-4:])), option
}

// Record writes the address and the time of this host into the options that
// ask for them (RFC 791 section 3.1), and says whether there were any.
func (o *Options) Record(self netip.Addr, now time.Time) bool {
	if o.RecordRoute != nil {
		recordRoute(o.RecordRoute, self)
	}
	if o.Timestamp != nil {
		stamp(o.Timestamp, self, now)
	}
	return o.RecordRoute != nil || o.Timestamp != nil
}

// recordRoute writes an address into a Record Route option, if there is room
// left.
func recordRoute(opt []byte, self netip.Addr) {
	i := int(opt[2]) - 1
	if i+4 > len(opt) {
		return
	}
	a := self.As4()
	copy(opt[i:], a[:])
	opt[2] += 4
}

// timestampStep is how many bytes one entry of a Timestamp option takes by its
// flag: the time only, or an address before it; 0 for a flag that is unknown.
func timestampStep(opt []byte) int {
	switch opt[3] & 0xf {
	case 0:
		return 4
	case 1, 3:
		return 8
	}
	return 0
}

// stamp writes the time into a Timestamp option. With
// the flag 3 the option names those who may. When it is full, the overflow
// count of four bits goes up as far as it can.
func stamp(opt []byte, self netip.Addr, now time.Time) {
	i, step := int(opt[2])-1, timestampStep(opt)
	if i+step > len(opt) {
		if opt[3] < 0xf0 {
			opt[3] += 0x10
		}
		return
	}
	a := self.As4()
	switch opt[3] & 0xf {
	case 1:
		copy(opt[i:], a[:])
	case 3:
		if [4]byte(opt[i:]) != a {
			return
		}
	}
	binary.BigEndian.PutUint32(opt[i+step-4:], sinceMidnight(now))
	opt[2] += uint8(step)
}

// sinceMidnight is the standard time of RFC 791: milliseconds since midnight UT.
func sinceMidnight(now time.Time) uint32 {
	return uint32(now.UnixMilli() % (24 * 60 * 60 * 1000))
}

// copiedOptions appends to dst those options of well-formed p that go into
// every fragment, and pads them to whole words.
func copiedOptions(dst, p []byte) []byte {
	for len(p) > 0 && p[0] != OptionEnd {
		n := 1
		if p[0] != OptionNop {
			if len(p) < 2 || p[1] < 2 || int(p[1]) > len(p) {
				break
			}
			n = int(p[1])
			if p[0]&optionCopied != 0 {
				dst = append(dst, p[:n]...)
			}
		}
		p = p[n:]
	}
	for len(dst)%4 != 0 {
		dst = append(dst, OptionEnd)
	}
	return dst
}
