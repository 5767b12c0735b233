package netdiff

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A sequence is calls, one a line: what is called, the name of the socket, and
// arguments without spaces. Sockets are named by who makes them:
//
//	listen l tcp4 127.0.0.1:0      dial a tcp4 @l       accept b l
//	packet u udp4 :0               dial c udp4 127.0.0.1:$u
//	read b 10    write a hello     close a              deadline b read 3
//
// In an argument @x is the address of the socket x, and $x its port. A call that
// has not ended after some ticks waits: its result comes with that of the call
// which has ended it.
type sequence []string

// A result is what one call has given, or the end of the sequence.
type result struct{ step, text string }

func (r result) String() string { return r.step + "\n\t→ " + r.text }

// patience is for how many ticks a call may take that does not wait.
const patience = 5

// A runner runs a sequence on one world.
type runner struct {
	world
	sockets map[string]any
	order   []string          // their names, as they were made
	ports   map[string]string // the name of the socket that has a port
	waiting []waiting
	results []result
}

// A waiting is a call under way. Its outcome is rendered by the runner, which
// knows the names of ports by then.
type waiting struct {
	step    string
	call    string // what, and on which socket
	outcome chan func() string
}

// run runs s, and gives what its calls did.
func run(w world, s sequence) []result {
	r := &runner{world: w, sockets: map[string]any{}, ports: map[string]string{}}
	for _, step := range s {
		r.step(step)
	}
	for _, name := range r.order {
		r.sockets[name].(io.Closer).Close()
		r.settle(0)
	}
	r.settle(patience)
	r.collect()
	for _, c := range r.waiting {
		r.results = append(r.results, result{c.step, "waits for ever"})
	}
	return r.results
}

// step makes one call, and collects what has ended with it.
func (r *runner) step(step string) {
	f := strings.Fields(step)
	for i, a := range f[1:] {
		f[i+1] = r.expand(a)
	}
	if f[0] == "sleep" {
		n, _ := strconv.Atoi(f[1])
		r.settle(n)
		r.collect()
		return
	}
	c := waiting{step, kind(f[0]) + " " + f[1], make(chan func() string, 1)}
	if slices.ContainsFunc(r.waiting, func(w waiting) bool { return w.call == c.call }) {
		r.results = append(r.results, result{step, "not called: another waits"})
		return
	}
	call := r.call(f[0], f[1], append(f[2:], "", "", ""))
	go func() { c.outcome <- call() }()
	for range patience {
		r.settle(0)
		select {
		case outcome := <-c.outcome:
			r.results = append(r.results, result{step, outcome()})
			r.collect()
			return
		default:
			r.settle(1)
		}
	}
	r.waiting = append(r.waiting, c)
	r.collect()
}

// kind is what a call is one of, of which package net has only one under way: it
// has a lock for reads, and one for writes.
func kind(what string) string {
	switch what {
	case "read", "readall", "readfromudpaddrport", "look", "peek":
		return "readfrom"
	case "writemuch", "fill":
		return "write"
	}
	return what
}

// collect takes the results of calls that waited.
func (r *runner) collect() {
	var still []waiting
	for _, c := range r.waiting {
		select {
		case outcome := <-c.outcome:
			r.results = append(r.results, result{c.step + " (which waited)", outcome()})
		default:
			still = append(still, c)
		}
	}
	r.waiting = still
}

// expand replaces @x and $x.
func (r *runner) expand(a string) string {
	for name, s := range r.sockets {
		if at := addrOf(s); at != nil {
			a = strings.ReplaceAll(a, "@"+name, at.String())
			a = strings.ReplaceAll(a, "$"+name, portOf(at))
		}
	}
	return a
}

// addrOf is the own address of a socket.
func addrOf(s any) net.Addr {
	switch s := s.(type) {
	case net.Listener:
		return s.Addr()
	case interface{ LocalAddr() net.Addr }:
		return s.LocalAddr()
	}
	return nil
}

func portOf(a net.Addr) string {
	s := a.String()
	return s[strings.LastIndex(s, ":")+1:]
}

// made notes a socket, unless err says that there is none.
func (r *runner) made(name string, s any, err error) string {
	if err != nil {
		if s != nil && !reflect.ValueOf(s).IsZero() {
			return r.error(err) + " and a socket"
		}
		return r.error(err)
	}
	r.sockets[name] = s
	r.order = append(r.order, name)
	if p := portOf(addrOf(s)); r.ports[p] == "" {
		r.ports[p] = name
	}
	return "a socket at " + r.addr(addrOf(s))
}

