package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/tcp/segment"
)

// MTUProbing says when a connection finds the MTU of its path by trying,
// in addition to what routers tell by ICMP (RFC 4821, RFC 8899).
type MTUProbing uint8

const (
	// ProbeWhenLowered tries larger segments after the path MTU was lowered: at
	// once when full-sized segments had vanished without a word, after ten
	// minutes when a router has said so.
	ProbeWhenLowered MTUProbing = iota
	// ProbeAlways begins with segments that pass everywhere, and tries larger
	// ones from the first.
	ProbeAlways
	// ProbeNever believes routers only. Ten minutes after their word the MTU of
	// the link counts again (RFC 1191 section 6.3).
	ProbeNever
)

// A SearchState is where the search for the path MTU stands (RFC 8899 section
// 5.2).
type SearchState uint8

const (
	SearchComplete SearchState = iota // nothing larger is worth a try for now
	SearchBase                        // small segments, that should pass everywhere, are tried
	Searching                         // larger and larger ones are
	SearchError                       // not even those of SearchBase pass
	SearchDisabled                    // MTUProbing is ProbeNever
)

// String is the name of the state in RFC 8899.
func (s SearchState) String() string {
	return [...]string{"SEARCH_COMPLETE", "BASE", "SEARCHING", "ERROR", "DISABLED"}[s]
}

// Sizes of datagrams in bytes, and other numbers of the search.
const (
	// minPMTU is MIN_PLPMTU (RFC 8899 section 5.1.2), and the least that a
	// router is believed, as in Linux: less would let anyone who can guess make
	// us send tiny segments.
	minPMTU = 552
	// basePMTU is BASE_PLPMTU (section 5.1.2), with the value of RFC 4821
	// section 7.2.
	basePMTU = 1024
	// commonPMTU is tried before all others: most paths have the MTU of
	// Ethernet somewhere.
	commonPMTU = 1500

	maxProbes         = 3                // MAX_PROBES (RFC 8899 section 5.1.2)
	raiseInterval     = 10 * time.Minute // PMTU_RAISE_TIMER (section 5.1.1), RFC 1191 section 6.3
	blackHoleTimeouts = 3                // in a row: R1 of RFC 1122 section 4.2.3.5, as RFC 4821 section 7.7 has it
)

// A pathMTU is what a connection knows of its path's MTU, as a pure machine.
// Sizes are of IP datagrams. A probe is one segment of real text that is
// larger than all others; only one is in flight.
type pathMTU struct {
	mtu    int // no datagram is larger, but for a probe
	link   int // MTU of the first link
	most   int // what both the link and the peer take
	proven int // the largest that has arrived since mtu was lowered last
	high   int // the largest that may pass

	raiseAt time.Time // when larger ones are tried again; with SearchComplete below most

	probe     segment.Block // in flight; empty when there is none
	size      int           // of the probe
	pending   int           // what a router has said against the evidence; 0 for nothing
	pendingAt segment.Seq   // about which segment
	full      segment.Seq   // end of a segment of size mtu in flight, if fullSent

	mode     MTUProbing
	state    SearchState
	learnt   bool  // mtu is not what it was at first
	failed   bool  // a probe just above high did not pass
	failures uint8 // probes of this size that were lost
	timeouts uint8 // in a row, of segments larger than minPMTU; blackHoleTimeouts at most
	fullSent bool
}

func newPathMTU(link int, mode MTUProbing) pathMTU {
	p := pathMTU{mtu: link, link: link, most: link, high: link, mode: mode}
	switch {
	case mode == ProbeNever:
		p.state = SearchDisabled
	case mode == ProbeAlways && link > basePMTU:
		p.state, p.mtu = SearchBase, basePMTU
	}
	return p
}

// recall begins with what an earlier connection has found out, which is to be
// tried anew at the instant raiseAt.
func (p *pathMTU) recall(mtu int, raiseAt time.Time) {
	if mtu < p.link && p.state != SearchBase {
		p.mtu, p.high, p.raiseAt = mtu, mtu, raiseAt
	}
}

