package packetdrill

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// A work is the part of a call that may block. It runs on a goroutine.
type work func() outcome

// A begin is what begins a call.
type begin func(r *run, c *call) (work, deadline, error)

// calls are the calls that scripts may have: how many arguments they take,
// how many they may take instead, and what begins them. Poll and epoll_wait
// are looked at by the runner itself (poll.go).
var calls = map[string]struct {
	args, orArgs int
	do           begin
}{
	"socket":        {3, 0, (*run).callSocket},
	"bind":          {3, 0, onSocket(callBind)},
	"listen":        {2, 0, onSocket(callListen)},
	"accept":        {3, 0, onSocket(callAccept)},
	"accept4":       {4, 0, onSocket(callAccept)},
	"connect":       {3, 0, onSocket(callConnect)},
	"read":          {3, 0, onFile(callRead, (*run).readPipe)},
	"readv":         {3, 0, onSocket(callRead)},
	"recv":          {4, 0, onSocket(callRead)},
	"recvfrom":      {6, 0, onSocket(callRead)},
	"recvmsg":       {3, 0, onSocket(callRead)},
	"write":         {3, 0, onFile(callWrite, (*run).writePipe)},
	"writev":        {3, 0, onSocket(callWrite)},
	"send":          {4, 0, onSocket(callWrite)},
	"sendto":        {6, 0, onSocket(callWrite)},
	"sendmsg":       {3, 0, onSocket(callWrite)},
	"close":         {1, 0, (*run).callClose},
	"shutdown":      {2, 0, onSocket(callShutdown)},
	"fcntl":         {3, 2, onSocket(callFcntl)},
	"setsockopt":    {5, 0, onSocket(callSetOption)},
	"getsockopt":    {5, 0, onSocket(callGetOption)},
	"ioctl":         {3, 0, onSocket(callIoctl)},
	"pipe":          {1, 0, (*run).callPipe},
	"splice":        {6, 0, (*run).callSplice},
	"poll":          {args: 3},
	"epoll_create":  {1, 0, (*run).callEpollCreate},
	"epoll_create1": {1, 0, (*run).callEpollCreate},
	"epoll_ctl":     {4, 0, (*run).callEpollCtl},
	"epoll_wait":    {args: 4},
}

// refusedCalls are calls of public scripts that have no meaning here, and why.
var refusedCalls = map[string]string{
	"open":     "there are no files",
	"sendfile": "there are no files",
	"cap_set":  "there are no users and groups",
	"capget":   "there are no users and groups",
	"capset":   "there are no users and groups",
}

// prepare begins a call.
func (r *run) prepare(c *call) (work, deadline, error) { return calls[c.name].do(r, c) }

// atOnce is the work of a call that never blocks.
func atOnce(n int, err error) work { return func() outcome { return outcome{n: n, err: err} } }

// onSocket is for calls whose first argument is a socket.
func onSocket(do func(r *run, s *socket, c *call) (work, deadline, error)) begin {
	return func(r *run, c *call) (work, deadline, error) {
		s, ok := r.sockets[c.args[0].number]
		if !ok || !c.args[0].isNum {
			return nil, nil, fmt.Errorf("there is no socket %v", c.args[0])
		}
		s.look()
		return do(r, s, c)
	}
}

// onFile is for calls whose first argument is a socket, or the end of a pipe.
func onFile(do func(r *run, s *socket, c *call) (work, deadline, error), pipe func(r *run, p *pipe, c *call) (work, deadline, error)) begin {
	socket := onSocket(do)
	return func(r *run, c *call) (work, deadline, error) {
		if p, ok := r.pipes[c.args[0].number]; ok {
			return pipe(r, p, c)
		}
		return socket(r, c)
	}
}

// free says whether a descriptor is nobody's.
func (r *run) free(fd int64) error {
	s, socket := r.sockets[fd]
	_, pipe := r.pipes[fd]
	_, epoll := r.epolls[fd]
	if socket && !s.closed || pipe || epoll {
		return fmt.Errorf("there is a descriptor %d already", fd)
	}
	if socket {
		r.past = append(r.past, s)
	}
	return nil
}

