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

	options  []func(*tcp.Conn) error // set before there was a connection
	keep     net.KeepAliveConfig
	fastOpen int // of a listener: how many connections may wait for the handshake
	written  int // bytes
	read     int
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
	if s.dial == nil || s.conn != nil {
		return
	}
	select {
	case <-s.dial.done:
		s.conn = s.dial.conn
	default:
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
}

// A pending call has begun, and must return.
type pending struct {
	*call
	event *event
	until time.Duration // of the script: when it should return
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
	work, giveUp, err := r.prepare(c)
	if err != nil {
		return err
	}
	p := &pending{call: c, event: e, until: r.base, done: make(chan struct{})}
	if e.when.blocks {
		p.until = r.base + e.when.end - e.when.from
	}
	r.note(seconds(r.now()) + " " + e.what)
	go func() {
		p.outcome = work()
		p.at = time.Now()
		close(p.done)
	}()
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
		if !p.returned() {
			if r.now() > p.until+r.cfg.tolerance {
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
		if r.sockets[p.result] != nil {
			return fmt.Errorf("there is a socket %d already", p.result)
		}
		r.sockets[p.result] = p.new
		p.n = int(p.result)
	}
	got := fmt.Sprint(p.n)
	if p.err != nil {
		got = "-1 " + errnoName(p.err)
	}
	want := fmt.Sprint(p.result)
	if p.errno != "" {
		want = "-1 " + p.errno
	}
	if at := p.at.Sub(r.begin); at < p.until-r.cfg.tolerance || at > p.until+r.cfg.tolerance {
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
	syscall.ENOENT: "ENOENT",
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
