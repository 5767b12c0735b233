package machine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/arrives"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// A scene is a connection in one state, at which one segment arrives: in a
// TCB, or in Tables.
type scene struct {
	Tables
	now  time.Time
	flow ip.Flow
	t    *TCB

	sent []segment.Segment
}

const sceneWindow = 5000 // of ours

// newScene has Tables without a listener.
func newScene(noTimestamps bool) *scene {
	sc := &scene{now: tcptest.Start, flow: tcptest.PeerFlow(1)}
	cfg := Config{
		ReceiveBuffer: sceneWindow, Congestion: "reno", NoWindowScale: true, NoTimestamps: noTimestamps,
		Random: rand.New(rand.NewPCG(1, 9)).Uint64, Table: sceneTable,
	}
	sc.Tables = NewTables(cfg, sc, noPool{}, new(Stats))
	return sc
}

var sceneTable = func() *ip.CurrentTable {
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	if err != nil {
		panic(err)
	}
	return ip.Publish(table)
}()

// Answer, room and opened are those of a host.
func (sc *scene) Answer(b *packet.Buffer) bool {
	defer b.Release()
	b.MarkNetwork()
	b.Pull(ipv4.Header(b.Bytes()).Len())
	s, err := tcptest.ParseSegment(b)
	if err != nil {
		panic(err)
	}
	s.Text = nil
	sc.sent = append(sc.sent, s)
	return true
}

func (sc *scene) Room(*Listener) bool { return true }

func (sc *scene) Opened(_ *Listener, t *TCB) { sc.t = t }

// listen gives the scene a listener.
func (sc *scene) listen() {
	sc.AddListener(&Listener{Local: sc.flow.Local, Opts: &sc.cfg.options})
}

// open makes a connection that is dialled.
func (sc *scene) open() {
	sc.t = newTCB(&sc.cfg, sc.stats, sc.flow, tcptest.ISS, 1500)
	sc.t.tsOffset = tsOffset()
	sc.t.open(sc.now)
	sc.pump()
}

// pump sends what is to be sent.
func (sc *scene) pump() {
	var s segment.Segment
	for sc.t != nil && sc.t.output(sc.now, &s) {
		sc.sent = append(sc.sent, s)
		sc.t.sent(sc.now, &s)
	}
}

// arrives has s arrive, and what it causes leave.
func (sc *scene) arrives(s segment.Segment) {
	if sc.t == nil || sc.t.state == TimeWait {
		b := tcptest.Wire(s, ip.Flow{Local: sc.flow.Remote, Remote: sc.flow.Local}, make([]byte, s.Len))
		b.Arrived = sc.now
		sc.Unmatched(sc.flow, b)
	} else {
		if s.Len > 0 {
			s.Text = tcptest.Piece(0, s.Len, 0)
		}
		sc.t.segmentArrives(sc.now, &s)
	}
	sc.pump()
}

// tsScene is the timestamp of the peer so far; it wraps soon.
const tsScene = 0xfffffff0

// from is a segment of the peer, in order.
func (sc *scene) from(f segment.Flags, n int) segment.Segment {
	s := segment.Segment{Seq: tcptest.IRS, Flags: f, Window: 3000, Len: n}
	if !sc.cfg.NoTimestamps {
		s.Opts.HasTimestamps, s.Opts.TSVal = true, tsScene
	}
	if f&segment.SYN != 0 {
		s.Opts.MSS = 1000
	}
	if sc.t != nil && sc.t.state.synchronized() {
		s.Seq = sc.t.rcv.nxt
	}
	if f&segment.ACK != 0 {
		s.Ack = tcptest.ISS + 1
		if sc.t != nil {
			s.Ack = sc.t.snd.nxt
		}
	}
	return s
}

// establish completes the handshake of a connection that was dialled, and
// sends 2500 bytes, of which nothing is acknowledged.
func (sc *scene) establish() {
	sc.open()
	sc.now = sc.now.Add(50 * time.Millisecond)
	sc.arrives(sc.from(segment.SYN|segment.ACK, 0))
	sc.now = sc.now.Add(10 * time.Second) // so that no budget of answers is short
}

func (sc *scene) write() {
	if _, err := sc.t.Write(sc.now, make([]byte, 2500)); err != nil {
		panic(err)
	}
	sc.pump()
}

// A sceneCase is a state of RFC 9293, and what leads there.
type sceneCase struct {
	name  string
	state arrives.State
	build func(sc *scene)
}

