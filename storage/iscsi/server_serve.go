package iscsi

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/input"
	"github.com/seed-012105e5/gonet/storage/internal/service"
)

// A serverConn is a connection as the server knows it.
type serverConn struct {
	conn   net.Conn
	serial uint64
	portal Portal
	local  string // address that initiators are told
	ended  chan struct{}

	// The server's mutex guards these.
	process *process // nil in the login phase
	target  *served  // nil in the login phase and in discovery sessions
	key     sessionKey
	cid     uint16
	info    SessionInfo

	// ctx ends with cancel: calls of devices are then cut off.
	ctx    context.Context
	cancel context.CancelFunc
}

// Serve takes connections from l and serves each of them in goroutines of its own,
// until l fails or the server is closed. It closes l, whose portal group is 1.
func (s *Server) Serve(l net.Listener) error { return s.ServePortal(l, Portal{}) }

// ServePortal is Serve for a portal of a certain group or address.
func (s *Server) ServePortal(l net.Listener, portal Portal) error {
	defer l.Close()
	if portal.Group == 0 {
		portal.Group = 1
	}
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return ErrServerClosed
	}
	if s.portals == nil {
		s.portals = map[net.Listener]Portal{}
	}
	if portal.Address == "" {
		portal.Address = specified(l.Addr())
	}
	s.portals[l] = portal
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.portals, l)
		s.mu.Unlock()
	}()
	err := service.Accept(l, func(conn net.Conn) { s.serveAt(conn, portal) })
	if s.shutdown() {
		return ErrServerClosed
	}
	return err
}

func (s *Server) shutdown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// ServeConn serves one connection until it ends, and closes it. The error is nil if
// the initiator ended it as it should, or the server did.
func (s *Server) ServeConn(conn net.Conn) error {
	return s.serveAt(conn, Portal{Group: 1})
}

func (s *Server) serveAt(conn net.Conn, portal Portal) error {
	c, err := s.admit(conn, portal)
	if err != nil {
		conn.Close()
		return err
	}
	err = s.serveConn(c)
	conn.Close()
	c.cancel()
	s.leave(c)
	if err != nil && s.ErrorLog != nil {
		s.ErrorLog(conn.RemoteAddr(), err)
	}
	return err
}

func (s *Server) serveConn(c *serverConn) error {
	in := input.New(c.conn, &s.buffers, inputSize)
	l, err := s.login(c, in)
	if err != nil {
		s.counters.loginFailures.Add(1)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.counters.loginTimeouts.Add(1)
		}
		if f := (*loginFailure)(nil); errors.As(err, &f) && f.status == loginAuthentication {
			s.counters.authentications.Add(1)
		}
		if errors.Is(err, io.EOF) { // who looks whether the port is open
			return nil
		}
		return err
	}
	s.counters.logins.Add(1)
	s.counters.sessions.Add(1)
	defer s.counters.sessions.Add(^uint64(0))
	p, ok := s.enter(c, in, l)
	if !ok {
		return ErrServerClosed
	}
	err = p.run()
	return s.account(p, err)
}

// account counts why a session has ended.
func (s *Server) account(p *process, err error) error {
	switch {
	case err == nil:
		s.counters.logouts.Add(1)
		return nil
	case p.silent.Load():
		s.counters.timeouts.Add(1)
		return errors.New("iscsi: the initiator does not answer")
	case p.draining.Load():
		return nil
	}
	s.counters.losses.Add(1)
	switch {
	case errors.Is(err, errHeaderDigest):
		s.counters.headerDigests.Add(1)
	case errors.As(err, new(formatError)):
		s.counters.protocolErrors.Add(1)
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return nil // an initiator that just goes is common
	}
	return err
}

