package vhost

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A Config is how a back end runs. The zero value is a sensible one.
type Config struct {
	// Report is told why a ring is broken off, and with a ring of -1 why a front
	// end was refused something, or was left. Any goroutine calls it. Nil means
	// that nobody wants to know.
	Report func(ring int, err error)

	// BusyPoll is how long a ring that has nothing to do looks for work before it
	// sleeps. It takes a processor for that time, and saves the driver notifications.
	// 0 is not at all.
	BusyPoll time.Duration

	// patience is how long a ring that is to stop may wait for memory that has not come
	// yet, of a guest that moves here; pagePatience if it is 0.
	patience time.Duration
}

// pagePatience is how long a page of a guest that moves here may take.
const pagePatience = 30 * time.Second

// A Backend is a device that front ends use, one after another.
type Backend struct {
	device  Device
	config  Config
	report  func(ring int, err error)
	changed chan struct{} // the configuration space has
	closing chan struct{}
	closed  atomic.Bool
	done    chan struct{} // closed when all goroutines have ended
}

func newBackend(d Device, c Config) *Backend {
	b := &Backend{
		device: d, config: c, report: c.Report,
		changed: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
	}
	if c.patience == 0 {
		b.config.patience = pagePatience
	}
	if b.report == nil {
		b.report = func(int, error) {}
	}
	return b
}

// Listen serves front ends that connect to a unix socket, which it makes; one
// that nobody listens to any more makes room. While one front end is served the
// next waits.
func Listen(path string, d Device, c Config) (*Backend, error) {
	addr := &net.UnixAddr{Net: "unix", Name: path}
	l, err := net.ListenUnix("unix", addr)
	if errors.Is(err, syscall.EADDRINUSE) && isStale(addr) {
		if err = os.Remove(path); err == nil {
			l, err = net.ListenUnix("unix", addr)
		}
	}
	if err != nil {
		return nil, err
	}
	b := newBackend(d, c)
	go b.listen(l)
	return b, nil
}

// isStale says whether nobody listens to a socket.
func isStale(addr *net.UnixAddr) bool {
	c, err := net.DialUnix("unix", nil, addr)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// redial is how long Connect waits before it tries again.
const redial = 100 * time.Millisecond

// Connect serves the front end that listens to a unix socket, and connects again
// when that has gone or is not there yet.
func Connect(path string, d Device, c Config) *Backend {
	b := newBackend(d, c)
	go b.connect(&net.UnixAddr{Net: "unix", Name: path})
	return b
}

// Serve serves one front end, over a socket that belongs to it from now on, and
// returns when that has gone, or Close was called.
func Serve(conn *net.UnixConn, d Device, c Config) *Backend {
	b := newBackend(d, c)
	go b.serveOne(conn)
	return b
}

// ConfigChanged tells the front end that the configuration space of the device has
// changed.
func (b *Backend) ConfigChanged() {
	select {
	case b.changed <- struct{}{}:
	default: // it will be told anyway
	}
}

// Close leaves the front end, and waits until all rings have stopped.
func (b *Backend) Close() error {
	if !b.closed.Swap(true) {
		close(b.closing)
	}
	<-b.done
	return nil
}

// Done is closed when the back end has ended.
func (b *Backend) Done() <-chan struct{} { return b.done }

// listen accepts front ends and serves them in turn.
//
// Owns: l.
// Reads: closing.
// Writes: done.
// Blocks on: l, and the front end that it serves.
func (b *Backend) listen(l *net.UnixListener) {
	defer close(b.done)
	defer l.Close() // the socket is gone when Close returns
	go b.closeListener(l)
	for {
		conn, err := l.AcceptUnix()
		if b.closed.Load() {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			b.report(-1, err)
			if !b.pause() {
				return
			}
			continue
		}
		b.serve(conn)
	}
}

// closeListener wakes who accepts from l when the back end is closed.
//
// Owns: nothing.
// Reads: closing.
// Writes: nothing.
// Blocks on: closing.
func (b *Backend) closeListener(l *net.UnixListener) {
	<-b.closing
	l.Close()
}

// connect connects to the front end, again and again.
//
// Owns: the connection.
// Reads: closing.
// Writes: done.
// Blocks on: the front end, or a timer.
func (b *Backend) connect(addr *net.UnixAddr) {
	defer close(b.done)
	for {
		if conn, err := net.DialUnix("unix", nil, addr); err == nil {
			b.serve(conn)
		}
		if !b.pause() {
			return
		}
	}
}

// pause waits for a while, and returns false when the back end is to end.
func (b *Backend) pause() bool {
	timer := time.NewTimer(redial)
	defer timer.Stop()
	select {
	case <-b.closing:
		return false
	case <-timer.C:
		return true
	}
}

// serveOne serves one front end.
//
// Owns: conn.
// Reads: closing.
// Writes: done.
// Blocks on: the front end.
func (b *Backend) serveOne(conn *net.UnixConn) {
	defer close(b.done)
	b.serve(conn)
}

// An incoming is a message as it was read, or why there will be no more.
type incoming struct {
	Message
	files Files
	err   error
}

// serve serves one front end until it goes.
func (b *Backend) serve(c *net.UnixConn) {
	conn := NewConn(c, false)
	s := newSession(b.device, b.config, b.report)
	in, quit := make(chan incoming), make(chan struct{})
	go readMessages(conn, in, quit)
	go b.closeConn(conn, quit)
	err := b.loop(s, conn, in)
	close(quit)
	conn.Close()
	if b.closed.Load() {
		err = nil
	}
	s.close()
	if err != nil && !errors.Is(err, io.EOF) {
		b.report(-1, err)
	}
}

// closeConn wakes who waits for the front end to take a message, when the back
// end is closed.
//
// Owns: nothing.
// Reads: closing, quit.
// Writes: nothing.
// Blocks on: closing and quit.
func (b *Backend) closeConn(conn *Conn, quit <-chan struct{}) {
	select {
	case <-b.closing:
		conn.Close()
	case <-quit:
	}
}

// readMessages brings messages to in, until there is an error, which it brings
// too.
//
// Owns: the reading half of conn.
// Reads: quit.
// Writes: in.
// Blocks on: conn, in.
func readMessages(conn *Conn, in chan<- incoming, quit <-chan struct{}) {
	for {
		var i incoming
		i.Message, i.files, i.err = conn.Read()
		select {
		case in <- i:
		case <-quit:
			i.files.Close()
			return
		}
		if i.err != nil {
			return
		}
	}
}

func (b *Backend) loop(s *session, conn *Conn, in <-chan incoming) error {
	for {
		select {
		case i := <-in:
			if i.err != nil {
				return i.err
			}
			out, fd, send, err := s.handle(i.Message, i.files)
			if err != nil {
				return err
			}
			if !send {
				continue
			}
			if err := writeWith(conn, out, fd); err != nil {
				return err
			}
		case <-b.changed:
			if err := s.configChanged(); err != nil {
				b.report(-1, fmt.Errorf("of a change of its configuration: %w", err))
			}
		case <-b.closing:
			return nil
		}
	}
}

// writeWith sends a message, and a file descriptor if there is one, which it
// closes.
func writeWith(conn *Conn, m Message, fd int) error {
	if fd < 0 {
		return conn.Write(m)
	}
	f := Files{fd}
	defer f.Close()
	return conn.Write(m, fd)
}