var sceneCases = []sceneCase{
	{"closed", arrives.Closed, func(*scene) {}},
	{"listen", arrives.Listen, (*scene).listen},
	{"syn-sent", arrives.SynSent, (*scene).open},
	{"syn-received", arrives.SynReceived, func(sc *scene) {
		sc.listen()
		sc.arrives(sc.from(segment.SYN, 0))
	}},
	{"syn-received, simultaneous open", arrives.SynReceived, func(sc *scene) {
		sc.open()
		sc.arrives(sc.from(segment.SYN, 0))
	}},
	{"established", arrives.Established, func(sc *scene) { sc.establish(); sc.write() }},
	{"established, quiet", arrives.Established, (*scene).establish},
	{"established, a hole", arrives.Established, func(sc *scene) {
		sc.establish()
		sc.write()
		s := sc.from(segment.ACK, 40)
		s.Seq += 3
		s.Ack = sc.t.snd.una
		sc.arrives(s)
	}},
	{"established, no window", arrives.Established, func(sc *scene) {
		sc.establish()
		for range 5 {
			sc.arrives(sc.from(segment.ACK, 1000))
		}
		sc.write()
	}},
	{"established, reading ended", arrives.Established, func(sc *scene) { sc.establish(); sc.write(); sc.t.CloseRead() }},
	{"fin-wait-1", arrives.FinWait1, func(sc *scene) { sc.establish(); sc.write(); sc.t.CloseWrite(sc.now); sc.pump() }},
	{"fin-wait-1, closed", arrives.FinWait1, func(sc *scene) { sc.establish(); sc.write(); sc.t.Close(sc.now); sc.pump() }},
	{"fin-wait-2", arrives.FinWait2, func(sc *scene) {
		sc.establish()
		sc.t.CloseWrite(sc.now)
		sc.pump()
		sc.arrives(sc.from(segment.ACK, 0))
	}},
	{"fin-wait-2, closed", arrives.FinWait2, func(sc *scene) {
		sc.establish()
		sc.t.Close(sc.now)
		sc.pump()
		sc.arrives(sc.from(segment.ACK, 0))
	}},
	{"fin-wait-2, both directions ended", arrives.FinWait2, func(sc *scene) {
		sc.establish()
		sc.t.CloseRead()
		sc.t.CloseWrite(sc.now)
		sc.pump()
		sc.arrives(sc.from(segment.ACK, 0))
	}},
	{"close-wait", arrives.CloseWait, func(sc *scene) {
		sc.establish()
		sc.arrives(sc.from(segment.ACK|segment.FIN, 10))
		sc.write()
	}},
	{"closing", arrives.Closing, func(sc *scene) {
		sc.establish()
		sc.write()
		sc.t.CloseWrite(sc.now)
		sc.pump()
		s := sc.from(segment.ACK|segment.FIN, 0)
		s.Ack = sc.t.snd.una
		sc.arrives(s)
	}},
	{"last-ack", arrives.LastAck, func(sc *scene) {
		sc.establish()
		sc.arrives(sc.from(segment.ACK|segment.FIN, 0))
		sc.write()
		sc.t.CloseWrite(sc.now)
		sc.pump()
	}},
	{"time-wait", arrives.TimeWait, func(sc *scene) {
		sc.establish()
		sc.t.CloseWrite(sc.now)
		sc.pump()
		sc.arrives(sc.from(segment.ACK, 0))
		sc.arrives(sc.from(segment.ACK|segment.FIN, 0))
		sc.listen()
		sc.timeWaits.add(sc.flow, sc.t.timeWait(sc.now), sc.stats)
		sc.t = nil
	}},
}

