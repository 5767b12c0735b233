package machine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// What connections of several peers share tells none of them about another:
// doc/limits.md, section Shared state. The bounds are such that chance alone
// exceeds them less than once in 10^9 runs; and the seeds are fixed.

// evenly fails t unless 32-bit numbers are spread evenly over 16 ranges: by
// Pearson's statistic, of which 15 degrees of freedom exceed 78 once in 10^10.
func evenly(t *testing.T, what string, numbers []uint32) {
	t.Helper()
	var counts [16]float64
	for _, n := range numbers {
		counts[n>>28]++
	}
	want, x := float64(len(numbers))/16, 0.0
	for _, n := range counts {
		x += (n - want) * (n - want) / want
	}
	if x > 78 {
		t.Errorf("%s are not spread evenly: %v", what, counts)
	}
}

// steps is how far each number is from the one before.
func steps(numbers []uint32) (s []uint32) {
	for i := range numbers[1:] {
		s = append(s, numbers[i+1]-numbers[i])
	}
	return s
}

// TestSecretsTellNothing: RFC6528-3, RFC7323-5.4: the numbers that a peer gets, of
// connections or addresses in a row, are spread evenly, and so are the steps
// between them. Those of one host tell nothing of another's.
func TestSecretsTellNothing(t *testing.T) {
	const count = 4000
	random := rand.New(rand.NewPCG(3, 4)).Uint64
	k := newSecrets(random)
	byPort := func(i int) ip.Flow { f := tcptest.PeerFlow(0); f.Remote.Port = uint16(i); return f }
	byHost := func(i int) ip.Flow {
		f := tcptest.PeerFlow(0)
		tcptest.SetAddr(&f.Remote, 10, 0, byte(i>>8), byte(i))
		return f
	}
	for _, kind := range []struct {
		name   string
		number func(f ip.Flow) uint32
		ports  bool // two connections of one peer have different ones
	}{
		{"initial sequence numbers", func(f ip.Flow) uint32 { return uint32(k.initialSeq(tcptest.Start, f)) }, true},
		{"SYN cookies", func(f ip.Flow) uint32 { return uint32(k.synCookie(&f, 7, 1, 3)) }, true},
		{"offsets of timestamps", k.timestampOffset, false},
		{"Fast Open cookies", func(f ip.Flow) uint32 {
			c := k.fastOpenCookie(f, 7)
			return uint32(c.Value[0])<<24 | uint32(c.Value[1])<<16 | uint32(c.Value[6])<<8 | uint32(c.Value[7])
		}, false},
	} {
		for name, of := range map[string]func(int) ip.Flow{"ports": byPort, "hosts": byHost} {
			if name == "ports" && !kind.ports {
				continue
			}
			var numbers []uint32
			for i := range count {
				numbers = append(numbers, kind.number(of(i)))
			}
			evenly(t, fmt.Sprintf("%s of %s in a row", kind.name, name), numbers)
			evenly(t, fmt.Sprintf("the steps of %s of %s in a row", kind.name, name), steps(numbers))
		}
	}
}

// TestSecretsRotate: RFC7413-4.1.2: a Fast Open cookie is good for two hours at most,
// and one at least, and a SYN cookie for two periods.
func TestSecretsRotate(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 5)).Uint64
	k := newSecrets(random)
	f := tcptest.PeerFlow(1)
	hour := tcptest.Start.Truncate(cookieLife)
	for given, good := range map[time.Duration]time.Duration{0: 2 * cookieLife, cookieLife / 2: 3 * cookieLife / 2, cookieLife - time.Second: cookieLife + time.Second} {
		now := hour.Add(given)
		c := k.fastOpenCookie(f, fastOpenPeriod(now))
		for after, want := range map[time.Duration]bool{0: true, good - time.Second: true, good: false, 9 * cookieLife: false} {
			if ok, _ := k.checkFastOpenCookie(now.Add(after), f, c); ok != want {
				t.Errorf("a Fast Open cookie of %v is good after %v: %v", given, after, ok)
			}
		}
	}
	cfg := Config{}.withDefaults()
	for periods, want := range []bool{true, true, false, false} {
		now := tcptest.Start.Add(time.Duration(periods) * cookiePeriod)
		s := segment.Segment{Seq: 8, Ack: k.synCookie(&f, 7, cookiePeriodOf(tcptest.Start), 3) + 1, Flags: segment.ACK}
		if _, ok := k.cookieArrives(now, &f, &s, &cfg); ok != want {
			t.Errorf("a SYN cookie is good after %d periods: %v", periods, ok)
		}
	}
}

// TestBacklogTellsNothing: RFC4987-3.6: whether a peer's SYN is answered by a cookie
// depends little on whether one more of somebody else's is remembered: one part
// in a quarter of the backlog.
func TestBacklogTellsNothing(t *testing.T) {
	const limit, tries = 4096, 4000
	for _, taken := range []int{limit*3/4 - 1, limit * 3 / 4, limit * 7 / 8, limit - 2} {
		var cookies [2]float64
		for other := range 2 {
			q := halfOpens{limit: limit, random: rand.New(rand.NewPCG(uint64(taken), uint64(other))).Uint64, byFlow: map[ip.Flow]halfOpen{}}
			for i := range taken + other {
				q.byFlow[ip.Flow{Local: ip.Endpoint{Port: uint16(i)}}] = halfOpen{}
			}
			for range tries {
				if q.full() {
					cookies[other]++
				}
			}
		}
		p := (cookies[0] + cookies[1]) / (2 * tries)
		if d := math.Abs(cookies[0]-cookies[1]) / tries; d > 1.0/(limit/4)+6*math.Sqrt(2*p*(1-p)/tries) {
			t.Errorf("with %d of %d places taken, a cookie has a chance of %.3f, and with one more %.3f", taken, limit, cookies[0]/tries, cookies[1]/tries)
		}
	}
}

// TestFastOpenPathsTellNothing: RFC7413-4.1.3: a client's cookie goes to the server that
// has given it, from the address that it was given to, and to no other.
func TestFastOpenPathsTellNothing(t *testing.T) {
	c := servers{limit: 10}
	f := tcptest.PeerFlow(1)
	c.learn(tcptest.Start, f, &FastOpen{granted: segment.Cookie{Present: true, Len: 8, Value: [segment.MaxCookie]byte{1, 2, 3}}})
	other, from := f, f
	other.Remote = ip.EndpointOf(other.Remote.Addr().Next(), other.Remote.Port)
	from.Local = ip.EndpointOf(from.Local.Addr().Next(), from.Local.Port)
	for name, at := range map[string]ip.Flow{"another server": other, "another address of ours": from} {
		if o := c.attempt(tcptest.Start, at); o.offer.Has() {
			t.Errorf("%s is offered %v", name, &o.offer)
		}
	}
	if o := c.attempt(tcptest.Start, f); !o.offer.Has() {
		t.Error("the server is not offered its cookie")
	}
}
