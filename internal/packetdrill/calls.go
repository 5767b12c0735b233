package packetdrill

import (
	"context"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// A work is the part of a call that may block. It runs on a goroutine.
type work func() outcome

// calls are the calls that scripts may have: how many arguments they take, and
// what begins them.
var calls = map[string]struct {
	args int
	do   func(r *run, c *call) (work, deadline, error)
}{
	"socket":     {3, (*run).callSocket},
	"bind":       {3, onSocket(callBind)},
	"listen":     {2, onSocket(callListen)},
	"accept":     {3, onSocket(callAccept)},
	"connect":    {3, onSocket(callConnect)},
	"read":       {3, onSocket(callRead)},
	"recv":       {4, onSocket(callRead)},
	"write":      {3, onSocket(callWrite)},
	"send":       {4, onSocket(callWrite)},
	"sendto":     {6, onSocket(callSendTo)},
	"close":      {1, (*run).callClose},
	"shutdown":   {2, onSocket(callShutdown)},
	"fcntl":      {3, onSocket(callFcntl)},
	"setsockopt": {5, onSocket(callSetOption)},
	"getsockopt": {5, onSocket(callGetOption)},
	"ioctl":      {3, onSocket(callIoctl)},
}

// prepare begins a call.
func (r *run) prepare(c *call) (work, deadline, error) { return calls[c.name].do(r, c) }

// atOnce is the work of a call that never blocks.
func atOnce(n int, err error) work { return func() outcome { return outcome{n: n, err: err} } }

// onSocket is for calls whose first argument is a socket.
func onSocket(do func(r *run, s *socket, c *call) (work, deadline, error)) func(*run, *call) (work, deadline, error) {
	return func(r *run, c *call) (work, deadline, error) {
		s, ok := r.sockets[c.args[0].number]
		if !ok || !c.args[0].isNum {
			return nil, nil, fmt.Errorf("there is no socket %d", c.args[0].number)
		}
		s.look()
		return do(r, s, c)
	}
}

func (r *run) callSocket(c *call) (work, deadline, error) {
	if !c.args[1].has("SOCK_STREAM") {
		return nil, nil, fmt.Errorf("sockets here are of type SOCK_STREAM")
	}
	if r.sockets[c.result] != nil {
		return nil, nil, fmt.Errorf("there is a socket %d already", c.result)
	}
	r.sockets[c.result] = &socket{nonblock: c.args[1].has("SOCK_NONBLOCK")}
	return atOnce(int(c.result), nil), nil, nil
}

// callBind has the address of the stack, and the port of the settings.
func callBind(_ *run, _ *socket, c *call) (work, deadline, error) {
	if !c.args[1].rest {
		return nil, nil, fmt.Errorf("the address is ..., and the port --bind_port")
	}
	return atOnce(0, nil), nil, nil
}

func callListen(r *run, s *socket, _ *call) (work, deadline, error) {
	return func() outcome {
		l, err := r.stack.Listen("tcp", fmt.Sprintf(":%d", r.cfg.bindPort))
		if err == nil {
			s.listener = l.(*tcp.Listener)
			err = s.listener.SetFastOpen(s.fastOpen)
		}
		return outcome{err: err}
	}, nil, nil
}

func callAccept(_ *run, s *socket, _ *call) (work, deadline, error) {
	if s.listener == nil {
		return atOnce(0, syscall.EINVAL), nil, nil
	}
	accept := func() outcome {
		c, err := s.listener.AcceptTCP()
		if err != nil {
			return outcome{err: err}
		}
		n := &socket{conn: c, options: s.options, keep: s.keep}
		return outcome{new: n, err: n.applyOptions()}
	}
	return accept, s.unlessBlocking(s.listener.SetDeadline), nil
}

// A deadline sets when a call gives up; the zero time is never. A call that
// must not block has one.
type deadline func(time.Time) error

// unlessBlocking is set on a socket that does not block, and nil on others.
func (s *socket) unlessBlocking(set deadline) deadline {
	if !s.nonblock {
		return nil
	}
	return set
}

// callSendTo is an active open with text on the SYN (RFC 7413).
func callSendTo(r *run, s *socket, c *call) (work, deadline, error) {
	if !c.args[3].has("MSG_FASTOPEN") || !c.args[4].rest {
		return nil, nil, fmt.Errorf("sendto has MSG_FASTOPEN, and ... for the address")
	}
	p, err := c.text(s)
	if err != nil {
		return nil, nil, err
	}
	return r.connect(s, func(ctx context.Context, to string) (net.Conn, error) {
		c, err := r.stack.DialFastOpen(ctx, "tcp", to, p)
		s.written += len(p)
		return c, err
	}, len(p)), nil, nil
}

func callConnect(r *run, s *socket, c *call) (work, deadline, error) {
	if !c.args[1].rest {
		return nil, nil, fmt.Errorf("the address is ..., and the port --connect_port")
	}
	return r.connect(s, func(ctx context.Context, to string) (net.Conn, error) {
		return r.stack.DialContext(ctx, "tcp", to)
	}, 0), nil, nil
}

// connect begins an active open, and is the call that waits for it and then
// returns n.
func (r *run) connect(s *socket, open func(ctx context.Context, to string) (net.Conn, error), n int) work {
	switch {
	case s.conn != nil:
		return atOnce(0, syscall.EISCONN)
	case s.dial != nil:
		return atOnce(0, syscall.EALREADY)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d := &dial{cancel: cancel, done: make(chan struct{})}
	s.dial = d
	go func() {
		c, err := open(ctx, net.JoinHostPort(peerAddr.String(), fmt.Sprint(r.cfg.connectPort)))
		if d.err = err; err == nil {
			d.conn = c.(*tcp.Conn)
			for _, set := range s.options {
				set(d.conn)
			}
		}
		close(d.done)
	}()
	if s.nonblock {
		return atOnce(0, syscall.EINPROGRESS)
	}
	return func() outcome {
		<-d.done
		return outcome{n: n, err: d.err}
	}
}

func callRead(_ *run, s *socket, c *call) (work, deadline, error) {
	if s.conn == nil {
		return atOnce(0, syscall.ENOTCONN), nil, nil
	}
	p, err := c.buffer()
	if err != nil {
		return nil, nil, err
	}
	read := func() outcome {
		n, err := s.conn.Read(p)
		for i, b := range p[:n] {
			if want := peerByte(s.read + i); b != want {
				return outcome{n: n, err: fmt.Errorf("byte %d as %d, not %d", s.read+i, b, want)}
			}
		}
		s.read += n
		if err == io.EOF {
			err = nil
		}
		return outcome{n: n, err: err}
	}
	return read, s.notWaiting(c, s.conn.SetReadDeadline), nil
}

// buffer is the slice that a call reads into or writes from.
func (c *call) buffer() ([]byte, error) {
	const most = 1 << 26
	n := c.args[2].number
	if n < 0 || n > most {
		return nil, fmt.Errorf("%d is no length", n)
	}
	return make([]byte, n), nil
}

// text is what a call writes.
func (c *call) text(s *socket) ([]byte, error) {
	p, err := c.buffer()
	for i := range p {
		p[i] = ourByte(s.written + i)
	}
	return p, err
}

// has says whether the call has a flag of send and recv.
func (c *call) has(flag string) bool { return len(c.args) >= 4 && c.args[3].has(flag) }

// notWaiting is set for a call that must not block, and nil for others.
func (s *socket) notWaiting(c *call, set deadline) deadline {
	if c.has("MSG_DONTWAIT") {
		return set
	}
	return s.unlessBlocking(set)
}

func callWrite(_ *run, s *socket, c *call) (work, deadline, error) {
	if s.conn == nil {
		return atOnce(0, syscall.ENOTCONN), nil, nil
	}
	p, err := c.text(s)
	if err != nil {
		return nil, nil, err
	}
	to := s.conn.Write
	if c.has("MSG_OOB") {
		to = s.conn.WriteUrgent
	}
	write := func() outcome {
		n, err := to(p)
		s.written += n
		if n > 0 {
			err = nil
		}
		return outcome{n: n, err: err}
	}
	return write, s.notWaiting(c, s.conn.SetWriteDeadline), nil
}

func (r *run) callClose(c *call) (work, deadline, error) {
	s, ok := r.sockets[c.args[0].number]
	if !ok {
		return nil, nil, fmt.Errorf("there is no socket %d", c.args[0].number)
	}
	s.look()
	switch {
	case s.listener != nil:
		delete(r.sockets, c.args[0].number)
		return func() outcome { return outcome{err: s.listener.Close()} }, nil, nil
	case s.conn != nil: // it stays, so that assertions can ask for its last state
		return func() outcome { return outcome{err: s.conn.Close()} }, nil, nil
	}
	delete(r.sockets, c.args[0].number)
	return func() outcome {
		s.forget()
		return outcome{}
	}, nil, nil
}

func callShutdown(_ *run, s *socket, c *call) (work, deadline, error) {
	if s.conn == nil {
		return atOnce(0, syscall.ENOTCONN), nil, nil
	}
	how := &c.args[1]
	return func() outcome {
		var err error
		if how.has("SHUT_RD") || how.has("SHUT_RDWR") {
			err = s.conn.CloseRead()
		}
		if err == nil && (how.has("SHUT_WR") || how.has("SHUT_RDWR")) {
			err = s.conn.CloseWrite()
		}
		return outcome{err: err}
	}, nil, nil
}

func callFcntl(_ *run, s *socket, c *call) (work, deadline, error) {
	if !c.args[1].has("F_SETFL") {
		return nil, nil, fmt.Errorf("fcntl knows F_SETFL only")
	}
	s.nonblock = c.args[2].has("O_NONBLOCK")
	return atOnce(0, nil), nil, nil
}
