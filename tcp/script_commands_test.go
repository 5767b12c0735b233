package tcp

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/ipv4"
)

// A runner runs one script.
type runner struct {
	*node
	cfg     Config
	mtu     int
	written int
	read    int
}

func newRunner() *runner { return &runner{mtu: 1500, cfg: Config{Controllers: controllersOfTests()}} }

// machine is the node, made when it is first needed.
func (r *runner) machine() *node {
	if r.node == nil {
		r.node = newNode(r.cfg, scriptISS, r.mtu)
	}
	return r.node
}

func (r *runner) end() {
	if r.node != nil {
		r.node.end()
	}
}

// step runs one line; more says that the next is joined with it.
func (r *runner) step(l scriptLine, more bool) error {
	name, rest, _ := strings.Cut(l.text, " ")
	rest = strings.TrimSpace(rest)
	if name == "config" {
		return r.config(strings.Fields(rest))
	}
	n := r.machine()
	n.advance(n.now.Add(l.wait))
	if name == ">" {
		return r.wantSegment(rest)
	}
	if err := r.nothingUnread(); err != nil {
		return err
	}
	command, ok := commands[name]
	if !ok {
		return fmt.Errorf("no command %q", name)
	}
	if err := command(r, rest); err != nil {
		return err
	}
	if n.t != nil && n.err == nil {
		n.check()
	}
	if !more {
		n.pump()
	}
	return n.err
}

func (r *runner) nothingUnread() error {
	if r.node == nil {
		return nil
	}
	if r.err != nil {
		return r.err
	}
	if len(r.sent) > 0 {
		return fmt.Errorf("has sent (at %v): %s", r.sent[0].at.Sub(start), relative(&r.sent[0]))
	}
	return nil
}

// wantSegment is ">".
func (r *runner) wantSegment(text string) error {
	want, err := parseSpec(r.cookies(text), outgoing)
	if err != nil {
		return err
	}
	if len(r.sent) == 0 {
		return fmt.Errorf("nothing is sent")
	}
	got := r.sent[0]
	r.sent = r.sent[1:]
	if err := want.matches(&got, r.now); err != nil {
		return fmt.Errorf("%v: %s", err, relative(&got))
	}
	return r.err
}

// config sets fields of Config, or mtu.
func (r *runner) config(words []string) error {
	for ; len(words) >= 2; words = words[2:] {
		switch words[0] {
		case "recovery":
			r.cfg.Recovery = words[1]
			continue
		case "congestion":
			r.cfg.Congestion = words[1]
			continue
		case "ecn":
			r.cfg.ECN = map[string]ECNMode{"accept": ECNAccept, "ask": ECNAsk, "off": ECNOff}[words[1]]
			continue
		}
		v, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			return err
		}
		d := time.Duration(v * float64(time.Second))
		switch words[0] {
		case "mtu":
			r.mtu = int(v)
		case "sndbuf":
			r.cfg.SendBuffer = int(v)
		case "rcvbuf":
			r.cfg.ReceiveBuffer = int(v)
		case "maxrcvbuf":
			r.cfg.MaxReceiveBuffer = int(v)
		case "maxsndbuf":
			r.cfg.MaxSendBuffer = int(v)
		case "synbacklog":
			r.cfg.SynBacklog = int(v)
		case "timewaits":
			r.cfg.TimeWaits = int(v)
		case "msl":
			r.cfg.MSL = d
		case "minrto":
			r.cfg.MinRTO = d
		case "delack":
			r.cfg.DelayedACK = d
		case "usertimeout":
			r.cfg.UserTimeout = d
		case "finwait2":
			r.cfg.FinWait2 = d
		case "mtuprobing":
			r.cfg.MTUProbing = MTUProbing(v)
		case "sack":
			r.cfg.NoSACK = v == 0
		case "timestamps":
			r.cfg.NoTimestamps = v == 0
		case "wscale":
			r.cfg.NoWindowScale = v == 0
		default:
			return fmt.Errorf("no config %s", words[0])
		}
	}
	return nil
}

// commands are the lines that are neither config nor ">".
var commands = map[string]func(r *runner, args string) error{
	"<":           (*runner).arrive,
	"idle":        func(*runner, string) error { return nil },
	"open":        func(r *runner, _ string) error { r.node.open(); return nil },
	"listen":      (*runner).listen,
	"dial":        (*runner).dial,
	"established": (*runner).established,
	"write":       (*runner).write,
	"urgent":      (*runner).writeUrgent,
	"read":        (*runner).readText,
	"close":       func(r *runner, _ string) error { r.t.close(r.now); return nil },
	"shutdown":    func(r *runner, _ string) error { r.t.closeWrite(); return nil },
	"closeread":   func(r *runner, _ string) error { r.t.closeRead(); return nil },
	"abort":       func(r *runner, _ string) error { r.t.orphan = true; r.t.abort(nil); return nil },
	"set":         (*runner).set,
	"icmp":        (*runner).icmp,
	"state":       (*runner).wantState,
	"expect":      (*runner).expect,
	"halfopen": func(r *runner, want string) error {
		return returned(want, len(r.halfOpens.byFlow), nil)
	},
}