// finding is what later connections on the same path may begin with; 0 when
// there is nothing to tell.
func (p *pathMTU) finding() int {
	if !p.learnt || p.state == SearchBase || p.state == SearchError {
		return 0
	}
	return p.mtu
}

// limit says that the peer takes no datagrams larger than n.
func (p *pathMTU) limit(n int) { p.most = min(p.link, n) }

// largest is the size of the datagrams that go out, but for a probe.
func (p *pathMTU) largest() int { return min(p.mtu, p.most) }

// lower makes n the size of datagrams, since larger ones do not pass.
func (p *pathMTU) lower(n int) {
	p.mtu, p.learnt = n, true
	p.proven = min(p.proven, n)
	p.fullSent, p.timeouts, p.pending = false, 0, 0
	p.forgetProbe()
}

// raise makes n the size, since one has arrived.
func (p *pathMTU) raise(n int) {
	p.mtu, p.learnt = n, true
	p.proven = max(p.proven, n)
	p.fullSent, p.timeouts, p.failures = false, 0, 0
}

// complete ends the search, for ten minutes if there is more to be had.
func (p *pathMTU) complete(now time.Time) {
	if p.state != SearchDisabled {
		p.state = SearchComplete
	}
	p.failures = 0
	p.raiseAt = now.Add(raiseInterval)
}

// next is the size of the probe that is due, or 0.
func (p *pathMTU) next(now time.Time) int {
	high, failed := min(p.high, p.most), p.failed
	switch {
	case p.probing():
		return 0
	case p.state == SearchComplete && p.mtu < p.most && !now.Before(p.raiseAt):
		high, failed = p.most, false
	case p.state != Searching:
		return 0
	}
	return nextProbe(p.mtu, high, failed)
}

// nextProbe chooses a size between one that passes and the largest that may
// (RFC 4821 section 7.3); 0 when they are so near that no probe pays.
// Failed says that the size above high did not pass.
func nextProbe(low, high int, failed bool) int {
	switch {
	case high <= low || failed && high-low < max(16, low/32):
		return 0
	case low < commonPMTU && commonPMTU <= high:
		return commonPMTU
	case !failed:
		return high
	}
	return (low + high + 1) / 2
}

func (p *pathMTU) probing() bool { return p.probe != segment.Block{} }

func (p *pathMTU) forgetProbe() { p.probe, p.size = segment.Block{}, 0 }

// probed notes that a datagram of size bytes with the text b is on its way.
func (p *pathMTU) probed(b segment.Block, size int) {
	if p.state == SearchComplete { // the raise timer has expired
		p.state, p.high, p.failed = Searching, p.most, false
	}
	p.probe, p.size = b, size
}

// sent notes that text of sequence numbers b went out in segments of at most
// mss bytes, again or for the first time.
func (p *pathMTU) sent(b segment.Block, mss int, again bool) {
	switch {
	case again && p.probing() && b.Left.Before(p.probe.Right) && p.probe.Left.Before(b.Right):
		p.forgetProbe() // inconclusive (RFC 4821 section 7.6.4)
	case !p.fullSent && b.Right.Sub(b.Left) >= mss && (!again || p.state == SearchBase || p.state == SearchError):
		// Of text that goes again, it may be a smaller segment of before that arrives.
		p.full, p.fullSent = b.Left.Add(mss), true
	}
}

// acked notes that all before una has arrived. It says whether mtu has
// changed.
func (p *pathMTU) acked(now time.Time, una segment.Seq) (changed bool) {
	p.timeouts = 0
	if p.pending != 0 && una.After(p.pendingAt) {
		p.pending = 0 // it made progress: the report was false (RFC 5927 section 7.2)
	}
	if p.fullSent && !una.Before(p.full) {
		p.fullSent = false
		p.proven = max(p.proven, p.largest())
		if p.state == SearchBase || p.state == SearchError {
			p.search(now)
		}
	}
	if p.probing() && !una.Before(p.probe.Right) {
		p.raise(p.size)
		p.forgetProbe()
		p.search(now)
		return true
	}
	if p.mode == ProbeNever && p.mtu < p.most && !now.Before(p.raiseAt) {
		p.raise(p.most)
		p.proven = 0 // if it is still too large, routers are believed
		return true
	}
	return false
}