// call prepares the call of what on the socket that has a name. The function
// that it returns may wait; what that returns renders the result.
func (r *runner) call(what, name string, args []string) func() func() string {
	switch what {
	case "listen":
		return func() func() string {
			l, err := r.listen(unquote(args[0]), unquote(args[1]))
			return func() string { return r.made(name, l, err) }
		}
	case "packet":
		return func() func() string {
			c, err := r.listenPacket(unquote(args[0]), unquote(args[1]))
			return func() string { return r.made(name, c, err) }
		}
	case "dial":
		return r.callDial(name, args)
	}
	s := r.sockets[name]
	if what == "accept" {
		s = r.sockets[args[0]]
	}
	if s == nil {
		return told("no such socket")
	}
	return r.callOn(what, name, s, args)
}

// told is a call that gives a text.
func told(text string) func() func() string {
	return func() func() string { return func() string { return text } }
}

// unquote is an argument that may be empty, written "".
func unquote(a string) string {
	if a == `""` {
		return ""
	}
	return a
}

// callDial dials, with a limit of so many ticks where there is a third
// argument, or with a context that is cancelled.
func (r *runner) callDial(name string, args []string) func() func() string {
	return func() func() string {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		switch n, err := strconv.Atoi(args[2]); {
		case args[2] == "cancelled":
			cancel()
		case args[2] == "late":
			ctx, cancel = context.WithDeadline(ctx, time.Unix(1, 0))
			defer cancel()
		case err == nil:
			ctx, cancel = context.WithTimeout(ctx, time.Duration(n)*r.tick())
			defer cancel()
		}
		c, err := r.dial(ctx, unquote(args[0]), unquote(args[1]))
		return func() string { return r.made(name, c, err) }
	}
}

// udpAddr reads an address that may be none, of nothing, or of another type.
func udpAddr(a string) net.Addr {
	if a == "nil" {
		return nil
	}
	host, port, _ := net.SplitHostPort(a)
	p, _ := strconv.Atoi(port)
	ip := net.ParseIP(host)
	if host, ok := strings.CutPrefix(host, "tcp/"); ok {
		return &net.TCPAddr{IP: net.ParseIP(host), Port: p}
	}
	return &net.UDPAddr{IP: ip, Port: p}
}

func addrPort(a string) netip.AddrPort {
	at, _ := netip.ParseAddrPort(a)
	return at
}

// callOn is a call of a method of s.
func (r *runner) callOn(what, name string, s any, args []string) func() func() string {
	n, _ := strconv.Atoi(args[0])
	text := unquote(args[0])
	errOnly := func(f func() error) func() func() string {
		return func() func() string {
			err := f()
			return func() string { return r.error(err) }
		}
	}
	counted := func(f func() (int, error)) func() func() string {
		return func() func() string {
			n, err := f()
			return func() string { return fmt.Sprintf("%d, %s", n, r.error(err)) }
		}
	}
	switch what {
	case "close":
		return errOnly(s.(io.Closer).Close)
	case "deadline":
		return errOnly(func() error { return r.setDeadline(s, args) })
	case "addrs":
		return func() func() string { return func() string { return r.addrs(s) } }
	}
	switch s := s.(type) {
	case net.Listener:
		if what != "accept" {
			return told("not for a listener")
		}
		return func() func() string {
			c, err := s.Accept()
			return func() string { return r.made(name, c, err) }
		}
	case net.Conn:
		switch what {
		case "read":
			return func() func() string {
				p := make([]byte, n)
				m, err := s.Read(p)
				return func() string { return fmt.Sprintf("%d %q, %s", m, p[:max(m, 0)], r.error(err)) }
			}
		case "write":
			return counted(func() (int, error) { return s.Write([]byte(text)) })
		}
	}
	switch s := s.(type) {
	case streamConn:
		return r.callStream(what, s, n, errOnly)
	case packetConn:
		return r.callPacket(what, s, args, n, counted)
	}
	return told("not for this socket")
}

// A streamConn is what both kinds of TCP connections have beyond net.Conn.
type streamConn interface {
	CloseRead() error
	CloseWrite() error
	SetLinger(int) error
	SetNoDelay(bool) error
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
	SetReadBuffer(int) error
	SetWriteBuffer(int) error
	io.ReaderFrom
	io.WriterTo
}

