package packetdrill

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
)

// Options say how a script is run.
type Options struct {
	// Tolerance is how far from its time an event may happen, where the script
	// does not say so. 0 means not at all: time is virtual, so that nothing is
	// late.
	Tolerance time.Duration

	// Linux takes the script as written for Linux's TCP: what that decides and no
	// RFC does is not compared, as the package comment says.
	Linux bool

	// Settings are "name=value" each, and come before those of the script.
	Settings []string

	// Print gets what print writes in %{ }%. Nil means nobody.
	Print func(line string)

	// Trace gets each packet and call as it happens. Nil means nobody.
	Trace func(line string)
}

// A run is a script that is being run.
type run struct {
	script *Script
	cfg    config
	trace  func(string)
	output func(string)

	card  *card
	stack *gonet.Stack
	begin time.Time
	base  time.Duration // of this event, and then
	last  time.Duration // of that before

	flows     []*flow
	current   *flow // of the last packet
	cookie    []byte
	hasCookie bool   // the peer has given the stack a cookie,
	peerMSS   int    // with this MSS
	dialled   uint16 // the port of the last connect
	dialling  bool   // and its SYN has not been seen
	listening bool   // a socket has begun to listen since the last connection began
	sockets   map[int64]*socket
	past      []*socket // closed, and their numbers used again
	pipes     map[int64]*pipe
	epolls    map[int64]*epoll
	calls     []*pending     // that have not returned
	vars      map[string]any // of the code

	before []string // what happened
}

// Run runs the script against a stack of its own, inside of a bubble of
// testing/synctest. The error is an *Error.
func (s *Script) Run(o Options) error {
	r, err := s.start(o)
	if err != nil {
		return err
	}
	defer r.end()
	for i := range s.events {
		if err := r.step(&s.events[i]); err != nil {
			return r.explain(&s.events[i], err)
		}
	}
	if err := r.finish(); err != nil {
		return r.explain(s.lastEvent(), err)
	}
	return nil
}

// lastEvent stands for the end of the script in messages.
func (s *Script) lastEvent() *event {
	last := &event{line: 1}
	if n := len(s.events); n > 0 {
		last.line = s.events[n-1].line
	}
	return last
}

// RunAlone runs the script in a bubble of its own. It works in tests and in
// programs, but not inside of a bubble. Its error is of Run, or says that a
// process waits for ever.
func (s *Script) RunAlone(o Options) (err error) {
	ended := make(chan error, 1) // made out here, so that it can be read after a deadlock
	defer func() {
		select {
		case err = <-ended:
		default:
		}
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("%s: %v", s.Name, r))
		}
	}()
	// Virtual time is only to be had from package synctest, which asks for a
	// test: as in package sim, one that nobody runs will do.
	synctest.Test(new(testing.T), func(*testing.T) { ended <- s.Run(o) })
	return nil
}

// newStack makes a stack behind a card. All stacks with one config choose the
// same ports and sequence numbers at the same instants.
func newStack(cfg config) (*gonet.Stack, *card, error) {
	c := newCard(&cfg)
	s, err := gonet.New(gonet.Config{
		Link: c.link(), Addr: netip.PrefixFrom(cfg.local, 24), Gateway: cfg.gateway(), Rand: sevens{}, TCP: cfg.tcp,
		KeepAlive: -1, // as socket(2) makes them
	})
	return s, c, err
}

// sevens is a source of randomness that has none.
type sevens struct{}

func (sevens) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

// start makes the stack, when its sequence numbers are about to wrap.
func (s *Script) start(o Options) (*run, error) {
	cfg, err := s.configure(&o)
	if err != nil {
		return nil, err
	}
	r := &run{
		script: s, cfg: cfg, trace: o.Trace, output: o.Print, begin: time.Now(),
		sockets: make(map[int64]*socket), pipes: make(map[int64]*pipe), epolls: make(map[int64]*epoll),
	}
	if cfg.wraps > 0 {
		r.begin, err = r.wrapTime()
	}
	if err == nil {
		time.Sleep(time.Until(r.begin))
		r.stack, r.card, err = newStack(cfg)
	}
	if err == nil && cfg.linux && s.usesCookie() {
		err = r.fetchCookie()
	}
	if err != nil {
		return nil, &Error{File: s.Name, Line: 1, Message: err.Error(), Refused: true}
	}
	return r, nil
}

// end closes the stack.
func (r *run) end() {
	r.stack.Close()
	for range r.card.seen {
	}
	for _, s := range r.allSockets() {
		s.forget()
	}
}

// allSockets are those that are open, and those that were.
func (r *run) allSockets() []*socket {
	return append(slices.Collect(maps.Values(r.sockets)), r.past...)
}

// now is the time of the script.
func (r *run) now() time.Duration { return time.Since(r.begin) }

// step does one event.
func (r *run) step(e *event) error {
	from := e.when.from
	if e.when.relative {
		from += r.base
	}
	if _, out := e.do.(*outbound); !out {
		if err := r.sleep(from); err != nil {
			return err
		}
		if from+r.cfg.tolerance < r.now() && !r.cfg.linux {
			return fmt.Errorf("its time has passed: it is %v", seconds(r.now()))
		}
		if err := r.nothingUnread(); err != nil {
			return err
		}
	}
	r.last, r.base = r.base, from
	if err := e.do.do(r, e); err != nil {
		return err
	}
	if e.when.isRange() {
		r.base = r.now()
	}
	return nil
}

// tolerance is how far from its time an event may happen that is so long after
// the one before.
func (r *run) tolerance(after time.Duration) time.Duration {
	return max(r.cfg.tolerance, time.Duration(float64(after)*r.cfg.percent/100))
}

