// Package machine is TCP (RFC 9293) as a pure machine: events go in with the time
// at which they happened, and segments come out. It has no goroutine, channel or
// clock; package tcp has the processes around it, and [Loop] drives it without any.
package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/congestion"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A TCB is a connection as a pure machine: RFC 9293's Transmission Control
// Block with the rules that change it. It has no goroutine, no channel and no
// clock. Events go in with the time at which they happened:
//
//	Arrives, ICMPError              from the network     (arrives.go, path_icmp.go)
//	Read, Write, Close, Abort …     from the user        (calls.go)
//	Expire                          when Deadline passes (timer.go)
//
// and segments come out of Next, which changes nothing; Commit notes that one is
// on its way (output.go).
//
//	Send Sequence Space                      Receive Sequence Space
//
//	     1         2          3          4         1          2          3
//	----------|----------|----------|--------   ----------|----------|----------
//	       SND.UNA    SND.NXT    SND.UNA               RCV.NXT    RCV.NXT
//	                            +SND.WND                         +RCV.WND
//
//	1 acknowledged, 2 in flight,             1 acknowledged, 2 allowed,
//	3 allowed, 4 not yet allowed             3 not yet allowed
//
// RFC 9293 figures 3 and 4.
type TCB struct {
	*Transfer // nil while the connection is parked

	flow  ip.Flow
	cfg   *Config
	stats *Stats
	opts  *SocketOptions // of all connections, until the user changes one: ownOptions
	route *segment.SourceRoute

	snd struct {
		una, nxt segment.Seq
		iss      segment.Seq
		wl1, wl2 segment.Seq
		up       segment.Seq // SND.UP, until it is acknowledged (urgent)
		wnd      int         // SND.WND, scaled
		maxWnd   int         // the largest that SND.WND has been
		mss      int         // effective send MSS: text bytes per segment (MUST-16)
		peerMSS  int         // as the peer gave it, up to Config.MSS
		scale    uint8
		urgent   bool
	}
	rcv struct {
		nxt    segment.Seq
		irs    segment.Seq
		edge   segment.Seq // right edge of the window as advertised: RCV.NXT + RCV.WND
		urgent segment.Seq // RCV.UP, if urgentSeen
		mss    int         // the longest text seen in one segment
		scale  uint8
	}
	lastACK segment.Seq // Last.ACK.sent
	finAt   segment.Seq // where the peer's FIN stands, if finSeen

	state      State
	passive    bool // SYN-RECEIVED came from LISTEN (MUST-11)
	synResent  bool // our SYN timed out
	finQueued  bool // the user has closed: a FIN follows the last byte of sendq
	finSeen    bool // the peer's FIN has been seen,
	finTaken   bool // and all before it has arrived
	noReader   bool // the user will read no more; text is thrown away
	orphan     bool // the user has closed both directions
	urgentSeen bool

	sendFixed bool // the user has set the size of sendq,
	recvFixed bool // and of recvq

	usedFastOpen bool // text of a SYN was taken (RFC 7413)

	sackOK          bool // RFC 2018: both ends permit it
	tellsDuplicates bool // RFC 2883: the peer has done so
	scaled          bool // RFC 7323: both ends sent the window scale
	timestamps      bool // RFC 7323: both ends sent the option
	tsOffset        uint32
	tsRecent        uint32
	tsRecentAt      time.Time

	path       pathMTU
	ecn        ecnState
	rtt        rtt
	cc         congestion.Controller
	reordering reordering
	count      counts
	kept       kept

	lastHeard time.Time // when a segment last arrived
	lastSent  time.Time // when text was last sent
	signal    Signal    // what the user is to be told
	softErr   error     // the last ICMP error that did not end the connection (MUST-47)
}

// A Transfer is what a connection needs while something is in flight, queued,
// owed, or timed, or while it opens or ends. Without it a connection that is
// quiet is a third as large.
type Transfer struct {
	sendq    sendQueue
	waiting  submissions
	recvq    recvQueue
	fastOpen *FastOpen // while the handshake lasts; nil without
	err      error     // why the connection was aborted; nil after a normal close

	board    scoreboard
	detector detector
	rack     rack // the state of detector, where that is RACK
	dsack    dsack
	recovery
	told     recoverInput // by the last acknowledgement
	delivery delivery
	pace     pace
	force    bool // the persist timer has expired: send something, window or not
	held     bool // the user has more at once: whole segments only, until then

	orphanCounted bool // in Stats.Orphans

	accounted int // bytes of Stats.Buffered that are this connection's

	ackNow        bool // an acknowledgement is owed, at once
	ackPending    int  // bytes received and not acknowledged
	replies       bool // reply is to be sent: a reset
	reply         segment.Segment
	segment       segment.Segment // that arrives, or that output wants; here, so that stacks stay small
	resets        resetList       // and behind it, those of abort that are still to go
	challengeable bool            // the peer may take none of these, and challenge one
	tuning        receiveTuning
	duplicate     duplicate
	challenges    challengeLimit
	answeredAt    time.Time // of answerInvalid

	rtoAt        time.Time
	persistAt    time.Time
	delayedACKAt time.Time
	quick        quickACK
	keepAliveAt  time.Time
	finWait2At   time.Time
	orphanBy     time.Time // an orphan is given up
	failingSince time.Time // when the first of the timeouts in a row was
	keepAlives   int       // probes without an answer
	failure      failure
}