func (r *runner) callStream(what string, s streamConn, n int, errOnly func(func() error) func() func() string) func() func() string {
	switch what {
	case "closeread":
		return errOnly(s.CloseRead)
	case "closewrite":
		return errOnly(s.CloseWrite)
	case "linger":
		return errOnly(func() error { return s.SetLinger(n) })
	case "nodelay":
		return errOnly(func() error { return s.SetNoDelay(n > 0) })
	case "keepalive":
		return errOnly(func() error { return s.SetKeepAlive(n > 0) })
	case "keepaliveperiod":
		return errOnly(func() error { return s.SetKeepAlivePeriod(time.Duration(n) * time.Second) })
	case "readbuffer":
		return errOnly(func() error { return s.SetReadBuffer(n) })
	case "writebuffer":
		return errOnly(func() error { return s.SetWriteBuffer(n) })
	case "look": // as drivers of databases do, to see whether a connection is alive
		return r.callLook(s.(syscall.Conn), func(fd int, b []byte) (int, error) { return unix.Read(fd, b) })
	case "peek":
		return r.callLook(s.(syscall.Conn), func(fd int, b []byte) (int, error) {
			n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
			return n, err
		})
	case "setsockopt":
		return errOnly(func() error {
			raw, err := s.(syscall.Conn).SyscallConn()
			if err != nil {
				return err
			}
			var is error
			err = raw.Control(func(fd uintptr) { is = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) })
			return cmp.Or(err, is)
		})
	case "writemuch": // more than any buffer takes
		return errOnly(func() error { _, err := s.(net.Conn).Write(make([]byte, 32<<20)); return err })
	case "fill": // writes until the peer takes no more
		return func() func() string {
			c := s.(net.Conn)
			c.SetWriteDeadline(time.Now().Add(2 * r.tick()))
			_, err := c.Write(make([]byte, 16<<20))
			return func() string { return r.error(err) }
		}
	case "readall":
		return func() func() string {
			all, err := io.ReadAll(s.(net.Conn))
			if len(all) > 100 {
				all = fmt.Append(nil, "more than 100 bytes")
			}
			return func() string { return fmt.Sprintf("%q, %s", all, r.error(err)) }
		}
	case "readfrom":
		return errOnly(func() error { _, err := s.ReadFrom(strings.NewReader("from a reader")); return err })
	}
	return told("not for a TCP connection")
}

// callLook reads a byte of the descriptor by f.
func (r *runner) callLook(s syscall.Conn, f func(fd int, b []byte) (int, error)) func() func() string {
	return func() func() string {
		var n int
		raw, is := s.SyscallConn()
		if is == nil {
			err := raw.Read(func(fd uintptr) bool {
				n, is = f(int(fd), make([]byte, 1))
				return true
			})
			is = cmp.Or(err, is)
		}
		return func() string { return fmt.Sprintf("%d, %s", max(n, 0), r.error(is)) }
	}
}

// A packetConn is what both kinds of UDP sockets have.
type packetConn interface {
	net.Conn
	net.PacketConn
}

func (r *runner) callPacket(what string, s packetConn, args []string, n int, counted func(func() (int, error)) func() func() string) func() func() string {
	switch what {
	case "readfrom":
		return func() func() string {
			p := make([]byte, n)
			m, from, err := s.ReadFrom(p)
			return func() string {
				return fmt.Sprintf("%d %q from %s, %s", m, p[:max(m, 0)], r.addr(from), r.error(err))
			}
		}
	case "writeto":
		return counted(func() (int, error) { return s.WriteTo([]byte(unquote(args[0])), udpAddr(args[1])) })
	case "writelong":
		return counted(func() (int, error) { return s.Write(make([]byte, n)) })
	case "writetolong":
		return counted(func() (int, error) { return s.WriteTo(make([]byte, n), udpAddr(args[1])) })
	case "readbuffer", "writebuffer":
		set := reflect.ValueOf(s).MethodByName(map[string]string{"readbuffer": "SetReadBuffer", "writebuffer": "SetWriteBuffer"}[what])
		if !set.IsValid() {
			return told("no such method")
		}
		return func() func() string {
			err, _ := set.Call([]reflect.Value{reflect.ValueOf(n)})[0].Interface().(error)
			return func() string { return r.error(err) }
		}
	}
	if m, ok := s.(addrPortConn); ok {
		switch what {
		case "readfromudpaddrport":
			return func() func() string {
				p := make([]byte, n)
				m, from, err := m.ReadFromUDPAddrPort(p)
				return func() string {
					return fmt.Sprintf("%d %q from %s, %s", m, p[:max(m, 0)], r.names(from.String()), r.error(err))
				}
			}
		case "writetoudpaddrport":
			return counted(func() (int, error) { return m.WriteToUDPAddrPort([]byte(unquote(args[0])), addrPort(args[1])) })
		}
	}
	return told("not for a UDP socket")
}

// An addrPortConn is a UDP socket with the calls that take addresses by value.
type addrPortConn interface {
	ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
}

// setDeadline sets the deadline that args say: which one, and when.
func (r *runner) setDeadline(s any, args []string) error {
	at := time.Time{}
	switch n, err := strconv.Atoi(args[1]); {
	case args[1] == "past":
		at = time.Unix(1, 0)
	case args[1] == "now":
		at = time.Now()
	case err == nil:
		at = time.Now().Add(time.Duration(n) * r.tick())
	}
	type deadlines interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	}
	if d, ok := s.(deadlines); ok && args[0] != "both" {
		if args[0] == "read" {
			return d.SetReadDeadline(at)
		}
		return d.SetWriteDeadline(at)
	}
	return s.(interface{ SetDeadline(time.Time) error }).SetDeadline(at)
}
