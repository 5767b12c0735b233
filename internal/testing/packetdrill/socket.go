package packetdrill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// A socket is what a number stands for that socket or accept has returned.
type socket struct {
	listener *tcp.Listener
	conn     *tcp.Conn
	dial     *dial // a connect that is under way
	nonblock bool

	options     []func(*tcp.Conn) error // set before there was a connection
	values      map[string]value        // what options were set to
	keep        net.KeepAliveConfig
	bound       uint16        // the port of bind; 0 for any
	giveUpAfter time.Duration // of a connect; 0 for never
	fastOpen    int           // of a listener: how many connections may wait for the handshake
	fastConnect bool          // TCP_FASTOPEN_CONNECT: connect waits for the text that goes with the SYN,
	deferred    bool          // and does so
	waiting     []*tcp.Conn   // of a listener: accepted by a poll that has looked

	written   int // bytes
	read      int
	shutWrite bool
	noSpace   bool // the last write did not find room for all
	closed    bool // by close: the number is free
	hold      hold
}

// A dial is a connect that is under way, or over.
type dial struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it is over; then these hold:
	conn   *tcp.Conn
	err    error
}

// look takes the connection from a dial that is over.
func (s *socket) look() {
	if s.dial != nil && s.conn == nil && !s.dialling() {
		s.conn = s.dial.conn
	}
}

// dialling says whether a connect is under way.
func (s *socket) dialling() bool {
	if s.dial == nil {
		return false
	}
	select {
	case <-s.dial.done:
		return false
	default:
		return true
	}
}

// forget ends what may still wait, and gives back what nobody has read.
func (s *socket) forget() {
	if s.dial != nil {
		s.dial.cancel()
	}
	if s.look(); s.conn != nil {
		s.conn.Close()
	}
	for _, c := range s.waiting {
		c.Close()
	}
}

// A pending call has begun, and must return.
type pending struct {
	*call
	event *event
	until time.Duration // of the script: when it should return
	slack time.Duration // how far from it that may be
	poll  poller        // of poll and epoll_wait; nil of others
	limit time.Time     // when those give up
	done  chan struct{} // closed when it has; then these hold:
	at    time.Time
	outcome
}

// An outcome is what a call returns.
type outcome struct {
	n   int
	err error
	new *socket // of accept
}

// A lateCall is what is wrong with a call that had begun before.
type lateCall struct {
	event *event
	err   error
}

// late says that p should have returned by now.
func (p *pending) late(now time.Duration) error {
	return &lateCall{p.event, fmt.Errorf("the call has not returned at %s", seconds(now))}
}

func (l *lateCall) Error() string { return l.err.Error() }

// do begins a call, and sees it return if it does not block.
func (c *call) do(r *run, e *event) error {
	p := &pending{call: c, event: e, until: r.base, done: make(chan struct{})}
	if e.when.blocks {
		p.until = r.base + e.when.end - e.when.from
	}
	p.slack = r.tolerance(p.until - r.last)
	giveUp, err := p.begin(r)
	if err != nil {
		return &refusal{err}
	}
	r.note(seconds(r.now()) + " " + e.what)
	r.calls = append(r.calls, p)
	if e.when.blocks {
		return nil
	}
	if err := r.settle(); err != nil {
		return err
	}
	if !p.returned() && giveUp != nil {
		giveUp(time.Now())
		if err := r.settle(); err != nil {
			return err
		}
		giveUp(time.Time{})
	}
	if !p.returned() {
		return errors.New("the call waits")
	}
	return nil
}

// begin begins the call. What it returns ends its wait, where it must not wait.
func (p *pending) begin(r *run) (deadline, error) {
	if calls[p.name].do == nil {
		poll, timeout, err := r.poller(p.call)
		p.poll = poll
		if timeout < forever {
			p.limit = time.Now().Add(timeout)
		}
		return nil, err
	}
	work, giveUp, err := r.prepare(p.call)
	if err != nil {
		return nil, err
	}
	go func() {
		p.outcome = work()
		p.at = time.Now()
		close(p.done)
	}()
	return giveUp, nil
}

// look asks a poller whether it returns now.
func (p *pending) look() {
	if p.poll == nil || p.returned() {
		return
	}
	o, ready := p.poll()
	if over := !p.limit.IsZero() && !time.Now().Before(p.limit); ready || over {
		p.outcome, p.at = o, time.Now()
		close(p.done)
	}
}

// returned says whether the call has.
func (p *pending) returned() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// collect looks at the calls that have returned, and at those that should have.
func (r *run) collect() error {
	var rest []*pending
	for _, p := range r.calls {
		p.look()
		if !p.returned() {
			if r.now() > p.until+p.slack {
				return p.late(r.now())
			}
			rest = append(rest, p)
			continue
		}
		if err := r.check(p); err != nil {
			return &lateCall{p.event, err}
		}
	}
	r.calls = rest
	return nil
}

// check compares what a call has returned with what the script wants.
func (r *run) check(p *pending) error {
	if p.new != nil {
		if err := r.free(p.result); err != nil {
			return err
		}
		r.sockets[p.result] = p.new
		p.n = int(p.result)
	}
	got := fmt.Sprint(p.n)
	if p.err != nil {
		got = "-1 " + errnoName(p.err)
	}
	want := fmt.Sprint(p.result)
	switch {
	case p.errno != "":
		want = "-1 " + p.errno
	case p.result < 0 && p.err != nil: // any error
		want = got
	}
	if at := p.at.Sub(r.begin); at < p.until-p.slack || at > p.until+p.slack {
		return fmt.Errorf("the call returns %s at %s, and not at %s", got, seconds(at), seconds(p.until))
	}
	if !p.any && got != want {
		return fmt.Errorf("the call returns %s", got)
	}
	return nil
}

// errnoNames are the errors that calls may return.
var errnoNames = map[error]string{
	syscall.EPIPE: "EPIPE", syscall.ECONNRESET: "ECONNRESET", syscall.ECONNREFUSED: "ECONNREFUSED",
	syscall.ETIMEDOUT: "ETIMEDOUT", syscall.EHOSTUNREACH: "EHOSTUNREACH", syscall.ENETUNREACH: "ENETUNREACH",
	syscall.EPROTO: "EPROTO", syscall.ENOPROTOOPT: "ENOPROTOOPT", syscall.EMSGSIZE: "EMSGSIZE",
	syscall.EADDRINUSE: "EADDRINUSE", syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL", syscall.EINPROGRESS: "EINPROGRESS",
	syscall.EALREADY: "EALREADY", syscall.ENOTCONN: "ENOTCONN", syscall.EISCONN: "EISCONN",
	syscall.EINVAL: "EINVAL", syscall.EOPNOTSUPP: "EOPNOTSUPP", syscall.ECONNABORTED: "ECONNABORTED",
	syscall.ENOENT: "ENOENT", syscall.EAGAIN: "EAGAIN", syscall.EBADF: "EBADF", syscall.EEXIST: "EEXIST",
	syscall.EFAULT: "EFAULT",
	net.ErrClosed:  "EBADF", os.ErrDeadlineExceeded: "EAGAIN", context.Canceled: "ECANCELED", io.EOF: "EOF",
}

// errnoName is the name of what is inside of err.
func errnoName(err error) string {
	for e, name := range errnoNames {
		if errors.Is(err, e) {
			return name
		}
	}
	return fmt.Sprint(err)
}
