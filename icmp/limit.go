package icmp

import (
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"time"
)

// A limiter bounds the rate of errors (RFC 1812 section 4.3.2.8): per host, so that
// no host uses up the budget of others, and in all.
//
// A host that gets an error must not learn from it whether others got any. A global
// budget tells: with 50 errors at a time, a host misses its own exactly when 50
// datagrams that it forged have all met closed ports (the SAD DNS attack). So no limit
// here is one that a single error to another host moves:
//
//   - Hosts share a budget at random, for a second, and cannot know with whom: the
//     hash that selects the bucket is keyed, and key and budgets change each period.
//   - The cost of an error and the length of a period are random too.
//   - When there are too many in all, errors are dropped at random with the probability
//     that keeps the rate. One more to another host changes the probability by one part
//     in Config.ErrorRate.
type limiter struct {
	random func() uint64
	rate   float64 // errors a second to all, from which on some are left out; 0 means no limit

	budget uint8 // of a host in a period, in halves of an error, which costs 2 or 3
	spent  [peerBudgets]uint8
	key    [2]uint64
	until  time.Time // the end of the period

	load float64 // errors in the last second or so, those left out as well: a decaying count
	seen time.Time
}

// peerBudgets is how many budgets hosts share.
const peerBudgets = 2048

// What Config.ErrorRate and ErrorBurst mean by 0, and the most that a budget
// counts.
const (
	defaultErrorRate  = 1000
	defaultErrorBurst = 10
	maxErrorBurst     = 100
)

func newLimiter(rate, burst int, random func() uint64) *limiter {
	if rate == 0 {
		rate = defaultErrorRate
	}
	if burst <= 0 {
		burst = defaultErrorBurst
	}
	return &limiter{random: random, rate: float64(max(rate, 0)), budget: uint8(max(1, 5*min(burst, maxErrorBurst)/2))}
}

// allow says whether an error may be sent to a host, and counts it.
func (l *limiter) allow(now time.Time, to netip.Addr) bool {
	if l.rate == 0 {
		return true
	}
	if !now.Before(l.until) {
		l.renew(now)
	}
	spent := &l.spent[l.bucket(to)]
	if *spent >= l.budget {
		return false
	}
	*spent += 2 + uint8(l.random()>>63)
	l.load = l.load*math.Exp(-now.Sub(l.seen).Seconds()) + 1
	l.seen = now
	return l.load <= l.rate || l.chance() < l.rate/l.load
}

// renew begins a period of a second, more or less.
func (l *limiter) renew(now time.Time) {
	l.spent = [peerBudgets]uint8{}
	l.key = [2]uint64{l.random(), l.random()}
	l.until = now.Add(time.Second*3/4 + time.Duration(l.chance()*float64(time.Second/2)))
}

// bucket is which budget a host has in this period. Nobody has the time to find
// out more of the key than a second shows, so two multiplications are enough.
func (l *limiter) bucket(a netip.Addr) int {
	p := a.As16()
	high, low := bits.Mul64(binary.BigEndian.Uint64(p[:8])^l.key[0], 0x9e3779b97f4a7c15)
	high, low = bits.Mul64(high^low^binary.BigEndian.Uint64(p[8:]), l.key[1]|1)
	high, low = bits.Mul64(high^low^l.key[0], 0xd6e8feb86659fd93)
	return int((high ^ low) % peerBudgets)
}

// chance is a random number from 0 to less than 1.
func (l *limiter) chance() float64 { return float64(l.random()>>11) / (1 << 53) }
