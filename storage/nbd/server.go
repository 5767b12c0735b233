package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("nbd: the server is closed")

// A Server exports devices. Its fields are set before the first call and not
// changed then; zero values are sensible. All methods may be called at any time
// from any goroutine.
//
//	var server nbd.Server
//	err := server.Add(nbd.Export{Name: "m", Device: block.NewMemory(64 << 20)})
//	err = server.Serve(listener)
type Server struct {
	// TLSMode says what clients without TLS get, and TLS has the certificates; its
	// ClientAuth and ClientCAs say which clients are believed.
	TLSMode TLSMode
	TLS     *tls.Config

	// DefaultExport is the export that a client gets which names none, where there
	// is none without a name. If it is empty and there is one export only, it is
	// that.
	DefaultExport string
	// NoList refuses LIST.
	NoList bool

	// HandshakeTimeout bounds the whole handshake; 30 s if zero.
	HandshakeTimeout time.Duration
	// MaxConns bounds the connections; 1024 if zero. More are closed at once.
	MaxConns int
	// MaxHandshakes bounds the connections in their handshake; 128 if zero. For one
	// more the oldest is closed.
	MaxHandshakes int
	// MaxRequests bounds the requests of a connection that are under way, from 1 to
	// 1024; 64 if zero. The server then reads no more until one is done.
	MaxRequests int
	// MaxMemory bounds the payloads of a connection, in bytes: 64 MiB if zero, and
	// never less than one request takes.
	MaxMemory int
	// MaxWorkers bounds the goroutines that work on devices, of all connections
	// together, beside one for each connection; 2048 if zero.
	MaxWorkers int

	// ErrorLog, if not nil, is called with what ended a connection other than the
	// client's wish.
	ErrorLog func(remote net.Addr, err error)

	counters serverCounters
	buffers  buffers.Pool
	workers  atomic.Int64 // beyond the first of each connection
	lookout  lookout

	mu        sync.Mutex // of what follows; no request takes it
	exports   map[string]*served
	listeners map[net.Listener]bool
	conns     map[*serverConn]bool
	serial    uint64 // of the last connection
	watched   int    // sessions that the lookout looks at
	looking   bool   // it runs
	closing   bool
}

func orDefault(n, d int) int {
	if n <= 0 {
		return d
	}
	return n
}

func (s *Server) maxRequests() int {
	return min(orDefault(s.MaxRequests, defaultMaxRequests), ceilingMaxRequests)
}
func (s *Server) maxMemory() int { return orDefault(s.MaxMemory, defaultMaxMemory) }

// startWorker says whether another goroutine may work on devices.
func (s *Server) startWorker() bool {
	if s.workers.Add(1) <= int64(orDefault(s.MaxWorkers, defaultMaxWorkers)) {
		return true
	}
	s.workers.Add(-1)
	return false
}

// Stats returns the counters, and how many connections, sessions and exports there
// are.
func (s *Server) Stats() Stats {
	stats := s.counters.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats["ConnectionsOpen"] = uint64(len(s.conns))
	stats["Exports"] = uint64(len(s.exports))
	return stats
}

// Add makes an export known, also while the server runs. Its name must be new. The
// device remains the caller's to close, after Remove or Shutdown has returned.
func (s *Server) Add(e Export) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrServerClosed
	}
	if s.exports[e.Name] != nil {
		return fmt.Errorf("nbd: there is an export %q already", e.Name)
	}
	x, err := serve(e, s.diskOf(e.Device))
	if err != nil {
		return err
	}
	if s.exports == nil {
		s.exports = map[string]*served{}
	}
	s.exports[e.Name] = x
	return nil
}

// diskOf is the disk of an export of the same device, or nil.
func (s *Server) diskOf(d block.Device) *block.Disk {
	if !reflect.ValueOf(d).Comparable() {
		return nil
	}
	for _, x := range s.exports {
		if other := x.disk.Device(); reflect.TypeOf(other) == reflect.TypeOf(d) && other == d {
			return x.disk
		}
	}
	return nil
}

// Remove takes an export away. Connections that use it end when they have done what
// they have received; Remove returns when they have, or with the context's error
// when it has cut them off.
func (s *Server) Remove(ctx context.Context, name string) error {
	s.mu.Lock()
	x := s.exports[name]
	delete(s.exports, name)
	s.mu.Unlock()
	if x == nil {
		return fmt.Errorf("nbd: there is no export %q", name)
	}
	x.stop()
	return s.drain(ctx, func(c *serverConn) bool { return c.session != nil && c.session.worker.export == x })
}