// TCB is the scene as RFC 9293 sees it.
func (sc *scene) tcb(c *sceneCase) arrives.TCB {
	v := arrives.TCB{State: c.state, ISS: uint32(tcptest.ISS), Timestamps: !sc.cfg.NoTimestamps, TSRecent: tsScene}
	if h, ok := sc.halfOpens.byFlow[sc.flow]; ok {
		v.Passive, v.ISS, v.SndUna, v.SndNxt = true, uint32(h.iss), uint32(h.iss), uint32(h.iss)+1
		v.RcvNxt, v.RcvWnd = uint32(h.irs)+1, sceneWindow
		v.LastAckSent = v.RcvNxt
		v.TSRecent = h.tsRecent
		return v
	}
	if w, ok := sc.timeWaits.byFlow[sc.flow]; ok {
		// The peer has sent its FIN, so that nothing is to come: no window.
		v.SndUna, v.SndNxt, v.MaxWnd, v.RcvNxt = uint32(w.sndNxt), uint32(w.sndNxt), 3000, uint32(w.rcvNxt)
		v.LastAckSent, v.TSRecent = v.RcvNxt, w.tsRecent
		return v
	}
	if sc.t == nil {
		return v
	}
	t := sc.t
	v.Closed = t.noReader && t.finQueued
	v.SndUna, v.SndNxt, v.SndWnd, v.MaxWnd = uint32(t.snd.una), uint32(t.snd.nxt), uint32(t.snd.wnd), uint32(t.snd.maxWnd)
	v.SndWL1, v.SndWL2 = uint32(t.snd.wl1), uint32(t.snd.wl2)
	v.RcvNxt, v.RcvWnd = uint32(t.rcv.nxt), uint32(t.rcv.edge.Sub(t.rcv.nxt))
	v.LastAckSent, v.TSRecent = uint32(t.lastACK), t.tsRecent
	if len(t.recvq.ahead) > 0 {
		v.AheadFrom, v.AheadTo = uint32(t.recvq.ahead[0].start), uint32(t.recvq.ahead[0].end())
	}
	if c.state == arrives.SynSent {
		v.RcvWnd = sceneWindow
		v.Timestamps = false
	} else {
		v.Timestamps = t.timestamps
	}
	return v
}

// after is what has become of the scene.
func (sc *scene) after(c *sceneCase) (v arrives.TCB) {
	t := sc.t
	if t == nil {
		state := arrives.Listen
		if _, ok := sc.halfOpens.byFlow[sc.flow]; ok {
			state = arrives.SynReceived
		} else if _, ok := sc.timeWaits.byFlow[sc.flow]; ok {
			state = arrives.TimeWait
		} else if len(sc.listeners) == 0 {
			state = arrives.Closed
		}
		v = sc.tcb(&sceneCase{state: state})
		return v
	}
	state := map[State]arrives.State{
		Closed: arrives.Closed, SynSent: arrives.SynSent, SynReceived: arrives.SynReceived, Established: arrives.Established,
		FinWait1: arrives.FinWait1, FinWait2: arrives.FinWait2, CloseWait: arrives.CloseWait, Closing: arrives.Closing,
		LastAck: arrives.LastAck, TimeWait: arrives.TimeWait,
	}[t.state]
	return sc.tcb(&sceneCase{state: state})
}

// numbers are the values that a segment may have in one field, by name.
type numbers []struct {
	name  string
	value uint32
}

func sceneSeqs(v arrives.TCB, n uint32) numbers {
	nxt, edge := v.RcvNxt, v.RcvNxt+v.RcvWnd
	return numbers{
		{"far left", nxt - 1<<30}, {"left", nxt - 1000}, {"left, to the edge", nxt - n}, {"left by one", nxt - 1}, {"across the edge", nxt - 5},
		{"at RCV.NXT", nxt}, {"in by one", nxt + 1}, {"in", nxt + 100}, {"the last in", edge - 1}, {"across the right edge", edge - 5},
		{"up to the right edge", edge - n}, {"at the right edge", edge}, {"right", edge + 1000}, {"far right", edge + 1<<30},
	}
}

func sceneAcks(v arrives.TCB) numbers {
	mid := v.SndUna + (v.SndNxt-v.SndUna)/2
	return numbers{
		{"too old", v.SndUna - v.MaxWnd - 1}, {"old", v.SndUna - 1}, {"una", v.SndUna}, {"between", mid},
		{"nxt", v.SndNxt}, {"beyond by one", v.SndNxt + 1}, {"far beyond", v.SndNxt + 1<<30},
	}
}

func sceneTimestamps(v arrives.TCB) numbers {
	return numbers{{"none", 0}, {"old", v.TSRecent - 1}, {"the same", v.TSRecent}, {"fresh", v.TSRecent + 1}, {"far ahead", v.TSRecent + 1<<30}}
}

// TestEverySegment: RFC9293-3.10.7.1, RFC9293-3.10.7.2, RFC9293-3.10.7.3,
// RFC9293-3.10.7.4, RFC5961-3.2, RFC5961-4.2, RFC5961-5.2,
// RFC7323-5.3: in every state each segment is answered, and changes what it
// may, as internal/testing/arrives says; and one that is refused changes
// nothing at all. Where the stack means to differ, sceneDifferences says why.
// Every fifth segment arrives; all of them with GONET_LONG=1.
func TestEverySegment(t *testing.T) {
	tcptest.LeakCheck(t)
	for _, noTimestamps := range []bool{false, true} {
		for i := range sceneCases {
			c := &sceneCases[i]
			name := c.name
			if noTimestamps {
				name += ", no timestamps"
			}
			t.Run(name, func(t *testing.T) { everySegment(t, c, noTimestamps) })
		}
	}
}