func (r *run) callSocket(c *call) (work, deadline, error) {
	if !c.args[1].has("SOCK_STREAM") {
		return nil, nil, fmt.Errorf("sockets here are of type SOCK_STREAM, not %v", c.args[1])
	}
	if err := r.free(c.result); err != nil {
		return nil, nil, err
	}
	s := &socket{nonblock: c.args[1].has("SOCK_NONBLOCK"), values: make(map[string]value)}
	if r.cfg.linux { // Nagle's algorithm is on
		s.options = append(s.options, func(c *tcp.Conn) error { return c.SetNoDelay(false) })
	}
	r.sockets[c.result] = s
	return atOnce(int(c.result), nil), nil, nil
}

// address is what a script says of an address: "..." for the usual one.
func (v *value) address(usual netip.AddrPort) (netip.AddrPort, error) {
	if v.rest {
		return usual, nil
	}
	family, port, addr := v.fields["sa_family"], v.fields["sin_port"], v.fields["sin_addr"]
	if !family.is("AF_INET") || !port.isNum || !addr.is("inet_addr") || len(addr.list) != 1 {
		return usual, fmt.Errorf("an address is {sa_family = AF_INET, sin_port = htons(n), sin_addr = inet_addr(\"a.b.c.d\")} or left out")
	}
	a, err := netip.ParseAddr(addr.list[0].text)
	return netip.AddrPortFrom(a, uint16(port.number)), err
}

// callBind has the address of the stack, and the port of the settings, where
// the script does not say so.
func callBind(r *run, s *socket, c *call) (work, deadline, error) {
	at, err := c.args[1].address(netip.AddrPortFrom(r.cfg.local, r.cfg.bindPort))
	if err == nil && at.Addr() != r.cfg.local && !at.Addr().IsUnspecified() {
		return atOnce(0, syscall.EADDRNOTAVAIL), nil, nil
	}
	s.bound = at.Port()
	return atOnce(0, nil), nil, err
}

func callListen(r *run, s *socket, _ *call) (work, deadline, error) {
	port := r.cfg.bindPort
	if s.bound != 0 {
		port = s.bound
	}
	if s.fastOpen == 0 {
		s.fastOpen = r.cfg.fastOpen
	}
	if r.cfg.noServer {
		s.fastOpen = 0
	}
	r.listening = true
	return func() outcome {
		l, err := r.stack.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			s.listener = l.(*tcp.Listener)
			err = s.listener.SetFastOpen(s.fastOpen)
		}
		return outcome{err: err}
	}, nil, nil
}

func callAccept(_ *run, s *socket, c *call) (work, deadline, error) {
	if !c.args[1].rest {
		return nil, nil, fmt.Errorf("accept tells the address of whom it gets as ..., and as nothing else")
	}
	if s.listener == nil {
		return atOnce(0, syscall.EINVAL), nil, nil
	}
	nonblock := len(c.args) == 4 && c.args[3].has("SOCK_NONBLOCK")
	accept := func() outcome {
		c, err := s.accept()
		if err != nil {
			return outcome{err: err}
		}
		n := &socket{conn: c, options: s.options, keep: s.keep, nonblock: nonblock, values: maps.Clone(s.values)}
		return outcome{new: n, err: n.applyOptions()}
	}
	return accept, s.unlessBlocking(s.listener.SetDeadline), nil
}