// arrive is "<".
func (r *runner) arrive(text string) error {
	s, err := parseSpec(r.cookies(text), incoming)
	if err != nil {
		return err
	}
	s.segment.opts = parseOptions(s.segment.opts.append(nil, s.has(SYN)))
	s.text = s.buffer()
	r.arrives(peerFlow(s.peer), s.segment)
	return nil
}

// established opens a connection: "win 32792 rtt .1 <options of the peer's SYN>";
// with "ecn" in front the peer agrees to that.
func (r *runner) established(args string) error {
	rtt := 100 * time.Millisecond
	if i := strings.Index(args, "rtt "); i >= 0 {
		word, rest, _ := strings.Cut(args[i+4:], " ")
		d, err := time.ParseDuration(word + "s")
		if err != nil {
			return err
		}
		rtt, args = d, args[:i]+rest
	}
	r.node.open()
	r.pump()
	r.advance(r.now.Add(rtt))
	flags := "S."
	if rest, ok := strings.CutPrefix(args, "ecn "); ok {
		flags, args = "S.E", rest
	}
	if err := r.arrive(flags + " 0:0(0) ack 1 " + args); err != nil {
		return err
	}
	r.pump()
	if n := len(r.sent); n != 2 || r.state() != Established {
		return fmt.Errorf("%d segments sent, state %v", n, r.state())
	}
	r.sent = nil
	return nil
}

// returned compares n and err with what stands behind "=".
func returned(want string, n int, err error) error {
	got := strconv.Itoa(n)
	if err != nil {
		got = errorName(err)
	}
	if want != got {
		return fmt.Errorf("returns %s", got)
	}
	return nil
}

var errorNames = map[string]error{
	"EOF": io.EOF, "EPIPE": syscall.EPIPE, "ECONNRESET": syscall.ECONNRESET, "ECONNREFUSED": syscall.ECONNREFUSED,
	"ETIMEDOUT": syscall.ETIMEDOUT, "EHOSTUNREACH": syscall.EHOSTUNREACH, "ENETUNREACH": syscall.ENETUNREACH,
	"EPROTO": syscall.EPROTO, "ENOPROTOOPT": syscall.ENOPROTOOPT, "EMSGSIZE": syscall.EMSGSIZE, "ErrClosed": net.ErrClosed,
}

func errorName(err error) string {
	for name, e := range errorNames {
		if errors.Is(err, e) {
			return name
		}
	}
	return fmt.Sprint(err) // "<nil>" when there is none
}

// write is "write 1000" or "write 1000 = 500".
func (r *runner) write(args string) error {
	words := strings.Fields(args)
	n, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	p := make([]byte, n)
	for i := range p {
		p[i] = ourByte(r.written + i)
	}
	m, err := r.t.write(r.now, p)
	r.written += m
	return returned(words[len(words)-1], m, err)
}

// writeUrgent is "urgent 1000", a write that is urgent.
func (r *runner) writeUrgent(args string) error {
	n, err := strconv.Atoi(args)
	if err != nil {
		return err
	}
	r.t.urge(n)
	return r.write(fmt.Sprintf("%d = %d", n, n))
}

// readText is "read 1000" or "read 1000 = 500"; 0 for a read that would wait.
func (r *runner) readText(args string) error {
	words := strings.Fields(args)
	n, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	p := make([]byte, n)
	m, err := r.t.read(p)
	for i, b := range p[:m] {
		if want := peerByte(r.read + i); b != want {
			return fmt.Errorf("byte %d is %d, want %d", r.read+i, b, want)
		}
	}
	r.read += m
	return returned(words[len(words)-1], m, err)
}

