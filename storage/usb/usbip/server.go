package usbip

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/service"
	"github.com/seed-012105e5/gonet/storage/usb"
)

// Port is that of the protocol.
const Port = "3240"

// ErrServerClosed is what Serve returns after Close.
var ErrServerClosed = errors.New("usbip: the server is closed")

// A Server exports devices by USB/IP. Its fields are set before the first call and not
// changed then; zero values are sensible. All methods may be called at any time from any
// goroutine.
//
//	var server usbip.Server
//	err := server.Add("1-1", device)
//	err = server.Serve(listener)
type Server struct {
	// MaxConns bounds the connections; 64 if zero. More are closed at once.
	MaxConns int
	// Timeout bounds how long a peer may take until it has imported a device; 15 s if
	// zero.
	Timeout time.Duration
	// ErrorLog, if not nil, is called with what ended a connection other than the peer's
	// wish. It must not call the server, which may wait for it.
	ErrorLog func(remote net.Addr, err error)

	counters counters

	mu        sync.Mutex // of what follows; no transfer takes it
	exports   map[string]*export
	numbers   uint32 // of devices so far
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	closing   bool
}

// counters are what Stats tells.
type counters struct {
	conns, refused, lists, imports, busy, unknown    atomic.Uint64
	protocolErrors, transfers, stalls, unlinks, lost atomic.Uint64
	tooMuch                                          atomic.Uint64
}

// An export is a device under its bus ID.
type export struct {
	busID  string
	number uint32 // bus in the high half, device in the low
	device *usb.Device
}

// A conn is a connection as the server knows it.
type conn struct {
	net.Conn
	export *export // that it has imported, or nil
	ended  chan struct{}
}

// Add exports a device under a bus ID: 1 to 31 letters, digits, and any of - . _ :
// Linux has 1-1, 1-2.4 and the like.
func (s *Server) Add(busID string, d *usb.Device) error {
	if busID == "" || len(busID) >= busIDLength || strings.ContainsFunc(busID, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-._:", r))
	}) {
		return fmt.Errorf("usbip: %q is no bus ID", busID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return ErrServerClosed
	case s.exports[busID] != nil:
		return fmt.Errorf("usbip: there is a device %s already", busID)
	case len(s.exports) >= 1<<10:
		return errors.New("usbip: a server has at most 1024 devices")
	case s.exports == nil:
		s.exports = map[string]*export{}
	}
	s.numbers = s.numbers%0xffff + 1
	s.exports[busID] = &export{busID, 1<<16 | s.numbers, d}
	return nil
}

// Remove takes a device away: a host that has it sees it unplugged, whatever is under
// way. Remove returns when the device is attached to nobody.
func (s *Server) Remove(busID string) error {
	s.mu.Lock()
	e := s.exports[busID]
	delete(s.exports, busID)
	using := s.using(func(c *conn) bool { return e != nil && c.export == e })
	s.mu.Unlock()
	if e == nil {
		return fmt.Errorf("usbip: there is no device %s", busID)
	}
	cut(using)
	return nil
}

// Unplug has the host that has a device see it unplugged. It may attach it again.
func (s *Server) Unplug(busID string) error {
	s.mu.Lock()
	e := s.exports[busID]
	using := s.using(func(c *conn) bool { return e != nil && c.export == e })
	s.mu.Unlock()
	if e == nil {
		return fmt.Errorf("usbip: there is no device %s", busID)
	}
	cut(using)
	return nil
}

// using is the connections for which of is true. The lock is held.
func (s *Server) using(of func(*conn) bool) (all []*conn) {
	for c := range s.conns {
		if of(c) {
			all = append(all, c)
		}
	}
	return all
}

// cut closes connections, and waits for their end.
func cut(conns []*conn) {
	for _, c := range conns {
		c.Close()
	}
	for _, c := range conns {
		<-c.ended
	}
}

// Serve takes connections from l, until l fails or the server is closed. It closes l.
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
	err := service.Accept(l, func(c net.Conn) { s.ServeConn(c) })
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	if s.closing {
		return ErrServerClosed
	}
	return err
}

// ServeConn serves one connection until it ends, and closes it. The error is nil if the
// peer ended it, or the server did.
func (s *Server) ServeConn(nc net.Conn) error {
	c, err := s.admit(nc)
	if err != nil {
		nc.Close()
		return err
	}
	err = s.serve(c)
	if err != nil && s.ErrorLog != nil {
		s.ErrorLog(nc.RemoteAddr(), err)
	}
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	close(c.ended)
	return err
}

func (s *Server) admit(nc net.Conn) (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, ErrServerClosed
	case len(s.conns) >= cmp.Or(max(s.MaxConns, 0), 64):
		s.counters.refused.Add(1)
		return nil, errors.New("usbip: too many connections")
	case s.conns == nil:
		s.conns = map[*conn]bool{}
	}
	c := &conn{Conn: nc, ended: make(chan struct{})}
	s.conns[c] = true
	s.counters.conns.Add(1)
	return c, nil
}

// Close ends all connections: hosts see their devices unplugged. It returns when all has
// ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	all := s.using(func(*conn) bool { return true })
	s.mu.Unlock()
	cut(all)
}

// An Export is a device that a server exports.
type Export struct {
	BusID  string
	Device *usb.Device
	Host   net.Addr // that has it, or nil
}

// Exports are the devices, in the order of their bus IDs.
func (s *Server) Exports() []Export {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Export
	for _, e := range s.sorted() {
		host := net.Addr(nil)
		for c := range s.conns {
			if c.export == e {
				host = c.RemoteAddr()
			}
		}
		all = append(all, Export{e.busID, e.device, host})
	}
	return all
}

// sorted is the devices in the order of their bus IDs. The lock is held.
func (s *Server) sorted() []*export {
	all := make([]*export, 0, len(s.exports))
	for _, e := range s.exports {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *export) int { return strings.Compare(a.busID, b.busID) })
	return all
}

// Stats is the counters that are not zero, one a line.
func (s *Server) Stats() string {
	c := &s.counters
	return service.Lines(map[string]uint64{
		"connections": c.conns.Load(), "connections refused": c.refused.Load(), "device lists": c.lists.Load(),
		"imports": c.imports.Load(), "imports of attached devices": c.busy.Load(), "imports of unknown devices": c.unknown.Load(),
		"protocol errors": c.protocolErrors.Load(), "transfers": c.transfers.Load(), "stalls": c.stalls.Load(),
		"unlinks": c.unlinks.Load(), "unlinks that came too late": c.lost.Load(), "transfers refused": c.tooMuch.Load(),
	})
}