// pollEvery is how often poll and epoll_wait look while time passes: each
// millisecond, or less often in a wait of more than a second.
func pollEvery(wait time.Duration) time.Duration { return max(time.Millisecond, wait/1000) }

// sleep lets time pass until a time of the script, and looks at the calls that
// return meanwhile. It is the one place where a script's time passes but next.
func (r *run) sleep(until time.Duration) error {
	for {
		time.Sleep(r.untilWake(until - r.now()))
		r.release()
		if err := r.settle(); err != nil || r.now() >= until {
			return err
		}
	}
}

// untilWake is how long time may pass, of d, until the runner has something to
// do: to look for a poll, or to write what was held back.
func (r *run) untilWake(d time.Duration) time.Duration {
	if r.polling() {
		d = min(d, pollEvery(d))
	}
	for _, s := range r.allSockets() {
		if s.hold.n > 0 {
			d = min(d, max(0, time.Until(s.hold.until)))
		}
	}
	return d
}

// release writes what was held back long enough.
func (r *run) release() {
	for _, s := range r.allSockets() {
		if s.hold.n > 0 && !time.Now().Before(s.hold.until) {
			s.flushHeld()
		}
	}
}

// polling says whether a poll or epoll_wait waits.
func (r *run) polling() bool {
	return slices.ContainsFunc(r.calls, func(p *pending) bool { return p.poll != nil && !p.returned() })
}

// settle waits until the stack has done all that there is to do at this
// instant, and looks at the calls that have returned.
func (r *run) settle() error {
	synctest.Wait()
	return r.collect()
}

// finish waits for the calls that are still to return.
func (r *run) finish() error {
	until := r.now()
	for _, p := range r.calls {
		until = max(until, p.until+p.slack)
	}
	if err := r.sleep(until); err != nil {
		return err
	}
	if len(r.calls) > 0 {
		return r.calls[0].late(r.now())
	}
	return r.nothingUnread()
}

// nothingUnread says whether all that the stack has sent was in the script. In
// a script for Linux a packet may go out before its turn, and behind the last
// one there may be more.
func (r *run) nothingUnread() error {
	if r.cfg.linux {
		return nil
	}
	select {
	case w := <-r.card.seen:
		got, err := r.recognize(w, segment{anyOptions: true})
		if err == nil {
			err = errors.New("the stack has sent a packet that is not in the script")
		}
		return &mismatch{err: err, seen: r.line(w.at, ">", &got)}
	default:
		return nil
	}
}

// next is the next segment that the stack sends, until a time of the script at
// most; nil when there is none. A script for Linux has one connection after the
// other, and does not look at those that came before.
func (r *run) next(until time.Duration) *wire {
	for {
		w := r.nextOfAny(until)
		if w == nil || !r.cfg.linux || w.err != nil {
			return w
		}
		n := len(r.flows)
		i := slices.IndexFunc(r.flows, func(f *flow) bool { return f.local == w.local && f.remote == w.remote })
		if i < 0 || i == n-1 && !r.dialling {
			return w
		}
	}
}

// nextOfAny is next, of any connection.
func (r *run) nextOfAny(until time.Duration) *wire {
	synctest.Wait()
	for {
		timer := time.NewTimer(r.untilWake(max(0, until-r.now())))
		select {
		case w := <-r.card.seen:
			timer.Stop()
			return w
		case <-timer.C:
		}
		r.release()
		synctest.Wait() // the stack's timers of this very instant
		for _, p := range r.calls {
			p.look()
		}
		select {
		case w := <-r.card.seen:
			return w
		default:
		}
		if r.now() >= until {
			return nil
		}
	}
}

// pause is "`sleep 1`": time passes, and nothing goes out.
type pause struct{ d time.Duration }

func (p *pause) do(r *run, e *event) error {
	r.base += p.d
	if err := r.sleep(r.base); err != nil {
		return err
	}
	return r.nothingUnread()
}

// A mismatch is an error about a packet.
type mismatch struct {
	err          error
	wanted, seen string
}

func (m *mismatch) Error() string { return m.err.Error() }

// recent is how much of what happened is told with an error.
const recent = 12

// explain makes err an *Error of the event e.
func (r *run) explain(e *event, err error) error {
	x := &Error{File: r.script.Name, Line: e.line, Text: e.text, Message: err.Error()}
	var refused *refusal
	x.Refused = errors.As(err, &refused)
	var m *mismatch
	if errors.As(err, &m) {
		x.Wanted, x.Seen = m.wanted, m.seen
	}
	var code *atLine
	if errors.As(err, &code) {
		x.Line = code.line
	}
	var late *lateCall
	if errors.As(err, &late) {
		x.Line, x.Text = late.event.line, late.event.text
	}
	x.Before = r.before[max(0, len(r.before)-recent):]
	return x
}

// note remembers a line of what happened.
func (r *run) note(line string) {
	r.before = append(r.before, line)
	if r.trace != nil {
		r.trace(line)
	}
}

// print takes a line that the code of a script writes.
func (r *run) print(line string) {
	r.note(seconds(r.now()) + " " + line)
	if r.output != nil {
		r.output(line)
	}
}

// line is a packet with its time.
func (r *run) line(at time.Time, direction string, g *segment) string {
	return fmt.Sprintf("%s %s %v", seconds(at.Sub(r.begin)), direction, g)
}

// seconds writes a time as scripts have it, to the microsecond or, where that
// is not all, to the nanosecond.
func seconds(d time.Duration) string {
	if d%time.Microsecond != 0 {
		return fmt.Sprintf("%.9f", d.Seconds())
	}
	return fmt.Sprintf("%.6f", d.Seconds())
}
