package nbd

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/service"
)

// A serverConn is a connection as the server knows it.
type serverConn struct {
	conn    net.Conn
	serial  uint64
	session *session // nil in the handshake; the server's mutex guards it
	ended   chan struct{}

	// ctx ends with cancel: the calls of devices that know contexts are then cut
	// off, with the connection.
	ctx    context.Context
	cancel context.CancelFunc
}

// Serve takes connections from l and serves each of them in goroutines of its own,
// until l fails or the server is closed. It closes l.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	if s.listeners == nil {
		s.listeners = map[net.Listener]bool{}
	}
	s.listeners[l] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	err := service.Accept(l, func(conn net.Conn) { s.ServeConn(conn) })
	if s.shutdown() {
		return ErrServerClosed
	}
	return err
}

// ServeConn serves one connection until it ends, and closes it. The error is nil if
// the client ended it as it should, or the server did.
func (s *Server) ServeConn(conn net.Conn) error {
	c, err := s.admit(conn)
	if err != nil {
		conn.Close()
		return err
	}
	err = s.serveConn(c)
	c.cancel()
	s.leave(c)
	if err != nil && s.ErrorLog != nil {
		s.ErrorLog(conn.RemoteAddr(), err)
	}
	return err
}

func (s *Server) serveConn(c *serverConn) error {
	session, err := s.handshake(c)
	if err != nil || session == nil {
		c.conn.Close()
		if err != nil {
			s.counters.handshakeErrors.Add(1)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.counters.handshakeTimeout.Add(1)
			}
		}
		return err
	}
	s.counters.handshakes.Add(1)
	s.counters.sessions.Add(1)
	defer s.counters.sessions.Add(^uint64(0))
	err = session.run()
	if extra := session.started.Load() - 1; extra > 0 {
		s.workers.Add(-int64(extra))
	}
	switch {
	case session.ending.Load():
		service.Linger(session.conn, 64<<20)
		return nil
	case err == nil:
		s.counters.disconnects.Add(1)
	default:
		s.counters.aborts.Add(1)
	}
	session.conn.Close()
	if errors.Is(err, io.EOF) { // a client that just goes is common
		return nil
	}
	return err
}

// What ends a connection before it began.
var (
	errTooMany = errors.New("nbd: too many connections")
	errNoTLS   = errors.New("nbd: the server requires TLS and has no configuration of it")
)

// admit makes a connection known. From here on its handshake is timed.
func (s *Server) admit(conn net.Conn) (*serverConn, error) {
	s.counters.connections.Add(1)
	timeout := s.HandshakeTimeout
	if timeout <= 0 {
		timeout = defaultHandshakeTimeout
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, ErrServerClosed
	}
	if s.TLSMode == TLSRequired && s.TLS == nil {
		return nil, errNoTLS
	}
	if len(s.conns) >= orDefault(s.MaxConns, defaultMaxConns) {
		s.counters.refused.Add(1)
		return nil, errTooMany
	}
	s.evict()
	if s.conns == nil {
		s.conns = map[*serverConn]bool{}
	}
	s.serial++
	c := &serverConn{conn: conn, serial: s.serial, ended: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	s.conns[c] = true
	conn.SetDeadline(time.Now().Add(timeout))
	return c, nil
}

// evict closes the oldest of too many connections in their handshake: who opens
// connections and says nothing keeps nobody else out.
func (s *Server) evict() {
	var oldest *serverConn
	n := 0
	for c := range s.conns {
		if c.session == nil {
			if n++; oldest == nil || c.serial < oldest.serial {
				oldest = c
			}
		}
	}
	if n >= orDefault(s.MaxHandshakes, defaultMaxHandshakes) {
		s.counters.evicted.Add(1)
		oldest.conn.Close()
	}
}

// enter makes c a session, if its export is still there. Its time is no longer
// bounded.
func (s *Server) enter(c *serverConn, session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := session.worker.export; s.closing || s.exports[x.Name] != x {
		return false
	}
	c.session = session
	c.conn.SetDeadline(time.Time{})
	if session.worker.export.immediate {
		return true
	}
	s.watched++
	if s.lookout.wake == nil {
		s.lookout.wake = make(chan struct{}, 1)
	}
	if !s.looking {
		s.looking = true
		go s.look()
	}
	return true
}

func (s *Server) leave(c *serverConn) {
	s.mu.Lock()
	delete(s.conns, c)
	if c.session != nil && !c.session.worker.export.immediate {
		c.session.over.Store(true)
		if s.watched--; s.watched == 0 {
			s.lookout.rouse()
		}
	}
	s.mu.Unlock()
	close(c.ended)
}

// Shutdown takes no more connections, lets each session do what it has received,
// and ends it. It returns when all have ended, or with the error of the context
// when it has cut them off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.close()
	return s.drain(ctx, func(*serverConn) bool { return true })
}

// Close ends all connections at once. It does not wait for calls of devices that
// know no contexts.
func (s *Server) Close() error {
	s.close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.drain(ctx, func(*serverConn) bool { return true })
	return nil
}

// close takes no more connections, and forgets the exports.
func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	for name, x := range s.exports {
		x.stop()
		delete(s.exports, name)
	}
}

// drain ends the connections that match, and waits for them. Those in their
// handshake have a moment to hear why.
func (s *Server) drain(ctx context.Context, match func(*serverConn) bool) error {
	s.mu.Lock()
	var ending []*serverConn
	for c := range s.conns {
		if !match(c) {
			continue
		}
		ending = append(ending, c)
		if c.session != nil {
			c.session.drain()
		} else {
			c.conn.SetDeadline(time.Now().Add(time.Second))
		}
	}
	s.mu.Unlock()
	for i, c := range ending {
		select {
		case <-c.ended:
			continue
		case <-ctx.Done():
		}
		for _, c := range ending[i:] {
			c.conn.Close()
			c.cancel()
		}
		return ctx.Err()
	}
	return nil
}