func everySegment(t *testing.T, c *sceneCase, noTimestamps bool) {
	sc := newScene(noTimestamps)
	c.build(sc)
	v := sc.tcb(c)
	sc.end()
	stamps := sceneTimestamps(v)
	if noTimestamps {
		stamps = stamps[:1]
	}
	count, wrongs, met := 0, make(map[string]int), make(map[string]int)
	step := 5 // which shares no factor with the numbers of values
	switch {
	case os.Getenv("GONET_LONG") != "":
		step = 1
	case testing.Short():
		step = 23
	}
	for f := range segment.Flags(1 << 6) {
		acks := sceneAcks(v)
		if f&segment.ACK == 0 {
			acks = acks[:1]
		}
		for _, n := range []int{0, 10} {
			for _, seqs := range sceneSeqs(v, uint32(n)) {
				for _, ack := range acks {
					for _, ts := range stamps {
						if count++; count%step != 0 {
							continue
						}
						s := segment.Segment{Seq: segment.Seq(seqs.value), Ack: segment.Seq(ack.value), Flags: f, Window: 2800, Len: n}
						s.Opts.HasTimestamps, s.Opts.TSVal = ts.name != "none", ts.value
						if f&segment.ACK == 0 {
							s.Ack = 0
						}
						wrong, difference := judge(c, noTimestamps, s)
						if difference != "" {
							met[difference]++
						}
						if wrong != "" {
							kind, _, _ := strings.Cut(wrong, "; ")
							if wrongs[kind]++; wrongs[kind] <= 2 {
								t.Errorf("%v, seq %s, %d bytes, ack %s, timestamp %s: %s", f, seqs.name, n, ack.name, ts.name, wrong)
							}
						}
					}
				}
			}
		}
	}
	for kind, n := range wrongs {
		t.Logf("%d times: %s", n, kind)
	}
	for why, n := range met {
		t.Logf("%d times, meant: %s", n, why)
	}
	t.Logf("%d segments", count/step)
}

func (sc *scene) end() {
	if sc.t != nil {
		sc.t.release()
		sc.t.recvq.clear()
	}
}

// judge has s arrive at a new scene, and says what is wrong, or with what
// difference that is meant.
func judge(c *sceneCase, noTimestamps bool, s segment.Segment) (wrong, difference string) {
	sc := newScene(noTimestamps)
	defer sc.end()
	c.build(sc)
	sc.sent = nil
	v := sc.tcb(c)
	before := sc.keep()
	sc.arrives(s)
	after := sc.after(c)

	in := arrives.Segment{
		Seq: uint32(s.Seq), Ack: uint32(s.Ack), Flags: uint8(s.Flags), Wnd: uint32(s.Window), Text: uint32(s.Len),
		HasTS: s.Opts.HasTimestamps, TSVal: s.Opts.TSVal,
	}
	outcomes := arrives.Outcomes(v, in)
	for _, o := range outcomes {
		w := sc.differs(c, &before, v, after, s, o)
		if w == "" {
			return "", ""
		}
		if wrong == "" {
			wrong = fmt.Sprintf("%s; %s", o.Why, w)
		}
	}
	for _, d := range sceneDifferences {
		for _, o := range d.outcomes(v, in) {
			if sc.differs(c, &before, v, after, s, o) == "" {
				return "", d.why
			}
		}
	}
	return wrong, ""
}

// kept is what a scene was like.
type keptScene struct {
	snapshot
	halfOpen halfOpen
	timeWait timeWait
	pending  bool // an acknowledgement was owed
}

func (sc *scene) keep() (k keptScene) {
	if sc.t != nil {
		k.snapshot = takeSnapshot(sc.t)
		k.pending = !sc.t.delayedACKAt.IsZero()
	}
	k.halfOpen, k.timeWait = sc.halfOpens.byFlow[sc.flow], sc.timeWaits.byFlow[sc.flow]
	return k
}