// set is "set nodelay 0", "set keepalive 1 idle 10 interval 1 count 3" …
func (r *runner) set(args string) error {
	words := strings.Fields(args)
	for ; len(words) >= 2; words = words[2:] {
		switch words[0] {
		case "recovery":
			if err := r.t.setLossRecovery(words[1]); err != nil {
				return err
			}
			continue
		case "congestion":
			if err := r.t.setCongestionControl(r.now, words[1], r.t.cc.Window()); err != nil {
				return err
			}
			continue
		}
		v, err := strconv.ParseFloat(words[1], 64)
		if err != nil {
			return err
		}
		d := time.Duration(v * float64(time.Second))
		switch words[0] {
		case "nodelay":
			r.t.opts.noDelay = v != 0
		case "keepalive":
			r.t.setKeepAlive(r.now, v != 0)
		case "idle":
			r.t.opts.keepAliveIdle = d
			r.t.setKeepAlive(r.now, r.t.opts.keepAlive)
		case "interval":
			r.t.opts.keepAliveInterval = d
		case "count":
			r.t.opts.keepAliveCount = int(v)
		case "tos":
			r.t.opts.tos = uint8(v)
		case "usertimeout":
			r.t.opts.userTimeout = d
		default:
			return fmt.Errorf("no option %s", words[0])
		}
	}
	return nil
}

// icmp is "icmp 3/4 seq 1 mtu 1000": type, code, and the sequence number of
// ours that it is about.
func (r *runner) icmp(args string) error {
	report := ipv4.Report{From: peerFlow(9).remote.addr(), Protocol: ipv4.ProtocolTCP}
	var q int
	if _, err := fmt.Sscanf(args, "%d/%d seq %d mtu %d", &report.Type, &report.Code, &q, &report.MTU); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(report.Transport[4:], uint32(scriptISS.add(q)))
	r.t.icmpReport(r.now, report)
	return nil
}

func (r *runner) wantState(want string) error {
	if got := r.state().String(); got != want {
		return fmt.Errorf("state %s", got)
	}
	return nil
}

// expect is "expect cwnd 10000 rto .2 …": what the machine knows.
func (r *runner) expect(args string) error {
	words := strings.Fields(args)
	for ; len(words) >= 2; words = words[2:] {
		got, err := r.value(words[0])
		if err != nil {
			return err
		}
		if got != words[1] {
			return fmt.Errorf("%s is %s", words[0], got)
		}
	}
	return nil
}

func (r *runner) value(name string) (string, error) {
	i := r.t.info()
	values := map[string]any{
		"cwnd": i.CongestionWindow, "ssthresh": i.SlowStartThresh, "mss": i.SendMSS, "pmtu": i.PathMTU,
		"inflight": i.InFlight, "unacked": i.Unacked, "failing": i.Failing, "urgent": i.Urgent, "recovering": i.Recovering,
		"sndwnd": i.SendWindow, "queued": i.SendQueue, "unread": i.ReceiveQueue, "ahead": i.OutOfOrderQueue,
		"rto": i.RTO.Seconds(), "srtt": i.RTT.Seconds(), "probes": i.ConsecutiveProbes,
		"soft": errorName(i.SoftError), "error": errorName(r.t.err), "passive": r.t.passive,
		"readable": r.t.readable(), "writable": r.t.writable(),
		"challenges": r.stats.ChallengeACKs.Load(), "withheld": r.stats.WithheldACKs.Load(),
		"fastopen": i.FastOpen,
		"paws":     r.stats.DropPAWS.Load(), "recoveries": r.stats.FastRecoveries.Load(),
		"retransmits": r.stats.Retransmits.Load(), "timeouts": r.stats.Timeouts.Load(),
		"ignored": r.stats.IgnoredReports.Load(), "dsacks": r.stats.DuplicatesReported.Load(),
		"spurious": r.stats.SpuriousRecoveries.Load(), "lossprobes": r.stats.LossProbes.Load(),
		"repairs": r.stats.LossProbeRepairs.Load(),
		"ecn":     i.ECN, "receivedce": i.BytesReceivedCE, "deliveredce": i.BytesDeliveredCE, "reductions": r.stats.ECNReductions.Load(),
		"search": i.PathMTUSearch, "mtuprobes": r.stats.MTUProbes.Load(),
		"rcvbuf": i.ReceiveBuffer, "sndbuf": i.SendBuffer, "receiverrtt": i.ReceiverRTT.Seconds(),
		"blackholes": r.stats.BlackHoles.Load(), "pending": r.t.path.pending,
		"sack": i.SACK, "timestamps": i.Timestamps, "sndscale": i.SendScale,
	}
	if o := r.outcome; o != nil {
		values["granted"], values["taken"], values["timedout"] = hex.EncodeToString(o.granted.bytes()), o.taken, o.timedOut
	}
	v, ok := values[name]
	if !ok {
		names := make([]string, 0, len(values))
		for n := range values {
			names = append(names, n)
		}
		slices.Sort(names)
		return "", fmt.Errorf("no value %s; there are %v", name, names)
	}
	return fmt.Sprint(v), nil
}
