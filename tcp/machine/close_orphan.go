package machine

import "time"

// An orphan is a connection that its user has closed and that has not ended yet:
// in FIN-WAIT-1, CLOSING or LAST-ACK it has text or a FIN to deliver, in
// FIN-WAIT-2 it waits for the peer's FIN. Nobody waits for it any more, so the
// stack alone bounds what it costs, and may give it up: what MUST-37 promises, that
// a window which the peer keeps closed does not end a connection, is promised to a
// user (RFC 6429 section 3).
//
//	time     Config.OrphanTimeout, prolonged by what the peer acknowledges
//	number   Config.MaxOrphans; beyond half of that who makes no progress goes
//	memory   Config.MaxMemory of all connections; beyond it who makes no progress goes
//
// The peer of an orphan that is given up gets a reset.

// orphanProgress is how many bytes the peer must acknowledge in each
// Config.OrphanTimeout. A peer that takes a byte now and then does not keep an
// orphan for ever.
const orphanProgress = 64 << 10

// orphaned notes that the user has closed both directions.
func (t *TCB) orphaned(now time.Time) {
	if t.orphan || t.state == Closed || t.state == TimeWait {
		t.orphan = true
		return
	}
	t.orphan, t.orphanCounted = true, true
	if n := t.stats.Orphans.Add(1); n > uint64(t.cfg.MaxOrphans) {
		t.evict()
		return
	}
	if t.state == FinWait2 {
		t.finWait2At = now.Add(t.cfg.FinWait2)
	} else {
		t.orphanBy = now.Add(t.cfg.OrphanTimeout)
	}
}

// orphanDelivered prolongs the life of an orphan of which n bytes have been
// acknowledged, to Config.OrphanTimeout from now at most. Once its FIN is, another
// time is that of FIN-WAIT-2.
func (t *TCB) orphanDelivered(now time.Time, n int) {
	if t.orphanBy.IsZero() {
		return
	}
	most := now.Add(t.cfg.OrphanTimeout)
	t.orphanBy = t.orphanBy.Add(t.cfg.OrphanTimeout * time.Duration(min(n, orphanProgress)) / orphanProgress)
	if t.orphanBy.After(most) {
		t.orphanBy = most
	}
	if t.FinAcked() {
		t.orphanBy = time.Time{}
	}
}

// orphanStuck is asked when a timer shows that the peer of an orphan takes
// nothing. It gives the connection up where room is short, and says so.
func (t *TCB) orphanStuck() bool {
	if !t.orphan || t.stats.Orphans.Load() <= uint64(t.cfg.MaxOrphans)/2 && !t.pressed() {
		return false
	}
	t.evict()
	return true
}

// evict gives an orphan up to make room.
func (t *TCB) evict() {
	t.stats.OrphansEvicted.Add(1)
	t.Abort(nil)
}

// expireOrphan gives an orphan up whose time is over.
func (t *TCB) expireOrphan() {
	t.stats.OrphansExpired.Add(1)
	t.Abort(nil)
}

// orphanEnded is called when an orphan is none any more.
func (t *TCB) orphanEnded() {
	if t.orphanCounted {
		t.orphanCounted = false
		t.stats.Orphans.Add(^uint64(0))
	}
	t.orphanBy = time.Time{}
}

// accountGrain is by how much the memory of a connection changes before the sum of
// all connections is touched, which all processors share.
const accountGrain = 4 << 10

// account brings the sum of the memory of all connections up to date. It says
// whether this connection has grown while there is too much.
func (t *TCB) account() (pressing bool) {
	held := t.sendq.len + t.recvq.readyLen + t.recvq.aheadSize
	d := held - t.accounted
	if -accountGrain < d && d < accountGrain && held > 0 || d == 0 {
		return false
	}
	t.accounted = held
	t.stats.Buffered.Add(uint64(d))
	return d > 0 && t.pressed()
}

// pressed says whether all connections together hold too much.
func (t *TCB) pressed() bool { return t.stats.Buffered.Load() > uint64(t.cfg.MaxMemory) }