// login is the login phase: it reads requests and writes responses, one at a time. It
// blocks in both, for as long as the deadline of the connection lets it.
func (s *Server) login(c *serverConn, in *input.Reader) (*loginTarget, error) {
	l := &loginTarget{keeper: &keeper{s, c}, random: s.random, negotiation: s.offer()}
	r := &reader{in: in, maxData: int(initialValues()[keyMaxRecv])}
	var h header
	for !l.done {
		if _, err := r.header(&h); err != nil {
			return nil, err
		}
		text := make([]byte, h.dataLength())
		if err := r.data(text); err != nil {
			return nil, err
		}
		resp, out, err := l.answer(&h, text)
		if _, werr := c.conn.Write(appendPDU(nil, &resp, out, digests{})); werr != nil {
			s.release(c)
			return nil, werr
		}
		if err != nil {
			service.Linger(c.conn, 1<<20)
			return nil, err
		}
	}
	return l, nil
}

// offer is what this target would have.
func (s *Server) offer() *negotiation {
	v := initialValues()
	v[keyInitialR2T] = 0
	v[keyMaxRecv] = maxRecvData
	v[keyMaxBurst] = targetBurst
	v[keyFirstBurst] = targetFirst
	v[keyMaxOutstandingR2T] = targetR2Ts
	v[keyTime2Wait] = 2
	v[keyTime2Retain] = 0
	n := newNegotiation(v)
	digest := []uint32{0, 1}
	if s.NoDigests {
		digest = digest[:1]
	}
	n.choices[keyHeaderDigest], n.choices[keyDataDigest] = digest, digest
	n.choices[keyTaskReporting] = []uint32{0}
	return n
}

var errTooMany = errors.New("iscsi: too many connections")

// admit makes a connection known. From here on its login is timed.
func (s *Server) admit(conn net.Conn, portal Portal) (*serverConn, error) {
	s.counters.connections.Add(1)
	timeout := s.LoginTimeout
	if timeout <= 0 {
		timeout = defaultLoginTimeout
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, ErrServerClosed
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
	c := &serverConn{conn: conn, serial: s.serial, portal: portal, ended: make(chan struct{})}
	if c.local = portal.Address; c.local == "" {
		c.local = conn.LocalAddr().String()
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	s.conns[c] = true
	conn.SetDeadline(time.Now().Add(timeout))
	return c, nil
}

// evict closes the oldest of too many connections in their login: who opens
// connections and says nothing keeps nobody else out.
func (s *Server) evict() {
	var oldest *serverConn
	n := 0
	for c := range s.conns {
		if c.process == nil {
			if n++; oldest == nil || c.serial < oldest.serial {
				oldest = c
			}
		}
	}
	if n >= orDefault(s.MaxLogins, defaultMaxLogins) {
		s.counters.evicted.Add(1)
		oldest.conn.Close()
	}
}

// leave forgets a connection.
func (s *Server) leave(c *serverConn) {
	s.release(c)
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	close(c.ended)
}

// Shutdown takes no more connections, asks initiators to log out, and returns when
// all sessions have ended: at the latest when the context ends, which cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.close()
	return s.drain(ctx, func(*serverConn) bool { return true })
}

// Close ends all connections at once. It does not wait for calls of devices that know
// no contexts.
func (s *Server) Close() error {
	s.close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.drain(ctx, func(*serverConn) bool { return true })
	return nil
}

// close takes no more connections, and forgets the targets.
func (s *Server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	for l := range s.portals {
		l.Close()
	}
	clear(s.targets)
}

// logoutGrace is how long initiators have to log out when they are asked to.
const logoutGrace = 3 * time.Second

// drain ends the connections that match: it asks the initiators to log out, ends the
// sessions of those that do not when they have had their time, and waits.
func (s *Server) drain(ctx context.Context, match func(*serverConn) bool) error {
	s.mu.Lock()
	var all []*serverConn
	for c := range s.conns {
		if !match(c) {
			continue
		}
		all = append(all, c)
		if c.process != nil {
			c.process.post(eventDrain)
		} else {
			c.conn.SetDeadline(time.Now().Add(time.Second))
		}
	}
	s.mu.Unlock()
	grace := time.NewTimer(logoutGrace)
	defer grace.Stop()
	for i, c := range all {
		for waiting := true; waiting; {
			select {
			case <-c.ended:
				waiting = false
			case <-grace.C:
				for _, c := range all[i:] {
					c.conn.Close()
				}
			case <-ctx.Done():
				for _, c := range all[i:] {
					c.conn.Close()
					c.cancel()
				}
				return ctx.Err()
			}
		}
	}
	return nil
}