// accept is the next connection of a listener: one that a poll has found, or
// the next that comes.
func (s *socket) accept() (*tcp.Conn, error) {
	if len(s.waiting) > 0 {
		c := s.waiting[0]
		s.waiting = s.waiting[1:]
		return c, nil
	}
	return s.listener.AcceptTCP()
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

func callConnect(r *run, s *socket, c *call) (work, deadline, error) {
	to, err := c.args[1].address(netip.AddrPortFrom(r.cfg.remote, r.cfg.connectPort))
	if err != nil {
		return nil, nil, err
	}
	if s.fastConnect && !r.cfg.noClient && s.dial == nil && !s.deferred {
		if r.hasCookie { // the SYN waits for the first text
			s.deferred = true
			return atOnce(0, nil), nil, nil
		}
		return r.fastOpen(s, to, nil, s.nonblock), nil, nil
	}
	return r.connect(s, to, func(ctx context.Context) (net.Conn, error) {
		var o tcp.DialOptions
		if s.bound != 0 {
			o.Local = netip.AddrPortFrom(r.cfg.local, s.bound)
		}
		return r.stack.DialWith(ctx, to.String(), o)
	}, 0, s.nonblock), nil, nil
}

// fastOpen is an active open with text on the SYN (RFC 7413).
func (r *run) fastOpen(s *socket, to netip.AddrPort, p []byte, nonblock bool) work {
	s.deferred = false
	return r.connect(s, to, func(ctx context.Context) (net.Conn, error) {
		c, err := r.stack.DialFastOpen(ctx, "tcp", to.String(), p)
		s.written += len(p)
		return c, err
	}, len(p), nonblock)
}

// connect begins an active open, and is the call that waits for it and then
// returns n.
func (r *run) connect(s *socket, to netip.AddrPort, open func(ctx context.Context) (net.Conn, error), n int, nonblock bool) work {
	switch {
	case s.conn != nil:
		return atOnce(0, syscall.EISCONN)
	case s.dial != nil:
		return atOnce(0, syscall.EALREADY)
	case to.Addr() != r.cfg.remote:
		return atOnce(0, fmt.Errorf("the peer of a script is %v, not %v", r.cfg.remote, to.Addr()))
	}
	r.dialled, r.dialling = to.Port(), true
	ctx, cancel := context.WithCancel(context.Background())
	if s.giveUpAfter > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.giveUpAfter)
	}
	d := &dial{cancel: cancel, done: make(chan struct{})}
	s.dial = d
	go func() {
		c, err := open(ctx)
		if err != nil && ctx.Err() == context.DeadlineExceeded { // TCP_SYNCNT
			err = syscall.ETIMEDOUT
		}
		if d.err = err; err == nil {
			d.conn = c.(*tcp.Conn)
			for _, set := range s.options {
				set(d.conn)
			}
		}
		close(d.done)
	}()
	if nonblock && n > 0 && r.hasCookie { // the text is on its way with the SYN
		return atOnce(n, nil)
	}
	if nonblock {
		return atOnce(0, syscall.EINPROGRESS)
	}
	return func() outcome {
		<-d.done
		return outcome{n: n, err: d.err}
	}
}

func (r *run) callClose(c *call) (work, deadline, error) {
	fd := c.args[0].number
	if p, ok := r.pipes[fd]; ok {
		delete(r.pipes, fd)
		p.close()
		return atOnce(0, nil), nil, nil
	}
	if _, ok := r.epolls[fd]; ok {
		delete(r.epolls, fd)
		return atOnce(0, nil), nil, nil
	}
	s, ok := r.sockets[fd]
	if !ok {
		return nil, nil, fmt.Errorf("there is no descriptor %d", fd)
	}
	s.look()
	for _, e := range r.epolls { // as the kernel has it
		delete(e.watches, fd)
	}
	switch {
	case s.listener != nil:
		delete(r.sockets, fd)
		return func() outcome {
			for _, c := range s.waiting {
				c.SetLinger(0)
				c.Close()
			}
			return outcome{err: s.listener.Close()}
		}, nil, nil
	case s.conn != nil: // it stays, so that assertions can ask for its last state
		s.closed = true
		s.flushHeld()
		return func() outcome { return outcome{err: s.conn.Close()} }, nil, nil
	}
	delete(r.sockets, fd)
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
	s.flushHeld()
	s.shutWrite = s.shutWrite || how.has("SHUT_WR") || how.has("SHUT_RDWR")
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

// Linux's numbers of O_RDWR and O_NONBLOCK.
const (
	readWrite = 0x2
	nonBlock  = 0x800
)

func callFcntl(_ *run, s *socket, c *call) (work, deadline, error) {
	switch {
	case c.args[1].is("F_SETFL") && len(c.args) == 3:
		s.nonblock = c.args[2].has("O_NONBLOCK")
		return atOnce(0, nil), nil, nil
	case c.args[1].is("F_GETFL") && len(c.args) == 2:
		n := readWrite
		if s.nonblock {
			n |= nonBlock
		}
		return atOnce(n, nil), nil, nil
	}
	return nil, nil, fmt.Errorf("fcntl knows F_GETFL and F_SETFL, not %v", c.args[1])
}
