package congestion

import (
	"encoding/binary"
	"math"
	"testing"
	"time"
)

// A call reads the arguments of calls from fuzzed bytes.
type call struct {
	data []byte
	now  time.Time
}

func (c *call) byte() byte {
	if len(c.data) == 0 {
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return b
}

func (c *call) bool() bool { return c.byte()&1 == 1 }

// number is now and then very large.
func (c *call) number() int {
	var b [8]byte
	size := c.byte() & 7
	for i := range size {
		b[i] = c.byte()
	}
	return int(binary.LittleEndian.Uint64(b[:]))
}

func (c *call) duration() time.Duration { return time.Duration(c.number()) }

func (c *call) loss() Loss {
	return Loss{Now: c.now, Flight: c.number(), Lost: c.number(), Again: c.bool()}
}

func (c *call) ack() Ack {
	a := Ack{
		Now: c.now, Acked: c.number(), Delivered: c.number(), Lost: c.number(), InFlight: c.number(), Before: c.number(),
		RTT: c.duration(), SRTT: c.duration(), MinRTT: c.duration(),
		Round: c.bool(), Limited: c.bool(), Recovering: c.bool(), CE: c.number(),
	}
	if c.bool() {
		a.Rate = Rate{
			Delivered: c.number(), Interval: c.duration(), AppLimited: c.bool(), TotalDelivered: uint64(c.number()),
			PriorDelivered: uint64(c.number()), PriorInFlight: c.number(), Lost: c.number(),
		}
	}
	return a
}

// make makes one call.
func (c *call) make(to Controller) (mss int) {
	c.now = c.now.Add(max(0, c.duration()&(1<<50-1)))
	switch c.byte() % 9 {
	case 0, 1:
		to.Acked(c.ack())
	case 2:
		to.Sent(Sent{Now: c.now, Bytes: c.number(), InFlight: c.number(), Again: c.bool()})
	case 3:
		to.Lost(c.loss())
	case 4:
		to.TimedOut(c.loss())
	case 5:
		to.Marked(c.loss())
	case 6:
		to.Recovered(c.now)
		to.Idled(c.now, c.duration())
	case 7:
		to.Undo(c.now)
	case 8:
		mss = 1 + c.number()&0xffff
		to.SetMSS(mss)
	}
	return mss
}

// FuzzController makes calls in any order, with any arguments, and looks
// whether what the controller says makes sense after each.
func FuzzController(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 3, 1, 200, 0, 6, 7})
	f.Add([]byte("\x02\xff\xff\x00\x07\xff\xff\xff\xff\xff\xff\x7f\x07\xff\xff\xff\xff\xff\xff\x7f\x04\x03\x05\x07\x06\x08\x02\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, name := range Names() {
			make, _ := ByName(name)
			c := call{data: data, now: time.Unix(1_000_000, 0)}
			mss := 1 + c.number()&0xffff
			to := make(Params{Now: c.now, MSS: mss, Window: mss * int(c.byte())})
			for range 200 {
				if m := c.make(to); m > 0 {
					mss = m
				}
				if w := to.Window(); w < mss || w > Unlimited {
					t.Fatalf("%s: window %d, MSS %d: %+v", name, w, mss, to)
				}
				if s := to.Threshold(); s < 2 {
					t.Fatalf("%s: threshold %d: %+v", name, s, to)
				}
				if r := to.PacingRate(); !(r >= 0) || math.IsInf(r, 0) {
					t.Fatalf("%s: pacing rate %v: %+v", name, r, to)
				}
				if d, ok := to.(*DCTCP); ok && !(d.Alpha >= 0 && d.Alpha <= 1) {
					t.Fatalf("alpha %v", d.Alpha)
				}
				if len(c.data) == 0 {
					break
				}
			}
		}
	})
}