// counts are what Info tells of the past.
type counts struct {
	received                       uint64 // bytes of text, in order
	timeouts, recoveries, spurious uint64
	sent, resent                   uint64 // bytes
}

// kept is what remains of the last Transfer while a connection is parked.
type kept struct {
	lost, delivered         uint64 // bytes, in all
	sendLimit, receiveLimit int
}

// begin makes t, which is empty, a connection in CLOSED, yet without congestion
// control. Mtu is that of the path as far as it is known: of the first link.
func (t *TCB) begin(cfg *Config, stats *Stats, f ip.Flow, iss segment.Seq, mtu int) {
	t.flow, t.cfg, t.stats, t.opts = f, cfg, stats, &cfg.options
	t.snd.iss, t.snd.una, t.snd.nxt = iss, iss, iss
	t.recover = iss
	t.ecn.until = iss + 1 // nothing on a SYN can be marked
	t.sendq.first, t.sendq.limit = iss+1, cfg.sendLimit()
	t.path, t.snd.peerMSS = newPathMTU(mtu, cfg.MTUProbing), min(defaultMSS, cfg.MSS)
	t.recvq.limit = cfg.receiveLimit()
	t.recvFixed, t.sendFixed = cfg.ReceiveBuffer > 0, cfg.SendBuffer > 0
	t.rcv.scale = cfg.receiveScale()
	t.rcv.mss = defaultMSS
	t.rtt = newRTT(cfg.MinRTO)
	t.snd.mss = defaultMSS
	t.fitMSS()
}

// defaultMSS is the MSS of a peer that does not say (MUST-15).
const defaultMSS = 536

// minMSS is the least that a peer is believed: with less, all that he has read
// to him would cost a datagram for a byte or two. Linux has the same.
const minMSS = 48

// minText is the least text of a segment, however much the options leave.
const minText = 8

// maxTrainSegments is how many segments go out as one train at most, be they ever
// so small.
const maxTrainSegments = 128

// headersLen is the IPv4 and TCP headers without options.
const headersLen = 20 + segment.MinHeaderLen

// offeredMSS is the MSS to be sent on a SYN (MUST-14, MUST-67): what fits the
// link without options (RFC 6691).
func (c *Config) offeredMSS(mtu int) uint16 {
	return uint16(min(min(mtu, 0xffff)-headersLen, c.MSS))
}

// updateMSS is fitMSS that tells congestion control.
func (t *TCB) updateMSS() {
	t.fitMSS()
	t.cc.SetMSS(t.snd.mss)
}

// fitMSS computes the effective send MSS (RFC 9293 section 3.7.1): what both the
// peer and the path take, less the options that go on each segment.
func (t *TCB) fitMSS() {
	t.path.limit(t.snd.peerMSS + headersLen)
	t.snd.mss = max(minText, t.textFor(t.path.mtu))
	t.sendq.unit = t.trainLen()
}

// trainLen is how much text fits in one train: a whole number of segments in
// one IP datagram.
func (t *TCB) trainLen() int {
	return wholeSegments(min(maxText-t.route.Len(), maxTrainSegments*t.snd.mss), t.snd.mss)
}

// flightEmpty says whether nothing is in flight.
func (t *TCB) flightEmpty() bool { return t.snd.una == t.snd.nxt }

// finSent says whether our FIN has been sent at least once.
func (t *TCB) finSent() bool { return t.finQueued && t.snd.nxt.After(t.sendq.end()) }

// FinAcked says whether our FIN has been acknowledged.
func (t *TCB) FinAcked() bool { return t.finQueued && t.snd.una.After(t.sendq.end()) }

// Flow is the flow of t.
func (t *TCB) Flow() ip.Flow { return t.flow }

// Closed says whether the connection has ended, but for what is still to be sent.
func (t *TCB) Closed() bool { return t.state == Closed }

// Synchronized says whether both ends have agreed on sequence numbers.
func (t *TCB) Synchronized() bool { return t.state.synchronized() }

// OwesACK says whether an acknowledgement is to go out at once.
func (t *TCB) OwesACK() bool { return t.ackNow }

// finished says that the machine has nothing more to do.
func (t *TCB) finished() bool { return t.state == Closed && !t.replies }

// Over says whether nothing is left to do for a connection. TIME-WAIT has a
// table of its own.
func (t *TCB) Over() bool { return t.finished() || t.state == TimeWait && !t.ackNow }

// fail ends the connection without a word to the peer.
func (t *TCB) fail(err error) {
	if t.state == Closed {
		return
	}
	t.state = Closed
	t.err = err
	t.sendq.clear()
	t.waiting.queue.Clear()
	t.recvq.clearAhead()
	if t.orphan { // nobody will read the rest
		t.recvq.clearReady()
	}
	t.ackNow, t.replies = false, false
	t.stopTimers()
}

// release gives all memory back.
func (t *TCB) release() {
	t.sendq.clear()
	t.recvq.clear()
	t.account()
}

// timestamp is the value of our timestamp clock, which ticks every
// millisecond (RFC 7323 section 5.4) from an offset of the connection's own.
func (t *TCB) timestamp(now time.Time) uint32 { return timestamp(now, t.tsOffset) }

func timestamp(now time.Time, offset uint32) uint32 {
	return uint32(now.UnixMilli()) + offset
}