// changed says in what the scene is not as it was.
func (k *keptScene) changed(sc *scene) string {
	if sc.t != nil {
		if k.tcb.Transfer == nil {
			return "there is a connection"
		}
		// What is owed as an answer, and the budgets of answers, which bound
		// what anybody can make us send.
		return k.snapshot.changed(sc.t, "reply", "challenges", "answeredAt")
	}
	if k.tcb.Transfer != nil {
		return "the connection is gone"
	}
	h := sc.halfOpens.byFlow[sc.flow]
	h.challenges = k.halfOpen.challenges // a budget of answers
	if h != k.halfOpen {
		return fmt.Sprintf("half open: was %+v, is %+v", k.halfOpen, h)
	}
	w := sc.timeWaits.byFlow[sc.flow]
	w.answered = k.timeWait.answered // a budget of answers
	if w != k.timeWait {
		return fmt.Sprintf("TIME-WAIT: was %+v, is %+v", k.timeWait, w)
	}
	return ""
}

// differs says in what the scene is not as o has it.
func (sc *scene) differs(c *sceneCase, before *keptScene, v, after arrives.TCB, s segment.Segment, o arrives.Outcome) string {
	if w := sc.answered(before, v, after, s, o); w != "" {
		return w
	}
	if o.Refused {
		if w := before.changed(sc); w != "" {
			return "refused, but " + w
		}
		return ""
	}
	switch {
	case after.State != o.State:
		return fmt.Sprintf("want %v, is %v", o.State, after.State)
	case o.State == arrives.Closed || o.State == arrives.Listen:
		return ""
	case after.RcvNxt != o.RcvNxt:
		return fmt.Sprintf("want RCV.NXT +%d, is +%d", o.RcvNxt-v.RcvNxt, after.RcvNxt-v.RcvNxt)
	case o.State == arrives.SynReceived && sc.t == nil:
		return ""
	case after.SndUna != o.SndUna:
		return fmt.Sprintf("want SND.UNA +%d, is +%d", int32(o.SndUna-v.SndUna), int32(after.SndUna-v.SndUna))
	case after.Timestamps && after.TSRecent != o.TSRecent:
		return fmt.Sprintf("want TS.Recent %d, is %d", o.TSRecent, after.TSRecent)
	case sc.t != nil && o.State != arrives.TimeWait && after.SndWnd != o.SndWnd:
		return fmt.Sprintf("want SND.WND %d, is %d", o.SndWnd, after.SndWnd)
	}
	return ""
}

// answered says in what that which was sent is not the answer of o.
func (sc *scene) answered(before *keptScene, v, after arrives.TCB, s segment.Segment, o arrives.Outcome) string {
	owed := sc.t != nil && !sc.t.delayedACKAt.IsZero()
	var got []string
	for i := range sc.sent {
		got = append(got, sc.sent[i].String())
	}
	wrong := fmt.Sprintf("want %v, sent %v", o.Answer, got)
	if o.Answer == arrives.Reset && after.State == arrives.Closed && v.State != arrives.Closed {
		// As many as it takes (close_abort.go), the last one at SND.NXT.
		for i := range sc.sent {
			if sc.sent[i].Flags != segment.RST|segment.ACK || i == len(sc.sent)-1 && uint32(sc.sent[i].Seq) != v.SndNxt {
				return wrong
			}
		}
		return ""
	}
	if len(sc.sent) > 1 {
		return wrong
	}
	var r *segment.Segment
	if len(sc.sent) == 1 {
		r = &sc.sent[0]
	}
	isACK := r != nil && r.Flags&^(segment.PSH|segment.ECE) == segment.ACK && uint32(r.Ack) == after.RcvNxt && (uint32(r.Seq) == after.SndNxt || sc.t != nil && r.Seq == sc.t.bareSeq())
	ok := false
	switch o.Answer {
	case arrives.Silence:
		ok = r == nil && owed == before.pending
	case arrives.Acknowledge:
		ok = isACK
	case arrives.AckSoon:
		ok = isACK || r == nil && owed
	case arrives.AckOrNot:
		ok = isACK || r == nil
	case arrives.Reset:
		ok = r != nil && r.Flags == segment.RST && r.Seq == s.Ack
	case arrives.ResetAck:
		ok = r != nil && r.Flags == segment.RST|segment.ACK && r.Seq == 0 && r.Ack == s.End()
	case arrives.SynAck:
		ok = r != nil && r.Flags&^segment.ECE == segment.SYN|segment.ACK && uint32(r.Ack) == uint32(s.Seq)+1
	}
	if ok {
		return ""
	}
	return wrong
}