// search goes on to larger sizes, or ends when none is left.
func (p *pathMTU) search(now time.Time) {
	p.state = Searching
	if p.next(now) == 0 {
		p.complete(now)
	}
}

// probeLost notes that the probe, and nothing else, was lost (RFC 4821 section
// 7.6.2). A size is given up after some tries: loss has other reasons too. The
// RFC wants some round trips between a lost probe and the next, as many as the
// window has segments; here the next one waits for nothing but its repair.
func (p *pathMTU) probeLost(now time.Time) {
	if p.failures++; p.failures >= maxProbes {
		p.high, p.failed, p.failures = p.size-1, true, 0
	}
	if p.size > p.high { // or a router has said so
		p.failures = 0
	}
	p.forgetProbe()
	p.search(now)
}

// tooBig takes a router's word that datagrams larger than mtu do not pass; q
// is the beginning of the segment that it is about. It says whether mtu has
// changed.
func (p *pathMTU) tooBig(now time.Time, mtu int, q segment.Seq) (changed bool) {
	aboutProbe := p.probing() && q == p.probe.Left
	if mtu == 0 { // a router from before RFC 1191
		size := p.mtu
		if aboutProbe {
			size = p.size
		}
		mtu = nextPlateau(size)
	}
	mtu = max(mtu, minPMTU)
	switch {
	case aboutProbe && mtu >= p.mtu && mtu < p.size: // RFC 8899 section 4.6.2
		p.high, p.failed = mtu, false // when its loss is found, its text is sent again
		return false
	case mtu >= p.largest():
		return false
	case mtu < p.proven:
		// Larger ones have arrived. So this is forged, or the path has changed;
		// in that case the segment will time out (RFC 5927 section 7.2).
		if p.pending == 0 || q.Before(p.pendingAt) {
			p.pending, p.pendingAt = mtu, q
		}
		return false
	}
	p.believe(now, mtu)
	return true
}

// believe makes mtu the size, by a router's word.
func (p *pathMTU) believe(now time.Time, mtu int) {
	p.lower(mtu)
	p.high, p.failed = mtu, false
	p.complete(now)
}

// timedOut notes that the oldest segment has timed out, where large says
// whether it was larger than minPMTU. It says whether mtu has changed.
func (p *pathMTU) timedOut(now time.Time, una segment.Seq, large bool) (changed bool) {
	if p.pending != 0 && !una.After(p.pendingAt) {
		p.believe(now, p.pending)
		return true
	}
	if p.probing() { // RFC 4821 section 7.6.3
		p.probeLost(now)
	}
	if !large || p.mode == ProbeNever {
		return false
	}
	if p.timeouts = min(p.timeouts+1, blackHoleTimeouts); p.timeouts < blackHoleTimeouts {
		return false
	}
	return p.blackHole()
}

// blackHole is what large segments vanish in, with no word from a router (RFC
// 4821 section 7.7, RFC 8899 section 4.3). Once smaller ones pass, the search
// goes up again.
func (p *pathMTU) blackHole() (changed bool) {
	switch was := p.largest(); {
	case was > basePMTU:
		p.lower(basePMTU)
		p.state = SearchBase
	case was > minPMTU:
		p.lower(minPMTU)
		p.state = SearchError
	default:
		return false
	}
	// Having waited for so long, one more timeout is enough for the next step.
	p.failures, p.timeouts = 0, blackHoleTimeouts-1
	return true
}

// plateaus is table 7-1 of RFC 1191 (section 7).
var plateaus = [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508}

func nextPlateau(mtu int) int {
	for _, p := range plateaus {
		if p < mtu {
			return p
		}
	}
	return minPMTU
}
